"""SO_MAX_PACING_RATE: segments leave one after the other, not in a burst."""

from __future__ import annotations

import socket

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.flights import SEGMENT, Flights
from netlab.studies.moments import around, back, window
from netlab.studies.parts import MS, TURN_NS, S
from netlab.studies.programs import reads_to_the_end
from netlab.studies.quantity import Kind
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Topic, Window

SO_MAX_PACING_RATE = 47
UNPACED = 10  # segments at the start that are not paced, as tcp_update_skb_after_send() has it
SEGMENTS = 60


def client(probe: Probe, p: Params) -> None:
    """Always has more in its send buffer than may leave."""
    sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, p.rate)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32 << 10)
    sock.connect(("server", PORT))
    sock.sendall(b"n" * (SEGMENTS * SEGMENT))
    sock.close()


def spread_ns(p: Params) -> int:
    """The time from the first paced segment to the last, at that rate."""
    return (SEGMENTS - UNPACED) * SEGMENT * S // p.rate


def paced_ns(evidence: Evidence) -> int | None:
    """From the last segment that is not paced to the last of all."""
    sent = Flights(evidence).sent
    return sent[SEGMENTS - 1][0] - sent[UNPACED - 1][0] if len(sent) >= SEGMENTS else None


def burst(evidence: Evidence) -> int | None:
    """The most segments that left within a millisecond, of those that are paced."""
    times = [time_ns for time_ns, _, _ in Flights(evidence).sent][UNPACED:]
    return max((sum(0 <= other - one < MS for other in times) for one in times), default=None)


def moment(evidence: Evidence) -> list[Window]:
    """The last segments that are not paced; and some that are, when sendall() has room at last."""
    times = [time_ns for time_ns, _, _ in Flights(evidence).sent]
    done_ns = back(evidence.call("sendall"))
    return [
        *window(*times[UNPACED - 3 : UNPACED]),
        *(around(times, done_ns, 2, 1) if done_ns is not None else []),
    ]


STUDY = Study(
    name="pacing",
    topic=Topic.CONGESTION,
    question="SO_MAX_PACING_RATE is {rate} a second. When do 60 segments leave?",
    setup="A client sets SO_MAX_PACING_RATE and sends 60 segments at once; the wire has no limit "
    "of its own, and a round trip of 10 ms.",
    prediction="At that rate, spread out evenly, though both windows would let them go much "
    "faster: a timer of the kernel lets the next leave when the one before is paid for. "
    "Bursts fill the queues of routers, and what does not fit is lost; pacing avoids them. The "
    "first 10 segments of a connection are not paced. BBR paces always.",
    parameters=(
        Parameter("rate", Kind.SIZE, 200_000, 50_000, 500_000, "SO_MAX_PACING_RATE, a second"),
    ),
    server=reads_to_the_end,
    client=client,
    wire=lambda p: "delay 5ms",  # with next to none, tcp_tso_autosize() allows bursts of 64 KiB
    expects=(
        Expect("from the 10th segment to the last", Kind.TIME, spread_ns, paced_ns,
               "man 7 socket, SO_MAX_PACING_RATE; tcp_update_skb_after_send() of Linux",
               less=lambda p: 3 * SEGMENT * S // p.rate,
               more=lambda p: spread_ns(p) // 8 + 2 * TURN_NS,
               because="two segments leave together; a timer that was late is made up for by half; "
               "a turn each for the wire's ACKs and the client, to fill its buffer again"),
        Expect("the most of the paced that left within a millisecond", Kind.COUNT, lambda p: 2,
               burst, "tcp_tso_autosize() of Linux: what a millisecond is worth, at least two",
               less=1, because="the last may be alone"),
    ),
    cause="pacing",
    waits_on="client sendall",
    next="`netlab study slow-start`: without it.",
    moment=moment,
)  # fmt: skip
