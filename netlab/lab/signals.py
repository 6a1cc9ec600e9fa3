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
                raise KeyboardInterrupt from None
            raise

    def forgive(self) -> None:
        """Count anew: what came was no request to stop in the middle."""
        self.count = 0
        self.first = None

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self.first is None:
            self.first = number
        if self.count >= OUT_OF_PATIENCE:
            raise KeyboardInterrupt
