"""Call records -> sockets: which calls were made on which socket, and who held it when.

A descriptor is not a socket: dup, fork and accept make several names for one, so sockets are told
apart by inode and host; an inode that a new socket() or accept() returns begins a new socket.
Holders are (pid, descriptor) pairs: they come with the calls that make or use a descriptor, with
fork and with messages that carry descriptors, and go with close, exec and the end of the process.
The *last close* is the call that let the last holder go; it is what sends the FIN (man 2 close). A
connect() after one that failed, or after one with AF_UNSPEC, which dissolves the connection, begins
a new life of the socket, with other ends. Knows nothing of packets.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field

from netlab.correlate.addresses import Endpoint, is_wildcard, maybe_endpoint
from netlab.correlate.option_changes import option_value
from netlab.model.call import (
    ACCEPTING,
    DUPLICATING,
    CallRecord,
    Inheritance,
    Ready,
    is_closing,
    is_outbound,
)
from netlab.model.records import dataclass
from netlab.model.tables import Side

Holder = tuple[int, int | None]  # pid, descriptor
Change = tuple[int, int | None]  # call, value that it set; call 0 is what accept inherited

MSG_FASTOPEN = 0x20000000
# Objects between processes that are no sockets, and what their rows of `connections` call them.
OBJECT_PROTOCOLS = {"pipe": "pipe", "mqueue": "mq", "sysv": "mq", "ring": "ring"}
STREAM_OBJECTS = frozenset({"pipe", "ring"})
_LOCAL = frozenset({"AF_UNIX", "eventfd", *OBJECT_PROTOCOLS})
_IN_FLIGHT = -1  # no process: a message that was not received yet (SCM_RIGHTS)
_MAKING = frozenset({"socket", "socketpair", "pipe", "mq_open", "msgget", "memfd_create"})
# After these the attempt goes on, or there was a connection already (man 2 connect); a connect()
# that its program gave up waiting for is recorded as EAGAIN.
_ATTEMPT_STANDS = frozenset({None, "EINPROGRESS", "EALREADY", "EISCONN", "EINTR", "EAGAIN"})


@dataclass(slots=True)
class Socket:
    """One kernel socket, from its first call to its last, or to a connect() after a failed one.

    A pipe, queue or ring is one such thing, too. Calls are numbers of the table.
    """

    host: str
    inode: int
    calls: list[int] = field(default_factory=list)
    family: str | None = None
    kind: str | None = None
    local: str | None = None
    peer: str | None = None
    made: bool = False  # its socket(), accept() or socketpair() was witnessed
    accepted_by: int | None = None
    listener: Socket | None = None  # that accepted it
    connects: list[int] = field(default_factory=list)  # and the send that opened it (Fast Open)
    binds: list[int] = field(default_factory=list)
    listens: bool = False
    listened_by: int | None = None
    accepts: list[int] = field(default_factory=list)  # of a listener: the successful ones
    accepted: list[Socket] = field(default_factory=list)  # parallel to accepts
    shutdowns: list[int] = field(default_factory=list)  # successful, of the writing side
    reading_shutdowns: list[int] = field(default_factory=list)  # those of the reading side
    closes: list[int] = field(default_factory=list)  # close and exit, of any holder
    last_close: int | None = None
    peer_inode: int | None = None
    connection: int | None = None
    side: Side | None = None
    oob_inline: list[Change] = field(default_factory=list)
    lowat: list[Change] = field(default_factory=list)  # SO_RCVLOWAT
    defer_accept: list[Change] = field(default_factory=list)
    room: list[int] = field(default_factory=list)  # calls that changed when it is writable
    twins: bool = False  # several connections of its ends fit, and nothing tells which it is
    fits: list[tuple[int, Side]] = field(default_factory=list)  # ends that it may be, where several
    failed: bool = False  # its latest connect() did, or dissolved: another begins a new life
    connected: bool = False  # a connect() of this life returned 0, or it was accepted
    _holders: set[Holder] = field(default_factory=set)
    _landed: int = 0  # how often it was received in a message before it was seen to be sent

    @property
    def is_stream(self) -> bool:
        return self.kind in (None, "SOCK_STREAM")

    @property
    def is_born(self) -> bool:
        """Whether its first call is known: nothing was moved before."""
        return self.made or bool(self.connects) or self.accepted_by is not None

    @property
    def is_local(self) -> bool:
        """Not on a network."""
        return self.family in _LOCAL

    @property
    def is_object(self) -> bool:
        """A pipe, queue or ring."""
        return self.family in OBJECT_PROTOCOLS

    @property
    def local_endpoint(self) -> Endpoint | None:
        return maybe_endpoint(self.local)

    @property
    def peer_endpoint(self) -> Endpoint | None:
        return maybe_endpoint(self.peer)


@dataclass(slots=True)
class Sockets:
    """All sockets of a recording; `by_call[n - 1]` is the socket that call n was made on."""

    all: list[Socket] = field(default_factory=list)
    by_call: list[Socket | None] = field(default_factory=list)
    reported: dict[int, list[tuple[Ready, Socket]]] = field(default_factory=dict)  # by call
    about: dict[int, Socket] = field(default_factory=dict)  # by call


class _Tracer:
    def __init__(self) -> None:
        self.found = Sockets()
        self._now: dict[tuple[str, int], Socket] = {}
        self._held: dict[int, set[int]] = {}  # pid -> ids of sockets
        self._by_id: dict[int, Socket] = {}
        self._flights = 0

    def socket(self, record: CallRecord, inode: int, *, new: bool = False) -> Socket:
        key = (record.host, inode)
        socket = self._now.get(key)
        if socket is None or (new and socket.calls):
            socket = self._now[key] = Socket(record.host, inode)
            self._by_id[id(socket)] = socket
            self.found.all.append(socket)
        return socket

    def hold(self, socket: Socket, holder: Holder) -> None:
        if holder not in socket._holders:
            socket._holders.add(holder)
            socket.last_close = None
            self._held.setdefault(holder[0], set()).add(id(socket))

    def relive(self, old: Socket, record: CallRecord) -> Socket:
        """The same socket in a new life: its calls from here on are another's."""
        del self._now[record.host, old.inode]
        socket = self.socket(record, old.inode)
        socket.made, socket.binds = old.made, old.binds
        socket.oob_inline, socket.lowat = list(old.oob_inline), list(old.lowat)
        socket._holders, old._holders = old._holders, set()
        for pid, _ in socket._holders:
            self._held[pid].discard(id(old))
            self._held[pid].add(id(socket))
        return socket

    def let_go(self, socket: Socket, holder: Holder, call: int) -> None:
        socket._holders.discard(holder)
        socket.closes.append(call)
        if not socket._holders:  # a close after the last one shows that it was not the last
            socket.last_close = call

    def fork(self, item: Inheritance) -> None:
        inodes = set(item.inodes)
        for place in list(self._held.get(item.parent_pid, ())):
            socket = self._by_id[place]
            if socket.inode in inodes:
                for pid, fd in list(socket._holders):
                    if pid == item.parent_pid:
                        self.hold(socket, (item.pid, fd))

    def passed(self, record: CallRecord) -> None:
        """Descriptors in a message hold their sockets until a process receives them."""
        for item in record.passed:
            socket = self.socket(record, item.inode)
            if is_outbound(record):
                if socket._landed:  # it was entered after the call that received it
                    socket._landed -= 1
                else:
                    self._flights += 1
                    self.hold(socket, (_IN_FLIGHT, self._flights))
                continue
            self.hold(socket, (record.pid, item.fd))
            flying = next((h for h in socket._holders if h[0] == _IN_FLIGHT), None)
            if flying is None:
                socket._landed += 1
            else:
                socket._holders.discard(flying)

    def leave(self, record: CallRecord, call: int) -> None:
        """The end of a process closes all that it held."""
        for place in self._held.pop(record.pid, set()):
            socket = self._by_id[place]
            if socket.host != record.host:
                continue
            for holder in [h for h in socket._holders if h[0] == record.pid]:
                self.let_go(socket, holder, call)

    def call(self, record: CallRecord, number: int) -> None:
        if record.op == "exit":
            self.leave(record, number)
        socket = None
        if record.inode is not None:
            making = record.op in _MAKING
            socket = self.socket(record, record.inode, new=making)
            if record.op == "connect" and (socket.failed or _is_anew(socket, record)):
                socket = self.relive(socket, record)
            socket.made = socket.made or making
            socket.calls.append(number)
            self._learn(socket, record)
            self._act(socket, record, number)
        self.found.by_call.append(socket)
        if record.passed and record.errno is None:
            self.passed(record)
        if record.about_inode is not None:
            known = self._now.get((record.host, record.about_inode))
            if known is not None:
                self.found.about[number] = known
        if record.ready:
            self.found.reported[number] = [
                (item, self.socket(record, item.inode))
                for item in record.ready
                if item.inode is not None
            ]

    def _learn(self, socket: Socket, record: CallRecord) -> None:
        socket.family = record.family or socket.family
        socket.kind = record.kind or socket.kind
        socket.local = _better(socket.local, record.local)
        socket.peer = _better(socket.peer, record.peer)
        if record.op not in ACCEPTING:  # they tell the peer of what they made, not the listener's
            socket.peer_inode = record.peer_inode or socket.peer_inode

    def _act(self, socket: Socket, record: CallRecord, number: int) -> None:
        op, failed = record.op, record.errno is not None
        if is_closing(record):
            if record.errno == "EBADF":  # every other error comes after the descriptor is gone
                return
            self.let_go(socket, (record.pid, record.fd), number)
            return
        if record.fd is not None:
            self.hold(socket, (record.pid, record.fd))
        if op == "connect" or (record.flags & MSG_FASTOPEN and _opens(socket, record)):
            self._connect(socket, record, number)
        elif failed:
            return
        elif op == "setsockopt":
            _set_option(socket, record.args, number)
        elif op == "bind":
            socket.binds.append(number)
        elif op == "listen":
            socket.listens = True
            socket.listened_by = socket.listened_by or number
        elif op == "shutdown":
            if "SHUT_WR" in record.args or "SHUT_RDWR" in record.args:
                socket.shutdowns.append(number)
            if "SHUT_RD" in record.args:
                socket.reading_shutdowns.append(number)
        elif op in DUPLICATING and record.result is not None:
            self.hold(socket, (record.pid, record.result))
        elif op in ACCEPTING and record.new_inode is not None:
            self._accepted(socket, record, record.new_inode, number)
        elif op == "socketpair" and record.new_inode is not None:
            other = self.socket(record, record.new_inode, new=True)
            other.made = True
            other.family, other.kind = record.family or "AF_UNIX", record.kind
            socket.family = other.family
            socket.peer_inode, other.peer_inode = other.inode, socket.inode

    def _connect(self, socket: Socket, record: CallRecord, number: int) -> None:
        socket.connects.append(number)
        network_stream = socket.is_stream and not socket.is_local
        if record.errno in _ATTEMPT_STANDS or (network_stream and socket.peer is None):
            socket.peer = _better(socket.peer, record.address)
        dissolved = _dissolves(socket, record)
        socket.failed = network_stream and (record.errno not in _ATTEMPT_STANDS or dissolved)
        socket.connected = socket.connected or record.errno is None

    def _accepted(self, listener: Socket, record: CallRecord, inode: int, number: int) -> None:
        made = self.socket(record, inode, new=True)
        made.made, made.accepted_by, made.listener = True, number, listener
        made.connected = True
        made.family, made.kind = listener.family, listener.kind
        made.local = _better(made.local, record.local or listener.local)
        made.peer = _better(made.peer, record.address)
        made.oob_inline = _inherited(listener, listener.oob_inline)
        made.lowat = _inherited(listener, listener.lowat)
        if record.peer_inode is not None:
            made.peer_inode = record.peer_inode
        listener.listens = True
        listener.accepts.append(number)
        listener.accepted.append(made)
        if record.result is not None:
            self.hold(made, (record.pid, record.result))


def _set_option(socket: Socket, args: str, number: int) -> None:
    value = option_value(args)
    if "SO_OOBINLINE" in args:
        socket.oob_inline.append((number, None if value is None else bool(value)))
    elif "SO_RCVLOWAT" in args:
        known = value is not None and value >= 0  # Linux takes 0 for 1
        socket.lowat.append((number, max(value or 0, 1) if known else None))
    elif "TCP_DEFER_ACCEPT" in args:
        socket.defer_accept.append((number, None if value is None else value > 0))
    elif "SO_SNDBUF" in args or "TCP_NOTSENT_LOWAT" in args:
        socket.room.append(number)


def _inherited(listener: Socket, changes: list[Change]) -> list[Change]:
    """An option of an accepted socket: the listener's when the handshake ended (man 7 socket).

    That was some time since listen(): with a change after it, the value is not known.
    """
    since = listener.listened_by
    if since is None or any(call > since for call, _ in changes):
        return [(0, None)] if changes else []
    return [(0, value) for _, value in changes[-1:]]


def _opens(socket: Socket, record: CallRecord) -> bool:
    """Whether this send with MSG_FASTOPEN is the socket's connect() (man 7 tcp, RFC 7413)."""
    fresh = not socket.connects and socket.accepted_by is None
    return fresh and socket.is_stream and is_outbound(record) and record.address is not None


def _is_anew(socket: Socket, record: CallRecord) -> bool:
    """Whether an attempt to connect begins here: one that goes on gives 0, EALREADY or EISCONN."""
    return socket.is_stream and bool(socket.connects) and record.errno == "EINPROGRESS"


def _dissolves(socket: Socket, record: CallRecord) -> bool:
    """Whether this is a connect() with AF_UNSPEC (man 2 connect), which no witness names.

    strace shows the address of every other one. And of two that succeed, the second is one.
    """
    if record.errno is not None:
        return False
    nowhere = record.address is None and record.witness.startswith("strace")
    return socket.connected or nowhere


def _better(known: str | None, new: str | None) -> str | None:
    """The address that says more: a specific one beats a wildcard, a port beats port 0."""
    if not new or new == known:
        return known
    old, end = maybe_endpoint(known), maybe_endpoint(new)
    if end is None:
        return new if known is None or known == "unix:" else known
    if old is None:
        return new
    said = (end[1] != 0, not is_wildcard(end))
    return new if said >= (old[1] != 0, not is_wildcard(old)) else known


def trace_sockets(calls: list[CallRecord], inheritances: Iterable[Inheritance]) -> Sockets:
    """Follow the sockets through `calls` (sorted by entry; the first is call 1)."""
    tracer = _Tracer()
    forks = sorted(inheritances, key=lambda item: item.time_ns)
    at = 0
    for number, record in enumerate(calls, 1):
        while at < len(forks) and forks[at].time_ns <= record.entered_ns:
            tracer.fork(forks[at])
            at += 1
        tracer.call(record, number)
    return tracer.found
