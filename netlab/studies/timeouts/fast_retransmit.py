"""One segment of several is lost: what comes behind it tells the sender."""

from __future__ import annotations

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import back, there, window
from netlab.studies.parts import MS, RTT, TURN_NS, delay, felt, timer_room
from netlab.studies.programs import reads_to_the_end
from netlab.studies.quantity import Kind
from netlab.studies.sockets import connected
from netlab.studies.study import Claim, Expect, Params, Study, Topic, Window

SEGMENTS, LOST = 10, 3
SIZE = 1448  # of a segment: MSS 1460 less 12 bytes of timestamps


def client(probe: Probe, p: Params) -> None:
    """Sends ten segments at once."""
    sock = connected(probe)
    sock.sendall(b"n" * (SEGMENTS * SIZE))
    sock.close()


def copies_ns(evidence: Evidence) -> list[int]:
    """When the lost segment left, each time."""
    start = (LOST - 1) * SIZE
    return [f.time_ns for f, s in evidence.frames("c>s", data=True) if s.start == start]


def again_ns(evidence: Evidence) -> int | None:
    """How long after its first copy the second left."""
    times = copies_ns(evidence)
    return times[1] - times[0] if len(times) > 1 else None


def duplicates(evidence: Evidence) -> int:
    """ACKs of the server that say the same again."""
    return sum(s.duplicate_ack is True for _, s in evidence.frames("s>c"))


def moment(evidence: Evidence) -> list[Window]:
    """The loss; what the first segment behind it makes of it; the proof of it, and the resend."""
    data = evidence.frames("c>s", data=True)
    told = [one for one in evidence.frames("s>c") if one[1].duplicate_ack]
    times = copies_ns(evidence)
    again = [one for one in data if one[0].time_ns in times[1:]]
    sent = evidence.call("sendall")
    if sent is None or len(data) <= LOST or not told or not again:
        return []
    return [
        (sent.entered_ns, data[LOST][0].time_ns),
        *window(there(data[LOST][0]), told[0][0].time_ns),
        *window(there(told[0][0]), again[0], back(evidence.call("recv", 1, host="server"))),
    ]


STUDY = Study(
    name="fast-retransmit",
    topic=Topic.TIMEOUTS,
    question="One of ten segments is lost. How soon does the sender know?",
    setup="A client sends ten full segments at once; the wire loses the third. The round trip is "
    "{rtt}.",
    prediction="After one round trip: each segment behind the gap makes the receiver say "
    "again what it waits for, with the ranges it has (SACK). That is proof enough, and the "
    "segment leaves again, long before the retransmission timer would have fired (round trip "
    "+ 200 ms).",
    parameters=(RTT,),
    server=reads_to_the_end,
    client=client,
    wire=lambda p: "; ".join(filter(None, [delay(p), f"drop c>s data {LOST}"])),
    expects=(
        Expect("copies of the lost segment that left", Kind.COUNT, lambda p: 2,
               lambda e: len(copies_ns(e)), "RFC 5681 3.2"),
        Expect("the second left after", Kind.TIME, lambda p: p.rtt, again_ns,
               "RFC 8985 (RACK): a round trip, and a reordering window of a quarter of it",
               more=lambda p: p.rtt // 4 + timer_room(p.rtt // 4) + 2 * TURN_NS,
               otherwise=lambda p: p.rtt + 200 * MS,
               because="the reordering window, whose end the timer wheel may let be 1/8 late; a "
               "turn each for the wire's two frames"),
        Expect("duplicate ACKs", Kind.COUNT, lambda p: SEGMENTS - LOST, duplicates,
               "RFC 5681 4.2: one for each segment behind the gap", less=SEGMENTS - LOST - 2,
               because="segments that come at once may be answered by one ACK"),
        Expect("bytes that the server read", Kind.SIZE, lambda p: SEGMENTS * SIZE,
               lambda e: e.returned["server"], "RFC 9293 2.2"),
    ),
    claims=(
        Claim("A lost segment is sent again only when its timer has run out",
              lambda e: (again_ns(e) or 0) >= e.p.rtt + 200 * MS),
    ),
    next="`netlab study tail-loss`: the last segment has nothing behind it.",
    cause=felt("head_of_line"),
    waits_on="server recv",
    moment=moment,
)  # fmt: skip
