"""What a lab stands on: the house with its hosts, the wire, the recording and who writes it.

Turns a wish into open things in the right order, and closes them in the right order whatever
happens. Knows no programs; read `experiment` for those.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import netlab
from netlab.lab.departures import Departures
from netlab.lab.hosts import Connected, Ended, Event, House, Started
from netlab.lab.namespaces import Refused, why_refused
from netlab.lab.network.plan import SUBNET_BYTES, WIRE, make_plan
from netlab.lab.recorder import Death, Recorder, begin, states_witness
from netlab.lab.signals import Interruptions
from netlab.lab.surroundings import become_caller, choose_user
from netlab.lab.wire.patience import Patience, patience_with
from netlab.lab.wiring import Wiring
from netlab.model.errors import BadRecording, CheckFailed, NetlabError, PrivilegeError
from netlab.model.frame import LINK_ETHERNET, Interface
from netlab.model.recording import Description, Host, Loss

if TYPE_CHECKING:
    from netlab.capture.recording import LiveRecording
    from netlab.capture.sampler import Sampler
    from netlab.lab.finish import Finished
    from netlab.lab.starting import Watching
    from netlab.lab.tracing.kernel_watch import KernelWatch
    from netlab.lab.tracing.strace_tool import Strace

DRAIN_WITHIN_S = 5.0
_TURN_S = 0.1
_WAY_IN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_QUEUES = {
    "calls": "queue lengths around each call",
    "events": "queue lengths when a call would block and at close",
    "off": "no queue lengths",
}


class LabRefused(PrivilegeError):
    """This machine does not let this user have hosts and a wire."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(
            f"this machine does not allow a lab ({refused})",
            why_refused(refused.step, refused.number),
        )
        self.refused = refused


class Ground:
    """Opened by `with`; `finish` gives the recording, and leaving without it discards nothing."""

    house: House
    wiring: Wiring
    sampler: Sampler | None = None
    kernel: KernelWatch | None = None
    recorder: Recorder
    spools: Path

    def __init__(
        self,
        hosts: Sequence[str],
        path: Path,
        *,
        rules: str,
        sysctls: Iterable[tuple[str, str, str]],
        server: str,
        user: str | None,
        title: str,
        watching: Watching,
        journal_limit: int,
        strace: Strace | None = None,
        kernel: bool = False,
        notes: Sequence[str] = (),
        witnesses: Sequence[str] = (),
        resolve: bool = False,
        next_hops: Iterable[tuple[str, str, str]] = (),
        link_rates: Mapping[str, int] | None = None,
    ) -> None:
        """Check what can be checked before anything is opened. Raises UsageError.

        `strace`: what watches commands; `kernel`: whether the kernel is asked, too; `notes`: what a
        reader must know besides.
        """
        self.plan = make_plan(
            hosts, os.urandom(SUBNET_BYTES), server=server, sysctls=sysctls, resolve=resolve,
            next_hops=next_hops, link_rates=link_rates,
        )  # fmt: skip
        self.notes: tuple[str, ...] = (*notes, *self.plan.notes)
        self.connected = False
        self._rules = rules
        self.patience = _patience(rules)
        self._path = path
        self._user = user
        self._title = title
        self._watching = watching
        self._strace = strace
        self._ask_kernel = kernel
        self._journal_limit = journal_limit
        self._witnesses = witnesses  # in words, beside those that are always there
        self._disk_full: BadRecording | None = None
        self._opened = ExitStack()

    def __enter__(self) -> Ground:
        user, notes = choose_user(self._user)
        with ExitStack() as opened:
            try:
                self.house = House.open_hosts(self.plan, user)
            except Refused as refused:
                raise LabRefused(refused) from None
            opened.callback(self.house.close)
            self.notes = (*self.notes, *notes, *self.house.notes)
            if self._ask_kernel:
                from netlab.lab.tracing.kernel_watch import KernelWatch

                self.kernel = KernelWatch.open(self.plan, self.house.helper_pid)
                opened.callback(self.kernel.close)
            become_caller()
            self._begin(opened)
            self._opened = opened.pop_all()
        return self

    def _begin(self, opened: ExitStack) -> None:
        """Recording, wire, recorder: none is left when one cannot be had."""
        from netlab.capture.bpf import SNAPLEN_BYTES
        from netlab.capture.probe.spool import SpoolReader
        from netlab.capture.strace.spools import StraceSpools
        from netlab.lab.wire.journal import JournalReader

        names = [*(host.name for host in self.plan.hosts), WIRE]
        user = self.house.user
        self._recording, spools = begin(
            self._path,
            description=self._describe(),
            interfaces=[Interface(name, LINK_ETHERNET, SNAPLEN_BYTES) for name in names],
            journal_limit=self._journal_limit,
            writer=None if user is None else (user.uid, user.gid),
        )
        self.spools = spools.resolve()
        try:
            self.wiring = Wiring(
                self.house,
                self.plan,
                self._rules,
                self.spools,
                spool_limit_bytes=self._watching.spool_limit_bytes,
            )
        except BaseException:
            _discard(self._recording, self.spools)
            raise
        opened.callback(self.wiring.close)
        if self._watching.sample_every_ns:
            from netlab.capture.sampler import Sampler

            sockets = {host.name: self.diagnosis(host.name) for host in self.plan.hosts}
            self.sampler = Sampler(sockets, self._watching.sample_every_ns)
            opened.callback(self.sampler.close)
        departures = opened.enter_context(Departures())
        self.recorder = Recorder(
            self._recording,
            (),
            SpoolReader(self.spools),
            departures,
            JournalReader(self.spools),
            self.sampler,
            StraceSpools(self.spools),
            self.kernel.witness if self.kernel is not None else None,
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._opened:
            if not self.connected:  # nothing has happened yet
                self.discard()

    def _describe(self) -> Description:
        kernel = os.uname().release
        queues = _QUEUES[self._watching.queues]
        watched = ", TCP_INFO around each call" if self._watching.tcp_info else ""
        wire = f"rules: {self._rules}" if self._rules else "no rules"
        return Description(
            netlab_version=netlab.__version__,
            title=self._title,
            hosts=tuple(
                Host(host.name, kernel, self.house.host_settings[host.name])
                for host in self.plan.hosts
            ),
            witnesses=(
                f"packets: the wire between the hosts, each frame as it left its sender ({wire})",
                f"calls: the probe in programs that use it, {queues}{watched}",
                *([f"calls: {self._strace.words}"] if self._strace is not None else ()),
                *([f"calls: {self.kernel.words}"] if self.kernel is not None else ()),
                *self._witnesses,
                *states_witness(self._watching.sample_every_ns, self.sampler, "of all hosts"),
            ),
            notes=self.notes,
        )

    def open_up(self, interruptions: Interruptions) -> None:
        """Wait until the wire carries and the hosts' links are up.

        Raises NetlabError when that fails, and KeyboardInterrupt once a signal asks to end.
        """
        poller = select.poll()
        for source in (self.house, self.wiring):
            poller.register(source, select.POLLIN)
        asked = False
        while not self.connected:
            poller.poll(_TURN_S * 1000)
            self.wiring.hear()
            for event in self.house.events():
                self.note(event)
            self.check()
            if interruptions.count:
                raise interruptions.as_error()
            if self.wiring.ready and not asked:
                self.house.connect()
                asked = True

    def close_down(self, patient: Callable[[], bool]) -> None:
        """Let the wire carry what is on its way, and end it; at once where nobody is patient."""
        within_s = DRAIN_WITHIN_S + self.patience.way_ns / 1e9
        self.wiring.stop(int(within_s * 1000))
        poller = select.poll()
        poller.register(self.wiring, select.POLLIN)
        self.register_sampler(poller)
        until_s = time.monotonic() + within_s + _TURN_S
        while not self.wiring.over and patient() and time.monotonic() < until_s:
            poller.poll(_TURN_S * 1000)
            self.wiring.hear()
            self.pump()

    def register_sampler(self, poller: select.poll) -> None:
        """Let the poller end its wait when a look at the sockets is due: `pump` takes it."""
        if self.sampler is not None:
            poller.register(self.sampler, select.POLLIN)

    def diagnosis(self, host: str) -> socket.socket:
        """The netlink socket that answers for a host's sockets."""
        return self.house.sockets[self.plan.hosts.index(self.plan.host(host))]

    def open_spools(self) -> int:
        """A descriptor of the folder that programs write their spools to."""
        return os.open(self.spools, _WAY_IN)

    def note(self, event: Event) -> None:
        """Take in an event of the house that is about no program."""
        if isinstance(event, Connected):
            self.connected = True
            if self.sampler is not None:
                self.sampler.start()
        elif isinstance(event, Started):
            self.started(event.pid, WIRE, WIRE, wanted=False)
        elif isinstance(event, Ended) and event.actor == WIRE:
            self.wiring.hear()
            self.wiring.died(event.status, self.house.last_words())

    def started(self, pid: int, host: str, actor: str, *, wanted: bool) -> None:
        """A program runs, whose calls are wanted of the kernel, or not."""
        if self.kernel is not None:
            self.kernel.started(pid, host, actor, wanted=wanted)

    def pump(self) -> None:
        """Write what the witnesses have seen; a full disk is kept in mind."""
        if self._disk_full is None:
            try:
                self.recorder.pump()
            except BadRecording as error:
                self._disk_full = error

    def know(self, note: str) -> None:
        """What a reader of the recording must know; once, and nothing if it is empty."""
        if note and note not in self.notes:
            self.notes = (*self.notes, note)

    def lose(self, loss: Loss) -> None:
        """Write what a witness did not see; a full disk is kept in mind."""
        if self._disk_full is None:
            try:
                self.recorder.lose(loss)
            except BadRecording as error:
                self._disk_full = error

    def check(self) -> None:
        """Raise what keeps the lab from going on."""
        if self.wiring.trouble is not None:
            raise self.wiring.trouble
        if self.house.gone:
            raise CheckFailed(f"the lab's helper died {self.house.last_words()}".rstrip())
        if self._disk_full is not None:
            raise self._disk_full

    @property
    def seen(self) -> tuple[int, int]:
        """How many frames and calls were recorded so far."""
        return self.recorder.frame_count, self.recorder.call_count

    def finish(
        self,
        deaths: Sequence[Death],
        interrupted: int | None,
        disk_full: BadRecording | None = None,
    ) -> Finished:
        """The finished recording, once everything in the house has ended.

        `disk_full`: what whoever pumped the recorder met. Raises BadRecording when the disk was
        full; what was recorded opens even so.
        """
        from netlab.lab.finish import conclude

        notes = [*self.notes, *self._late_notes()]
        if interrupted is not None:  # what follows in the story never happened
            notes.append(f"interrupted by {signal.Signals(interrupted).name}: the run was not over")
        self.notes = tuple(notes)
        trouble: NetlabError | None = self._disk_full or disk_full
        if trouble is None:
            try:
                self._recording.describe(replace(self._describe(), notes=self.notes))
            except BadRecording as error:
                trouble = error
        return conclude(
            self.recorder,
            self._path,
            self.spools,
            deaths=[death for death in deaths if self.recorder.has_heard_of(death.pid)],
            trouble=trouble,
            journal_limit=self._journal_limit,
        )

    def discard(self) -> None:
        """Leave no file: there is nothing in it that anybody needs."""
        _discard(self._recording, self.spools)

    def _late_notes(self) -> list[str]:
        """What the wire told at its end."""
        report = self.wiring.report
        if report is None:
            return ["the wire did not live to say which rules fired"]
        vain = dict(report.vain)
        notes = [
            f"never fired: {rule}{_waiting(vain.get(rule, 0))}"
            for rule, count in report.fired
            if not count
        ]
        if report.left:
            notes.append(f"{report.left} frames were still on their way at the end")
        notes += [f"{count} frames were not taken by {why}" for why, count in report.refused]
        return notes


def _patience(rules: str) -> Patience:
    if not rules:
        return Patience()  # most labs: spare them the grammar
    from netlab.lab.wire.grammar import rules_from_text

    return patience_with(rules_from_text(rules))


def _waiting(vain: int) -> str:
    if not vain:
        return ""
    return f" ({vain} {'frames' if vain > 1 else 'frame'} waited in vain)"


def _discard(recording: LiveRecording, spools: Path) -> None:
    """Nothing was recorded: leave no file."""
    from netlab.capture.ownership import remove_folder

    recording.close()
    recording.path.unlink(missing_ok=True)
    remove_folder(spools)
