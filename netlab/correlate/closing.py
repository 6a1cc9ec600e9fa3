"""FIN and RST frames, ICMP errors -> spans of the calls that caused them and the calls they ended.

FIN: caused by the first successful shutdown(WR), else by the last close of the last holder (the end
of a process closes what it holds). Where holders are not all known, a close that the FIN left
inside of is evidence enough; without it there is no span. A recv that returns 0 was ended by the
peer's FIN. RST: caused by the sender's close when it left inside that close (unread data, SO_LINGER
0; man 7 socket), by the connect that it refuses, else by the data of the peer's send that arrived
at a socket already closed. It ended the peer's calls that failed with ECONNRESET and the like.
Read first: RFC 9293 3.6 and 3.10.7, RFC 2525 2.17.
"""

from __future__ import annotations

from netlab.correlate.flows import SYN
from netlab.correlate.handshake import opening_call
from netlab.correlate.streams import arrival_ns, fin_arrival
from netlab.correlate.tcp_spans import End, TcpJoin
from netlab.model.call import INBOUND, MSG_OOB, CallRecord
from netlab.model.tables import Direction, Packet, Role, Side, Span

RESET_ERRORS = frozenset({"ECONNRESET", "ECONNREFUSED", "ECONNABORTED", "EPIPE"})
ICMP_ERRORS = frozenset({
    "ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "EHOSTDOWN", "ENOPROTOOPT", "EPROTO",
    "EMSGSIZE", "EOPNOTSUPP", "EACCES", "ENONET",
})  # fmt: skip


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
    fins = join.track.halves[side.outbound].fins
    if not fins:
        return
    call = fin_cause(join.ends[side], join.calls, fins[0])
    if call is not None:
        for packet in fins:
            spans.append(Span(call, packet.frame, None, side.outbound, None, None, Role.FIN))


def fin_cause(end: End, calls: list[CallRecord], fin: Packet) -> int | None:
    """The call that ended this side's stream."""
    socket = end.socket
    for number in [*socket.shutdowns[:1], *([socket.last_close] if socket.last_close else [])]:
        if calls[number - 1].entered_ns <= fin.time_ns:
            return number
    return _enclosing(socket.closes, calls, fin)


def _enclosing(numbers: list[int], calls: list[CallRecord], packet: Packet) -> int | None:
    """The one call that the frame left inside of; None if there is none or more than one."""
    found = [
        n for n in numbers
        if calls[n - 1].entered_ns <= packet.time_ns
        and (calls[n - 1].returned_ns or packet.time_ns) >= packet.time_ns
    ]  # fmt: skip
    return found[0] if len(found) == 1 else None


def _end_of_stream(spans: list[Span], join: TcpJoin, side: Side) -> None:
    """A recv that returned 0 was ended by the peer's FIN."""
    fin = fin_arrival(join.streams[side.inbound])
    for number in join.ends[side].socket.calls:
        record = join.calls[number - 1]
        if record.op not in INBOUND or record.result != 0 or record.errno is not None:
            continue
        if record.requested_bytes == 0 or record.flags & MSG_OOB or record.returned_ns is None:
            continue
        if fin is not None and arrival_ns(fin) <= record.returned_ns:
            spans.append(Span(number, fin.frame, None, side.inbound, None, None, Role.FIN))


def _resets_suffered(spans: list[Span], join: TcpJoin, side: Side) -> None:
    resets = join.track.halves[side.inbound].resets
    if not resets:
        return
    socket = join.ends[side].socket
    own_end = socket.shutdowns[0] if socket.shutdowns else None
    for number in [*socket.calls, *([socket.accepted_by] if socket.accepted_by else [])]:
        record = join.calls[number - 1]
        if record.errno not in RESET_ERRORS or record.returned_ns is None:
            continue
        if record.errno == "EPIPE" and own_end is not None and own_end < number:
            continue  # it had shut its own writing side
        before = [p for p in resets if arrival_ns(p) <= record.returned_ns]
        if before:  # the first is the one that ended the connection
            spans.append(Span(number, before[0].frame, None, side.inbound, None, None, Role.RST))


def _resets_sent(spans: list[Span], join: TcpJoin, side: Side) -> None:
    for packet in join.track.halves[side.outbound].resets:
        call = _reset_cause(join, side, packet)
        if call is not None:
            spans.append(Span(call, packet.frame, None, side.outbound, None, None, Role.RST))


def _reset_cause(join: TcpJoin, side: Side, packet: Packet) -> int | None:
    end = join.ends.get(side)
    if end is not None:
        # A process's end never returns: a RST after its FIN answers what the peer sent since.
        finished = any(p.time_ns < packet.time_ns for p in join.track.halves[side.outbound].fins)
        closes = [
            n for n in end.socket.closes if not (finished and join.calls[n - 1].returned_ns is None)
        ]
        inside = _enclosing(closes, join.calls, packet)
        if inside is not None:
            return inside
    peer = Side.SERVER if side is Side.CLIENT else Side.CLIENT
    if peer not in join.ends:
        return None
    # Otherwise it answers a frame of the peer: the last one before it.
    answered = None
    for row in join.track.rows:
        if row.packet is packet:
            break
        if row.direction is side.inbound:
            answered = row
    if answered is None:
        return None
    if answered.packet._flags & SYN:
        return opening_call(join) if peer is Side.CLIENT else None
    if answered.segment.stop > answered.segment.start and not answered.probe:
        owners = join.ends[peer].outbound.owners
        last = owners.overlaps(answered.segment.stop - 1, answered.segment.stop)
        return last[0][2] if last else None
    return None


def _icmp(spans: list[Span], join: TcpJoin, side: Side) -> None:
    """An ICMP error that quotes this side's frame ended the call that failed next."""
    for packet, quoted_forward in join.track.flow.errors:
        quoted = join.track.flow.direction(quoted_forward)
        if quoted is not side.outbound:
            continue
        for number in join.ends[side].socket.calls:
            record = join.calls[number - 1]
            if record.errno in ICMP_ERRORS and (record.returned_ns or 0) >= arrival_ns(packet):
                direction = Direction.S2C if quoted is Direction.C2S else Direction.C2S
                spans.append(Span(number, packet.frame, None, direction, None, None, Role.ICMP))
                break
