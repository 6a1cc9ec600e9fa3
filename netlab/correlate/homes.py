"""A socket that was seen from outside -> which end of which connection it is.

It belongs to the socket of recorded calls that had its inode and addresses then; where no call is
known, to the connection of its addresses. Ports are used again: then it is the last connection that
had begun when the socket was first seen, and none where that cannot be told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from netlab.correlate.addresses import Endpoint, maybe_endpoint
from netlab.correlate.lives import Lives
from netlab.model.tables import Connection, Side

Home = tuple[int | None, Side | None]  # connection, side
NOWHERE: Home = (None, None)
_SYN_SENT = "SYN-SENT"


class Look(NamedTuple):
    """One look at a socket."""

    time_ns: int
    inode: int | None
    state: str | None


class Homes:
    """The connections of a recording, by their ends."""

    def __init__(self, lives: Lives, connections: Iterable[Connection]) -> None:
        self._lives = lives
        self._by_ends: dict[tuple[Endpoint, Endpoint], list[Connection]] = defaultdict(list)
        for row in connections:
            if row.protocol == "tcp" and row.client_port and row.server_port:
                client, server = (row.client, row.client_port), (row.server, row.server_port)
                self._by_ends[min(client, server), max(client, server)].append(row)

    def of(self, host: str, local: str | None, peer: str | None, looks: Sequence[Look]) -> Home:
        """Which end of which connection a socket is; `looks` are all at it, in order."""
        mine, other = maybe_endpoint(local), maybe_endpoint(peer)
        if mine is None or other is None or not other[1]:
            return NOWHERE
        for look in looks:
            if look.inode:
                known = self._lives.maybe_socket(host, look.inode, look.time_ns)
                if known is not None and known.connection is not None:
                    if (known.local_endpoint, known.peer_endpoint) == (mine, other):
                        return known.connection, known.side
                    break
        row = _begun(looks, self._by_ends.get((min(mine, other), max(mine, other)), []))
        if row is None:
            return NOWHERE
        if mine == other:  # it speaks to itself
            return row.connection, None
        return row.connection, Side.CLIENT if (row.client, row.client_port) == mine else Side.SERVER


def _begun(looks: Sequence[Look], rows: list[Connection]) -> Connection | None:
    """The connection between its ends that a socket is of."""
    if len(rows) == 1 and rows[0].first_ns is None:
        return rows[0]
    begun = [row for row in rows if row.first_ns is not None]
    if len(begun) < len(rows):
        return None
    seen_ns = next((look.time_ns for look in looks if look.state != _SYN_SENT), None)
    if seen_ns is not None:
        return next((r for r in reversed(begun) if (r.first_ns or 0) <= seen_ns), None)
    # In SYN-SENT alone: its SYN is about to leave, or has no answer.
    for row in begun:
        first_ns, handshake_ns = row.first_ns or 0, row.handshake_ns
        if first_ns > looks[0].time_ns or handshake_ns is None:
            return row
        if first_ns + handshake_ns >= looks[-1].time_ns:
            return row
    return None
