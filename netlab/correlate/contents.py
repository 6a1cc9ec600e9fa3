"""What calls moved, as a witness shows it, against what the frames hold: right, wrong, or where.

- `first_wrong`: a call that was given a place at which the frames hold other bytes belongs to
  another one: some call before it was not seen.
- `place_by_content`: where the calls of a socket stand in a stream whose beginning the witness or
  the capture missed. It is the only place at which every call that was made while the capture ran
  has its own bytes, and no frame left before its call, and no call returned before its frame. Of
  how many bytes that is said, counts: fewer than `_FEWEST` may stand there by chance.
`CallRecord.data` are the first bytes that a call moved; what comes behind them is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netlab.correlate.call_moves import bound_ns, moved_bytes
from netlab.correlate.call_ranges import CallRanges
from netlab.correlate.causality import Step
from netlab.correlate.payloads import StreamBytes
from netlab.model.call import CallRecord
from netlab.model.records import dataclass

_FEWEST = 8
_MOST_PLACES = 4096
_NEVER = 1 << 62


def first_wrong(
    ranges: CallRanges, stream: StreamBytes, calls: list[CallRecord], *, outbound: bool
) -> int | None:
    """The first call whose bytes the frames at its place do not hold."""
    for number in sorted(ranges.ranges):
        record = calls[number - 1]
        if record.data:
            begin = ranges.ranges[number][1] - moved_bytes(record, outbound)
            if stream.compare(begin, record.data)[1] is not None:
                return number
    return None


@dataclass(frozen=True, slots=True)
class Moved:
    """One call of a direction: `offset` counts from the first byte that the known calls moved."""

    number: int
    offset: int
    count: int
    data: bytes
    entered_ns: int
    bound_ns: int


def moved_in_order(
    numbers: Iterable[int], calls: list[CallRecord], *, outbound: bool
) -> list[Moved] | None:
    """The calls of a direction end to end; None where their order, or an amount, is not known."""
    found: list[Moved] = []
    at = 0
    for number in numbers:
        record = calls[number - 1]
        count = moved_bytes(record, outbound)
        if not count:
            continue
        if found and record.entered_ns < found[-1].bound_ns and _overlap(calls, found[-1], record):
            return None
        returned = bound_ns(record)
        until = _NEVER if returned is None else returned
        found.append(Moved(number, at, count, record.data or b"", record.entered_ns, until))
        at += count
    return found


def _overlap(calls: list[CallRecord], before: Moved, record: CallRecord) -> bool:
    """Two calls of one thread are one after the other, whatever is known of the first's end."""
    other = calls[before.number - 1]
    return (other.pid, other.tid) != (record.pid, record.tid)


@dataclass(frozen=True, slots=True)
class Place:
    """What is asked of one direction of one connection."""

    stream: StreamBytes
    steps: Sequence[Step]  # outbound: as it left; inbound: as it came
    first_ns: int  # of all frames that were captured
    last_ns: int
    fin_off: int | None = None


def place_by_content(moved: Sequence[Moved], place: Place, *, outbound: bool) -> int | None:
    """The offset in the stream of the first byte that `moved` moved; None: not known."""
    # Only what was made while frames were captured has to be in them.
    inside = [
        m for m in moved
        if m.data and place.first_ns <= m.entered_ns and m.bound_ns <= place.last_ns
    ]  # fmt: skip
    if sum(len(m.data) for m in inside) < _FEWEST:
        return None
    rarest: list[int] | None = None
    for m in sorted(inside, key=lambda m: -len(m.data))[:64]:
        found = place.stream.places(m.data, _MOST_PLACES + 1)
        if not found:
            return None  # it has to be there
        if rarest is None or len(found) < len(rarest):
            rarest = [at - m.offset for at in found]
        if len(rarest) == 1:
            break
    if rarest is None or len(rarest) > _MOST_PLACES:
        return None
    inside_numbers = {m.number for m in inside}
    fitting = [
        base for base in rarest
        if _fits(moved, base, place, inside_numbers, outbound=outbound)
    ]  # fmt: skip
    return fitting[0] if len(fitting) == 1 else None


def _fits(
    moved: Sequence[Moved], base: int, place: Place, inside: set[int], *, outbound: bool
) -> bool:
    right = 0
    for m in moved:
        if not m.data:
            continue
        same, wrong = place.stream.compare(base + m.offset, m.data)
        if wrong is not None or (m.number in inside and not same):
            return False
        right += same
    end = moved[-1].offset + moved[-1].count + base
    if right < _FEWEST or (place.fin_off is not None and end > place.fin_off):
        return False
    return in_time(moved, base, place.steps, outbound=outbound)


def in_time(moved: Sequence[Moved], base: int, steps: Sequence[Step], *, outbound: bool) -> bool:
    """Whether causes come before effects with the first byte at `base`."""
    at = 0
    if outbound:
        for step in steps:
            while at < len(moved) and base + moved[at].offset + moved[at].count < step.stop:
                at += 1
            if at == len(moved):
                break
            if step.stop > base + moved[at].offset and step.time_ns < moved[at].entered_ns:
                return False
        return True
    for m in moved:
        stop = base + m.offset + m.count
        while at < len(steps) and steps[at].stop < stop:
            at += 1
        if at == len(steps):
            return True
        if steps[at].time_ns > m.bound_ns:
            return False
    return True
