"""UDP calls and datagrams put together: sends, then reads, then what has no partner."""

from __future__ import annotations

from collections.abc import Sequence

from netlab.correlate.addresses import Endpoint, is_wildcard
from netlab.correlate.datagram_reads import match_reads
from netlab.correlate.datagram_sends import DatagramIndex, DatagramJoin, match_sends
from netlab.correlate.datagrams import Datagram
from netlab.correlate.reasons import Reason, What
from netlab.correlate.sockets import Socket
from netlab.model.call import CallRecord
from netlab.model.tables import Unmatched


def join_datagrams(
    sockets: Sequence[Socket],
    datagrams: Sequence[Datagram],
    calls: list[CallRecord],
    *,
    ring_lost: bool = False,
) -> DatagramJoin:
    """Match every datagram call of `sockets` (Internet, SOCK_DGRAM).

    `ring_lost`: the capture counted frames that it missed.
    """
    join = DatagramJoin(calls, ring_lost)
    index = DatagramIndex(datagrams)
    for socket in sorted(sockets, key=lambda s: (s.peer is None, _wild(s))):
        match_sends(join, index, socket)
    match_reads(join, index, sockets)
    return join


def _wild(socket: Socket) -> bool:
    local = socket.local_endpoint
    return local is None or is_wildcard(local)


def leftover_datagrams(join: DatagramJoin, datagrams: Sequence[Datagram]) -> list[Unmatched]:
    """Ledger rows of the datagrams that no call sent, or none read."""
    rows: list[Unmatched] = []
    last_read: dict[int, int] = {}
    listeners: dict[Endpoint, list[int]] = {}
    by_port: dict[int, list[int]] = {}
    for socket, local in join.heard:
        reads = join.reads.get(id(socket), [])
        last = max((d.packets[0].frame for _, d in reads if d is not None), default=0)
        last_read[id(socket)] = last
        listeners.setdefault(local, []).append(id(socket))
        if is_wildcard(local):
            by_port.setdefault(local[1], []).append(id(socket))
    for d in datagrams:
        if not d.length:
            continue
        if not d.sent_by:
            reason = Reason.SHARED if d.sent_ambiguous else Reason.NO_CALL_WITNESS
            rows.append(_row(d, What.CARRIED_NOT_SENT, reason))
        if not d.read_by:
            here = listeners.get(d.dst, []) or by_port.get(d.dst[1], [])
            rows.append(_row(d, What.CARRIED_NOT_READ, _why_unread(d, here, last_read)))
    return rows


def _why_unread(d: Datagram, here: list[int], last_read: dict[int, int]) -> Reason:
    if d.read_unsure is not None:
        return d.read_unsure
    if not d.whole:
        return Reason.INCOMPLETE
    if d.refused:
        return Reason.REFUSED
    if not here:
        return Reason.NO_CALL_WITNESS
    if any(last_read[socket] > d.packets[0].frame for socket in here):
        return Reason.DATAGRAM_DROPPED
    return Reason.STILL_QUEUED_DATAGRAM


def _row(d: Datagram, what: What, reason: Reason) -> Unmatched:
    return Unmatched(d.flow.connection, d.direction, d.start, d.stop, d.length, what, reason, None)
