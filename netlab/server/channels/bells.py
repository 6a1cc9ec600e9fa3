"""An event counter as the bell of something that has no descriptor to poll (man 2 eventfd).

One bell for each way. The sender rings it for what it puts: it is readable. A sender that finds no
room fills the counter up: then the bell is no longer writable, until the receiver silences it,
which it does before it takes. So a poller waits for data with EPOLLIN and for room with EPOLLOUT,
as at a socket. Nothing is missed: who fills the bell tries once more, and a full bell is readable,
so a receiver comes and silences it.
"""

from __future__ import annotations

import os

from netlab.model.probe import Probe

_FULL = (1 << 64) - 2
_BYTES = 8


class Bell:
    """One eventfd that both ends of a channel hold; `identity` is a number that no other has."""

    def __init__(self, fd: int, identity: int, probe: Probe) -> None:
        self.fd = fd
        self._notes = probe.notes("eventfd", identity, fd)

    def ring(self) -> None:
        """There is something to take."""
        try:
            self._notes.call("eventfd_write", _BYTES, self._write_one)
        except BlockingIOError:  # full: it is readable anyway
            return

    def silence(self) -> None:
        """All that is there is about to be taken."""
        try:
            self._notes.call("eventfd_read", _BYTES, self._read)
        except BlockingIOError:
            return

    def fill(self) -> None:
        """There is no room: not writable before it is silenced."""
        self.silence()
        try:
            self._notes.call("eventfd_write", _BYTES, self._write_full)
        except BlockingIOError:  # rung meanwhile: the sender tries once more
            return

    def close(self) -> None:
        """Let go of the descriptor; once."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            self._notes.call("close", None, lambda: os.close(fd))

    def _write_one(self) -> int:
        os.eventfd_write(self.fd, 1)
        return _BYTES

    def _write_full(self) -> int:
        os.eventfd_write(self.fd, _FULL)
        return _BYTES

    def _read(self) -> int:
        os.eventfd_read(self.fd)
        return _BYTES


def new_bell_fds() -> tuple[int, int]:
    """Two new event counters."""
    flags = os.EFD_CLOEXEC | os.EFD_NONBLOCK
    one = os.eventfd(0, flags)
    try:
        return one, os.eventfd(0, flags)
    except OSError:
        os.close(one)
        raise
