"""The mode `single`: one process, one reactor, every callback in it.

It plays all roles, so `start`, `worker_start`, `worker_stop` and `shutdown` are called here too.
Signals: TERM and INT stop in order (entrances closed, read no more, output sent, closed), a second
INT or QUIT stops now. There are no workers: what would reload them, or change their number, is
noted in the log.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from netlab.server.callbacks import Caller, LocalEvents
from netlab.server.local_role import LocalVerbs
from netlab.server.loop.reactor import Reactor
from netlab.server.pages.status import ProcessRow, signal_text
from netlab.server.pages.status_door import door, longest_queues
from netlab.server.role import Alone
from netlab.server.shared.sessions import SessionTable
from netlab.server.sockets.engine import Engine
from netlab.server.terms import ClientInfo, Mode, Stats

if TYPE_CHECKING:
    from netlab.server.server import Server

_log = logging.getLogger("netlab.server")


def run(server: Server) -> int:
    """Serve until stopped; 0 after an orderly stop, 1 when output or connections were dropped."""
    return serve(server, Mode.SINGLE, Engine)


def serve(server: Server, mode: Mode, make_engine: type[Engine]) -> int:
    """Serve with this engine in this process alone."""
    options = server.options
    sessions = SessionTable(options.max_connections)
    try:
        with Reactor(server.probe, options.poller) as reactor:
            caller = Caller(server, server.callbacks)
            engine = make_engine(
                server.probe, reactor, options, sessions, LocalEvents(caller),
                keeps_half_open="half_close" in server.callbacks,
            )  # fmt: skip
            for sock, place, of_place in server.opened:
                engine.adopt(sock, place, of_place)
            alone = _Single(mode, engine, reactor, caller)
            with door(server, reactor, alone):
                return alone.run()
    finally:
        sessions.close()


def heed(reactor: Reactor, stop: Callable[[], None], stop_now: Callable[[], None]) -> None:
    """Let signals stop a server without workers. Only in the main thread: elsewhere the program
    that uses the server as a library has its own ways."""
    if threading.current_thread() is not threading.main_thread():
        return
    interrupts = 0

    def interrupted() -> None:
        nonlocal interrupts
        interrupts += 1
        (stop if interrupts == 1 else stop_now)()

    reactor.on_signal(signal.SIGTERM, stop)
    reactor.on_signal(signal.SIGINT, interrupted)
    reactor.on_signal(signal.SIGQUIT, stop_now)
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        reactor.on_signal(number, lambda: _log.warning("there are no workers to reload"))
    for number in (signal.SIGTTIN, signal.SIGTTOU):  # by default these would stop the process
        reactor.on_signal(number, lambda: _log.warning("there are no workers, and there cannot be"))


class _Single(LocalVerbs, Alone):
    """The one process."""

    def __init__(self, mode: Mode, engine: Engine, reactor: Reactor, caller: Caller) -> None:
        super().__init__("server", engine, reactor, caller)
        self.mode_name = mode.value
        self._server = caller.server
        self._started_at_s = time.time()
        self._stopping = False
        self._status = 0

    def run(self) -> int:
        """From the first callback to the last."""
        self._server.act_as(self)
        engine, call = self.engine, self.caller.call
        heed(self.reactor, self.shutdown, self.stop_now)
        try:
            engine.start()
            self._server.serving()
            self.reactor.defer(lambda: call("start"))
            self.reactor.defer(lambda: call("worker_start", 0))
            self.reactor.run()
        finally:
            engine.stop_accepting()
            engine.abandon()  # after an exception: nobody is left without an end
            self.reactor.run_deferred()
            if not engine.finish(self._server.options.drain_timeout):
                self._status = 1
        call("worker_stop", 0)
        call("shutdown")
        return self._status

    def shutdown(self) -> None:
        """Stop in order. Any thread may ask for it."""
        self.reactor.post(self._stop)

    def stop(self, worker: int | None = None) -> bool:
        """The one worker there is: the server."""
        self.shutdown()
        return True

    def stop_now(self) -> None:
        """Drop what is queued."""
        self._status = 1
        self.engine.stop_accepting()
        self.engine.abandon()
        self.reactor.stop()

    def stats(self) -> Stats:
        """Totals since the start."""
        engine = self.engine
        return Stats(
            mode=Mode(self.mode_name),
            started_at_s=self._started_at_s,
            connections=len(engine.connections),
            accepted=engine.accepted,
            closed=engine.closed,
            refused=engine.refused,
            received_bytes=engine.received_bytes,
            sent_bytes=engine.sent_bytes,
            messages=engine.messages,
            responses=engine.responses,
            workers=1,
            idle_workers=1,
            accept_pauses=engine.accept_pauses,
        )

    def rows(self) -> list[ProcessRow]:
        """For the status page: there is one process."""
        engine = self.engine
        row = ProcessRow(
            "server",
            os.getpid(),
            len(engine.connections),
            engine.messages,
            engine.received_bytes,
            engine.sent_bytes,
            signal=signal_text(self.reactor.last_signal),
        )
        return [row]

    def connections(self, most: int) -> list[ClientInfo]:
        """For the status page."""
        return longest_queues(self.engine, most)

    def _stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            self.engine.stop_accepting()
            self.engine.drain(self._server.options.drain_timeout, self._drained)

    def _drained(self, clean: bool) -> None:
        self._status = 0 if clean else 1
        self.reactor.stop()
