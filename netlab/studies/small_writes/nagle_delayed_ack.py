"""Two small writes, then a read: Nagle holds the second until an ACK that the peer delays."""

from __future__ import annotations

import socket

from netlab.model.probe import Probe
from netlab.model.tables import Role
from netlab.studies.evidence import Evidence, took_ns
from netlab.studies.parts import BUSY_NS
from netlab.studies.quantity import Kind
from netlab.studies.study import PORT, Claim, Expect, Parameter, Params, Study, Topic, Window

MS = 1_000_000
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


def answer_waited_ns(evidence: Evidence) -> int | None:
    """How long the client's recv for the last answer took."""
    return took_ns(evidence.call("recv", -1, host="client"))


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


def held_ns(p: Params) -> int:
    """The kernel's TCP_DELACK_MIN, 40 ms; nothing holds the body without Nagle."""
    return 0 if p.nodelay else 40 * MS + 2 * p.rtt // 2


STUDY = Study(
    name="nagle-delayed-ack",
    topic=Topic.SMALL_WRITES,
    question="Why does a request that is written in two parts wait 40 ms for its answer?",
    setup="A client sends three whole requests, which are answered at once. Then it sends the"
    " next one in two calls: head (64 bytes), body (64 bytes), and waits for the answer. The "
    "server answers when it has both.",
    prediction="Nagle's algorithm lets only one small segment be on its way: the body waits "
    "for the ACK of the head. The server has nothing to send until it has the body, so it "
    "delays that ACK by 40 ms (TCP_DELACK_MIN). Nobody lost anything, and everybody waits.",
    parameters=(
        Parameter("rtt", Kind.TIME, 0, 0, 500 * MS, "round trip of the wire"),
        Parameter("nodelay", Kind.COUNT, 0, 0, 1, "1: the client sets TCP_NODELAY before"),
    ),
    server=server,
    client=client,
    wire=lambda p: f"delay {p.rtt // 2}ns" if p.rtt else "",
    expects=(
        Expect(
            "the body lies in the client's stack for",
            Kind.TIME,
            held_ns,
            body_held_ns,
            "RFC 896; RFC 1122 4.2.3.2 and 4.2.3.4; TCP_DELACK_MIN (HZ/25) of Linux",
            less=1 * MS,
            more=BUSY_NS,
            because="a timer fires up to 1/8 and a tick late, and on a busy machine later",
        ),
        Expect(
            "and the client's recv takes",
            Kind.TIME,
            lambda p: held_ns(p) + p.rtt,
            answer_waited_ns,
            "the answer leaves when the body is there",
            less=1 * MS,
            more=BUSY_NS,
            because="the same, and the scheduling of two processes",
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
    next="`netlab study nagle-delayed-ack --set nodelay=1`, or write head and body in one send.",
    cause=lambda p: "" if p.nodelay else "delayed_ack",
)
