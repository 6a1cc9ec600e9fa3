"""What calls do to descriptors once they have returned -> changed tables, and records.

Each function takes the call that a thread was in and its result. What a call returned through a
pointer is not known: the two descriptors of socketpair and pipe come to light when they are used.
Read first: man 2 accept, man 2 close, man 2 close_range, man 2 dup, man 2 fcntl, man 2 execve.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from netlab.capture.descriptors import OTHER, Closed
from netlab.capture.kernel.families import Process
from netlab.capture.kernel.places import Inside
from netlab.capture.kernel.syscalls import (
    F_DUPFD,
    F_DUPFD_CLOEXEC,
    F_SETFD,
    FIOCLEX,
    FIONCLEX,
    O_CLOEXEC,
    SOCK_CLOEXEC,
    family_name,
    kind_name,
)
from netlab.capture.kernel.tracepoints import Left
from netlab.capture.strace.names import FAMILIES
from netlab.capture.strace.processes import IO_URING
from netlab.model.recording import Loss

if TYPE_CHECKING:
    from netlab.capture.kernel.calls import Calls

_CLOSE_RANGE_CLOEXEC, _CLOSE_RANGE_UNSHARE = 4, 2


def make(calls: Calls, process: Process, inside: Inside, left: Left) -> None:
    """socket."""
    if left.result < 0:
        return
    a, tables = inside.arguments, calls.tables
    closing = bool(a["type"] & SOCK_CLOEXEC)
    family = family_name(a["family"])
    if family not in FAMILIES:
        tables.put(process.pid, left.result, OTHER, closing=closing)
        return
    socket = inside.socket = tables.socket()
    inside.fd = left.result
    socket.family, socket.kind = family, kind_name(a["type"])
    tables.put(process.pid, left.result, socket, closing=closing)
    calls.record(process, left.tid, inside, left)


def make_other(calls: Calls, process: Process, inside: Inside, left: Left) -> None:
    """epoll_create."""
    if left.result < 0:
        return
    closing = bool(inside.arguments.get("flags", 0) & O_CLOEXEC)
    calls.tables.put(process.pid, left.result, OTHER, closing=closing)
    inside.fd = left.result
    calls.record(process, left.tid, inside, left)


def take_from_process(calls: Calls, process: Process, inside: Inside, left: Left) -> None:
    """pidfd_getfd: a descriptor of another process, of which nobody says what it leads to."""
    if left.result >= 0:
        calls.tables.close(process.pid, left.result)


def ring(calls: Calls, process: Process, inside: Inside, left: Left) -> None:
    """io_uring_setup: from now on the process may move bytes without a call."""
    if left.result < 0:
        return
    calls.tables.put(process.pid, left.result, OTHER, closing=True)
    if process.counts:
        loss = Loss(
            "kernel", "bytes", None, IO_URING, process.actor, inside.entered_ns, process.pid
        )
        calls.families.add(process, loss)


def accept(calls: Calls, process: Process, inside: Inside, left: Left) -> None:
    """accept, accept4."""
    tables, new = calls.tables, None
    if left.result >= 0:
        if inside.socket is None and inside.fd is not None:  # only a socket can be accepted from
            inside.socket = tables.socket()
            tables.put(process.pid, inside.fd, inside.socket)
        new = tables.socket()
        if inside.socket is not None:
            inside.socket.listens = True
            new.family, new.kind = inside.socket.family, inside.socket.kind
        closing = bool(inside.arguments.get("flags", 0) & SOCK_CLOEXEC)
        tables.put(process.pid, left.result, new, closing=closing)
    if inside.socket is not None:
        made = None if new is None else new.inode
        calls.record(process, left.tid, inside, left, new_inode=made)


def connect(calls: Calls, process: Process, inside: Inside, left: Left) -> None:
    """connect: of a datagram socket nothing but the route tells where to."""
    socket = inside.socket
    if socket is None:
        return
    if left.result == 0 and socket.kind == "SOCK_DGRAM" and inside.address is not None:
        calls.tables.has_ends(socket, socket.local, inside.address)
    calls.record(process, left.tid, inside, left)


def close(calls: Calls, process: Process, inside: Inside, left: Left) -> None:
    """close: every error but EBADF comes after the descriptor is gone."""
    if inside.fd is None or left.result == -errno.EBADF:
        return
    if inside.socket is not None:
        calls.record(process, left.tid, inside, left)
    # Another thread may have been given the number since: it is free before the call returns.
    if calls.tables.at(process.pid, inside.fd) is inside.opened:
        calls.tables.close(process.pid, inside.fd)
        calls.places.closed(process.pid, inside.fd)
        if inside.socket is not None:
            calls.places.let_go(inside.socket)


def close_range(calls: Calls, process: Process, inside: Inside, left: Left) -> None:
    """close_range: a record for each socket's descriptor."""
    a, pid, tables = inside.arguments, process.pid, calls.tables
    if left.result != 0:
        return
    if a["flags"] & _CLOSE_RANGE_UNSHARE:
        tables.unshare(pid)
    if a["flags"] & _CLOSE_RANGE_CLOEXEC:
        held = tables.table(pid).opened
        tables.set_closing(pid, [fd for fd in held if a["fd"] <= fd <= a["max_fd"]], True)
        return
    _closed(calls, process, inside, left, tables.close_range(pid, a["fd"], a["max_fd"]))


def execute(calls: Calls, process: Process, inside: Inside, left: Left) -> None:
    """execve, execveat: a record for each socket's descriptor that it closed."""
    if left.result == 0:
        _closed(calls, process, inside, left, inside.closed)


def _closed(
    calls: Calls, process: Process, inside: Inside, left: Left, closed: Iterable[Closed]
) -> None:
    for fd, socket in closed:
        inside.fd, inside.socket = fd, socket
        calls.record(process, left.tid, inside, left)
        calls.places.closed(process.pid, fd)
        calls.places.let_go(socket)


def duplicate(calls: Calls, process: Process, inside: Inside, left: Left) -> None:
    """dup, dup2, dup3: what had the new number before is closed."""
    a = inside.arguments
    if left.result < 0 or (inside.name == "dup2" and a["newfd"] == a["oldfd"]):
        return
    _second_name(calls, process, inside, left, bool(a.get("flags", 0) & O_CLOEXEC))


def control(calls: Calls, process: Process, inside: Inside, left: Left) -> None:
    """fcntl: a second name, or FD_CLOEXEC; the rest changes nothing here."""
    command = inside.arguments["cmd"]
    if left.result < 0 or inside.fd is None:
        return
    if command in (F_DUPFD, F_DUPFD_CLOEXEC):
        _second_name(calls, process, inside, left, command == F_DUPFD_CLOEXEC)
    elif command == F_SETFD:
        on = bool(inside.arguments["arg"] & 1)
        calls.tables.set_closing(process.pid, [inside.fd], on)


def device_control(calls: Calls, process: Process, inside: Inside, left: Left) -> None:
    """ioctl: FIOCLEX and FIONCLEX set FD_CLOEXEC."""
    command = inside.arguments["cmd"]
    if left.result >= 0 and inside.fd is not None and command in (FIOCLEX, FIONCLEX):
        calls.tables.set_closing(process.pid, [inside.fd], command == FIOCLEX)


def _second_name(calls: Calls, process: Process, inside: Inside, left: Left, closing: bool) -> None:
    pid, new = process.pid, left.result
    before = calls.places.socket_at(pid, new)
    if inside.opened is None:
        calls.tables.close(pid, new)
    else:
        calls.tables.put(pid, new, inside.opened, closing=closing)
    calls.places.closed(pid, new)
    if before is not None:
        if inside.name in ("dup2", "dup3"):
            replaced = Inside(inside.entered_ns, inside.name, inside.arguments, new, None, before)
            calls.record(process, left.tid, replaced, left)
        # Else the number was free: a close by another thread has not returned yet, and notes it.
        calls.places.let_go(before)
    if inside.socket is not None:
        calls.record(process, left.tid, inside, left)


Effect = Callable[["Calls", Process, Inside, Left], None]
EFFECTS: dict[str, Effect] = {
    "socket": make, "accept": accept, "accept4": accept, "close": close,
    "connect": connect,
    "close_range": close_range, "execve": execute, "execveat": execute, "io_uring_setup": ring,
    "epoll_create": make_other, "epoll_create1": make_other, "pidfd_getfd": take_from_process,
    "dup": duplicate, "dup2": duplicate, "dup3": duplicate, "fcntl": control,
    "ioctl": device_control,
}  # fmt: skip
