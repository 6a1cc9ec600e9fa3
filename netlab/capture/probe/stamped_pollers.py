"""Traced waits that do not report a stamped socket whose only error is stamps.

The kernel reports EPOLLERR for as long as the error queue holds anything, asked for or not. So what
a wait reports is looked at: stamps are read and written down, and a wait that has nothing else to
report goes on for the time that is left. All that is one call to the program and in the journal.

What follows from the kernel:
- EPOLLONESHOT: a report of stamps has disarmed the descriptor, so it is armed again.
- EPOLLET: the wake-up by a stamp tells anew all that holds, such as EPOLLOUT. Spurious edges are
  part of that interface (man 7 epoll), and so these stay.
- select has no errors: they make a socket readable and writable (man 2 select), and a program
  would block in its recv. What is stamped is asked for what holds once its stamps are read.
"""

from __future__ import annotations

import contextlib
import select
from collections.abc import Callable
from time import monotonic
from typing import Any

from netlab.capture.probe.journal import Journal
from netlab.capture.probe.pollers import Selected, TracedEpoll, TracedPoll, descriptor
from netlab.capture.probe.stamps import Stamps
from netlab.model.call import POLLERR, POLLHUP, POLLIN, POLLOUT

_READABLE, _WRITABLE = POLLIN | POLLHUP | POLLERR, POLLOUT | POLLERR
Ready = list[tuple[int, int]]


class StampedEpoll(TracedEpoll):
    """A TracedEpoll that knows stamps from errors."""

    def __init__(self, journal: Journal, stamps: Stamps) -> None:
        super().__init__(journal)
        self._stamps = stamps
        self._once: dict[int, int] = {}  # what descriptors with EPOLLONESHOT wait for

    def _ask(self, timeout: float | None, maxevents: int) -> Ready:
        rest = _Rest(timeout)
        while True:
            found = self._epoll.poll(rest.left, maxevents)
            real = _without_stamps(self._stamps, found)
            if self._once:
                self._arm_again({fd for fd, _ in found} - {fd for fd, _ in real})
            if real or not found or rest.is_over():
                return real

    def _control(self, op: str, target: Any, events: int | None, call: Callable[[], None]) -> None:
        super()._control(op, target, events, call)
        number = descriptor(target)
        if number is not None:
            self._once.pop(number, None)
            if events is not None and events & select.EPOLLONESHOT:
                self._once[number] = events

    def _arm_again(self, silent: set[int]) -> None:
        for fd in silent & self._once.keys():
            with contextlib.suppress(OSError):  # another thread has taken it out meanwhile
                self._epoll.modify(fd, self._once[fd])


class StampedPoll(TracedPoll):
    """A TracedPoll that knows stamps from errors."""

    def __init__(self, journal: Journal, stamps: Stamps) -> None:
        super().__init__(journal)
        self._stamps = stamps

    def _ask(self, timeout: float | None) -> Ready:
        rest = _Rest(timeout, 1000)
        while True:
            found = self._poll.poll(rest.left)
            real = _without_stamps(self._stamps, found)
            if real or not found or rest.is_over():
                return real


def stamped_select(stamps: Stamps) -> Callable[..., Selected]:
    """What stands in for select.select where some sockets are stamped."""
    return lambda *arguments: _select(stamps, *arguments)


def _select(stamps: Stamps, *arguments: Any) -> Selected:
    *asked, timeout = arguments
    rest = _Rest(timeout)
    while True:
        readers, writers, exceptional = select.select(asked[0], asked[1], asked[2], rest.left)
        real = (
            [item for item in readers if _holds(stamps, item, _READABLE)],
            [item for item in writers if _holds(stamps, item, _WRITABLE)],
            exceptional,
        )
        if any(real) or not (readers or writers) or rest.is_over():
            return real


def _holds(stamps: Stamps, item: Any, events: int) -> bool:
    number = descriptor(item)
    return (
        number is None
        or number not in stamps.on
        or bool(stamps.now(number, POLLIN | POLLOUT) & events)
    )


class _Rest:
    """What is left of a time-out, in its own unit; as it was given until time has passed."""

    def __init__(self, timeout: float | None, a_second: int = 1) -> None:
        self.left = timeout
        self._timeout = timeout
        self._a_second = a_second
        self._since_s = monotonic()

    def is_over(self) -> bool:
        """Whether nothing is left; to be asked after the first wait, which refuses nonsense."""
        timeout = self._timeout
        if timeout is None or timeout < 0:
            return False
        self.left = max(0.0, timeout - (monotonic() - self._since_s) * self._a_second)
        return self.left == 0


def _without_stamps(stamps: Stamps, found: Ready) -> Ready:
    real = []
    for fd, events in found:
        left = stamps.real(fd, events) if events & POLLERR else events
        if left:
            real.append((fd, left))
    return real
