"""Findings about the ports of a client: who closes first keeps its port in TIME-WAIT for 60 s.

Read first: RFC 9293 3.6.1, TCP_TIMEWAIT_LEN in Linux (60 s, whatever the RFC's two MSL are).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from statistics import median_low

from netlab.correlate.arrivals import came, sent
from netlab.explain.findings.finding import CITED, Finding, Severity
from netlab.explain.scene import Scene
from netlab.explain.wording import lasting
from netlab.model.tables import Connection, Direction, Packet

_MANY = 23
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
