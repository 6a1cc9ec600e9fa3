"""How the retransmission timer follows the round trip."""

from __future__ import annotations

from netlab.studies.evidence import Evidence, told
from netlab.studies.parts import BUSY_NS, MS, TICK_NS, S, no_tail_loss_probes
from netlab.studies.quantity import Kind, shown
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

RESENT, FIRST, RFC = 0, 2, 3  # the expectations that are drawn
RFC_LEAST_NS = S


def first_rto_ns(p: Params) -> int:
    """Of the handshake's trip alone: srtt + 4 rttvar, and rttvar begins as half of the trip."""
    return p.rtt + max(2 * p.rtt, 200 * MS)


def first_late_ns(p: Params) -> int:
    """How much more it is where the wire's two frames wait for a turn each in that trip."""
    late = p.rtt + BUSY_NS
    return late + max(2 * late, 200 * MS) - first_rto_ns(p) + TICK_NS


def rfc_first_ns(p: Params) -> int:
    """What RFC 6298 has for the same trip: three times as long, but 1 s at least."""
    return max(RFC_LEAST_NS, 3 * p.rtt)


def formula_rules(p: Params) -> bool:
    """Whether that is beyond the RFC's floor, by more than how exact a time can be."""
    return 3 * p.rtt >= RFC_LEAST_NS + TICK_NS


def seen(evidence: Evidence) -> str:
    """What governs here."""
    first = shown(Kind.TIME, told("first")(evidence))
    rfc = shown(Kind.TIME, rfc_first_ns(evidence.p))
    if formula_rules(evidence.p):
        return (
            f"Behind the handshake the kernel's RTO was {first}: here the formula of RFC 6298 "
            f"governs, not a floor, and has {rfc}."
        )
    return (
        f"Behind the handshake the kernel's RTO was {first}. RFC 6298 has its floor of {rfc} there"
        ", whatever the trip: its formula governs only from a round trip of a third of that on."
    )


STUDY = Study(
    name="rto-rtt",
    topic=Topic.TIMEOUTS,
    question="How does the retransmission timer follow the round trip?",
    setup="A client and a server exchange eight messages, and the wire loses the next one, once: "
    "on wires with a round trip of {rtt}. Tail loss probes are off (net.ipv4.tcp_early_retrans 0), "
    "so that only the retransmission timer acts.",
    prediction="Its length, the retransmission time-out (RTO), is srtt + 4 rttvar (RFC 6298): the "
    "smoothed round trip and four times its variation. Behind the handshake one trip is known, "
    "and half of it is taken for the variation: that makes three trips. Later the variation of a "
    "wire that is always the same dies down, and a floor governs: Linux adds 200 ms at least, so "
    "it is round trip + 200 ms. RFC 6298 asks for 1 s at least in all, so for it the formula "
    "governs only beyond that: behind the handshake, where a trip is a third of a second or more. "
    "There both are the same; everywhere else Linux is sooner.",
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
        Expect("the same behind the handshake", Kind.TIME, first_rto_ns, told("first"),
               "RFC 6298 2.2: srtt = R, rttvar = R / 2; TCP_RTO_MIN of Linux in place of 4 rttvar",
               less=TICK_NS, more=first_late_ns,
               because="it is set in ticks; a turn each for the wire's two frames in the one trip, "
               "three times"),
        Expect("and against RFC 6298, where 3 trips are more than its 1 s", Kind.TIME, rfc_first_ns,
               told("first"), "RFC 6298 2.2 and 2.4: max(1 s, R + 4 R / 2)",
               less=TICK_NS, more=first_late_ns, otherwise=lambda p: p.rtt + 200 * MS,
               because="the same", applies=formula_rules),
    ),
    moment=moment,
    seen=seen,
    sweep=Sweep("rtt", (1 * MS, 50 * MS, 100 * MS, 350 * MS),
                (1 * MS, 10 * MS, 20 * MS, 50 * MS, 100 * MS, 200 * MS, 300 * MS, 400 * MS),
                drawn=(
                    ("RFC 6298, behind the handshake: max(1 s, 3 trips)", RFC, Drawn.PREDICTED),
                    ("tcpi_rto behind the handshake", FIRST, Drawn.MEASURED),
                    ("Linux's formula, later: rtt + 200 ms", RESENT, Drawn.PREDICTED),
                    ("measured: when the lost message left again", RESENT, Drawn.MEASURED),
                ),
                title="the retransmission timer"),
    next="`netlab study rto-backoff --set rtt=100ms`.",
    cause="rto",
)  # fmt: skip
