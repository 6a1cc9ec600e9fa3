"""Sockets that were open when a process was attached to -> records of calls, `attach`.

Such a record tells that the process holds the socket, and what was queued on it at some time within
the record: that may place the calls that follow (`correlate.queue_places`).
"""

from __future__ import annotations

from collections.abc import Sequence

from netlab.lab.tracing.tracees import HeldSocket
from netlab.model.call import CallRecord


def attach_records(
    host: str, actor: str, held: Sequence[HeldSocket], since_ns: int, until_ns: int
) -> list[CallRecord]:
    """What was open when it was attached to, a record for each descriptor."""
    return [
        CallRecord(
            witness="strace",
            host=host,
            actor=actor,
            pid=one.pid,
            tid=one.pid,
            order=0,
            op="attach",
            fd=one.fd,
            args="",
            entered_ns=since_ns,
            returned_ns=until_ns,
            result=0,
            inode=one.inode,
            family=one.family,
            kind=one.kind,
            local=one.local,
            peer=one.peer,
            inq_after_bytes=one.inq_bytes,
            outq_after_bytes=one.outq_bytes,
        )
        for one in held
    ]
