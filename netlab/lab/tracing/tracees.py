"""Processes that run already: whether they may be traced, and which sockets they hold.

Reads /proc and sock_diag, changes nothing. What a process did before is not known here: a socket's
queues are as they were at the moment of asking. Read man 5 proc, man 7 sock_diag, man 2 ptrace
(ptrace access mode checking).
"""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from netlab.capture.sockdiag import dump, open_netlink
from netlab.correlate.addresses import Endpoint
from netlab.lab import itself
from netlab.lab.tracing.strace_command import ptrace_hint
from netlab.model.errors import NetlabError, PrivilegeError, UsageError

_PROC = Path("/proc")
_PF_KTHREAD = 0x0020_0000  # linux/sched.h, in field 9 of /proc/PID/stat
_ESTABLISHED, _CLOSE_WAIT, _LISTEN = 1, 8, 10  # linux/tcp_states.h
# FIN-WAIT-1, FIN-WAIT-2, LAST-ACK, CLOSING: the program is done with it, the kernel is not.
_CLOSING = 1 << 4 | 1 << 5 | 1 << 9 | 1 << 11
_QUEUES_OF_DATA_ONLY = frozenset({_ESTABLISHED})


@dataclass(frozen=True, slots=True)
class HeldSocket:
    """A TCP or UDP socket behind a descriptor of a process. Addresses as calls write them."""

    pid: int
    fd: int
    inode: int
    family: str
    kind: str
    local: str
    peer: str | None  # None: it has none
    listens: bool
    closes_on_exec: bool
    inq_bytes: int | None  # received and not read; None: what is queued is no data, or not only
    outq_bytes: int | None  # sent and not acknowledged


def check(pid: int) -> None:
    """Raises UsageError or PrivilegeError where strace could not attach, with the reason."""
    try:
        status = dict(
            line.split(":\t", 1)
            for line in (_PROC / f"{pid}" / "status").read_text().splitlines()
            if ":\t" in line
        )
        flags = int((_PROC / f"{pid}" / "stat").read_text().rpartition(")")[2].split()[6])
    except (FileNotFoundError, ProcessLookupError):
        raise UsageError(f"there is no process {pid}", "it may have ended: see `ps -e`") from None
    name = status.get("Name", "")
    if flags & _PF_KTHREAD:
        raise UsageError(f"{pid} ({name}) is a kernel thread", "it makes no system calls")
    if status["State"].startswith(("Z", "X")):
        raise UsageError(f"process {pid} ({name}) has ended", "its parent has not asked how")
    if status["Tgid"] != f"{pid}":
        raise UsageError(f"{pid} is a thread of process {status['Tgid']}", "trace the process")
    if pid == os.getpid():
        raise UsageError(f"{pid} is this netlab itself", "name another process")
    _check_rights(pid, name, status)
    tracer = int(status["TracerPid"])
    if tracer:
        raise UsageError(
            f"process {pid} ({name}) is traced already, by process {tracer}", "end that one first"
        )


def _check_rights(pid: int, name: str, status: dict[str, str]) -> None:
    if os.geteuid() != 0:
        owners = {int(text) for text in status["Uid"].split()[:3]}
        if owners != {os.geteuid()}:
            who = _user_name(max(owners, key=lambda uid: uid != os.geteuid()))
            raise PrivilegeError(
                f"process {pid} ({name}) belongs to {who}", itself.as_root(f"trace -p {pid}")
            )
    try:
        theirs, ours = (os.readlink(_PROC / which / "ns/net") for which in (f"{pid}", "self"))
    except FileNotFoundError:
        raise UsageError(f"process {pid} ({name}) has ended", "see `ps -e`") from None
    except PermissionError:  # not dumpable: a program that was setuid, or guards its memory
        raise PrivilegeError(
            f"process {pid} ({name}) may not be traced by its own user", ptrace_hint()
        ) from None
    if theirs != ours:
        raise UsageError(
            f"process {pid} ({name}) is in another network namespace",
            f"sudo nsenter -t {pid} --net {itself.word()} trace -p {pid}",
        )


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def name_of(pid: int) -> str:
    """The name of its program (comm); empty where it has ended."""
    with suppress(OSError):
        return (_PROC / f"{pid}" / "comm").read_text(errors="replace").rstrip("\n")
    return ""


def threads_of(pid: int) -> list[int]:
    """The numbers of its threads."""
    with suppress(OSError):
        return [int(name) for name in os.listdir(_PROC / f"{pid}" / "task")]
    return []


def is_attached(pid: int, tracer: int) -> bool:
    """Whether every thread of the process is traced by the process `tracer` now."""
    threads = threads_of(pid)
    for thread in threads:
        with suppress(OSError):  # it has ended meanwhile
            text = (_PROC / f"{pid}" / "task" / f"{thread}" / "status").read_text()
            if f"\nTracerPid:\t{tracer}\n" not in text:
                return False
    return bool(threads)


def traced_by(tracer: int) -> list[int]:
    """The processes that it traces now."""
    found = []
    for entry in os.listdir(_PROC):
        if entry.isdecimal():
            with suppress(OSError):
                if f"\nTracerPid:\t{tracer}\n" in (_PROC / entry / "status").read_text():
                    found.append(int(entry))
    return found


def open_sockets(pids: Iterable[int]) -> list[HeldSocket]:
    """The TCP and UDP sockets that these processes hold now.

    A process that has ended holds none. Raises NetlabError where the kernel does not tell.
    """
    held = [(pid, fd, inode) for pid in pids for fd, inode in _descriptors(pid)]
    if not held:
        return []
    wanted = {inode for _, _, inode in held}
    rows = _rows(wanted)
    found = []
    for pid, fd, inode in held:
        if inode in rows:
            found.append(_held(pid, fd, inode, *rows[inode]))
    return found


def are_closing(is_ours: Callable[[Endpoint, Endpoint], bool]) -> bool:
    """Whether the kernel is still about to end a TCP connection with such ends."""
    try:
        with open_netlink() as netlink:
            return any(
                is_ours((f"{row.local[0]}", row.local[1]), (f"{row.peer[0]}", row.peer[1]))
                for family in (socket.AF_INET, socket.AF_INET6)
                for row in dump(netlink, family, socket.IPPROTO_TCP, states=_CLOSING)
            )
    except OSError:  # where it does not tell, nobody waits
        return False


_Ends = tuple[IPv4Address | IPv6Address, int]
_Row = tuple[str, str, int, _Ends, _Ends, int, int]  # family, kind, state, ends, queues


def _rows(wanted: set[int]) -> dict[int, _Row]:
    """What sock_diag says of the sockets with these inodes."""
    found: dict[int, _Row] = {}
    try:
        with open_netlink() as netlink:
            for kind, number in (("SOCK_STREAM", 6), ("SOCK_DGRAM", 17)):
                for family in (socket.AF_INET, socket.AF_INET6):
                    for row in dump(netlink, family, number):
                        if row.inode in wanted:
                            found[row.inode] = (
                                family.name, kind, row.state, row.local, row.peer, row.rqueue,
                                row.wqueue,
                            )  # fmt: skip
    except OSError as error:
        raise NetlabError(
            "the kernel does not list its sockets (sock_diag)", error.strerror or ""
        ) from None
    return found


def _held(
    pid: int, fd: int, inode: int, family: str, kind: str, state: int, local: _Ends, peer: _Ends,
    rqueue: int, wqueue: int,
) -> HeldSocket:  # fmt: skip
    stream = kind == "SOCK_STREAM"
    # A FIN takes a number of the stream, too: counted as a byte while it is in a queue.
    counted = stream and state in _QUEUES_OF_DATA_ONLY
    return HeldSocket(
        pid, fd, inode, family, kind, _text(local),
        _text(peer) if peer[1] else None,
        stream and state == _LISTEN,
        _closes_on_exec(pid, fd),
        rqueue if counted else None,
        wqueue if counted else None,
    )  # fmt: skip


def _text(end: _Ends) -> str:
    address, port = end
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def _descriptors(pid: int) -> list[tuple[int, int]]:
    """Each descriptor of a process that leads to a socket, with its inode."""
    folder = _PROC / f"{pid}" / "fd"
    found = []
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    for name in names:
        with suppress(OSError):
            target = os.readlink(folder / name)
            if target.startswith("socket:["):
                found.append((int(name), int(target[8:-1])))
    return sorted(found)


def _closes_on_exec(pid: int, fd: int) -> bool:
    with suppress(OSError, ValueError):
        for line in (_PROC / f"{pid}" / "fdinfo" / f"{fd}").read_text().splitlines():
            if line.startswith("flags:"):
                return bool(int(line.split()[1], 8) & os.O_CLOEXEC)
    return False
