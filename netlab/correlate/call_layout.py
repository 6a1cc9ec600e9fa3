"""Lays calls end to end: the cursor of one side and direction, and how urgent bytes move it.

Read `call_ranges` first, which says by what rules; RFC 6093, Linux: tcp_check_urg and
tcp_recvmsg_locked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from netlab.correlate.call_moves import end_ns, moved_bytes, returned_ns
from netlab.correlate.option_changes import Changes, option_between
from netlab.correlate.reasons import Reason
from netlab.model.call import MSG_OOB, CallRecord
from netlab.model.records import dataclass

if TYPE_CHECKING:
    from netlab.correlate.call_ranges import CallRanges

_EVER_NS = 1 << 62  # later than any call


@dataclass(frozen=True, slots=True)
class UrgentMark:
    """An urgent byte, and when the receiver's end had been told of it."""

    offset: int
    time_ns: int
    arrived_ns: int | None = None  # when the byte itself had come; None: not known


@dataclass(frozen=True, slots=True)
class Unplaced:
    """A call whose bytes have no known place; start..stop is the group's range where known."""

    call: int
    bytes: int
    reason: Reason
    start: int | None = None
    stop: int | None = None


class Layout:
    """The cursor of one side and direction."""

    def __init__(
        self,
        placed: CallRanges,
        calls: list[CallRecord],
        outbound: bool,
        marks: Sequence[UrgentMark],
        inlines: Changes,
        unborn: Reason,
        at: int,
    ) -> None:
        self.placed, self.calls, self.outbound = placed, calls, outbound
        self.unborn = unborn
        self.at = at
        self.lost: Reason | None = None  # why the cursor is not known any more
        self._marks = deque(marks)
        self._mark: UrgentMark | None = None  # the urgent byte in force
        self._taken: set[int] = set()  # urgent bytes that MSG_OOB has fetched
        self._inlines = inlines

    def one(self, number: int) -> None:
        record = self.calls[number - 1]
        count = moved_bytes(record, self.outbound)
        unsure = self._advance(record.entered_ns, returned_ns(record))
        if self.lost is not None:
            self._leave(number, count)
            return
        mark = self._mark.offset if self._mark is not None else None
        inline = self._inline(record.entered_ns, returned_ns(record))
        if self._mark is not None and mark == self.at and inline:
            # A recv that found nothing else may have skipped it while the option was off.
            inline = self._inline(self._mark.time_ns, returned_ns(record))
        if record.flags & MSG_OOB and not self.outbound:
            if mark is None:  # it read an urgent byte that no frame announced
                self.lost = Reason.CONTRADICTION
            elif unsure:
                self.lost = Reason.URGENT_ORDER
            if mark is None or unsure:
                self._leave(number, count)
            else:
                self._taken.add(mark)
                self._give(number, mark, mark + 1)
            return
        if inline:
            unsure = False
        elif inline is None and mark is not None and self.at <= mark < self.at + count:
            unsure = True
        if unsure:
            self.lost = Reason.URGENT_ORDER
            self._leave(number, count)
            return
        if mark == self.at and not inline:
            self._skip()
        over = mark is not None and self.at < mark < self.at + count and not inline
        twice = any(self.at <= taken < self.at + count for taken in self._taken)
        if over or twice:  # a read stops before the mark; no range can say that a byte came twice
            self.lost = Reason.CONTRADICTION
            self._leave(number, count)
            return
        self._give(number, self.at, self.at + count)
        self.at += count

    def several(self, group: list[int]) -> None:
        counts = [moved_bytes(self.calls[n - 1], self.outbound) for n in group]
        since_ns, until_ns = self.calls[group[0] - 1].entered_ns, end_ns(group, self.calls)
        unsure = self._advance(since_ns, until_ns)
        ahead = self._mark is not None and self._mark.offset >= self.at
        if self.lost is None and (unsure or ahead) and not self._inline(since_ns, until_ns):
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
        last = self._mark
        if last is None or last.offset != self.at or self._inline(last.time_ns, _EVER_NS):
            return self.at
        return self.at + 1

    def _advance(self, since_ns: int, until_ns: int) -> bool:
        """Take note of the marks until then; True when one came during the call and matters.

        The first that lies ahead is harmless: Linux learns of a mark before its byte can be read.
        """
        while self._marks and self._marks[0].time_ns < since_ns:
            self._announce(self._marks.popleft())
        unsure = False
        while self._marks and self._marks[0].time_ns <= until_ns:
            unsure = unsure or (self._mark is not None and self._mark.offset >= self.at)
            self._mark = self._marks.popleft()
        return unsure

    def _announce(self, mark: UrgentMark) -> None:
        """A new mark: the one before it is ordinary data, or skipped if reading stands there."""
        old = self._mark
        if old is not None and old.offset == self.at and self.lost is None:
            inline = self._inline(old.time_ns, mark.time_ns)
            if inline is None or (old.arrived_ns is None and not inline):
                self.lost = Reason.URGENT_ORDER
            elif not inline and old.arrived_ns is not None and old.arrived_ns < mark.time_ns:
                self._skip()
        self._mark = mark

    def _inline(self, since_ns: int, until_ns: int) -> int | None:
        """What SO_OOBINLINE was from `since_ns` to `until_ns`; None: it may have changed then."""
        return option_between(self._inlines, self.calls, since_ns, until_ns)

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
