"""The echo server: a reactor, a listener or a UDP socket, and the connections that are open.

Stop in order: listen no more, read no more, send what is queued, close. A connection that does not
take its bytes within `STOP_WITHIN_S` is closed as it is.
"""

from __future__ import annotations

import signal
import socket

from netlab.model.probe import Probe
from netlab.server.connection import QUEUE_LIMIT_BYTES, EchoConnection
from netlab.server.datagrams import EchoDatagrams
from netlab.server.listener import Listener
from netlab.server.plain import PlainProbe
from netlab.server.reactor import Reactor

BACKLOG = 512
STOP_WITHIN_S = 3.0


class EchoServer:
    """An echo server on one address, TCP or UDP, IPv4 or IPv6."""

    def __init__(
        self,
        probe: Probe | None = None,
        *,
        nodelay: bool = False,
        queue_limit_bytes: int = QUEUE_LIMIT_BYTES,
    ) -> None:
        self._probe = probe if probe is not None else PlainProbe()
        self._reactor = Reactor(self._probe)
        self._nodelay = nodelay
        self._queue_limit_bytes = queue_limit_bytes
        self._connections: set[EchoConnection] = set()
        self._entrance: Listener | EchoDatagrams | None = None

    def listen(self, host: str, port: int, *, udp: bool = False) -> int:
        """Take the address and return its port (asked for 0: the kernel's choice)."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        entrance: Listener | EchoDatagrams
        if udp:
            entrance = EchoDatagrams(self._probe, self._reactor, family)
        else:
            entrance = Listener(self._probe, self._reactor, family, BACKLOG, self._accepted)
        entrance.open(host, port)
        self._entrance = entrance
        return entrance.port

    def heed_signals(self) -> None:
        """Stop in order on SIGTERM and SIGINT. Call it in the main thread, before anyone may know
        that we listen: else a quick signal finds the default action."""
        self._reactor.stop_on((signal.SIGTERM, signal.SIGINT), self.stop)

    def run(self) -> None:
        """Serve until stopped."""
        self._reactor.run()
        self.close()

    def close(self) -> None:
        """Close everything as it is."""
        if self._entrance is not None:
            self._entrance.close()
        self._abandon()
        self._reactor.close()

    def stop(self) -> None:
        """Begin to stop; `run` returns when the last byte is sent."""
        if self._entrance is not None:
            self._entrance.close()
        for connection in list(self._connections):
            connection.stop()
        if self._connections:
            self._reactor.call_later(STOP_WITHIN_S, self._abandon)

    def _accepted(self, sock: socket.socket) -> None:
        if self._nodelay:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections.add(
            EchoConnection(sock, self._reactor, self._gone, self._queue_limit_bytes)
        )

    def _gone(self, connection: EchoConnection) -> None:
        self._connections.discard(connection)
        if isinstance(self._entrance, Listener):
            self._entrance.resume()  # a descriptor is free again

    def _abandon(self) -> None:
        for connection in list(self._connections):
            connection.abandon()
