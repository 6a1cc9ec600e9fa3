"""Whether a host's server listens where others can reach it: socket rows -> yes, or what is there.

Pure: rows in, verdicts and words out. An ephemeral port of UDP says nothing: a client's socket has
one as well.
"""

from __future__ import annotations

from collections.abc import Sequence

from netlab.lab.network.socket_table import SocketRow

EPHEMERAL_PORTS = range(32768, 61000)  # the baseline's ip_local_port_range
_MOST_SHOWN = 4


def reachable(rows: Sequence[SocketRow], port: int | None = None) -> list[SocketRow]:
    """The sockets that another host can speak to first; with `port`, those that have it."""
    return [
        row
        for row in rows
        if row.listens
        and not row.only_itself
        and (row.port == port if port is not None else _is_meant(row))
    ]


def what_is_there(rows: Sequence[SocketRow]) -> str:
    """In words: the sockets of a server that is not reachable, and what would help."""
    rows = [row for row in rows if row.state != "TIME-WAIT"]  # those are nobody's any more
    if not rows:
        return "it has no TCP or UDP socket"
    shown = [f"{row}" for row in rows[:_MOST_SHOWN]]
    if len(rows) > _MOST_SHOWN:
        shown.append(f"{len(rows) - _MOST_SHOWN} more")
    text = f"it has {', '.join(shown)}"
    if any(row.listens and row.only_itself for row in rows):
        text += ", which other hosts cannot reach: let it listen on 0.0.0.0"
    return text


def _is_meant(row: SocketRow) -> bool:
    return row.protocol == "tcp" or row.port not in EPHEMERAL_PORTS
