"""What strace says of signals -> since when until when a thread was stopped (SIGSTOP and its like).

    123 ... --- stopped by SIGSTOP ---      each thread of the process
    123 ... --- SIGCONT {si_signo=...} ---  the one that took the signal: all go on

A call that was inside ended before, to begin anew (ERESTARTSYS): a stop lies between two calls.
What this module must not know: calls.
Read first: man 1 strace, man 7 signal (stop and continue), man 2 ptrace (group-stop).
"""

from __future__ import annotations

import re

from netlab.model.records import dataclass

SHOWN = ("SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGCONT")  # what strace is to say of signals
_STOPPED = re.compile(r"--- stopped by (SIG\w+) ---$")
_GOES_ON = "--- SIGCONT "


@dataclass(frozen=True, slots=True)
class Stop:
    """A thread that was stopped; `until_ns` None: it still is."""

    tid: int
    pid: int
    signal: str
    since_ns: int
    until_ns: int | None


class Stops:
    """The threads that are stopped at the moment."""

    def __init__(self) -> None:
        self._stopped: dict[int, Stop] = {}  # by thread, in order

    def signal(self, tid: int, pid: int, text: str, time_ns: int) -> list[Stop]:
        """Take what a line says of a signal; the stops that it ends."""
        stopped = _STOPPED.match(text)
        if stopped is not None:
            self._stopped.setdefault(tid, Stop(tid, pid, stopped[1], time_ns, None))
        return self._end(pid, time_ns) if text.startswith(_GOES_ON) else []

    def gone(self, pid: int, time_ns: int) -> list[Stop]:
        """A process has ended; the stops that this ended."""
        return self._end(pid, time_ns)

    def left(self) -> list[Stop]:
        """Those that nothing has ended."""
        return list(self._stopped.values())

    def _end(self, pid: int, time_ns: int) -> list[Stop]:
        tids = [tid for tid, stop in self._stopped.items() if stop.pid == pid]
        ended = [self._stopped.pop(tid) for tid in tids]
        return [Stop(one.tid, pid, one.signal, one.since_ns, time_ns) for one in ended]
