"""How the retransmission timer follows the round trip."""

from __future__ import annotations

from netlab.studies.parts import BUSY_NS, MS, no_tail_loss_probes, timer_room
from netlab.studies.quantity import Kind
from netlab.studies.study import Expect, Parameter, Study, Sweep, Topic
from netlab.studies.timeouts.rto_backoff import client, gap_ns, moment, rto_ns, server, wire

STUDY = Study(
    name="rto-rtt",
    topic=Topic.TIMEOUTS,
    question="How does the retransmission timer follow the round trip?",
    setup="The same loss on wires of several round trips.",
    prediction="RTO = round trip + 200 ms: the variation of a wire that is always the same "
    "dies down, and then the floor of Linux, 200 ms, is what is added.",
    parameters=(
        Parameter("rtt", Kind.TIME, 20 * MS, 0, 1000 * MS, "round trip of the wire"),
        Parameter("losses", Kind.COUNT, 1, 1, 1, "how often the message is lost"),
    ),
    server=server,
    client=client,
    wire=wire,
    sysctls=no_tail_loss_probes,
    expects=(
        Expect("the lost message leaves again after", Kind.TIME, rto_ns, lambda e: gap_ns(e, 0),
               "RFC 6298 2.3; TCP_RTO_MIN of Linux",
               less=lambda p: 5 * MS, more=lambda p: timer_room(rto_ns(p)) + BUSY_NS,
               because="the timer wheel is up to 1/8 late"),
    ),
    moment=moment,
    sweep=Sweep("rtt", (1 * MS, 50 * MS, 100 * MS, 200 * MS),
                (1 * MS, 10 * MS, 20 * MS, 50 * MS, 100 * MS, 200 * MS, 400 * MS)),
    next="`netlab study rto-backoff --set rtt=100ms`.",
    cause="rto",
)  # fmt: skip
