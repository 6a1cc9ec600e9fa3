"""IP fragments in file order -> the packets of which some never came.

Read first: RFC 791 3.2 (which fragments belong together), RFC 815.
"""

from __future__ import annotations

from dataclasses import field

from netlab.correlate.flows import fragment_bytes
from netlab.model.ranges import RangeSet
from netlab.model.records import dataclass
from netlab.model.tables import Packet


@dataclass(slots=True)
class _Whole:
    frame: int  # its first fragment
    have: RangeSet = field(default_factory=RangeSet)
    size: int | None = None  # known once the last fragment is there


class Fragments:
    """What is there of each fragmented packet."""

    def __init__(self) -> None:
        self._open: dict[tuple[object, ...], _Whole] = {}

    def take(self, packet: Packet) -> None:
        """A fragment more; an identification that was completed may come round again."""
        key = packet.src, packet.dst, packet._ip_protocol, packet.ip_id
        whole = self._open.get(key)
        if whole is None:
            whole = self._open[key] = _Whole(packet.frame)
        start, size = packet._fragment_off, fragment_bytes(packet)
        if size:
            whole.have.add(start, start + size)
        if not packet._fragment_more:
            whole.size = start + size
        if whole.size is not None and whole.have.run_stop(0) >= whole.size:
            del self._open[key]

    def incomplete(self) -> tuple[int, int | None]:
        """How many packets were not completed, and the first frame of the first."""
        return len(self._open), min((one.frame for one in self._open.values()), default=None)
