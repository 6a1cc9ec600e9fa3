"""A process that outlives its maker for a moment, to remove the maker's trace instances.

An instance is removed only by root and only once nobody has a file of it open. Its maker may drop
root, or be killed; so before either, a guardian is forked off that waits for the end of its maker
(or for the word) and removes them then. It is a child of init, not of the maker: whoever waits for
children does not meet it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from netlab.capture.kernel.instance import remove

_TRIES, _BETWEEN_S = 1200, 0.05  # children of the maker may hold files of it for a moment
_DONE_WITHIN_S = 5.0


class Guardian:
    """Removes `paths` when told, or when this process and all its forks are gone."""

    def __init__(self, paths: Sequence[Path], keep: Sequence[int]) -> None:
        """`keep`: descriptors that the paths need."""
        told, self._tell = os.pipe2(os.O_CLOEXEC)
        self._done, done = os.pipe2(os.O_CLOEXEC)
        first = os.fork()
        if first == 0:
            _be_guardian(paths, {told, done, *keep}, told)
        os.close(told)
        os.close(done)
        os.waitpid(first, 0)

    def end(self) -> None:
        """Let it remove them now, and wait until that is done. A second time it does nothing."""
        if self._tell < 0:
            return
        os.close(self._tell)
        self._tell = -1
        os.set_blocking(self._done, False)
        until_s = time.monotonic() + _DONE_WITHIN_S
        import select

        poller = select.poll()
        poller.register(self._done, select.POLLIN)
        while time.monotonic() < until_s and not poller.poll(_DONE_WITHIN_S * 1000):
            pass
        os.close(self._done)


def _be_guardian(paths: Sequence[Path], keep: set[int], told: int) -> NoReturn:
    try:
        if os.fork():
            os._exit(0)
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        _close_all_but(keep)
        while os.read(told, 1):
            pass
        left = list(paths)
        for _ in range(_TRIES):
            left = [path for path in left if not _removed(path)]
            if not left:
                break
            time.sleep(_BETWEEN_S)
    finally:
        os._exit(0)


def _removed(path: Path) -> bool:
    with suppress(OSError):
        return remove(path)
    return True  # it will not get better


def _close_all_but(keep: set[int]) -> None:
    at = 0
    for fd in sorted(keep):
        os.closerange(at, fd)
        at = fd + 1
    os.closerange(at, os.sysconf("SC_OPEN_MAX"))
