"""A system call's arguments, as raw numbers -> what a record says of it.

The kernel's sys_enter events carry the arguments as registers: numbers, flags and descriptors are
known, what a pointer leads to (addresses, iovecs, poll sets, option values) is not, and is written
`?` or left out. Read first: man 2 syscalls and the page of each call. Knows no process.
"""

from __future__ import annotations

import fcntl
import socket
from collections.abc import Callable, Mapping
from functools import lru_cache

from netlab.capture.probe.options import SHUTDOWN, option_name
from netlab.model.call import MSG_NAMES, SPLICE_FROM
from netlab.model.records import dataclass

Arguments = Mapping[str, int]  # by the kernel's name, as the C type says: `int` is signed

UNKNOWN = "?"  # what stands behind a pointer
_MSG_MORE_NAMES = {
    0x4: "MSG_DONTROUTE", 0x80: "MSG_EOR", 0x10000: "MSG_WAITFORONE", 0x4000000: "MSG_ZEROCOPY",
    0x20000000: "MSG_FASTOPEN", 0x40000000: "MSG_CMSG_CLOEXEC",
}  # fmt: skip
_MESSAGE_FLAGS = dict(sorted({**MSG_NAMES, **_MSG_MORE_NAMES}.items()))
SOCK_CLOEXEC, SOCK_NONBLOCK = 0o2000000, 0o4000
_SOCKET_FLAGS = {SOCK_CLOEXEC: "SOCK_CLOEXEC", SOCK_NONBLOCK: "SOCK_NONBLOCK"}
_KINDS = {1: "SOCK_STREAM", 2: "SOCK_DGRAM", 3: "SOCK_RAW", 5: "SOCK_SEQPACKET", 10: "SOCK_PACKET"}
_FAMILIES = {1: "AF_UNIX", 2: "AF_INET", 10: "AF_INET6", 16: "AF_NETLINK", 17: "AF_PACKET",
             40: "AF_VSOCK"}  # fmt: skip
_PROTOCOLS = {0: "IPPROTO_IP", 1: "IPPROTO_ICMP", 6: "IPPROTO_TCP", 17: "IPPROTO_UDP",
              132: "IPPROTO_SCTP", 262: "IPPROTO_MPTCP"}  # fmt: skip
_LEVELS = {1: "SOL_SOCKET", 0: "SOL_IP", 6: "SOL_TCP", 17: "SOL_UDP", 41: "SOL_IPV6"}
_EPOLL_OPS = {1: "EPOLL_CTL_ADD", 2: "EPOLL_CTL_DEL", 3: "EPOLL_CTL_MOD"}
O_CLOEXEC = 0o2000000
_SPLICE_FLAGS = {1: "SPLICE_F_MOVE", 2: "SPLICE_F_NONBLOCK", 4: "SPLICE_F_MORE", 8: "SPLICE_F_GIFT"}
F_DUPFD, F_SETFD = fcntl.F_DUPFD, fcntl.F_SETFD
F_DUPFD_CLOEXEC = fcntl.F_DUPFD_CLOEXEC
_FCNTL = {F_DUPFD: "F_DUPFD", fcntl.F_GETFD: "F_GETFD", F_SETFD: "F_SETFD",
          fcntl.F_GETFL: "F_GETFL", fcntl.F_SETFL: "F_SETFL",
          F_DUPFD_CLOEXEC: "F_DUPFD_CLOEXEC"}  # fmt: skip
FIOCLEX, FIONCLEX = 0x5451, 0x5450
_FILE_FLAGS = {O_CLOEXEC: "O_CLOEXEC", 0o4000: "O_NONBLOCK"}


@lru_cache(maxsize=4096)
def message_flags(value: int) -> str:
    """`MSG_DONTWAIT|MSG_PEEK`."""
    return flags_text(value, _MESSAGE_FLAGS)


def flags_text(value: int, names: Mapping[int, str]) -> str:
    """`A|B|0x40`; empty for 0."""
    found = [name for bit, name in names.items() if value & bit]
    rest = value & ~sum(bit for bit in names if value & bit)
    return "|".join([*found, hex(rest)] if rest else found)


def family_name(number: int) -> str:
    """`AF_INET`."""
    return _FAMILIES.get(number, str(number))


def kind_name(number: int) -> str:
    """The type of a socket, without the flags that socket() takes with it."""
    number &= 0xF
    return _KINDS.get(number, str(number))


@dataclass(frozen=True, slots=True)
class Syscall:
    """How to read the arguments of one call."""

    op: str  # as strace names it
    fd: str = ""  # the argument that is its descriptor
    requested: str = ""
    flags: str = ""  # the argument that holds MSG_*
    text: Callable[[Arguments], str] = lambda _: ""


def _messages(a: Arguments) -> str:
    return message_flags(a["flags"]) if a["flags"] else ""


def _socket(a: Arguments) -> str:
    flags = flags_text(a["type"] & ~0xF, _SOCKET_FLAGS)
    kind = "|".join(filter(None, (kind_name(a["type"]), flags)))
    number = a["protocol"]
    is_network = a["family"] in (socket.AF_INET, socket.AF_INET6)
    protocol = _PROTOCOLS.get(number, str(number)) if is_network else str(number)
    return f"{family_name(a['family'])}, {kind}, {protocol}"


def _option(a: Arguments) -> str:
    level = _LEVELS.get(a["level"], str(a["level"]))
    return f"{level}, {option_name(a['level'], a['optname'])}, {UNKNOWN}"


def _fcntl(a: Arguments) -> str:
    name = _FCNTL.get(a["cmd"], str(a["cmd"]))
    if a["cmd"] in (fcntl.F_GETFD, fcntl.F_GETFL):
        return name
    if a["cmd"] == F_SETFD:
        return f"{name}, {'FD_CLOEXEC' if a['arg'] & fcntl.FD_CLOEXEC else '0'}"
    if a["cmd"] == fcntl.F_SETFL:
        return f"{name}, {hex(a['arg'])}"
    return f"{name}, {a['arg']}"


def _control(a: Arguments) -> str:
    op = _EPOLL_OPS.get(a["op"], str(a["op"]))
    known = f"{op}, {a['fd']}"
    return known if op == "EPOLL_CTL_DEL" else f"{known}, {UNKNOWN}"


def _splice(a: Arguments) -> str:
    """As for a socket that is written to; the other way round see `splice_from`."""
    flags = flags_text(a["flags"], _SPLICE_FLAGS)
    return ", ".join(filter(None, (f"{SPLICE_FROM}{a['fd_in']}", flags)))


def splice_from(a: Arguments) -> str:
    """The arguments of a splice whose socket is read from."""
    flags = flags_text(a["flags"], _SPLICE_FLAGS)
    return ", ".join(filter(None, (f"fd_out={a['fd_out']}", flags)))


def _epoll_wait(a: Arguments) -> str:
    return f"timeout={a['timeout']}, maxevents={a['maxevents']}"


def _epoll_wait2(a: Arguments) -> str:
    return f"timeout={UNKNOWN}, maxevents={a['maxevents']}"


def _select(a: Arguments) -> str:
    return f"nfds={a['n']}, timeout={UNKNOWN}"


def _poll(a: Arguments) -> str:
    return f"nfds={a['nfds']}, timeout={a['timeout_msecs']}"


_RECEIVES = {"fd": "fd", "flags": "flags", "text": _messages}
# By the name of the kernel's event: sys_enter_NAME.
SYSCALLS: dict[str, Syscall] = {
    "socket": Syscall("socket", text=_socket),
    "socketpair": Syscall("socketpair", text=_socket),
    "bind": Syscall("bind", "fd"),
    "listen": Syscall("listen", "fd", text=lambda a: str(a["backlog"])),
    "connect": Syscall("connect", "fd"),
    "accept": Syscall("accept", "fd"),
    "accept4": Syscall("accept4", "fd", text=lambda a: flags_text(a["flags"], _SOCKET_FLAGS)),
    "shutdown": Syscall("shutdown", "fd", text=lambda a: SHUTDOWN.get(a["how"], str(a["how"]))),
    "setsockopt": Syscall("setsockopt", "fd", text=_option),
    "sendto": Syscall("sendto", "fd", "len", "flags", _messages),
    "recvfrom": Syscall("recvfrom", "fd", "size", "flags", _messages),
    "sendmsg": Syscall("sendmsg", "fd", flags="flags", text=_messages),
    "recvmsg": Syscall("recvmsg", "fd", flags="flags", text=_messages),
    "sendmmsg": Syscall("sendmmsg", "fd", flags="flags", text=_messages),
    "recvmmsg": Syscall("recvmmsg", "fd", flags="flags", text=_messages),
    "read": Syscall("read", "fd", "count"),
    "write": Syscall("write", "fd", "count"),
    "readv": Syscall("readv", "fd"),
    "writev": Syscall("writev", "fd"),
    "preadv2": Syscall("preadv2", "fd"),
    "pwritev2": Syscall("pwritev2", "fd"),
    "sendfile64": Syscall("sendfile", "out_fd", "count", text=lambda a: f"in_fd={a['in_fd']}"),
    "splice": Syscall("splice", "fd_out", "len", text=_splice),
    "close": Syscall("close", "fd"),
    "close_range": Syscall("close_range", text=lambda a: f"{a['fd']}, {a['max_fd']}"),
    "dup": Syscall("dup", "fildes"),
    "dup2": Syscall("dup2", "oldfd", text=lambda a: str(a["newfd"])),
    "dup3": Syscall("dup3", "oldfd", text=lambda a: ", ".join(
        filter(None, (str(a["newfd"]), flags_text(a["flags"], _FILE_FLAGS))))),
    "fcntl": Syscall("fcntl", "fd", text=_fcntl),
    "ioctl": Syscall("ioctl", "fd", text=lambda a: hex(a["cmd"])),
    "epoll_create": Syscall("epoll_create"),
    "epoll_create1": Syscall("epoll_create1", text=lambda a: flags_text(a["flags"], {
        O_CLOEXEC: "EPOLL_CLOEXEC"})),
    "epoll_ctl": Syscall("epoll_ctl", "epfd", text=_control),
    "epoll_wait": Syscall("epoll_wait", "epfd", text=_epoll_wait),
    "epoll_pwait": Syscall("epoll_pwait", "epfd", text=_epoll_wait),
    "epoll_pwait2": Syscall("epoll_pwait2", "epfd", text=_epoll_wait2),
    "poll": Syscall("poll", text=_poll),
    "ppoll": Syscall("ppoll", text=lambda a: f"nfds={a['nfds']}, timeout={UNKNOWN}"),
    "select": Syscall("select", text=_select),
    "pselect6": Syscall("pselect6", text=_select),
    "restart_syscall": Syscall("restart_syscall", text=lambda _: "resumed"),
    "execve": Syscall("execve", text=lambda _: "FD_CLOEXEC"),
    "execveat": Syscall("execveat", text=lambda _: "FD_CLOEXEC"),
    "io_uring_setup": Syscall("io_uring_setup"),
    "pidfd_getfd": Syscall("pidfd_getfd"),
    "exit_group": Syscall("exit_group"),
}  # fmt: skip
