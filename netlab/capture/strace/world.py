"""What the calls of a log act on: descriptor tables, names of processes, and the records made.

Every handler of a call gets this one object. Where strace shows what a descriptor is (-y, -yy), it
is believed, and a table that says otherwise is corrected.
What this module must not know: single calls.
"""

from __future__ import annotations

from typing import Any

from netlab.capture.descriptors import (
    OTHER,
    Descriptors,
    Opened,
    OpenEpoll,
    OpenOther,
    OpenSocket,
    Table,
)
from netlab.capture.strace.flights import Flights
from netlab.capture.strace.names import Shown, shown_by
from netlab.capture.strace.syscalls import Syscall
from netlab.capture.strace.values import Descriptor, Value, number_from
from netlab.model.call import CallRecord, Inheritance, Passed, Ready
from netlab.model.recording import Loss

_MOST_FAULTS = 100
_MOST_UNPROVEN = 10_000  # calls on one descriptor of which nothing is known
_COMM_BYTES = 15  # man 5 proc: comm


class World:
    """One log's processes and sockets."""

    def __init__(self, host: str, actor: str, keep_bytes: int) -> None:
        self.host, self.actor, self.keep_bytes = host, actor, keep_bytes
        self.descriptors = Descriptors()
        self.flights = Flights(self.descriptors)
        self.calls: list[CallRecord] = []
        self.inheritances: list[Inheritance] = []
        self.losses: list[Loss] = []
        self.faults: list[str] = []
        self.fault_count = 0
        self.root: int | None = None
        self.clones: dict[int, Table] = {}  # by thread inside clone: the table it had at entry
        self.assumed: set[int] = set()  # children that were met before their parent's call returned
        self._comms: dict[int, str] = {}
        self._sockets_seen: set[int] = set()  # processes that ever had one
        self._actors: dict[int, str] = {}
        self._orders: dict[int, int] = {}
        self._has_names = False  # the log has names of descriptors (-y)
        self._unproven: dict[int, list[CallRecord]] = {}  # by number of what may be a socket

    # --- names

    def actor_of(self, pid: int) -> str:
        """The first process is the actor; others are told apart by program and number."""
        found = self._actors.get(pid)
        if found is None:
            found = self.actor
            if pid != self.root:
                comm = self._comms.get(pid)
                found = f"{found}/{comm}-{pid}" if comm else f"{found}/{pid}"
            self._actors[pid] = found
        return found

    def runs(self, pid: int, path: bytes) -> None:
        """A process executes a program."""
        name = path.rpartition(b"/")[2][:_COMM_BYTES].decode("utf-8", "replace")
        # A program may have any name, and this one stands in front of everything it does.
        self._named(pid, "".join(letter if letter.isprintable() else "?" for letter in name))

    def concerns(self, pid: int) -> bool:
        """Whether a process ever had a socket."""
        return pid in self._sockets_seen

    def inherits(self, pid: int) -> None:
        """A process began life with sockets."""
        self._sockets_seen.add(pid)

    def begins_like(self, child: int, parent: int) -> None:
        """A new process runs its parent's program."""
        self._named(child, self._comms.get(parent, ""))

    def _named(self, pid: int, name: str) -> None:
        self._comms[pid] = name
        self._actors.pop(pid, None)

    def fault(self, text: str) -> None:
        """Something in the log was not understood; the first hundred are kept as text."""
        self.fault_count += 1
        if self.fault_count <= _MOST_FAULTS:
            self.faults.append(text)
        elif self.fault_count == _MOST_FAULTS + 1:
            self.faults.append("and more lines that were not understood")

    # --- what descriptors lead to

    def opened(self, call: Syscall, value: Value | None, *, socket: bool = False) -> Opened | None:
        """What a descriptor among the arguments leads to; `socket`: the call proves it to be one.

        None: it is not known, or it is none.
        """
        fd = number_from(value)
        if fd is None or fd < 0:
            return None
        if fd in call.at_entry:
            return call.at_entry[fd]
        name = value.name if isinstance(value, Descriptor) else None
        return self.lookup(call.pid, fd, name, socket=socket)

    def lookup(self, pid: int, fd: int, name: str | None, *, socket: bool = False) -> Opened | None:
        """What a descriptor of a process leads to, by its table and by what strace calls it."""
        known = self.descriptors.at(pid, fd)
        if name is not None:
            self._has_names = True
            return self._believe(pid, fd, known, shown_by(name))
        if socket and not isinstance(known, OpenSocket | OpenOther):
            known = self.descriptors.socket()
            self.descriptors.put(pid, fd, known)
        elif known is None and not self._has_names:  # whoever made it was not followed
            known = self.descriptors.socket()
            known.proven = False
            self.descriptors.put(pid, fd, known)
        if socket and isinstance(known, OpenSocket) and not known.proven:
            self._prove(known)
        return known

    def _prove(self, socket: OpenSocket) -> None:
        """A descriptor of which nothing was known is a socket's: so were the calls on it before."""
        socket.proven = True
        waiting = self._unproven.pop(socket.inode, [])
        self.calls += waiting
        if len(waiting) >= _MOST_UNPROVEN:
            first = waiting[-1]
            self.losses.append(
                Loss("strace", "calls", None, "too many before its first call that only a socket "
                     "has", first.actor, first.entered_ns, first.pid)
            )  # fmt: skip

    def _believe(self, pid: int, fd: int, known: Opened | None, shown: Shown) -> Opened:
        if shown.what == "other":
            if known is not OTHER:
                self.descriptors.put(pid, fd, OTHER)
            return OTHER
        if shown.what == "epoll":
            if not isinstance(known, OpenEpoll):
                known = OpenEpoll()
                self.descriptors.put(pid, fd, known)
            return known
        if known is OTHER and shown.family is None:  # -y tells a netlink socket like any other
            return known
        if not isinstance(known, OpenSocket) or not self._agree(known, shown):
            known = self.socket_shown(shown)
            self.descriptors.put(pid, fd, known)
        self.learn(known, shown)
        return known

    def _agree(self, socket: OpenSocket, shown: Shown) -> bool:
        """Whether what is known of a socket can be what strace shows."""
        if shown.family is not None and socket.family not in (None, shown.family):
            return False
        if shown.inode is not None and socket.kernel_inode is not None:
            return shown.inode == socket.kernel_inode
        if socket.former is not None and socket.former == (shown.local, shown.peer):
            return True
        stream = socket.kind == "SOCK_STREAM" and shown.family != "AF_UNIX"
        if not stream or shown.peer is None or not socket.told:
            return True
        return (socket.local, socket.peer) == (shown.local, shown.peer)

    def socket_shown(self, shown: Shown) -> OpenSocket:
        """The socket that strace shows: one that somebody holds already, or a new one."""
        found = None
        if shown.inode is not None:
            found = self.descriptors.with_inode(shown.inode)
        elif shown.local is not None and shown.peer is not None:
            found = self.descriptors.with_ends(shown.local, shown.peer)
        if found is None or not self._agree(found, shown):
            found = self.descriptors.socket(shown.inode)
        self.learn(found, shown)
        return found

    def learn(self, socket: OpenSocket, shown: Shown) -> None:
        """Take over what strace shows of a socket."""
        socket.family = shown.family or socket.family
        socket.kind = shown.kind or socket.kind
        socket.peer_inode = shown.peer_inode or socket.peer_inode
        if shown.inode is not None and socket.kernel_inode is None:
            self.descriptors.has_inode(socket, shown.inode)
        if shown.local is not None and socket.former != (shown.local, shown.peer):
            peer = shown.peer or socket.peer
            if (shown.local, peer) != (socket.local, socket.peer):
                self.descriptors.has_ends(socket, shown.local, peer)
            socket.told = socket.told or shown.peer is not None

    def parts(self, socket: OpenSocket) -> None:
        """A socket has its ends no more; strace remembers a name, and goes on calling it that."""
        if socket.told:
            socket.former = socket.local, socket.peer
        socket.told = False
        self.descriptors.has_ends(socket, None, None)

    def shown(self, value: Value) -> Shown | None:
        """What strace calls a descriptor; None where it gives a number only."""
        if isinstance(value, Descriptor) and value.name is not None:
            return shown_by(value.name)
        return None

    def known(self, shown: Shown) -> Opened:
        """What a name stands for, whoever holds it."""
        if shown.what == "socket":
            return self.socket_shown(shown)
        return OpenEpoll() if shown.what == "epoll" else OTHER

    # --- records

    def _made(
        self, call: Syscall, fd: int | None, args: str, socket: OpenSocket | None,
        requested_bytes: int | None = None, flags: int = 0, *, ready: tuple[Ready, ...] = (),
        local: str | None = None, address: str | None = None, new_inode: int | None = None,
        peer_inode: int | None = None, message_bytes: tuple[int, ...] = (),
        message_addresses: tuple[str, ...] = (), passed: tuple[Passed, ...] = (),
        data: bytes | None = None, **more: Any,
    ) -> CallRecord:  # fmt: skip
        tid = call.tid
        order = self._orders[tid] = self._orders.get(tid, 0) + 1
        inode = family = kind = peer = None
        if socket is not None:
            inode, family, kind, peer = socket.inode, socket.family, socket.kind, socket.peer
            local = local or socket.local
            peer_inode = peer_inode or socket.peer_inode
        return CallRecord(
            "strace", self.host, self.actor_of(call.pid), call.pid, tid, order, call.op, fd, args,
            call.entered_ns, call.returned_ns, call.returned_by_ns, requested_bytes, call.result,
            call.errno, flags, inode, family, kind, local, peer, address, new_inode, peer_inode,
            None, ready, message_bytes=message_bytes, message_addresses=message_addresses,
            passed=passed, data=data, **more,
        )  # fmt: skip

    @property
    def unproven_calls(self) -> int:
        """Calls on descriptors of which the log does not tell what they lead to."""
        return sum(map(len, self._unproven.values()))

    def on_socket(
        self, call: Syscall, socket: OpenSocket, fd: int | None, args: str = "",
        requested_bytes: int | None = None, flags: int = 0, **more: Any,
    ) -> None:  # fmt: skip
        """Add a record of a call on a socket."""
        if not socket.proven:
            if socket.references <= 0:  # it is gone, and nothing showed that it was a socket
                self._unproven.pop(socket.inode, None)
                return
            into = self._unproven.setdefault(socket.inode, [])
            if len(into) >= _MOST_UNPROVEN:
                return
        else:
            into = self.calls
            self._sockets_seen.add(call.pid)
        into.append(self._made(call, fd, args, socket, requested_bytes, flags, **more))

    def record(self, call: Syscall, fd: int | None = None, args: str = "", **more: Any) -> None:
        """Add a record of a call that is on no single socket."""
        self._sockets_seen.add(call.pid)
        self.calls.append(self._made(call, fd, args, None, **more))
