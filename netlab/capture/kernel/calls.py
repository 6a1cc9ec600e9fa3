"""Entries and exits of system calls, with the forks and ends between them -> call records.

Two things tell which socket a call was on. The descriptor tables, kept call by call; and, within
each send and receive, the kernel's own word for the socket (`sk`), which is believed where the two
differ: a descriptor can arrive unseen (inherited, passed in a message, of a socketpair).
What stands behind pointers is not known: addresses come from the network's events of the same
`sk`, what a poll reported does not come at all. A thread's calls are paired in their order; one
whose other half was lost is dropped and counted, never pieced together.
Calls on files, pipes and timers are left out. 32-bit programs make calls that these tracepoints do
not show. Read `capture.descriptors` first.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from netlab.capture.descriptors import OTHER, Descriptors, Opened, OpenSocket
from netlab.capture.kernel.network import Network
from netlab.capture.kernel.syscalls import (
    F_DUPFD,
    F_DUPFD_CLOEXEC,
    F_SETFD,
    FIOCLEX,
    FIONCLEX,
    O_CLOEXEC,
    SOCK_CLOEXEC,
    SYSCALLS,
    Syscall,
    family_name,
    kind_name,
    splice_from,
)
from netlab.capture.kernel.tracepoints import (
    Begun,
    Ended,
    Entered,
    Event,
    Executed,
    Left,
    Lost,
    Moved,
    Seen,
)
from netlab.capture.strace.names import FAMILIES
from netlab.capture.strace.processes import IO_URING
from netlab.model.call import WAITING, CallRecord, Inheritance
from netlab.model.kernel_event import Tracepoint
from netlab.model.recording import Loss

CLONE_FILES, CLONE_THREAD = 0x400, 0x10000
# By number (linux/errno.h): what `model.call.RESTARTING` is about.
_RESTARTS = {512: "ERESTARTSYS", 513: "ERESTARTNOINTR", 514: "ERESTARTNOHAND",
            516: "ERESTART_RESTARTBLOCK"}  # fmt: skip
_RESUMED = frozenset({-514, -516})
_NO_OFFSET = frozenset({0xFFFFFFFF, (1 << 64) - 1})  # -1: as readv and writev
_CLOSE_RANGE_CLOEXEC, _CLOSE_RANGE_UNSHARE = 4, 2
_OF_SOCKETS = frozenset({"accept", "accept4", "connect", "recvfrom", "recvmsg", "recvmmsg",
                         "sendto", "sendmsg", "sendmmsg"})  # fmt: skip
_MANY = frozenset({"sendmmsg", "recvmmsg"})
_TIES = frozenset({"connect", "listen", "sendto", "sendmsg", "close", "shutdown"})


@dataclass(slots=True)
class _Inside:
    """A call that has not returned yet."""

    entered_ns: int
    name: str
    arguments: dict[str, int]
    fd: int | None
    opened: Opened | None  # what the tables say of fd at the entry
    socket: OpenSocket | None  # the same if it is a socket, or what the kernel says later
    closed: list[tuple[int, OpenSocket]] = field(default_factory=list)  # by an execve
    address: str | None = None
    moved: list[int] = field(default_factory=list)  # bytes, message by message


@dataclass(slots=True)
class _Process:
    host: str
    actor: str
    comm: str
    root: bool
    since_ns: int = 0  # what happened before is in its descriptor table already
    status: str = ""
    ending_ns: int | None = None  # when it called exit_group


class Calls:
    """`feed` it the events in the order of time; records, inheritances, losses are to be taken."""

    def __init__(self, descriptors: Descriptors, network: Network) -> None:
        self._tables = descriptors
        self._network = network
        self._processes: dict[int, _Process] = {}
        self._inside: dict[int, _Inside] = {}
        self._orders: dict[int, int] = {}
        self._by_sk: dict[int, OpenSocket] = {}
        self._sk: dict[int, int] = {}  # by inode
        self._moved_outside: set[int] = set()  # threads in a call whose entry was not seen
        self._doubtful: dict[int, set[int]] = {}  # descriptors, by process, since a loss
        self._resumable: set[int] = set()  # threads whose wait a signal interrupted
        self.records: list[CallRecord] = []
        self.inheritances: list[Inheritance] = []
        self.losses: list[Loss] = []

    def attach(
        self,
        pid: int,
        *,
        host: str,
        actor: str,
        comm: str,
        threads: Iterable[int] = (),
        sockets: Mapping[int, OpenSocket] | None = None,
        time_ns: int = 0,
    ) -> None:
        """Follow a process; `sockets` are those behind its descriptors at `time_ns`."""
        self._tables.start(pid)
        for tid in threads:
            if tid != pid:
                self._tables.thread(tid, pid)
        for fd, socket in (sockets or {}).items():
            self._tables.put(pid, fd, socket)
        self._processes[pid] = _Process(host, actor, comm, True, time_ns)

    def feed(self, event: Event) -> None:
        """Take one event in."""
        match event:
            case Entered():
                self._entered(event)
            case Left():
                self._left(event)
            case Moved():
                self._moved(event)
            case Seen():
                self._network.feed(event)
                if not event.in_interrupt:
                    self._tie(event)
            case Begun():
                self._begun(event)
            case Ended():
                self._ended(event)
            case Executed():
                self._executed(event)
            case Lost():
                self._lost(event)

    def finish(self) -> None:
        """No more events come: calls that are still inside come out so."""
        for tid, inside in sorted(self._inside.items(), key=lambda item: item[1].entered_ns):
            if (process := self._process(tid)) and inside.entered_ns >= process.since_ns:
                self._record(tid, inside, None, None)
        self._inside.clear()

    # --- threads and processes

    def _process(self, tid: int) -> _Process | None:
        return self._processes.get(self._tables.process_of(tid))

    def _begun(self, event: Begun) -> None:
        pid = self._tables.process_of(event.tid)
        parent = self._processes.get(pid)
        if parent is None:
            return
        if event.clone_flags & CLONE_THREAD:
            self._tables.thread(event.child, pid)
            return
        if event.clone_flags & CLONE_FILES:
            inodes = self._tables.share(event.child, pid)
        else:
            inodes = self._tables.fork(event.child, self._tables.table(pid))
        actor = parent.actor.partition("/")[0]
        since_ns = parent.since_ns if parent.since_ns > event.time_ns else 0
        self._processes[event.child] = _Process(parent.host, actor, event.comm, False, since_ns)
        self._inside.pop(event.child, None)
        self._orders.pop(event.child, None)
        if inodes:
            self.inheritances.append(Inheritance(event.child, pid, event.time_ns, inodes))

    def _executed(self, event: Executed) -> None:
        process = self._process(event.tid)
        inside = self._inside.pop(event.old_tid, None)
        if process is None:
            return
        process.comm = PurePosixPath(event.filename).name[:15] or process.comm
        closed = self._tables.exec(event.tid)
        if inside is None:
            inside = _Inside(event.time_ns, "execve", {}, None, None, None)
        inside.closed = closed
        self._inside[event.tid] = inside

    def _ended(self, event: Ended) -> None:
        pid = self._tables.process_of(event.tid)
        process = self._processes.get(pid)
        if process is None:
            return
        inside = self._inside.pop(event.tid, None)
        if inside is not None and inside.name != "exit_group":
            self._record(event.tid, inside, None, None)  # a signal ended it in there
        holds = bool(self._tables.table(pid).sockets())
        if not self._tables.end(event.tid):
            return
        del self._processes[pid]
        self._forget_closed()
        if holds or self._orders.get(pid):
            entered_ns = process.ending_ns or event.time_ns
            self.records.append(
                CallRecord(
                    "kernel", process.host, self._actor(pid, process), pid, pid, self._order(pid),
                    "exit", None, process.status, entered_ns, None,
                )
            )  # fmt: skip
        self._orders.pop(pid, None)

    def _forget_closed(self) -> None:
        """Forget where the sockets were that nobody holds any more."""
        for sk, socket in list(self._by_sk.items()):
            if socket.references <= 0:
                del self._by_sk[sk]
                self._sk.pop(socket.inode, None)

    def _lost(self, event: Lost) -> None:
        """Some events are missing: which thread's is not known, so no call is pieced together."""
        what = "events of calls" if event.calls else "events of the network"
        self.losses.append(
            Loss("kernel", what, event.lost, "trace buffer full", since_ns=event.time_ns)
        )
        if not event.calls:
            self._network.lost()
            return
        self._inside.clear()
        for pid, table in self._tables.tables.items():
            self._doubtful[pid] = {fd for fd, _ in table.sockets()}

    # --- calls

    def _entered(self, event: Entered) -> None:
        if self._process(event.tid) is None:
            return
        call = SYSCALLS.get(event.name)
        if call is None:
            return
        fd = event.arguments.get(call.fd) if call.fd else None
        pid = self._tables.process_of(event.tid)
        if call.op == "splice" and self._socket_at(pid, event.arguments["fd_out"]) is None:
            fd = event.arguments["fd_in"]
        inside = _Inside(event.time_ns, event.name, event.arguments, fd, None, None)
        if fd is not None:
            inside.opened = self._tables.at(pid, fd)
            inside.socket = self._socket_at(pid, fd)
        if event.name == "exit_group":
            process = self._processes[pid]
            process.status = f"status {event.arguments.get('error_code', 0) & 0xFF}"
            process.ending_ns = event.time_ns
        self._inside[event.tid] = inside

    def _socket_at(self, pid: int, fd: int) -> OpenSocket | None:
        if fd in self._doubtful.get(pid, ()):
            return None
        found = self._tables.at(pid, fd)
        return found if isinstance(found, OpenSocket) else None

    def _moved(self, event: Moved) -> None:
        """The kernel's word for the socket of the call that this thread is in."""
        inside = self._inside.get(event.tid)
        if inside is None:
            self._moved_outside.add(event.tid)
            return
        if inside.fd is None:
            return
        pid = self._tables.process_of(event.tid)
        if inside.name == "splice":
            inside.fd = inside.arguments["fd_out" if event.outbound else "fd_in"]
            inside.socket = self._socket_at(pid, inside.fd)
        known = self._by_sk.get(event.sk)
        if known is not None and known.references <= 0:
            known = None
        here = inside.socket
        if here is None or (known is not None and known is not here) or (
            self._sk.get(here.inode, event.sk) != event.sk
        ):  # fmt: skip
            here = known or self._tables.socket()
            self._tables.put(pid, inside.fd, here)
            inside.socket = here
        self._doubtful.get(pid, set()).discard(inside.fd)
        inside.moved.append(event.result)
        here.family = here.family or family_name(event.family)
        if here.kind is None and event.family in (2, 10):
            here.kind = {6: "SOCK_STREAM", 17: "SOCK_DGRAM"}.get(event.protocol)
        self._place(event.tid, event.sk, here)

    def _place(self, tid: int, sk: int, socket: OpenSocket) -> None:
        """This is where the kernel keeps the socket."""
        process = self._process(tid)
        self._by_sk[sk] = socket
        self._sk[socket.inode] = sk
        if process is not None:
            life = self._network.watch(sk, process.host, socket.inode)
            if life.local is not None and (life.local, life.peer) != (socket.local, socket.peer):
                self._tables.has_ends(socket, life.local, life.peer)

    def _tie(self, seen: Seen) -> None:
        """A connect or listen changes its socket's state: so we learn where that is, and its ends.

        A close does so, too, but a listener's closes the sockets that nobody accepted.
        """
        inside = self._inside.get(seen.tid)
        if inside is None or inside.socket is None or seen.sk is None:
            return
        if inside.name not in _TIES or seen.event.what != Tracepoint.SET_STATE:
            return
        socket = inside.socket
        if inside.name in ("close", "shutdown") and (socket.listens or not socket.family):
            return
        if self._sk.get(socket.inode, seen.sk) != seen.sk:
            return
        if seen.event.state == "SYN-SENT":
            inside.address = seen.event.peer
        if seen.event.state == "LISTEN":
            socket.listens = True
        self._place(seen.tid, seen.sk, socket)

    def _left(self, event: Left) -> None:
        inside = self._inside.get(event.tid)
        process = self._process(event.tid)
        if process is None:
            return
        if inside is None or inside.name != event.name:
            self._inside.pop(event.tid, None)
            if event.tid in self._moved_outside or event.name in _OF_SOCKETS:
                self._unseen_entry(event, process)
            return
        del self._inside[event.tid]
        if inside.entered_ns < process.since_ns:
            return
        self._act(event.tid, inside, event)

    def _unseen_entry(self, event: Left, process: _Process) -> None:
        """A call on a socket whose entry was lost, or was before the trace began."""
        self._moved_outside.discard(event.tid)
        if event.time_ns < process.since_ns:
            return
        pid = self._tables.process_of(event.tid)
        actor, reason = self._actor(pid, process), "entered before it was watched"
        self.losses.append(Loss("kernel", "calls", 1, reason, actor, event.time_ns, pid))

    def _act(self, tid: int, inside: _Inside, event: Left) -> None:
        """Let the call's effect on the descriptors happen, and note it."""
        pid, name, result = self._tables.process_of(tid), inside.name, event.result
        arguments = inside.arguments
        if name in _EFFECTS:
            _EFFECTS[name](self, tid, pid, inside, event)
            return
        if name == "fcntl":
            self._control(tid, pid, inside, event)
        elif name == "ioctl":
            if inside.fd is not None and arguments["cmd"] in (FIOCLEX, FIONCLEX) and result >= 0:
                self._tables.set_closing(pid, [inside.fd], arguments["cmd"] == FIOCLEX)
        elif self._is_of_sockets(tid, pid, inside):
            self._record(tid, inside, event.time_ns, result)
        if result in _RESUMED and SYSCALLS[name].op in WAITING:
            self._resumable.add(tid)  # restart_syscall says nothing of what it resumes
        else:
            self._resumable.discard(tid)

    def _is_of_sockets(self, tid: int, pid: int, inside: _Inside) -> bool:
        """Whether a call is recorded: on a socket, or a wait of a process that has some."""
        name, arguments = inside.name, inside.arguments
        if name in ("preadv2", "pwritev2"):
            return inside.socket is not None and arguments["pos_l"] in _NO_OFFSET
        if name == "epoll_ctl":
            return self._socket_at(pid, arguments["fd"]) is not None
        if name == "restart_syscall":
            return tid in self._resumable
        if name.startswith("epoll_"):
            return True
        if SYSCALLS[name].op in WAITING:
            return bool(self._tables.table(pid).sockets())
        return inside.socket is not None

    def _control(self, tid: int, pid: int, inside: _Inside, event: Left) -> None:
        """fcntl: a second name, or FD_CLOEXEC; the rest changes nothing here."""
        command, result = inside.arguments["cmd"], event.result
        if result < 0 or inside.fd is None:
            return
        if command in (F_DUPFD, F_DUPFD_CLOEXEC):
            self._dup(pid, inside, result, command == F_DUPFD_CLOEXEC)
            if inside.socket is not None:
                self._record(tid, inside, event.time_ns, result)
        elif command == F_SETFD:
            self._tables.set_closing(pid, [inside.fd], bool(inside.arguments["arg"] & 1))

    def _ring(self, tid: int, pid: int, inside: _Inside, event: Left) -> None:
        """io_uring_setup: from now on the process may move bytes without a call."""
        if event.result < 0:
            return
        self._tables.put(pid, event.result, OTHER, closing=True)
        actor = self._actor(pid, self._processes[pid])
        self.losses.append(Loss("kernel", "bytes", None, IO_URING, actor, inside.entered_ns, pid))

    # --- calls that change what descriptors lead to

    def _make(self, tid: int, pid: int, inside: _Inside, event: Left) -> None:
        if event.result < 0:
            return
        a = inside.arguments
        closing = bool(a["type"] & SOCK_CLOEXEC)
        family = family_name(a["family"])
        if family not in FAMILIES:
            self._tables.put(pid, event.result, OTHER, closing=closing)
            return
        socket = inside.socket = self._tables.socket()
        inside.fd = event.result
        socket.family, socket.kind = family, kind_name(a["type"])
        self._tables.put(pid, event.result, socket, closing=closing)
        self._record(tid, inside, event.time_ns, event.result)

    def _other(self, tid: int, pid: int, inside: _Inside, event: Left) -> None:
        """A new descriptor that leads to no socket, or to one that nobody names."""
        if event.result < 0:
            return
        if inside.name == "pidfd_getfd":
            self._tables.close(pid, event.result)
            return
        closing = bool(inside.arguments.get("flags", 0) & O_CLOEXEC)
        self._tables.put(pid, event.result, OTHER, closing=closing)
        inside.fd = event.result
        self._record(tid, inside, event.time_ns, event.result)

    def _accept(self, tid: int, pid: int, inside: _Inside, event: Left) -> None:
        new = None
        listener = inside.socket
        if event.result >= 0:
            if listener is None and inside.fd is not None:  # only a socket can be accepted from
                listener = inside.socket = self._tables.socket()
                self._tables.put(pid, inside.fd, listener)
            new = self._tables.socket()
            if listener is not None:
                listener.listens = True
                new.family, new.kind = listener.family, listener.kind
            closing = bool(inside.arguments.get("flags", 0) & SOCK_CLOEXEC)
            self._tables.put(pid, event.result, new, closing=closing)
        if inside.socket is not None:
            self._record(
                tid, inside, event.time_ns, event.result, None if new is None else new.inode
            )

    def _close(self, tid: int, pid: int, inside: _Inside, event: Left) -> None:
        # Every error but EBADF comes after the descriptor is gone (man 2 close).
        if inside.fd is None or event.result == -errno.EBADF:
            return
        if inside.socket is not None:
            self._record(tid, inside, event.time_ns, event.result)
        # Another thread may have been given the number since: it is free before the call returns.
        if self._tables.at(pid, inside.fd) is inside.opened:
            self._tables.close(pid, inside.fd)
            self._doubtful.get(pid, set()).discard(inside.fd)
            if inside.socket is not None and inside.socket.references <= 0:
                self._let_go(inside.socket)

    def _let_go(self, socket: OpenSocket) -> None:
        sk = self._sk.pop(socket.inode, None)
        if sk is not None and self._by_sk.get(sk) is socket:
            del self._by_sk[sk]

    def _close_range(self, tid: int, pid: int, inside: _Inside, event: Left) -> None:
        a = inside.arguments
        if event.result != 0:
            return
        if a["flags"] & _CLOSE_RANGE_UNSHARE:
            self._tables.unshare(pid)
        if a["flags"] & _CLOSE_RANGE_CLOEXEC:
            fds = [fd for fd, _ in self._tables.table(pid).sockets()]
            chosen = [fd for fd in fds if a["fd"] <= fd <= a["max_fd"]]
            self._tables.set_closing(pid, chosen, True)
            return
        self._closed(tid, inside, event, self._tables.close_range(pid, a["fd"], a["max_fd"]))

    def _exec(self, tid: int, pid: int, inside: _Inside, event: Left) -> None:
        if event.result == 0:
            self._closed(tid, inside, event, inside.closed)

    def _closed(
        self, tid: int, inside: _Inside, event: Left, closed: Iterable[tuple[int, OpenSocket]]
    ) -> None:
        """A record for each socket's descriptor that one call has closed."""
        for fd, socket in closed:
            inside.fd, inside.socket = fd, socket
            self._record(tid, inside, event.time_ns, event.result)
            if socket.references <= 0:
                self._let_go(socket)

    def _dup_call(self, tid: int, pid: int, inside: _Inside, event: Left) -> None:
        result, a = event.result, inside.arguments
        if result < 0 or (inside.name == "dup2" and a["newfd"] == a["oldfd"]):
            return
        replaced = self._socket_at(pid, result) if inside.name != "dup" else None
        if replaced is not None:
            lost = _Inside(inside.entered_ns, inside.name, a, result, replaced, replaced)
            self._record(tid, lost, event.time_ns, result)
        self._dup(pid, inside, result, bool(a.get("flags", 0) & O_CLOEXEC))
        if inside.socket is not None:
            self._record(tid, inside, event.time_ns, result)

    def _dup(self, pid: int, inside: _Inside, new_fd: int, closing: bool) -> None:
        opened = self._tables.at(pid, inside.fd) if inside.fd is not None else None
        if opened is not None:
            self._tables.put(pid, new_fd, opened, closing=closing)
        else:
            self._tables.close(pid, new_fd)

    # --- records

    def _order(self, tid: int) -> int:
        order = self._orders[tid] = self._orders.get(tid, 0) + 1
        return order

    def _actor(self, pid: int, process: _Process) -> str:
        return process.actor if process.root else f"{process.actor}/{process.comm}-{pid}"

    def _record(
        self,
        tid: int,
        inside: _Inside,
        returned_ns: int | None,
        result: int | None,
        new_inode: int | None = None,
    ) -> None:
        pid = self._tables.process_of(tid)
        process = self._processes[pid]
        call, socket = SYSCALLS[inside.name], inside.socket
        if socket is not None and (sk := self._sk.get(socket.inode)) is not None:
            life = self._network.maybe_life(sk)
            if life is not None and life.local is not None and life.local != socket.local:
                self._tables.has_ends(socket, life.local, life.peer)
        failed = result is not None and result < 0
        number = -result if failed and result is not None else 0
        messages = () if failed or not result or call.op not in _MANY else tuple(inside.moved)
        self.records.append(
            CallRecord(
                "kernel", process.host, self._actor(pid, process), pid, tid, self._order(tid),
                call.op, inside.fd, _text(call, inside), inside.entered_ns, returned_ns,
                requested_bytes=inside.arguments.get(call.requested) if call.requested else None,
                result=(None if number in _RESTARTS else -1) if failed else result,
                errno=errno_name(number) if failed else None,
                flags=inside.arguments.get(call.flags, 0) if call.flags else 0,
                inode=socket.inode if socket is not None else None,
                family=socket.family if socket is not None else None,
                kind=socket.kind if socket is not None else None,
                local=socket.local if socket is not None else None,
                peer=socket.peer if socket is not None else None,
                address=inside.address, new_inode=new_inode, message_bytes=messages,
            )
        )  # fmt: skip


def _text(call: Syscall, inside: _Inside) -> str:
    if call.op == "connect":
        return inside.address or ""
    if call.op == "splice" and inside.fd == inside.arguments.get("fd_in"):
        return splice_from(inside.arguments)
    return call.text(inside.arguments) if inside.arguments else ""


def errno_name(number: int) -> str:
    """`EAGAIN`; also those that never leave the kernel."""
    return errno.errorcode.get(number) or _RESTARTS.get(number) or str(number)


_EFFECTS = {
    "socket": Calls._make,
    "accept": Calls._accept,
    "accept4": Calls._accept,
    "close": Calls._close,
    "close_range": Calls._close_range,
    "execve": Calls._exec,
    "execveat": Calls._exec,
    "io_uring_setup": Calls._ring,
    "epoll_create": Calls._other,
    "epoll_create1": Calls._other,
    "pidfd_getfd": Calls._other,
    "dup": Calls._dup_call,
    "dup2": Calls._dup_call,
    "dup3": Calls._dup_call,
}
