"""Findings about who listens: clients that a full queue turned away, handshakes left half open.

A SYN that came, with no answer while the listener's calls say that its accept queue held more than
its backlog, was turned away by that queue: Linux drops it without a word (tcp_conn_request), and so
it does with the last ACK of a handshake that had begun with room (`correlate.admissions`). It needs
no call that waited: a client with a timer of its own gives up long before the SYN is sent
again. Read first: man 2 listen, RFC 4987 (SYN flooding).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from netlab.correlate.addresses import Endpoint
from netlab.correlate.arrivals import arrival_ns, came, reached, sent
from netlab.correlate.flows import ACK, RST, SYN
from netlab.explain.causes import MECHANISMS, Cause, Certainty
from netlab.explain.findings.finding import CITED, Finding, Severity
from netlab.explain.path import Path
from netlab.explain.queues import (
    held_text,
    is_never_taken,
    kept_out,
    listen_text,
    queue_at,
    turned_away_text,
)
from netlab.explain.scene import Scene
from netlab.explain.wording import counted, lasting
from netlab.model.tables import Call, Connection, Direction, Packet

_ANSWERED_WITHIN_NS = 500_000_000  # a SYN-ACK is sent at once; a second later it is a resend
_MANY_HALF_OPEN = 32
_FLOOD_NS = 10_000_000_000
_UNANSWERED_NS = 1_000_000_000  # tcp_synack_timeout: by then the SYN-ACK is sent again


def turned_away(path: Path) -> list[tuple[Packet, Call, int, int]]:
    """What met a full queue, SYNs first: (frame, listen, connections in it, its backlog)."""
    if not path.exact:
        return []
    said = [row.packet.time_ns for row in path.track.rows if row.direction is Direction.S2C]
    found = []
    for syn in sent(path.track.halves[Direction.C2S].syns):
        if not reached(syn):
            continue
        came_ns = arrival_ns(syn)
        if any(0 <= at - came_ns < _ANSWERED_WITHIN_NS for at in said):
            continue
        queue = queue_at(path, came_ns)
        if queue is not None and queue[1] > queue[2]:
            found.append((syn, *queue))
    for one, certainty in kept_out(path):
        queue = queue_at(path, arrival_ns(one.packet))
        if queue is not None and certainty is Certainty.OBSERVED:
            found.append((one.packet, *queue))
    return found


def overflow(scene: Scene, row: Connection) -> Iterator[Finding]:
    """A client that the listener's full queue turned away: it gave up, or does not know it."""
    path = scene.path(row.connection)
    met = turned_away(path) if path is not None else []
    if path is None or not met:
        return
    packet, listen, waiting, backlog = met[0]
    said = f"it {held_text(waiting, backlog)}, so the SYN had no answer"
    if not packet._flags & SYN:
        said = turned_away_text(path)
        if is_never_taken(path):
            said += ", and never took the connection that the client believes to have"
    clients = len(_turned_away_by(scene, path.track.flow.server))
    connects = [call.call for call in scene.of_connection(row.connection) if call.op == "connect"]
    yield Finding(
        "backlog_overflow", row.connection, Severity.HIGH,
        f"The accept queue overflowed ({listen_text(scene, listen)}): {said};"
        f" {counted(clients, 'client')} turned away.",
        MECHANISMS[Cause.BACKLOG_FULL].advice, MECHANISMS[Cause.BACKLOG_FULL].source,
        tuple(one.frame for one, *_ in met[:CITED]), (listen.call, *connects[:CITED]),
    )  # fmt: skip


def _turned_away_by(scene: Scene, server: Endpoint) -> list[int]:
    """The connections that a listener's full queue turned away, at first or for good."""
    if server not in scene.turned_away:
        scene.turned_away[server] = [
            row.connection for row in scene.tables.connections
            if (row.server, row.server_port) == server
            and (row.handshake_ns is None or row.handshake_ns >= _ANSWERED_WITHIN_NS
                 or scene.admissions.has_ignored(row.connection))
            and (path := scene.path(row.connection)) is not None
            and turned_away(path)
        ]  # fmt: skip
    return scene.turned_away[server]


def syn_flood(scene: Scene) -> Iterator[Finding]:
    """Many handshakes with one listener of which the client's ACK never came.

    That they were meant to harm no frame can show.
    """
    for (server, port), answers in _half_open(scene).items():
        yield from _flood(server, port, answers)


def _flood(server: str, port: int | None, answers: list[Packet]) -> Iterator[Finding]:
    times = sorted(packet.time_ns for packet in answers)
    at_once = zip(times, times[_MANY_HALF_OPEN - 1 :], strict=False)
    if not any(last - first < _FLOOD_NS for first, last in at_once):
        return
    sources = len({packet.dst for packet in answers})
    addresses = "1 address" if sources == 1 else f"{sources:,} addresses"
    yield Finding(
        "syn_flood", None, Severity.MEDIUM,
        f"{len(answers):,} handshakes with port {port} of {server} stayed half open"
        f" in {lasting(times[-1] - times[0])}: SYN-ACKs went out to {addresses}, and no ACK came."
        " A SYN flood looks like that, and so does a way back that is broken.",
        "Look whether those addresses exist and whether the SYN-ACK reaches them;"
        " net.ipv4.tcp_syncookies = 1 keeps the listener open to others.",
        "RFC 4987", tuple(packet.frame for packet in answers[:CITED]),
    )  # fmt: skip


def _half_open(scene: Scene) -> dict[tuple[str, int | None], list[Packet]]:
    """The first SYN-ACK of each handshake that the client never completed, by server's end."""
    found: dict[tuple[str, int | None], list[Packet]] = defaultdict(list)
    last_ns = max((packet.time_ns for packet in scene.tables.packets), default=0)
    for row in scene.tables.connections:
        if row.protocol != "tcp" or row.handshake_ns is not None or not row.server_packets:
            continue
        path = scene.path(row.connection)
        answer = _unacknowledged(path) if path is not None else None
        if path is None or answer is None:
            continue
        resets = sent(path.track.halves[Direction.C2S].resets)  # which did not come
        if resets or last_ns - answer.time_ns >= _UNANSWERED_NS:
            found[row.server, row.server_port].append(answer)
    return found


def _unacknowledged(path: Path) -> Packet | None:
    """The SYN-ACK to which the client said nothing, neither ACK nor RST."""
    answers = sent(path.track.halves[Direction.S2C].syns)
    if not answers or not answers[0]._flags & ACK:
        return None
    for packet in came(row.packet for row in path.track.rows if row.direction is Direction.C2S):
        if packet._flags & RST or packet._flags & (SYN | ACK) == ACK:
            return None
    return answers[0]
