"""The few Linux calls that Python 3.11 does not have: unshare, mount, prctl, capset.

Each raises OSError with the kernel's errno. It knows nothing of netlab; read man 2 unshare,
man 2 prctl and man 7 capabilities.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence

CLONE_NEWNS = 0x0002_0000
CLONE_NEWUTS = 0x0400_0000
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWPID = 0x2000_0000
CLONE_NEWNET = 0x4000_0000

MS_NOSUID, MS_NODEV, MS_NOEXEC = 0x2, 0x4, 0x8
MS_BIND = 0x1000
MS_REC, MS_PRIVATE = 0x4000, 0x4_0000
_MNT_DETACH = 0x2

CAP_DAC_READ_SEARCH = 2
CAP_NET_ADMIN = 12
CAP_NET_RAW = 13
CAP_SYS_PTRACE = 19
CAP_SYS_ADMIN = 21

_PR_CAPBSET_DROP = 24
_PR_SET_DUMPABLE = 4
_PR_SET_TIMERSLACK = 29
_PR_SET_SECUREBITS = 28
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 2, 4
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274, "riscv64": 274}  # asm/unistd.h
_SECURE_NOROOT_LOCKED = 0b11  # uid 0 gains nothing by execve, and this stays so
_CAPABILITY_VERSION_3 = 0x2008_0522

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: object) -> int:
    result: int = getattr(_libc, name)(*arguments)
    if result < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"{name}: {os.strerror(errno)}")
    return result


def unshare(flags: int) -> None:
    """Move this process (which must have one thread for CLONE_NEWUSER) into new namespaces."""
    _call("unshare", ctypes.c_int(flags))


def mount(source: str, target: str, kind: str | None, flags: int) -> None:
    """Mount, or change a mount's propagation (man 2 mount)."""
    _call(
        "mount",
        source.encode(),
        os.fsencode(target),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        None,
    )


def setns(descriptor: int, kind: int) -> None:
    """Enter a namespace that is open; `kind` is its CLONE_NEW* flag."""
    _call("setns", ctypes.c_int(descriptor), ctypes.c_int(kind))


def detach(target: str) -> None:
    """Take away the topmost mount of `target`; what holds files of it keeps them."""
    _call("umount2", os.fsencode(target), ctypes.c_int(_MNT_DETACH))


def _prctl(option: int, argument: int = 0) -> int:
    zero = ctypes.c_ulong(0)
    return _call("prctl", ctypes.c_int(option), ctypes.c_ulong(argument), zero, zero, zero)


def adopt_orphans() -> None:
    """Become the parent of all descendants whose own parent dies."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def set_timer_slack(slack_ns: int) -> None:
    """How much later than asked this thread may be woken up (50 us when nothing is said)."""
    _prctl(_PR_SET_TIMERSLACK, slack_ns)


def set_time_slice(slice_ns: int) -> None:
    """How long this process runs before others have their turn: with little it is let in sooner.

    Needs no privilege. Linux before 6.12 takes no notice; where we do not know the call's number,
    or a sandbox forbids it, nothing happens.
    """
    number = _SCHED_SETATTR.get(os.uname().machine)
    if number is not None:
        # struct sched_attr: size, policy (SCHED_OTHER), flags, nice, priority, then runtime (the
        # slice), deadline, period
        nice = os.getpriority(os.PRIO_PROCESS, 0)
        wanted = struct.pack("@IIQiIQQQ", 48, 0, 0, nice, 0, slice_ns, 0, 0)
        _libc.syscall(ctypes.c_long(number), 0, wanted, 0)


def keep_through_identity() -> None:
    """Let the permitted capabilities survive the next change of uid, until an execve."""
    _prctl(_PR_SET_KEEPCAPS, 1)


def give_up_privileges(*, keep: Sequence[int] = ()) -> None:
    """No capability now, nor after an execve, not even as uid 0; no set-uid program helps.

    Those to `keep` are had after an execve all the same (ambient).
    """
    try:
        for capability in range(64):  # EINVAL after the last one the kernel knows
            if capability not in keep:
                _prctl(_PR_CAPBSET_DROP, capability)
    except OSError:
        pass  # without CAP_SETPCAP the bounding set stays; what follows suffices
    try:
        _prctl(_PR_SET_SECUREBITS, _SECURE_NOROOT_LOCKED)
    except OSError:
        if os.geteuid() == 0 and has_capability(CAP_SYS_ADMIN):
            raise  # here it is what keeps an execve from giving everything back
    _ambient(_PR_CAP_AMBIENT_CLEAR_ALL, 0)
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    kept = sum(1 << capability for capability in keep)
    low, high = struct.unpack("<2I", struct.pack("<Q", kept))
    # struct __user_cap_data_struct twice: effective, permitted, inheritable
    _call("capset", header, struct.pack("=6I", *[low] * 3, *[high] * 3))
    for capability in keep:
        _ambient(_PR_CAP_AMBIENT_RAISE, capability)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def become_traceable() -> None:
    """Let processes of the same user trace this one, as the next execve would in any case.

    What a file gave to this program (`setcap`) is given up; capabilities that outlive an execve
    (ambient) are kept. Read man 2 ptrace, "Ptrace access mode checking".
    """
    low, high = struct.unpack("<2I", struct.pack("<Q", _capabilities("CapAmb")))
    inherited = struct.unpack("<2I", struct.pack("<Q", _capabilities("CapInh")))
    sets = [low, low, inherited[0], high, high, inherited[1]]
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    _call("capset", header, struct.pack("=6I", *sets))
    _prctl(_PR_SET_DUMPABLE, 1)


def _ambient(what: int, capability: int) -> None:
    numbers = [ctypes.c_ulong(number) for number in (what, capability, 0, 0)]
    _call("prctl", ctypes.c_int(_PR_CAP_AMBIENT), *numbers)


def has_capability(capability: int) -> bool:
    """Whether it is in this process's effective set."""
    return bool(_capabilities("CapEff") >> capability & 1)


def _capabilities(name: str) -> int:
    """One of this process's sets, as /proc names it; 0 where it does not."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith(f"{name}:"):
                return int(line.split()[1], 16)
    return 0
