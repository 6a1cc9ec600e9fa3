"""Nothing was lost, and it was sent again all the same: the ACK was late."""

from __future__ import annotations

from netlab.model.probe import Probe
from netlab.model.seqnum import seq_le
from netlab.model.tables import Verdict
from netlab.studies.evidence import Evidence
from netlab.studies.moments import there, window
from netlab.studies.parts import BUSY_NS, MS, TICK_NS, delay, no_tail_loss_probes, timer_room
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, read_exactly
from netlab.studies.study import Expect, Parameter, Params, Study, Topic, Window
from netlab.studies.timeouts.rto_backoff import (
    SIZE,
    WARM_UP,
    client,
    copies_ns,
    gap_ns,
    rto_ns,
)

THINKS_MS = 900  # of the server, over the last message
DELAYED_ACK_MS = 100  # no ACK of it leaves later (40 ms)


def server(probe: Probe, p: Params) -> int:
    """Answers each message at once, and the last after some thought."""
    sock = accepted(probe)
    for _ in range(WARM_UP):
        read_exactly(sock, SIZE)
        sock.send(b"n" * SIZE)
    read_exactly(sock, SIZE)
    probe.poll().poll(THINKS_MS)
    sock.send(b"n" * SIZE)
    more = len(sock.recv(SIZE))
    sock.close()
    return (WARM_UP + 1) * SIZE + more


def said_twice(evidence: Evidence) -> int:
    """ACKs that name a range which they have acknowledged already: DSACK."""
    found = 0
    for packet, _ in evidence.frames("s>c"):
        blocks = packet._options.sack_blocks if packet._options else ()
        ack = packet.seg_ack or 0
        found += bool(blocks) and seq_le(blocks[0][1], ack)
    return found


def verdict(evidence: Evidence) -> str | None:
    """What netlab says of the second copy."""
    times = copies_ns(evidence)
    if len(times) < 2:
        return None
    return next(str(s.verdict) for f, s in evidence.frames("c>s") if f.time_ns == times[1])


def moment(evidence: Evidence) -> list[Window]:
    """The message; the ACK that is late; the copy, and what the server says to it; and how both
    ACKs arrive."""
    asked = evidence.call("send", WARM_UP, host="client")
    copies = copies_ns(evidence)
    if len(copies) < 2:
        return window(asked)
    acks = [ack for ack in evidence.frames("s>c", data=False) if ack[0].time_ns > copies[0]]
    copied = next(f for f, _ in evidence.frames("c>s") if f.time_ns == copies[1])
    return [
        *window(asked),
        *window(acks[0][0].time_ns if acks else None, copies[1]),
        *window(there(copied), acks[1][0].time_ns if len(acks) > 1 else None),
        *window(*(there(ack) for ack, _ in acks[:2])),
    ]


STUDY = Study(
    name="spurious-retransmission",
    topic=Topic.TIMEOUTS,
    question="A segment was sent twice, and nothing was lost. How does the sender find out?",
    setup="After {rtt} of round trip has been measured a few times, the ACK of a message takes "
    "{late} longer. Tail loss probes are off, so that only the retransmission timer acts.",
    prediction="The timer cannot know why no ACK came: after a retransmission time-out (RTO: "
    "round trip + 200 ms) the message leaves again. The server has it already. It throws the copy "
    "away and says so at once: its ACK names the range that came twice (DSACK). The program reads "
    "each byte once.",
    parameters=(
        Parameter("rtt", Kind.TIME, 20 * MS, 0, 60 * MS, "round trip of the wire"),
        Parameter("late", Kind.TIME, 450 * MS, 450 * MS, 500 * MS, "how much later the ACK comes"),
    ),
    server=server,
    client=client,
    wire=lambda p: "; ".join(filter(None, [
        delay(p),
        f"delay s>c {p.late}ns after c>s data {WARM_UP + 1} for {DELAYED_ACK_MS}ms",
    ])),
    sysctls=no_tail_loss_probes,
    expects=(
        Expect("copies of the message that left", Kind.COUNT, lambda p: 2,
               lambda e: len(copies_ns(e)), "RFC 6298 5.4"),
        Expect("the second left after", Kind.TIME, rto_ns, lambda e: gap_ns(e, 0),
               "RFC 6298 2.3; TCP_RTO_MIN of Linux: 200 ms",
               less=TICK_NS, more=lambda p: timer_room(rto_ns(p)) + BUSY_NS,
               because="it is set in ticks; the timer wheel is up to 1/8 late; a turn each for the "
               "wire's two frames in the trips it is computed from"),
        Expect("ACKs that name what came twice", Kind.COUNT, lambda p: 1, said_twice,
               "RFC 2883 4"),
        Expect("netlab's verdict of the second", Kind.WORD, lambda p: str(Verdict.SPURIOUS),
               verdict, "RFC 2883: a DSACK proves that it was there"),
        Expect("bytes that the server read", Kind.SIZE, lambda p: (WARM_UP + 1) * SIZE,
               lambda e: e.returned["server"], "RFC 9293 2.2: each once, in order"),
    ),
    moment=moment,
    next="`netlab study rto-backoff`: the same timer, and a real loss.",
)  # fmt: skip
