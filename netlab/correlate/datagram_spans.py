"""UDP calls and datagrams put together: sends, refusals, reads, then what has no partner."""

from __future__ import annotations

from collections.abc import Sequence

from netlab.correlate.datagram_errors import link_datagram_errors
from netlab.correlate.datagram_join import DatagramJoin
from netlab.correlate.datagram_reads import match_reads
from netlab.correlate.datagram_sends import DatagramIndex, match_sends
from netlab.correlate.datagrams import Datagram
from netlab.correlate.flows import Flow
from netlab.correlate.missing import Missing
from netlab.correlate.reasons import Reason, What
from netlab.correlate.sockets import Socket
from netlab.model.call import CallRecord
from netlab.model.tables import Unmatched


def join_datagrams(
    sockets: Sequence[Socket],
    flows: Sequence[Flow],
    datagrams: Sequence[Datagram],
    calls: list[CallRecord],
    *,
    missing: Missing | None = None,
) -> DatagramJoin:
    """Match every datagram call of `sockets` (Internet, SOCK_DGRAM).

    `flows` hold the ICMP errors. `missing`: why the capture lacks frames.
    """
    join = DatagramJoin(calls, missing)
    index = DatagramIndex(datagrams)
    match_sends(join, index, sockets)
    join.spans += link_datagram_errors(join, flows, datagrams)  # what was refused, nobody read
    if any(d.segment_bytes for d in datagrams):
        index = DatagramIndex([part for d in datagrams for part in d.cut()])
    match_reads(join, index, sockets)
    return join


def leftover_datagrams(join: DatagramJoin, datagrams: Sequence[Datagram]) -> list[Unmatched]:
    """Ledger rows of the datagrams that no call sent, or none read."""
    rows: list[Unmatched] = []
    last_read = {
        socket: max((_place(d) for _, d in reads if d is not None), default=(0, 0))
        for socket, reads in join.reads.items()
    }
    for d in datagrams:
        if not d.length:
            continue
        if not d.sent_by:
            rows.append(_row(d, What.CARRIED_NOT_SENT, d.sent_unsure or Reason.NO_CALL_WITNESS))
        for part in d.cut():
            if not part.read_by:
                rows.append(_row(part, What.CARRIED_NOT_READ, _why_unread(part, last_read)))
    return rows


def _place(d: Datagram) -> tuple[int, int]:
    return d.packets[0].frame, d.start


def _why_unread(d: Datagram, last_read: dict[int, tuple[int, int]]) -> Reason:
    if d.read_unsure is not None:
        return d.read_unsure
    if not d.whole:
        return Reason.INCOMPLETE
    if d.refused:
        return Reason.REFUSED
    if not d.takers:
        return Reason.NO_CALL_WITNESS
    sure = [socket for socket, surely in d.takers if surely]
    if not sure:
        return Reason.NOT_SURE_TO_ARRIVE
    if any(last_read[socket] > _place(d) for socket in sure):
        return Reason.DATAGRAM_DROPPED
    return Reason.STILL_QUEUED_DATAGRAM


def _row(d: Datagram, what: What, reason: Reason) -> Unmatched:
    return Unmatched(d.flow.connection, d.direction, d.start, d.stop, d.length, what, reason, None)
