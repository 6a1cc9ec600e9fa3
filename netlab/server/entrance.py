"""The socket that a server is reached at: takes an address, waits in the reactor, closes.

What is done when it is readable is for those who derive from it. Read first: man 2 bind.
"""

from __future__ import annotations

import select

from netlab.model.probe import Probe
from netlab.server.reactor import Reactor


class Entrance:
    """A non-blocking socket on one address, read by the reactor."""

    def __init__(self, probe: Probe, reactor: Reactor, family: int, kind: int) -> None:
        self._reactor = reactor
        self.closed = False
        self._socket = probe.socket(family, kind)
        self._socket.setblocking(False)

    def open(self, host: str, port: int) -> None:
        """Take the address; raises OSError when it cannot be had."""
        try:
            self._take(host, port)
        except OSError:
            self._socket.close()
            raise
        self._reactor.register(self._socket.fileno(), select.EPOLLIN, self._on_ready)

    @property
    def port(self) -> int:
        """The port, where 0 was asked for the kernel's choice."""
        port: int = self._socket.getsockname()[1]
        return port

    def close(self) -> None:
        """Close the socket: what waits in it is lost, a connection in its queue gets a reset."""
        if not self.closed:
            self.closed = True
            self._reactor.unregister(self._socket.fileno())
            self._socket.close()

    def _take(self, host: str, port: int) -> None:
        self._socket.bind((host, port))

    def _on_ready(self, events: int) -> None:
        raise NotImplementedError
