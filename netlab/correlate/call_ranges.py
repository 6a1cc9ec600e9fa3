"""Calls on a stream socket -> the stream range each one wrote or consumed.

Per side and direction the calls that moved bytes are laid end to end in order of entry; `result`
counts, not what was asked (reference: the kernel's order is the order of the socket lock, which one
thread's calls take in the order they were entered). Rules:
- MSG_PEEK and MSG_ERRQUEUE move nothing, nor do EAGAIN, EPIPE, 0. MSG_TRUNC on TCP consumes
  (man 7 tcp). sendall is one call with its total.
- Urgent data (man 7 tcp, RFC 6093): the byte has an offset. Without SO_OOBINLINE the reader's
  stream skips it, and recv(MSG_OOB) takes it. Linux keeps one urgent byte: when another is
  announced, the earlier becomes ordinary data; a read never runs over the current one.
- Calls of several threads or processes that overlap in time while both moved bytes have no known
  order: the group's range is known, the members' are not. Calls that do not overlap are exact.
- A sender still inside a call has moved an unknown number of bytes: all that could come after is
  not placed.
- Offset 0 is certain when the socket's birth was witnessed and the SYN captured. Otherwise the end
  of the stream may pin it: the FIN's offset minus all that the calls moved. Else ranges stay
  unknown.
Knows frames only through `StreamFacts`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from netlab.correlate.reasons import Reason
from netlab.model.call import INBOUND, MSG_ERRQUEUE, MSG_OOB, MSG_PEEK, OUTBOUND, CallRecord
from netlab.model.ranges import RangeMap


@dataclass(frozen=True, slots=True)
class UrgentMark:
    """An urgent byte, and when the receiver's end had been told of it."""

    offset: int
    time_ns: int


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """What the frames say that placing calls needs."""

    born_seen: bool = True  # the SYN was captured, or there are no frames to agree with
    fin_off: int | None = None  # length of the stream
    urgent: tuple[UrgentMark, ...] = ()


@dataclass(frozen=True, slots=True)
class Unplaced:
    """A call whose bytes have no known place; start..stop is the group's range where known."""

    call: int
    bytes: int
    reason: Reason
    start: int | None = None
    stop: int | None = None


@dataclass(slots=True)
class CallRanges:
    """One side's calls of one direction, laid out. Values of `owners` are call numbers."""

    owners: RangeMap[int] = field(default_factory=RangeMap)
    ranges: dict[int, tuple[int, int]] = field(default_factory=dict)
    unplaced: list[Unplaced] = field(default_factory=list)
    groups: list[tuple[int, int]] = field(default_factory=list)  # ranges of ambiguous groups
    holes: list[int] = field(default_factory=list)  # urgent bytes that reading skipped
    stop: int = 0  # where the last placed byte ends
    _returns: tuple[list[int], list[int]] | None = None

    def read_until(self, calls: list[CallRecord], time_ns: int | None) -> int:
        """The offset up to which calls had returned the stream by then (None: ever)."""
        if self._returns is None:
            found = []
            for _, stop, number in self.owners:
                returned = calls[number - 1].returned_ns
                if returned is not None:
                    found.append((returned, stop))
            found.sort()
            stops = list(accumulate((stop for _, stop in found), max))
            self._returns = [returned for returned, _ in found], stops
        times, stops = self._returns
        place = len(times) if time_ns is None else bisect_right(times, time_ns)
        return stops[place - 1] if place else 0


def moved_bytes(record: CallRecord, outbound: bool) -> int:
    """Stream bytes that a call of this direction moved."""
    if record.op not in (OUTBOUND if outbound else INBOUND) or not record.result:
        return 0
    if record.result < 0 or record.flags & MSG_ERRQUEUE:
        return 0
    if not outbound and record.flags & MSG_PEEK:
        return 0
    return record.result


def place_calls(
    numbers: Sequence[int],
    calls: list[CallRecord],
    *,
    outbound: bool,
    born: bool,
    inline: bool,
    facts: StreamFacts,
) -> CallRanges:
    """Lay the calls `numbers` (in order of entry) out; `born`: the socket's birth was witnessed."""
    placed = CallRanges()
    moving = [n for n in numbers if moved_bytes(calls[n - 1], outbound)]
    inside = [
        n for n in numbers
        if outbound and calls[n - 1].returned_ns is None and calls[n - 1].op in OUTBOUND
    ]  # fmt: skip
    total = sum(moved_bytes(calls[n - 1], outbound) for n in moving)
    if born and facts.born_seen:
        at = 0
    elif facts.fin_off is not None and _pinned(numbers, inside, calls, outbound, facts):
        at = facts.fin_off - total
    else:
        reason = Reason.CAPTURE_LATE if born else Reason.PROBE_LATE
        for number in moving:
            count = moved_bytes(calls[number - 1], outbound)
            placed.unplaced.append(Unplaced(number, count, reason))
        return placed
    layout = _Layout(placed, calls, outbound, inline, facts, at)
    for group in _groups(moving, calls):
        if inside and _threatened(group, inside, calls):
            layout.give_up(group)
        elif len(group) == 1:
            layout.one(group[0])
        else:
            layout.several(group)
    placed.stop = layout.at
    return placed


def _pinned(
    numbers: Sequence[int],
    inside: list[int],
    calls: list[CallRecord],
    outbound: bool,
    facts: StreamFacts,
) -> bool:
    """Whether the FIN tells where the calls end: all are known, and none skipped a byte."""
    return not inside and not facts.urgent and _saw_the_end(numbers, calls, outbound)


def _saw_the_end(numbers: Sequence[int], calls: list[CallRecord], outbound: bool) -> bool:
    """Whether the calls themselves show that they reached the end of the stream."""
    for number in reversed(numbers):
        record = calls[number - 1]
        if outbound and (
            (record.op == "shutdown" and record.errno is None and "RD" not in record.args[:8])
            or record.op in ("close", "exit")
        ):
            return True
        at_end = record.op in INBOUND and record.result == 0 and record.requested_bytes != 0
        if not outbound and at_end and not record.flags & (MSG_PEEK | MSG_OOB):
            return True
    return False


def _groups(moving: list[int], calls: list[CallRecord]) -> list[list[int]]:
    """Calls that overlap in time, together; one thread's calls never overlap."""
    groups: list[list[int]] = []
    latest = -1
    for number in moving:
        record = calls[number - 1]
        if groups and record.entered_ns < latest and _several_threads([*groups[-1], number], calls):
            groups[-1].append(number)
        else:
            groups.append([number])
        returned = record.returned_ns
        latest = max(latest, returned if returned is not None else record.entered_ns)
    return groups


def _several_threads(numbers: list[int], calls: list[CallRecord]) -> bool:
    first = calls[numbers[0] - 1]
    return any((calls[n - 1].pid, calls[n - 1].tid) != (first.pid, first.tid) for n in numbers[1:])


def _threatened(group: list[int], inside: list[int], calls: list[CallRecord]) -> bool:
    """Whether a call that never returned may have put bytes before or among these."""
    end = max(calls[n - 1].returned_ns or calls[n - 1].entered_ns for n in group)
    return any(calls[n - 1].entered_ns < end for n in inside)


class _Layout:
    """The cursor of one side and direction."""

    def __init__(
        self,
        placed: CallRanges,
        calls: list[CallRecord],
        outbound: bool,
        inline: bool,
        facts: StreamFacts,
        at: int,
    ) -> None:
        self.placed, self.calls, self.outbound = placed, calls, outbound
        self.at = at
        self.lost = False  # the cursor is not known any more
        self.marks = () if outbound or inline else facts.urgent
        self._mark_times = [mark.time_ns for mark in self.marks]

    def one(self, number: int) -> None:
        record = self.calls[number - 1]
        count = moved_bytes(record, self.outbound)
        if self.lost:
            self._leave(number, count, None, None)
            return
        mark = self._mark(record)
        if record.flags & MSG_OOB and not self.outbound:
            if mark is None:  # it read an urgent byte that no frame announced
                unplaced = Unplaced(number, count, Reason.CONTRADICTION)
                self.placed.unplaced.append(unplaced)
            else:
                self._give(number, mark, mark + 1)
            return
        if mark == self.at:
            self.placed.holes.append(mark)
            self.at += 1
        self._give(number, self.at, self.at + count)
        self.at += count

    def several(self, group: list[int]) -> None:
        counts = [moved_bytes(self.calls[n - 1], self.outbound) for n in group]
        start, stop = self.at, self.at + sum(counts)
        if any(self._mark(self.calls[n - 1]) is not None for n in group):
            self.lost = True  # which of them skipped the urgent byte is not known
        known = not self.lost
        for number, count in zip(group, counts, strict=True):
            self._leave(number, count, start if known else None, stop if known else None)
        if known:
            self.placed.groups.append((start, stop))
            self.at = stop

    def give_up(self, group: list[int]) -> None:
        self.lost = True
        for number in group:
            self._leave(number, moved_bytes(self.calls[number - 1], self.outbound), None, None)

    def _leave(self, number: int, count: int, start: int | None, stop: int | None) -> None:
        self.placed.unplaced.append(Unplaced(number, count, Reason.SHARED, start, stop))

    def _give(self, number: int, start: int, stop: int) -> None:
        if stop <= 0:  # before the first byte that the capture knows
            self.placed.unplaced.append(Unplaced(number, stop - start, Reason.CAPTURE_LATE))
            return
        if start < 0:
            self.placed.unplaced.append(Unplaced(number, -start, Reason.CAPTURE_LATE))
            start = 0
        self.placed.ranges[number] = start, stop
        self.placed.owners.claim(start, stop, number)

    def _mark(self, record: CallRecord) -> int | None:
        """The urgent byte in force when this call returned."""
        if not self.marks:
            return None
        until = record.returned_ns if record.returned_ns is not None else record.entered_ns
        index = bisect_right(self._mark_times, until) - 1
        return self.marks[index].offset if index >= 0 else None
