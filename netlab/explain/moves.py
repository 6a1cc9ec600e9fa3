"""Which call moved a byte: the calls of one side of a connection that moved bytes one way."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import field

from netlab.model.records import dataclass
from netlab.model.tables import Call


@dataclass(slots=True)
class Moves:
    """The calls of one side that moved bytes one way, in the order of the stream."""

    starts: list[int] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

    def at(self, byte: int) -> Call | None:
        """The call that moved this byte."""
        place = bisect_right(self.starts, byte)
        if not place:
            return None
        call = self.calls[place - 1]
        return call if call.stop is not None and byte < call.stop else None
