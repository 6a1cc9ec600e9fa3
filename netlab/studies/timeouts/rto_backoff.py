"""Nothing comes back: the retransmission timer, and how it doubles."""

from __future__ import annotations

from itertools import pairwise

from netlab.model.probe import Probe
from netlab.model.tables import Role
from netlab.studies.evidence import Evidence
from netlab.studies.moments import back, there, window
from netlab.studies.parts import BUSY_NS, MS, TICK_NS, US, delay, no_tail_loss_probes, timer_room
from netlab.studies.quantity import Kind
from netlab.studies.sockets import RTO_US, accepted, connected, read_exactly, tcp_info
from netlab.studies.study import Claim, Expect, Parameter, Params, Study, Topic, Window

WARM_UP = 8  # exchanges, so that the round trip is known and its variation has settled
SIZE = 100


def server(probe: Probe, p: Params) -> None:
    """Answers each message."""
    sock = accepted(probe)
    for _ in range(WARM_UP):
        read_exactly(sock, SIZE)
        sock.send(b"n" * SIZE)
    read_exactly(sock, SIZE)
    sock.send(b"n" * SIZE)
    sock.recv(1)
    sock.close()


def client(probe: Probe, p: Params) -> dict[str, int]:
    """Some exchanges; then one whose message is lost several times. The time-out of its kernel
    behind the handshake, and before the loss, in ns."""
    sock = connected(probe)
    first = tcp_info(sock, RTO_US) * US
    for _ in range(WARM_UP):
        sock.send(b"n" * SIZE)
        read_exactly(sock, SIZE)
    later = tcp_info(sock, RTO_US) * US
    sock.send(b"n" * SIZE)
    read_exactly(sock, SIZE)
    sock.close()
    return {"first": first, "rto": later}


def copies_ns(evidence: Evidence) -> list[int]:
    """When the last message left, each time."""
    call = evidence.call("send", WARM_UP, host="client")
    if call is None:
        return []
    frames = {
        span.frame
        for role in (Role.CARRIED, Role.RESENT)
        for span in evidence.spans(call, role)
        if span.frame is not None
    }
    return sorted(evidence.packet(frame).time_ns for frame in frames)


def gap_ns(evidence: Evidence, number: int) -> int | None:
    """Between copy `number` and the next."""
    times = copies_ns(evidence)
    return times[number + 1] - times[number] if number + 1 < len(times) else None


def doubles(evidence: Evidence) -> bool:
    """Whether there were two waits, and each was twice the one before, or nearly so."""
    waits_ns = [after - before for before, after in pairwise(copies_ns(evidence))]
    return len(waits_ns) > 1 and all(
        2 * second_ns > 3 * first_ns for first_ns, second_ns in pairwise(waits_ns)
    )


def moment(evidence: Evidence) -> list[Window]:
    """The message as it leaves, each time; and how it arrives at last, and is answered."""
    copies = copies_ns(evidence)
    answers = [
        packet for packet, segment in evidence.frames("s>c", data=True)
        if segment.start == WARM_UP * SIZE
    ]  # fmt: skip
    answer = answers[0] if answers else None
    return [
        *window(evidence.call("send", WARM_UP, host="client")),
        *(one for time_ns in copies[1:] for one in window(time_ns)),
        *window(evidence.call("send", WARM_UP, host="server"), answer.time_ns if answer else None),
        *window(there(answer), back(evidence.call("recv", -1, host="client"))),
    ]


def wire(p: Params) -> str:
    """All copies but the last are lost."""
    first = WARM_UP + 1
    rules = [delay(p), f"drop c>s data {first} copy 1-{p.losses}"]
    return "; ".join(filter(None, rules))


def rto_ns(p: Params) -> int:
    """srtt + max(4 rttvar, 200 ms): the variation has died down to nothing."""
    return p.rtt + 200 * MS


def unsettled_ns(p: Params) -> int:
    """What may be left of the first trip's variation, beyond the floor.

    It begins as twice that trip, and a quarter of it goes in each of the six rounds that the
    exchanges are at least (tcp_rtt_estimator() of Linux).
    """
    return max(0, 2 * p.rtt - 200 * MS) * 3**6 // 4**6


def late_ns(p: Params, times: int = 1) -> int:
    """How late a timer of so many RTOs may fire."""
    return timer_room(times * (rto_ns(p) + unsettled_ns(p))) + times * (unsettled_ns(p) + BUSY_NS)


STUDY = Study(
    name="rto-backoff",
    topic=Topic.TIMEOUTS,
    question="A message is lost again and again. When does it leave again?",
    setup="After {rtt} of round trip has been measured a few times, the wire loses the next "
    "message {losses} times. Tail loss probes are off (net.ipv4.tcp_early_retrans 0), so that"
    " only the retransmission timer acts.",
    prediction="After one retransmission time-out (RTO), then two, then four: each time the timer "
    "doubles. Linux has RTO = smoothed round trip + max(4 x variation, 200 ms); RFC 6298 would "
    "have at least 1 s.",
    parameters=(
        Parameter("rtt", Kind.TIME, 20 * MS, 0, 300 * MS, "round trip of the wire"),
        Parameter("losses", Kind.COUNT, 3, 1, 5, "how often the message is lost"),
    ),
    server=server,
    client=client,
    wire=wire,
    sysctls=no_tail_loss_probes,
    expects=(
        Expect("copies of the message that left", Kind.COUNT, lambda p: p.losses + 1,
               lambda e: len(copies_ns(e)), "RFC 9293 3.8.1"),
        Expect("the second left after", Kind.TIME, rto_ns, lambda e: gap_ns(e, 0),
               "RFC 6298 2.3; TCP_RTO_MIN of Linux: 200 ms",
               less=TICK_NS, more=late_ns,
               because="it is set in ticks; the timer wheel is up to 1/8 late; a turn each for the "
               "wire's two frames in the trips it is computed from, of which the first counts most"
               ),
        Expect("the last after the one before by", Kind.TIME,
               lambda p: rto_ns(p) * 2 ** (p.losses - 1), lambda e: gap_ns(e, e.p.losses - 1),
               "RFC 6298 5.5: back off the timer",
               less=lambda p: TICK_NS * 2 ** (p.losses - 1),
               more=lambda p: late_ns(p, 2 ** (p.losses - 1)),
               because="the same, doubled each time"),
    ),
    moment=moment,
    claims=(
        Claim("Each time a segment with data is lost again, the wait doubles",
              doubles),
    ),
    next="`netlab study rto-rtt`: how it follows the round trip.",
    cause="rto",
)  # fmt: skip
