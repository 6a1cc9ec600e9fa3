"""The event loop: waits on one epoll descriptor and calls who owns the descriptor that is ready.

Level-triggered, one thread. It knows descriptors, events, alarms and stop; not sockets. Read first:
man 7 epoll.

Two things about signals follow from how Python runs handlers (between bytecodes, after the C call
returned): epoll.poll restarts by itself after EINTR, so a handler that sets a flag is seen only
when something else becomes ready. So the wake-up descriptor (signal.set_wakeup_fd) stands in the
epoll set, and the loop looks at its flag after each wait.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from types import FrameType, TracebackType

from netlab.model.probe import Probe

READ = select.EPOLLIN | select.EPOLLRDHUP
WRITE = select.EPOLLOUT
HUNG = select.EPOLLERR | select.EPOLLHUP

Handler = Callable[[int], None]  # is given the EPOLL* bits


class Reactor:
    """Registers descriptors with their handlers and runs them."""

    def __init__(self, probe: Probe) -> None:
        self._epoll = probe.epoll()
        self._handlers: dict[int, Handler] = {}
        self._alarms: list[tuple[float, int, Callable[[], None]]] = []
        self._alarm_count = 0
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.register(self._wake_read, select.EPOLLIN, self._woken)
        self.stopping = False
        self._on_stop: Callable[[], None] | None = None

    def register(self, descriptor: int, events: int, handler: Handler) -> None:
        """Call `handler` with the ready bits whenever one of `events` holds."""
        self._epoll.register(descriptor, events)
        self._handlers[descriptor] = handler

    def modify(self, descriptor: int, events: int) -> None:
        """Wait for other events; 0 leaves only errors and hang-ups, which epoll always reports."""
        self._epoll.modify(descriptor, events)

    def unregister(self, descriptor: int) -> None:
        """Forget a descriptor. Do it before closing."""
        del self._handlers[descriptor]
        self._epoll.unregister(descriptor)

    def call_later(self, delay_s: float, action: Callable[[], None]) -> None:
        """Run `action` once, not before `delay_s` seconds from now."""
        self._alarm_count += 1  # keeps alarms of one moment in order, and actions uncompared
        heappush(self._alarms, (time.monotonic() + delay_s, self._alarm_count, action))

    def stop_on(self, signals: Iterable[int], on_stop: Callable[[], None]) -> None:
        """Let these signals call `on_stop` from the loop (not from the handler), once."""
        self._on_stop = on_stop
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in signals:
            signal.signal(number, self._note_signal)

    def run(self) -> None:
        """Serve until nothing but the wake-up descriptor is registered."""
        while len(self._handlers) > 1:
            for descriptor, events in self._epoll.poll(self._timeout_s()):
                handler = self._handlers.get(descriptor)
                if handler is not None:  # one handler may have closed another's descriptor
                    handler(events)
            while self._alarms and self._alarms[0][0] <= time.monotonic():
                heappop(self._alarms)[2]()

    def close(self) -> None:
        """Close the epoll descriptor and the wake-up pipe."""
        if self._on_stop is not None:
            signal.set_wakeup_fd(-1)
        self._epoll.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def __enter__(self) -> Reactor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _timeout_s(self) -> float:
        if not self._alarms:
            return -1.0
        return max(0.0, self._alarms[0][0] - time.monotonic())

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True

    def _woken(self, events: int) -> None:
        os.read(self._wake_read, 4096)
        if self.stopping and self._on_stop is not None:
            on_stop, self._on_stop = self._on_stop, None
            signal.set_wakeup_fd(-1)
            on_stop()
