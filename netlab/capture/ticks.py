"""A clock that ticks through a descriptor (timerfd), for loops that wait with poll.

The kernel counts the ticks that nobody took, so whoever comes late learns how many were missed.
Python has it from 3.13 on (os.timerfd_create). Read man 2 timerfd_create.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
import time

from netlab.capture.probe.writer import libc

_NS = 1_000_000_000
_CLOEXEC_NONBLOCK = os.O_CLOEXEC | os.O_NONBLOCK  # TFD_CLOEXEC | TFD_NONBLOCK


class Ticks:
    """Ticks every `every_ns` from `start` on. `fileno()` is readable when one came."""

    def __init__(self, every_ns: int) -> None:
        self._fd = libc().timerfd_create(time.CLOCK_MONOTONIC, _CLOEXEC_NONBLOCK)
        if self._fd < 0:
            raise _error()
        self._every_ns = every_ns

    def fileno(self) -> int:
        """For poll."""
        fd: int = self._fd
        return fd

    def take(self) -> int:
        """How many ticks came since the last time."""
        try:
            return int.from_bytes(os.read(self._fd, 8), sys.byteorder)
        except BlockingIOError:
            return 0

    def start(self) -> None:
        """The first tick comes at once."""
        self._set(self._every_ns, 1)  # 0 would mean never

    def stop(self) -> None:
        """Tick no more, and be readable no more."""
        self._set(0, 0)
        self.take()

    def _set(self, every_ns: int, first_ns: int) -> None:
        wanted = struct.pack("@llll", *divmod(every_ns, _NS), *divmod(first_ns, _NS))
        if libc().timerfd_settime(self._fd, 0, ctypes.c_char_p(wanted), None):  # struct itimerspec
            error = _error()
            self.close()
            raise error

    def close(self) -> None:
        """Tick no more. A second time it does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
