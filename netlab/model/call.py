"""A socket call as its witness saw it, before netlab knows which connection it belongs to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from netlab.model.records import dataclass, quickly_made

# Message flags (man 2 send, man 2 recv): Linux's numbers, which are part of its ABI.
MSG_OOB = 0x1
MSG_PEEK = 0x2
MSG_CTRUNC = 0x8
MSG_TRUNC = 0x20
MSG_DONTWAIT = 0x40
MSG_WAITALL = 0x100
MSG_ERRQUEUE = 0x2000
MSG_NOSIGNAL = 0x4000
MSG_MORE = 0x8000
MSG_ZEROCOPY = 0x4000000
MSG_NAMES = {
    MSG_OOB: "MSG_OOB",
    MSG_PEEK: "MSG_PEEK",
    MSG_CTRUNC: "MSG_CTRUNC",
    MSG_TRUNC: "MSG_TRUNC",
    MSG_DONTWAIT: "MSG_DONTWAIT",
    MSG_WAITALL: "MSG_WAITALL",
    MSG_ERRQUEUE: "MSG_ERRQUEUE",
    MSG_NOSIGNAL: "MSG_NOSIGNAL",
    MSG_MORE: "MSG_MORE",
    MSG_ZEROCOPY: "MSG_ZEROCOPY",
}

# Poll events (man 2 poll); epoll uses the same numbers for these.
POLLIN = 0x001
POLLPRI = 0x002
POLLOUT = 0x004
POLLERR = 0x008
POLLHUP = 0x010
POLLNVAL = 0x020
POLLRDHUP = 0x2000
EPOLLET = 1 << 31
POLL_NAMES = {
    POLLIN: "IN",
    POLLPRI: "PRI",
    POLLOUT: "OUT",
    POLLERR: "ERR",
    POLLHUP: "HUP",
    POLLNVAL: "NVAL",
    POLLRDHUP: "RDHUP",
}

# Calls by what they do to the byte stream. The names are Python's and the kernel's. A splice may be
# either: ask `is_outbound` and `is_inbound`.
OUTBOUND = frozenset({"send", "sendall", "sendto", "sendmsg", "sendmmsg", "write", "writev",
                      "pwritev2", "sendfile", "sendfile64",
                      "mq_send", "msgsnd", "ring_put"})  # fmt: skip
INBOUND = frozenset({"recv", "recv_into", "recvfrom", "recvfrom_into", "recvmsg", "recvmsg_into",
                     "recvmmsg", "recvmmsg_time64", "read", "readv", "preadv2",
                     "mq_receive", "msgrcv", "ring_get"})  # fmt: skip
# restart_syscall resumes a poll that a signal interrupted (man 2 restart_syscall).
WAITING = frozenset({"select", "poll", "epoll_wait", "pselect6", "ppoll", "epoll_pwait",
                     "epoll_pwait2", "restart_syscall"})  # fmt: skip
EPOLL_WAITING = frozenset({"epoll_wait", "epoll_pwait", "epoll_pwait2"})
STOP = (
    "stop"  # no call: a thread was stopped, by the signal in `args`, until SIGCONT (man 7 signal)
)
# Where a call stands in a finished recording: one that acts at its entry, the rest at their return.
_ACTING = OUTBOUND | {"connect", "shutdown", "close", "exit", "bind", "listen", "setsockopt",
                      "socket", "detach", "close_range", "execve", "dup2", "dup3",
                      STOP}  # fmt: skip
_CLOSING = frozenset({"close", "close_range", "execve"})
# The call did nothing, for a signal, and is made again or fails with EINTR: only a tracer sees it.
RESTARTING = frozenset({"ERESTARTSYS", "ERESTARTNOINTR", "ERESTARTNOHAND",
                        "ERESTART_RESTARTBLOCK"})  # fmt: skip
# A connect that failed so goes on all the same (man 2 connect, EINTR).
CONNECT_GOES_ON = frozenset({"EINPROGRESS", "EINTR"}) | RESTARTING
DUPLICATING = frozenset({"dup", "dup2", "dup3", "fcntl"})  # fcntl: of F_DUPFD
ACCEPTING = frozenset({"accept", "accept4"})
_MAKING_ONE = frozenset({"socket", "epoll_create", "epoll_create1", "mq_open", "msgget",
                         "memfd_create"})  # fmt: skip
_MAKING_TWO = frozenset({"socketpair", "pipe"})


# The argument that tells a splice into a socket from one out of it: the pipe's descriptor.
SPLICE_FROM = "fd_in="


class Named(Protocol):
    """What tells a call's direction: its record, or its row."""

    @property
    def op(self) -> str: ...

    @property
    def args(self) -> str: ...


class Ended(Named, Protocol):
    """What tells what became of a call's descriptor."""

    @property
    def fd(self) -> int | None: ...

    @property
    def result(self) -> int | None: ...


def is_outbound(call: Named) -> bool:
    """Whether a call of this kind gives bytes to its socket."""
    return call.op in OUTBOUND or (call.op == "splice" and SPLICE_FROM in call.args)


def is_inbound(call: Named) -> bool:
    """Whether a call of this kind takes bytes from its socket."""
    return call.op in INBOUND or (call.op == "splice" and SPLICE_FROM not in call.args)


def is_closing(call: Ended) -> bool:
    """Whether a call let go of the descriptor that its record names."""
    if call.op in ("dup2", "dup3"):  # what had the number before
        return call.fd is not None and call.fd == call.result
    return call.op in _CLOSING


def is_moving(call: Named) -> bool:
    """Whether a call of this kind moves bytes, in whichever direction."""
    return is_outbound(call) or is_inbound(call)


def is_acting(call: Named) -> bool:
    """Whether a call does something at its entry that frames may follow."""
    return call.op in _ACTING or is_outbound(call)


@dataclass(frozen=True, slots=True)
class Passed:
    """A socket that a message carried as a descriptor (SCM_RIGHTS, man 7 unix)."""

    fd: int  # its number in the process that made the call
    inode: int


@quickly_made
@dataclass(frozen=True, slots=True)
class Ready:
    """One descriptor that a select, poll or epoll_wait reported."""

    fd: int
    inode: int | None  # of the socket behind fd; None when it is not a traced socket
    events: int  # POLL* bits


def ready_text(found: Iterable[Ready]) -> str:
    """What a wait reported, in the words of its arguments: `ready=[6:IN, 7:IN|HUP]`."""
    return f"ready=[{', '.join(f'{one.fd}:{events_text(one.events)}' for one in found)}]"


def events_text(events: int) -> str:
    """`IN|HUP`."""
    return "|".join(name for bit, name in POLL_NAMES.items() if events & bit) or hex(events)


def arguments_text(op: str, fd: int | None, *rest: object) -> str:
    """What stands in a call's parentheses, as strace has it; of `rest` what is not empty.

    A descriptor that the call made is none of its arguments; of two that it made it fills an array.
    """
    words = [str(word) for word in rest if word is not None and word != ""]
    if fd is None or op in _MAKING_ONE:
        return ", ".join(words)
    return ", ".join([*words, f"[{fd}, ...]"] if op in _MAKING_TWO else [str(fd), *words])


@quickly_made
@dataclass(frozen=True, slots=True)
class CallRecord:
    """What one witness saw of one call. None means: not known, or not applicable.

    A system call that closed several sockets (execve, close_range), or that closed one and made
    another name for a second (dup2), has a record for each; `fd` is then the descriptor it closed.

    `inode` names the socket behind the descriptor (fstat's st_ino): one number for as long as any
    process holds it, whatever the descriptor's number, so dup and fork do not confuse it.
    `local` and `peer` are the socket's own addresses as last known when the call returned,
    `address` is the one in the call's arguments or result (connect, bind, sendto, recvfrom,
    accept). Addresses read `127.0.0.1:80`, `[::1]:80`, `unix:/path`, `unix:@abstract`, and
    `unix:` where a Unix socket has no name. Where the object is no socket, `family` says what it is
    (pipe, mqueue, sysv, ring, eventfd) and `inode` is the number that names it.
    """

    witness: str  # probe, strace, kernel
    host: str
    actor: str
    pid: int
    tid: int
    order: int  # 1-based position among the calls of this thread
    op: str
    fd: int | None
    args: str  # as strace would print them, without descriptor and data
    entered_ns: int
    returned_ns: int | None  # None: still inside
    returned_by_ns: int | None = None  # the bound, where the witness knows only one
    requested_bytes: int | None = None
    result: int | None = None
    errno: str | None = None
    flags: int = 0  # MSG_*; for recvmsg those given, with MSG_TRUNC or MSG_CTRUNC added if reported
    inode: int | None = None
    family: str | None = None  # AF_INET, AF_INET6, AF_UNIX, pipe, mqueue, ...
    kind: str | None = None  # SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET
    local: str | None = None
    peer: str | None = None
    address: str | None = None
    new_inode: int | None = None  # accept: of the new socket; socketpair: of the second one
    peer_inode: int | None = None  # AF_UNIX: of the socket at the other end, where asked
    about_inode: int | None = None  # of the socket that a message between processes is about
    ready: tuple[Ready, ...] = ()
    inq_before_bytes: int | None = None
    outq_before_bytes: int | None = None
    inq_after_bytes: int | None = None
    outq_after_bytes: int | None = None
    tcp_info_before: bytes | None = None  # struct tcp_info as the kernel gave it
    tcp_info_after: bytes | None = None
    code: str | None = None  # file:line of the caller
    message_bytes: tuple[int, ...] = ()  # sendmmsg, recvmmsg: of each; `result` counts messages
    message_addresses: tuple[str, ...] = ()  # parallel; empty text where a message had none
    passed: tuple[Passed, ...] = ()  # sockets that this call sent, or received, as descriptors
    data: bytes | None = None  # the first bytes that it moved, as far as they were asked for


@dataclass(frozen=True, slots=True)
class Inheritance:
    """A process began life with these sockets: fork copied the descriptors of `parent_pid`."""

    pid: int
    parent_pid: int
    time_ns: int
    inodes: tuple[int, ...]
