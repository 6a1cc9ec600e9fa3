"""The timestamps of a direction's frames -> when TCP gave each to the queue of its host's link.

A frame is seen when it leaves that queue (dev_hard_start_xmit in Linux), which a token bucket or a
delay on the host itself can make long after. TCP writes its clock, in milliseconds since an unknown
moment, into the frame before that (TSval). That moment is bounded by the recording alone: no frame
is seen before it is given, and none is given before the call that wrote its last byte, before what
it acknowledges has come, or, with a FIN, before the stream was ended. Where the bounds meet to
a few milliseconds, they say of each frame since when it was in the queue.

Knows no causes. Nothing is said of a sender that paces: its TSval is when a frame shall leave
(tcp_update_skb_after_send). Read first: RFC 7323 3 and 5.4, __tcp_transmit_skb in Linux.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING

from netlab.correlate.arrivals import arrival_ns
from netlab.correlate.flows import FIN, RST, SYN
from netlab.correlate.segments import Row
from netlab.model.records import dataclass
from netlab.model.seqnum import seq_diff
from netlab.model.tables import Packet

if TYPE_CHECKING:
    from netlab.explain.sender import Sender

TICK_NS = 1_000_000  # TCP_TS_HZ of Linux: 1000
QUEUED_NS = 2_000_000  # what is seen so long after it was given, was in the queue ...
# ... if there is one: if a frame was later than a busy machine lets it be. Of 3,070 directions
# recorded on one, with none in front of the link, no frame was seen later than 3.0 ms.
_A_QUEUE_NS = 5_000_000
_LOOSEST_NS = 2_000_000  # between the bounds; what is known worse says nothing
_OUT_OF_ORDER_NS = 10_000_000  # a queue that lets later frames go first is not understood here

Bound = tuple[int, int]  # not before, not after
Packets = Mapping[int, Packet]


@dataclass(frozen=True, slots=True)
class Handing:
    """When frames were given to their host's queue, by frame. Empty: nothing was queued there."""

    given_ns: dict[int, int] = field(default_factory=dict)  # of those that were in it for long
    bounds: dict[int, Bound] = field(default_factory=dict)  # of all that bear a timestamp


def hand_over(rows: Sequence[Row], sender: Sender, other: Sender, packets: Packets) -> None:
    """Have a sender know when its frames were given; `other`: the one of the other direction."""

    def not_before(row: Row) -> int | None:
        segment = row.segment
        bounds_ns = []
        if segment.payload_len_bytes:
            write = sender.write_of(segment.stop - 1)
            if write is not None:
                bounds_ns.append(write.call.entered_ns)
        if row.packet._flags & FIN and sender.finished_ns is not None:
            bounds_ns.append(sender.finished_ns)
        ready = other.stream.ready.overlaps(segment.ack - 2, segment.ack - 1) if segment.ack else []
        if ready and ready[0][2] is not None:
            bounds_ns.append(arrival_ns(packets[ready[0][2]]))
        return max(bounds_ns, default=None)

    own = [row for row in rows if row.direction is sender.direction]
    handing = handing_of(own, not_before, sender.releases)
    if handing.given_ns:
        sender.hand(handing)


def handing_of(
    rows: Sequence[Row],
    not_before: Callable[[Row], int | None],
    releases: Callable[[], Sequence[int]],
) -> Handing:
    """When the frames of one direction, in order of departure, were given.

    `not_before`: before when a frame cannot have been; None: it is not known. `releases` tells
    when, in order, something happened that lets a sender go on: a frame left, an ACK came. Where
    one of them lies within a frame's bounds, the frame was given then.
    """
    stamped = [
        (row, row.packet._options.ts_val)
        for row in rows
        if row.packet._options is not None
        and row.packet._options.ts_val is not None
        and not row.packet._made
        and not row.packet._flags & (RST | SYN)
    ]
    if not stamped:
        return Handing()
    first = stamped[0][1]
    since = [row.packet.time_ns - seq_diff(value, first) * TICK_NS for row, value in stamped]
    if max(since) - min(since) <= _A_QUEUE_NS + TICK_NS:
        return Handing()
    ticks_ns = [
        row.packet.time_ns - offset for (row, _), offset in zip(stamped, since, strict=True)
    ]
    soonest = [not_before(row) for row, _ in stamped]
    latest_ns = min(since)  # of the moment at which the clock was what it is in the first frame
    known = [
        at_ns - tick_ns - TICK_NS
        for at_ns, tick_ns in zip(soonest, ticks_ns, strict=True) if at_ns is not None
    ]  # fmt: skip
    if not known or not 0 <= latest_ns - max(known) <= _LOOSEST_NS:
        return Handing()
    earliest_ns = max(known)
    found, releases_ns = Handing(), releases()
    longest_ns = last_ns = 0
    for (row, _), tick_ns, least_ns in zip(stamped, ticks_ns, soonest, strict=True):
        left_ns = row.packet.time_ns
        low_ns = max(tick_ns + earliest_ns, least_ns or 0)
        high_ns = min(tick_ns + latest_ns + TICK_NS, left_ns)
        if low_ns > high_ns:
            return Handing()
        found.bounds[row.segment.frame] = low_ns, high_ns
        longest_ns = max(longest_ns, left_ns - high_ns)
        given_ns = left_ns
        released_ns = _released(releases_ns, low_ns, high_ns) if low_ns != least_ns else None
        if left_ns - high_ns > QUEUED_NS:
            given_ns = low_ns if low_ns == least_ns else released_ns or high_ns
        elif released_ns is not None:
            given_ns = released_ns
        if last_ns - given_ns > _OUT_OF_ORDER_NS:
            return Handing()
        given_ns = max(given_ns, last_ns)
        if left_ns - given_ns > QUEUED_NS:
            found.given_ns[row.segment.frame] = given_ns
        last_ns = max(last_ns, min(given_ns, high_ns))
    return found if longest_ns > _A_QUEUE_NS else Handing()


def _released(releases_ns: Sequence[int], low_ns: int, high_ns: int) -> int | None:
    place = bisect_left(releases_ns, low_ns)
    within = place < len(releases_ns) and releases_ns[place] <= high_ns
    return releases_ns[place] if within else None
