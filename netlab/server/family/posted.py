"""The events of engines in threads of their own, passed on to the thread of the hub."""

from __future__ import annotations

from functools import partial

from netlab.server.family.dispatching import Dispatching
from netlab.server.loop.reactor import Reactor
from netlab.server.sockets.connection import Connection
from netlab.server.terms import Client, Closed


class Posted:
    """What the engine of a reactor thread tells."""

    def __init__(self, reactor: Reactor, events: Dispatching) -> None:
        self._post = reactor.post
        self._events = events

    def connected(self, connection: Connection) -> None:
        self._post(partial(self._events.connected, connection))

    def received(self, connection: Connection, message: bytes) -> None:
        self._post(partial(self._events.received, connection, message))

    def half_closed(self, connection: Connection) -> None:
        connection.dispatched()  # until the hub has heard of it, too
        self._post(partial(self._events.half_closed, connection, noted=True))

    def closed(self, connection: Connection, closed: Closed) -> None:
        self._post(partial(self._events.closed, connection, closed))

    def buffer_full(self, connection: Connection) -> None:
        self._post(partial(self._events.buffer_full, connection))

    def buffer_empty(self, connection: Connection) -> None:
        self._post(partial(self._events.buffer_empty, connection))

    def packet(self, data: bytes, client: Client) -> None:
        self._post(partial(self._events.packet, data, client))
