"""FIN and RST frames, ICMP errors -> spans of the calls that caused them and the calls they ended.

FIN: caused by the first successful shutdown(WR), else by the close that it left inside of, else by
the last close of the last holder (the end of a process closes what it holds) if something explains
that the FIN left later: bytes unacknowledged or no room in the window when the close returned, and
the FIN left when that ended. Without it there is no span: a holder may have been unknown. The end
of a process never returns; it closes between its entry and the time when it was known to be over
(returned_by_ns). A recv that returns 0 was ended by the peer's FIN.

RST: Linux sets ACK in a reset that a call sends (tcp_send_active_reset) and in one that answers a
SYN; one that answers a frame with ACK has none, and that frame's ACK number as its own (RFC 9293
3.10.7.1). So it was caused by the sender's close when it has ACK and left inside that close (unread
data, SO_LINGER 0; man 7 socket) or inside the end of the last process that held it and left data
unread or set SO_LINGER, by the listener's close if no accept returned the connection, by
the connect that it refuses, or by the data of the peer's send that it answers. It ended the peer's
calls that failed with ECONNRESET and the like. A keep-alive timer's reset has no call.
Read first: RFC 9293 3.6 and 3.10.7, RFC 2525 2.17, Linux tcp_send_fin.
"""

from __future__ import annotations

from netlab.correlate.arrivals import arrival_ns, came, reached, sent
from netlab.correlate.flows import ACK, FIN, SYN
from netlab.correlate.handshake import opening_call
from netlab.correlate.segments import Row, Track
from netlab.correlate.sockets import Socket
from netlab.correlate.streams import fin_arrival
from netlab.correlate.tcp_spans import End, TcpJoin
from netlab.model.call import MSG_OOB, CallRecord, is_inbound, is_moving
from netlab.model.seqnum import seq_add
from netlab.model.tables import Packet, Role, Side, Span

RESET_ERRORS = frozenset({"ECONNRESET", "ECONNREFUSED", "ECONNABORTED", "EPIPE"})
ICMP_ERRORS = frozenset({
    "ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "EHOSTDOWN", "ENOPROTOOPT", "EPROTO",
    "EMSGSIZE", "EOPNOTSUPP", "EACCES", "ENONET",
})  # fmt: skip
# The stack sends a FIN in the same breath as it takes in the ACK that frees it; a loaded machine
# may be interrupted between the two.
_PROMPT_NS = 5_000_000
_LEAST_INTERVAL_NS = 900_000_000  # TCP_KEEPINTVL is 1 s at the least (man 7 tcp), less a tick


def link_closing(join: TcpJoin) -> list[Span]:
    """The fin, rst and icmp spans of a connection."""
    spans: list[Span] = []
    for side in join.ends:
        _fins_sent(spans, join, side)
        _end_of_stream(spans, join, side)
        _resets_suffered(spans, join, side)
        _icmp(spans, join, side)
    for side in Side:
        _resets_sent(spans, join, side)
    return sorted(set(spans), key=lambda span: (span.call, span.frame or 0))


def _fins_sent(spans: list[Span], join: TcpJoin, side: Side) -> None:
    fins = sent(join.track.halves[side.outbound].fins)
    if not fins:
        return
    call = fin_cause(join, side, fins[0])
    if call is not None:
        for packet in fins:
            spans.append(Span(call, packet.frame, None, side.outbound, None, None, Role.FIN))


def fin_cause(join: TcpJoin, side: Side, fin: Packet) -> int | None:
    """The call that ended this side's stream."""
    socket = join.ends[side].socket
    for number in socket.shutdowns[:1]:
        if join.calls[number - 1].entered_ns <= fin.time_ns:
            return number
    inside = _enclosing(socket.closes, join.calls, fin)
    if len(inside) == 1:
        return inside[0]
    last = socket.last_close
    if last is None or last in inside:
        return last
    record = join.calls[last - 1]
    if record.entered_ns > fin.time_ns:
        return None
    if record.op != "exit":
        closed_ns = record.returned_ns
        return last if closed_ns is None or _held_back(join, side, closed_ns, fin) else None
    if _detached(socket, join.calls):  # whoever has the descriptor may have closed it before
        return None
    gone_ns = record.returned_by_ns
    if gone_ns is None or fin.time_ns <= gone_ns or _held_back(join, side, gone_ns, fin):
        return last
    return None


def _detached(socket: Socket, calls: list[CallRecord]) -> bool:
    return any(calls[n - 1].op == "detach" for n in socket.calls)


def _enclosing(numbers: list[int], calls: list[CallRecord], packet: Packet) -> list[int]:
    """The calls that the frame left inside of; an end of process, which never returns, is none."""
    found = []
    for number in numbers:
        returned = calls[number - 1].returned_ns
        if returned is not None and calls[number - 1].entered_ns <= packet.time_ns <= returned:
            found.append(number)
    return found


def _held_back(join: TcpJoin, side: Side, closed_ns: int, fin: Packet) -> bool:
    """Whether the stack had to keep the FIN from the close's return until it left.

    A FIN waits only for bytes before it or for room in the window (Nagle does not hold it), and
    leaves with the ACK that makes way.
    """
    length = join.track.halves[side.outbound].fin_off
    if length is None or join.ends[side].outbound.stop != length:
        return False  # others than the known calls wrote, and so held the socket
    if join.track.flow.to_itself:  # its own frames tell nothing of what it heard
        return False
    free_ns = None
    acked, edge = 0, None
    heard = [
        r for r in join.track.rows
        if r.direction is side.inbound and reached(r.packet) and r.segment.ack
    ]  # fmt: skip
    for row in sorted(heard, key=lambda r: arrival_ns(r.packet)):
        acked = max(acked, (row.segment.ack or 0) - 1)
        if row.segment.seg_wnd_bytes is not None:
            edge = (row.segment.ack or 0) - 1 + row.segment.seg_wnd_bytes
        if acked >= length and (edge is None or edge > length):
            free_ns = arrival_ns(row.packet)
            break
    if free_ns is None or free_ns >= fin.time_ns:
        return True  # it was not free to leave before it did
    return free_ns > closed_ns and fin.time_ns - free_ns <= _PROMPT_NS


def _end_of_stream(spans: list[Span], join: TcpJoin, side: Side) -> None:
    """A recv that returned 0 was ended by the peer's FIN."""
    fin = fin_arrival(join.streams[side.inbound])
    for number in join.ends[side].socket.calls:
        record = join.calls[number - 1]
        if not is_inbound(record) or record.result != 0 or record.errno is not None:
            continue
        if record.requested_bytes == 0 or record.flags & MSG_OOB or record.returned_ns is None:
            continue
        if fin is not None and arrival_ns(fin) <= record.returned_ns:
            spans.append(Span(number, fin.frame, None, side.inbound, None, None, Role.FIN))


def _resets_suffered(spans: list[Span], join: TcpJoin, side: Side) -> None:
    resets = came(join.track.halves[side.inbound].resets)
    if not resets:
        return
    socket = join.ends[side].socket
    own_end = socket.shutdowns[0] if socket.shutdowns else None
    for number in socket.calls:
        record = join.calls[number - 1]
        if record.errno not in RESET_ERRORS or record.returned_ns is None:
            continue
        if record.errno == "EPIPE" and own_end is not None and own_end < number:
            continue  # it had shut its own writing side
        before = [p for p in resets if arrival_ns(p) <= record.returned_ns]
        if before:  # the first is the one that ended the connection
            spans.append(Span(number, before[0].frame, None, side.inbound, None, None, Role.RST))


def _resets_sent(spans: list[Span], join: TcpJoin, side: Side) -> None:
    for packet in sent(join.track.halves[side.outbound].resets):
        call = _reset_cause(join, side, packet)
        if call is not None:
            spans.append(Span(call, packet.frame, None, side.outbound, None, None, Role.RST))


def _reset_cause(join: TcpJoin, side: Side, packet: Packet) -> int | None:
    if packet._flags & ACK:
        end = join.ends.get(side)
        sockets = [end.socket] if end is not None else []
        if end is None and side is Side.SERVER:
            sockets = join.track.listeners
        closes = sorted({number for socket in sockets for number in socket.closes})
        inside = _enclosing(closes, join.calls, packet)
        if not inside and (end is None or _aborts(join, end, packet)):
            inside = _ending(sockets, join.calls, packet)
        if inside:
            return inside[0] if len(inside) == 1 else None
    peer = Side.SERVER if side is Side.CLIENT else Side.CLIENT
    if peer not in join.ends:
        return None
    waiting = _unanswered(join.track, side, packet)
    if not waiting or not _answers(packet, waiting[-1].packet):
        return None
    if waiting[-1].packet._flags & SYN:
        return opening_call(join) if peer is Side.CLIENT else None
    if not _has_data(waiting[-1]):
        return None
    owners = join.ends[peer].outbound.owners
    causes: set[int | None] = set()
    for row in filter(_has_data, waiting):  # any of them may be the one that is answered
        last = owners.overlaps(row.segment.stop - 1, row.segment.stop)
        causes.add(last[0][2] if last else None)
    return causes.pop() if len(causes) == 1 else None


def _ending(sockets: list[Socket], calls: list[CallRecord], packet: Packet) -> list[int]:
    """The ends of processes, last holders of these sockets, that the frame left in."""
    found = set()
    for socket in sockets:
        last = socket.last_close
        if last is None or calls[last - 1].op != "exit" or _detached(socket, calls):
            continue
        gone_ns = calls[last - 1].returned_by_ns
        until_ns = packet.time_ns if gone_ns is None else gone_ns
        if calls[last - 1].entered_ns <= packet.time_ns <= until_ns:
            found.add(last)
    return sorted(found)


def _aborts(join: TcpJoin, end: End, reset: Packet) -> bool:
    """Whether closing this socket had to reset it: unread bytes, or SO_LINGER; and no timer did."""
    options = [
        join.calls[n - 1].args for n in end.socket.calls if join.calls[n - 1].op == "setsockopt"
    ]
    if _may_be_timed_out(join, end, reset):
        return False
    if any("SO_LINGER" in args for args in options):
        return True
    side = end.socket.side
    if side is None or end.inbound.unplaced:
        return False
    read = end.inbound.stop
    arrived = {
        row.segment.frame for row in join.track.rows
        if row.direction is side.inbound
        and reached(row.packet)
        and arrival_ns(row.packet) <= reset.time_ns
    }  # fmt: skip
    unread = join.streams[side.inbound].accepted.overlaps(read, join.streams[side.inbound].end)
    return any(frame in arrived for _, _, frame in unread)


def _may_be_timed_out(join: TcpJoin, end: End, reset: Packet) -> bool:
    """Whether the keep-alive timer may have sent it: no option alone does that, nor does any other
    timer send a RST (tcp_keepalive_timer, tcp_write_err).

    It gives a peer up one interval after a probe at the least, with TCP_USER_TIMEOUT too.
    """
    side = end.socket.side
    if side is None:
        return False
    probe = next(
        (row for row in reversed(join.track.rows)
         if row.direction is side.outbound and row.segment.keep_alive
         and row.packet.time_ns <= reset.time_ns - _LEAST_INTERVAL_NS), None,
    )  # fmt: skip
    return probe is not None and not any(
        row.direction is side.inbound and reached(row.packet)
        and probe.packet.time_ns < arrival_ns(row.packet) <= reset.time_ns
        for row in join.track.rows
    )  # fmt: skip


def _has_data(row: Row) -> bool:
    return row.segment.stop > row.segment.start and not row.probe


def _unanswered(track: Track, side: Side, reset: Packet) -> list[Row]:
    """What arrived at this side between the frame it had sent before the reset and the reset."""
    place = next(n for n, row in enumerate(track.rows) if row.packet is reset)
    before = [
        n for n in range(place)
        if track.rows[n].direction is side.outbound and not track.rows[n].packet._made
    ]  # fmt: skip
    since = before[-1] if before else -1
    since_ns = track.rows[since].packet.time_ns if before else 0
    found = []
    for number, row in enumerate(track.rows):
        if row.direction is not side.inbound or not reached(row.packet):
            continue
        arrived_ns = row.packet.arrived_ns
        if since < number < place if arrived_ns is None else since_ns < arrived_ns <= reset.time_ns:
            found.append(row)
    return sorted(found, key=lambda row: arrival_ns(row.packet))


def _answers(reset: Packet, frame: Packet) -> bool:
    """Whether the reset has the numbers of an answer to this frame (RFC 9293 3.10.7.1)."""
    if frame._flags & ACK:
        return not reset._flags & ACK and reset.seg_seq == frame.seg_ack
    length = (frame.payload_len_bytes or 0) + bool(frame._flags & SYN) + bool(frame._flags & FIN)
    end = seq_add(frame.seg_seq or 0, length)
    return bool(reset._flags & ACK) and reset.seg_ack == end


def _icmp(spans: list[Span], join: TcpJoin, side: Side) -> None:
    """The latest ICMP error that quotes this side's frames ended the call that failed with it."""
    arrived = sorted(
        (arrival_ns(packet), packet.frame)
        for packet, forward in join.track.flow.errors
        if join.track.flow.direction(forward) is side.outbound and reached(packet)
    )
    if not arrived:
        return
    reset_ns = [arrival_ns(p) for p in came(join.track.halves[side.inbound].resets)]
    since_ns = -1
    for number in join.ends[side].socket.calls:
        record = join.calls[number - 1]
        if record.op != "connect" and not is_moving(record):
            continue
        if record.errno not in ICMP_ERRORS or record.returned_ns is None:
            continue
        until_ns = record.returned_ns
        errors = [frame for at, frame in arrived if since_ns < at <= until_ns]
        refused = record.errno in RESET_ERRORS and any(since_ns < t <= until_ns for t in reset_ns)
        if errors and not refused:  # a reset says the same: which of them it was is not known
            spans.append(Span(number, errors[-1], None, side.inbound, None, None, Role.ICMP))
        since_ns = until_ns
