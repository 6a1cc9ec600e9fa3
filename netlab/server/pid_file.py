"""The pid file: says which process is the server, and tells a running one from one that is gone.

A pid is used again after a while, so the file must not be believed alone: who has the pid now must
have begun before the file was written. Only the pid stands in it, for `kill $(cat FILE)`.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from netlab.model.errors import UsageError
from netlab.server.process import started_ticks

_SLACK_S = 1.0  # a tick is 10 ms, and the file's time may be the coarse clock's


class PidFile:
    """Refuses a file of a server that runs; takes over one that was left behind."""

    def __init__(self, path: str) -> None:
        """Look at the file; raises UsageError when its server runs."""
        self._path = Path(path)
        self.stale: int | None = None  # the pid in a file that was left behind
        pid = self._pid()
        if pid is None:
            return
        if _runs_since(pid, self._path.stat().st_mtime):
            raise UsageError(
                f"{path}: a server runs already, pid {pid}",
                "stop it first, or give another pid_file",
            )
        self.stale = pid

    def write(self) -> None:
        """Say that this process is the server."""
        try:
            self._path.write_text(f"{os.getpid()}\n", encoding="ascii")
        except OSError as error:
            raise UsageError(f"{self._path}: {error.strerror}", "give another pid_file") from error

    def remove(self) -> None:
        """Take the file away, if it is still ours; where we may not, leave it empty."""
        if self._pid() != os.getpid():
            return
        try:
            self._path.unlink()
        except OSError:
            self._path.write_text("", encoding="ascii")

    def _pid(self) -> int | None:
        try:
            text = self._path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            return None
        return int(text) if text.isascii() and text.isdigit() else None


def _runs_since(pid: int, written_at_s: float) -> bool:
    ticks = started_ticks(pid)
    if ticks is None:
        return False
    boot_s = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return boot_s + ticks / os.sysconf("SC_CLK_TCK") <= written_at_s + _SLACK_S
