"""An option of a socket that is on or off -> which of them when."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from netlab.model.records import dataclass


@dataclass(frozen=True, slots=True)
class Switch:
    """An option of a socket over time: (time, on), in order; before the first it is `default`."""

    changes: tuple[tuple[int, bool], ...] = ()
    default: bool | None = False  # None: not known

    def at(self, time_ns: int) -> bool | None:
        """Whether it was on then."""
        place = bisect_right(self.changes, time_ns, key=_changed_ns) if self.changes else 0
        return self.changes[place - 1][1] if place else self.default

    def between(self, since_ns: int, until_ns: int) -> list[int]:
        """When it changed."""
        if not self.changes:
            return []
        low = bisect_right(self.changes, since_ns, key=_changed_ns)
        high = bisect_left(self.changes, until_ns, key=_changed_ns)
        return [changed_ns for changed_ns, _ in self.changes[low:high]]


def _changed_ns(change: tuple[int, bool]) -> int:
    return change[0]
