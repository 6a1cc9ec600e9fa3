"""What a study's experiment left: the tables of its recording and what its programs returned.

Questions that many studies ask of them, each answered from the tables and nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from netlab.explain.causes import Cause
from netlab.model.recording import RawRecording
from netlab.model.tables import Call, Connection, Packet, Role, Segment, Span, Tables
from netlab.studies.study import Params

Frame = tuple[Packet, Segment]


@dataclass
class Evidence:
    """A finished experiment."""

    p: Params
    raw: RawRecording
    tables: Tables
    returned: Mapping[str, Any]  # by actor: what the function returned
    fired: Mapping[str, int] = field(default_factory=dict)  # each rule of the wire, how often

    @property
    def connection(self) -> Connection:
        """The first connection."""
        return self.tables.connections[0]

    def calls(
        self, op: str | None = None, *, host: str | None = None, connection: int | None = None
    ) -> list[Call]:
        """Calls in order of entry; those of one name, of one host, on one connection."""
        return [
            call
            for call in self.tables.calls
            if (op is None or call.op == op)
            and (host is None or call.host == host)
            and (connection is None or call.connection == connection)
        ]

    def call(self, op: str, number: int = 0, *, host: str | None = None) -> Call | None:
        """The n-th of such calls, None where there are fewer; -1 is the last."""
        found = self.calls(op, host=host)
        return found[number] if -len(found) <= number < len(found) else None

    @cached_property
    def _frames(self) -> list[Frame]:
        packets = {packet.frame: packet for packet in self.tables.packets}
        return [(packets[segment.frame], segment) for segment in self.tables.segments]

    def frames(
        self,
        direction: str | None = None,
        *,
        flags: str | None = None,
        data: bool | None = None,
        connection: int | None = 0,
    ) -> list[Frame]:
        """TCP frames in order of departure: of one way, with exactly these flags, with data or
        without."""
        return [
            (packet, segment)
            for packet, segment in self._frames
            if (direction is None or segment.direction == direction)
            and (flags is None or packet.tcp_flags == flags)
            and (data is None or (segment.payload_len_bytes > 0) == data)
            and (connection is None or segment.connection == connection)
        ]

    def packets(self, protocol: str) -> list[Packet]:
        """All frames of a protocol: ICMP, ARP, UDP."""
        return [packet for packet in self.tables.packets if packet.protocol == protocol]

    def spans(self, call: Call, role: str) -> list[Span]:
        """The spans of a call in one role."""
        return [span for span in self.tables.spans if span.call == call.call and span.role == role]

    def longest(self, waits_on: str) -> Call | None:
        """The call of a host, or of a host and a name, that took longest; None: none returned."""
        host, _, op = waits_on.partition(" ")
        over = [call for call in self.calls(op or None, host=host) if call.returned_ns is not None]
        return max(over, key=lambda call: (call.returned_ns or 0) - call.entered_ns, default=None)

    def main_cause(self, waits_on: str) -> str | None:
        """What `netlab why` says of the longest such call: the cause of most of its time.

        Of an accept, of that in which a client was there: how long none was is the beginning of an
        experiment, not what it asks about.
        """
        longest = self.longest(waits_on)
        if longest is None:
            return None
        times: Counter[str] = Counter()
        for wait in self.tables.waits:
            if wait.call == longest.call and wait.cause != Cause.NO_CLIENT:
                times[str(wait.cause)] += wait.stop_ns - wait.start_ns
        return times.most_common(1)[0][0] if times else None

    @cached_property
    def _data(self) -> dict[int, bytes]:
        return {frame.number: bytes(frame.data) for frame in self.raw.frames}

    def data(self, packet: Packet) -> bytes:
        """The bytes of a frame, from the link header on."""
        return self._data[packet.frame]

    def macs(self, packet: Packet) -> tuple[str, str]:
        """Who sent it to whom on its link: 02:00:00:00:00:01 and the like."""
        data = self.data(packet)
        return data[6:12].hex(":"), data[:6].hex(":")

    def packet(self, frame: int) -> Packet:
        """One frame's row."""
        return next(packet for packet in self.tables.packets if packet.frame == frame)


def took_ns(call: Call | None) -> int | None:
    """How long a call took; None where there is none, or it did not return."""
    if call is None or call.returned_ns is None:
        return None
    return call.returned_ns - call.entered_ns


def gap_ns(frames: list[Frame], first: int = 0, second: int = 1) -> int | None:
    """The time between the departures of two frames of a list."""
    if max(first, second) >= len(frames):
        return None
    return frames[second][0].time_ns - frames[first][0].time_ns


def held_ns(evidence: Evidence, call: Call | None) -> int | None:
    """How long the last bytes of a send lay in its stack: from its entry until they left."""
    if call is None:
        return None
    frames = [span.frame for span in evidence.spans(call, Role.CARRIED) if span.frame is not None]
    return evidence.packet(max(frames)).time_ns - call.entered_ns if frames else None


def told(name: str, actor: str = "client") -> Callable[[Evidence], Any]:
    """What a program returned under this name."""
    return lambda evidence: evidence.returned[actor][name]
