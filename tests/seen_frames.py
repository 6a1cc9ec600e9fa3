"""Compares what a recording says that a host saw with what a packet socket saw there.

The wire stamps a frame that leaves after the host's own stamp, one that comes before it. Between
the two each processor has a queue of its own, so frames that two of them send at one moment may
leave in another order than the one in which a tcpdump saw them: 1.5 ms apart, once in some hundred
conversations. Beyond that the order is that of the stamps, which is what is compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

FAR_NS = 100_000_000  # between the two stamps, on a machine that is busy with other things


class Seen(NamedTuple):
    """A frame on a host."""

    time_ns: int
    left: bool  # it sent it; else it came
    data: bytes


def differences(there: Iterable[Seen], said: Iterable[Seen]) -> list[str]:
    """What was seen there and is not said, or not so; the n-th of equal frames is the n-th."""
    waiting: dict[tuple[bool, bytes], list[Seen]] = defaultdict(list)
    for frame in there:
        waiting[frame.left, frame.data].append(frame)
    wrong = []
    for frame in said:
        equal = waiting[frame.left, frame.data]
        if not equal:
            wrong.append(f"said, and not seen there: {frame}")
            continue
        apart_ns = frame.time_ns - equal.pop(0).time_ns
        if not 0 <= (apart_ns if frame.left else -apart_ns) <= FAR_NS:
            wrong.append(f"{apart_ns} ns later than it was seen there: {frame}")
    wrong += [f"seen there, and not said: {frame}" for left in waiting.values() for frame in left]
    return wrong
