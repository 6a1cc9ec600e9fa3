"""The mode `process`: the master owns the sockets, and workers behind lines run the callbacks.

The master forks the manager, before it has any thread, and the manager forks the rest; their lines
come as descriptors over the control link. Connections live here, so that no worker's death ends
them. With one reactor all is done in the main thread; with more, each has a thread, a poller and
the connections of its share, and the main thread accepts, dispatches and has the lines.

Stopping: no more is accepted nor read; the workers finish what they have; their last answers come
in; the output is drained; everything is closed. Read first: dispatching.py, manager_process.py.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NoReturn

from netlab.server.channels import Channel, channel_from, make_pair
from netlab.server.family.dispatching import Dispatching
from netlab.server.family.engines import Engines, without_limit
from netlab.server.family.family_role import stats_from
from netlab.server.family.hub import HubProcess
from netlab.server.family.manager_process import ManagerProcess
from netlab.server.family.posted import Posted
from netlab.server.family.process import begin_child, flush_streams, fork
from netlab.server.family.reactor_threads import ReactorThread, say_what_threads_give
from netlab.server.family.roster import EXIT_FORCED, LATE_S
from netlab.server.loop.reactor import READ, Reactor
from netlab.server.messages import control
from netlab.server.messages.envelope import Kind, envelope_from_bytes, head_from
from netlab.server.messages.switchboard import Station
from netlab.server.pages.status_door import door, longest_queues
from netlab.server.server import Server
from netlab.server.shared.counters import Counter
from netlab.server.shared.estate import Estate
from netlab.server.shared.figures import Figures, with_heartbeat
from netlab.server.sockets.engine import Engine
from netlab.server.terms import ClientInfo, SendError, Stats

BY_STOPPING = 16  # a cause not to read, beside those in connection.py
_log = logging.getLogger("netlab.server")


def run(server: Server) -> int:
    """Serve until stopped; the exit status."""
    estate = Estate(server)
    channel, theirs = make_pair(estate.options.ipc, estate.probe)
    link, their_link = control.pair(estate.probe.socketpair)
    estate.probe.name_child("manager")
    parent = os.getpid()
    pid = fork()
    if pid == 0:
        channel.close()
        link.close()
        _be_manager(estate, parent, theirs, their_link)
    theirs.close()
    their_link.close()
    estate.probe.name_thread("master/reactor-0" if estate.options.reactors == 1 else "master")
    with Reactor(server.probe, server.options.poller) as reactor:
        return Master(estate, reactor, pid, channel, link).run()


def _be_manager(estate: Estate, parent: int, channel: Channel, link: socket.socket) -> NoReturn:
    status = 70  # EX_SOFTWARE: a traceback says the rest
    try:
        begin_child("manager", parent)
        for sock, _, _ in estate.server.opened:
            sock.close()
        status = ManagerProcess(estate, channel, link).run()
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(Exception):
            logging.shutdown()
            flush_streams()
        estate.probe.leaving()
        os._exit(status & 0xFF)


class Master(HubProcess):
    """Sockets, lines, and the end of it all."""

    def __init__(
        self, estate: Estate, reactor: Reactor, manager: int, channel: Channel, link: socket.socket
    ) -> None:
        super().__init__(estate, ("master",), reactor)
        options = self.options
        self._manager = manager
        self._link = link
        self._manager_finished = False
        self._serving = False
        self._draining = 0  # reactors whose output still leaves
        self._pidfds: dict[tuple[str, int], int] = {}
        reactor.poller.wait = with_heartbeat(reactor.poller.wait, self.row)
        self._dispatching = Dispatching(
            self.switchboard, estate, self.row, self.caller,
            lambda text: _log.warning("%s", text), lambda: self._figures.moved(),
        )  # fmt: skip
        self._door = Engine(
            estate.probe, reactor, without_limit(options), estate.sessions, self._dispatching,
            name="master", keeps_half_open="half_close" in estate.server.callbacks,
        )  # fmt: skip
        for sock, place, of_place in estate.server.opened:
            self._door.adopt(sock, place, without_limit(of_place))
        self._threads = self._made_threads()
        homes = [thread.engine for thread in self._threads] or [self._door]
        self._door.homes = homes
        self._engines = Engines(homes, self._door, estate)
        self._dispatching.serve(self._engines)
        self._figures = Figures(self.row, list({*homes, self._door}), messages=False)
        self.switchboard.plug("manager", 1, channel, estate.row("manager"))
        self.switchboard.serve("manager", 1)
        link.setblocking(False)
        reactor.register(link.fileno(), READ, lambda events: self._read_link())

    def _made_threads(self) -> list[ReactorThread]:
        count = self.options.reactors
        if count == 1:
            return []
        say_what_threads_give(count)
        events = Posted(self.reactor, self._dispatching)
        options = without_limit(self.options)
        return [
            ReactorThread(
                number, self.estate, options, events, self._door,
                lambda: self.reactor.post(self.quit),
            )
            for number in range(count)
        ]  # fmt: skip

    def run(self) -> int:
        """From the first callback to the last."""
        self.row[Counter.GENERATION] += 1
        self.row[Counter.START_TIME] = int(time.time())
        self.estate.server.act_as(self.role)
        self.heed()
        try:
            with door(self.estate.server, self.reactor, self):
                self.reactor.run()
            self.caller.call("shutdown")
        finally:
            self._door.stop_accepting()
            self._everywhere(Engine.abandon)
            for thread in self._threads:
                thread.end()
            self._end_manager()
            self.switchboard.close()
        return self.status

    # -- orders ----------------------------------------------------------------------------------

    def stop(self) -> None:
        """No more is accepted nor read; the workers finish."""
        self.stopping = True
        self._door.stop_accepting()
        self._everywhere(_read_no_more)
        self._order({"do": "stop"})

    def quit(self) -> None:
        """Everybody ends, connections are reset."""
        self.stopping = True
        self.status = EXIT_FORCED
        self._door.stop_accepting()
        self._everywhere(Engine.abandon)
        self._order({"do": "quit"})
        self._go_on_stopping()

    def reload(self, only_tasks: bool) -> bool:
        """Replace the children one by one."""
        self._order({"do": "reload", "tasks_only": only_tasks})
        return not self.stopping

    def stop_worker(self, name: str) -> bool:
        """Replace one child."""
        if self.switchboard.serving(name) is None:
            self.remote.last_error = SendError.NO_SUCH_TARGET
            return False
        self._order({"do": "replace", "name": name})
        return True

    def more(self) -> None:
        """One worker more."""
        self._order({"do": "more"})

    def less(self) -> None:
        """One worker less."""
        self._order({"do": "less"})

    def stats(self) -> Stats:
        """All sockets are here."""
        self._figures.publish()
        workers = [s for s in self.switchboard.stations() if s.name.startswith("worker")]
        idle = self._dispatching.idle_workers()
        return stats_from(self.estate, workers=len(workers), idle=idle)

    def client_info(self, session: int) -> ClientInfo | None:
        """All sockets are here."""
        info = self._engines.client_info(session)
        return None if info is None else self._with_worker(info)

    def connections(self, most: int) -> list[ClientInfo]:
        """All sockets are here."""
        engines = self._engines.all
        return [self._with_worker(i) for engine in engines for i in longest_queues(engine, most)]

    def _with_worker(self, info: ClientInfo) -> ClientInfo:
        return replace(info, worker=self._dispatching.worker_of(info))

    # -- the lines -------------------------------------------------------------------------------

    def verb(self, message: bytes) -> None:
        """A verb on a session; a marker that has come back; a question about a session."""
        kind = message[0]
        if kind == Kind.IDLE:
            _, _, _, session, _, number = head_from(message)
            self._dispatching.marker(session, f"worker-{number}")
        elif kind == Kind.ASK:
            self.messenger.handle(envelope_from_bytes(message))
        else:
            self._engines.verb(message)

    def gone(self, station: Station) -> None:
        """A process is gone."""
        if station.name.startswith("worker"):
            self._dispatching.worker_gone(station)
        pidfd = self._pidfds.pop((station.name, station.generation), -1)
        if pidfd >= 0:
            os.close(pidfd)
        self._go_on_stopping()

    def drained(self, station: Station) -> None:
        """A line is empty again."""
        self._dispatching.drained(station)

    # -- the manager -----------------------------------------------------------------------------

    def _order(self, message: control.Message) -> None:
        if self._link.fileno() >= 0:
            with contextlib.suppress(OSError):  # it is gone: the end of the link says so
                control.send(self._link, message)

    def _read_link(self) -> None:
        while self._link.fileno() >= 0:
            try:
                received = control.receive(self._link)
            except BlockingIOError:
                return
            if received is None:
                self.reactor.unregister(self._link.fileno())
                self._link.close()
                self._manager_gone()
                return
            self._hear_manager(*received)

    def _hear_manager(self, message: control.Message, descriptors: list[int]) -> None:
        match message["event"]:
            case "plug":
                self._plug(message, descriptors)
            case "serve":
                station = self.switchboard.serve(message["name"], message["generation"])
                if station is not None and station.name.startswith("worker"):
                    self._dispatching.worker_serves(station)
            case "leave":
                for station in self.switchboard.stations():
                    if (station.name, station.generation) == (
                        message["name"], message["generation"]
                    ):  # fmt: skip
                        self._dispatching.worker_leaves(station)
                self.switchboard.leave(message["name"], message["generation"])
            case "resize":
                self._dispatching.resized(message["workers"])
                for number in range(message["workers"], self.estate.most_workers):
                    self.switchboard.forget(f"worker-{number}")
            case "booted":
                self._booted()
            case "asked":
                self._asked(message["order"])
            case "finished":
                self._manager_finished = True
                self.stopping = True
                self.status = max(self.status, message["status"])

    def _plug(self, message: control.Message, descriptors: list[int]) -> None:
        name, generation = message["name"], message["generation"]
        channel = channel_from(message["channel"], tuple(descriptors), self.estate.probe)
        self.switchboard.plug(name, generation, channel, self.estate.row(name, generation))
        with contextlib.suppress(OSError):  # dead already
            self._pidfds[name, generation] = os.pidfd_open(message["pid"])

    def _booted(self) -> None:
        if not self.stopping:
            self._serving = True
            for thread in self._threads:
                thread.start()
            self._door.start()
            self.estate.server.serving()
            self.caller.call("start")

    def _asked(self, order: str) -> None:
        match order:
            case "stop":
                if not self.stopping:
                    self.stop()
            case "quit":
                self.quit()
            case "more":
                self.more()
            case "less":
                self.less()
            case _:
                self.reload(order == "reload tasks")

    def _manager_gone(self) -> None:
        """It has finished, or died: then its children die too, and nothing can go on."""
        if not self._manager_finished:
            self._manager_finished = True
            self.stopping = True
            self.status = max(self.status, EXIT_FORCED)
            _log.error("the manager (pid %d) is gone: the server stops", self._manager)
            self.reactor.after(self.options.drain_timeout + LATE_S, self._kill_orphans)
        self._go_on_stopping()

    def _kill_orphans(self) -> None:
        for pidfd in self._pidfds.values():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)

    def _go_on_stopping(self) -> None:
        """When the last process is gone and all it said is read, the output may drain."""
        if self._draining or not self._manager_finished or any(self.switchboard.stations()):
            return
        if not self._serving:  # no reactor runs but this one
            self.reactor.stop()
            return
        self._door.stop_accepting()
        self._draining = len(self._engines.all)
        self._everywhere(self._drain)

    def _drain(self, engine: Engine) -> None:
        def done(clean: bool) -> None:
            self.reactor.post(partial(self._drained, clean))

        engine.drain(self.options.drain_timeout, done)

    def _drained(self, clean: bool) -> None:
        if not clean:
            self.status = max(self.status, EXIT_FORCED)
        self._draining -= 1
        if not self._draining:
            self.reactor.stop()

    def _everywhere(self, action: Callable[[Engine], None]) -> None:
        """Let each reactor do it with its engine."""
        for engine in self._engines.all:
            if engine is self._door or not self._serving:
                action(engine)
            else:
                engine.reactor.post(partial(action, engine))

    def _end_manager(self) -> None:
        """In order it has ended by itself; after a fault here it gets a TERM by our end."""
        if self._link.fileno() >= 0:
            self._link.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._manager, 0)
        for pidfd in self._pidfds.values():
            os.close(pidfd)


def _read_no_more(engine: Engine) -> None:
    for connection in list(engine.connections.values()):
        connection.pause(BY_STOPPING)
