"""A frame and what the wire noted of it -> how long it stood in the wire's queue, and who did.

A rate sends one frame after the other, in the order in which they came; whoever comes meanwhile
stands before it. A frame's arrival is its departure, its stand, its own length at the rate, the
delays that it met, and the wire's lateness: all but the stand are in the recording. Where a rule
leaves open how long it kept a frame (a jitter, a reorder), the least stand that fits is told.

What stands there is limited by the rate alone: with more room (a congestion window, a buffer), more
would stand there, and nothing arrive sooner. Knows no calls.
Read first: `lab.wire.pipe` and `lab.wire.rules`, whose words are read here.
"""

from __future__ import annotations

import re
from itertools import islice

from netlab.explain.causes import Cause, Certainty
from netlab.explain.moments import Holder, Moment
from netlab.explain.parts import Line
from netlab.model.records import dataclass
from netlab.model.tables import Packet

_WHERE = r"(?:[cs]>[cs] )?(?:conn \d+ )?"
_TIME = r"(\d+(?:\.\d+)?) ?(ns|us|ms|s)\b"
_RATE = re.compile(rf"\brate {_WHERE}(\d+(?:\.\d+)?) ?(gbit|mbit|kbit|bit)\b")
_TIMES = tuple(
    re.compile(before + _TIME) for before in (rf"\bdelay {_WHERE}", r"\bjitter ", r"\bby ")
)
_REORDER = re.compile(r"\breorder\b")
_UNITS_NS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_UNITS_BIT = {"bit": 1, "kbit": 1_000, "mbit": 1_000_000, "gbit": 1_000_000_000}
_NS_PER_S = 1_000_000_000
_MOST_LOOKED_AT = 64  # frames that were dropped in a row, since one stood in the queue


@dataclass(frozen=True, slots=True)
class Stand:
    """What the rates of the wire did to one frame."""

    rate: str  # the rules, as written; empty: it met none
    queued_ns: int = 0  # before its first bit was sent, at least
    sent_ns: int = 0  # from its first bit to its last


_NONE = Stand("")


def stand_of(packet: Packet) -> Stand:
    """How long a frame stood before the rates of the wire, and was being sent at them."""
    arrival = packet._arrival
    if arrival is None or packet.arrived_ns is None:
        return _NONE
    rates = list(_RATE.finditer(arrival.rule))
    if not rates:
        return _NONE
    rule = "; ".join(rate[0] for rate in rates)
    if _REORDER.search(arrival.rule):
        return Stand(rule)
    bits = packet.origlen_bytes * 8 * _NS_PER_S
    sent_ns = sum(-int(-bits // (float(rate[1]) * _UNITS_BIT[rate[2]])) for rate in rates)
    delays = (found for form in _TIMES for found in form.findall(arrival.rule))
    delay_ns = sum(round(float(number) * _UNITS_NS[unit]) for number, unit in delays)
    through_ns = packet.arrived_ns - packet.time_ns - (arrival.late_ns or 0) - delay_ns
    if through_ns <= 0:
        return Stand(rule)
    return Stand(rule, max(through_ns - sent_ns, 0), min(sent_ns, through_ns))


def tell_stand(line: Line, packet: Packet) -> None:
    """What a frame was late by, of the time that is left until it came.

    It would have come so much earlier: who began to wait when it had its stand behind it waited
    for the queue no less.
    """
    stand = stand_of(packet)
    if not stand.rate or packet.arrived_ns is None:
        return
    frames = (packet.frame,)
    late_ns = min(stand.queued_ns + stand.sent_ns, packet.arrived_ns - line.at_ns)
    stop_ns = line.at_ns + late_ns
    line.until(
        min(line.at_ns + stand.queued_ns, stop_ns), Cause.WIRE_QUEUE, Certainty.OBSERVED, frames,
        (), f"because frame {packet.frame} stood in the queue of the wire ({stand.rate})",
    )  # fmt: skip
    line.until(stop_ns, Cause.WIRE_QUEUE, Certainty.OBSERVED, frames, (),
               f"because the wire sent frame {packet.frame} at its rate"
               f" ({stand.rate})")  # fmt: skip


def tell_standing(line: Line, holder: Holder, moment: Moment, what: str, sure: Certainty) -> None:
    """The part of a moment in which a frame of this sender stood in the wire's queue.

    `what` was full of it, as sure as `sure`. Frames stand in order, so the last that left before is
    the last to stand; one that was dropped does not.
    """
    sent = islice(holder.sender.departures_back_from(moment.since_ns), _MOST_LOOKED_AT)
    packet = next((row.packet for row in sent if row.packet.arrived_ns is not None), None)
    if packet is None:
        return
    stand = stand_of(packet)
    line.until(
        min(packet.time_ns + stand.queued_ns, moment.until_ns), Cause.WIRE_QUEUE, sure,
        (packet.frame,), holder.calls,
        f"because {what} was full of what stood in the queue of the wire ({stand.rate})",
    )  # fmt: skip
