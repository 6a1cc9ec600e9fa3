"""Two processes that send each other messages as fast as they can, by whatever carries them.

What is told is the best of many short rounds, so that other programs of a busy machine are not
measured with them.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from netlab.server.plain import PlainProbe
from netlab.studies.family import ended, forked
from netlab.studies.lines import Line, both_ends

ROUND_TRIPS, LEAST_ROUNDS = 10, 2
FLOW_BYTES, FLOW_MESSAGES, LEAST_MESSAGES = 1 << 19, 250, 4  # of a round in one direction
GO_ON, ENOUGH = 0, 1  # the first byte of a message
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Way:
    """What is raced: a kind of line, whether it waits or spins, on how many processors."""

    kind: str
    how: str
    cores: int
    size: int  # of a message, in bytes


def processors(how_many: int) -> list[int]:
    """The first ones that we may run on, one for each of two processes."""
    allowed = sorted(os.sched_getaffinity(0))
    return [allowed[0], allowed[how_many - 1]]


def round_trip_ns(way: Way, budget_ns: int) -> int:
    """One message there and back, the mean of the best round."""

    def ask(line: Line) -> int:
        message = bytes(way.size)

        def once() -> None:
            for _ in range(ROUND_TRIPS):
                line.put(message)
                line.get()

        return _best_ns(once, budget_ns) // ROUND_TRIPS

    return _raced(way, _echo, ask)


def preempted_trips(way: Way, trips: int) -> tuple[int, int]:
    """How long so many round trips took, the mean in ns; and how often the asker lost its processor
    in them without waiting for anything (man 2 getrusage, ru_nivcsw)."""

    def ask(line: Line) -> tuple[int, int]:
        message = bytes(way.size)
        begun_ns = time.monotonic_ns()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
        for _ in range(trips):
            line.put(message)
            line.get()
        off = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw - before
        return (time.monotonic_ns() - begun_ns) // trips, off

    return _raced(way, _echo, ask)


def flow_bytes_per_s(way: Way, budget_ns: int) -> int:
    """How many bytes a second go one way, in the best round."""
    count = max(LEAST_MESSAGES, min(FLOW_MESSAGES, FLOW_BYTES // way.size))

    def drain(line: Line) -> None:
        while True:
            for _ in range(count):
                if line.get()[0] == ENOUGH:
                    return
            line.put(bytes(way.size))

    def pour(line: Line) -> int:
        message = bytes(way.size)

        def once() -> None:
            for _ in range(count):
                line.put(message)
            line.get()

        return count * way.size * 1_000_000_000 // _best_ns(once, budget_ns)

    return _raced(way, drain, pour)


def _echo(line: Line) -> None:
    while (message := line.get())[0] != ENOUGH:
        line.put(message)


def _best_ns(once: Callable[[], None], budget_ns: int) -> int:
    until_ns = time.monotonic_ns() + budget_ns
    found: list[int] = []
    while len(found) < LEAST_ROUNDS or time.monotonic_ns() < until_ns:
        begun_ns = time.monotonic_ns()
        once()
        found.append(time.monotonic_ns() - begun_ns)
    return min(found)


def _raced(way: Way, other: Callable[[Line], None], ours: Callable[[Line], _T]) -> _T:
    """What `ours` returns, while a child does `other` at the other end, each on its processor."""
    ends = both_ends(way.kind, way.how, way.size)
    before = os.sched_getaffinity(0)
    mine, its = processors(way.cores)

    def child() -> None:
        os.sched_setaffinity(0, {its})
        other(ends.its)

    pid = forked(PlainProbe(), "child", child)
    ends.meet(pid)
    os.sched_setaffinity(0, {mine})
    try:
        found = ours(ends.ours)
        ends.ours.put(bytes([ENOUGH]) + bytes(way.size - 1))
        ended(pid)
    finally:
        os.sched_setaffinity(0, before)
        ends.close()
    return found
