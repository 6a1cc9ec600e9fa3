"""The sockets of one process: entrances and connections by session, and the verbs on them.

It turns the kernel's events into those of `Events`, and verbs on sessions into calls on
connections. It knows no callbacks, modes or other processes; a process that owns sockets has one
engine for each reactor. Sockets may be opened here (`listen`) or be inherited (`adopt`).
"""

from __future__ import annotations

import logging
import os
import socket
import stat
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
from netlab.server.terms import (
    Client,
    ClientInfo,
    CloseReason,
    SendError,
    SocketAddress,
    host_of,
)

LOG_EVERY_S = 1.0
_log = logging.getLogger("netlab.server")


class Events(home.Events, Protocol):
    """Who hears of connections and datagrams; the engine calls these, never the other way round."""

    def packet(self, data: bytes, client: Client) -> None: ...


class Engine:
    """Entrances and connections of one process."""

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
        self._probe = probe
        self.reactor = reactor
        self.options = options
        self.sessions = sessions
        self.events = events
        self.owner = owner
        self.name = name
        self.worker: int | None = None  # the number of this process, where it is a worker's
        self.keeps_half_open = keeps_half_open
        self.sendfile_call = probe.sendfile
        self.entrances: list[Entrance] = []
        self.door: Engine = self  # who accepts for us
        self.homes: list[Engine] = [self]  # whose reactors have what we accept, by slot
        self.connections: dict[int, Connection] = {}
        self._last_error: SendError | None = None
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

    @property
    def last_error(self) -> SendError | None:
        """Why the last verb returned False."""
        return self._last_error

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

    # -- verbs -----------------------------------------------------------------------------------

    def send(self, session: int, data: bytes | bytearray | memoryview) -> bool:
        """Send or queue all of it, or nothing: then False, and `last_error` says why."""
        connection = self.connections.get(session)
        error = self._unknown(session) if connection is None else connection.send(data)
        if error is None:
            return True
        return self._refuse(error)

    def sendfile(
        self, session: int, path: str | os.PathLike[str], offset: int = 0, count: int | None = None
    ) -> bool:
        """Send a file, or a range of it, after what is queued."""
        connection = self.connections.get(session)
        if connection is None:
            return self._refuse(self._unknown(session))
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return self._refuse(SendError.NO_SUCH_FILE)
        found = os.fstat(descriptor)
        here = found.st_size - offset
        count = here if count is None else count
        if not stat.S_ISREG(found.st_mode) or offset < 0 or not 0 <= count <= here:
            os.close(descriptor)
            return self._refuse(SendError.NO_SUCH_FILE)
        error = connection.sendfile(descriptor, offset, count, lambda: os.close(descriptor))
        return error is None or self._refuse(error)

    def sendto(self, client: Client, data: bytes) -> bool:
        """Send a datagram from the entrance that the client wrote to."""
        entrances = self.entrances
        entrance = entrances[client.entrance] if client.entrance < len(entrances) else None
        if not isinstance(entrance, Datagrams) or entrance.closed:
            return self._refuse(SendError.NO_SUCH_CLIENT)
        error = entrance.send(data, client.address)
        return error is None or self._refuse(error)

    def close(self, session: int, reset: bool = False) -> bool:
        """Close after the output that is queued, or reset now and drop it."""
        connection = self.connections.get(session)
        if connection is None:
            return self._refuse(self._unknown(session))
        reason = CloseReason.LOCAL_RESET if reset else CloseReason.LOCAL
        return connection.end(reason, reset=reset) or self._refuse(SendError.SESSION_CLOSED)

    def half_close(self, session: int) -> bool:
        """Send no more after what is queued, but go on reading."""
        connection = self._open(session)
        return connection is not None and (
            connection.half_close() or self._refuse(SendError.SESSION_CLOSED)
        )

    def pause(self, session: int) -> bool:
        """Read no more from this client until `resume`."""
        connection = self._open(session)
        if connection is not None:
            connection.pause()
        return connection is not None

    def resume(self, session: int) -> bool:
        """Read again from this client."""
        connection = self._open(session)
        if connection is not None:
            connection.resume()
        return connection is not None

    def protect(self, session: int, on: bool = True) -> bool:
        """Let no time-out close this session, but that of its output."""
        connection = self._open(session)
        if connection is not None:
            connection.protected = on
        return connection is not None

    def bind(self, session: int, uid: int) -> bool:
        """Give the session a number of the user's own, which dispatch may go by."""
        connection = self._open(session)
        if connection is not None:
            connection.uid = uid
        return connection is not None

    def exists(self, session: int) -> bool:
        """Whether the session is there and not closed."""
        connection = self.connections.get(session)
        return connection is not None and connection.closed is None

    def client_info(self, session: int) -> ClientInfo | None:
        """What is known of a session; still there in its close callback."""
        connection = self.connections.get(session)
        if connection is None:
            self._refuse(self._unknown(session))
            return None
        since_s = time.time() - time.monotonic()

        def moment(at_s: float) -> float:
            return since_s + at_s if at_s else 0.0

        return ClientInfo(
            session=session,
            entrance=connection.entrance,
            client=connection.address,
            server=self.door.entrances[connection.entrance].address,
            owner=self.name,
            worker=self.worker,
            uid=connection.uid,
            connected_at_s=moment(connection.connected_at_s),
            received_at_s=moment(connection.received_at_s),
            sent_at_s=moment(connection.sent_at_s),
            received_bytes=connection.received_bytes,
            sent_bytes=connection.sent_bytes,
            messages=connection.messages,
            pending_bytes=connection.pending_bytes,
            queued_bytes=connection.queued_bytes,
            paused=connection.paused,
            protected=connection.protected,
            peer_finished=connection.peer_finished,
            closing=connection.closing is not None,
        )

    def clients(self) -> list[int]:
        """The sessions that are open."""
        return [c.session for c in self.connections.values() if c.closed is None]

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

    def _open(self, session: int) -> Connection | None:
        connection = self.connections.get(session)
        if connection is None or connection.closed is not None:
            self._refuse(self._unknown(session))
            return None
        return connection

    def _unknown(self, session: int) -> SendError:
        was = self.sessions.was(session)
        return SendError.SESSION_CLOSED if was else SendError.SESSION_NOT_EXIST

    def _refuse(self, error: SendError) -> bool:
        self._last_error = error
        return False
