"""One call record -> the stream bytes that it moved, and until when it could."""

from __future__ import annotations

from netlab.model.call import MSG_ERRQUEUE, MSG_PEEK, CallRecord, is_inbound, is_outbound


def moved_bytes(record: CallRecord, outbound: bool) -> int:
    """Stream bytes that a call of this direction moved."""
    if not record.result or not (is_outbound(record) if outbound else is_inbound(record)):
        return 0
    if record.result < 0 or record.flags & MSG_ERRQUEUE:
        return 0
    if not outbound and record.flags & MSG_PEEK:
        return 0
    return sum(record.message_bytes) if record.message_bytes else record.result


def end_ns(group: list[int], calls: list[CallRecord]) -> int:
    """When the last call of a group returned."""
    return max(returned_ns(calls[n - 1]) for n in group)


def returned_ns(record: CallRecord) -> int:
    """When a call returned; one that never did counts for its entry."""
    return record.returned_ns if record.returned_ns is not None else record.entered_ns
