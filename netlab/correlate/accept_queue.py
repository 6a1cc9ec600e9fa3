"""A tracked connection -> which of its client's frames may have put it into its accept queue.

The final ACK of the handshake does, with two exceptions. With TCP_DEFER_ACCEPT (man 7 tcp) Linux
ignores a bare ACK until the SYN-ACK has been resent as often as the option says: the first data,
or a FIN, does it. And when the queue is full every frame of the client is ignored, until one comes
that finds room. Linux 6.18 does not send the SYN-ACK again after an ACK that it ignored (seen for
85 s): that frame is data which the client sends, or sends again. A client that says nothing more,
or that resets the connection, never was in the queue. `admissions` adds what the queue itself
tells.
Read first: Linux, tcp_check_req in tcp_minisocks.c and tcp_v4_syn_recv_sock in tcp_ipv4.c.
"""

from __future__ import annotations

from collections.abc import Callable

from netlab.correlate.arrivals import arrival_ns, came, reached, seen_at_both_ends, sent
from netlab.correlate.flows import ACK, RST, SYN
from netlab.correlate.option_changes import option_between
from netlab.correlate.segments import Row, Track
from netlab.correlate.sockets import Socket
from netlab.model.call import ACCEPTING, CallRecord
from netlab.model.tables import Direction, Packet

_ANSWERED_NS = 200_000_000  # TCP_DELACK_MAX: no ACK of data is delayed for longer
_PASSED_NS = 2_000_000  # a timer that fires while a frame comes in, on a busy machine


def queued_ns(
    track: Track, listener: Socket | None, calls: list[CallRecord], *, ring_lost: bool = False
) -> int | None:
    """The earliest that the connection can have been in the queue; None: it never was.

    `ring_lost`: the frame that put it there may not have been captured.
    """
    syns = came(track.halves[Direction.C2S].syns)
    if ring_lost and syns:
        return arrival_ns(syns[0])
    knocks, _ = knocks_of(track, listener, calls)
    if not knocks:
        return None
    at = arrival_ns(knocks[0])
    reset_ns = [arrival_ns(p) for p in came(track.halves[Direction.C2S].resets)]
    reset_ns += [p.time_ns for p in sent(track.halves[Direction.S2C].resets)]
    return None if any(time_ns < at for time_ns in reset_ns) else at


def knocks_of(
    track: Track, listener: Socket | None, calls: list[CallRecord]
) -> tuple[list[Packet], list[Packet]]:
    """(the client's frames that may have put it into the queue, those that the listener ignored).

    In order of arrival, as far as the frames of this connection tell. Data was ignored where it had
    no ACK for so long that it came once more; whatever came before a resent SYN-ACK left was, too.
    """
    if _opened_fast(track):
        return came(track.halves[Direction.C2S].syns)[:1], []
    answers = sent(track.halves[Direction.S2C].syns)
    rows = acks_at_server(track) if answers else []
    if rows and deferral(listener, calls, rows[0].packet):
        resent = [p.time_ns for p in answers[1:]]
        first_filled = next((row for row in rows if _fills(row)), None)
        late = next((r for r in rows if resent and arrival_ns(r.packet) > resent[0]), None)
        able = [row for row in (first_filled, late) if row is not None]
        if not able:
            return [], []
        since_ns = min(arrival_ns(row.packet) for row in able)
        rows = [row for row in rows if arrival_ns(row.packet) >= since_ns]
    rows = [row for row in rows if not _unknown_to(track, row.packet)]
    until_ns = 0
    if rows and seen_at_both_ends(rows[0].packet):
        until_ns = max((p.time_ns - _PASSED_NS for p in answers[1:]), default=0)
        until_ns = max(until_ns, _unanswered_ns(track, rows))
    ignored = [row.packet for row in rows if arrival_ns(row.packet) <= until_ns]
    return [row.packet for row in rows[len(ignored) :]], ignored


def _unanswered_ns(track: Track, rows: list[Row]) -> int:
    """When the client's first bytes last came and had no answer; 0: they never were without one.

    They came again, and for longer than an ACK waits there had been no word of the server.
    """
    filled = [row for row in rows if _fills(row)]
    first = min((row.segment.start for row in filled), default=0)
    copies = [arrival_ns(row.packet) for row in filled if row.segment.start == first]
    said = [row.packet.time_ns for row in track.rows if _speaks(row)] if len(copies) > 1 else []
    for place in range(len(copies) - 2, -1, -1):
        since_ns = copies[place]
        said_ns = next((at for at in said if at >= since_ns), copies[-1])
        if min(said_ns, copies[place + 1]) - since_ns >= _ANSWERED_NS:
            return since_ns
    return 0


def _speaks(row: Row) -> bool:
    return row.direction is Direction.S2C and not row.packet._flags & (SYN | RST)


def _unknown_to(track: Track, packet: Packet) -> bool:
    """Whether the server answered as if it knew no such connection (RFC 9293 3.10.7.1).

    Once it has spoken as one, such an answer says that it is gone, not that it never was.
    """
    resets = track.halves[Direction.S2C].resets
    spoke_ns = surely_ns(track) if resets else None
    return any(
        not reset._flags & ACK
        and (spoke_ns is None or reset.time_ns < spoke_ns)
        and reset.seg_seq == packet.seg_ack
        and 0 <= reset.time_ns - arrival_ns(packet) <= _PASSED_NS
        for reset in resets
    )


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


def surely_queued(track: Track) -> bool:
    """Whether the server's end sent what only a connection sends: data, a FIN, an ACK of data."""
    return surely_ns(track) is not None


def surely_ns(track: Track) -> int | None:
    """When it first did."""
    return next((row.packet.time_ns for row in track.rows if _proves(row)), None)


def _proves(row: Row) -> bool:
    return _speaks(row) and (row.segment.seg_len > 0 or (row.segment.ack or 0) > 1)


def _opened_fast(track: Track) -> bool:
    """The SYN brought data that the SYN-ACK acknowledges: accept may return at once (RFC 7413)."""
    syns = came(track.halves[Direction.C2S].syns)
    return bool(syns and syns[0].payload_len_bytes) and any(
        row.direction is Direction.S2C and row.packet._flags & SYN and (row.segment.ack or 0) > 1
        for row in track.rows
    )


def acks_at_server(track: Track) -> list[Row]:
    """The client's frames that arrived and could complete the handshake, in order of arrival.

    What came after the server had spoken as only a connection does could not.
    """
    found: list[Row] = []
    for row in track.rows:
        if _proves(row):
            before = [r for r in found if arrival_ns(r.packet) <= row.packet.time_ns]
            if before:
                found = before
                break
        if row.direction is not Direction.C2S or not reached(row.packet):
            continue
        if row.packet._flags & (SYN | RST | ACK) == ACK:
            found.append(row)
    return sorted(found, key=lambda row: arrival_ns(row.packet))


def _fills(row: Row) -> bool:
    return row.segment.seg_len > 0 and not row.probe


def deferral(listener: Socket | None, calls: list[CallRecord], ack: Packet) -> int | None:
    """What TCP_DEFER_ACCEPT was when this ACK came; 0: off. None: it is not known."""
    if listener is None:
        return 0
    at = arrival_ns(ack)
    return option_between(listener.defer_accept, calls, at, at)
