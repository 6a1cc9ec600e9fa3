"""Where a connection lives, as it sees it: who hears of it, and the engine that it belongs to."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from netlab.server.loop.reactor import Reactor
from netlab.server.terms import Closed

if TYPE_CHECKING:
    from netlab.server.sockets.connection import Connection

SendFile = Callable[[socket.socket, int, int, int], int]


class Events(Protocol):
    """Who hears of connections and datagrams."""

    def connected(self, connection: Connection) -> None: ...
    def received(self, connection: Connection, message: bytes) -> None: ...
    def half_closed(self, connection: Connection) -> None: ...
    def closed(self, connection: Connection, closed: Closed) -> None: ...
    def buffer_full(self, connection: Any) -> None: ...
    def buffer_empty(self, connection: Any) -> None: ...


class Home(Protocol):
    """What a connection needs of the engine that it belongs to."""

    keeps_half_open: bool  # a peer that has finished is closed by the user's callback

    @property
    def reactor(self) -> Reactor: ...
    @property
    def events(self) -> Events: ...
    @property
    def sendfile_call(self) -> SendFile: ...

    def forget(self, connection: Connection) -> None: ...
