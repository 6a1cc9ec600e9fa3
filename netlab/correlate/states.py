"""What was sampled of sockets' states -> rows of `states` with connection and side.

The probe's samples belong to the socket of their call. One from outside (sock_diag) belongs to the
socket of recorded calls that had its inode and addresses then; where no call is known, to the
connection of its addresses. Ports are used again: then it is the last one that had begun when the
socket was first seen, and none where that cannot be told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from netlab.correlate.addresses import Endpoint, maybe_endpoint
from netlab.correlate.lives import Lives
from netlab.correlate.sockets import Sockets
from netlab.correlate.tcp_info import state_from_sample, states_from_call
from netlab.model.call import CallRecord
from netlab.model.sample import Sample, state_name
from netlab.model.tables import Connection, Side, State

Home = tuple[int | None, Side | None]  # connection, side
_NOWHERE: Home = (None, None)
_SYN_SENT = "SYN-SENT"


def states_of(
    records: Sequence[CallRecord],
    sockets: Sockets,
    samples: Sequence[Sample],
    connections: Iterable[Connection],
) -> list[State]:
    """The rows in order of time."""
    rows: list[State] = []
    for record, socket in zip(records, sockets.by_call, strict=True):
        if record.tcp_info_before or record.tcp_info_after:  # of the socket called, not of the one
            connection = socket.connection if socket else None  # that accept returned
            side = socket.side if socket else None
            rows += states_from_call(record, connection, side)
    if samples:
        rows += _sampled(samples, Lives(sockets.all, records), connections)
    rows.sort(key=lambda row: row.time_ns)
    return rows


def _sampled(
    samples: Sequence[Sample], lives: Lives, connections: Iterable[Connection]
) -> list[State]:
    by_socket: dict[tuple[str, int, str, str], list[Sample]] = defaultdict(list)
    for sample in samples:  # a socket keeps its cookie, and gets its peer when it connects
        by_socket[sample.host, sample.cookie, sample.local, sample.peer].append(sample)
    by_ends: dict[tuple[Endpoint, Endpoint], list[Connection]] = defaultdict(list)
    for row in connections:
        if row.protocol == "tcp" and row.client_port is not None and row.server_port is not None:
            client, server = (row.client, row.client_port), (row.server, row.server_port)
            by_ends[min(client, server), max(client, server)].append(row)
    rows = []
    for group in by_socket.values():
        group.sort(key=lambda sample: sample.time_ns)
        home = _home(group, lives, by_ends)
        rows += [state_from_sample(sample, *home) for sample in group]
    return rows


def _home(
    group: list[Sample],
    lives: Lives,
    by_ends: dict[tuple[Endpoint, Endpoint], list[Connection]],
) -> Home:
    """Which end of which connection a socket is; `group` is all that was seen of it, in order."""
    local, peer = maybe_endpoint(group[0].local), maybe_endpoint(group[0].peer)
    if local is None or peer is None or not peer[1]:
        return _NOWHERE
    for sample in group:
        if sample.inode:
            known = lives.maybe_socket(sample.host, sample.inode, sample.time_ns)
            if known is not None and known.connection is not None:
                if (known.local_endpoint, known.peer_endpoint) == (local, peer):
                    return known.connection, known.side
                break
    row = _begun(group, by_ends.get((min(local, peer), max(local, peer)), []))
    if row is None:
        return _NOWHERE
    if local == peer:  # it speaks to itself
        return row.connection, None
    return row.connection, Side.CLIENT if (row.client, row.client_port) == local else Side.SERVER


def _begun(group: list[Sample], rows: list[Connection]) -> Connection | None:
    """The connection between its ends that a socket is of."""
    if len(rows) == 1 and rows[0].first_ns is None:
        return rows[0]
    begun = [row for row in rows if row.first_ns is not None]
    if len(begun) < len(rows):
        return None
    seen_ns = next((s.time_ns for s in group if state_name(s.state) != _SYN_SENT), None)
    if seen_ns is not None:
        return next((r for r in reversed(begun) if (r.first_ns or 0) <= seen_ns), None)
    # In SYN-SENT alone: its SYN is about to leave, or has no answer.
    for row in begun:
        first_ns, handshake_ns = row.first_ns or 0, row.handshake_ns
        if first_ns > group[0].time_ns or handshake_ns is None:
            return row
        if first_ns + handshake_ns >= group[-1].time_ns:
            return row
    return None
