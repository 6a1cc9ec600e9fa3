"""One call record -> the stream bytes that it moved, and until when it could.

A witness that knows only a bound of a call's end (strace: what it prints next, it prints later)
gives both. Whatever is concluded from the end of a call here is concluded from the bound: that a
frame came in time for it, that another call began after it. What has to have happened *inside* of a
call asks `CallRecord.returned_ns` of the record as it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from operator import attrgetter

from netlab.model.call import MSG_ERRQUEUE, MSG_PEEK, CallRecord, is_inbound, is_outbound


def moved_bytes(record: CallRecord, outbound: bool) -> int:
    """Stream bytes that a call of this direction moved."""
    if not record.result or record.result < 0:
        return 0
    if not (is_outbound(record) if outbound else is_inbound(record)):
        return 0
    if record.flags & MSG_ERRQUEUE:
        return 0
    if not outbound and record.flags & MSG_PEEK:
        return 0
    return sum(record.message_bytes) if record.message_bytes else record.result


def at_their_latest(records: Iterable[CallRecord]) -> list[CallRecord]:
    """The records with `returned_ns` as late as it can have been."""
    return [
        record
        if record.returned_by_ns in (None, record.returned_ns) or record.returned_ns is None
        else _late(record)
        for record in records
    ]


_FIELDS = [field.name for field in fields(CallRecord)]
_values = attrgetter(*_FIELDS)
_RETURNED = _FIELDS.index("returned_ns")


def _late(record: CallRecord) -> CallRecord:
    values = list(_values(record))  # a third of the time that dataclasses.replace takes
    values[_RETURNED] = record.returned_by_ns
    return CallRecord(*values)


def end_ns(group: list[int], calls: list[CallRecord]) -> int:
    """When the last call of a group returned."""
    return max(returned_ns(calls[n - 1]) for n in group)


def returned_ns(record: CallRecord) -> int:
    """When a call returned; one that never did counts for its entry."""
    return record.returned_ns if record.returned_ns is not None else record.entered_ns


def bound_ns(record: CallRecord) -> int | None:
    """The latest that a call can have returned; None: it did not, or nobody knows.

    strace's own `returned_ns` is earlier than the return; the last line of a log has no other.
    """
    if record.returned_by_ns is None and record.witness != "strace":
        return record.returned_ns
    return record.returned_by_ns
