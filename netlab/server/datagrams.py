"""A UDP socket that sends every datagram back to where it came from. Read first: man 7 udp.

A datagram that does not fit into the send buffer is dropped, as a network would. An ICMP error that
an earlier answer caused is reported by a later call; it concerns that answer only, so go on.
"""

from __future__ import annotations

import errno
import select
import socket

from netlab.model.probe import Probe
from netlab.server.reactor import Reactor

DATAGRAMS_A_ROUND = 64
_LONGEST_DATAGRAM_BYTES = 1 << 16
_OF_AN_EARLIER_ONE = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH})


class EchoDatagrams:
    """Echoes datagrams on one address."""

    def __init__(self, probe: Probe, reactor: Reactor, family: int) -> None:
        self._reactor = reactor
        self.dropped = 0  # answers that the send buffer had no room for
        self.closed = False
        self._socket = probe.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def bind(self, host: str, port: int) -> None:
        """Take the address; raises OSError when it cannot be had."""
        try:
            self._socket.bind((host, port))
        except OSError:
            self._socket.close()
            raise
        self._reactor.register(self._socket.fileno(), select.EPOLLIN, self._on_ready)

    @property
    def port(self) -> int:
        port: int = self._socket.getsockname()[1]
        return port

    def close(self) -> None:
        """Close the socket; what waits in it is lost."""
        if not self.closed:
            self.closed = True
            self._reactor.unregister(self._socket.fileno())
            self._socket.close()

    def _on_ready(self, events: int) -> None:
        for _ in range(DATAGRAMS_A_ROUND):
            try:
                data, sender = self._socket.recvfrom(_LONGEST_DATAGRAM_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _OF_AN_EARLIER_ONE:
                    continue
                raise
            try:
                self._socket.sendto(data, sender)
            except BlockingIOError:
                self.dropped += 1
            except OSError as error:
                if error.errno not in _OF_AN_EARLIER_ONE:
                    raise
