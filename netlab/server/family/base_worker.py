"""A worker of `base`: it accepts, has its own sockets and reactor, and runs the callbacks.

Verbs of other processes on its sessions come as envelopes. When it is replaced, it stops accepting
and hands its connections to its heir, one message each, before it goes; what comes for a session
that has not arrived yet waits with the heir until all have. Read first: child.py, handover.py.
"""

from __future__ import annotations

import logging
import socket
from typing import Any

from netlab.server.callbacks import LocalEvents
from netlab.server.channels import Channel
from netlab.server.family.child import Child, Identity, quota
from netlab.server.family.engines import Engines
from netlab.server.family.family_role import FamilyRole
from netlab.server.family.here_or_there import HereOrThere
from netlab.server.loop.reactor import READ
from netlab.server.messages import control
from netlab.server.messages.envelope import Kind, head_from
from netlab.server.messages.messenger import Refused
from netlab.server.pages.status_door import longest_queues
from netlab.server.server import Opened
from netlab.server.shared.estate import Estate
from netlab.server.shared.figures import Figures
from netlab.server.sockets.connection import Connection
from netlab.server.sockets.engine import Engine
from netlab.server.sockets.handover import Baggage, fits, give, taken
from netlab.server.sockets.travel import baggage_of
from netlab.server.terms import Client, Closed, SendError

_log = logging.getLogger("netlab.server")


class _Events(LocalEvents):
    """Callbacks here; what begins and ends is counted, and what was handled, where it is asked."""

    def __init__(self, worker: BaseWorker) -> None:
        super().__init__(worker.caller)
        self._worker = worker
        if worker.quota:
            self.received = self._counted(self.received)

    def connected(self, connection: Connection) -> None:
        self._worker.figures.moved()
        self._worker.estate.admitted(connection.session, connection.entrance)
        super().connected(connection)

    def buffer_full(self, connection: Connection) -> None:
        self._worker.engines.look_at_output(connection)
        super().buffer_full(connection)

    def buffer_empty(self, connection: Connection) -> None:
        self._worker.engines.look_at_output(connection)
        super().buffer_empty(connection)

    def closed(self, connection: Connection, closed: Closed) -> None:
        super().closed(connection, closed)
        self._worker.engines.look_at_output(connection)
        self._worker.reactor.defer(self._worker.figures.moved)  # when the engine has forgotten it

    def packet(self, data: bytes, client: Client) -> None:
        super().packet(data, client)
        self._worker.handled()

    def _counted(self, received: Any) -> Any:
        def counting(connection: Connection, message: bytes) -> None:
            received(connection, message)
            self._worker.handled()

        return counting


class BaseWorker(Child):
    """One of several that listen at the same addresses."""

    def __init__(
        self,
        estate: Estate,
        me: Identity,
        channel: Channel,
        control_end: socket.socket,
        sockets: list[Opened],
    ) -> None:
        """`sockets` are those that this worker is to listen with."""
        super().__init__(estate, me, channel, control_end)
        options = self.options
        self.quota = quota(options.max_requests, options.max_requests_jitter)
        self._handled = 0
        self._left = False
        self._heir: socket.socket | None = None  # who gets our connections
        self._heirs_generation = 0
        estate.sessions.holder = me.generation
        self._forebear: socket.socket | None = None  # whose connections we get
        self._early: list[bytes] = []  # verbs on sessions that have not arrived
        self.engine = Engine(
            estate.probe, self.reactor, options, estate.sessions, _Events(self),
            estate.owner(me.number, me.generation), name=self.name,
            keeps_half_open="half_close" in self.caller.callbacks,
        )  # fmt: skip
        self.engine.worker = me.number
        for sock, place, of_place in sockets:
            self.engine.adopt(sock, place, of_place, exclusive=not of_place.reuse_port)
        self.engines = Engines([self.engine], self.engine, estate)
        self.figures = Figures(self.row, [self.engine], messages=True)
        verbs = HereOrThere(
            self.name, self.line.send, lambda: self.line.queued_bytes, estate, self.messenger
        )
        verbs.engine = self.engine
        self.remote = verbs
        self.role = FamilyRole(
            self.name, estate, verbs, self.messenger, self.reactor, self.caller, self
        )

    def serve(self) -> None:
        """Begin to accept, unless the end has come before."""
        if not self.told_to_leave:
            self.engine.start()

    def handled(self) -> None:
        """A message was dealt with."""
        self._handled += 1
        if self._handled == self.quota:
            self.ask_to_leave("max_requests is reached")

    def work(self, message: bytes) -> None:
        """A verb of another process on a session of ours."""
        session = head_from(message)[3]
        if session and session not in self.engine.connections and self._forebear is not None:
            self._early.append(message)
        elif message[0] != Kind.IDLE:
            self.engines.verb(message)

    def question(self, name: str, argument: Any) -> Any:
        """What other processes want to know."""
        if name == "client_info":
            return self.engine.client_info(argument)
        if name == "connections":
            return longest_queues(self.engine, argument)
        if name == "publish":
            self.figures.publish()
            return True
        raise Refused(SendError.NO_SUCH_TARGET)

    # -- connections from one process to the next ------------------------------------------------

    def obey(self, message: control.Message, descriptors: list[int]) -> None:
        """A word from the manager."""
        match message["do"]:
            case "bequeath":
                self._heir = socket.socket(fileno=descriptors[0])
                self._heirs_generation = message["heir"]
            case "inherit":
                self._inherit(socket.socket(fileno=descriptors[0]))
            case _:
                super().obey(message, descriptors)

    def leave(self) -> None:
        """Accept no more; the connections go to the heir, or end when their output is sent."""
        self.engine.stop_accepting(unlink=False)
        if self._forebear is not None:
            self._take_all()
        if self._heir is not None:
            self._bequeath(self._heir)
        self.engine.drain(self.options.drain_timeout, self._drained)

    def abandoned(self) -> None:
        """The manager is gone: end, but let the output leave."""
        if not self._left:
            self._left = True
            self.engine.stop_accepting(unlink=False)
            self.engine.drain(self.options.drain_timeout, lambda clean: self.reactor.stop())

    def _drained(self, clean: bool) -> None:
        self.figures.publish()
        if not clean:
            _log.warning("%s: output was dropped, as drain_timeout is over", self.name)
        self.stop_when_idle()

    def _bequeath(self, heir: socket.socket) -> None:
        """Hand over what can be handed over; what cannot is drained here."""
        heir.setblocking(True)
        given = 0
        try:
            for connection in list(self.engine.connections.values()):
                baggage = baggage_of(connection)
                if connection.closed is None and fits(baggage):
                    self._give(heir, connection, baggage)
                    self.engine.depart(connection)
                    given += 1
        except OSError as error:
            _log.warning("%s: the heir took %d connections: %s", self.name, given, error)
        finally:
            heir.close()
            self._heir = None
        self.figures.publish()

    def _give(self, heir: socket.socket, connection: Connection, baggage: Baggage) -> None:
        """It is the heir's before it is sent: should the heir die, it has died with it."""
        sessions = self.estate.sessions
        sessions.hand(connection.session, self._heirs_generation)
        try:
            give(heir, connection.socket, baggage)
        except BaseException:
            sessions.hand(connection.session, self.generation)
            raise

    def _inherit(self, line: socket.socket) -> None:
        line.setblocking(False)
        self._forebear = line
        self.reactor.register(line.fileno(), READ, lambda events: self._arrivals())

    def _arrivals(self) -> None:
        while self._forebear is not None:
            try:
                arrival = taken(self._forebear)
            except BlockingIOError:
                return
            if arrival is None:
                self._inherited()
                return
            self.engines.look_at_output(self.engine.arrive(*arrival))

    def _take_all(self) -> None:
        """We are to go ourselves, and the forebear has not finished: wait for the rest."""
        if self._forebear is not None:
            self._forebear.settimeout(self.options.drain_timeout)
            try:
                self._arrivals()
            except TimeoutError:
                self._inherited()

    def _inherited(self) -> None:
        assert self._forebear is not None
        self.reactor.unregister(self._forebear.fileno())
        self._forebear.close()
        self._forebear = None
        self.figures.publish()
        early, self._early = self._early, []
        for message in early:
            self.work(message)
