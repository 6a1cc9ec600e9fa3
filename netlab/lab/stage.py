"""One run in progress: the server and its clients in the lab, from the first start to the last end.

Everything happens in one loop that waits for the lab, the programs' reports and the ring, at most
`TURN_S` at a time; a signal only sets a flag that the loop looks at. Knows nothing of terminals,
and of the recording only that the recorder wants to be pumped.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netlab.capture.probe.stamps import stamps_text
from netlab.lab.clients import ClientOrders
from netlab.lab.descendants import Descendants
from netlab.lab.ground import Ground
from netlab.lab.hosts import Ended, Event, House, Started, python_arguments
from netlab.lab.options import OnProgress, Progress, RunOptions, client_names
from netlab.lab.programs import server_orders
from netlab.lab.recorder import Death, Recorder
from netlab.lab.report import ReportReader
from netlab.lab.scenarios import orders_for, packages_for
from netlab.lab.signals import IMPATIENT, Interruptions
from netlab.model.errors import BadRecording, CheckFailed, NetlabError, UsageError

TURN_S = 0.1
STARTS_AT_ONCE = 16  # of what the control connection holds, a fraction
LISTEN_WITHIN_S = 20.0
CLIENTS_END_WITHIN_S = 2.0  # after the server died, or after they were told to stop
SERVER_ENDS_WITHIN_S = 5.0
_LOOPBACK_DOWN = "is lo up? See `ip link show lo`; as root, `ip link set lo up`"
SERVER = "server"
STOPPING = "stopping"
HOST = "localhost"
CLIENT = "client"
_WAY_IN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(slots=True)
class Program:
    """A program of the run as far as we know it."""

    actor: str
    report: ReportReader
    descriptor: int  # of the report, as the poller knows it; -1 once it has ended
    pid: int | None = None  # None until it has started
    ended: Ended | None = None
    messages: int = 0
    lost: int = 0
    done: bool = False
    error: str = ""
    errno: str = ""


@dataclass(slots=True)
class Stage:
    """One run in progress."""

    options: RunOptions
    on_progress: OnProgress
    interruptions: Interruptions
    lab: House
    recorder: Recorder
    spools: Path
    ground: Ground | None = None  # the lab with a wire that the house is part of
    programs: dict[str, Program] = field(default_factory=dict)
    phase: str = "starting the server"
    listening: int | None = None
    disk_full: BadRecording | None = None
    trouble: list[NetlabError] = field(default_factory=list)  # the first is what the user hears
    _descendants: Descendants = field(init=False)
    _poller: select.poll = field(default_factory=select.poll, init=False)

    def __post_init__(self) -> None:
        self._descendants = Descendants(self.host_of(SERVER))
        if self.ground is not None:
            self._poller.register(self.ground.wiring, select.POLLIN)
            self.ground.register_sampler(self._poller)
        self._poller.register(self.lab, select.POLLIN)
        self._poller.register(self.lab.stderr_fileno, select.POLLIN)

    def host_of(self, actor: str) -> str:
        """Where a program runs."""
        if self.ground is None:
            return HOST
        return SERVER if actor == SERVER else CLIENT

    # The story.

    def carry_out(self) -> None:
        """Server, clients, and their end; what went wrong is in `trouble`."""
        options = self.options
        self._start(SERVER, server_orders(orders_for(options)))
        self._turn_until(lambda: self.listening is not None, LISTEN_WITHIN_S)
        if self.listening is None:
            if not self.ending:
                self.trouble.append(CheckFailed(f"the server did not listen: {self._last_words()}"))
            return
        self.phase = "clients at work"
        orders = ClientOrders(
            options.host,
            self.listening,
            options.messages,
            options.size_bytes,
            options.think_ms,
            options.udp,
            options.nodelay,
            options.recv_size_bytes,
            options.scenario,
            tasks=options.server_options.get("tasks", "0") != "0",
        ).as_json()
        for actor in client_names(options.clients):
            self._turn_until(lambda: self._starting < STARTS_AT_ONCE)
            if self.ending:
                break
            self._start(actor, orders)
        self._turn_until(lambda: not self._running(self._clients))

    def stop(self) -> None:
        """Clients first, then the server, and what it forked; whoever does not go is killed."""
        self.phase = STOPPING
        servers = [program for program in self.programs.values() if program.actor == SERVER]
        if not self._running(servers) and not self.interruptions.count:
            # Without a server the clients end by themselves: let the recording show how.
            self._turn_while_running(self._clients, CLIENTS_END_WITHIN_S)
        for group, limit_s in (
            (self._clients, CLIENTS_END_WITHIN_S),
            (servers, SERVER_ENDS_WITHIN_S),
        ):
            self._signal(self._running(group), signal.SIGTERM)
            self._turn_while_running(group, limit_s)
            self._signal(self._running(group), signal.SIGKILL)
            self._turn_while_running(group, limit_s, patient=True)
        self._descendants.end(SERVER_ENDS_WITHIN_S)

    @property
    def ending(self) -> bool:
        """Whether there is a reason not to go on."""
        return bool(self.trouble or self.disk_full or self.interruptions.count or self.lab.gone)

    def deaths(self) -> list[Death]:
        """The programs' ends, for those that could not write it down themselves."""
        found = []
        for program in self.programs.values():
            if program.pid is None:
                continue
            how, time_ns = "SIGKILL", time.time_ns()  # with the whole lab, unseen
            if program.ended is not None:
                how, time_ns = _how(program.ended.status), program.ended.time_ns
            found.append(
                Death(self.host_of(program.actor), program.actor, program.pid, how, time_ns)
            )
        return found + self._descendants.deaths()

    # The loop.

    def _turn_until(self, done: Callable[[], bool], within_s: float = float("inf")) -> None:
        until_s = time.monotonic() + within_s
        while not done() and not self.ending and time.monotonic() < until_s:
            self._turn()

    def _turn_while_running(
        self, programs: Sequence[Program], within_s: float, *, patient: bool = False
    ) -> None:
        until_s = time.monotonic() + within_s
        while self._running(programs) and not self.lab.gone and time.monotonic() < until_s:
            if self.interruptions.count >= IMPATIENT and not patient:
                return
            self._turn()

    def _turn(self) -> None:
        """Wait a little, then take in whatever has come."""
        for descriptor, _ in self._poller.poll(TURN_S * 1000):
            if descriptor == self.lab.stderr_fileno:
                if not self.lab.read_stderr():
                    self._poller.unregister(descriptor)
            elif self.ground is not None and descriptor == self.ground.wiring.fileno():
                self._hear_wire(self.ground)
            else:  # the house and the sampler are asked anyway
                for program in self.programs.values():
                    if program.descriptor == descriptor:
                        self._hear(program)
        try:
            for event in self.lab.events():
                self._note(event)
        except NetlabError as error:
            self.trouble.append(error)
        if self.lab.gone and not self.trouble:
            self.trouble.append(CheckFailed(f"the lab's helper died {self._last_words()}".rstrip()))
        if self.disk_full is None:
            try:
                self.recorder.pump()
            except BadRecording as error:
                self.disk_full = error
        self.on_progress(self._progress())

    def _hear_wire(self, ground: Ground) -> None:
        ground.wiring.hear()
        if ground.wiring.over:
            self._poller.unregister(ground.wiring)
        if ground.wiring.trouble is not None:
            self.trouble.append(ground.wiring.trouble)

    def _note(self, event: Event) -> None:
        if not isinstance(event, Started | Ended) or event.actor not in self.programs:
            if self.ground is not None:
                self.ground.note(event)
            return
        program = self.programs[event.actor]
        if isinstance(event, Started):
            program.pid = event.pid
            return
        program.ended = event
        self._hear(program)  # its last words, which may lie behind this event
        if self.phase == STOPPING:
            expected = event.status in (0, -signal.SIGTERM, -signal.SIGKILL)
        else:
            expected = event.status == 0 and event.actor != SERVER
        if expected:
            return
        self.trouble.append(self._obituary(program, event))

    def _hear(self, program: Program) -> None:
        """Read the reports of one program, as many as there are."""
        for line in program.report.read():
            self._take_report(program, line)
        if program.report.descriptor < 0 <= program.descriptor:
            self._poller.unregister(program.descriptor)
            program.descriptor = -1

    def _take_report(self, program: Program, report: dict[str, Any]) -> None:
        self.listening = report.get("listening", self.listening)
        program.messages = report.get("messages", program.messages)
        program.lost = report.get("lost", program.lost)
        program.done = report.get("done", program.done)
        program.error = report.get("error", program.error)
        program.errno = report.get("errno", program.errno)
        self._descendants.hear(report)

    # The parts.

    def _start(self, actor: str, orders: str) -> None:
        """Ask for a program; what keeps it from that goes to `trouble`."""
        with contextlib.ExitStack() as opened:
            try:
                read_end, write_end = os.pipe2(os.O_CLOEXEC)
                opened.callback(os.close, write_end)
                report = ReportReader(read_end)
                opened.callback(report.close)
                folder = os.open(self.spools, _WAY_IN)
                opened.callback(os.close, folder)
                self._ask_for(actor, orders, write_end, folder)
            except OSError as error:
                reason = os.strerror(error.errno or 0)
                self.trouble.append(CheckFailed(f"cannot start the {actor}", reason))
                return
            self.programs[actor] = Program(actor, report, read_end)
            self._poller.register(read_end, select.POLLIN)
            opened.pop_all()
        os.close(write_end)
        os.close(folder)

    def _ask_for(self, actor: str, orders: str, report: int, folder: int) -> None:
        fds = {"NETLAB_REPORT_FD": report}
        env = {
            "NETLAB_SPOOL": str(self.spools),
            "NETLAB_ACTOR": actor,
            "NETLAB_HOST": self.host_of(actor),
            "NETLAB_QUEUES": self.options.queues,
            "NETLAB_TCP_INFO": "1" if self.options.tcp_info else "",
            "NETLAB_STAMPS": stamps_text(self.options.is_stamped(actor)),
            "NETLAB_SPOOL_LIMIT": str(self.options.spool_limit_bytes),
        }
        if self.lab.user is not None:
            # That user may be unable to walk there by name; an open folder is a way in.
            env["NETLAB_SPOOL"] = "/proc/self/fd/{}"
            fds["NETLAB_SPOOL"] = folder
        packages = packages_for(self.options) if actor == SERVER else ()
        argv = python_arguments("netlab.lab.programs", orders, packages=packages)
        host = "" if self.ground is None else self.host_of(actor)
        self.lab.start(actor, argv, env, fds, packages, host)

    def _signal(self, programs: Sequence[Program], number: int) -> None:
        if programs:
            self.lab.signal([program.actor for program in programs], number)

    @property
    def _clients(self) -> list[Program]:
        return [program for actor, program in self.programs.items() if actor != SERVER]

    @property
    def _starting(self) -> int:
        """How many programs were asked for that have not started yet."""
        return sum(p.pid is None and p.ended is None for p in self.programs.values())

    def _running(self, programs: Sequence[Program]) -> list[Program]:
        return [program for program in programs if program.ended is None]

    def _obituary(self, program: Program, end: Ended) -> NetlabError:
        """Why a program ended that should not have, in a line."""
        if program.actor == SERVER and self.listening is None and program.errno:
            return _cannot_listen(self.options, program)
        if program.error:
            return _gave_up(self.options, program)
        words = self._last_words() if end.status > 0 else ""
        return CheckFailed(f"the {program.actor} died ({_how(end.status)}) {words}".rstrip())

    def _last_words(self) -> str:
        return self.lab.last_words()

    def _progress(self) -> Progress:
        return Progress(
            self.phase,
            sum(program.messages for program in self._clients),
            self.options.messages * self.options.clients,
            self.recorder.frame_count,
            self.recorder.call_count,
        )


def _cannot_listen(options: RunOptions, server: Program) -> NetlabError:
    where = f"port {options.port} of {options.host}"
    if server.errno == "EADDRINUSE":
        return UsageError(f"{where} is taken", "choose another with --port")
    if server.errno in ("EADDRNOTAVAIL", "EAFNOSUPPORT"):
        return UsageError(
            f"there is no {options.host} here", "IPv6 is switched off: leave --ipv6 out"
        )
    if server.errno == "EACCES":
        return UsageError(f"{where} is for root", "choose one from 1024 on with --port")
    return CheckFailed(f"the server cannot listen on {where}", server.error)


def _gave_up(options: RunOptions, program: Program) -> CheckFailed:
    if program.errno == "ENETUNREACH" and not options.address:  # the machine's own can be down
        return CheckFailed(f"the {program.actor} gave up: {program.error}", _LOOPBACK_DOWN)
    return CheckFailed(f"the {program.actor} gave up", program.error)


def _how(status: int) -> str:
    """An exit status as words."""
    return signal.Signals(-status).name if status < 0 else f"status {status}"
