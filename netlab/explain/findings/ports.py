"""Findings about ports: who closes first keeps its port in TIME-WAIT for 60 s.

A client runs out of ports so, and a server that starts anew is refused its own; Linux gives it to a
listener where SO_REUSEADDR was set on both, before bind (inet_csk_bind_conflict).
Read first: RFC 9293 3.6.1, TCP_TIMEWAIT_LEN in Linux (60 s, whatever the RFC's two MSL are).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from statistics import median_low

from netlab.correlate.arrivals import arrival_ns, came, sent
from netlab.explain.findings.finding import CITED, Finding, Severity
from netlab.explain.scene import Scene
from netlab.explain.wording import lasting, name_of
from netlab.model.tables import Call, Connection, Direction, Packet, Role, Side

_MANY = 23
_ADVICE = {
    Side.SERVER: "Set SO_REUSEADDR before bind, at each start: Linux gives a listener such a port"
                 " then.",
    Side.CLIENT: "Leave bind out before connect: the kernel picks a port that is free.",
}  # fmt: skip
_TIME_WAIT_NS = 60_000_000_000
_SHORT_NS = 1_000_000_000


def time_wait(scene: Scene) -> Iterator[Finding]:
    """Many short connections to one port that the client closed first."""
    found: dict[tuple[str, str, int | None], list[tuple[int, Packet]]] = defaultdict(list)
    for row in scene.tables.connections:
        fin = _closed_by_client(scene, row)
        if fin is not None:
            lived_ns = (row.last_ns or 0) - (row.first_ns or 0)
            found[row.client, row.server, row.server_port].append((lived_ns, fin))
    for (client, server, port), closed in found.items():
        if len(closed) < _MANY:
            continue
        yield Finding(
            "time_wait", None, Severity.LOW,
            f"{client} closed {len(closed):,} short connections to port {port} of {server} first"
            f" ({lasting(median_low(ns for ns, _ in closed))} long in the median): each keeps one"
            " of its ports in TIME-WAIT for 60 s.",
            "Use one connection for many requests, or let the server close first.",
            "RFC 9293 3.6.1", tuple(fin.frame for _, fin in closed[:CITED]),
        )  # fmt: skip


def _closed_by_client(scene: Scene, row: Connection) -> Packet | None:
    """The client's FIN of a short connection, where it went first and no RST spared the wait."""
    if row.protocol != "tcp" or row.handshake_ns is None:
        return None
    if (row.last_ns or 0) - (row.first_ns or 0) >= _SHORT_NS:
        return None
    path = scene.path(row.connection)
    if path is None or any(half.resets for half in path.track.halves.values()):
        return None
    mine = came(path.track.halves[Direction.C2S].fins)
    theirs = sent(path.track.halves[Direction.S2C].fins)
    if not mine or not theirs or theirs[0].time_ns <= mine[0].time_ns:
        return None
    return mine[0]


def bind_refused(scene: Scene) -> Iterator[Finding]:
    """A bind for which the port was in use, by nothing that was open: by connections that
    this end had closed first, in FIN-WAIT-2 until the other closes, and in TIME-WAIT then."""
    refused = [call for call in scene.calls if call.op == "bind" and call.errno == "EADDRINUSE"]
    for bind in refused:
        port = _port(scene.record(bind.call).address)
        if port is None or _is_open(scene, bind, port):
            continue
        found = [
            (row.connection, *ended)
            for row in scene.tables.connections if row.protocol == "tcp"
            for side in Side if (ended := _lingers(scene, row, side, bind, port))
        ]  # fmt: skip
        if not found:
            continue
        connection, side, fin, state = found[0]
        others = f" (and {len(found) - 1:,} more)" if len(found) > 1 else ""
        closers = [
            span.call for _, end, packet, _ in found
            for span in scene.closers.get((Role.FIN, packet.frame), ())
            if scene.call(span.call).side != end.inbound.sender
        ]  # fmt: skip
        frames = tuple(packet.frame for _, _, packet, _ in found[:CITED])
        yield Finding(
            "bind_refused", connection, Severity.HIGH,
            f"{name_of(bind)} was refused port {port} (EADDRINUSE): connection {connection}{others}"
            f" was in {state} there, for up to 60 s, as the {side} had closed it first (frame"
            f" {fin.frame}).",
            _ADVICE[side],
            "man 7 socket; RFC 9293 3.6.1", frames,
            tuple(dict.fromkeys((bind.call, *closers[: CITED - 1]))),
        )  # fmt: skip


def _port(address: str | None) -> int | None:
    shown = (address or "").rpartition(":")[2]
    return int(shown) if shown.isdecimal() and shown != "0" else None


def _is_open(scene: Scene, bind: Call, port: int) -> bool:
    """Whether a socket that was not closed by then had the port."""
    return any(
        socket.host == bind.host
        and socket is not scene.socket_of(bind)
        and _port(socket.local) == port
        and (socket.last_close is None
             or scene.call(socket.last_close).entered_ns > bind.entered_ns)
        for socket in scene.sockets.all
    )  # fmt: skip


def _lingers(
    scene: Scene, row: Connection, side: Side, bind: Call, port: int
) -> tuple[Side, Packet, str] | None:
    """The side, its FIN and its state, where it had closed first within the last 60 s."""
    socket, path = scene.ends.get((row.connection, side)), scene.path(row.connection)
    mine = row.client_port if side is Side.CLIENT else row.server_port
    if path is None or socket is None or socket.host != bind.host or mine != port:
        return None
    if any(half.resets for half in path.track.halves.values()):
        return None
    own = came(path.track.halves[side.outbound].fins)
    others = [p for p in came(path.track.halves[side.inbound].fins)
              if arrival_ns(p) <= bind.entered_ns]  # fmt: skip
    if not own or arrival_ns(own[0]) > bind.entered_ns:
        return None
    if others and arrival_ns(others[0]) <= own[0].time_ns:
        return None
    since_ns = arrival_ns(others[0]) if others else own[0].time_ns
    if bind.entered_ns - since_ns >= _TIME_WAIT_NS:
        return None
    return side, own[0], "TIME-WAIT" if others else "FIN-WAIT-2"
