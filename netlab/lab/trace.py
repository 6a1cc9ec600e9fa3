"""`netlab trace`: a program on this machine, its calls by strace, its packets on real interfaces.

Turns `TraceOptions` into a finished recording. Rings are opened first, with the rights that we have
then; under sudo we are the caller from there on. The program that we start is the caller's (or
`--user`'s), has our terminal and its signals, and its exit code is ours. Attached processes go on
when we end. Whatever goes wrong, what was recorded is kept in a file that opens.

Read `tracer` for how strace runs, `own_traffic` for which frames are the program's.
"""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import signal
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import netlab
from netlab.capture.bpf import SNAPLEN_BYTES
from netlab.capture.layout import JOURNAL_LIMIT
from netlab.capture.ownership import caller, remove_folder
from netlab.capture.probe.spool import SpoolReader
from netlab.capture.ring import PacketRing
from netlab.capture.sampler import Sampler
from netlab.capture.sockdiag import open_netlink
from netlab.capture.strace.spools import LOG as LOG_SUFFIX
from netlab.capture.strace.spools import StraceSpools, spool_name
from netlab.lab import sysctls, tracees
from netlab.lab.hosts import User
from netlab.lab.interfaces import interfaces_for
from netlab.lab.own_traffic import OwnTraffic, SocketName
from netlab.lab.program_traffic import Names, OurAddresses, OwnRing, losses_of
from netlab.lab.recorder import Recorder, begin, states_witness
from netlab.lab.signals import HeldSignals
from netlab.lab.starting import program_files
from netlab.lab.strace_command import Command, refusal, trial
from netlab.lab.strace_tool import find_strace
from netlab.lab.surroundings import become_caller, choose_user
from netlab.lab.tracer import LOG, AroundProgram, Attached, Tracer
from netlab.model.call import CallRecord
from netlab.model.errors import CheckFailed, NetlabError, PrivilegeError
from netlab.model.frame import LINK_ETHERNET, Interface
from netlab.model.recording import Description, Host, Loss

if TYPE_CHECKING:
    from netlab.capture.recording import LiveRecording
    from netlab.lab.finish import Finished

HOST = "localhost"
ATTACHES_WITHIN_S = 10.0
_TURN_MS = 50.0
_ATTACH_TURN_MS = 5.0
# How long the kernel is given, after the program's end, to close its connections in order.
_CLOSES_WITHIN_S = 1.0
_ENDING_TURN_MS = 10.0
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TraceOptions:
    """What is traced, and where that is written."""

    path: Path
    command: Sequence[str] = ()
    pids: Sequence[int] = ()  # of processes to attach to, in place of a command
    all_traffic: bool = False  # also frames that are not the program's
    user: str | None = None
    journal_limit: int = JOURNAL_LIMIT
    sample_every_ns: int = 0  # how often the program's TCP sockets are looked at; 0: never
    title: str = "netlab trace"


@dataclass(slots=True)
class TraceResult:
    """What came of it."""

    path: Path
    finished: Finished
    exit_code: int
    notes: tuple[str, ...]


class _NamingSpools(StraceSpools):
    """Strace's logs, read; which sockets the calls name is told on."""

    names: Names | None = None

    def poll(self, within_s: float = float("inf")) -> list[CallRecord]:
        return self._told(super().poll(within_s))

    def finish(self) -> list[CallRecord]:
        return self._told(super().finish())

    def _told(self, calls: list[CallRecord]) -> list[CallRecord]:
        if self.names is not None:
            self.names.learn(calls)
        return calls


def run_trace(options: TraceOptions, say: Say = lambda _: None) -> TraceResult:
    """Carry it out; `say` gets what the user should know meanwhile.

    Raises UsageError or PrivilegeError when it could not begin (nothing is left then), BadRecording
    when the disk was full (what was recorded opens).
    """
    with contextlib.ExitStack() as opened:
        return _Trace(options, say, opened).run()


class _Trace:
    """One run."""

    def __init__(self, options: TraceOptions, say: Say, opened: contextlib.ExitStack) -> None:
        """Check all that can be checked before anything is changed."""
        self._options, self._say, self._opened = options, say, opened
        self._strace = Command(find_strace(otherwise=""), pids=tuple(dict.fromkeys(options.pids)))
        for pid in options.pids:
            tracees.check(pid)
        self._files: list[str] = []
        if options.command:
            self._files = program_files(options.command, os.environ.get("PATH", os.defpath))
        self._user: User | None = None
        self._notes: list[str] = []
        if options.command:
            self._user, notes = choose_user(options.user)
            self._notes = [*notes, *self._setuid_notes()]
        self._trouble: NetlabError | None = None
        self._addresses = OurAddresses()
        self._addresses.refresh()
        self._own = OwnTraffic(self._addresses)
        self._start_ns = time.time_ns()
        self._interfaces = interfaces_for(("0.0.0.0", "::"))
        self._rings: list[PacketRing] = []
        self._signals = HeldSignals()
        self._pids = self._strace.pids
        first = options.command[0] if options.command else tracees.name_of(self._pids[0])
        self._actor = os.path.basename(first)
        self._told_to_end = 0
        self._sampler: Sampler | None = None

    def run(self) -> TraceResult:
        if not self._pids:
            words = (self._files[0], *self._options.command[1:])
            found = self._strace.strace
            self._strace = Command(found, program=words, seccomp=trial(found))
        self._opened.enter_context(self._signals)
        keeper = Attached() if self._pids else None  # before rings: it must not hold them
        try:
            self._open_rings()
            user = self._step_down()
            recording, spools = begin(
                self._options.path,
                description=self._description(),
                interfaces=[Interface(n, LINK_ETHERNET, SNAPLEN_BYTES) for n in self._interfaces],
                journal_limit=self._options.journal_limit,
                writer=(user.uid, user.gid) if user is not None else None,
            )
        except BaseException:
            if keeper is not None:
                keeper.wait()
            raise
        self._opened.callback(recording.close)
        logs = _NamingSpools(spools)
        self._open_sampler()
        recorder = Recorder(
            recording, self._rings, SpoolReader(spools), logs=logs, sampler=self._sampler
        )
        try:
            tracer = self._start(keeper, user, spools)
            names = Names(
                self._own, lambda: tracees.open_sockets(tracees.traced_by(tracer.pid)), self._heard
            )
            logs.names = None if self._options.all_traffic else names
            if self._pids:
                self._meet(tracer, recording, names, logs)
        except NetlabError:
            recording.close()
            self._options.path.unlink(missing_ok=True)
            remove_folder(spools)
            raise
        self._watch(tracer, recorder, names)
        status = tracer.wait()
        self._catch_up(recorder, logs, spools, names)
        self._let_close(recorder, names)
        self._note_end(tracer, recording)
        if self._sampler is not None and self._trouble is None:
            recording.describe(self._description())  # how often it looked is known now
        finished = self._finish(recorder, spools)
        code = 0 if self._pids else status if status >= 0 else 128 - status
        return TraceResult(self._options.path, finished, code, tuple(self._notes))

    # -- before ----------------------------------------------------------------------------------

    def _setuid_notes(self) -> list[str]:
        """Programs that change user on execve do not when a tracer without rights watches."""
        if not self._files or (os.geteuid() == 0 and self._user is None):
            return []
        with contextlib.suppress(OSError):
            found = os.stat(self._files[0])
            other = found.st_uid != (os.geteuid() if self._user is None else self._user.uid)
            if found.st_mode & stat.S_ISUID and other:
                name = self._files[0]
                return [f"{name} is setuid: traced, it has no more rights than who calls it"]
        return []

    def _open_rings(self) -> None:
        """A ring on each interface that has an address."""
        for number, name in enumerate(self._interfaces):
            try:
                if self._options.all_traffic:
                    ring = PacketRing.open(name)
                else:
                    ring = OwnRing.on(name, number, self._own)
            except PrivilegeError as refused:
                raise PrivilegeError(
                    f"{refused.message} here",
                    f"{refused.hint}; or use `netlab lab`, which needs no right",
                ) from None
            self._opened.callback(ring.close)
            self._rings.append(ring)

    def _open_sampler(self) -> None:
        """One that looks at the program's sockets once they are named; at all with all traffic."""
        if self._options.sample_every_ns:
            netlink = self._opened.enter_context(open_netlink())
            self._sampler = Sampler(
                {HOST: netlink},
                self._options.sample_every_ns,
                chosen=not self._options.all_traffic,
            )
            self._opened.callback(self._sampler.close)

    def _heard(self, name: SocketName) -> None:
        if self._sampler is not None and name.protocol == "tcp":
            self._sampler.watch(HOST, name.local, name.peer)

    def _step_down(self) -> User | None:
        """Be the caller from now on; whom strace and the program must be made, if not us."""
        asked = caller()
        if self._pids or self._user is None:
            become_caller()
            return None
        if asked is not None and asked[0] == self._user.uid:
            become_caller()
            return None
        return self._user

    def _description(self) -> Description:
        settings = sysctls.read_all((*(name for name, _ in sysctls.BASELINE), *sysctls.FACTS))
        named = tuple((setting.name, setting.value or "") for setting in settings)
        of_whom = "of everybody" if self._options.all_traffic else "of the program's own sockets"
        where = ", ".join(self._interfaces)
        return Description(
            netlab_version=netlab.__version__,
            title=self._options.title,
            hosts=(Host(HOST, os.uname().release, named),),
            witnesses=(
                f"packets: a TPACKET_V3 ring on {where}, {of_whom}",
                self._strace.witness_text,
                *states_witness(self._options.sample_every_ns, self._sampler, of_whom),
            ),
            notes=tuple(self._notes),
        )

    def _start(self, keeper: Attached | None, user: User | None, spools: Path) -> Tracer:
        log = spools.resolve() / spool_name(HOST, self._actor, LOG_SUFFIX)
        if keeper is None:
            words = self._strace.words(log)
            return AroundProgram(words, log, user=user, before_exec=self._signals.give_back)
        # strace may be root: it is given the file, and no path that others could lead elsewhere.
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            keeper.start(self._strace.words(LOG), descriptor)
        except BaseException:
            keeper.wait()
            raise
        finally:
            os.close(descriptor)
        return keeper

    def _meet(
        self, tracer: Tracer, recording: LiveRecording, names: Names, logs: StraceSpools
    ) -> None:
        """Wait until the processes are attached to, then list what they have open."""
        poller = select.poll()
        poller.register(tracer, select.POLLIN)
        until_s = time.monotonic() + ATTACHES_WITHIN_S
        while not all(tracees.is_attached(pid, tracer.pid) for pid in self._pids):
            if poller.poll(_ATTACH_TURN_MS):
                tracer.wait()
                raise refusal(getattr(tracer, "complaint", ""))
            if time.monotonic() >= until_s:
                tracer.wait()
                raise CheckFailed(
                    f"strace did not attach within {ATTACHES_WITHIN_S:g} s",
                    "a process that is stopped, or in uninterruptible sleep, cannot be attached to",
                )
        asked_ns = time.time_ns()
        held = tracees.open_sockets(self._pids)
        recording.calls(_attach_records(self._actor, held, asked_ns, time.time_ns()))
        reader = logs.reader_of(HOST, self._actor)
        assert reader is not None
        for pid in self._pids:
            reader.attach(pid, tracees.threads_of(pid), tracees.name_of(pid))
        for one in held:
            reader.hold(
                one.pid, one.fd, one.inode, family=one.family, kind=one.kind, local=one.local,
                peer=one.peer, closing=one.closes_on_exec,
            )  # fmt: skip
        names.hold(held, asked_ns)
        who = "process" if len(self._pids) == 1 else "processes"
        pids = " ".join(map(str, self._pids))
        self._say(f"recording {who} {pids} to {self._options.path}: Ctrl-C ends the recording")

    # -- while it runs ---------------------------------------------------------------------------

    def _watch(self, tracer: Tracer, recorder: Recorder, names: Names) -> None:
        """Carry what is seen into the file until strace has ended."""
        poller = select.poll()
        poller.register(tracer, select.POLLIN)
        for ring in self._rings:
            poller.register(ring, select.POLLIN)
        if self._sampler is not None:
            poller.register(self._sampler, select.POLLIN)
            self._sampler.start()
        while True:
            over = tracer.fileno() in {descriptor for descriptor, _ in poller.poll(_TURN_MS)}
            for number, from_terminal in self._signals.take():
                self._heed(tracer, number, from_terminal)
            self._turn(recorder, names)
            if over:
                return
            self._tell_who_stays(tracer)

    def _turn(self, recorder: Recorder, names: Names) -> None:
        if self._trouble is None:  # a full disk ends the recording, never the program
            try:
                recorder.pump()
            except NetlabError as error:
                self._trouble = error
                self._say(f"{error}; the program goes on")
        if self._addresses.refresh():
            self._own.reconsider()
        names.advance()

    def _heed(self, tracer: Tracer, number: int, from_terminal: bool) -> None:
        """What a signal to us means: attached, the end; else it is the program's."""
        if isinstance(tracer, Attached):
            tracer.detach()
            return
        assert isinstance(tracer, AroundProgram)
        if tracer.is_program_alive():
            if not from_terminal:
                tracer.signal_program(number)
            return
        # Only those are left that the program left behind.
        self._told_to_end += 1
        for pid in tracees.traced_by(tracer.pid):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGTERM if self._told_to_end == 1 else signal.SIGKILL)

    def _tell_who_stays(self, tracer: Tracer) -> None:
        if isinstance(tracer, AroundProgram) and tracer.ended_long_ago():
            left = len(tracees.traced_by(tracer.pid))
            if left:
                name = shlex.quote(self._options.command[0])
                those = (
                    "a process that it started is"
                    if left == 1
                    else (f"{left} processes that it started are")
                )
                self._say(f"{name} has ended; {those} still recorded, until Ctrl-C ends it all")

    # -- after -----------------------------------------------------------------------------------

    def _catch_up(self, recorder: Recorder, logs: StraceSpools, spools: Path, names: Names) -> None:
        """Read strace's log to its end: all names are known then."""
        length = sum(path.stat().st_size for path in spools.glob("*.strace"))
        while self._trouble is None and sum(logs.lengths_bytes.values()) < length:
            before = sum(logs.lengths_bytes.values())
            self._turn(recorder, names)
            if sum(logs.lengths_bytes.values()) == before:
                select.select(self._rings, [], [], _ENDING_TURN_MS / 1000)

    def _let_close(self, recorder: Recorder, names: Names) -> None:
        """The kernel says good-bye for a program that has ended: a moment for that."""
        until_s = time.monotonic() + _CLOSES_WITHIN_S
        while not self._pids and time.monotonic() < until_s:
            if not tracees.are_closing(self._own.is_connected):
                return
            select.select(self._rings, [], [], _ENDING_TURN_MS / 1000)
            self._turn(recorder, names)

    def _note_end(self, tracer: Tracer, recording: LiveRecording) -> None:
        """Say so where strace itself came to a bad end."""
        said = tracer.complaint.strip()
        if isinstance(tracer, Attached) and tracer.returncode not in (0, -signal.SIGTERM) and said:
            error = refusal(said)
            self._say(f"{error}")
            recording.loss(Loss("strace", "calls", None, error.message, since_ns=time.time_ns()))

    def _finish(self, recorder: Recorder, spools: Path) -> Finished:
        from netlab.lab.finish import conclude

        return conclude(
            recorder,
            self._options.path,
            spools,
            losses=losses_of(self._own, self._start_ns),
            trouble=self._trouble,
            journal_limit=self._options.journal_limit,
        )


def _attach_records(
    actor: str, held: Sequence[tracees.HeldSocket], since_ns: int, until_ns: int
) -> list[CallRecord]:
    """What was open when it was attached to, a record for each descriptor."""
    return [
        CallRecord(
            witness="strace",
            host=HOST,
            actor=actor,
            pid=one.pid,
            tid=one.pid,
            order=0,
            op="attach",
            fd=one.fd,
            args="",
            entered_ns=since_ns,
            returned_ns=until_ns,
            result=0,
            inode=one.inode,
            family=one.family,
            kind=one.kind,
            local=one.local,
            peer=one.peer,
            inq_after_bytes=one.inq_bytes,
            outq_after_bytes=one.outq_bytes,
        )
        for one in held
    ]
