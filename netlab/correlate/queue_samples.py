"""Call records -> what was asked of a socket's queues, and between which times that was so.

A thread asks before a call enters and after it has returned; a witness asks when it attaches. Knows
no frames. Read first: man 7 tcp (SIOCINQ, SIOCOUTQ).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple

from netlab.model.call import CallRecord

_EVER_NS = 1 << 62
_Get = Callable[[CallRecord], int | None]


class Sample(NamedTuple):
    """Bytes in the queue at some time from `since_ns` to `until_ns`."""

    since_ns: int
    until_ns: int
    queued: int


def inq_samples(numbers: Sequence[int], calls: list[CallRecord]) -> Iterator[Sample]:
    """Of the receive queue (SIOCINQ)."""
    return _samples(numbers, calls, attrgetter("inq_before_bytes"), attrgetter("inq_after_bytes"))


def outq_samples(numbers: Sequence[int], calls: list[CallRecord]) -> Iterator[Sample]:
    """Of the send queue (SIOCOUTQ)."""
    return _samples(numbers, calls, attrgetter("outq_before_bytes"), attrgetter("outq_after_bytes"))


def _samples(
    numbers: Sequence[int], calls: list[CallRecord], before: _Get, after: _Get
) -> Iterator[Sample]:
    """What was asked before the entry of a call, and what after its return, by its thread."""
    latest: dict[tuple[int, int], tuple[int, int | None]] = {}  # (returned_ns, queued) by thread
    for number in numbers:
        record = calls[number - 1]
        thread = record.pid, record.tid
        before_ns = record.entered_ns - 1
        since_ns, queued = latest.get(thread, (-1, None))
        if queued is not None:
            yield Sample(since_ns, before_ns, queued)
        asked_before, asked_after = before(record), after(record)
        if record.op == "attach":  # some time within the record, by no thread of the program
            if asked_after is not None and record.returned_ns is not None:
                yield Sample(record.entered_ns, record.returned_ns, asked_after)
            continue
        if asked_before is not None:
            yield Sample(since_ns, before_ns, asked_before)
        if record.returned_ns is not None:
            since = record.entered_ns if record.op == "ioctl" else record.returned_ns
            latest[thread] = since, asked_after
    for since_ns, queued in latest.values():
        if queued is not None:
            yield Sample(since_ns, _EVER_NS, queued)
