"""Which socket a descriptor of a process is: by its table, and by the kernel's word for sockets.

The tables follow the calls; within each send and receive the kernel also says where it keeps the
socket (`sk`). Where the two differ the kernel is right: a descriptor can come unseen, inherited, in
a message, or from socketpair, whose answer stands behind a pointer. A place is used again once its
socket is gone; a socket whose making was seen is new, whatever was at its place before.
Some descriptors are doubtful until the kernel says what they are: all, when events were lost; and
after an execve those that came unseen, since nobody knows whether it closed them.
"""

from __future__ import annotations

from dataclasses import field

from netlab.capture.descriptors import Closed, Descriptors, Opened, OpenSocket
from netlab.capture.kernel.network import Network
from netlab.capture.kernel.syscalls import family_name
from netlab.capture.kernel.tracepoints import Moved, Routed, Seen
from netlab.capture.strace.names import FAMILIES
from netlab.model.kernel_event import Tracepoint
from netlab.model.records import dataclass

_KINDS = {6: "SOCK_STREAM", 17: "SOCK_DGRAM"}  # by the protocol of an Internet socket
_UDP = 17
_NO_PORT = ":0"
_WILDCARDS = ("0.0.0.0:", "[::]:")
_ROUTING = frozenset({"connect", "sendto", "sendmsg", "sendmmsg"})
_TIES = frozenset({"connect", "listen", "sendto", "sendmsg", "close", "shutdown"})


@dataclass(slots=True)
class Inside:
    """A call that has not returned yet."""

    entered_ns: int
    name: str  # of the kernel's event, without sys_enter_
    arguments: dict[str, int]
    fd: int | None = None
    opened: Opened | None = None  # what the tables said of fd at the entry
    socket: OpenSocket | None = None  # the same if it is a socket, or what the kernel said later
    closed: list[Closed] = field(default_factory=list)  # by an execve
    address: str | None = None
    routed: str | None = None  # to where the latest route was looked up
    moved: list[int] = field(default_factory=list)  # bytes, message by message
    addresses: list[str] = field(default_factory=list)  # of these messages; empty: none was named


class Places:
    """Where the kernel keeps the sockets of the descriptor tables."""

    def __init__(self, tables: Descriptors, network: Network) -> None:
        self._tables = tables
        self._network = network
        self._by_sk: dict[int, OpenSocket] = {}
        self._sk: dict[int, int] = {}  # by inode
        self._doubtful: dict[int, set[int]] = {}  # descriptors, by process
        self._unseen: dict[int, set[int]] = {}

    def socket_at(self, pid: int, fd: int) -> OpenSocket | None:
        """The socket that a descriptor leads to, if that is sure."""
        if fd in self._doubtful.get(pid, ()):
            return None
        found = self._tables.at(pid, fd)
        return found if isinstance(found, OpenSocket) else None

    def moved(self, pid: int, host: str, inside: Inside, event: Moved) -> None:
        """The kernel names the socket of the call that a thread is in."""
        if inside.name == "splice":
            inside.fd = inside.arguments["fd_out" if event.outbound else "fd_in"]
            inside.socket = self.socket_at(pid, inside.fd)
        if inside.fd is None or family_name(event.family) not in FAMILIES:
            return
        here = inside.socket
        if here is None or self._sk.get(here.inode, event.sk) != event.sk:
            known = self._by_sk.get(event.sk)
            here = known if known is not None and known.references > 0 else self._tables.socket()
            self._tables.put(pid, inside.fd, here)
            inside.socket = here
            self._unseen.setdefault(pid, set()).add(inside.fd)
        if pid in self._doubtful:
            self._doubtful[pid].discard(inside.fd)
        inside.moved.append(event.result)
        inside.addresses.append(inside.routed or "")
        inside.routed = None
        here.family = here.family or family_name(event.family)
        if here.kind is None and here.family in ("AF_INET", "AF_INET6"):
            here.kind = _KINDS.get(event.protocol)
        self._place(host, event.sk, here)

    def route(self, inside: Inside, event: Routed) -> None:
        """The call sends or connects to there. A stream's ends are told by its states, later."""
        if inside.name not in _ROUTING or event.peer.endswith(_NO_PORT):
            return
        inside.routed = inside.address = event.peer
        socket = inside.socket
        if socket is not None and socket.kind == "SOCK_DGRAM" and event.protocol == _UDP:
            local = socket.local if event.local.endswith(_NO_PORT) else event.local
            if local != socket.local and _says_more(local, socket.local):
                self._tables.has_ends(socket, local, socket.peer)

    def tie(self, host: str, inside: Inside, seen: Seen) -> None:
        """A connect or listen changes its socket's state: so we learn where that is, and its ends.

        A close does so, too, but a listener's closes the sockets that nobody accepted.
        """
        socket = inside.socket
        if socket is None or seen.sk is None or inside.name not in _TIES:
            return
        if seen.event.what != Tracepoint.SET_STATE:
            return
        if inside.name in ("close", "shutdown") and (socket.listens or not socket.family):
            return
        if self._sk.get(socket.inode, seen.sk) != seen.sk:
            return
        if seen.event.state == "SYN-SENT":
            inside.address = seen.event.peer
        if seen.event.state == "LISTEN":
            socket.listens = True
        self._place(host, seen.sk, socket)

    def _place(self, host: str, sk: int, socket: OpenSocket) -> None:
        self._by_sk[sk] = socket
        self._sk[socket.inode] = sk
        self._network.watch(sk, host, socket.inode)

    def learn(self, socket: OpenSocket) -> None:
        """Take over what the network's events tell of a socket's ends."""
        sk = self._sk.get(socket.inode)
        life = None if sk is None else self._network.maybe_life(sk)
        if life is None or life.local is None:
            return
        if (life.local, life.peer) != (socket.local, socket.peer):
            self._tables.has_ends(socket, life.local, life.peer)

    def teach(self, socket: OpenSocket) -> None:
        """Let events that name no address have the one that is known of their socket."""
        sk = self._sk.get(socket.inode)
        life = None if sk is None else self._network.maybe_life(sk)
        if life is not None:
            life.told = socket.local

    def gone(self, sk: int) -> None:
        """The kernel has no socket there any more."""
        socket = self._by_sk.pop(sk, None)
        if socket is not None and self._sk.get(socket.inode) == sk:
            del self._sk[socket.inode]

    def let_go(self, socket: OpenSocket) -> None:
        """Nobody that is followed holds the socket, perhaps."""
        if socket.references > 0:
            return
        sk = self._sk.pop(socket.inode, None)
        if sk is not None and self._by_sk.get(sk) is socket:
            del self._by_sk[sk]

    def process_ended(self, pid: int) -> None:
        """Forget where the sockets were that nobody holds any more."""
        self._doubtful.pop(pid, None)
        self._unseen.pop(pid, None)
        for socket in [one for one in self._by_sk.values() if one.references <= 0]:
            self.let_go(socket)

    def closed(self, pid: int, fd: int) -> None:
        """A descriptor is free."""
        self._doubtful.get(pid, set()).discard(fd)
        self._unseen.get(pid, set()).discard(fd)

    def executed(self, pid: int) -> None:
        """Whether an execve closed what had come unseen is not known."""
        held = {fd for fd, _ in self._tables.table(pid).sockets()}
        self._doubtful.setdefault(pid, set()).update(self._unseen.get(pid, set()) & held)

    def doubt_all(self) -> None:
        """Events were lost: any descriptor may lead elsewhere by now."""
        for pid, table in self._tables.tables.items():
            self._doubtful[pid] = {fd for fd, _ in table.sockets()}


def _says_more(new: str | None, known: str | None) -> bool:
    """Whether an address is worth taking over: one of a socket that is bound to none is a port."""
    if new is None:
        return False
    return known is None or not new.startswith(_WILDCARDS)
