"""A pipe that carries nothing: its hang-up says that the process at the other end is gone.

For kinds of channel whose own descriptors do not tell (message queues, datagram sockets, shared
memory). One end of the channel holds the reading end, the other the writing end; when the last
process that holds one of them is gone, the kernel hangs up the other (man 2 poll, POLLHUP and
POLLERR). Not part of the traffic, hence not recorded.
"""

from __future__ import annotations

import os
import select

from netlab.model.probe import Probe
from netlab.server.channels.channel import HUNG_UP


class Lifeline:
    """One end, and a descriptor that is readable when `data_fd` is, or when the line is cut."""

    def __init__(self, fd: int, data_fd: int, probe: Probe) -> None:
        self.fd = fd
        self._probe = probe
        self._epoll = select.epoll()
        self._epoll.register(fd, select.EPOLLHUP)
        self._epoll.register(data_fd, select.EPOLLIN)
        probe.stand_in(self._epoll.fileno(), data_fd)
        self._poll = select.poll()
        self._poll.register(fd, 0)

    def fileno(self) -> int:
        """Readable: `data_fd` is, or the line is cut."""
        return self._epoll.fileno()

    @property
    def cut(self) -> bool:
        """Whether nobody holds the other end any more."""
        return any(events & HUNG_UP for _, events in self._poll.poll(0))

    def close(self) -> None:
        """Let go of this end."""
        if not self._epoll.closed:
            self._probe.stand_in(self._epoll.fileno(), -1)
            self._epoll.close()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def lifeline_ends() -> tuple[int, int]:
    """The two descriptors of a new line."""
    return os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
