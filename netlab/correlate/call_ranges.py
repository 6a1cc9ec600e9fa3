"""Calls on a stream socket -> the stream range each one wrote or consumed.

Per side and direction the calls that moved bytes are laid end to end in order of entry; `result`
counts, not what was asked (reference: the kernel's order is the order of the socket lock, which one
thread's calls take in the order they were entered). Rules:
- MSG_PEEK and MSG_ERRQUEUE move nothing, nor do EAGAIN, EPIPE, 0. MSG_TRUNC on TCP consumes
  (man 7 tcp). sendall is one call with its total.
- Urgent data (man 7 tcp, RFC 6093): the byte has an offset. Without SO_OOBINLINE the reader's
  stream skips it, and recv(MSG_OOB) takes it. Linux keeps one urgent byte: when another is
  announced, the earlier becomes ordinary data, unless reading stands before it at that moment: then
  it is skipped (tcp_check_urg in tcp_input.c). A read never runs over the current one.
- Calls that overlap in time while both moved bytes have no known order: the group's range is known,
  the members' are not. That holds for one thread, too: a signal handler runs inside its calls.
- A call that never returned may have moved an unknown number of bytes (a send; a recv only with
  MSG_WAITALL, any other returns with the first bytes): all that could come after is not placed.
- When a process that holds the socket stopped recording, nothing that returned later is placed.
- Offset 0 is certain when the socket's birth was witnessed and the SYN captured. Otherwise the end
  of the stream may pin it: the FIN's offset minus all that the calls moved. Else ranges stay
  unknown.
- Calls that reached the end of the stream must add up to the FIN's offset. When they do not, some
  were made unseen (by write(2), another program, ...), nobody knows where: none is placed.
Knows frames only through `StreamFacts`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from netlab.correlate.reasons import Reason
from netlab.model.call import (
    INBOUND,
    MSG_ERRQUEUE,
    MSG_OOB,
    MSG_PEEK,
    MSG_WAITALL,
    OUTBOUND,
    CallRecord,
)
from netlab.model.ranges import RangeMap

# Errors after which a connection goes on; after any other a recv returns 0 without a FIN.
_PASSING = frozenset(
    {None, "EAGAIN", "EINTR", "EINPROGRESS", "EALREADY", "EISCONN", "EINVAL", "ENOTCONN"}
)


@dataclass(frozen=True, slots=True)
class UrgentMark:
    """An urgent byte, and when the receiver's end had been told of it."""

    offset: int
    time_ns: int
    arrived_ns: int | None = None  # when the byte itself had come; None: not known


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """What the frames say that placing calls needs."""

    born_seen: bool = True  # the SYN was captured, or there are no frames to agree with
    fin_off: int | None = None  # length of the stream
    urgent: tuple[UrgentMark, ...] = ()
    unborn: Reason = Reason.CAPTURE_LATE  # why the SYN is not there, if it is not


@dataclass(frozen=True, slots=True)
class Stop:
    """From this time on calls on the socket may be missing, or their order unknown."""

    time_ns: int
    reason: Reason


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
    left: Reason | None = None  # why bytes of the stream are claimed by none, where calls tell it
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

    def withdraw(self, since: int, reason: Reason) -> None:
        """Take back the places of call `since` and of all later ones: they are not known."""
        gone = sorted(number for number in self.ranges if number >= since)
        edge = min((self.ranges[number][0] for number in gone), default=self.stop)
        for number in gone:
            start, stop = self.ranges.pop(number)
            self.unplaced.append(Unplaced(number, stop - start, reason))
        self.unplaced = [
            Unplaced(item.call, item.bytes, reason)
            if item.call >= since and item.start is not None
            else item
            for item in self.unplaced
        ]
        self.groups = [group for group in self.groups if group[0] < edge]
        self.holes = [hole for hole in self.holes if hole < edge]
        self.owners = RangeMap()
        for number, (start, stop) in self.ranges.items():
            self.owners.claim(start, stop, number)
        self.stop = max((stop for _, stop in self.ranges.values()), default=0)
        self.left = reason
        self._returns = None


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
    stopped: Stop | None = None,
) -> CallRanges:
    """Lay the calls `numbers` (in order of entry) out; `born`: the socket's birth was witnessed."""
    placed = CallRanges()
    moving = [n for n in numbers if moved_bytes(calls[n - 1], outbound)]
    inside = [n for n in numbers if _may_move_unseen(calls[n - 1], outbound)]
    total = sum(moved_bytes(calls[n - 1], outbound) for n in moving)
    sure = not inside and stopped is None  # every call is known, and so is their order
    saw_end = sure and _saw_the_end(numbers, calls, outbound)
    if born and facts.born_seen:
        at = 0
    elif facts.fin_off is not None and saw_end and not facts.urgent:
        at = facts.fin_off - total
    else:
        placed.left = facts.unborn if born else Reason.PROBE_LATE
        for number in moving:
            count = moved_bytes(calls[number - 1], outbound)
            placed.unplaced.append(Unplaced(number, count, placed.left))
        return placed
    layout = _Layout(placed, calls, outbound, inline, facts, at)
    for group in _groups(moving, calls):
        if layout.lost is None and stopped is not None and _end(group, calls) > stopped.time_ns:
            layout.lost = stopped.reason
        elif layout.lost is None and any(
            calls[n - 1].entered_ns < _end(group, calls) for n in inside
        ):
            layout.lost = Reason.STILL_INSIDE
        if len(group) == 1:
            layout.one(group[0])
        else:
            layout.several(group)
    placed.stop = layout.at
    placed.left = layout.lost
    if placed.left is None and stopped is not None:
        placed.left = stopped.reason
    elif placed.left is None and inside:
        placed.left = Reason.STILL_INSIDE
    if facts.fin_off is not None:
        too_many = facts.born_seen and max(total, layout.at) > facts.fin_off
        too_few = saw_end and layout.lost is None and layout.end() < facts.fin_off
        if too_many or too_few:
            placed.withdraw(0, Reason.CONTRADICTION)
        elif saw_end and layout.lost is None and layout.end() > layout.at:
            placed.holes.append(layout.at)
    return placed


def _may_move_unseen(record: CallRecord, outbound: bool) -> bool:
    """Whether a call that never returned may have moved bytes nevertheless."""
    if record.returned_ns is not None:
        return False
    if outbound:
        return record.op in OUTBOUND
    return record.op in INBOUND and bool(record.flags & MSG_WAITALL)


def _saw_the_end(numbers: Sequence[int], calls: list[CallRecord], outbound: bool) -> bool:
    """Whether the calls themselves show that they reached the end of the stream."""
    records = [calls[n - 1] for n in numbers]
    if outbound:
        return any(
            record.op in ("close", "exit")
            or (
                record.op == "shutdown"
                and record.errno is None
                and ("SHUT_WR" in record.args or "SHUT_RDWR" in record.args)
            )
            for record in records
        )
    # A recv returns 0 without a FIN after the own shutdown of reading (even while one is inside
    # it), and once an error of the connection was reported.
    spoiled = min(
        (
            r.entered_ns for r in records
            if (r.op == "shutdown" and "SHUT_RD" in r.args)
            or (r.errno not in _PASSING and r.op in INBOUND | OUTBOUND)
        ),
        default=None,
    )  # fmt: skip
    return any(
        record.op in INBOUND
        and record.result == 0
        and record.requested_bytes != 0
        and not record.flags & (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE)
        and record.returned_ns is not None
        and (spoiled is None or record.returned_ns < spoiled)
        for record in records
    )


def _groups(moving: list[int], calls: list[CallRecord]) -> list[list[int]]:
    """Calls that overlap in time, together."""
    groups: list[list[int]] = []
    latest = -1
    for number in moving:
        record = calls[number - 1]
        if groups and record.entered_ns < latest:
            groups[-1].append(number)
        else:
            groups.append([number])
        returned = record.returned_ns
        latest = max(latest, returned if returned is not None else record.entered_ns)
    return groups


def _end(group: list[int], calls: list[CallRecord]) -> int:
    """When the last call of a group returned."""
    return max(_returned(calls[n - 1]) for n in group)


def _returned(record: CallRecord) -> int:
    return record.returned_ns if record.returned_ns is not None else record.entered_ns


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
        self.unborn = facts.unborn
        self.at = at
        self.lost: Reason | None = None  # why the cursor is not known any more
        self._marks = deque(() if outbound or inline else facts.urgent)
        self._mark: UrgentMark | None = None  # the urgent byte in force

    def one(self, number: int) -> None:
        record = self.calls[number - 1]
        count = moved_bytes(record, self.outbound)
        unsure = self._advance(record.entered_ns, _returned(record))
        if self.lost is not None:
            self._leave(number, count)
            return
        mark = self._mark.offset if self._mark is not None else None
        if record.flags & MSG_OOB and not self.outbound:
            if mark is None:  # it read an urgent byte that no frame announced
                self.lost = Reason.CONTRADICTION
            elif unsure:
                self.lost = Reason.URGENT_ORDER
            if mark is None or unsure:
                self._leave(number, count)
            else:
                self._give(number, mark, mark + 1)
            return
        if unsure:
            self.lost = Reason.URGENT_ORDER
            self._leave(number, count)
            return
        if mark == self.at:
            self._skip()
        elif mark is not None and self.at < mark < self.at + count:  # a read stops before it
            self.lost = Reason.CONTRADICTION
            self._leave(number, count)
            return
        self._give(number, self.at, self.at + count)
        self.at += count

    def several(self, group: list[int]) -> None:
        counts = [moved_bytes(self.calls[n - 1], self.outbound) for n in group]
        unsure = self._advance(self.calls[group[0] - 1].entered_ns, _end(group, self.calls))
        if self.lost is None and (unsure or (self._mark and self._mark.offset >= self.at)):
            self.lost = Reason.URGENT_ORDER  # which of them skipped the urgent byte is not known
        start, stop = self.at, self.at + sum(counts)
        known = self.lost is None
        for number, count in zip(group, counts, strict=True):
            if known:
                self.placed.unplaced.append(Unplaced(number, count, Reason.SHARED, start, stop))
            else:
                self._leave(number, count)
        if known:
            self.placed.groups.append((start, stop))
            self.at = stop

    def end(self) -> int:
        """Where reading stands when it has met the end: behind an urgent byte that stood last."""
        for mark in self._marks:
            self._announce(mark)
        return self.at + (self._mark is not None and self._mark.offset == self.at)

    def _advance(self, entered_ns: int, returned_ns: int) -> bool:
        """Take note of the marks until then; True when one came during the call and matters.

        The first that lies ahead is harmless: Linux learns of a mark before its byte can be read.
        """
        while self._marks and self._marks[0].time_ns < entered_ns:
            self._announce(self._marks.popleft())
        unsure = False
        while self._marks and self._marks[0].time_ns <= returned_ns:
            unsure = unsure or (self._mark is not None and self._mark.offset >= self.at)
            self._mark = self._marks.popleft()
        return unsure

    def _announce(self, mark: UrgentMark) -> None:
        """A new mark: the one before it is ordinary data, or skipped if reading stands there."""
        old = self._mark
        if old is not None and old.offset == self.at and self.lost is None:
            if old.arrived_ns is None:
                self.lost = Reason.URGENT_ORDER
            elif old.arrived_ns < mark.time_ns:
                self._skip()
        self._mark = mark

    def _skip(self) -> None:
        self.placed.holes.append(self.at)
        self.at += 1

    def _leave(self, number: int, count: int) -> None:
        reason = self.lost or Reason.SHARED
        self.placed.unplaced.append(Unplaced(number, count, reason))

    def _give(self, number: int, start: int, stop: int) -> None:
        if stop <= 0:  # before the first byte that the capture knows
            self.placed.unplaced.append(Unplaced(number, stop - start, self.unborn))
            return
        if start < 0:
            self.placed.unplaced.append(Unplaced(number, -start, self.unborn))
            start = 0
        self.placed.ranges[number] = start, stop
        self.placed.owners.claim(start, stop, number)
