"""Programs, the processes that they fork, and what these are called -> whose record a call is.

A program may be met before anybody says what it is called: a nursed process forks it, and its name
comes later. Its records are held until then. Between fork and execve such a child is no program
yet, and what it does is nobody's. The first process of a program has its actor's name; others are
told apart by what they run and their number.
What this module must not know: calls, and what they mean. Read `capture.descriptors` first.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from pathlib import PurePosixPath

from netlab.capture.descriptors import Closed, Descriptors, OpenSocket
from netlab.capture.kernel.tracepoints import Begun, Ended, Executed
from netlab.model.call import CallRecord, Inheritance
from netlab.model.recording import Loss
from netlab.model.records import dataclass

CLONE_FILES, CLONE_THREAD = 0x400, 0x10000
_COMM_BYTES = 15  # man 5 proc: comm
_UNNAMED = "\0"  # stands for an actor until that is known

Item = CallRecord | Inheritance | Loss


@dataclass(slots=True)
class Family:
    """A program and all that it forks."""

    root: int
    host: str = ""
    actor: str = _UNNAMED
    wanted: bool = True
    named: bool = False
    met: bool = False  # its first process is known
    held: list[Item] = field(default_factory=list)


@dataclass(slots=True)
class Process:
    """One of its processes."""

    pid: int
    family: Family
    comm: str
    since_ns: int = 0  # what happened before is in its descriptor table already
    silent: bool = False  # no program of anybody's yet: that begins with its execve
    nursery: bool = False  # its children are the programs
    status: str = ""
    ending_ns: int | None = None  # when it called exit_group
    had_socket: bool = False
    mortal: tuple[int, int] | None = None  # a thread, and the signal that it may die of

    @property
    def host(self) -> str:
        return self.family.host

    @property
    def actor(self) -> str:
        name = self.family.actor
        return name if self.pid == self.family.root else f"{name}/{self.comm}-{self.pid}"

    @property
    def counts(self) -> bool:
        """Whether what it does is recorded."""
        return self.family.wanted and not self.silent


class Families:
    """All processes that are followed; `records`, `inheritances`, `losses` are to be taken."""

    def __init__(self, tables: Descriptors) -> None:
        self._tables = tables
        self._processes: dict[int, Process] = {}
        self._families: dict[int, Family] = {}  # of nursed children, by their pid
        self._orders: dict[int, int] = {}
        self.records: list[CallRecord] = []
        self.inheritances: list[Inheritance] = []
        self.losses: list[Loss] = []

    def attach(
        self,
        pid: int,
        *,
        comm: str,
        threads: Iterable[int] = (),
        sockets: Mapping[int, tuple[OpenSocket, bool]] | None = None,
        time_ns: int = 0,
        nursery: bool = False,
    ) -> None:
        """Follow a process, which `name` names.

        `sockets` are those behind its descriptors at `time_ns`, and whether an execve closes them.
        Of a `nursery` only its children are wanted, each from its execve on.
        """
        self._tables.start(pid)
        for tid in threads:
            if tid != pid:
                self._tables.thread(tid, pid)
        for fd, (socket, closing) in (sockets or {}).items():
            self._tables.put(pid, fd, socket, closing=closing)
        family = Family(pid, wanted=not nursery)
        self._processes[pid] = Process(
            pid, family, comm, time_ns, silent=nursery, nursery=nursery, had_socket=bool(sockets)
        )

    def name(self, pid: int, host: str, actor: str) -> None:
        """The program that this process runs, or ran, belongs to a host and has a name there."""
        family = self._family(pid)
        family.host, family.actor, family.named = host, actor, True
        held, family.held = family.held, []
        for item in held:
            if isinstance(item, CallRecord):
                item = replace(item, host=host, actor=item.actor.replace(_UNNAMED, actor, 1))
            elif isinstance(item, Loss):
                item = replace(item, actor=item.actor.replace(_UNNAMED, actor, 1))
            self._tell(item)

    def dismiss(self, pid: int) -> None:
        """Nobody wants to know what this program does."""
        family = self._family(pid)
        family.wanted = False
        family.held.clear()

    def _family(self, pid: int) -> Family:
        """The program that began with this process: it may be over, or its begin not yet read."""
        process = self._processes.get(pid)
        if process is not None:
            return process.family
        return self._families.setdefault(pid, Family(pid))

    def _born(self, pid: int) -> Family:
        """The program that begins with this process, which may have been named already."""
        known = self._families.get(pid)
        if known is None or known.met:
            known = self._families[pid] = Family(pid)
        known.met = True
        return known

    def process(self, tid: int) -> Process | None:
        """The process of a thread, if it is followed."""
        return self._processes.get(self._tables.process_of(tid))

    def begun(self, event: Begun) -> None:
        """A thread made another one, or a process."""
        parent = self.process(event.tid)
        if parent is None:
            return
        self._orders.pop(event.child, None)
        if event.clone_flags & CLONE_THREAD:
            self._tables.thread(event.child, parent.pid)
            return
        if event.clone_flags & CLONE_FILES:
            inodes = self._tables.share(event.child, parent.pid)
        else:
            inodes = self._tables.fork(event.child, self._tables.table(parent.pid))
        since_ns = parent.since_ns if parent.since_ns > event.time_ns else 0
        family = parent.family
        if parent.nursery:
            family = self._born(event.child)
        child = self._processes[event.child] = Process(
            event.child, family, event.comm, since_ns, parent.silent, had_socket=bool(inodes)
        )
        if inodes and child.counts:
            self.add(child, Inheritance(event.child, parent.pid, event.time_ns, inodes))

    def executed(self, event: Executed) -> list[Closed]:
        """A process runs another program; the sockets' descriptors that this closed."""
        process = self.process(event.tid)
        if process is None:
            return []
        process.comm = PurePosixPath(event.filename).name[:_COMM_BYTES] or process.comm
        closed = self._tables.exec(event.tid)
        if not process.silent or process.nursery:
            return closed
        process.silent, process.had_socket = False, bool(self._tables.table(process.pid).sockets())
        return []

    def ended(self, event: Ended) -> bool:
        """A thread has ended; whether its process has, too."""
        process = self.process(event.tid)
        if process is None or not self._tables.end(event.tid):
            return False
        del self._processes[process.pid]
        if process.mortal is not None and process.ending_ns is None:
            process.status = _signal_name(process.mortal[1])
        if process.counts and process.had_socket:
            begun_ns = process.ending_ns or event.time_ns
            self.add(
                process,
                CallRecord(
                    "kernel", process.host, process.actor, process.pid, process.pid,
                    self.order(process.pid), "exit", None, process.status, begun_ns, None,
                    event.time_ns,
                ),
            )  # fmt: skip
        return True

    def order(self, tid: int) -> int:
        """The place of the next record among those of a thread."""
        order = self._orders[tid] = self._orders.get(tid, 0) + 1
        return order

    def add(self, process: Process, item: Item) -> None:
        """What was seen of a process is told, or waits for the name of its program."""
        if isinstance(item, CallRecord) and item.inode is not None:
            process.had_socket = True
        if not process.family.wanted:
            return
        if process.family.named:
            self._tell(item)
        else:
            process.family.held.append(item)

    def _tell(self, item: Item) -> None:
        if isinstance(item, CallRecord):
            self.records.append(item)
        elif isinstance(item, Inheritance):
            self.inheritances.append(item)
        else:
            self.losses.append(item)


def _signal_name(number: int) -> str:
    """`SIGTERM`; those of real time have no names."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
