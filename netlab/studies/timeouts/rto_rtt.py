"""How the retransmission timer follows the round trip."""

from __future__ import annotations

from netlab.studies.evidence import Evidence, told
from netlab.studies.parts import BUSY_NS, MS, TICK_NS, S, no_tail_loss_probes
from netlab.studies.quantity import Kind
from netlab.studies.study import Drawn, Expect, Parameter, Params, Study, Sweep, Topic
from netlab.studies.timeouts.rto_backoff import (
    client,
    gap_ns,
    late_ns,
    moment,
    rto_ns,
    server,
    unsettled_ns,
    wire,
)

RESENT, KERNEL, RFC = 0, 1, 2  # the expectations, in their order


def rfc_rto_ns(evidence: Evidence) -> int:
    """RTO = max(1 s, SRTT + 4 RTTVAR). The kernel's rttvar is never below 50 ms, a quarter of its
    own floor: where that is what it says, no more is known of it than that."""
    return max(S, int(told("srtt")(evidence) + 4 * told("rttvar")(evidence)))


STUDY = Study(
    name="rto-rtt",
    topic=Topic.TIMEOUTS,
    question="How does the retransmission timer follow the round trip?",
    setup="The same loss on wires of several round trips.",
    prediction="Its length, the retransmission time-out (RTO), is round trip + 200 ms: the "
    "variation of a wire that is always the same dies down, and then the floor of Linux, 200 ms, "
    "is what is added. RFC 6298 (RTO = srtt + 4 rttvar: the smoothed round trip and four times its "
    "variation) asks for 1 s at least, so on all these wires its curve is flat: Linux is sooner.",
    parameters=(
        Parameter("rtt", Kind.TIME, 20 * MS, 0, 400 * MS, "round trip of the wire"),
    ),
    server=server,
    client=client,
    wire=lambda p: wire(Params({**p, "losses": 1})),
    sysctls=no_tail_loss_probes,
    expects=(
        Expect("the lost message leaves again after", Kind.TIME, rto_ns, lambda e: gap_ns(e, 0),
               "RFC 6298 2.3; TCP_RTO_MIN of Linux",
               less=TICK_NS, more=late_ns,
               because="it is set in ticks; the timer wheel is up to 1/8 late; a turn each for the "
               "wire's two frames in the trips it is computed from, of which the first counts most"
               ),
        Expect("the RTO that its kernel had computed (tcpi_rto)", Kind.TIME, rto_ns, told("rto"),
               "tcp_set_rto() of Linux: in ticks",
               less=TICK_NS, more=lambda p: BUSY_NS + unsettled_ns(p),
               because="it is set in ticks; a turn each for the wire's two frames; the variation "
               "of the first trip dies down by a quarter each round"),
        Expect("what RFC 6298 makes of the same trips", Kind.TIME, lambda p: max(S, p.rtt),
               rfc_rto_ns, "RFC 6298 2.3 and 2.4: srtt + 4 rttvar, but 1 s at least",
               more=lambda p: 4 * BUSY_NS + p.rtt,
               because="only beyond the floor: two turns of the wire's in a trip, times four"),
    ),
    moment=moment,
    sweep=Sweep("rtt", (1 * MS, 50 * MS, 100 * MS, 200 * MS),
                (1 * MS, 10 * MS, 20 * MS, 50 * MS, 100 * MS, 200 * MS, 400 * MS),
                drawn=(
                    ("RFC 6298: max(1 s, srtt + 4 rttvar)", RFC, Drawn.PREDICTED),
                    ("Linux's formula: rtt + 200 ms", RESENT, Drawn.PREDICTED),
                    ("tcpi_rto: what the kernel had computed", KERNEL, Drawn.MEASURED),
                    ("measured: when the lost message left again", RESENT, Drawn.MEASURED),
                ),
                title="the retransmission timer"),
    next="`netlab study rto-backoff --set rtt=100ms`.",
    cause="rto",
)  # fmt: skip
