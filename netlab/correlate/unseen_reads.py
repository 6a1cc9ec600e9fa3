"""Samples of a receive queue, against the stream -> the first call whose place they leave open.

SIOCINQ is rcv_nxt - copied_seq (man 7 tcp, Linux: tcp_inq; a FIN is not counted). What the receiver
had acknowledged is a lower bound of rcv_nxt, so acknowledged - queued is one of what was read; what
had arrived is an upper bound. Where the lower bound is more than all that the calls had taken, the
program reads by other means, too (os.read, an extension, another process). A sample whose upper
bound is what they had taken proves that until then it did not: all after the last of those is open.
With urgent bytes the sample means something else, and nothing is concluded.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from netlab.correlate.arrivals import arrival_ns, may_have_reached
from netlab.correlate.call_moves import moved_bytes, returned_ns
from netlab.correlate.call_ranges import CallRanges
from netlab.correlate.flows import RST, URG
from netlab.correlate.queue_samples import inq_samples
from netlab.correlate.segments import Row, Track
from netlab.correlate.streams import Stream
from netlab.model.call import CallRecord
from netlab.model.tables import Direction


def maybe_unseen_read(
    numbers: Sequence[int],
    placed: CallRanges,
    stream: Stream,
    track: Track,
    calls: list[CallRecord],
    *,
    ring_lost: bool,
) -> int | None:
    """The number from which on calls have no known place; None where nothing proves a doubt.

    `numbers`: the calls on the reading socket, in order of entry.
    """
    moving = [n for n in numbers if moved_bytes(calls[n - 1], outbound=False)]
    if moving and placed.ranges.get(moving[0], (0,))[0] != 0:
        return None  # the stream had begun before the first call that is known
    direction = stream.direction
    if any(r.direction is direction and r.packet._flags & URG for r in track.rows):
        return None
    entries = [calls[n - 1].entered_ns for n in moving]
    returns = list(accumulate((returned_ns(calls[n - 1]) for n in moving), max))
    taken = [0, *accumulate(moved_bytes(calls[n - 1], outbound=False) for n in moving)]
    acknowledged = Edge(acknowledged_steps(track, direction, stream.end))
    arrived = Edge(() if ring_lost else arrived_steps(track, direction))
    sure = 0  # how many of `moving` a sample vouched for
    # Stable: those of one thread stay in the order in which they were taken.
    for sample in sorted(inq_samples(numbers, calls), key=lambda sample: sample[:2]):
        begun = taken[bisect_right(entries, sample.until_ns)]
        if acknowledged.at(sample.since_ns) - sample.queued > begun:
            return moving[sure] if sure < len(moving) else len(calls) + 1
        ended = bisect_right(returns, sample.since_ns)
        if not ring_lost and arrived.at(sample.until_ns) - sample.queued <= taken[ended]:
            sure = max(sure, ended)
    return None


class Edge:
    """How far a stream was at a time, from (time_ns, offset) of each step."""

    def __init__(self, steps: Sequence[tuple[int, int]]) -> None:
        ordered = sorted(steps)
        self._times = [time_ns for time_ns, _ in ordered]
        self._offsets = [0, *accumulate((offset for _, offset in ordered), max)]

    def at(self, time_ns: int) -> int:
        return self._offsets[bisect_right(self._times, time_ns)]


def acknowledged_steps(track: Track, direction: Direction, end: int) -> list[tuple[int, int]]:
    """When the receiver said what it had; the number of a FIN is no byte."""
    return [
        (row.packet.time_ns, min(row.segment.ack - 1, end))
        for row in track.rows
        if row.direction is direction.reverse
        and row.segment.ack is not None
        and not row.packet._flags & RST
        and not row.packet._made
    ]


def arrived_steps(track: Track, direction: Direction) -> list[tuple[int, int]]:
    """When the receiver can have had how much."""

    def counts(row: Row) -> bool:
        return row.direction is direction and may_have_reached(row.packet) and not row.probe

    return [(arrival_ns(row.packet), row.segment.stop) for row in track.rows if counts(row)]
