"""What a host's kernel says of its TCP and UDP sockets: rows for whoever waits for a server.

Knows nothing of who waits for what. Read `capture.sockdiag` first.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from netlab.capture.sockdiag import DiagRow, dump
from netlab.model.sample import state_name

_UNCONNECTED = "CLOSED"  # of a UDP socket: bound, and not connected
_OVER = frozenset(("LISTEN", "TIME-WAIT", "CLOSED", "unknown"))


@dataclass(frozen=True, slots=True)
class SocketRow:
    """One socket."""

    protocol: str  # tcp or udp
    state: str  # as RFC 9293 spells it
    address: IPv4Address | IPv6Address
    port: int
    peer_port: int

    @property
    def listens(self) -> bool:
        """Whether others may speak to it first: TCP in LISTEN, UDP bound and not connected."""
        if self.protocol == "udp":
            return self.state == _UNCONNECTED and self.port != 0
        return self.state == "LISTEN"

    @property
    def only_itself(self) -> bool:
        """Whether only the host itself can reach it."""
        return self.address.is_loopback

    @property
    def at_work(self) -> bool:
        """Whether it is a TCP connection that is not over yet."""
        return self.protocol == "tcp" and self.state not in _OVER

    def __str__(self) -> str:
        host = f"[{self.address}]" if self.address.version == 6 else f"{self.address}"
        state = "bound" if self.protocol == "udp" and self.listens else self.state
        return f"{self.protocol} {host}:{self.port} {state}"


def read(netlink: socket.socket) -> list[SocketRow]:
    """All TCP and UDP sockets of the host. Raises OSError."""
    return [
        row_from(protocol, row)
        for protocol, number in (("tcp", socket.IPPROTO_TCP), ("udp", socket.IPPROTO_UDP))
        for family in (socket.AF_INET, socket.AF_INET6)
        for row in dump(netlink, family, number)
    ]


def row_from(protocol: str, row: DiagRow) -> SocketRow:
    """One row of a dump as it is of use here."""
    address, port = row.local
    _, peer_port = row.peer
    return SocketRow(protocol, state_name(row.state), address, port, peer_port)
