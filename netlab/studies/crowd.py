"""Thousands of idle connections for a server of a study: a program on the server's own host.

They go over its loopback and are not recorded: a recording of 10,000 handshakes would say 10,000
times the same. The server asks for them by the first of them, so many at a time that its accept
queue never fills.
"""

from __future__ import annotations

import resource
import socket
import struct
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.study import PORT, Params

HOME, CROWD_PORT = "127.0.0.1", PORT + 1
BESIDE = 500  # descriptors that are left to everything else
_BACKLOG = 128  # of the crowd's listener
_FROM_EACH = 1000  # connections from one address
_IP_BIND_ADDRESS_NO_PORT = 24  # man 7 ip; Python has no name for it
_WORD = struct.Struct("!I")
_SPEAK = 0  # in place of how many more


def most_connections(wanted: int) -> int:
    """So many, or what the limit on descriptors leaves for them."""
    return min(wanted, descriptor_limit() - BESIDE)


def descriptor_limit() -> int:
    """How many descriptors a process of this user may have (RLIMIT_NOFILE, the hard limit)."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return 1 << 20 if hard == resource.RLIM_INFINITY else hard


def too_few(wanted: int) -> str:
    """What this machine lacks for so many connections; empty: nothing."""
    limit = descriptor_limit()
    if limit >= wanted + BESIDE:
        return ""
    return f"{wanted + BESIDE:,} descriptors for one process, the limit is {limit:,}"


def take_the_limit() -> None:
    """Raise the soft limit to the hard one."""
    limit = descriptor_limit()
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))


def crowd(probe: Probe, p: Params) -> int:
    """Connects as often as it is told, until it is told no more. Told to speak, each connection
    says a byte and reads one; how many were answered."""
    take_the_limit()
    first = _connected(0)
    held: list[socket.socket] = []
    answered = 0
    while word := first.recv(_WORD.size):
        (more,) = _WORD.unpack(word)
        held += [_connected(len(held) + number) for number in range(more)]
        if more == _SPEAK:
            for sock in held:
                sock.send(b"n")
            answered += sum(len(sock.recv(1)) for sock in held)
    return answered


def _connected(number: int) -> socket.socket:
    """A connection from one of several addresses: from one alone, free ports would be searched for
    ever longer (__inet_hash_connect in Linux)."""
    sock = socket.socket()
    sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
    sock.bind((f"127.0.0.{2 + number // _FROM_EACH}", 0))
    sock.connect((HOME, CROWD_PORT))
    return sock


class Crowd:
    """The crowd as its server holds it."""

    def __init__(self) -> None:
        """Listen for it; what the server listens to for others, it opens after this."""
        take_the_limit()
        self._listener = socket.create_server((HOME, CROWD_PORT), backlog=_BACKLOG)
        self._first: Any = None
        self.held: list[Any] = []

    def grow(self, count: int) -> list[Any]:
        """Have it connect until there are so many; those that are new."""
        if self._first is None:
            self._first, _ = self._listener.accept()
        new: list[Any] = []
        while wanted := min(count - len(self.held) - len(new), _BACKLOG):
            self._first.send(_WORD.pack(wanted))
            new += [self._listener.accept()[0] for _ in range(wanted)]
        self.held += new
        return new

    def speak(self) -> None:
        """Have each say something; its server must answer with a byte."""
        self._first.send(_WORD.pack(_SPEAK))

    def close(self) -> None:
        """Tell it that it was enough; its connections stay as they are."""
        self._first.close()
        self._listener.close()
