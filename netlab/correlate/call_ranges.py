"""Calls on a stream socket -> the stream range each one wrote or consumed.

Per side and direction the calls that moved bytes are laid end to end in order of entry; `result`
counts, not what was asked (reference: the kernel's order is the order of the socket lock, which one
thread's calls take in the order they were entered). Rules:
- MSG_PEEK and MSG_ERRQUEUE move nothing, nor do EAGAIN, EPIPE, 0. MSG_TRUNC on TCP consumes
  (man 7 tcp). sendall is one call with its total.
- Urgent data (man 7 tcp, RFC 6093): the byte has an offset. Without SO_OOBINLINE, as it is set when
  reading comes to it, the reader's stream skips it, and recv(MSG_OOB) takes it. Linux keeps one
  urgent byte: when another is announced, the earlier becomes ordinary data, unless reading stands
  before it at that moment: then it is skipped (tcp_check_urg in tcp_input.c). A read never runs
  over the current one.
- Calls that overlap in time while both moved bytes have no known order: the group's range is known,
  the members' are not. That holds for one thread, too: a signal handler runs inside its calls.
- A call that never returned may have moved an unknown number of bytes (a send; a recv only with
  MSG_WAITALL, any other returns with the first bytes): all that could come after is not placed.
  A recv that took its bytes just before its process was killed did not return either: bytes that no
  call claims may be its own.
- When a process that holds the socket stopped recording, nothing that returned later is placed.
- Offset 0 is certain when the socket's birth was witnessed and the SYN captured. Otherwise the end
  of the stream may pin it: the FIN's offset minus all that the calls moved; or what was moved
  (`contents`), or what queued (`queue_places`). Else ranges stay unknown.
- Calls that reached the end of the stream must add up to the FIN's offset. When they do not, some
  were made unseen (by write(2), another program, ...), nobody knows where: none is placed.
Knows frames only through `StreamFacts`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import field
from itertools import accumulate

from netlab.correlate.call_layout import Layout, Unplaced, UrgentMark
from netlab.correlate.call_moves import end_ns, moved_bytes
from netlab.correlate.option_changes import Changes
from netlab.correlate.reasons import Reason
from netlab.model.call import (
    MSG_ERRQUEUE,
    MSG_OOB,
    MSG_PEEK,
    MSG_WAITALL,
    RESTARTING,
    CallRecord,
    is_closing,
    is_inbound,
    is_moving,
    is_outbound,
)
from netlab.model.ranges import RangeMap
from netlab.model.records import dataclass

# Errors after which a connection goes on; after any other a recv returns 0 without a FIN.
_PASSING = RESTARTING | {
    None, "EAGAIN", "EINTR", "EINPROGRESS", "EALREADY", "EISCONN", "EINVAL", "ENOTCONN",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """What the frames say that placing calls needs."""

    born_seen: bool = True  # the SYN was captured, or there are no frames to agree with
    fin_off: int | None = None  # length of the stream
    urgent: tuple[UrgentMark, ...] = ()
    unborn: Reason = Reason.CAPTURE_LATE  # why the SYN is not there, if it is not
    found_off: int | None = None  # of the first byte that the calls moved, found by other means


@dataclass(frozen=True, slots=True)
class Stop:
    """From this time on calls on the socket may be missing, or their order unknown."""

    time_ns: int
    reason: Reason


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
    known_until_ns: int = 1 << 62  # from then on calls may be missing
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
        self.left, self.known_until_ns = reason, -1
        self._returns = None


def place_calls(
    numbers: Sequence[int],
    calls: list[CallRecord],
    *,
    outbound: bool,
    born: bool,
    inline: bool,
    facts: StreamFacts,
    stopped: Stop | None = None,
    inlines: Changes = (),
) -> CallRanges:
    """Lay the calls `numbers` (in order of entry) out; `born`: the socket's birth was witnessed.

    `inline`: no byte is ever skipped; else `inlines` are the changes of SO_OOBINLINE.
    """
    placed = CallRanges()
    moving = [n for n in numbers if moved_bytes(calls[n - 1], outbound)]
    inside = [n for n in numbers if _may_move_unseen(calls[n - 1], outbound)]
    total = sum(moved_bytes(calls[n - 1], outbound) for n in moving)
    cut_off = [n for n in numbers if _may_have_read(calls[n - 1])] if not outbound else []
    sure = not inside and not cut_off and stopped is None  # all known, and in order
    saw_end = sure and _saw_the_end(numbers, calls, outbound)
    at: int | None = facts.found_off
    if born and facts.born_seen:
        at = 0
    elif facts.fin_off is not None and saw_end and not facts.urgent:
        at = facts.fin_off - total
    if at is None or (facts.found_off is not None and at != facts.found_off):
        placed.left = facts.unborn if born else Reason.PROBE_LATE
        if at is not None:
            placed.left = Reason.CONTRADICTION
        for number in moving:
            count = moved_bytes(calls[number - 1], outbound)
            placed.unplaced.append(Unplaced(number, count, placed.left))
        return placed
    marks = () if outbound or inline else facts.urgent
    layout = Layout(placed, calls, outbound, marks, inlines, facts.unborn, at)
    for group in _groups(moving, calls):
        if layout.lost is None and stopped is not None and end_ns(group, calls) > stopped.time_ns:
            layout.lost = stopped.reason
        elif layout.lost is None and any(
            calls[n - 1].entered_ns < end_ns(group, calls) for n in inside
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
    elif placed.left is None and (inside or cut_off):
        placed.left = Reason.STILL_INSIDE
    doubts = [calls[n - 1].entered_ns for n in inside + cut_off]
    placed.known_until_ns = min(doubts, default=placed.known_until_ns)
    if stopped is not None:
        placed.known_until_ns = min(placed.known_until_ns, stopped.time_ns)
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
        return is_outbound(record)
    return is_inbound(record) and bool(record.flags & MSG_WAITALL)


def _may_have_read(record: CallRecord) -> bool:
    """Whether a recv was cut off, perhaps between taking bytes and being noted."""
    reads = is_inbound(record) and not record.flags & (MSG_PEEK | MSG_ERRQUEUE)
    return reads and record.returned_ns is None


def _saw_the_end(numbers: Sequence[int], calls: list[CallRecord], outbound: bool) -> bool:
    """Whether the calls themselves show that they reached the end of the stream."""
    records = [calls[n - 1] for n in numbers]
    if outbound:
        return any(
            record.op == "exit"
            or is_closing(record)
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
            or (r.errno not in _PASSING and is_moving(r))
        ),
        default=None,
    )  # fmt: skip
    return any(
        is_inbound(record)
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
