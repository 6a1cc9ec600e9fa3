"""What a host's kernel says of its TCP and UDP sockets: a sock_diag dump -> rows.

The netlink socket was made in the host's network namespace, and answers for that one wherever it
is read. Knows nothing of who waits for what. Read man 7 sock_diag, linux/inet_diag.h.
"""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

TCP_STATES = (
    "", "ESTABLISHED", "SYN-SENT", "SYN-RECEIVED", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT",
    "CLOSED", "CLOSE-WAIT", "LAST-ACK", "LISTEN", "CLOSING", "SYN-RECEIVED",
)  # fmt: skip
_UNCONNECTED = "CLOSED"  # of a UDP socket: bound, and not connected
_OVER = frozenset(("LISTEN", "TIME-WAIT", "CLOSED", ""))
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST_DUMP = 0x301
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_HEADER = struct.Struct("=IHHII")
# struct inet_diag_req_v2, whose socket id stays zero: all sockets.
_QUESTION = struct.Struct("=BBBxI48x")
# struct inet_diag_msg: family, state, timer, retrans, ports (network order), addresses, interface,
# cookie, expires, queues, uid, inode.
_ROW = struct.Struct("=BBBB2s2s16s16sI8sIIIII")
_ALL_STATES = 0xFFFF
_RECEIVE_BYTES = 1 << 16


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
    rows = []
    for protocol, number in (("tcp", socket.IPPROTO_TCP), ("udp", socket.IPPROTO_UDP)):
        for family in (socket.AF_INET, socket.AF_INET6):
            question = _QUESTION.pack(family, number, 0, _ALL_STATES)
            header = _HEADER.pack(
                _HEADER.size + len(question), _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, 1, 0
            )
            netlink.send(header + question)
            rows += [row_from(protocol, message) for message in _messages(netlink)]
    return rows


def row_from(protocol: str, message: bytes) -> SocketRow:
    """One struct inet_diag_msg as a row."""
    family, state, _, _, port, peer_port, source, *_ = _ROW.unpack_from(message)
    length = 4 if family == socket.AF_INET else 16
    address = ip_address(source[:length])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return SocketRow(
        protocol,
        TCP_STATES[state] if state < len(TCP_STATES) else "",
        address,
        int.from_bytes(port, "big"),
        int.from_bytes(peer_port, "big"),
    )


def _messages(netlink: socket.socket) -> list[bytes]:
    """The bodies of one dump's answers."""
    bodies: list[bytes] = []
    while True:
        data = netlink.recv(_RECEIVE_BYTES)
        at = 0
        while at + _HEADER.size <= len(data):
            length, kind, *_ = _HEADER.unpack_from(data, at)
            if kind == _NLMSG_DONE:
                return bodies
            body = data[at + _HEADER.size : at + length]
            if kind == _NLMSG_ERROR:
                (error,) = struct.unpack_from("=i", body)
                if error in (-2, -93, -97):  # no such family or protocol in this kernel
                    return bodies
                raise OSError(-error, os.strerror(-error))
            bodies.append(body)
            at += (length + 3) & ~3
