"""Ctrl-C while recording: the signal is noted, and the session's loop stops in order.

A KeyboardInterrupt could strike anywhere, also between the two halves of a block that is being
written. Read man 7 signal.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from netlab.model.errors import NetlabError

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SI_KERNEL = 0x80  # asm-generic/siginfo.h: the terminal's driver
IMPATIENT = 2  # the second signal: kill what does not stop
OUT_OF_PATIENCE = 3  # the third: leave at once


class Interruptions:
    """While entered, counts the signals that ask us to end; idle outside the main thread."""

    def __init__(self) -> None:
        self.count = 0
        self.first: int | None = None
        self._before: dict[int, Callable[[int, FrameType | None], Any] | int | None] = {}

    def __enter__(self) -> Interruptions:
        if threading.current_thread() is threading.main_thread():
            for number in _ENDING:
                if signal.getsignal(number) is not signal.SIG_IGN:  # nohup stays nohup
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    @contextmanager
    def while_starting(self) -> Iterator[None]:
        """Ctrl-C may reach a child before it has left our group: then its death is no failure."""
        try:
            yield
        except NetlabError:
            if self.count:
                raise self.as_error() from None
            raise

    def as_error(self) -> KeyboardInterrupt:
        """What to raise for them: with the signal's number, of which the exit code is made."""
        return KeyboardInterrupt(*(() if self.first is None else (int(self.first),)))

    def forgive(self) -> None:
        """Count anew: what came was no request to stop in the middle."""
        self.count = 0
        self.first = None

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self.first is None:
            self.first = number
        if self.count >= OUT_OF_PATIENCE:
            raise self.as_error()


class HeldSignals:
    """While entered, signals that would end us wait in the kernel until we `take` them.

    Each is told with who sent it: what the terminal sent (Ctrl-C) went to all of its foreground
    group, so to our children, too. Of a process with one thread: another would take them, and end
    it. Read man 2 sigaction (si_code), man 2 sigtimedwait.
    """

    HELD = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT})

    def __enter__(self) -> HeldSignals:
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, self.HELD)
        return self

    def __exit__(self, *exception: object) -> None:
        self.take()  # they were meant for what is over now
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)

    def give_back(self) -> None:
        """In a child, before it becomes a program: signals are as they were before."""
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)

    def take(self) -> list[tuple[int, bool]]:
        """Those that came since the last time, and whether each came from the terminal."""
        found = []
        while (came := signal.sigtimedwait(self.HELD, 0)) is not None:
            found.append((came.si_signo, came.si_code == _SI_KERNEL))
        return found
