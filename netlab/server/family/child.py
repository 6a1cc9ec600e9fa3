"""What a worker and a task worker have in common: a line to the hub, a control link, an end.

A child says `ready` when it has booted, is told `serve`, and told to leave by a LEAVE behind its
last work, so that it knows when it has dealt with everything. It asks to be relieved (`leaving`)
when it has done its share or gets a TERM; when its parent is gone it goes at once. An exception
while booting is sent to the manager, traceback and all. Read first: manager.py, process.py.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import signal
import socket
import time
import traceback
from typing import Any, Protocol

from netlab.server.callbacks import Caller
from netlab.server.channels import Channel, ChannelClosed, MessageTooLarge
from netlab.server.family.family_role import FamilyRole, stats_from
from netlab.server.family.process import leave_within
from netlab.server.family.remote import RemoteEngine
from netlab.server.family.roster import LATE_S
from netlab.server.loop.reactor import READ, Reactor
from netlab.server.messages import control
from netlab.server.messages.envelope import (
    Envelope,
    Kind,
    bytes_from_envelope,
    envelope_from_bytes,
)
from netlab.server.messages.line import Line
from netlab.server.messages.messenger import Messenger, Refused
from netlab.server.shared.counters import Counter
from netlab.server.shared.estate import Estate
from netlab.server.shared.figures import with_heartbeat
from netlab.server.terms import SendError, Stats

_IGNORED = (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN,
            signal.SIGTTOU)  # fmt: skip
EXIT_BOOT = 3
_log = logging.getLogger("netlab.server")


class Identity(Protocol):
    """Which child it is."""

    @property
    def name(self) -> str: ...
    @property
    def number(self) -> int: ...
    @property
    def generation(self) -> int: ...


def quota(most: int, jitter: int) -> int:
    """How much a child may do before it is replaced, 0: no end; not all are to leave at once."""
    return most and most + random.SystemRandom().randint(0, jitter)


class Child:
    """One process that the manager forked."""

    def __init__(
        self, estate: Estate, me: Identity, channel: Channel, control_end: socket.socket
    ) -> None:
        self.estate = estate
        self.name = me.name
        self.number = me.number
        self.generation = me.generation
        self.options = options = estate.options
        self.row = estate.row(me.name, me.generation)
        self.row[Counter.GENERATION] += 1
        self.row[Counter.START_TIME] = int(time.time())
        self.row[Counter.PID] = os.getpid()
        self.reactor = Reactor(estate.probe, options.poller)
        self.reactor.poller.wait = with_heartbeat(self.reactor.poller.wait, self.row)
        self.caller = Caller(estate.server, estate.server.callbacks)
        self.line = Line(channel, self.reactor, self.heard, self._hub_is_gone, self._room_again)
        self._control = control_end
        self.told_to_leave = False
        self._asked_to_leave = False
        self.messenger = Messenger(
            self.name, self.generation, self, self, self.row, self.reactor.defer
        )
        self.remote = RemoteEngine(
            self.name, self.line.send, lambda: self.line.queued_bytes, estate, self.messenger
        )
        self.role = self.made_role()

    def run(self) -> int:
        """Boot, serve, leave; the exit status."""
        try:
            self._boot()
        except Exception:
            self._tell({"event": "failed", "traceback": traceback.format_exc()[-100_000:]})
            return EXIT_BOOT
        self._tell({"event": "ready"})
        self.reactor.run()
        self._call("worker_stop", self.number)
        self.line.drain(self.options.drain_timeout + LATE_S / 2)
        self.let_all_go()
        return 0

    def let_all_go(self) -> None:
        """Close what the kernel would close: a recording then says that it was in order."""
        self.line.close()
        if self._control.fileno() >= 0:
            self.reactor.unregister(self._control.fileno())
            self._control.close()
        self.reactor.close()

    # -- for those who derive --------------------------------------------------------------------

    def made_role(self) -> FamilyRole:
        """The verbs that the user's callbacks get here."""
        return FamilyRole(
            self.name, self.estate, self.remote, self.messenger, self.reactor, self.caller, self
        )

    def booted(self) -> None:
        """Last step of booting: after worker_start."""

    def serve(self) -> None:
        """New work may come."""

    def work(self, message: bytes) -> None:
        """An envelope that is not for the messenger."""

    def leave(self) -> None:
        """Everything that was handed to us is dealt with; `self.reactor.stop()` ends us."""
        self.stop_when_idle()

    def obey(self, message: control.Message, descriptors: list[int]) -> None:
        """A word from the manager."""
        if message["do"] == "serve":
            self.serve()

    # -- the way out -----------------------------------------------------------------------------

    def stop_when_idle(self) -> None:
        """Stop when the tasks that we gave away are back, or time is over."""
        deadline_s = time.monotonic() + self.options.drain_timeout

        def look() -> None:
            if not self.messenger.tasks_out or time.monotonic() >= deadline_s:
                self.reactor.stop()

        look()
        if self.messenger.tasks_out:
            self.reactor.tick(0.01, look)

    def ask_to_leave(self, why: str) -> None:
        """Tell the manager, once, that another should take over."""
        if not self._asked_to_leave and not self.told_to_leave:
            self._asked_to_leave = True
            self._tell({"event": "leaving", "why": why})

    def _told(self) -> None:
        if self.told_to_leave:
            return
        self.told_to_leave = True
        self._read_control()  # what was said before the LEAVE on the other line
        self._call("worker_exit", self.number)
        self.leave()

    def _room_again(self) -> None:
        """The line takes more: whoever was refused because of it may go on."""
        refused, self.remote.refused_here = self.remote.refused_here, {}
        for session in refused:
            if self.remote.exists(session):
                self.caller.call("buffer_empty", session, session=session)

    def _hub_is_gone(self) -> None:
        leave_within(self.options.drain_timeout + LATE_S)
        self.abandoned()

    def abandoned(self) -> None:
        """The hub or the manager is gone: nobody is there to serve for."""
        self.reactor.stop()

    # -- booting ---------------------------------------------------------------------------------

    def take_signals(self) -> None:
        """TERM asks us to leave; those of the terminal are the main process's. Then the manager is
        listened to."""
        for number in _IGNORED:
            signal.signal(number, signal.SIG_IGN)
        self.reactor.on_signal(signal.SIGTERM, self._term)
        self._control.setblocking(False)
        self.reactor.register(self._control.fileno(), READ, lambda events: self._read_control())

    def _boot(self) -> None:
        self.take_signals()
        self.estate.server.act_as(self.role)
        callback = self.caller.callbacks.get("worker_start")
        if callback is not None:
            callback(self.estate.server, self.number)
        self.booted()

    def _term(self) -> None:
        self.ask_to_leave("SIGTERM")

    def _call(self, name: str, *arguments: object) -> None:
        self.caller.call(name, *arguments)

    # -- control ---------------------------------------------------------------------------------

    def _tell(self, message: control.Message, descriptors: tuple[int, ...] = ()) -> None:
        with contextlib.suppress(OSError):  # the parent is gone: our line says so too
            control.send(self._control, message, descriptors)

    def close_control(self) -> None:
        """Let go of the link to the parent."""
        self._control.close()

    def _read_control(self) -> None:
        while self._control.fileno() >= 0:
            try:
                received = control.receive(self._control)
            except BlockingIOError:
                return
            if received is None:
                self.reactor.unregister(self._control.fileno())
                self._control.close()
                self._hub_is_gone()
                return
            self.obey(*received)

    # -- the line: Wire and Hears ----------------------------------------------------------------

    def heard(self, messages: list[bytes]) -> None:
        """What the hub sent."""
        for message in messages:
            self.take(message)

    def take(self, message: bytes) -> None:
        """One envelope."""
        if message[0] == Kind.LEAVE:
            self._told()
        elif message[0] in _WORK:
            self.work(message)
        else:
            self.messenger.handle(envelope_from_bytes(message))

    def post(self, envelope: Envelope) -> None:
        """See Wire."""
        if self.line.closed:
            raise Refused(SendError.SHUTTING_DOWN)
        try:
            self.line.send(bytes_from_envelope(envelope), envelope.about)
        except MessageTooLarge:
            raise Refused(SendError.MESSAGE_TOO_LARGE) from None

    def listen(self, timeout_s: float) -> list[Envelope]:
        """See Wire."""
        if self.line.closed:
            raise Refused(SendError.SHUTTING_DOWN)
        self.line.drain(timeout_s)
        channel = self.line.channel
        if self.reactor.edge:
            self.reactor.again(channel.fileno(), READ)
        try:
            messages = self.line.read() if channel.wait(timeout_s) else []
        except ChannelClosed:
            raise Refused(SendError.SHUTTING_DOWN) from None
        return [envelope_from_bytes(message) for message in messages]

    def other(self, envelope: Envelope) -> None:
        """Work that came while somebody waited for an answer."""
        self.take(bytes_from_envelope(envelope))

    def message(self, source: str, value: Any) -> None:
        """See Hears."""
        self._call("pipe_message", source, value)

    def finished(self, task_id: int, value: Any) -> None:
        """See Hears."""
        self._call("finish", task_id, value)

    def task_lost(self, task_id: int) -> None:
        """See Hears."""
        _log.warning("%s: task %d is lost, its task worker died", self.name, task_id)

    def question(self, name: str, argument: Any) -> Any:
        """See Hears."""
        raise Refused(SendError.NO_SUCH_TARGET)

    # -- Lead ------------------------------------------------------------------------------------

    def stats(self) -> Stats:
        """The hub asks everybody and adds up; when it does not answer in time, what stands in the
        shared counters, and nobody is known to be idle."""
        try:
            found = self.messenger.ask(self.estate.hub, "stats")
        except Refused:
            return stats_from(self.estate, workers=self.options.workers, idle=0)
        assert isinstance(found, Stats)
        return found

    def reload(self, only_tasks: bool) -> bool:
        """The hub passes it on."""
        return self._command("reload", only_tasks)

    def stop_worker(self, name: str) -> bool:
        """One worker is to leave: this one, or another."""
        if name == self.name:
            self.ask_to_leave("stop() was called")
            return True
        return self._command("stop", name)

    def shutdown(self) -> None:
        """Everything is to stop."""
        self._command("shutdown", None)

    def _command(self, name: str, argument: object) -> bool:
        try:
            return bool(self.messenger.ask(self.estate.hub, name, argument))
        except Refused as refused:
            self.remote.last_error = refused.error
            return False


_WORK = frozenset({Kind.CONNECT, Kind.RECEIVE, Kind.HALF_CLOSE, Kind.CLOSED, Kind.BUFFER_FULL,
                   Kind.BUFFER_EMPTY, Kind.PACKET, Kind.TASK, Kind.SEND, Kind.SENDFILE, Kind.SENDTO,
                   Kind.CLOSE, Kind.SHUT, Kind.PAUSE, Kind.RESUME, Kind.PROTECT,
                   Kind.BIND})  # fmt: skip
