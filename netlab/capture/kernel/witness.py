"""The kernel witness: opened as root, told which processes to follow, asked for what it has seen.

Two instances: one for the calls of the followed threads, which the kernel filters by thread and
keeps up with forks; one for the network's events of the whole machine, which no thread filter can
catch, since most of them happen on top of somebody else. Each processor has its buffer; the events
of all are put in order by their times, up to shortly before the moment of the reading: whatever
happened before a thing in the same thread was in its buffer before it. So an order that is found
here between two events of one thread, or of a parent and what it forked, is the true one.

The clock is tai: CLOCK_REALTIME and a whole number of seconds, which is read again each time.
What it costs: every system call of the machine that is entered while the witness is open is looked
at by the kernel (measured on a request and response loop: see README).
"""

from __future__ import annotations

import gc
import os
import struct
import time
from collections.abc import Mapping
from dataclasses import field, replace
from operator import itemgetter
from types import TracebackType

from netlab.capture.descriptors import OWN_INODES, Descriptors, OpenSocket
from netlab.capture.kernel.calls import Calls
from netlab.capture.kernel.formats import event_format
from netlab.capture.kernel.guardian import Guardian
from netlab.capture.kernel.instance import Instance
from netlab.capture.kernel.looks import Looks
from netlab.capture.kernel.network import Network
from netlab.capture.kernel.pages import RawEvent, read_page
from netlab.capture.kernel.processes import Held, name_of, sockets_of, threads_of
from netlab.capture.kernel.syscalls import SYSCALLS
from netlab.capture.kernel.tracefs import Tracefs
from netlab.capture.kernel.tracepoints import (
    NETWORK,
    ROUTES,
    SOCKET_CALLS,
    TASKS,
    WITH_PORTS,
    Gap,
    Lost,
    Reader,
    enter_reader,
    leave_reader,
    readers,
)
from netlab.capture.strace.reader import own_number
from netlab.model.call import CallRecord, Inheritance
from netlab.model.errors import PrivilegeError
from netlab.model.kernel_event import KernelEvent
from netlab.model.recording import Loss
from netlab.model.records import dataclass

BEGIN_GAP, END_GAP = -1, -2  # stand for the numbers of events
# Of each processor, twice: at 20,000 calls a second 16 MiB are two seconds.
BUFFER_KB, ALL_BUFFERS_KB, LEAST_KB = 16 << 10, 128 << 10, 1 << 10
_SETTLE_NS = 1_000_000  # an event has its time before it stands in the buffer
_S = 1_000_000_000
_THREAD_ROUNDS = 20
# Without these nothing can be said; every other event may be missing.
_NEEDED = ("task/task_newtask", "sched/sched_process_exit")


Told = tuple[int, Reader | None, bytes]


@dataclass(slots=True)
class Harvest:
    """What was seen since the last time."""

    calls: list[CallRecord] = field(default_factory=list)
    inheritances: list[Inheritance] = field(default_factory=list)
    events: list[KernelEvent] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)


class _Source:
    """An instance with the readers of its events, and what was read of it and not yet told."""

    def __init__(self, instance: Instance, *, calls: bool) -> None:
        self.instance = instance
        self.calls = calls
        self.readers: dict[int, Reader] = {}
        self.missing: list[str] = []
        self.readers[BEGIN_GAP] = lambda time_ns, _: Gap(time_ns, calls)
        self.readers[END_GAP] = lambda time_ns, data: _lost(time_ns, data, calls)
        now_ns = time.clock_gettime_ns(time.CLOCK_TAI)
        self._last_ns = [now_ns for _ in instance.processors]  # of each, its latest event
        self._waiting: list[list[RawEvent]] = [[] for _ in instance.processors]

    def enable(self, event: str, condition: str = "") -> bool:
        """Whether this kernel has the event."""
        text = self.instance.enable(event, condition)
        if text is None:
            self.missing.append(event)
            return False
        form = event_format(text)
        if form.name.startswith("sys_enter_"):
            self.readers[form.id] = enter_reader(form)
        elif form.name.startswith("sys_exit_"):
            self.readers[form.id] = leave_reader(form)
        else:
            self.readers[form.id] = readers()[form.name](form)
        return True

    def read(self) -> None:
        """Take all that stands in the buffers now."""
        for number, waiting in enumerate(self._waiting):
            for page in self.instance.pages(number):
                found = read_page(page, self.instance.layout)
                lost = found.lost if found.whole else None
                if lost != 0:
                    since_ns = waiting[-1][0] if waiting else self._last_ns[number]
                    until_ns = found.events[0][0] if found.events else since_ns
                    what = b"%d %d" % (until_ns - since_ns, -1 if lost is None else lost)
                    waiting += [(since_ns, BEGIN_GAP, b""), (until_ns, END_GAP, what)]
                waiting += found.events
                if found.events:
                    self._last_ns[number] = found.events[-1][0]

    def take(self, before_ns: int | None) -> list[Told]:
        """What happened before that moment, with the reader of each; all for None."""
        found: list[Told] = []
        reader_of = self.readers.get
        for number, waiting in enumerate(self._waiting):
            cut = len(waiting)
            if before_ns is not None:
                while cut and waiting[cut - 1][0] >= before_ns:
                    cut -= 1
            found += [(time_ns, reader_of(event), data) for time_ns, event, data in waiting[:cut]]
            self._waiting[number] = waiting[cut:]
        return found


def _lost(time_ns: int, data: bytes, calls: bool) -> Lost:
    """The end of a gap, from how long it was and how many were lost."""
    before_ns, count = map(int, data.split())
    return Lost(time_ns, time_ns - before_ns, None if count < 0 else count, calls)


class KernelWitness:
    """Use `open`, `follow` processes, `poll` often, `finish` once they have ended, `close`."""

    def __init__(
        self, tracefs: Tracefs, sources: tuple[_Source, ...], guardian: Guardian,
        hosts: Mapping[str, str] | None,
    ) -> None:  # fmt: skip
        """Use `open`."""
        self._tracefs = tracefs
        self._sources = sources
        self._guardian = guardian
        self._descriptors = Descriptors(OWN_INODES + own_number(time.time_ns()))
        self._network = Network(hosts)
        self._calls = Calls(self._descriptors, self._network)
        self._offset_ns = _tai_offset_ns()
        self._looks = Looks(self._descriptors, self._now_ns)
        self._losses: list[Loss] = []
        self._unreadable = 0
        self._open = True

    @classmethod
    def open(
        cls, *, hosts: Mapping[str, str] | None = None, buffer_kb: int | None = None
    ) -> KernelWitness:
        """Record from now on; `hosts` gives the host of each address whose events are all wanted.

        `buffer_kb` of memory are taken for each processor, twice. Raises PrivilegeError.
        """
        if buffer_kb is None:
            buffer_kb = max(LEAST_KB, min(BUFFER_KB, ALL_BUFFERS_KB // (os.cpu_count() or 1)))
        tracefs = Tracefs.open()
        made: list[Instance] = []
        try:
            made.append(Instance.make(tracefs, "calls", buffer_kb=buffer_kb))
            made.append(Instance.make(tracefs, "network", buffer_kb=buffer_kb))
            calls, network = _Source(made[0], calls=True), _Source(made[1], calls=False)
            for event in (*TASKS, *SOCKET_CALLS):
                calls.enable(event)
            for event in ROUTES:
                calls.enable(event, WITH_PORTS)
            for name in SYSCALLS:
                if calls.enable(f"syscalls/sys_enter_{name}"):
                    calls.enable(f"syscalls/sys_exit_{name}")
            for event in NETWORK:
                network.enable(event)
            lacking = [event for event in _NEEDED if event in calls.missing]
            if lacking or "syscalls/sys_enter_read" in calls.missing:
                raise PrivilegeError(
                    "this kernel cannot trace system calls (CONFIG_FTRACE_SYSCALLS)",
                    "use the strace witness: --witness strace",
                )
            made[0].filter_threads()
            guardian = Guardian([one.path for one in made], tracefs.descriptors)
            try:
                witness = cls(tracefs, (calls, network), guardian, hosts)
                for one in made:
                    one.start()
            except BaseException:
                guardian.end()
                raise
        except BaseException:
            for one in made:
                one.close()
            tracefs.close()
            raise
        return witness

    @property
    def missing(self) -> tuple[str, ...]:
        """Tracepoints that this kernel does not have, calls that it does not know left out."""
        return tuple(
            name
            for source in self._sources
            for name in source.missing
            if not name.startswith("syscalls/")
        )

    def filenos(self) -> tuple[int, ...]:
        """Descriptors to poll: one is readable once a buffer begins to fill."""
        return tuple(fd for source in self._sources for fd in source.instance.filenos())

    def follow(self, pid: int, *, host: str, actor: str) -> None:
        """Watch the calls of a process from now on, of its threads, and of all that they fork.

        The process may be anywhere; what it does meanwhile is missed as a whole, never in part.
        Raises UsageError when there is none.
        """
        for held in self._attach(pid, nursery=False):
            if held.local is not None and held.peer is not None:
                self._network.expect(host, held.local, held.peer)
        self._calls.families.name(pid, host, actor)

    def nurse(self, pid: int) -> None:
        """Watch the programs that a process starts: its children, each from its execve on.

        What they do is told once `name` has been called for them. Raises UsageError.
        """
        self._attach(pid, nursery=True)

    def name(self, pid: int, *, host: str, actor: str) -> None:
        """The child `pid` of a nursed process is this program."""
        self._calls.families.name(pid, host, actor)

    def dismiss(self, pid: int) -> None:
        """The child `pid` of a nursed process is not to be watched."""
        self._calls.families.dismiss(pid)

    def _attach(self, pid: int, *, nursery: bool) -> list[Held]:
        """Follow a process from now on; the sockets that it has."""
        instance = self._sources[0].instance
        followed: set[int] = set()
        for _ in range(_THREAD_ROUNDS):  # one may begin between the look and the word
            new = set(threads_of(pid)) - followed
            if not new:
                break
            instance.follow(sorted(new))
            followed |= new
        held, time_ns = sockets_of(pid, self._now_ns)
        sockets: dict[int, tuple[OpenSocket, bool]] = {}
        for fd, one in held.items():
            known = self._descriptors.with_inode(one.inode)
            if known is None:
                known = self._descriptors.socket(one.inode)
                known.family, known.kind, known.listens = one.family, one.kind, one.listens
                self._descriptors.has_ends(known, one.local, one.peer)
            sockets[fd] = known, one.closing
        self._calls.families.attach(
            pid, comm=name_of(pid), threads=sorted(followed), sockets=sockets, time_ns=time_ns,
            nursery=nursery,
        )  # fmt: skip
        return list(held.values())

    def lost(self) -> int:
        """Events that found no room so far, as the kernel counts them, read or not."""
        return sum(source.instance.lost() for source in self._sources)

    def poll(self) -> Harvest:
        """What was seen since the last time, up to about now. Never blocks."""
        before_ns = time.clock_gettime_ns(time.CLOCK_TAI) - _SETTLE_NS
        self._check_offset()
        self._read(before_ns)
        for socket in self._looks.believe(before_ns - self._offset_ns):
            self._calls.places.teach(socket)
        found = self._harvest()
        self._looks.take(found.calls)
        found.calls = self._looks.sift(found.calls)
        return found

    def finish(self) -> Harvest:
        """Record no more, and give the rest; calls that have not returned come out so."""
        for source in self._sources:
            source.instance.stop()
        self._read(None)
        self._calls.finish()
        if self._unreadable:
            self._losses.append(Loss("kernel", "events", self._unreadable, "not readable"))
            self._unreadable = 0
        self._looks.believe(1 << 63)
        found = self._harvest()
        found.calls = self._looks.sift(found.calls)
        return found

    def close(self) -> None:
        """Remove the instances. A second time it does nothing."""
        if not self._open:
            return
        self._open = False
        for source in self._sources:
            source.instance.let_go()
        self._guardian.end()
        self._tracefs.close()

    def __enter__(self) -> KernelWitness:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ---

    def _now_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_TAI) - self._offset_ns

    def _check_offset(self) -> None:
        offset_ns = _tai_offset_ns()
        if offset_ns != self._offset_ns:
            since_ns = time.time_ns()
            reason = "the offset of TAI was set: times since the last look are not sure"
            self._losses.append(Loss("kernel", "times", None, reason, since_ns=since_ns))
            self._offset_ns = offset_ns

    def _read(self, before_ns: int | None) -> None:
        # Many small objects, no cycles: looking for garbage among them takes a third of the time.
        collecting = gc.isenabled()
        gc.disable()
        try:
            self._take(before_ns)
        finally:
            if collecting:
                gc.enable()

    def _take(self, before_ns: int | None) -> None:
        events: list[Told] = []
        for source in self._sources:
            source.read()
            events += source.take(before_ns)
        events.sort(key=_time_of)
        feed, offset_ns = self._calls.feed, self._offset_ns
        for time_ns, reader, data in events:
            if reader is None:
                continue
            try:
                event = reader(time_ns - offset_ns, data)
            except (struct.error, ValueError):
                self._unreadable += 1
                continue
            feed(event)

    def _harvest(self) -> Harvest:
        families, network = self._calls.families, self._network
        losses = [*self._losses, *_summed(self._calls.losses), *families.losses]
        found = Harvest(families.records, families.inheritances, network.events, losses)
        families.records, families.inheritances, families.losses = [], [], []
        network.events, self._losses, self._calls.losses = [], [], []
        return found


def _summed(losses: list[Loss]) -> list[Loss]:
    """One for all gaps in events of one kind."""
    found: dict[str, Loss] = {}
    for loss in losses:
        known = found.setdefault(loss.what, loss)
        if known is not loss:
            unknown = known.count is None or loss.count is None
            count = None if unknown else (known.count or 0) + (loss.count or 0)
            since_ns = min(known.since_ns or 0, loss.since_ns or 0)
            found[loss.what] = replace(known, count=count, since_ns=since_ns)
    return list(found.values())


_time_of = itemgetter(0)


def _tai_offset_ns() -> int:
    """CLOCK_TAI less CLOCK_REALTIME, a whole number of seconds."""
    before = time.clock_gettime_ns(time.CLOCK_REALTIME)
    tai = time.clock_gettime_ns(time.CLOCK_TAI)
    return round((tai - before) / _S) * _S
