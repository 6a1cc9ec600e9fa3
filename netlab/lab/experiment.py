"""Hosts with a wire between them, programs on the hosts, and one recording of it all.

    with netlab.Lab(path="lab.pcapng", wire="delay 20ms; drop s>c data 2") as lab:
        server = lab.start("server", ["python3", "-m", "http.server", "8000"])
        lab.wait_listening("server")
        client = lab.run("client", ["curl", "-s", "http://server:8000/"])
        lab.settle()
    client.exit_code, client.stdout
    lab.recording.tables.packets

A program is a command, or a Python function that is called with a probe: its calls are recorded.
Leaving the block ends every program and finishes the recording, whatever happened; namespaces,
links and processes are gone then. Everything happens while one of these methods waits: netlab has
no thread beside. Read `hosts` for the house below, `wiring` for the wire, `DESIGN` section 5 why.
"""

from __future__ import annotations

import select
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from netlab.capture.layout import JOURNAL_LIMIT
from netlab.capture.probe.stamps import StampsOf
from netlab.lab.actor import Program
from netlab.lab.company import Company, Stdio, how_ended
from netlab.lab.ground import Ground
from netlab.lab.hosts import Connected, Event, Left
from netlab.lab.listening import reachable, what_is_there
from netlab.lab.network import socket_table
from netlab.lab.network.plan import SERVER, WIRE
from netlab.lab.network.socket_table import SocketRow
from netlab.lab.recorder import stamps_witness
from netlab.lab.signals import IMPATIENT, Interruptions
from netlab.lab.starting import Command, Watching
from netlab.lab.syscalls import CAP_NET_RAW
from netlab.lab.tracing.watched import Tracing, choose, why_blind
from netlab.model.errors import BadRecording, CheckFailed, NetlabError, PrivilegeError, UsageError

if TYPE_CHECKING:
    from _typeshed import StrPath

    from netlab.lab.finish import Finished
    from netlab.lab.wire.rules import Rule

TURN_S = 0.1
LISTEN_WITHIN_S = 10.0
RUN_WITHIN_S = 60.0
SETTLE_WITHIN_S = 5.0
STOP_WITHIN_S = 5.0
_SOONEST_S, _LATEST_S = 0.001, 0.05  # between two looks at a host's sockets


class Lab:
    """A lab; `with` opens it and finishes its recording.

    `hosts`: their names, one of them `server`. `wire`: rules as text or objects. `sysctls`: by
    host, name and value, beyond the baseline. `user`: as root, who the programs are. `queues`,
    `tcp_info`, `stamps` and `spool_limit_bytes` are the probe's, as in `netlab.record`. `witness`
    of the calls of commands: `strace`, `kernel` (as root), `both`, `none`, or `auto`, which is
    strace where there is one. `sample_every_ns`: how often the state of every TCP socket of the
    hosts is read; 0: never. `resolve`: the hosts ask for each other's MAC, by ARP and neighbour
    discovery, which otherwise they know from the start. `next_hops`: by host, what is for which
    other goes to whom: {"client": {"server": "router"}}; `router` then needs net.ipv4.ip_forward.
    `link_rates`: by host, how many bits a second its own link sends at the most.

    Opening it raises UsageError for what cannot be done as asked, PrivilegeError where this machine
    allows no namespaces. All that wait raise KeyboardInterrupt once a signal asks to end (at a
    moment when nothing is half done), and CheckFailed when the lab itself broke.
    """

    def __init__(
        self,
        hosts: Sequence[str] = ("client", "server"),
        *,
        path: StrPath,
        wire: str | Sequence[Rule] = "",
        sysctls: Mapping[str, Mapping[str, str]] | None = None,
        server: str = SERVER,
        user: str | None = None,
        title: str = "",
        queues: str = "calls",
        tcp_info: bool = False,
        journal_limit: int = JOURNAL_LIMIT,
        spool_limit_bytes: int = 1 << 30,
        witness: str = "auto",
        stamps: StampsOf = False,
        sample_every_ns: int = 0,
        resolve: bool = False,
        next_hops: Mapping[str, Mapping[str, str]] | None = None,
        link_rates: Mapping[str, int] | None = None,
    ) -> None:
        self.path = Path(path)
        self.interruptions = Interruptions()
        self._must_watch = witness in ("strace", "both")
        strace, notes = choose(witness)
        self._watching = Watching(
            queues, tcp_info, spool_limit_bytes, stamps=stamps, sample_every_ns=sample_every_ns
        )
        self._ground = Ground(
            hosts,
            self.path,
            rules="; ".join(map(str, _rules(wire))),
            sysctls=[(h, n, v) for h, pairs in (sysctls or {}).items() for n, v in pairs.items()],
            server=server,
            user=user,
            title=title or f'Lab("{self.path.name}")',
            watching=self._watching,
            journal_limit=journal_limit,
            strace=strace,
            kernel=witness in ("kernel", "both"),
            notes=notes,
            witnesses=stamps_witness(stamps),
            resolve=resolve,
            next_hops=[(h, o, v) for h, ways in (next_hops or {}).items() for o, v in ways.items()],
            link_rates=link_rates,
        )
        self._opened = ExitStack()
        self._poller = select.poll()
        tracing = Tracing(strace, self._ground.lose)
        self._company = Company(self._ground, self._watching, tracing, self._poller)
        self._closing = False
        self._finished: Finished | None = None

    # Its life.

    def __enter__(self) -> Lab:
        with ExitStack() as opened:
            opened.enter_context(self.interruptions)
            with self.interruptions.while_starting():
                opened.enter_context(self._ground)
            self._poller.register(self._ground.house, select.POLLIN)
            self._poller.register(self._ground.house.stderr_fileno, select.POLLIN)
            self._poller.register(self._ground.wiring, select.POLLIN)
            self._ground.open_up(self.interruptions)
            self._ground.register_sampler(self._poller)
            self._opened = opened.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing = True
        with self._opened:
            try:
                self._end_all()
                self._finished = self._ground.finish(
                    self._company.deaths(), self.interruptions.first
                )
            except NetlabError as trouble:
                if error is None or isinstance(error, BadRecording):
                    raise trouble from None  # of a full disk this one knows what can be done
                error.add_note(f"netlab: {trouble}")  # the block's own failure is the news

    @property
    def recording(self) -> Finished:
        """The finished recording: raw material and tables. It is there once the block is left."""
        if self._finished is None:
            raise UsageError("the lab is still open", "leave the block first")
        return self._finished

    @property
    def programs(self) -> Sequence[Program]:
        """All that were started, in that order."""
        return self._company.programs

    @property
    def has_recording(self) -> bool:
        """Whether `recording` is there."""
        return self._finished is not None

    @property
    def host_names(self) -> tuple[str, ...]:
        """The hosts, in the order of their interfaces in the recording."""
        return tuple(host.name for host in self._ground.plan.hosts)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the recording must know, a sentence each."""
        return self._ground.notes

    @property
    def fired(self) -> tuple[tuple[str, int], ...]:
        """Each rule as written, and how often it did something; once the block is left."""
        report = self._ground.wiring.report
        return report.fired if report is not None else ()

    def address(self, host: str, *, ipv6: bool = False) -> str:
        """The address of a host, as text."""
        planned = self._ground.plan.host(host)
        return f"{planned.ipv6.ip if ipv6 else planned.ipv4.ip}"

    # Programs.

    def start(
        self,
        host: str,
        command: Command,
        *arguments: object,
        actor: str = "",
        env: Mapping[str, str] | None = None,
        stdio: Stdio = "kept",
        may_capture: bool = False,
        watched: bool = True,
    ) -> Program:
        """Start a program on a host, in our working directory and environment.

        `command`: words, or a function of a module, called as `function(probe, *arguments)`.
        `actor`: what it is called in the recording, by default as its host. `stdio`: what it writes
        is `kept` in the Program, and its stdin is empty; or it has `ours`, and the terminal if that
        is one, where Ctrl-Z does nothing to it but to a `shell`. `may_capture`: it may open packet
        sockets, as tcpdump must. `watched`: whether the lab's witness records its calls, if it is a
        command. Raises UsageError when it is not there, PrivilegeError when it cannot be executed,
        or not be watched where that was asked for.
        """
        program = self._company.start(
            host, command, arguments, actor=actor, env=env or {}, stdio=stdio,
            keep=[CAP_NET_RAW] if may_capture else (), watched=watched,
        )  # fmt: skip
        self._turn_until(lambda: program.pid is not None or not program.running, None)
        if program.blind and self._must_watch:
            raise PrivilegeError(
                f"the calls of the {program.actor} cannot be recorded: {why_blind(program.blind)}",
                "allow it (in a container: --cap-add SYS_PTRACE), or give --witness none",
            )
        return program

    def run(
        self,
        host: str,
        command: Command,
        *arguments: object,
        actor: str = "",
        env: Mapping[str, str] | None = None,
        within_s: float = RUN_WITHIN_S,
    ) -> Program:
        """Start a program, wait for its end, and give it back."""
        program = self.start(host, command, *arguments, actor=actor, env=env)
        self.wait(program, within_s=within_s)
        return program

    def wait(self, *programs: Program, within_s: float | None = RUN_WITHIN_S) -> None:
        """Wait until these have ended. Raises CheckFailed when they do not."""
        if not self._turn_until(lambda: not any(p.running for p in programs), within_s):
            names = ", ".join(p.actor for p in programs if p.running)
            raise CheckFailed(f"{names} did not end within {within_s:g} s")
        for program in programs:
            self._company.read_rest(program)

    def stop(self, host: str, *, within_s: float = STOP_WITHIN_S) -> None:
        """End what runs on a host: TERM to its programs, then to all that is left of them, then
        KILL."""
        mine = self._company.on(host)
        self._company.signal([p for p in mine if p.running], signal.SIGTERM)
        self._turn_until(lambda: not any(p.running for p in mine), within_s)
        for number in (signal.SIGTERM, signal.SIGKILL):
            self._company.signal_host(host, number)
            if self._turn_until(lambda: self._company.left.get(host) == 0, within_s):
                break
        for program in mine:
            self._company.read_rest(program)

    def signal(self, program: Program, number: int) -> None:
        """Send a signal to a program; nothing happens to one that is over."""
        self._company.signal([program], number)

    # Waiting for what the kernel says.

    def process_count(self, host: str) -> int:
        """How many processes there are on a host, whoever started them."""
        self._company.signal_host(host, 0)
        self._turn_until(lambda: host in self._company.left, None)
        return self._company.left[host]

    def sockets(self, host: str) -> list[SocketRow]:
        """All TCP and UDP sockets of a host, as its kernel knows them now."""
        return socket_table.read(self._ground.diagnosis(host))

    def wait_listening(
        self, host: str, port: int | None = None, *, within_s: float = LISTEN_WITHIN_S
    ) -> list[SocketRow]:
        """Wait until a program of a host listens where others can reach it (at `port`, if given).

        TCP in LISTEN or a bound UDP socket. Raises CheckFailed when the programs there end before,
        or it takes longer, with what was seen.
        """
        found: list[SocketRow] = []
        rows: list[SocketRow] = []

        def look() -> bool:
            nonlocal rows
            rows = self.sockets(host)
            found[:] = reachable(rows, port)
            return bool(found) or self._is_deserted(host)

        self._look_until(look, within_s)
        if not found:
            raise self._deaf(host, rows, within_s)
        return found

    def settle(self, *, within_s: float | None = None) -> bool:
        """Wait until no host has a TCP connection that is not over, and nothing is on its way.

        Whether that came about within 5 s, and what the wire's rules ask for beyond.
        """
        within_s = within_s or SETTLE_WITHIN_S + self._ground.patience.close_ns / 1e9
        before = -1

        def look() -> bool:
            nonlocal before
            seen, before = before, self._frames_if_arrived()
            return not self.has_open_connections() and before >= 0 and seen == before

        return self._look_until(look, within_s)

    def has_open_connections(self) -> bool:
        """Whether a host has a TCP connection that is not over."""
        return any(row.at_work for name in self.host_names for row in self.sockets(name))

    def _frames_if_arrived(self) -> int:
        """How many frames hosts have sent so far; -1 while some are on their way."""
        wiring = self._ground.wiring
        wiring.count()
        self._turn_until(lambda: wiring.counted is not None or wiring.over, None)
        frames, on_their_way = wiring.counted or (0, 0)
        return -1 if on_their_way else frames

    def wait_until(self, done: Callable[[], bool], *, within_s: float = RUN_WITHIN_S) -> bool:
        """Wait until this is so, looked at whenever something happened; False when it was not."""
        return self._turn_until(done, within_s)

    def stay(self) -> None:
        """Wait for Ctrl-C, which is no interruption here. KeyboardInterrupt for other signals."""
        try:
            self._turn_until(lambda: False, None)
        except KeyboardInterrupt:
            if self.interruptions.first != signal.SIGINT:
                raise
            self.interruptions.forgive()

    # The loop.

    def _look_until(self, look: Callable[[], bool], within_s: float) -> bool:
        """Look ever more seldom, until it is so; False when that took too long."""
        until_s = time.monotonic() + within_s
        pause_s = _SOONEST_S
        while not look():
            if time.monotonic() >= until_s:
                return False
            self._turn(pause_s)
            pause_s = min(2 * pause_s, _LATEST_S)
        return True

    def _turn_until(self, done: Callable[[], bool], within_s: float | None) -> bool:
        until_s = time.monotonic() + within_s if within_s is not None else float("inf")
        while not done():
            left_s = until_s - time.monotonic()
            hurried = self._closing and self.interruptions.count >= IMPATIENT
            if left_s <= 0 or (self._closing and self._ground.house.gone) or hurried:
                return False
            self._turn(min(TURN_S, left_s))
        return True

    def _turn(self, within_s: float) -> None:
        """Wait a little, then take in whatever has come. Raises what broke the lab."""
        ready = {descriptor for descriptor, _ in self._poller.poll(max(1, within_s * 1000))}
        house, wiring = self._ground.house, self._ground.wiring
        if house.stderr_fileno in ready and not house.read_stderr():
            self._poller.unregister(house.stderr_fileno)
        if wiring.fileno() in ready:
            wiring.hear()
            if wiring.over:
                self._poller.unregister(wiring)
        self._company.hear(ready)
        try:
            for event in house.events():
                self._note(event)
        except NetlabError:
            if not self._closing:  # at the end nobody asks any more what could not be started
                raise
        finally:
            self._ground.pump()
        self._company.limit_logs(self._watching.spool_limit_bytes)
        if not self._closing:
            self._ground.check()
            if self.interruptions.count:
                raise KeyboardInterrupt

    def _note(self, event: Event) -> None:
        if not isinstance(event, Connected) and (isinstance(event, Left) or event.actor != WIRE):
            self._company.note(event)
        else:
            self._ground.note(event)

    # The parts.

    def _is_deserted(self, host: str) -> bool:
        """Whether what was started on a host is over: with an error, or nothing of it is left."""
        mine = self._company.on(host)
        if not mine or any(program.running for program in mine):
            return False
        if any(program.status != 0 for program in mine):
            return True
        return self.process_count(host) == 0  # a daemon may be left

    def _deaf(self, host: str, rows: Sequence[SocketRow], within_s: float) -> CheckFailed:
        """Why nobody can speak to a host."""
        mine = self._company.on(host)
        words = self._company.last_words(host)
        if mine and not any(program.running for program in mine) and self._is_deserted(host):
            how = how_ended(mine[-1])
            return CheckFailed(f"{mine[-1].actor} ended ({how}) before it listened", words)
        seen = what_is_there(rows)
        said = f"its last line: {words}" if words else "it wrote nothing"
        return CheckFailed(f"{host} does not listen after {within_s:g} s: {seen}; {said}")

    def _end_all(self) -> None:
        """Every program, then what they left, is ended; the wire carries what is on its way."""
        running = [program for program in self.programs if program.running]
        self._company.signal(running, signal.SIGTERM)
        self._turn_until(lambda: not any(p.running for p in running), STOP_WITHIN_S)
        for host in self._ground.plan.hosts:
            self._company.signal_host(host.name, signal.SIGKILL)
        names = [host.name for host in self._ground.plan.hosts]
        self._turn_until(
            lambda: not any(self._company.left.get(n, 1) for n in names), STOP_WITHIN_S
        )
        self._turn_until(lambda: not self._company.tracing.watched, STOP_WITHIN_S)
        self._ground.close_down(lambda: self.interruptions.count < IMPATIENT)
        self._company.close()


def _rules(wire: str | Sequence[Rule]) -> Sequence[Rule]:
    if not isinstance(wire, str):
        return wire
    if not wire.strip():
        return ()  # most labs: spare them the grammar
    from netlab.lab.wire.grammar import rules_from_text

    return rules_from_text(wire)
