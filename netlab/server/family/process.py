"""Being one process of a family: named, bound to its parent's life, with signals of its own.

`begin_child` is the first thing a forked child does. A parent that is killed cannot tell anybody.
A child that comes back to its loop finds the end of its lines; one that is stuck in a callback does
not, and if it is stuck in C, none of its Python handlers ever runs. So the kernel does all of it:
PR_SET_PDEATHSIG sends a signal when the thread that forked us ends, and its handler is alarm(2)
itself, which takes the signal's number for seconds: that much later SIGALRM kills. The request is
forgotten by a change of identity, and comes too late when the parent died before we asked, hence
the look at getppid.

It knows nothing of servers; read man 2 prctl, man 7 signal, man 5 proc.
"""

from __future__ import annotations

import contextlib
import ctypes
import grp
import os
import pwd
import signal
import sys
from pathlib import Path

from netlab.model.errors import UsageError

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_LONGEST_NAME_BYTES = 15  # the kernel's TASK_COMM_LEN less the final zero
_STAT_START_FIELD = 19  # of what follows the name in /proc/PID/stat: field 22
_GIVEN_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)  # ignored from the start, and so they stay

# No program sends it to another; 5 on every machine that Linux runs on.
ORPHANED = signal.SIGTRAP

_libc = ctypes.CDLL(None, use_errno=True)
_libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
_libc.signal.restype = ctypes.c_void_p


def _prctl(option: int, argument: object) -> None:
    if _libc.prctl(ctypes.c_int(option), argument, *[ctypes.c_ulong(0)] * 3) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl: {os.strerror(number)}")


def die_with_parent(signal_number: int) -> None:
    """Ask for this signal when the thread that forked us ends; a change of identity forgets it."""
    _prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal_number))


def set_name(name: str) -> None:
    """What ps -o comm and top show for this thread; the kernel keeps 15 bytes."""
    _prctl(_PR_SET_NAME, ctypes.c_char_p(name.encode()[:_LONGEST_NAME_BYTES]))


def fork() -> int:
    """As os.fork, with all signals blocked in the child until `begin_child`.

    Else one that comes too soon would run the parent's handler, and wake the parent's loop. What
    was printed is written before, or both would.
    """
    flush_streams()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
    except BaseException:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        raise
    if pid:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def flush_streams() -> None:
    """Write what was printed, where there is anything to write to."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # a reader that left; closed by the user
            if stream is not None:  # as under a service manager that closes all descriptors
                stream.flush()


def begin_child(name: str, parent: int) -> None:
    """Be `name`, die with the process `parent`, and have every signal at its default again."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - set(_GIVEN_BY_PYTHON):
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    set_name(name)
    _libc.signal(ORPHANED, ctypes.cast(_libc.alarm, ctypes.c_void_p))
    die_with_parent(ORPHANED)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if os.getppid() != parent:
        os._exit(0)


def leave_within(seconds: float) -> None:
    """The loop of an orphan knows that it is one: from now on it has so long to leave in order."""
    signal.signal(ORPHANED, signal.SIG_IGN)  # it may still be on its way
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))  # 0 would disarm it


def take_identity(user: str, group: str) -> None:
    """Become this user and group for good; "" keeps what we are. Raises UsageError."""
    try:
        entry = pwd.getpwnam(user) if user else None
        gid = grp.getgrnam(group).gr_gid if group else None
    except KeyError as error:
        raise UsageError(str(error.args[0]), "give the name of a user and group that exist") from (
            error
        )
    if gid is None and entry is not None:
        gid = entry.pw_gid
    try:
        if entry is not None and entry.pw_uid != os.getuid():
            assert gid is not None
            os.initgroups(entry.pw_name, gid)
        if gid is not None and (gid != os.getgid() or gid != os.getegid()):
            os.setresgid(gid, gid, gid)
        if entry is not None and entry.pw_uid != os.getuid():
            os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    except PermissionError as error:
        raise UsageError(
            f"may not become {user or group}", "start as root, or leave user and group out"
        ) from error


def rss_bytes(pid: int) -> int | None:
    """Resident memory of a process; None when it is gone."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_bytes().split()[1]
    except (OSError, IndexError):
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def started_ticks(pid: int) -> int | None:
    """When a process began, in clock ticks since boot: with the pid, its name for ever."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    return int(stat.rpartition(b")")[2].split()[_STAT_START_FIELD])
