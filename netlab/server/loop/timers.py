"""Timers of one loop: (delay, function) to calls in order of their moments, from one heap.

It knows no clock but the one it is given and never waits: the loop asks `next_s` how long it may
sleep, and calls `run_due` when it is awake. Cancelled entries stay in the heap until their moment,
or until they are more than half of it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import count

from netlab.model.errors import UsageError

SHORTEST_TICK_S = 1e-6  # less would be lost in the clock's rounding
_SWEEP_FROM = 64  # below, a heap full of cancelled entries costs nothing worth a rebuild


@dataclass(slots=True)
class _Timer:
    due_s: float
    action: Callable[[], object]
    interval_s: float  # 0: once


class TimerHeap:
    """Runs functions once (`after`) or again and again (`tick`); ids are never used twice."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int]] = []  # (moment, id): equal moments keep their order
        self._timers: dict[int, _Timer] = {}
        self._ids = count(1)  # threads may add at the same time

    def __len__(self) -> int:
        """How many timers are alive."""
        return len(self._timers)

    def __contains__(self, timer_id: int) -> bool:
        """Whether the timer is alive."""
        return timer_id in self._timers

    def after(self, delay_s: float, action: Callable[[], object]) -> int:
        """Call once, not before `delay_s` seconds from now; the id is for `clear`."""
        if not 0 <= delay_s < math.inf:
            raise UsageError(
                f"a delay of {delay_s!r} seconds", "give a number of seconds, 0 or more"
            )
        return self._add(delay_s, action, 0.0)

    def tick(self, interval_s: float, action: Callable[[], object]) -> int:
        """Call every `interval_s` seconds until cleared; the beat keeps its phase.

        A loop that comes late calls once and goes on with the next beat that is still to come.
        """
        if not SHORTEST_TICK_S <= interval_s < math.inf:
            raise UsageError(
                f"an interval of {interval_s!r} seconds", f"give at least {SHORTEST_TICK_S} seconds"
            )
        return self._add(interval_s, action, interval_s)

    def clear(self, timer_id: int) -> bool:
        """Let it not run (again); False when there is no such timer any more."""
        if self._timers.pop(timer_id, None) is None:
            return False
        if len(self._heap) > _SWEEP_FROM and len(self._heap) > 2 * len(self._timers):
            self._heap = [(timer.due_s, number) for number, timer in self._timers.items()]
            heapify(self._heap)
        return True

    def next_s(self, now_s: float | None = None) -> float | None:
        """Seconds until something is due, 0.0 when it is already; None when there is nothing."""
        while self._heap and not self._is_alive(*self._heap[0]):
            heappop(self._heap)
        if not self._heap:
            return None
        return max(0.0, self._heap[0][0] - (self._clock() if now_s is None else now_s))

    def run_due(self, now_s: float | None = None) -> int:
        """Call what is due now, and say how many; what they add waits for the next time.

        When one raises, the exception passes, and those after it run the next time.
        """
        now_s = self._clock() if now_s is None else now_s
        batch = []
        while self._heap and self._heap[0][0] <= now_s:
            batch.append(heappop(self._heap))
        taken = ran = 0
        try:
            for moment_s, timer_id in batch:
                taken += 1
                if self._is_alive(moment_s, timer_id):  # an earlier one may have cleared it
                    ran += 1
                    self._run(timer_id, now_s)
        finally:
            for entry in batch[taken:]:
                heappush(self._heap, entry)
        return ran

    def _add(self, delay_s: float, action: Callable[[], object], interval_s: float) -> int:
        timer_id = next(self._ids)
        due_s = self._clock() + delay_s
        self._timers[timer_id] = _Timer(due_s, action, interval_s)
        heappush(self._heap, (due_s, timer_id))
        return timer_id

    def _run(self, timer_id: int, now_s: float) -> None:
        timer = self._timers[timer_id]
        if timer.interval_s:  # armed before the call, so that the call may clear it
            missed = max(0, math.floor((now_s - timer.due_s) / timer.interval_s))
            timer.due_s += (missed + 1) * timer.interval_s
            heappush(self._heap, (timer.due_s, timer_id))
        else:
            del self._timers[timer_id]
        timer.action()

    def _is_alive(self, moment_s: float, timer_id: int) -> bool:
        timer = self._timers.get(timer_id)
        return timer is not None and timer.due_s == moment_s
