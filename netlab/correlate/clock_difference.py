"""Bounds of single calls and frames -> by how much the clocks of two files differ, as an interval.

What must be added to the times of the calls so that no effect comes before its cause. One number
where one fits all bounds; else one that grows evenly (two machines, whose clocks run apart); else a
step, and between which calls it was. What is known is the interval; its midpoint is what is used.
Bounds that miss each other by less than `_TOLERANCE_NS` count as one number: a tracer stamps a
call's end a little early (reference: strace's returns).
What it does not know: whose bounds they are. Integer nanoseconds throughout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from netlab.correlate.causality import Bound, interval
from netlab.model.records import dataclass

_TOLERANCE_NS = 1_000_000
_PPB = 1_000_000_000
_STEEPEST_PPB = 500_000  # the most that a clock is slewed by (man 2 adjtimex)
_MOST_STEPS = 3
_NEVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Stretch:
    """The difference for the calls from `since_ns` on, until the next stretch; on their clock.

    From `unsure_ns` on to `since_ns` this one may hold already, or the one before it still.
    """

    since_ns: int
    low_ns: int | None
    high_ns: int | None
    unsure_ns: int | None = None

    @property
    def middle_ns(self) -> int:
        """What to add: the midpoint, or the only limit there is, where 0 lies beyond it."""
        low, high = self.low_ns, self.high_ns
        if low is not None and high is not None:
            return (low + high) // 2
        return max(low or 0, 0) if high is None else min(high, 0)

    @property
    def added_ns(self) -> int:
        """What is added: nothing where the times can be right as they are."""
        return 0 if self.allows_zero else self.middle_ns

    @property
    def allows_zero(self) -> bool:
        """Whether the times can be right as they are."""
        below = self.low_ns is None or self.low_ns <= 0
        return below and (self.high_ns is None or self.high_ns >= 0)


@dataclass(frozen=True, slots=True)
class Difference:
    """What is known of the clocks."""

    stretches: tuple[Stretch, ...]
    bounds: int  # how many there were
    drift_ppb: tuple[int, int, int] | None = None  # used, least, greatest; since the first stretch
    amiss: tuple[Bound, Bound] | None = (
        None  # a lower and an upper bound that contradict each other
    )

    @property
    def allows_zero(self) -> bool:
        """Whether the calls' times can be right as they are."""
        return self.drift_ppb is None and all(one.allows_zero for one in self.stretches)

    def added_ns(self, time_ns: int) -> int:
        """What to add to a time on the calls' clock."""
        if self.drift_ppb is not None:
            first = self.stretches[0]
            return first.middle_ns + self.drift_ppb[0] * (time_ns - first.since_ns) // _PPB
        for one in reversed(self.stretches):
            if time_ns >= one.since_ns:
                return one.added_ns
        return self.stretches[0].added_ns


def difference(bounds: Iterable[Bound]) -> Difference | None:
    """What these bounds say; None: they contradict each other in more ways than it can tell."""
    ordered = sorted(bounds)
    if not ordered:
        return Difference((Stretch(-_NEVER, None, None),), 0)
    low, high = interval(ordered)
    crossing = _amiss(ordered)
    if low is None or high is None or low - high <= 0:
        return Difference((Stretch(-_NEVER, low, high),), len(ordered))
    if low - high <= _TOLERANCE_NS:
        return Difference((Stretch(-_NEVER, high, low),), len(ordered), amiss=crossing)
    drifting = _drift(ordered)
    if drifting is not None:
        return drifting
    stretches = _steps(ordered)
    if stretches is None:
        return None
    return Difference(stretches, len(ordered), amiss=crossing)


def _amiss(bounds: Sequence[Bound]) -> tuple[Bound, Bound] | None:
    lowest = max((b for b in bounds if not b.upper), key=lambda b: b.offset_ns, default=None)
    highest = min((b for b in bounds if b.upper), key=lambda b: b.offset_ns, default=None)
    if lowest is None or highest is None or lowest.offset_ns <= highest.offset_ns:
        return None
    return lowest, highest


def _drift(bounds: Sequence[Bound]) -> Difference | None:
    """The difference as a straight line, if one passes between all bounds."""
    first_ns = bounds[0].at_ns
    lower = [(b.at_ns - first_ns, b.offset_ns) for b in bounds if not b.upper]
    upper = [(b.at_ns - first_ns, b.offset_ns) for b in bounds if b.upper]

    def limits(ppb: int) -> tuple[int, int]:
        """The least and greatest offset at the first bound with this slope, times 10^9."""
        return (
            max(offset * _PPB - ppb * dt for dt, offset in lower),
            min(offset * _PPB - ppb * dt for dt, offset in upper),
        )

    def room(ppb: int) -> int:
        low, high = limits(ppb)
        return high - low

    best = _peak(room, -_STEEPEST_PPB, _STEEPEST_PPB)
    if room(best) < 0:
        return None
    least = _edge(lambda ppb: room(ppb) >= 0, best, -_STEEPEST_PPB)
    greatest = _edge(lambda ppb: room(ppb) >= 0, best, _STEEPEST_PPB)
    low, high = limits(best)
    stretch = Stretch(first_ns, -(-low // _PPB), high // _PPB)
    return Difference((stretch,), len(bounds), drift_ppb=(best, least, greatest))


def _peak(value: Callable[[int], int], low: int, high: int) -> int:
    """Where a concave function of whole numbers is greatest."""
    while high - low > 2:
        third = (high - low) // 3
        if value(low + third) < value(high - third):
            low += third
        else:
            high -= third
    return max(range(low, high + 1), key=value)


def _edge(holds: Callable[[int], bool], inside: int, outside: int) -> int:
    """The last place towards `outside` at which it still holds, from `inside`, where it does."""
    if holds(outside):
        return outside
    while abs(outside - inside) > 1:
        middle = (inside + outside) // 2
        if holds(middle):
            inside = middle
        else:
            outside = middle
    return inside


def _steps(bounds: Sequence[Bound]) -> tuple[Stretch, ...] | None:
    """As few stretches as can be; each begins as late as it may."""
    cuts = _cuts(bounds)
    if len(cuts) > _MOST_STEPS:
        return None
    # From the end backwards each begins as early as it may: the step was between the two.
    backwards = [len(bounds) - at for at in reversed(_cuts(bounds[::-1]))]
    found = []
    for at, (start, stop) in enumerate(zip([0, *cuts], [*cuts, len(bounds)], strict=True)):
        low, high = interval(bounds[start:stop])
        if low is not None and high is not None and low > high:  # within the tolerance
            low, high = high, low
        if not at:
            found.append(Stretch(-_NEVER, low, high))
            continue
        earliest = min(backwards[at - 1], start)
        found.append(Stretch(bounds[start].at_ns, low, high, bounds[max(earliest - 1, 0)].at_ns))
    return tuple(found)


def _cuts(bounds: Sequence[Bound]) -> list[int]:
    """Before which bounds a new stretch has to begin, read in this order."""
    cuts = []
    low, high = -_NEVER, _NEVER
    for at, bound in enumerate(bounds):
        new_low = low if bound.upper else max(low, bound.offset_ns)
        new_high = min(high, bound.offset_ns) if bound.upper else high
        if new_low - new_high > _TOLERANCE_NS:
            cuts.append(at)
            low = -_NEVER if bound.upper else bound.offset_ns
            high = bound.offset_ns if bound.upper else _NEVER
        else:
            low, high = new_low, new_high
    return cuts


def most_covered(
    sets: Sequence[Sequence[tuple[int | None, int | None]]],
) -> tuple[int, list[tuple[int, int]]]:
    """Where most of these sets of intervals meet: how many do, and in which stretches.

    An interval without a limit goes on for ever.
    """
    events: list[tuple[int, int]] = []
    for intervals in sets:
        for low, high in _joined(intervals):
            events += [(low, 0), (high, 1)]
    events.sort()
    depth = most = 0
    found: list[tuple[int, int]] = []
    for at, (place, leaves) in enumerate(events):
        depth += -1 if leaves else 1
        if leaves or depth < most:
            continue
        if depth > most:
            most, found = depth, []
        # It lasts until the next one leaves.
        if events[at + 1][1]:
            found.append((place, events[at + 1][0]))
    return most, found


def _joined(intervals: Sequence[tuple[int | None, int | None]]) -> list[tuple[int, int]]:
    """The same as disjoint intervals."""
    closed = sorted(
        (-_NEVER if low is None else low, _NEVER if high is None else high)
        for low, high in intervals
    )
    found: list[tuple[int, int]] = []
    for low, high in closed:
        if low > high:
            continue
        if found and low <= found[-1][1]:
            found[-1] = found[-1][0], max(high, found[-1][1])
        else:
            found.append((low, high))
    return found
