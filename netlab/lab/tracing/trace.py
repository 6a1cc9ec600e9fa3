"""`netlab trace`: programs on this machine, their calls and their packets on real interfaces.

Turns `TraceOptions` into a finished recording. What needs rights is opened first; under sudo we are
the caller from there on. A program that we start is the caller's (or `--user`'s), has our terminal
and its signals, and its exit code is ours. Nothing that is traced ends because we do.

Read `gated` for how a program starts, `call_witnesses` for who watches its calls, `own_traffic` for
which frames are its own.
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
from netlab.capture.probe.probe import SPOOL_LIMIT_BYTES
from netlab.capture.probe.spool import SpoolReader
from netlab.capture.ring import PacketRing
from netlab.capture.sampler import Sampler
from netlab.capture.sockdiag import open_netlink
from netlab.lab import sysctls
from netlab.lab.hosts import User
from netlab.lab.interfaces import LOOPBACK, interfaces_for
from netlab.lab.recorder import Recorder, begin, states_witness
from netlab.lab.signals import HeldSignals
from netlab.lab.starting import program_files
from netlab.lab.surroundings import become_caller, choose_user
from netlab.lab.tracing import tracees
from netlab.lab.tracing.attach_records import attach_records
from netlab.lab.tracing.call_witnesses import CallWitnesses
from netlab.lab.tracing.gated import GatedProgram
from netlab.lab.tracing.own_traffic import OwnTraffic, SocketName
from netlab.lab.tracing.program_traffic import Names, OurAddresses, OwnRing, losses_of, other_links
from netlab.model.errors import NetlabError, PrivilegeError, UsageError
from netlab.model.frame import LINK_ETHERNET, Interface
from netlab.model.recording import Description, Host, Loss

if TYPE_CHECKING:
    from netlab.capture.recording import LiveRecording
    from netlab.lab.finish import Finished

HOST = "localhost"
_TURN_MS = 50.0
# How long the kernel is given, after the program's end, to close its connections in order.
_CLOSES_WITHIN_S = 1.0
_ENDING_TURN_S = 0.01
_READS_ON_WITHIN_S = 5.0
_LIMIT = "spool limit reached"
_LINGERS_S = 1.0  # before the user is told that others of the program have not ended
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TraceOptions:
    """What is traced, and where that is written."""

    path: Path
    command: Sequence[str] = ()
    pids: Sequence[int] = ()  # of processes to attach to, in place of a command
    all_traffic: bool = False  # also frames that are not the program's
    witness: str = "auto"  # of the calls: auto, strace, kernel, both
    sample_every_ns: int = 0  # how often the program's TCP sockets are looked at; 0: never
    user: str | None = None
    journal_limit: int = JOURNAL_LIMIT
    spool_limit_bytes: int = SPOOL_LIMIT_BYTES
    title: str = "netlab trace"


@dataclass(slots=True)
class TraceResult:
    """What came of it."""

    path: Path
    finished: Finished
    exit_code: int
    notes: tuple[str, ...]


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
        self._witnesses = CallWitnesses(options.witness)
        self._pids = tuple(dict.fromkeys(options.pids))
        for pid in self._pids:
            tracees.check(pid)
        self._files: list[str] = []
        self._user: User | None = None
        self._notes: list[str] = []
        if options.command:
            self._files = program_files(options.command, os.environ.get("PATH", os.defpath))
            self._user, notes = choose_user(options.user)
            self._notes = [*notes, *self._setuid_notes()]
        first = options.command[0] if options.command else tracees.name_of(self._pids[0])
        self._actor = os.path.basename(first)
        self._trouble: NetlabError | None = None
        self._addresses = OurAddresses()
        self._addresses.refresh()
        self._own = OwnTraffic(self._addresses)
        self._names = Names(self._own, self._held_now, self._heard)
        self._sampler: Sampler | None = None
        self._start_ns = time.time_ns()
        self._interfaces: list[str] = []  # one for each ring
        self._rings: list[PacketRing] = []
        self._signals = HeldSignals()
        self._program: GatedProgram | None = None
        self._ended_s = 0.0
        self._lingering_told = False
        self._at_limit = False

    def run(self) -> TraceResult:
        self._opened.enter_context(self._signals)
        self._witnesses.open(self._opened)
        self._open_rings()
        self._witnesses.follow(self._pids, HOST, self._actor)
        user = self._step_down()
        recording, spools = begin(
            self._options.path,
            description=self._description(),
            interfaces=[Interface(n, LINK_ETHERNET, SNAPLEN_BYTES) for n in self._interfaces],
            journal_limit=self._options.journal_limit,
        )
        self._opened.callback(recording.close)
        self._witnesses.read(spools, None if self._options.all_traffic else self._names)
        self._open_sampler()
        recorder = Recorder(
            recording,
            self._rings,
            SpoolReader(spools),
            sampler=self._sampler,
            logs=self._witnesses.logs,
            kernel=self._witnesses.kernel,
        )
        try:
            self._begin(recording, user, spools)
        except NetlabError:
            recording.close()
            self._options.path.unlink(missing_ok=True)
            remove_folder(spools)
            raise
        self._watch(recorder)
        self._end_watching(recorder, recording)
        if self._sampler is not None and self._trouble is None:
            recording.describe(self._description())  # how often it looked is known now
        code = self._program.wait() if self._program is not None else 0
        finished = self._finish(recorder, spools)
        code = code if code >= 0 else 128 - code
        return TraceResult(self._options.path, finished, code, tuple(self._notes))

    # -- before ----------------------------------------------------------------------------------

    def _setuid_notes(self) -> list[str]:
        """Programs that change user on execve do not when a tracer without rights watches."""
        if os.geteuid() == 0:
            return []
        with contextlib.suppress(OSError):
            found = os.stat(self._files[0])
            if found.st_mode & stat.S_ISUID and found.st_uid != os.geteuid():
                name = self._files[0]
                return [f"{name} is setuid: traced, it has no more rights than who calls it"]
        return []

    def _open_rings(self) -> None:
        """A ring on each interface that has an address and Ethernet frames."""
        for name in interfaces_for(("0.0.0.0", "::")):
            try:
                if self._options.all_traffic:
                    ring = PacketRing.open(name)
                else:
                    ring = OwnRing.on(name, len(self._rings), self._own)
            except PrivilegeError as refused:
                raise PrivilegeError(
                    f"{refused.message} here",
                    f"{refused.hint}; or use `netlab lab`, which needs no right",
                ) from None
            except UsageError:
                if name == LOOPBACK:
                    raise
                continue  # no Ethernet, or it has just gone
            self._opened.callback(ring.close)
            self._rings.append(ring)
            self._interfaces.append(name)
        self._notes += other_links(self._interfaces)

    def _step_down(self) -> User | None:
        """Be the caller from now on; whom the program must become, if it is not us."""
        asked = caller()
        if self._user is not None and (asked is None or asked[0] != self._user.uid):
            return self._user
        become_caller()
        return None

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

    def _description(self) -> Description:
        settings = sysctls.read_all((*(name for name, _ in sysctls.BASELINE), *sysctls.FACTS))
        named = tuple((setting.name, setting.value or "") for setting in settings)
        whose = "of everybody" if self._options.all_traffic else "of the program's own sockets"
        packets = f"packets: a TPACKET_V3 ring on {', '.join(self._interfaces)}, {whose}"
        return Description(
            netlab_version=netlab.__version__,
            title=self._options.title,
            hosts=(Host(HOST, os.uname().release, named),),
            witnesses=(
                packets,
                *self._witnesses.texts,
                *states_witness(self._options.sample_every_ns, self._sampler, whose),
            ),
            notes=tuple(self._notes),
        )

    def _begin(self, recording: LiveRecording, user: User | None, spools: Path) -> None:
        """Start the program, or attach to those that run; list what they have open."""
        pids = self._pids
        if not pids:
            self._program = GatedProgram(
                self._files,
                self._options.command,
                user=user,
                before_exec=self._signals.give_back,
            )
            self._opened.callback(self._program.close)
            pids = (self._program.pid,)
            self._witnesses.follow(pids, HOST, self._actor)
        self._witnesses.attach(pids, HOST, self._actor, spools)
        asked_ns = time.time_ns()
        held = tracees.open_sockets(pids)
        if self._program is not None:  # what we have open it will not have
            held = [one for one in held if not one.closes_on_exec]
        recording.calls(attach_records(HOST, self._actor, held, asked_ns, time.time_ns()))
        self._names.hold(held, asked_ns)
        launched = self._program is not None
        self._witnesses.introduce(pids, held, HOST, self._actor, launched=launched)
        if self._program is not None:
            self._program.release()
            return
        who = "process" if len(pids) == 1 else "processes"
        listed = " ".join(map(str, pids))
        self._say(f"recording {who} {listed} to {self._options.path}: Ctrl-C ends the recording")

    # -- while it runs ---------------------------------------------------------------------------

    def _watch(self, recorder: Recorder) -> None:
        """Carry what is seen into the file until all that is watched has ended, or Ctrl-C."""
        tracer, kernel = self._witnesses.tracer, self._witnesses.kernel
        poller = select.poll()
        over = [one.fileno() for one in (tracer, self._program) if one is not None]
        for pid in self._pids if tracer is None else ():
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                over.append(os.pidfd_open(pid))
                self._opened.callback(os.close, over[-1])
        for descriptor in over:
            poller.register(descriptor, select.POLLIN)
        for ring in self._rings:
            poller.register(ring, select.POLLIN)
        for descriptor in kernel.filenos() if kernel is not None else ():
            poller.register(descriptor, select.POLLIN)
        if self._sampler is not None:
            poller.register(self._sampler, select.POLLIN)
            self._sampler.start()
        left = set(over)
        while left:
            for descriptor in left & {descriptor for descriptor, _ in poller.poll(_TURN_MS)}:
                left.discard(descriptor)
                poller.unregister(descriptor)
            self._turn(recorder)
            for number, from_terminal in self._signals.take():
                if self._program is None or not self._program.is_alive:
                    return  # those that are left go on without us
                if not from_terminal:
                    self._program.signal(number)
            self._tell_who_stays()

    def _turn(self, recorder: Recorder) -> None:
        if self._trouble is None:  # a full disk ends the recording, never the program
            try:
                recorder.pump()
            except NetlabError as error:
                self._trouble = error
                self._say(f"{error}; the program goes on")
        if self._addresses.refresh():
            self._own.reconsider()
        self._heed_limit()
        self._names.advance(time.time_ns(), behind=self._witnesses.unread_bytes() > 0)

    def _heed_limit(self) -> None:
        """A log that is too long is not written on: strace leaves the program."""
        tracer = self._witnesses.tracer
        if self._at_limit or tracer is None:
            return
        if self._witnesses.log_bytes() > self._options.spool_limit_bytes:
            self._at_limit = True
            tracer.detach()
            self._say(f"{_LIMIT}: no further call is recorded; more room: --spool-limit BYTES")

    def _held_now(self) -> list[tracees.HeldSocket]:
        alive = [self._program.pid] if self._program is not None else []
        return tracees.open_sockets(dict.fromkeys([*self._pids, *alive, *self._witnesses.pids()]))

    def _tell_who_stays(self) -> None:
        """Once, where the program ended a while ago and others of it did not."""
        if self._lingering_told or self._program is None or self._program.is_alive:
            return
        now_s = time.monotonic()
        self._ended_s = self._ended_s or now_s
        if now_s - self._ended_s < _LINGERS_S:
            return
        self._lingering_told = True
        left = len(self._witnesses.pids())
        if left:
            name = shlex.quote(self._options.command[0])
            those = "a process that it started is"
            if left > 1:
                those = f"{left} processes that it started are"
            self._say(f"{name} has ended; {those} still recorded: Ctrl-C ends the recording")

    # -- after -----------------------------------------------------------------------------------

    def _end_watching(self, recorder: Recorder, recording: LiveRecording) -> None:
        """Let go of the processes, and read what the witnesses still have: all names are known
        then. For a program that has ended the kernel says good-bye: a moment for that."""
        tracer = self._witnesses.tracer
        if tracer is not None:
            tracer.wait()
            self._note_end(recording)
        polled, unread = self._witnesses.polls(), -1
        until_s = 0.0
        while self._trouble is None and self._are_behind(polled):
            if unread != self._witnesses.unread_bytes():
                unread = self._witnesses.unread_bytes()
                until_s = time.monotonic() + _READS_ON_WITHIN_S
            elif time.monotonic() > until_s:
                break  # a log that cannot be read on: its reader says so
            select.select(self._rings, [], [], _ENDING_TURN_S)
            self._turn(recorder)
        until_s = time.monotonic() + _CLOSES_WITHIN_S
        while self._program is not None and time.monotonic() < until_s:
            if not tracees.are_closing(self._own.is_connected):
                return
            select.select(self._rings, [], [], _ENDING_TURN_S)
            self._turn(recorder)

    def _are_behind(self, polled: int) -> bool:
        """Whether a witness has more to tell; `polled` of the kernel's polls had begun before."""
        unheard = self._witnesses.kernel is not None and self._witnesses.polls() < polled + 2
        return unheard or self._witnesses.unread_bytes() > 0

    def _note_end(self, recording: LiveRecording) -> None:
        """Say so where strace itself came to a bad end."""
        tracer = self._witnesses.tracer
        assert tracer is not None
        if self._at_limit:
            loss = Loss("strace", "calls", None, _LIMIT, self._actor, since_ns=tracer.ended_ns)
            with contextlib.suppress(NetlabError):
                recording.loss(loss)
        # It ends by the signal that it was told to detach with, too.
        elif tracer.returncode not in (0, -signal.SIGTERM):
            reason = tracer.end_text
            self._say(f"{reason}: the calls after that are missing")
            loss = Loss("strace", "calls", None, reason, self._actor, since_ns=tracer.ended_ns)
            with contextlib.suppress(NetlabError):
                recording.loss(loss)

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
