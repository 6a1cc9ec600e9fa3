"""ICMP errors that quote a datagram -> spans of the send it refused and the call it failed.

The quoted datagram is known by its IP identification; where that is 0 or missing (IPv6), it is the
latest one sent before the error, if only one fits the quoted length. A connected UDP socket reports
the error in its next call (man 7 udp), an unconnected one not at all.
"""

from __future__ import annotations

from collections.abc import Sequence

from netlab.correlate.closing import ICMP_ERRORS
from netlab.correlate.datagram_join import DatagramJoin
from netlab.correlate.datagrams import Datagram
from netlab.correlate.flows import Flow
from netlab.correlate.sockets import Socket
from netlab.correlate.streams import arrival_ns
from netlab.model.tables import Direction, Packet, Role, Span


def link_datagram_errors(
    join: DatagramJoin, flows: Sequence[Flow], datagrams: Sequence[Datagram]
) -> list[Span]:
    """The icmp spans of all UDP conversations; marks the datagrams that a port refused."""
    spans: list[Span] = []
    by_flow: dict[int, list[Datagram]] = {}
    for d in datagrams:
        if d.flow.errors:
            by_flow.setdefault(d.flow.connection, []).append(d)
    for flow in flows:
        if flow.protocol != "udp":
            continue
        told: set[int] = set()
        for packet, forward in flow.errors:
            direction = flow.direction(forward)
            quoted = _quoted(by_flow.get(flow.connection, []), packet, direction)
            back = direction.reverse
            if quoted is not None:
                quoted.refused |= packet._port_unreachable
                for number in quoted.sent_by:
                    spans.append(Span(number, packet.frame, None, back, None, None, Role.ICMP))
            call = _failed(join, flow, packet, direction, told)
            if call is not None:
                told.add(call)
                spans.append(Span(call, packet.frame, None, back, None, None, Role.ICMP))
    return spans


def _quoted(datagrams: list[Datagram], packet: Packet, direction: Direction) -> Datagram | None:
    quoted = packet._quoted
    fits = [d for d in datagrams if d.direction is direction and d.time_ns <= packet.time_ns]
    if quoted is None or not fits:
        return None
    if quoted.ip_id:
        same = [d for d in fits if d.packets[0].ip_id == quoted.ip_id]
        return same[-1] if same else None
    if quoted.payload_len_bytes is not None:
        fits = [d for d in fits if d.length == quoted.payload_len_bytes]
    return fits[0] if len(fits) == 1 else None


def _failed(
    join: DatagramJoin, flow: Flow, packet: Packet, direction: Direction, told: set[int]
) -> int | None:
    """The next call of the connected sender that failed with such an error."""
    sender, receiver = (
        (flow.client, flow.server) if direction is Direction.C2S else (flow.server, flow.client)
    )
    for socket, local in join.spoke:
        if local[1] != sender[1] or not _is_connected(socket, receiver):
            continue
        for number in socket.calls:
            record = join.calls[number - 1]
            told_after = (record.returned_ns or 0) >= arrival_ns(packet)
            if record.errno in ICMP_ERRORS and number not in told and told_after:
                return number
    return None


def _is_connected(socket: Socket, peer: tuple[str, int]) -> bool:
    return bool(socket.connects) and socket.peer_endpoint == peer
