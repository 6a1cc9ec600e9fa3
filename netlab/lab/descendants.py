"""The processes that a server forks: what it reports of them -> who lives, who died, and how.

A worker that is killed cannot note its own end, and its parent, the server's manager, is the one
that learns how it ended; so both tell (`born`, `left`, `died`), and here it becomes deaths that a
recorder can write down. Pids are told as the server's own namespace counts them; we know them by
ours.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Mapping
from typing import Any

from netlab.lab.recorder import Death


class Descendants:
    """Hears the server's reports, and sees to it that nobody outlives it."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._ours: dict[int, int] = {}  # the pid that its parent knows -> the one we know
        self._deaths: dict[int, Death] = {}  # by the pid we know

    def hear(self, report: Mapping[str, Any]) -> None:
        """Take in one report, if it is about a descendant."""
        if "born" in report:
            self._ours[report["born"]] = report["outer"]
        if "left" in report:
            self._ours.pop(report["left"], None)
        if "died" in report:
            self._died(self._ours.pop(report["died"], None), report["how"])

    def died(self, pid: int, status: int) -> None:
        """Somebody was reaped by us, having lost its own parent. Statuses are Popen's."""
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        self._died(pid, how)

    def end(self, within_s: float) -> None:
        """Wait for those that are left; whoever stays is killed."""
        until_s = time.monotonic() + within_s
        for pid in self._ours.values():
            with contextlib.suppress(ProcessLookupError):
                descriptor = os.pidfd_open(pid)
                try:
                    if not _is_over(descriptor, until_s):
                        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                        self._died(pid, "SIGKILL")
                        _is_over(descriptor, until_s + within_s)
                finally:
                    os.close(descriptor)

    def deaths(self) -> list[Death]:
        """All that are known to have died, and those of whom nobody said how they ended."""
        for pid in self._ours.values():
            self._died(pid, "unseen")
        return list(self._deaths.values())

    def _died(self, pid: int | None, how: str) -> None:
        if pid is not None:
            death = Death(self._host, "server", pid, how, time.time_ns())
            self._deaths.setdefault(pid, death)


def _is_over(descriptor: int, until_s: float) -> bool:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(max(0.0, until_s - time.monotonic()) * 1000))
