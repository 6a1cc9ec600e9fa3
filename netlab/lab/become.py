"""A forked child of the lab's first process becomes a program: place, identity, descriptors, exec.

`Orders` is what it is told, JSON in a file in memory, since a whole environment may be in it.
Read man 2 execve, man 2 setns, man 7 credentials, man 3 tcsetpgrp.
"""

from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, NoReturn

from netlab.lab.syscalls import give_up_privileges, keep_through_identity
from netlab.server.family.process import die_with_parent

if TYPE_CHECKING:
    from netlab.lab.network.builder import Place


READY = b"ready\n"


@dataclass(frozen=True, slots=True)
class Orders:
    """How a program is to be started."""

    argv: list[str]
    env: dict[str, str]
    files: list[str] = field(
        default_factory=list
    )  # the first that may be executed is; none: argv[0]
    fd_names: list[str] = field(default_factory=list)  # a variable each, or 0, 1, 2
    user: list[int] | None = None  # uid, gid, groups...
    drop: bool = True  # give up every privilege
    keep: list[int] = field(default_factory=list)  # capabilities that it has all the same
    readable: list[str] = field(default_factory=list)  # what it must be able to read
    cwd: str = ""  # empty: as it is
    foreground: bool = False  # it gets the terminal that is its standard input
    ignore: list[int] = field(default_factory=list)  # signals that it begins with ignoring
    hint: str = ""  # what to do when it cannot be started

    def to_file(self) -> int:
        """The descriptor of a file in memory that holds this."""
        descriptor = os.memfd_create("orders", os.MFD_CLOEXEC)
        with open(descriptor, "wb", closefd=False) as file:
            file.write(json.dumps(asdict(self)).encode())
        return descriptor

    @classmethod
    def from_file(cls, descriptor: int) -> Orders:
        """What `to_file` wrote."""
        return cls(**json.loads(os.pread(descriptor, os.fstat(descriptor).st_size, 0)))


def become(
    orders: Orders,
    descriptors: Sequence[int],
    *,
    report: int,
    proc: int,
    place: Place | None,
    go: int | None = None,
) -> NoReturn:
    """Be the program. Reports its pid outside on `report`, then, only on failure, the reason.

    With `go` it says READY when nothing is left but to execute, and waits until that is readable.
    """
    try:
        os.write(report, os.readlink("self", dir_fd=proc).encode() + b"\n")
        if orders.foreground:
            os.setpgid(0, 0)
        else:
            os.setsid()
        if place is not None:
            place.enter()
        if orders.cwd:
            os.chdir(orders.cwd)
        environment = _with_descriptors(orders, descriptors, proc)
        if orders.foreground:
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # we are not in the foreground yet
            os.tcsetpgrp(0, os.getpid())
        _reset_signals(orders.ignore)
        _take_identity(orders)
        for path in orders.readable:
            os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        die_with_parent(signal.SIGKILL)  # the change of identity would have made it forgotten
        if go is not None:
            os.write(report, READY)
            os.read(go, 1)
        _execute(orders.files or orders.argv[:1], orders.argv, environment)
    except BaseException as error:
        reason, exit_code = _why_not(error, orders)
        os.write(report, f"{reason}\n{exit_code}\n".encode(errors="surrogateescape"))
    os._exit(127)


def _why_not(error: BaseException, orders: Orders) -> tuple[str, int]:
    """What kept the program from starting, and netlab's exit code for it."""
    if not isinstance(error, OSError):
        return repr(error), 3
    name = error.filename or orders.argv[0]
    if error.errno == errno.ENOEXEC:
        return f"{name}: neither a program of this machine nor a script that begins with #!", 2
    if error.errno == errno.ENOENT and os.path.exists(name):
        return f"{name}: the interpreter that it names does not exist", 2
    return f"{name}: {error.strerror}", 3


def _execute(files: Sequence[str], argv: list[str], environment: dict[str, str]) -> NoReturn:
    """Be the first of these files that we may execute, as a shell goes on along its PATH."""
    refused = None
    for file in files:
        try:
            os.execve(file, argv, environment)
        except PermissionError as error:
            refused = refused or error
    assert refused is not None
    raise refused


def _with_descriptors(orders: Orders, descriptors: Sequence[int], proc: int) -> dict[str, str]:
    """Put the descriptors in their places; the environment that names them."""
    environment = dict(orders.env)
    kept = [os.dup(proc)]
    environment["NETLAB_PROC_FD"] = str(kept[0])
    for name, descriptor in zip(orders.fd_names, descriptors, strict=True):
        if name.isdecimal():
            os.dup2(descriptor, int(name))
            continue
        kept.append(os.dup(descriptor))
        environment[name] = environment.get(name, "{}").format(kept[-1])
    for descriptor in kept:
        os.set_inheritable(descriptor, True)
    return environment


def _reset_signals(ignore: Sequence[int]) -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTTOU):
        signal.signal(number, signal.SIG_DFL)
    for ignored in ignore:
        signal.signal(ignored, signal.SIG_IGN)


def _take_identity(orders: Orders) -> None:
    """Become the user if one is named, and give up every privilege but those to keep."""
    if orders.keep:
        keep_through_identity()
    if orders.user is not None:
        uid, gid, *groups = orders.user
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    if orders.drop:
        give_up_privileges(keep=orders.keep)
