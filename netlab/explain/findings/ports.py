"""Findings about ports: who closes first keeps its port in TIME-WAIT for 60 s.

A client runs out of ports so, and a server that starts anew is refused its own; Linux gives it to a
listener where SO_REUSEADDR was set on both, before bind (inet_csk_bind_conflict).
Read first: RFC 9293 3.6.1, TCP_TIMEWAIT_LEN in Linux (60 s, whatever the RFC's two MSL are).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from statistics import median_low

from netlab.correlate.addresses import Endpoint, is_wildcard, maybe_endpoint, plain_address
from netlab.correlate.arrivals import arrival_ns, came, sent
from netlab.correlate.socket_options import options_of
from netlab.correlate.sockets import Socket
from netlab.explain.findings.finding import CITED, Finding, Severity
from netlab.explain.scene import Scene
from netlab.explain.wording import lasting, name_of
from netlab.model.records import dataclass
from netlab.model.tables import Call, Connection, Direction, Packet, Role, Side

_MANY = 23
_ADVICE = {
    Side.SERVER: "Set SO_REUSEADDR before bind, at each start: Linux gives a listener such a port"
                 " then.",
    Side.CLIENT: "Leave bind out before connect: the kernel picks a port that is free.",
}  # fmt: skip
_TIME_WAIT_NS = 60_000_000_000
_SHORT_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class _Lingering:
    """An end of a connection that keeps its port though nothing of it is open."""

    connection: int
    side: Side  # that closed first
    fin: Packet
    state: str


_Try = tuple[Call, list[_Lingering]]  # a bind, and what kept its port from it


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
    kept: dict[tuple[str, int], list[tuple[Connection, Side]]] | None = None
    tries: dict[tuple[str, int, str | None], list[_Try]] = defaultdict(list)
    for bind in scene.calls:
        if bind.op != "bind" or bind.errno != "EADDRINUSE":
            continue
        address = scene.record(bind.call).address
        end, socket = maybe_endpoint(address), scene.socket_of(bind)
        if end is None or not end[1] or socket is None or not socket.is_stream:
            continue
        if _is_open(scene, bind, end[1]):
            continue
        kept = _by_port(scene) if kept is None else kept
        found = [
            one for row, side in kept.get((bind.host, end[1]), ())
            if (one := _lingers(scene, row, side, bind)) is not None
            and _overlap(scene, socket, end, bind, _address(row, side))
            and _conflict(scene, socket, row.connection, side, bind)
        ]  # fmt: skip
        if found:
            tries[bind.host, end[1], address].append((bind, found))
    for (_, port, _), refused in tries.items():
        yield _refused(scene, port, refused)


def _refused(scene: Scene, port: int, tries: Sequence[_Try]) -> Finding:
    """Of all the tries of a host to bind one address, the first, and how often it tried."""
    (bind, found), last = tries[0], tries[-1][0]
    first = found[0]
    others = f" (and {len(found) - 1:,} more)" if len(found) > 1 else ""
    again = ""
    if len(tries) > 1:
        again = f", the first of {len(tries):,} such tries in"
        again += f" {lasting(last.entered_ns - bind.entered_ns)}"
    closers = [
        span.call for one in found
        for span in scene.closers.get((Role.FIN, one.fin.frame), ())
        if scene.call(span.call).side != one.side.inbound.sender
    ]  # fmt: skip
    return Finding(
        "bind_refused", first.connection, Severity.HIGH,
        f"{name_of(bind)} was refused port {port} (EADDRINUSE){again}: connection"
        f" {first.connection}{others} was in {first.state} there, for up to 60 s, as the"
        f" {first.side} had closed it first (frame {first.fin.frame}).",
        _ADVICE[first.side],
        "man 7 socket; RFC 9293 3.6.1", tuple(one.fin.frame for one in found[:CITED]),
        tuple(dict.fromkeys((bind.call, last.call, *closers[: CITED - 2]))),
    )  # fmt: skip


def _by_port(scene: Scene) -> dict[tuple[str, int], list[tuple[Connection, Side]]]:
    """The ends of connections by host and port."""
    found: dict[tuple[str, int], list[tuple[Connection, Side]]] = defaultdict(list)
    for row in scene.tables.connections:
        for side in Side if row.protocol == "tcp" else ():
            socket = scene.ends.get((row.connection, side))
            port = row.client_port if side is Side.CLIENT else row.server_port
            if socket is not None and port is not None:
                found[socket.host, port].append((row, side))
    return found


def _is_open(scene: Scene, bind: Call, port: int) -> bool:
    """Whether a stream socket that was not closed by then had the port, at whatever address."""
    return any(
        socket.host == bind.host
        and socket.is_stream
        and socket is not scene.socket_of(bind)
        and (local := socket.local_endpoint) is not None and local[1] == port
        and (socket.last_close is None
             or scene.call(socket.last_close).entered_ns > bind.entered_ns)
        for socket in scene.sockets.all
    )  # fmt: skip


def _address(row: Connection, side: Side) -> str:
    return plain_address(row.client if side is Side.CLIENT else row.server)


def _overlap(scene: Scene, socket: Socket, end: Endpoint, bind: Call, address: str) -> bool:
    """Whether an address that is to be bound is a connection's, or a wildcard that includes it:
    `::` includes IPv4, too, unless IPV6_V6ONLY is on (inet_rcv_saddr_equal)."""
    if not is_wildcard(end):
        return end[0] == address
    if ":" in address:
        return ":" in end[0]
    return ":" not in end[0] or not _is_on(scene, socket, "IPV6_V6ONLY", bind)


def _conflict(scene: Scene, socket: Socket, connection: int, side: Side, bind: Call) -> bool:
    """Whether a connection in TIME-WAIT keeps its port from this bind: not where both sockets have
    SO_REUSEADDR, or both SO_REUSEPORT. What may have been set without a witness is no evidence."""
    other = scene.ends[connection, side]
    origin = other.listener if other.accepted_by is not None else other
    for name in ("SO_REUSEADDR", "SO_REUSEPORT"):
        own_off = _is_whole(scene, socket) and not _is_on(scene, socket, name, bind)
        held = scene.option_at(connection, side, name, bind.entered_ns)
        other_off = _is_whole(scene, origin) and (held is None or not held.on)
        if not own_off and not other_off:
            return False
    return True


def _is_on(scene: Scene, socket: Socket, name: str, bind: Call) -> bool:
    """Whether an option was on, or may have been, when its socket was to be bound."""
    numbers = [number for number in socket.calls if number < bind.call]
    options = [one for one in options_of(numbers, scene.records) if one.name == name]
    return bool(options) and options[-1].on


def _is_whole(scene: Scene, socket: Socket | None) -> bool:
    """Whether a socket's options are known from the first: the call that made it was recorded."""
    if socket is None or not socket.calls:
        return False
    return scene.call(socket.calls[0]).op == "socket"


def _lingers(scene: Scene, row: Connection, side: Side, bind: Call) -> _Lingering | None:
    """An end that had closed first within the last 60 s."""
    path = scene.path(row.connection)
    if path is None:
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
    return _Lingering(row.connection, side, own[0], "TIME-WAIT" if others else "FIN-WAIT-2")
