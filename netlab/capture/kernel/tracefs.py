"""Finds the kernel's trace file system, and gives it a place of our own where it is not mounted.

Without a mount a detached one is made (fsopen, fsmount: Linux 5.2): it has no place in the file
system, is reached by its descriptor alone and is gone with it, so the machine's mounts stay as they
are. Knows no events; read man 2 fsopen and Documentation/trace/ftrace.rst first.
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path
from types import TracebackType

from netlab.model.errors import PrivilegeError

_MOUNTED = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
# The numbers of these calls are the same on all machines (asm-generic/unistd.h).
_SYS_FSOPEN, _SYS_FSCONFIG, _SYS_FSMOUNT = 430, 431, 432
_FSOPEN_CLOEXEC = _FSMOUNT_CLOEXEC = 1
_FSCONFIG_CMD_CREATE = 6
# The first PID namespace: an inode number that the kernel fixes (include/linux/proc_ns.h).
_FIRST_PID_NAMESPACE = "pid:[4026531836]"
_HINT = "run it as root, or use the strace witness: --witness strace"


class Tracefs:
    """The root of a tracefs. Closing it gives a detached mount back."""

    def __init__(self, path: Path, fd: int | None = None) -> None:
        """Use `open`."""
        self.path = path
        self._fd = fd

    @classmethod
    def open(cls) -> Tracefs:
        """Raises PrivilegeError when this user, or this machine, has none."""
        if os.readlink("/proc/self/ns/pid") != _FIRST_PID_NAMESPACE:
            raise PrivilegeError(
                "the kernel witness cannot tell processes apart inside a container",
                "the kernel numbers them as outside; run it outside, or use --witness strace",
            )
        for mounted in _MOUNTED:
            path = Path(mounted)
            try:
                if (path / "instances").is_dir():
                    return cls(path)
            except PermissionError:
                raise _refused("its folder is not ours to read") from None
        try:
            fd = _detached_mount()
        except OSError as error:
            if error.errno in (errno.EPERM, errno.EACCES):
                raise _refused("it is not mounted, and mounting it is root's") from None
            if error.errno == errno.ENODEV:
                raise PrivilegeError(
                    "the kernel witness cannot work: this kernel was built without tracefs",
                    "use the strace witness: --witness strace",
                ) from None
            reason = os.strerror(error.errno or 0).lower()
            raise _refused(f"it is not mounted, and mounting it failed: {reason}") from None
        return cls(Path(f"/proc/self/fd/{fd}"), fd)

    def read(self, name: str) -> str:
        """A small file of it, as text."""
        return (self.path / name).read_text(errors="replace")

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What must stay open for `path` to lead there."""
        return () if self._fd is None else (self._fd,)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> Tracefs:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def refused_by(error: OSError) -> PrivilegeError:
    """What to say where tracefs is there and does not let us."""
    if error.errno in (errno.EPERM, errno.EACCES, errno.EROFS):
        return _refused("it may not be written")
    return _refused(os.strerror(error.errno or 0).lower())


def _refused(why: str) -> PrivilegeError:
    return PrivilegeError(f"no right to the kernel's trace events (tracefs): {why}", _HINT)


def _detached_mount() -> int:
    libc = ctypes.CDLL(None, use_errno=True)

    def call(*arguments: object) -> int:
        result = int(libc.syscall(*arguments))
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result

    context = call(_SYS_FSOPEN, b"tracefs", _FSOPEN_CLOEXEC)
    try:
        call(_SYS_FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0)
        return call(_SYS_FSMOUNT, context, _FSMOUNT_CLOEXEC, 0)
    finally:
        os.close(context)
