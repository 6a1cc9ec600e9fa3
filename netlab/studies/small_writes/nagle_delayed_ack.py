"""Two small writes, then a read: Nagle holds the second until an ACK that the peer delays."""

from __future__ import annotations

import socket

from netlab.model.probe import Probe
from netlab.model.tables import Packet, Role
from netlab.studies.evidence import Evidence, Frame
from netlab.studies.parts import MS, TICK_NS, TURN_NS, first_rto_ns
from netlab.studies.quantity import Kind
from netlab.studies.study import PORT, Claim, Expect, Parameter, Params, Study, Topic, Window

HEAD, BODY = b"h" * 64, b"b" * 64
WARM_UP = 3  # exchanges that put the server's socket into ping-pong mode


def server(probe: Probe, p: Params) -> None:
    """Answers once a head and a body are there."""
    listener = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", PORT))
    listener.listen(1)
    sock, _ = listener.accept()
    wanted = len(HEAD) + len(BODY)
    while True:
        got = 0
        while got < wanted:
            data = sock.recv(4096)
            if not data:
                sock.close()
                listener.close()
                return
            got += len(data)
        sock.send(b"answer")


def client(probe: Probe, p: Params) -> None:
    """Writes a whole request a few times, then head and body apart."""
    sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.connect(("server", PORT))
    for _ in range(WARM_UP):
        sock.send(HEAD + BODY)
        sock.recv(4096)
    if p.nodelay:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.send(HEAD)
    sock.send(BODY)
    sock.recv(4096)
    sock.close()


def body_held_ns(evidence: Evidence) -> int | None:
    """How long the body lay in the client's stack: from its send to the frame that carried it."""
    call = evidence.call("send", WARM_UP + 1, host="client")
    if call is None:
        return None
    spans = evidence.spans(call, Role.CARRIED)
    if not spans or spans[0].frame is None:
        return None
    return evidence.packet(spans[0].frame).time_ns - call.entered_ns


def parts(evidence: Evidence) -> tuple[Frame, Frame] | None:
    """The frames that carry the last head and the last body."""
    found = evidence.frames("c>s", data=True)
    return (found[-2], found[-1]) if len(found) > 1 else None


def acks_between(evidence: Evidence) -> list[Packet] | None:
    """ACKs without data that leave the server between head and body."""
    found = parts(evidence)
    if found is None:
        return None
    (head, _), (body, _) = found
    return [
        packet
        for packet, _ in evidence.frames("s>c", flags="ACK", data=False)
        if head.time_ns < packet.time_ns < body.time_ns
    ]


def ack_delayed_ns(evidence: Evidence) -> int | None:
    """From the head's arrival until the server's kernel let its ACK out."""
    found, acks = parts(evidence), acks_between(evidence)
    if found is None or found[0][0].arrived_ns is None or not acks:
        return None
    return acks[0].time_ns - found[0][0].arrived_ns


def body_after_head_ns(evidence: Evidence) -> int | None:
    """From the departure of the head to that of the body."""
    found = parts(evidence)
    return found[1][0].time_ns - found[0][0].time_ns if found else None


def answer_waited_ns(evidence: Evidence) -> int | None:
    """From the departure of the head until the client's recv had the answer."""
    found, answer = parts(evidence), evidence.call("recv", -1, host="client")
    if found is None or answer is None or answer.returned_ns is None:
        return None
    return answer.returned_ns - found[0][0].time_ns


def acks_before_body(evidence: Evidence) -> int | None:
    """How many of them."""
    found = acks_between(evidence)
    return None if found is None else len(found)


def moment(evidence: Evidence) -> list[Window]:
    """From when to when the ladder is shown."""
    head = evidence.call("send", WARM_UP, host="client")
    answer = evidence.call("recv", -1, host="client")
    if head is None or answer is None or answer.returned_ns is None:
        return []
    return [(head.entered_ns, answer.returned_ns)]


def seen(evidence: Evidence) -> str:
    """What the recording shows."""
    call = evidence.call("send", WARM_UP + 1, host="client")
    held = body_held_ns(evidence)
    if call is None or held is None:
        return ""
    return (
        f"send #{call.call} returned at once, but its bytes left {held / MS:.1f} ms later: right "
        "after the server's ACK of the head came in."
        if held > 10 * MS
        else f"The bytes of send #{call.call} left {held / MS:.3f} ms after it was called."
    )


def cause(p: Params) -> str:
    """The delayed ACK, or on a long wire head, ACK, body and answer, which are two round trips.

    The ACK leaves 40 to 68 ms late (see `expects`); in between it may be either.
    """
    if p.nodelay or 10 * MS < p.rtt < 40 * MS:
        return ""
    return "delayed_ack" if p.rtt <= 10 * MS else "network"


def held_ns(p: Params) -> int:
    """The kernel's TCP_DELACK_MIN, 40 ms; nothing holds the body without Nagle."""
    return 0 if p.nodelay else 40 * MS + p.rtt


def question(p: Params) -> str:
    """Without TCP_NODELAY, and with it."""
    if p.nodelay:
        return "A request is written in two parts, with TCP_NODELAY. Must the second part wait?"
    return "Why does a request that is written in two parts wait 40 ms for its answer?"


def prediction(p: Params) -> str:
    """The same."""
    if p.nodelay:
        return (
            "No: TCP_NODELAY switches Nagle's algorithm off, so the body leaves right behind the "
            "head, which nobody has acknowledged. The server has both at once and answers, and "
            "the answer carries the ACK."
        )
    return (
        "Nagle's algorithm lets only one small segment be on its way: the body waits "
        "for the ACK of the head. The server has nothing to send until it has the body, so it "
        "delays that ACK by 40 ms (TCP_DELACK_MIN). Nobody lost anything, and everybody waits."
    )


STUDY = Study(
    name="nagle-delayed-ack",
    topic=Topic.SMALL_WRITES,
    question=question,
    setup="A client sends three whole requests, which are answered at once. Then it sends the"
    " next one in two calls: head (64 bytes), body (64 bytes), and waits for the answer. The "
    "server answers when it has both.",
    prediction=prediction,
    parameters=(
        Parameter("rtt", Kind.TIME, 0, 0, 500 * MS, "round trip of the wire"),
        Parameter("nodelay", Kind.COUNT, 0, 0, 1, "1: the client sets TCP_NODELAY before"),
    ),
    server=server,
    client=client,
    wire=lambda p: f"delay {p.rtt // 2}ns" if p.rtt else "",
    expects=(
        Expect(
            "the body leaves after the head by",
            Kind.TIME,
            held_ns,
            body_after_head_ns,
            "RFC 896; RFC 1122 4.2.3.2 and 4.2.3.4",
            more=lambda p: TURN_NS if p.nodelay else 2 * TICK_NS + 2 * TURN_NS,
            otherwise=lambda p: 40 * MS + p.rtt if p.nodelay else p.rtt,
            because="the timer counts ticks, and a turn each for the wire's two frames, head and "
            "ACK; with TCP_NODELAY a turn for the client",
        ),
        Expect(
            "ACKs of the head before that",
            Kind.COUNT,
            lambda p: 0 if p.nodelay else 1,
            acks_before_body,
            "RFC 1122 4.2.3.2: one delayed ACK, not two",
        ),
        Expect(
            "it leaves the server after the head has come by",
            Kind.TIME,
            lambda p: 40 * MS,
            ack_delayed_ns,
            "TCP_DELACK_MIN (HZ/25) of Linux",
            more=2 * TICK_NS + TURN_NS,
            because="the timer counts ticks; the wire may lose its turn as it hands the head over",
            applies=lambda p: not p.nodelay,  # the answer carries the ACK
        ),
        Expect(
            "the client's recv has the answer after the head by",
            Kind.TIME,
            lambda p: held_ns(p) + p.rtt,
            answer_waited_ns,
            "the answer leaves when the body is there",
            more=2 * TICK_NS + 6 * TURN_NS,
            otherwise=lambda p: first_rto_ns(p),  # it goes with the head, resent
            because="the timer counts ticks; a turn each for the wire's four frames and two "
            "programs",
            applies=lambda p: not p.nodelay,  # so many turns are as long as what it would save
        ),
    ),
    moment=moment,
    seen=seen,
    claims=(
        Claim(
            "Nagle's algorithm and delayed ACKs together cost 40 ms",
            lambda e: (body_held_ns(e) or 0) >= 39 * MS,
            "where a request is written in two calls",
        ),
    ),
    next="`netlab study nagle-delayed-ack --set nodelay={not_nodelay}`, or write head and body "
    "in one send.",
    cause=cause,
)
