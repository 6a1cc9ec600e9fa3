"""Four ways to ask the kernel which descriptors are ready, made to look alike.

All speak the EPOLL* bits (poll's are the same numbers) and one method `wait(timeout_s)`: the pairs
(descriptor, bits) that are ready; -1 waits for ever. What differs stays visible: `edge` says that a
readiness is told once only, `descriptor_limit` that a descriptor may be too high. They know neither
handlers nor sockets. Read first: man 7 epoll, man 2 poll, man 2 select.

What follows from the kernel:
- An edge-triggered set tells each arrival once. `modify` arms it anew and tells at once what holds.
- A set that is shared by several processes wakes all of them for one connection; EPOLLEXCLUSIVE
  wakes one (or some). Such an entry cannot be modified, only taken out and put in again.
- select has an array of 1024 bits. In C a higher descriptor writes behind it; Python refuses.
- select's "exceptional" is urgent data, no error: an error makes a socket readable and writable,
  and the call that follows says what it was.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Protocol

from netlab.model.errors import UsageError
from netlab.model.probe import Probe

READ = select.EPOLLIN | select.EPOLLRDHUP
WRITE = select.EPOLLOUT
HUNG = select.EPOLLERR | select.EPOLLHUP
EXCLUSIVE = select.EPOLLEXCLUSIVE
SELECT_LIMIT = 1024  # FD_SETSIZE

Ready = list[tuple[int, int]]
Wait = Callable[[float], Ready]


class DescriptorTooHigh(UsageError):
    """select cannot wait for this descriptor."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(
            f"select waits for descriptors below {SELECT_LIMIT} only, this is {descriptor}",
            "use another poller (epoll, edge, poll), or max_connections below 1000",
        )


class Poller(Protocol):
    """A set of descriptors and the events awaited on each."""

    kind: str
    edge: bool
    descriptor_limit: int  # descriptors from here on are refused; 0: none are
    wait: Wait

    def register(self, descriptor: int, events: int) -> None: ...
    def modify(self, descriptor: int, events: int) -> None: ...
    def unregister(self, descriptor: int) -> None: ...
    def close(self) -> None: ...


class EpollPoller:
    """epoll, level-triggered: what is ready is told at every wait."""

    kind = "epoll"
    edge = False
    descriptor_limit = 0
    _always = 0

    def __init__(self, probe: Probe) -> None:
        self._epoll = probe.epoll()
        self.wait: Wait = self._epoll.poll

    def register(self, descriptor: int, events: int) -> None:
        """Await `events`; errors and hang-ups are told in any case."""
        self._epoll.register(descriptor, events | self._always)

    def modify(self, descriptor: int, events: int) -> None:
        """Await other events."""
        self._epoll.modify(descriptor, events | self._always)

    def unregister(self, descriptor: int) -> None:
        """Await nothing; do it before closing the descriptor."""
        self._epoll.unregister(descriptor)

    def close(self) -> None:
        self._epoll.close()


class EdgePoller(EpollPoller):
    """epoll, edge-triggered: each change is told once, so read until there is nothing more."""

    kind = "edge"
    edge = True
    _always = select.EPOLLET


class PollPoller:
    """poll: the whole list goes into the kernel and back at every wait."""

    kind = "poll"
    edge = False
    descriptor_limit = 0

    def __init__(self, probe: Probe) -> None:
        self._poll = probe.poll()
        self.wait: Wait = self._waited

    def _waited(self, timeout_s: float) -> Ready:
        ready: Ready = self._poll.poll(-1 if timeout_s < 0 else timeout_s * 1000)
        return ready

    def register(self, descriptor: int, events: int) -> None:
        """Await `events`; errors and hang-ups are told in any case."""
        self._poll.register(descriptor, events & ~EXCLUSIVE)

    def modify(self, descriptor: int, events: int) -> None:
        """Await other events."""
        self._poll.modify(descriptor, events)

    def unregister(self, descriptor: int) -> None:
        """Await nothing."""
        self._poll.unregister(descriptor)

    def close(self) -> None:
        """A poll list needs no closing."""


class SelectPoller:
    """select: bit arrays of 1024 descriptors go into the kernel and back at every wait."""

    kind = "select"
    edge = False
    descriptor_limit = SELECT_LIMIT

    def __init__(self, probe: Probe) -> None:
        self._select = probe.select
        self._readers: dict[int, None] = {}  # in order of registration
        self._writers: dict[int, None] = {}
        self.wait: Wait = self._waited

    def _waited(self, timeout_s: float) -> Ready:
        readable, writable, _ = self._select(
            list(self._readers), list(self._writers), [], None if timeout_s < 0 else timeout_s
        )
        ready = dict.fromkeys(readable, select.EPOLLIN)
        for descriptor in writable:
            ready[descriptor] = ready.get(descriptor, 0) | select.EPOLLOUT
        return list(ready.items())

    def register(self, descriptor: int, events: int) -> None:
        """Await `events`. Raises DescriptorTooHigh from 1024 on."""
        if descriptor >= SELECT_LIMIT:
            raise DescriptorTooHigh(descriptor)
        self.modify(descriptor, events)

    def modify(self, descriptor: int, events: int) -> None:
        """Await other events."""
        for bit, awaited in ((select.EPOLLIN, self._readers), (select.EPOLLOUT, self._writers)):
            if events & bit:
                awaited[descriptor] = None
            else:
                awaited.pop(descriptor, None)

    def unregister(self, descriptor: int) -> None:
        """Await nothing."""
        self.modify(descriptor, 0)

    def close(self) -> None:
        """A select needs no closing."""


POLLERS: dict[str, Callable[[Probe], Poller]] = {
    "epoll": EpollPoller,
    "edge": EdgePoller,
    "poll": PollPoller,
    "select": SelectPoller,
}


def poller_for(kind: str, probe: Probe) -> Poller:
    """The poller of that name. Raises UsageError for a name that is none."""
    try:
        make = POLLERS[kind]
    except KeyError:
        raise UsageError(f"poller={kind!r} is not known", f"one of {', '.join(POLLERS)}") from None
    return make(probe)
