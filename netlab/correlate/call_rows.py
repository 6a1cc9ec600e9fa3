"""A call record -> its row of the table, before anything is known of its connection."""

from __future__ import annotations

from netlab.model.call import WAITING, CallRecord, ready_text
from netlab.model.tables import Call


def call_row(number: int, r: CallRecord) -> Call:
    """The row of record `r` as call `number`."""
    args = r.args
    if r.ready and r.op in WAITING:
        args = ", ".join(filter(None, (args, ready_text(r.ready))))
    return Call(
        number, r.witness, r.host, r.actor, r.pid, r.tid, r.fd, None, None, r.op, args,
        r.entered_ns, r.returned_ns, r.returned_by_ns, r.requested_bytes, r.result, r.errno,
        None, None, None, r.inq_before_bytes, r.outq_before_bytes, r.inq_after_bytes,
        r.outq_after_bytes, r.code, None, r.message_bytes,
    )  # fmt: skip
