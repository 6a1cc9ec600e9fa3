"""The frames of a handshake -> spans of the connect and the accept that they served.

connect (with Fast Open the send that opened the connection) at the client, accept at the server,
both get every copy of the SYN, the SYN-ACK and the ACK that answered each SYN-ACK: of those that
their side sent, all; of the others, all that came. Where both ends
sent a SYN (RFC 9293 figure 8), or one end to itself, the client sent a SYN-ACK, too. With
TCP_DEFER_ACCEPT the kernel ignores a bare ACK, so the first data from the client completes the
handshake too (man 7 tcp).
"""

from __future__ import annotations

from netlab.correlate.accept_queue import acks_at_server
from netlab.correlate.arrivals import arrival_ns, came, reached, sent
from netlab.correlate.flows import ACK, SYN
from netlab.correlate.segments import Track
from netlab.correlate.tcp_spans import TcpJoin
from netlab.model.tables import Direction, Packet, Role, Side, Span


def link_handshake(join: TcpJoin) -> list[Span]:
    """Spans of the connect, if the client's calls are known, and of the accept, if the server's."""
    spans: list[Span] = []
    client, server = join.ends.get(Side.CLIENT), join.ends.get(Side.SERVER)
    if client is not None:
        opening = opening_call(join)
        if opening is not None:
            _all_copies(spans, join, opening, Side.CLIENT)
    if server is not None and server.socket.accepted_by is not None:
        accept = server.socket.accepted_by
        _all_copies(spans, join, accept, Side.SERVER)
        listener = server.socket.listener
        if listener is not None and any(on for _, on in listener.defer_accept):
            data = first_data(join)
            if data is not None:
                spans.append(
                    Span(accept, data.frame, None, Direction.C2S, None, None, Role.HANDSHAKE_ACK)
                )
    return spans


def opening_call(join: TcpJoin) -> int | None:
    """The client's call that sent the SYN."""
    socket = join.ends[Side.CLIENT].socket
    syns = join.track.halves[Direction.C2S].syns
    if not syns or not socket.connects:
        return None
    first = socket.connects[0]
    return first if join.calls[first - 1].entered_ns <= syns[0].time_ns else None


def first_data(join: TcpJoin) -> Packet | None:
    """The first frame with data of the client that came to the server."""
    found = [
        row.packet for row in join.track.rows
        if row.direction is Direction.C2S and row.segment.payload_len_bytes and not row.probe
    ]  # fmt: skip
    return next(iter(came(found)), None)


def _all_copies(spans: list[Span], join: TcpJoin, call: int, side: Side) -> None:
    client, server = join.track.halves[Direction.C2S], join.track.halves[Direction.S2C]
    for packets, direction, role in (
        (client.syns, Direction.C2S, Role.SYN),
        (server.syns, Direction.S2C, Role.SYNACK),
        (_last_acks(join.track, side), Direction.C2S, Role.HANDSHAKE_ACK),
    ):
        own = direction is side.outbound
        for packet in sent(packets) if own else filter(reached, packets):
            if packet._flags & SYN:
                role = Role.SYNACK if packet._flags & ACK else Role.SYN
            spans.append(Span(call, packet.frame, None, direction, None, None, role))


def _last_acks(track: Track, side: Side) -> list[Packet]:
    """The ACK of each SYN-ACK; at the server, the frame that came first in place of the first.

    Where a wire let the client's first data overtake its ACK, the data completed the handshake.
    """
    acks = track.handshake_acks
    if side is Side.CLIENT or not any(packet._wired for packet in acks):
        return acks
    first = next((row.packet for row in acks_at_server(track)), None)
    arrived = came(acks)
    if first is None or (arrived and arrival_ns(arrived[0]) <= arrival_ns(first)):
        return arrived
    return [first, *arrived]
