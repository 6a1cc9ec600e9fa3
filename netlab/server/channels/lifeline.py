"""A pipe that carries nothing: its hang-up says that the process at the other end is gone.

For kinds of channel whose own descriptors do not tell (message queues, datagram sockets, shared
memory). One end of the channel holds the reading end, the other the writing end; when the last
process that holds one of them is gone, the kernel hangs up the other (man 2 poll, POLLHUP and
POLLERR). Not part of the traffic, hence not recorded.
"""

from __future__ import annotations

import os
import select
from collections.abc import Iterable

from netlab.server.channels.channel import HUNG_UP


class Lifeline:
    """One end, and a descriptor that is readable when one of the others is or the line is cut."""

    def __init__(self, fd: int, readable: Iterable[int]) -> None:
        self.fd = fd
        self._epoll = select.epoll()
        self._epoll.register(fd, select.EPOLLHUP)
        for other in readable:
            self._epoll.register(other, select.EPOLLIN)
        self._poll = select.poll()
        self._poll.register(fd, 0)

    def fileno(self) -> int:
        """Readable: one of the descriptors is, or the line is cut."""
        return self._epoll.fileno()

    @property
    def cut(self) -> bool:
        """Whether nobody holds the other end any more."""
        return any(events & HUNG_UP for _, events in self._poll.poll(0))

    def close(self) -> None:
        """Let go of this end."""
        self._epoll.close()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def lifeline_ends() -> tuple[int, int]:
    """The two descriptors of a new line."""
    return os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
