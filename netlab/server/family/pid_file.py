"""The pid file: says which process is the server, and tells a running one from one that is gone.

A pid is used again after a while, so the file must not be believed alone: who has the pid now must
have begun before the file was written. Only the pid stands in it, for `kill $(cat FILE)`. The file
is opened at once, as the user who started us, and written when the server serves.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time

from netlab.model.errors import UsageError
from netlab.server.family.process import started_ticks

_SLACK_S = 1.0  # a tick is 10 ms, and the file's time may be the coarse clock's
_log = logging.getLogger("netlab.server")


class PidFile:
    """Refuses a file of a server that runs; takes over one that was left behind."""

    @classmethod
    def at(cls, path: str) -> PidFile | None:
        """A pid file at `path`, if one is wanted. Raises UsageError when its server runs."""
        return cls(path) if path else None

    def __init__(self, path: str) -> None:
        self._path = path
        self._owner = os.getpid()
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}", "give another pid_file") from error
        pid = self._pid()
        if pid is None:
            return
        if _runs_since(pid, os.fstat(self._fd).st_mtime):
            os.close(self._fd)
            raise UsageError(
                f"{path}: a server runs already, pid {pid}",
                "stop it first, or give another pid_file",
            )
        _log.warning("%s was left behind by pid %d, which is gone", path, pid)

    def write(self) -> None:
        """Say that this process is the server."""
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def remove(self) -> None:
        """Take the file away; where we may not, leave it empty."""
        if os.getpid() != self._owner:
            return
        try:
            here = os.stat(self._path)
            if (here.st_dev, here.st_ino) == _identity(self._fd):  # else it is another's
                os.unlink(self._path)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, 0)
        os.close(self._fd)

    def _pid(self) -> int | None:
        text = os.pread(self._fd, 32, 0).strip()
        return int(text) if text.isdigit() else None


def _identity(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino


def _runs_since(pid: int, written_at_s: float) -> bool:
    ticks = started_ticks(pid)
    if ticks is None:
        return False
    boot_s = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return boot_s + ticks / os.sysconf("SC_CLK_TCK") <= written_at_s + _SLACK_S
