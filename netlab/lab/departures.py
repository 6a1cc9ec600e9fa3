"""Watches the processes that calls came from, and tells which of them ended, by when.

A process that leaves by os._exit, as a forked worker does, or is killed writes no word of its end,
and yet its sockets are closed with it. One that was gone before it could be watched is told as
gone by then. Nothing is reaped. Read first: man 2 pidfd_open, man 2 waitid (WNOWAIT).
"""

from __future__ import annotations

import os
import select
import signal
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Departure:
    """A process that is no more: `how` it went (empty: not known), and when that was noticed."""

    pid: int
    how: str
    time_ns: int


class Departures:
    """Holds a descriptor for each process watched, until it has ended or all are let go."""

    def __init__(self) -> None:
        self.seen: list[Departure] = []
        self._met: set[int] = {os.getpid()}
        self._watched: dict[int, int] = {}  # descriptor -> pid
        self._poll = select.poll()

    def watch(self, pid: int) -> None:
        """Watch a process from here on; again, or the own one: nothing changes."""
        if pid in self._met:
            return
        self._met.add(pid)
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            self.seen.append(Departure(pid, "", time.time_ns()))
            return
        except OSError:  # no descriptors left: its end will not be known
            return
        self._watched[descriptor] = pid
        self._poll.register(descriptor, select.POLLIN)  # readable once it has ended

    def look(self) -> None:
        """Note which have ended since the last time."""
        for descriptor, _ in self._poll.poll(0):
            now_ns = time.time_ns()
            pid = self._forget(descriptor)
            self.seen.append(Departure(pid, _how(descriptor), now_ns))
            os.close(descriptor)

    def __enter__(self) -> Departures:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Watch no more."""
        for descriptor in list(self._watched):
            self._forget(descriptor)
            os.close(descriptor)

    def _forget(self, descriptor: int) -> int:
        self._poll.unregister(descriptor)
        return self._watched.pop(descriptor)


def _how(descriptor: int) -> str:
    """`status 1` or a signal's name, of a child that nobody has waited for yet."""
    try:
        found = os.waitid(os.P_PIDFD, descriptor, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except OSError:  # not our child, or reaped
        return ""
    if found is None:
        return ""
    if found.si_code == os.CLD_EXITED:
        return f"status {found.si_status}"
    return signal.Signals(found.si_status).name
