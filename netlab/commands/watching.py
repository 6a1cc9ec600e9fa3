"""A progress bar on a terminal's stderr, for a verb that takes longer than a second.

A thread sleeps that second, looks at how far the work is ten times another, and draws; the work
only counts. Nothing is drawn into a pipe, nor once the answer has begun to be written.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO, TypeVar

from netlab.model.progress import SILENT, Progress

if TYPE_CHECKING:
    from netlab.capture.at_hand import AtHand

T = TypeVar("T")

_AFTER_S = 1.0
_EVERY_S = 0.1
_PARTS = 256  # of the rows: as often they are counted
_BAR = 24


@contextmanager
def watching() -> Iterator[Progress]:
    """Who hears how far the work within is."""
    if not sys.stderr.isatty() or os.environ.get("TERM", "") in ("", "dumb"):
        yield SILENT
        return
    from netlab.show.terminal import screen

    watch = Watch(sys.stderr)
    screen.before_writing(watch.stop)
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()
        screen.before_writing(None)


def settled(path: str) -> AtHand:
    """The capture at a path; one that is compressed or has no file is read, which may take long."""
    from netlab.capture.at_hand import AtHand

    file = AtHand(path)
    with watching() as progress:
        progress.step("reading")
        file.settle()
    return file


class Watch:
    """Draws how far work is, from a thread of its own."""

    def __init__(self, out: TextIO, after_s: float = _AFTER_S) -> None:
        self._out = out
        self._after_s = after_s
        self._what = ""
        self._done = 0
        self._total = 0
        self._begun_s = time.monotonic()
        self._drawn = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def step(self, what: str) -> None:
        """What begins now."""
        self._what, self._done, self._total = what, 0, 0

    def over(self, what: str, rows: Sequence[T]) -> Iterable[T]:
        """The rows, counted."""
        self._what, self._done, self._total = what, 0, len(rows)
        every = len(rows) // _PARTS + 1
        for number, row in enumerate(rows):
            if not number % every:
                self._done = number
            yield row
        self._done = self._total

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more, and leave the line clean; to be called once or more."""
        if self._over.is_set():
            return
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._drawn:
            with suppress(OSError, ValueError):
                self._out.write("\r\x1b[K")
                self._out.flush()

    def _run(self) -> None:
        wait_s = self._after_s
        while not self._over.wait(wait_s):
            wait_s = _EVERY_S
            try:
                self._out.write(f"\r{self.text(self._columns())}\x1b[K")
                self._out.flush()
            except (OSError, ValueError):  # nobody is there to see it
                return
            self._drawn = True

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._out.fileno()).columns or 80
        except (OSError, ValueError):
            return 80

    def text(self, columns: int) -> str:
        """What is drawn: `decoding  ████████░░░░░░░░  51 %  2.3 s`."""
        took = f"{time.monotonic() - self._begun_s:.1f} s"
        if not self._total:
            return f"{self._what or 'working'} …  {took}"[: columns - 1]
        share = min(self._done / self._total, 1.0)
        full = int(share * _BAR)
        bar = "█" * full + "░" * (_BAR - full)
        return f"{self._what:<22} {bar} {share:4.0%}  {took}"[: columns - 1]
