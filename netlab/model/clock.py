"""Time as netlab keeps it: integer nanoseconds since the Unix epoch, on CLOCK_REALTIME.

That is the clock the kernel stamps packets with, so calls and packets compare without conversion.
It can be stepped; a pair of both clocks each second lets a reader find the steps.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Protocol

from netlab.model.records import dataclass


class Clock(Protocol):
    """Something that tells the time; tests inject their own."""

    def realtime_ns(self) -> int:
        """Nanoseconds since the epoch (CLOCK_REALTIME)."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds that never step (CLOCK_MONOTONIC)."""
        ...


@dataclass(frozen=True, slots=True)
class ClockPair:
    """Both clocks read one after the other, at most a few microseconds apart."""

    realtime_ns: int
    monotonic_ns: int


def clock_steps(pairs: list[ClockPair], tolerance_ns: int = 1_000_000) -> list[tuple[int, int]]:
    """Steps of the real-time clock: (realtime_ns after the step, size of the step in ns).

    NTP's slewing moves the difference by at most 500 us a second; more than `tolerance_ns` between
    two pairs a second apart is a step.
    """
    steps = []
    for before, after in pairwise(pairs):
        moved = (after.realtime_ns - after.monotonic_ns) - (
            before.realtime_ns - before.monotonic_ns
        )
        if abs(moved) > tolerance_ns:
            steps.append((after.realtime_ns, moved))
    return steps
