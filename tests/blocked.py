"""A signal that comes when a thread sleeps in a call of the kernel, and not before."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WITHIN_S = 20.0
_FUTEX = {"x86_64": "202", "aarch64": "98"}


def is_asleep(tid: int) -> bool:
    """Whether a thread of this process waits in a system call, and not for a lock of Python."""
    task = Path(f"/proc/self/task/{tid}")
    if (task / "stat").read_text().rpartition(")")[2].split()[0] != "S":
        return False
    number = (task / "syscall").read_text().split()[0]
    return number.isdecimal() and number not in _FUTEX.values()


@contextmanager
def signalled_once_asleep(number: int = signal.SIGALRM) -> Iterator[None]:
    """Send this thread the signal as soon as it sleeps in a call."""
    ident, tid = threading.get_ident(), threading.get_native_id()
    over = threading.Event()

    def watch() -> None:
        until_s = time.monotonic() + WITHIN_S
        while not is_asleep(tid):
            if over.wait(0.001) or time.monotonic() > until_s:
                return
        signal.pthread_kill(ident, number)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
