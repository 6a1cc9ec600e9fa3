"""The event loop: waits for descriptors and moments, and calls whom they concern.

One thread. It knows descriptors, events, timers, signals and work from other threads; not sockets,
and nothing of what its handlers do. Read first: man 7 epoll, pollers.py.

One turn: wait; the handlers of what is ready; those who asked to be called `again`; the timers that
are due; what was deferred. A handler may take away any descriptor, its own as well. Since a closed
descriptor's number is soon given to another, a handler must bear being called for nothing.

Two things about signals follow from how Python runs handlers (between bytecodes, after the C call
returned): epoll.poll restarts by itself after EINTR, so a handler that sets a flag is seen only
when something else becomes ready. So the wake-up descriptor (signal.set_wakeup_fd), to which Python
writes each signal's number, stands in the set, and the loop acts on the numbers that it reads.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
from _thread import get_ident
from collections import deque
from collections.abc import Callable
from time import monotonic
from types import FrameType, TracebackType
from typing import Any

from netlab.model.probe import Probe
from netlab.server.loop.pollers import HUNG as HUNG
from netlab.server.loop.pollers import READ as READ
from netlab.server.loop.pollers import WRITE as WRITE
from netlab.server.loop.pollers import poller_for
from netlab.server.loop.timers import TimerHeap

Handler = Callable[[int], None]  # is given the EPOLL* bits
Action = Callable[[], object]

_POSTED = b"\0"  # what `post` writes into the wake-up pipe: no signal has this number
LONGEST_WAIT_S = 1_000_000.0  # poll and epoll_wait take an int of milliseconds
_PIPE_BYTES = 1 << 16  # as much as a pipe holds: one read empties it


class Reactor:
    """Registers descriptors with their handlers and runs them until `stop`.

    `now_s` is the monotonic moment of the last wake-up, so that handlers need not ask for it.
    """

    def __init__(self, probe: Probe, poller: str = "epoll") -> None:
        self.poller = poller_for(poller, probe)
        self.edge = self.poller.edge
        self.now_s = monotonic()
        self._handlers: dict[int, Handler] = {}
        self._timers = TimerHeap()
        self._due_s = math.inf  # no timer before it
        self._deferred: deque[Action] = deque()
        self._once_more: list[tuple[int, int]] = []
        self._posted: deque[Action] = deque()
        self._on_signal: dict[int, Action] = {}
        self._former: dict[int, Any] = {}  # signal handlers to give back
        self.last_signal = 0  # that was acted on, but for those of children
        self._former_wakeup = -1
        self._running = False
        self._thread = get_ident()
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.register(self._wake_read, select.EPOLLIN, self._woken)

    # -- descriptors -----------------------------------------------------------------------------

    def register(self, descriptor: int, events: int, handler: Handler) -> None:
        """Call `handler` with the ready bits whenever one of `events` holds."""
        self.poller.register(descriptor, events)
        self._handlers[descriptor] = handler

    def modify(self, descriptor: int, events: int) -> None:
        """Wait for other events; errors and hang-ups are reported in any case."""
        self.poller.modify(descriptor, events)

    def unregister(self, descriptor: int) -> None:
        """Forget a descriptor. Do it before closing."""
        del self._handlers[descriptor]
        self.poller.unregister(descriptor)

    def again(self, descriptor: int, events: int) -> None:
        """Call the descriptor's handler once more in the next turn, without asking the kernel.

        For who stops before the end, so that others have their turn: an edge is told only once.
        """
        self._once_more.append((descriptor, events))

    # -- moments and work, from any thread --------------------------------------------------------

    def after(self, delay_s: float, action: Action) -> int:
        """Call once, not before `delay_s` seconds from now."""
        timer = self._timers.after(delay_s, action)
        self._due_by(monotonic() + delay_s)
        return timer

    def tick(self, interval_s: float, action: Action) -> int:
        """Call every `interval_s` seconds until cleared."""
        timer = self._timers.tick(interval_s, action)
        self._due_by(monotonic() + interval_s)
        return timer

    def clear(self, timer: int) -> bool:
        """Let a timer not run (again); False when there is no such timer any more."""
        if get_ident() == self._thread:
            return self._timers.clear(timer)
        self.post(lambda: self._timers.clear(timer))
        return timer in self._timers

    def defer(self, action: Action) -> None:
        """Call at the end of this turn, when no handler is under way."""
        self._deferred.append(action)

    def post(self, action: Action) -> None:
        """Call from the loop, soon. Any thread may ask for it."""
        self._posted.append(action)
        if self._wake_write >= 0:
            with contextlib.suppress(BlockingIOError):  # a full pipe wakes as well
                os.write(self._wake_write, _POSTED)

    def on_signal(self, number: int, action: Action) -> None:
        """Let a signal call `action` from the loop, as often as it comes. Main thread only."""
        if not self._on_signal:
            self._former_wakeup = signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        self._on_signal[number] = action
        former = signal.signal(number, _only_wake)
        self._former.setdefault(number, former)

    def give_back_signals(self) -> None:
        """Let the handlers be those that were there before."""
        if self._on_signal:
            for number, former in self._former.items():
                signal.signal(number, former)
            signal.set_wakeup_fd(self._former_wakeup)
            self._on_signal.clear()
            self._former.clear()

    # -- the loop --------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until `stop`."""
        wait, handler_of, deferred = self.poller.wait, self._handlers.get, self._deferred
        self._running = True
        self._thread = get_ident()
        while True:
            if deferred:
                self.run_deferred()
            if not self._running:
                return
            if self._once_more:
                ready = [*wait(0), *self._once_more]
                self._once_more.clear()
            elif self._due_s == math.inf:
                ready = wait(-1)
            else:
                ready = wait(min(max(0.0, self._due_s - monotonic()), LONGEST_WAIT_S))
            self.now_s = monotonic()
            for descriptor, events in ready:
                handler = handler_of(descriptor)
                if handler is not None:  # else an earlier handler took it away
                    handler(events)
            if self._due_s <= self.now_s:
                self._run_timers()

    def run_deferred(self) -> None:
        """Call what was deferred, and what that defers; outside `run` to bring things to an end."""
        deferred = self._deferred
        while deferred:
            deferred.popleft()()

    def stop(self) -> None:
        """Let `run` return after this turn."""
        self._running = False

    def close(self) -> None:
        """Give back the signals, close the poller and the wake-up pipe."""
        self.give_back_signals()
        self.poller.close()
        os.close(self._wake_read)
        wake_write, self._wake_write = self._wake_write, -1
        os.close(wake_write)

    def __enter__(self) -> Reactor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _run_timers(self) -> None:
        try:
            self._timers.run_due()
        finally:
            self._look_at_timers()

    def _look_at_timers(self) -> None:
        now_s = monotonic()
        next_s = self._timers.next_s(now_s)
        self._due_s = math.inf if next_s is None else now_s + next_s

    def _due_by(self, moment_s: float) -> None:
        if get_ident() == self._thread:
            self._due_s = min(self._due_s, moment_s)
        else:  # the loop sleeps, and knows nothing of it
            self.post(self._look_at_timers)

    def _woken(self, events: int) -> None:
        """Read what woke us, then act: a signal that comes meanwhile leaves its byte behind."""
        try:
            numbers = os.read(self._wake_read, _PIPE_BYTES)
        except BlockingIOError:  # called once more, for nothing
            return
        while self._posted:
            self._posted.popleft()()
        for number in numbers:
            action = self._on_signal.get(number)
            if action is not None:
                if number != signal.SIGCHLD:
                    self.last_signal = number
                action()


def _only_wake(number: int, frame: FrameType | None) -> None:
    """Python wrote the number into the wake-up pipe already."""
