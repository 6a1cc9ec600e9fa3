"""Requests to rtnetlink: attributes and one question with its acknowledgement.

Knows no links and no routes. Read man 7 rtnetlink and man 3 netlink.
"""

from __future__ import annotations

import os
import socket
import struct

REPLACE, CREATE, EXCLUSIVE = 0x100, 0x400, 0x200  # NLM_F_*
_REQUEST, _ACK = 0x1, 0x4
_NLMSG_ERROR = 2


class Rtnetlink:
    """A connection to rtnetlink of the network namespace that this thread is in now."""

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
        )

    def ask(self, kind: int, flags: int, body: bytes) -> None:
        """Send one request and wait for its acknowledgement. Raises OSError."""
        flags |= _REQUEST | _ACK
        self._socket.send(struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body)
        answer = self._socket.recv(1 << 14)
        (_, kind) = struct.unpack_from("=IH", answer)
        (error,) = struct.unpack_from("=i", answer, 16)
        if kind == _NLMSG_ERROR and error:
            raise OSError(-error, os.strerror(-error))

    def __enter__(self) -> Rtnetlink:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def attribute(kind: int, value: bytes) -> bytes:
    """One struct rtattr with its value, padded; attributes nest by being values."""
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + bytes(-length % 4)


def number(kind: int, value: int) -> bytes:
    """An attribute that is one 32-bit number."""
    return attribute(kind, struct.pack("=I", value))


def text(kind: int, value: str) -> bytes:
    """An attribute that is a string."""
    return attribute(kind, value.encode() + b"\0")
