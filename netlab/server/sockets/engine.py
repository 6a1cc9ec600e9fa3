"""The sockets of one process: entrances and connections by session, from accept to the end.

It turns the kernel's events into those of `Events`; the verbs on its connections are in `verbs`. It
knows no callbacks, modes or other processes; a process that owns sockets has one engine for each
reactor. Sockets may be opened here (`listen`) or be inherited (`adopt`).
"""

from __future__ import annotations

import logging
import socket
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Protocol

from netlab.model.probe import Probe
from netlab.server.loop.pollers import DescriptorTooHigh
from netlab.server.loop.reactor import Reactor
from netlab.server.settings.effective import connection_limit, facts_of_this_machine
from netlab.server.settings.option_table import Options
from netlab.server.settings.options import framing_from
from netlab.server.shared.sessions import NoFreeSession, SessionTable, slot_of
from netlab.server.sockets import home, sockopts, travel
from netlab.server.sockets.connection import Connection
from netlab.server.sockets.datagrams import Datagrams
from netlab.server.sockets.entrance import Entrance, Place, opened
from netlab.server.sockets.handover import Baggage
from netlab.server.sockets.listener import Listener
from netlab.server.sockets.verbs import Verbs
from netlab.server.terms import (
    Client,
    CloseReason,
    SocketAddress,
    host_of,
)

LOG_EVERY_S = 1.0
_log = logging.getLogger("netlab.server")


class Events(home.Events, Protocol):
    """Who hears of connections and datagrams; the engine calls these, never the other way round."""

    def packet(self, data: bytes, client: Client) -> None: ...


class Engine(Verbs):
    """Entrances and connections of one process."""

    door: Engine

    def __init__(
        self,
        probe: Probe,
        reactor: Reactor,
        options: Options,
        sessions: SessionTable,
        events: Events,
        owner: int = 0,
        *,
        name: str = "server",
        keeps_half_open: bool = False,
    ) -> None:
        super().__init__(sessions, name)
        self._probe = probe
        self.reactor = reactor
        self.options = options
        self.events = events
        self.owner = owner
        self.keeps_half_open = keeps_half_open
        self.sendfile_call = probe.sendfile
        self.homes: list[Engine] = [self]  # whose reactors have what we accept, by slot
        self.most_connections, _ = connection_limit(options, facts_of_this_machine())
        self.accepted = self.refused = self.closed = 0
        self._received_bytes = self._sent_bytes = self._messages = self._responses = 0
        self._by_host: Counter[str] = Counter()
        self._drained: Callable[[bool], None] | None = None
        self._forced = False
        self._quiet_until_s = 0.0

    # -- entrances -------------------------------------------------------------------------------

    def listen(self, place: Place, options: Options | None = None) -> Entrance:
        """Open a socket at a place. Raises ListenError."""
        options = options or self.options
        return self.adopt(opened(self._probe, place, options), place, options)

    def adopt(
        self,
        sock: socket.socket,
        place: Place,
        options: Options | None = None,
        *,
        exclusive: bool = False,
    ) -> Entrance:
        """Serve an open socket. `exclusive`: it is shared, and the kernel wakes one of us."""
        number, options = len(self.entrances), options or self.options
        entrance: Entrance
        if place.is_stream:
            entrance = Listener(
                sock, place, number, self.reactor, options, self._accepted, exclusive=exclusive
            )
        else:
            entrance = Datagrams(sock, place, number, self.reactor, self._packet)
        self.entrances.append(entrance)
        return entrance

    def start(self) -> None:
        """Begin to accept and to receive datagrams."""
        for entrance in self.entrances:
            entrance.start()

    def stop_accepting(self, *, unlink: bool = True) -> None:
        """Close the entrances; connections stay."""
        for entrance in self.entrances:
            entrance.close(unlink=unlink)

    # -- the end ---------------------------------------------------------------------------------

    def drain(self, within_s: float, done: Callable[[bool], None]) -> None:
        """Read no more, send what is queued, close; then `done`, with False when some was lost.

        What is not sent `within_s` seconds is dropped; 0 waits as long as it takes.
        """
        self._drained = done
        for connection in list(self.connections.values()):
            connection.end(CloseReason.SHUTDOWN)
        if within_s:
            self.reactor.after(within_s, self.abandon)
        self._check_drained()

    def finish(self, within_s: float) -> bool:
        """Nothing runs beside the loop here: when that has ended, all has."""
        return True

    def abandon(self) -> None:
        """Reset what is still open; its output is lost."""
        self._forced = self._forced or bool(self.connections)
        for connection in list(self.connections.values()):
            connection.end(CloseReason.SHUTDOWN, reset=True)

    def _check_drained(self) -> None:
        if self._drained is not None and not self.connections:
            done, self._drained = self._drained, None
            self.reactor.defer(lambda: done(not self._forced))

    # -- connections from and to other processes -------------------------------------------------

    def depart(self, connection: Connection) -> None:
        """It was handed over: here it is no more, but its session lives on."""
        travel.depart(connection)
        self.connections.pop(connection.session, None)
        self._add_figures(connection, 1)
        if connection.options.max_per_client:
            self._leave_host(host_of(connection.address))
        self._check_drained()

    def arrive(self, sock: socket.socket, baggage: Baggage) -> Connection:
        """Take over a connection that another process has handed over."""
        listener = self.entrances[baggage.entrance]
        assert isinstance(listener, Listener)
        options = listener.options
        framing = framing_from(options)
        sock = self._probe.adopt(sock)
        sock.setblocking(False)
        connection = Connection(
            self, sock, baggage.session, baggage.address, baggage.entrance, options,
            framing() if framing is not None else None,
        )  # fmt: skip
        self.connections[baggage.session] = connection
        if options.max_per_client:
            self._by_host[host_of(baggage.address)] += 1
        travel.arrive(connection, baggage)
        self._add_figures(connection, -1)  # these were counted elsewhere
        return connection

    def _add_figures(self, connection: Connection, sign: int) -> None:
        self._received_bytes += sign * connection.received_bytes
        self._sent_bytes += sign * connection.sent_bytes
        self._messages += sign * connection.messages
        self._responses += sign * connection.responses

    # -- figures ---------------------------------------------------------------------------------

    @property
    def received_bytes(self) -> int:
        """From all clients so far."""
        return (
            self._received_bytes
            + sum(c.received_bytes for c in self.connections.values())
            + sum(e.received_bytes for e in self.entrances if isinstance(e, Datagrams))
        )

    @property
    def sent_bytes(self) -> int:
        """That the kernel took, so far."""
        return (
            self._sent_bytes
            + sum(c.sent_bytes for c in self.connections.values())
            + sum(e.sent_bytes for e in self.entrances if isinstance(e, Datagrams))
        )

    @property
    def messages(self) -> int:
        """That were delivered so far, datagrams too."""
        return (
            self._messages
            + sum(c.messages for c in self.connections.values())
            + sum(e.received for e in self.entrances if isinstance(e, Datagrams))
        )

    @property
    def responses(self) -> int:
        """Sends that were taken so far."""
        return self._responses + sum(c.responses for c in self.connections.values())

    @property
    def accept_pauses(self) -> int:
        """How often there were no descriptors."""
        return sum(e.pauses for e in self.entrances if isinstance(e, Listener))

    # -- what the sockets tell -------------------------------------------------------------------

    def _accepted(self, sock: socket.socket, address: SocketAddress, listener: Listener) -> None:
        self.accepted += 1
        options = listener.options
        host = host_of(address) if options.max_per_client else ""
        if host and self._by_host[host] >= options.max_per_client:
            self._turn_away(sock, f"{host} has max_per_client={options.max_per_client} already")
            return
        if sum(len(home.connections) for home in self.homes) >= self.most_connections:
            self._turn_away(sock, f"{self.most_connections} are open, see max_connections")
            listener.pause()
            return
        try:
            session = self.sessions.take(self.owner)
        except NoFreeSession:
            self._turn_away(sock, "every session number is in use")
            listener.pause()
            return
        if host:
            self._by_host[host] += 1
        home = self.homes[slot_of(session) % len(self.homes)]
        if home is self:
            self._admit(sock, session, address, listener)
        else:
            home.reactor.post(partial(home._admit, sock, session, address, listener))

    def _admit(
        self, sock: socket.socket, session: int, address: SocketAddress, listener: Listener
    ) -> None:
        try:
            connection = self._connection(sock, session, address, listener)
        except (OSError, DescriptorTooHigh) as error:  # reset already; or no place in the poller
            self.sessions.free(session)
            self._turn_away(sock, str(error))
            self._tell_door(host_of(address) if listener.options.max_per_client else "")
            return
        self.connections[session] = connection
        self._begin(connection)

    def _connection(
        self, sock: socket.socket, session: int, address: SocketAddress, listener: Listener
    ) -> Connection:
        sock.setblocking(False)
        sockopts.on_connection(sock, listener.options)
        framing = listener.make_framing() if listener.make_framing is not None else None
        connection = Connection(
            self, sock, session, address, listener.number, listener.options, framing
        )
        connection.open()
        return connection

    def _begin(self, connection: Connection) -> None:
        self.events.connected(connection)

    def _turn_away(self, sock: socket.socket, why: str) -> None:
        self.refused += 1
        sock.close()
        now_s = time.monotonic()
        if now_s >= self._quiet_until_s:
            self._quiet_until_s = now_s + LOG_EVERY_S
            _log.warning("closed a new connection: %s (%d so far)", why, self.refused)

    def _packet(self, data: bytes, sender: SocketAddress, entrance: Datagrams) -> None:
        self.events.packet(data, Client(sender, entrance.number))

    def forget(self, connection: Connection) -> None:
        """Its close has been told: the session ends here."""
        self.connections.pop(connection.session, None)
        self.sessions.free(connection.session)
        self.closed += 1
        self._add_figures(connection, 1)
        self._tell_door(host_of(connection.address) if connection.options.max_per_client else "")
        self._check_drained()

    def _tell_door(self, host: str) -> None:
        if self.door is self:
            self._room_again(host)
        else:
            self.door.reactor.post(partial(self.door._room_again, host))

    def _room_again(self, host: str) -> None:
        """A connection that we accepted is over."""
        if host:
            self._leave_host(host)
        for entrance in self.entrances:
            if isinstance(entrance, Listener):
                entrance.resume()

    def _leave_host(self, host: str) -> None:
        self._by_host[host] -= 1
        if self._by_host[host] <= 0:
            del self._by_host[host]
