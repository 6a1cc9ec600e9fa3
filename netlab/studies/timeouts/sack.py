"""Two gaps in one window, with and without selective acknowledgment."""

from __future__ import annotations

from netlab.studies.evidence import Evidence
from netlab.studies.moments import back, there, window
from netlab.studies.parts import MS, TURN_NS, delay, timer_room
from netlab.studies.programs import reads_to_the_end
from netlab.studies.quantity import Kind
from netlab.studies.study import Expect, Parameter, Params, Study, Topic, Window
from netlab.studies.timeouts.fast_retransmit import SEGMENTS, SIZE, client

LOST = (3, 6)


def again_ns(evidence: Evidence, number: int) -> int | None:
    """How long after its first copy segment `number` left again."""
    start = (number - 1) * SIZE
    times = [f.time_ns for f, s in evidence.frames("c>s", data=True) if s.start == start]
    return times[1] - times[0] if len(times) > 1 else None


def moment(evidence: Evidence) -> list[Window]:
    """The losses; what tells of the gaps; the resends, and the read that waited for the first."""
    frames = evidence.frames("c>s", data=True)
    resent = [
        f
        for n, (f, s) in enumerate(frames)
        if any(s.start == earlier.start for _, earlier in frames[:n])
    ]
    lost = [f for f, _ in frames if f.arrived_ns is None]
    sent = evidence.call("sendall")
    if not resent or not lost or sent is None:
        return []
    acks = evidence.frames("s>c")
    ranges = [there(f) for f, _ in acks if f._options and f._options.sack_blocks]
    known = [time_ns for time_ns in ranges if time_ns and time_ns < resent[0].time_ns]
    return [
        (sent.entered_ns, lost[-1].time_ns),
        *window(*known[:1]),
        *window(*known[-1:], *(frame.time_ns for frame in resent)),
        *window(there(resent[0]), back(evidence.longest("server recv"))),
    ]


def blocks(evidence: Evidence) -> int:
    """Segments of the server that name ranges."""
    return sum(bool(f._options and f._options.sack_blocks) for f, _ in evidence.frames("s>c"))


def round_trips(p: Params) -> int:
    """Until the second gap is filled."""
    return 1 if p.sack else 2


STUDY = Study(
    name="sack",
    topic=Topic.TIMEOUTS,
    question="Two of ten segments are lost. What does SACK save?",
    setup="A client sends ten full segments at once; the wire loses the third and the sixth. "
    "The round trip is {rtt}; net.ipv4.tcp_sack of the server is {sack}.",
    prediction="An ACK has one number: up to where all is there. It tells of the first gap and "
    "hides the second. With SACK (selective acknowledgment) it names the ranges behind the gap as "
    "well, so that the sender sees both and fills them after one round trip. Without, it learns "
    "of the second only from the ACK of the first resend: a round trip for each gap.",
    parameters=(
        Parameter("sack", Kind.COUNT, 1, 0, 1, "tcp_sack of the server"),
        Parameter("rtt", Kind.TIME, 100 * MS, 60 * MS, 150 * MS, "round trip of the wire"),
    ),
    server=reads_to_the_end,
    client=client,
    wire=lambda p: "; ".join([delay(p), *(f"drop c>s data {number}" for number in LOST)]),
    sysctls=lambda p: {"server": {"net.ipv4.tcp_sack": str(p.sack)}},
    expects=(
        Expect("the first lost segment leaves again after", Kind.TIME, lambda p: p.rtt,
               lambda e: again_ns(e, LOST[0]), "RFC 5681 3.2; RFC 8985: a round trip",
               more=lambda p: p.rtt // 4 + timer_room(p.rtt // 4) + 2 * TURN_NS,
               because="RACK's reordering window, whose end the timer wheel may let be 1/8 late; a "
               "turn each for the wire's two frames"),
        Expect("the second lost one after", Kind.TIME, lambda p: round_trips(p) * p.rtt,
               lambda e: again_ns(e, LOST[1]), "RFC 6675 with SACK, RFC 6582 without",
               more=lambda p: p.rtt // 4 + timer_room(p.rtt // 4) + 2 * round_trips(p) * TURN_NS,
               because="the same, in each round trip"),
        Expect("ACKs that name ranges", Kind.WORD, lambda p: "some" if p.sack else "none",
               lambda e: "some" if blocks(e) else "none", "RFC 2018 4"),
        Expect("bytes that the server read", Kind.SIZE, lambda p: SEGMENTS * SIZE,
               lambda e: e.returned["server"], "RFC 9293 2.2"),
    ),
    moment=moment,
    cause="head_of_line",
    waits_on="server recv",
    next="`netlab study sack --set sack={not_sack}`.",
)  # fmt: skip
