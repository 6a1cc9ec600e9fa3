"""Carries what the witnesses see into the recording while it happens: rings and spools -> file.

Frames come from rings, or from the spool of a wire between hosts, which says what became of each;
a sampler looks at the hosts' sockets at its own rate.

It never waits and decides nothing: whoever owns the loop calls `pump` often, and `finish` once the
programs have ended. Knows no programs; read `capture.recording` first.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from netlab.capture.ownership import give_folder, remove_folder
from netlab.capture.probe.spool import SpoolReader
from netlab.capture.probe.stamps import StampsOf
from netlab.capture.recording import LiveRecording, make_spool_folder
from netlab.capture.ring import PacketRing, RingFrame
from netlab.capture.sampler import Sampler
from netlab.capture.strace.spools import StraceSpools
from netlab.lab.departures import Departures
from netlab.lab.wire.journal import JournalReader, Taken
from netlab.model.call import CallRecord
from netlab.model.clock import ClockPair
from netlab.model.errors import BadRecording
from netlab.model.frame import Interface
from netlab.model.recording import Description, Loss

_NS = 1_000_000_000
_SPOOLS_EVERY_NS = _NS // 10
# The ring holds 3.2 s of packets that come one by one: it is read between two such stretches and
# the writing of what they brought.
_SPOOLS_WITHIN_S = 0.1


if TYPE_CHECKING:
    from netlab.capture.kernel.witness import Harvest, KernelWitness


def stamps_witness(stamps: StampsOf, whose: str = "") -> list[str]:
    """How a description names the witness that `JournalProbe(stamps=...)` is; none without."""
    if not stamps:
        return []
    if not isinstance(stamps, bool):
        whose = f" of port {', '.join(map(str, sorted(stamps)))}"
    what = "stamps: the kernel's, of what left and was acknowledged (SO_TIMESTAMPING)"
    return [f"{what} on TCP sockets{whose}"]


def states_witness(every_ns: int, sampler: Sampler | None, of_whom: str) -> list[str]:
    """How a description names a sampler, in the end with what it did; none without."""
    if not every_ns:
        return []
    from netlab.lab.wire.quantities import DURATION

    what = f"states: TCP_INFO, queues and memory of TCP sockets, {of_whom} (sock_diag)"
    looks = "" if sampler is None else sampler.looks_text()
    return [f"{what}, every {DURATION.text(every_ns)}{looks}"]


@dataclass(frozen=True, slots=True)
class Death:
    """A process that ended, as its parent saw it."""

    host: str
    actor: str
    pid: int  # as the machine outside sees it
    how: str  # SIGKILL, or `status 1`; empty: not known
    time_ns: int  # when the parent learnt of it: the latest that it can have been


def begin(
    path: Path,
    *,
    description: Description,
    interfaces: Sequence[Interface],
    journal_limit: int,
    writer: tuple[int, int] | None = None,
) -> tuple[LiveRecording, Path]:
    """A new recording at `path` and its folder for spools, which uid and gid `writer` write to.

    Raises UsageError when they cannot be had, and nothing is left then.
    """
    spools = make_spool_folder(path)  # first: it refuses where a killed recording still needs FILE
    try:
        if writer is not None:
            give_folder(spools, *writer)
        recording = LiveRecording.create(
            path, description=description, interfaces=interfaces, journal_limit=journal_limit
        )
    except BaseException:
        remove_folder(spools)
        raise
    return recording, spools


class Recorder:
    """Rings (one an interface, in the recording's order) and a folder of spools, to one file."""

    def __init__(
        self,
        recording: LiveRecording,
        rings: Sequence[PacketRing],
        spools: SpoolReader,
        departures: Departures | None = None,
        wire: JournalReader | None = None,
        sampler: Sampler | None = None,
        logs: StraceSpools | None = None,
        kernel: KernelWitness | None = None,
    ) -> None:
        self._recording = recording
        self._rings = tuple(rings)
        self._spools = spools
        self._logs = logs  # of programs that strace watches
        self._kernel = kernel
        self._departures = departures  # of processes whose parent will not tell us
        self._wire = wire
        self._sampler = sampler
        self._wire_losses = 0  # how many of the reader's have been written
        self._wired: Counter[int] = Counter()  # frames that the wire took, by interface
        # By pid: host, what its main thread is called, who watches.
        self._met: dict[int, tuple[str, str, str]] = {}
        self._start_ns = time.time_ns()
        self._next_spools_ns = 0
        self._within_s = _SPOOLS_WITHIN_S
        if sampler is not None:  # what is left over is read after its next look
            self._within_s = min(_SPOOLS_WITHIN_S, sampler.every_ns / 2 / _NS)
        self._next_clock_ns = 0
        self._sources: list[SpoolReader | StraceSpools] = [spools]
        if logs is not None:
            self._sources.append(logs)
        self._inheritances = [0] * len(self._sources)  # how many of each's have been written
        self._losses = [0] * len(self._sources)
        self._said_exit: set[int] = set()  # pids whose own spool holds their end
        self._orders: dict[int, int] = {}  # last order in the main thread, by pid
        self._alive_ns: dict[int, int] = {}  # last sign of life, by pid
        self.frame_count = 0
        self.call_count = 0

    def pump(self) -> None:
        """Write what has come since the last time. Raises BadRecording when the disk is full."""
        try:
            self._pump()
        except BadRecording:
            if self._sampler is not None:  # whoever waits for its ticks would find no rest
                self._sampler.stop()
            raise

    def _pump(self) -> None:
        self._write_samples()
        for interface, ring in enumerate(self._rings):
            for _ in range(ring.blocks):  # one round: a sender that never rests must not hold us
                frames = ring.read()
                if not frames:
                    break
                self._write_frames(interface, frames)
        if self._wire is not None:
            self._write_wire(self._wire.poll(self._within_s))
            self._write_samples()
        now_ns = time.monotonic_ns()
        if now_ns >= self._next_spools_ns:
            self._next_spools_ns = now_ns + _SPOOLS_EVERY_NS
            self._write_calls(self._spools.poll(self._within_s))
            if self._logs is not None:
                self._write_calls(self._logs.poll(self._within_s))
            if self._kernel is not None:
                self._write_harvest(self._kernel.poll())
            self._write_samples()
        if self._departures is not None:
            self._departures.look()
        if now_ns >= self._next_clock_ns:
            self._next_clock_ns = now_ns + _NS
            self._write_clock()
            self._write_statistics()

    def finish(self, deaths: Sequence[Death], losses: Iterable[Loss] = ()) -> None:
        """Write the rest: frames still in the ring, calls never returned from, processes' ends."""
        for interface, ring in enumerate(self._rings):
            self._write_frames(interface, ring.drain())
        if self._wire is not None:
            self._write_wire(self._wire.finish())
        self._write_calls(self._spools.finish())
        if self._logs is not None:
            self._write_calls(self._logs.finish())
        if self._kernel is not None:
            self._write_harvest(self._kernel.finish())
        deaths = [*deaths, *self._unreported({death.pid for death in deaths})]
        self._write_calls(
            [self._exit(death) for death in deaths if death.pid not in self._said_exit]
        )
        for loss in losses:
            self._recording.loss(loss)
        self._write_clock()
        self._write_statistics()
        self._write_wire_statistics()
        dropped = sum(ring.statistics().dropped for ring in self._rings)
        if dropped:
            self._recording.loss(
                Loss("packets", "frames", dropped, "ring full", since_ns=self._start_ns)
            )
        self._recording.close()

    def _write_frames(self, interface: int, frames: list[RingFrame]) -> None:
        if frames:
            self._recording.frames(interface, frames)
            self.frame_count += len(frames)

    def _write_wire(self, taken: Taken) -> None:
        """What the wire noted: each frame before what became of it, so that no arrival hangs."""
        if taken.frames:
            self._recording.wire_frames(taken.frames)
            self.frame_count += len(taken.frames)
            self._wired.update(frame[1] for frame in taken.frames)
        if taken.arrivals:
            self._recording.arrivals(taken.arrivals)
        losses = self._wire.losses if self._wire is not None else []
        for loss in losses[self._wire_losses :]:
            self._recording.loss(loss)
        self._wire_losses = len(losses)

    def _write_samples(self) -> None:
        if self._sampler is None:
            return
        found = self._sampler.poll()
        if found:
            self._recording.samples(found)

    def has_heard_of(self, pid: int) -> bool:
        """Whether calls of this process were written."""
        return pid in self._met

    def lose(self, loss: Loss) -> None:
        """Write what a witness did not see."""
        self._recording.loss(loss)

    def fuller_than(self, limit_bytes: int) -> list[str]:
        """The actors whose calls fill a longer log than this."""
        lengths = self._logs.lengths_bytes if self._logs is not None else {}
        return [actor for actor, length in lengths.items() if length > limit_bytes]

    def _write_harvest(self, harvest: Harvest) -> None:
        """What the kernel told. Who was born with which sockets stands before it uses them."""
        if harvest.inheritances:
            self._recording.inheritances(harvest.inheritances)
        self._write_calls(harvest.calls)
        if harvest.events:
            self._recording.kernel_events(harvest.events)
        for loss in harvest.losses:
            self._recording.loss(loss)

    def _write_calls(self, calls: list[CallRecord]) -> None:
        if calls:
            self._recording.calls(calls)
            self.call_count += len(calls)
        for call in calls:
            if call.tid == call.pid or call.pid not in self._met:
                self._met[call.pid] = call.host, call.actor, call.witness
            if call.op == "exit":
                self._said_exit.add(call.pid)
            alive_ns = call.entered_ns if call.returned_ns is None else call.returned_ns
            self._alive_ns[call.pid] = max(alive_ns, self._alive_ns.get(call.pid, 0))
            if call.tid == call.pid:
                self._orders[call.pid] = max(call.order, self._orders.get(call.pid, 0))
        inheritances = [
            item
            for source, done in zip(self._sources, self._inheritances, strict=True)
            for item in source.inheritances[done:]
        ]
        if inheritances:
            self._inheritances = [len(source.inheritances) for source in self._sources]
            self._recording.inheritances(inheritances)
        if self._departures is not None:
            for pid in (*(c.pid for c in calls), *(item.pid for item in inheritances)):
                self._departures.watch(pid)
        stamps, self._spools.stamps = self._spools.stamps, []
        if stamps:
            self._recording.stamps(stamps)
        for number, source in enumerate(self._sources):
            for loss in source.losses[self._losses[number] :]:
                self._losses[number] += 1
                self._recording.loss(loss)

    def _unreported(self, known: set[int]) -> list[Death]:
        """The ends that nobody but us has noticed. One that made no call has no name to go by."""
        if self._departures is None:
            return []
        self._departures.look()
        return [
            Death(*self._met[gone.pid][:2], gone.pid, gone.how, gone.time_ns)
            for gone in self._departures.seen
            if gone.pid in self._met and gone.pid not in known
        ]

    def _exit(self, death: Death) -> CallRecord:
        """The end that a killed process could not note: a call that it never returned from.

        Nobody saw when it began. The kernel closes a dead process's sockets before the parent is
        told, so the moment is between the last sign of life and then: both bounds are kept.
        """
        _, actor, witness = self._met.get(death.pid, (death.host, death.actor, "probe"))
        return CallRecord(
            witness=witness,
            host=death.host,
            actor=actor,
            pid=death.pid,
            tid=death.pid,
            order=self._orders.get(death.pid, 0) + 1,
            op="exit",
            fd=None,
            args=death.how,
            entered_ns=min(self._alive_ns.get(death.pid, death.time_ns), death.time_ns),
            returned_ns=None,
            returned_by_ns=death.time_ns,
        )

    def _write_clock(self) -> None:
        self._recording.clock(ClockPair(time.time_ns(), time.monotonic_ns()))

    def _write_statistics(self) -> None:
        for interface, ring in enumerate(self._rings):
            counted = ring.statistics()
            self._recording.statistics(
                interface, counted.received, counted.dropped, self._start_ns, time.time_ns()
            )

    def _write_wire_statistics(self) -> None:
        """Once, at the end: how many frames were lost is known only then."""
        if self._wire is None:
            return
        found = self._wire.dropped
        lost = [loss.count for loss in self._wire.losses if loss.what == "frames"]
        # What found no room in the spool, or was damaged there, is of a host that nobody knows.
        is_known = None not in lost and sum(filter(None, lost)) == found.total()
        for interface in sorted(self._wired.keys() | found.keys()):
            dropped = found[interface] if is_known else None
            received = self._wired[interface] + found[interface]
            self._recording.statistics(interface, received, dropped, self._start_ns, time.time_ns())
