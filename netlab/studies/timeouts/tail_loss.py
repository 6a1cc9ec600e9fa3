"""The last segment is lost: nothing comes behind it that could tell."""

from __future__ import annotations

from netlab.studies.parts import MS, RTT, delay, timer_room
from netlab.studies.quantity import Kind
from netlab.studies.study import Expect, Params, Study, Topic
from netlab.studies.timeouts.rto_backoff import WARM_UP, client, copies_ns, gap_ns, moment, server


def probe_after_ns(p: Params) -> int:
    """Two round trips, and 200 ms since the receiver may delay its ACK of a lone segment."""
    return 2 * p.rtt + 200 * MS


STUDY = Study(
    name="tail-loss",
    topic=Topic.TIMEOUTS,
    question="The last segment of a message is lost. What tells the sender, if no ACK does?",
    setup="After some exchanges over {rtt} of round trip the wire loses one message, which is a "
    "single segment.",
    prediction="A tail loss probe: Linux sends the last segment once more after two round "
    "trips, and 200 ms more since the ACK of a lone segment may be delayed, but not later "
    "than the retransmission timer would. Nothing is taken for lost yet: the window stays as "
    "it is.",
    parameters=(RTT,),
    server=server,
    client=client,
    wire=lambda p: "; ".join(filter(None, [delay(p), f"drop c>s data {WARM_UP + 1}"])),
    expects=(
        Expect("copies of the message that left", Kind.COUNT, lambda p: 2,
               lambda e: len(copies_ns(e)), "RFC 8985 7.3"),
        Expect("the second left after", Kind.TIME,
               lambda p: min(probe_after_ns(p), p.rtt + 200 * MS), lambda e: gap_ns(e, 0),
               "RFC 8985 7.2; tcp_schedule_loss_probe() of Linux: at most the RTO",
               less=5 * MS, more=lambda p: timer_room(probe_after_ns(p)) + p.rtt,
               because="the timer wheel is up to 1/8 late; a busy host measures longer trips"),
    ),
    moment=moment,
    next="`netlab study rto-backoff`: when the probe is lost, too.",
    cause="tail_loss_probe",
)  # fmt: skip
