"""Work on pieces in stages, by one thread or two: compiled kernels let others run meanwhile.

Each piece stays with the thread that took it, so that what one stage made of it is near when the
next one reads it; and each stage takes the pieces in their order, one at a time. (A thread for
each stage had to fetch every row from the other core: two took 0.9 times as long as one.)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from threading import Lock, Thread
from typing import Generic, TypeVar

_TWO_FROM_BYTES = 32 << 20  # of a file: below it a second thread is hardly worth it
T = TypeVar("T")


class Turns(Generic[T]):
    """`take` gives the next piece, None behind the last; each of `stages` does its part of one.

    Taking is stage 0. Who goes on to a stage waits for its lock before giving up that of the stage
    before it: so nobody overtakes, and no more pieces are under way than there are threads.
    """

    def __init__(
        self, take: Callable[[], T | None], stages: Sequence[Callable[[T], None]], *, threads: int
    ) -> None:
        self._take = take
        self._stages = stages
        self._threads = threads
        self._locks = [Lock() for _ in range(1 + len(stages))]
        self._is_over = False
        self._error: BaseException | None = None

    def run(self) -> None:
        """Until no piece is left. Raises the first error of any stage; others stop then."""
        if self._threads == 1:
            self._work()
        else:  # this one only waits: an interrupt finds it with no lock held
            others = [Thread(target=self._work, daemon=True) for _ in range(self._threads)]
            try:
                for one in others:
                    one.start()
                for one in others:
                    one.join()
            except BaseException as error:
                self._error = error
                for one in others:
                    if one.ident is not None:
                        one.join()
        if self._error is not None:
            raise self._error

    def settle(self, stage: int) -> None:
        """From within a stage: until nobody is in one behind it."""
        for lock in self._locks[stage + 1 :]:
            with lock:
                pass

    def _work(self) -> None:
        while self._one():
            pass

    def _one(self) -> bool:
        """Take one piece through; whether there was one."""
        held = self._locks[0]
        held.acquire()
        try:
            piece = None if self._is_over else self._take()
            if piece is None:
                self._is_over = True
                return False
            for lock, stage in zip(self._locks[1:], self._stages, strict=True):
                lock.acquire()
                held.release()
                held = lock
                if self._error is not None:
                    return False
                stage(piece)
        except BaseException as error:
            self._is_over = True
            self._error = self._error or error
            return False
        finally:
            held.release()
        return True


def threads_for(size_bytes: int, machine: str) -> int:
    """How many read a file of this size; NETLAB_THREADS=1 or =2 decides otherwise."""
    said = os.environ.get("NETLAB_THREADS", "")
    if machine != "native" or said == "1":
        return 1
    return 1 + (said == "2" or (size_bytes >= _TWO_FROM_BYTES and len(os.sched_getaffinity(0)) > 1))
