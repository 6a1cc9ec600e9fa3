"""A tracked connection -> whether, since when and by which frame it stood in its accept queue.

The final ACK of the handshake puts it there, with two exceptions. With TCP_DEFER_ACCEPT (man 7 tcp)
Linux ignores a bare ACK until the SYN-ACK has been resent as often as the option says: the first
data, or a FIN, does it. And when the queue is full every ACK is ignored; the SYN-ACK is then resent
after a second, but a client that has reset the connection by then never was in the queue.
Read first: Linux, tcp_check_req in tcp_minisocks.c and tcp_v4_syn_recv_sock in tcp_ipv4.c.
"""

from __future__ import annotations

from collections.abc import Callable

from netlab.correlate.arrivals import arrival_ns, came, reached, sent
from netlab.correlate.flows import ACK, RST, SYN
from netlab.correlate.option_changes import option_between
from netlab.correlate.segments import Row, Track
from netlab.correlate.sockets import Socket
from netlab.model.call import ACCEPTING, CallRecord
from netlab.model.tables import Direction, Packet


def queued_ns(
    track: Track, listener: Socket | None, calls: list[CallRecord], *, ring_lost: bool = False
) -> int | None:
    """The earliest that the connection can have been in the queue; None: it never was.

    `ring_lost`: the frame that put it there may not have been captured.
    """
    syns = came(track.halves[Direction.C2S].syns)
    if _opened_fast(track) or (ring_lost and syns):
        return arrival_ns(syns[0])
    acks = acks_at_server(track)
    if not acks or not track.halves[Direction.S2C].syns:
        return None
    first = acks[0]
    if _deferred(listener, calls, first.packet):
        resent = [p.time_ns for p in sent(track.halves[Direction.S2C].syns)[1:]]
        first_filled = next((row for row in acks if _fills(row)), None)
        late = next((r for r in acks if resent and arrival_ns(r.packet) > resent[0]), None)
        found = [row for row in (first_filled, late) if row is not None]
        if not found:
            return None
        first = min(found, key=lambda row: arrival_ns(row.packet))
    at = arrival_ns(first.packet)
    reset_ns = [arrival_ns(p) for p in came(track.halves[Direction.C2S].resets)]
    reset_ns += [p.time_ns for p in sent(track.halves[Direction.S2C].resets)]
    return None if any(time_ns < at for time_ns in reset_ns) else at


def stayed_queued(
    track: Track, calls: list[CallRecord], stop_of: Callable[[Socket], object]
) -> bool:
    """Whether all calls on its listeners are known, and none of them took the connection.

    `stop_of`: why later calls on a socket cannot be trusted; None: they can.
    """
    if not track.listeners or track.twins:
        return False
    for listener in track.listeners:
        if queued_ns(track, listener, calls) is None or stop_of(listener) is not None:
            return False
        records = (calls[number - 1] for number in listener.calls)
        if any(r.op in ACCEPTING and r.returned_ns is None for r in records):
            return False
    return True


def queued_by(track: Track, listener: Socket | None, calls: list[CallRecord]) -> Packet | None:
    """The frame that put the connection into the queue, where it is known."""
    if _opened_fast(track):
        return came(track.halves[Direction.C2S].syns)[0]
    if queued_ns(track, listener, calls) is None:
        return None
    acks = acks_at_server(track)
    deferred = _deferred(listener, calls, acks[0].packet)
    if deferred is None:
        return None
    found = next((row for row in acks if _fills(row) or not deferred), None)
    if found is None:
        return None
    # A SYN-ACK that was resent later says that this frame, or one before it, was ignored, or that
    # the two passed each other.
    since_ns = arrival_ns(acks[0].packet)
    if any(packet.time_ns > since_ns for packet in sent(track.halves[Direction.S2C].syns)):
        return None
    return found.packet


def surely_queued(track: Track) -> bool:
    """Whether the server's end sent what only a connection sends: data, a FIN, an ACK of data."""
    return any(
        row.direction is Direction.S2C
        and not row.packet._flags & (SYN | RST)
        and (row.segment.seg_len > 0 or (row.segment.ack or 0) > 1)
        for row in track.rows
    )


def _opened_fast(track: Track) -> bool:
    """The SYN brought data that the SYN-ACK acknowledges: accept may return at once (RFC 7413)."""
    syns = came(track.halves[Direction.C2S].syns)
    return bool(syns and syns[0].payload_len_bytes) and any(
        row.direction is Direction.S2C and row.packet._flags & SYN and (row.segment.ack or 0) > 1
        for row in track.rows
    )


def acks_at_server(track: Track) -> list[Row]:
    """The client's frames that arrived and could complete the handshake, in order of arrival."""
    found = []
    for row in track.rows:
        if row.direction is not Direction.C2S or not reached(row.packet):
            continue
        if row.packet._flags & (SYN | RST | ACK) != ACK:
            continue
        found.append(row)
        if _fills(row) and row.packet.arrived_ns is None:  # no later one arrived earlier
            break
    return sorted(found, key=lambda row: arrival_ns(row.packet))


def _fills(row: Row) -> bool:
    return row.segment.seg_len > 0 and not row.probe


def _deferred(listener: Socket | None, calls: list[CallRecord], ack: Packet) -> int | None:
    """Whether TCP_DEFER_ACCEPT was on when this ACK came."""
    if listener is None:
        return 0
    at = arrival_ns(ack)
    return option_between(listener.defer_accept, calls, at, at)
