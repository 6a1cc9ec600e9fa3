"""Work that is done one piece behind, in a thread of its own: compiled kernels let others run."""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Lock, Thread

_TWO_FROM_BYTES = 32 << 20  # of a file: below it a second thread is hardly worth it


class Behind:
    """At most one piece of work at a time; with `threads` off it is done at once.

    One thread does all of it: to start one for each piece took a twentieth of the whole.
    """

    def __init__(self, *, threads: bool) -> None:
        self._threads = threads
        self._thread: Thread | None = None
        self._work: Callable[[], None] | None = None
        self._error: BaseException | None = None
        self._is_running = False
        self._begun = Lock()  # released when there is work
        self._ended = Lock()  # released when it is done
        self._begun.acquire()
        self._ended.acquire()

    def start(self, work: Callable[[], None]) -> None:
        """Begin it once what was begun before is done."""
        self.wait()
        if not self._threads:
            work()
            return
        if self._thread is None:
            self._thread = Thread(target=self._run, name="netlab follows", daemon=True)
            self._thread.start()
        self._work = work
        self._is_running = True
        self._begun.release()

    def wait(self) -> None:
        """Until what was begun is done; raises what it raised."""
        if self._is_running:
            self._ended.acquire()
            self._is_running = False
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def close(self) -> None:
        """Wait, and let the thread end."""
        try:
            self.wait()
        finally:
            if self._thread is not None:
                self._work = None
                self._begun.release()
                self._thread.join()
                self._thread = None

    def _run(self) -> None:
        while True:
            self._begun.acquire()
            work, self._work = self._work, None
            if work is None:
                return
            try:
                work()
            except BaseException as error:
                self._error = error
            self._ended.release()


def two_threads(size_bytes: int, machine: str) -> bool:
    """Whether a file of this size is read by two; NETLAB_THREADS=1 or =2 decides otherwise."""
    said = os.environ.get("NETLAB_THREADS", "")
    if machine != "native" or said == "1":
        return False
    return said == "2" or (size_bytes >= _TWO_FROM_BYTES and len(os.sched_getaffinity(0)) > 1)
