"""Samples of a socket's queues -> where its calls stand in a stream that had begun before them.

SIOCINQ is what came in order less what was read, SIOCOUTQ what was written less what was
acknowledged (man 7 tcp). With the frames each sample bounds the offset of the first byte that the
known calls moved; it is known where all samples together leave one value.
What had come in order by some time is at least what the receiver had acknowledged, at most what had
arrived. What had been written is at least what had left; at most what was acknowledged, and what
the sample says was not. So it does not matter at which end the frames were captured.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from netlab.correlate.anchors import is_anchored
from netlab.correlate.contents import Moved
from netlab.correlate.flows import RST
from netlab.correlate.queue_samples import Sample, inq_samples, outq_samples
from netlab.correlate.segments import Track
from netlab.correlate.unseen_reads import Edge, acknowledged_steps, arrived_steps
from netlab.model.call import CallRecord
from netlab.model.tables import Direction

_EVER_NS = 1 << 62


def place_by_queue(
    moved: Sequence[Moved],
    numbers: Sequence[int],
    track: Track,
    direction: Direction,
    calls: list[CallRecord],
    *,
    outbound: bool,
) -> int | None:
    """The offset of the first byte of `moved` in the stream; None: the samples leave it open.

    `numbers`: all calls on the socket, in order of entry.
    """
    if not is_anchored(track, direction):
        return None
    end = max((row.segment.stop for row in track.rows if row.direction is direction), default=0)
    if outbound:
        low = Edge(_left_steps(track, direction))
        high = Edge(_acknowledged_at(track, direction, end))
        samples = _before_end(list(outq_samples(numbers, calls)), track, direction)
    else:
        low = Edge(acknowledged_steps(track, direction, end))
        high = Edge(arrived_steps(track, direction))
        samples = list(inq_samples(numbers, calls))
    least, greatest = -_EVER_NS, _EVER_NS
    entries = [m.entered_ns for m in moved]
    returns = [m.bound_ns for m in moved]
    stops = [0, *(m.offset + m.count for m in moved)]
    for sample in samples:
        sure, perhaps = (
            stops[bisect_right(returns, sample.since_ns)],
            stops[bisect_right(entries, sample.until_ns)],
        )
        sign = 1 if outbound else -1
        at_least = low.at(sample.since_ns) + (0 if outbound else sign * sample.queued)
        at_most = high.at(sample.until_ns) + sign * sample.queued
        least = max(least, at_least - perhaps)
        greatest = min(greatest, at_most - sure)
    return least if least == greatest else None


def _before_end(samples: list[Sample], track: Track, direction: Direction) -> list[Sample]:
    """A FIN that waits counts as a byte: only what was asked before it could."""
    fins = [packet.time_ns for packet in track.halves[direction].fins]
    return [one for one in samples if not fins or one.until_ns < min(fins)]


def _left_steps(track: Track, direction: Direction) -> list[tuple[int, int]]:
    return [
        (row.packet.time_ns, row.segment.stop) for row in track.rows
        if row.direction is direction and row.segment.payload_len_bytes and not row.probe
        and not row.packet._made
    ]  # fmt: skip


def _acknowledged_at(track: Track, direction: Direction, end: int) -> list[tuple[int, int]]:
    """What the sender can have been told by when."""
    return [
        (row.packet.time_ns, min(row.segment.ack - 1, end)) for row in track.rows
        if row.direction is direction.reverse and row.segment.ack is not None
        and not row.packet._flags & RST
    ]  # fmt: skip
