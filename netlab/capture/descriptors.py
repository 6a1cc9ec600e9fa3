"""Which socket each descriptor of each process leads to, followed call by call.

A descriptor is not a socket: dup, fork, exec, close and messages with descriptors (SCM_RIGHTS)
decide who holds one, and a number that was closed is given out again. A witness that sees system
calls tells them here in the order in which they happened, and asks what a number meant at that
moment. Threads share the table of their process; a process made with CLONE_FILES shares its
parent's. A socket whose inode the kernel does not tell has a number from 2**62 up.
What this module must not know: how calls are seen, and what they moved.
Read first: man 2 fork, man 2 clone (CLONE_FILES), man 2 execve, man 2 fcntl (FD_CLOEXEC).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from typing import TypeGuard

from netlab.model.records import dataclass

OWN_INODES = 1 << 62  # the kernel's inodes of sockets have 32 bits


@dataclass(slots=True, eq=False)
class OpenSocket:
    """A socket that was seen, and what is known of it by now."""

    inode: int  # the kernel's, or one of ours; the same all its life
    kernel_inode: int | None = None
    family: str | None = None  # AF_INET, ...; None: not known
    kind: str | None = None  # SOCK_STREAM, ...
    local: str | None = None
    peer: str | None = None
    peer_inode: int | None = None
    listens: bool = False
    proven: bool = True  # False: nothing but its number is known, it may be anything
    told: bool = False  # its addresses are those of a connection, as the kernel gave them
    references: int = 0  # descriptors that lead to it, in all processes and in messages
    former: tuple[str | None, str | None] | None = None  # ends that it has no more


@dataclass(frozen=True, slots=True)
class Watch:
    """What an epoll watches one descriptor for."""

    data: int  # epoll_data_t, by which a wait reports it
    events: int
    socket: OpenSocket | None  # None: it is something else

    @property
    def alive(self) -> bool:
        return self.socket is None or self.socket.references > 0


@dataclass(slots=True, eq=False)
class OpenEpoll:
    """An epoll instance and what it watches."""

    references: int = 0
    _watches: dict[int, Watch] = field(default_factory=dict)  # by descriptor
    _with_data: dict[int, set[int]] = field(default_factory=dict)  # descriptors
    _begun: dict[int, tuple[int, Watch]] = field(default_factory=dict)  # by thread

    def begin(self, tid: int, fd: int, watch: Watch) -> None:
        """A thread is inside EPOLL_CTL_ADD or MOD: a wait may report it before that returns."""
        self._begun[tid] = fd, watch

    def end(self, tid: int) -> None:
        """The thread's epoll_ctl has returned."""
        self._begun.pop(tid, None)

    def watch(self, fd: int, watch: Watch) -> None:
        """EPOLL_CTL_ADD, or MOD."""
        self.unwatch(fd)
        self._watches[fd] = watch
        self._with_data.setdefault(watch.data, set()).add(fd)

    def unwatch(self, fd: int) -> Watch | None:
        """EPOLL_CTL_DEL; gives what was watched, if known."""
        watch = self._watches.pop(fd, None)
        if watch is not None:
            self._with_data[watch.data].discard(fd)
            if not self._with_data[watch.data]:
                del self._with_data[watch.data]
        return watch

    def reported(self, data: int) -> tuple[int, Watch] | None:
        """The one descriptor that was registered with this data; None: it is not known which.

        A socket that nobody holds any more is not watched any more (man 7 epoll, Q6).
        """
        fds = self._with_data.get(data, ())
        found = {fd: watch for fd in fds if (watch := self._watches[fd]).alive}
        if self._begun:
            found |= {fd: watch for fd, watch in self._begun.values() if watch.data == data}
        return next(iter(found.items())) if len(found) == 1 else None

    @property
    def watches_sockets(self) -> bool:
        """Whether it watches any socket that is known."""
        return any(watch.socket is not None for watch in self._watches.values())


@dataclass(slots=True, eq=False)
class OpenOther:
    """Anything that is neither: a file, a pipe, a timer."""

    references: int = 0


Opened = OpenSocket | OpenEpoll | OpenOther
OTHER = OpenOther()


@dataclass(slots=True, eq=False)
class Table:
    """The descriptors of one process."""

    opened: dict[int, Opened] = field(default_factory=dict)
    closing: set[int] = field(default_factory=set)  # those with FD_CLOEXEC

    def copy(self) -> Table:
        return Table(dict(self.opened), set(self.closing))

    def sockets(self) -> list[tuple[int, OpenSocket]]:
        """Each descriptor that leads to a socket."""
        return [(fd, one) for fd, one in self.opened.items() if is_socket(one)]


def is_socket(opened: Opened | None) -> TypeGuard[OpenSocket]:
    """Whether it is known to be a socket."""
    return isinstance(opened, OpenSocket) and opened.proven


Closed = tuple[int, OpenSocket]  # a descriptor, and the socket that it led to


class Descriptors:
    """The tables of all processes that one witness follows."""

    def __init__(self, first_own_inode: int = OWN_INODES) -> None:
        self._next_own = first_own_inode
        self._tables: dict[int, Table] = {}
        self._process: dict[int, int] = {}  # of each thread
        self._threads: dict[int, set[int]] = {}  # of each process
        self._by_inode: dict[int, OpenSocket] = {}
        self._by_ends: dict[tuple[str, str], OpenSocket] = {}

    def number_from(self, first: int) -> None:
        """Number sockets whose inode is not known from here on."""
        self._next_own = first

    # --- processes and threads

    def knows(self, tid: int) -> bool:
        """Whether this thread is followed."""
        return tid in self._process

    def process_of(self, tid: int) -> int:
        """The process of a thread; one that nobody announced is a process of its own."""
        return self._process.get(tid, tid)

    def start(self, pid: int) -> None:
        """Follow a process of whose past nothing is known."""
        self._adopt(pid, Table())

    def thread(self, tid: int, pid: int) -> None:
        """Follow a new thread of a process."""
        self._process[tid] = pid
        self._threads.setdefault(pid, {pid}).add(tid)

    def fork(self, child: int, inherited: Table) -> tuple[int, ...]:
        """Follow a new process that has a copy of `inherited`; the inodes of its sockets."""
        table = inherited.copy()
        for opened in table.opened.values():
            opened.references += 1
        self._adopt(child, table)
        return tuple(sorted({socket.inode for _, socket in table.sockets()}))

    def share(self, child: int, pid: int) -> tuple[int, ...]:
        """Follow a new process that shares the table of another (CLONE_FILES)."""
        table = self.table(pid)
        self._adopt(child, table)
        return tuple(sorted({socket.inode for _, socket in table.sockets()}))

    def unshare(self, pid: int) -> None:
        """A process gets a table of its own, as it is now."""
        table = self.table(pid)
        if any(one is table for other, one in self._tables.items() if other != pid):
            own = table.copy()
            for opened in own.opened.values():
                opened.references += 1
            self._tables[pid] = own

    def exec(self, pid: int) -> list[Closed]:
        """A process runs another program: descriptors with FD_CLOEXEC are closed, threads end."""
        self.unshare(pid)
        for tid in self._threads.get(pid, set()) - {pid}:
            self._process.pop(tid, None)
        self._threads[pid] = {pid}
        self._process[pid] = pid
        table = self.table(pid)
        return self._close_all(table, sorted(table.closing))

    def end(self, tid: int) -> bool:
        """A thread has ended; True when it was the last of its process: its table goes, too."""
        pid = self._process.pop(tid, tid)
        left = self._threads.get(pid, set())
        left.discard(tid)
        if left:
            return False
        self._threads.pop(pid, None)
        table = self._tables.pop(pid, None)
        if table is not None and all(one is not table for one in self._tables.values()):
            self._close_all(table, list(table.opened))
        return True

    def _adopt(self, pid: int, table: Table) -> None:
        if pid in self._tables:  # the number was used before, and its end was not seen
            for tid in self._threads.pop(pid, {pid}):
                self._process.pop(tid, None)
            old = self._tables.pop(pid)
            if all(one is not old for one in self._tables.values()):
                self._close_all(old, list(old.opened))
        self._tables[pid] = table
        self._process[pid] = pid
        self._threads[pid] = {pid}

    # --- descriptors

    def table(self, pid: int) -> Table:
        """The table of a process; for inspection only, `put` and `close` change it."""
        found = self._tables.get(pid)
        if found is None:
            self.start(pid)
            found = self._tables[pid]
        return found

    def at(self, pid: int, fd: int) -> Opened | None:
        """What a descriptor leads to now; None: that is not known."""
        table = self._tables.get(pid)
        return table.opened.get(fd) if table is not None else None

    def put(self, pid: int, fd: int, opened: Opened, *, closing: bool = False) -> Opened | None:
        """A descriptor leads to `opened` from now on; gives what it led to before, if known."""
        table = self.table(pid)
        before = table.opened.get(fd)
        table.opened[fd] = opened
        opened.references += 1
        (table.closing.add if closing else table.closing.discard)(fd)
        if before is not None:
            self._let_go(before)
        return before

    def close(self, pid: int, fd: int) -> Opened | None:
        """A descriptor was closed; gives what it led to, if known."""
        table = self.table(pid)
        before = table.opened.pop(fd, None)
        table.closing.discard(fd)
        if before is not None:
            self._let_go(before)
        return before

    def close_range(self, pid: int, first: int, last: int) -> list[Closed]:
        """As man 2 close_range without flags; gives the sockets' descriptors that it closed."""
        table = self.table(pid)
        return self._close_all(table, sorted(fd for fd in table.opened if first <= fd <= last))

    def set_closing(self, pid: int, fds: Iterable[int], on: bool) -> None:
        """Set or clear FD_CLOEXEC."""
        table = self.table(pid)
        for fd in fds:
            if fd in table.opened:
                (table.closing.add if on else table.closing.discard)(fd)

    def hold(self, opened: Opened) -> None:
        """A message carries a descriptor of it, and so holds it until it was received."""
        opened.references += 1

    def release(self, opened: Opened) -> None:
        """A message that carried a descriptor of it was received."""
        self._let_go(opened)

    def _close_all(self, table: Table, fds: list[int]) -> list[Closed]:
        closed: list[Closed] = []
        for fd in fds:
            before = table.opened.pop(fd, None)
            table.closing.discard(fd)
            if isinstance(before, OpenSocket):
                closed.append((fd, before))
            if before is not None:
                self._let_go(before)
        return closed

    def _let_go(self, opened: Opened) -> None:
        opened.references -= 1
        if opened.references <= 0 and isinstance(opened, OpenSocket):
            self._forget(opened)

    # --- sockets

    def socket(self, inode: int | None = None) -> OpenSocket:
        """A socket that was not seen before; the kernel's inode, where known, is its number."""
        if inode is None:
            inode, self._next_own = self._next_own, self._next_own + 1
            socket = OpenSocket(inode)
        else:
            socket = OpenSocket(inode, kernel_inode=inode)
        self._by_inode[inode] = socket
        return socket

    def with_inode(self, inode: int) -> OpenSocket | None:
        """The socket that has this inode."""
        return self._by_inode.get(inode)

    def with_ends(self, local: str, peer: str) -> OpenSocket | None:
        """The connected socket that has these addresses."""
        return self._by_ends.get((local, peer))

    def has_inode(self, socket: OpenSocket, inode: int) -> None:
        """The kernel's number of a socket that goes by one of ours became known."""
        self._by_inode[inode] = socket
        socket.kernel_inode = inode

    def has_ends(self, socket: OpenSocket, local: str | None, peer: str | None) -> None:
        """A socket's addresses are these from now on."""
        self._forget_ends(socket)
        socket.local, socket.peer = local, peer
        if local is not None and peer is not None:
            self._by_ends[local, peer] = socket

    def _forget_ends(self, socket: OpenSocket) -> None:
        if socket.local is not None and socket.peer is not None:
            key = socket.local, socket.peer
            if self._by_ends.get(key) is socket:
                del self._by_ends[key]

    def _forget(self, socket: OpenSocket) -> None:
        for inode in (socket.inode, socket.kernel_inode):
            if inode is not None and self._by_inode.get(inode) is socket:
                del self._by_inode[inode]
        self._forget_ends(socket)

    def sockets(self) -> Iterator[OpenSocket]:
        """All sockets that somebody holds."""
        return iter(list(self._by_inode.values()))

    @property
    def tables(self) -> Mapping[int, Table]:
        """The table of each process."""
        return self._tables
