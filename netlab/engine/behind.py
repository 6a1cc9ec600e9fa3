"""Work that is done one piece behind, in a thread of its own: compiled kernels let others run."""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Thread

_TWO_FROM_BYTES = 32 << 20  # of a file: below it a second thread is hardly worth it


class Behind:
    """At most one piece of work at a time; with `threads` off it is done at once."""

    def __init__(self, *, threads: bool) -> None:
        self._threads = threads
        self._running: Thread | None = None
        self._error: BaseException | None = None

    def start(self, work: Callable[[], None]) -> None:
        """Begin it once what was begun before is done."""
        self.wait()
        if not self._threads:
            work()
            return
        self._running = Thread(target=self._run, args=(work,), name="netlab follows")
        self._running.start()

    def wait(self) -> None:
        """Until what was begun is done; raises what it raised."""
        if self._running is not None:
            self._running.join()
            self._running = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self._error = error


def two_threads(size_bytes: int, machine: str) -> bool:
    """Whether a file of this size is read by two; NETLAB_THREADS=1 or =2 decides otherwise."""
    said = os.environ.get("NETLAB_THREADS", "")
    if machine != "native" or said == "1":
        return False
    return said == "2" or (size_bytes >= _TWO_FROM_BYTES and len(os.sched_getaffinity(0)) > 1)
