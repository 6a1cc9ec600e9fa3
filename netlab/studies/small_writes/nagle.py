"""Many small writes: Nagle's algorithm gathers them while one is on its way."""

from __future__ import annotations

import socket

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import call_on, window
from netlab.studies.parts import MS, TURN_NS, delay
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, connected, read_exactly, read_to_end
from netlab.studies.study import Claim, Expect, Parameter, Params, Study, Topic, Window


def server(probe: Probe, p: Params) -> int:
    """Reads until all is there, and says so."""
    sock = accepted(probe)
    read_exactly(sock, p.writes * p.size)
    sock.send(b"all")
    got = p.writes * p.size + read_to_end(sock)
    sock.close()
    return got


def client(probe: Probe, p: Params) -> None:
    """Writes small pieces, one right after the other."""
    sock = connected(probe)
    if p.nodelay:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in range(p.writes):
        sock.send(b"n" * p.size)
    sock.recv(100)  # a close would send at once what Nagle holds
    sock.close()


def frames(evidence: Evidence) -> int:
    """Segments of the client that carry data."""
    return len(evidence.frames("c>s", data=True))


def second_after_ns(evidence: Evidence) -> int | None:
    """From the first segment with data to the second."""
    found = evidence.frames("c>s", data=True)
    return found[1][0].time_ns - found[0][0].time_ns if len(found) > 1 else None


def predicted_frames(p: Params) -> int:
    """With Nagle: the first write, then all others in as few segments as can be."""
    if p.nodelay:
        return p.writes
    return 1 + -(-(p.writes - 1) * p.size // 1448)


def moment(evidence: Evidence) -> list[Window]:
    """The writes; and the ACK of the first of them, which lets the others go."""
    sent = evidence.frames("c>s", data=True)
    read = call_on(evidence, "recv", host="client")
    acks = [one for one in evidence.frames("s>c", data=False) if sent and (one[1].ack or 0) > 1]
    return [
        *window(call_on(evidence, "send", host="client"), read.entered_ns if read else None),
        *(window(acks[0], sent[1][0].time_ns) if acks and len(sent) > 1 else []),
    ]


STUDY = Study(
    name="nagle",
    topic=Topic.SMALL_WRITES,
    question="{writes} writes of {size}: how many segments leave?",
    setup="A client calls send() {writes} times, one right after the other. The round trip is"
    " {rtt}; with nodelay=1 TCP_NODELAY is set.",
    prediction=lambda p: (
        "{writes}: with TCP_NODELAY each write is a segment: more headers than data, and no "
        "waiting. Without it Nagle's algorithm would let the first one leave, since nothing is on "
        "its way, and hold the others until its ACK is there."
        if p.nodelay
        else "Two: the first write leaves at once, since nothing is on its way. Nagle's "
        "algorithm holds the others until its ACK is there, a round trip later; they leave "
        "together. With TCP_NODELAY each write is a segment: more headers than data, and no "
        "waiting."
    ),
    parameters=(
        Parameter("writes", Kind.COUNT, 10, 2, 20, "calls of send()"),
        Parameter("size", Kind.SIZE, 50, 1, 70, "of each"),
        Parameter("rtt", Kind.TIME, 60 * MS, 20 * MS, 500 * MS, "round trip of the wire"),
        Parameter("nodelay", Kind.COUNT, 0, 0, 1, "1: with TCP_NODELAY"),
    ),
    server=server,
    client=client,
    wire=delay,
    expects=(
        Expect("segments with data", Kind.COUNT, predicted_frames, frames,
               "RFC 896; RFC 9293 3.7.4"),
        Expect("the second after the first", Kind.TIME, lambda p: 0 if p.nodelay else p.rtt,
               second_after_ns, "it waits for the ACK; the first is acknowledged at once",
               more=lambda p: (1 if p.nodelay else 2) * TURN_NS,
               because="a turn each for the wire's two frames; with TCP_NODELAY one of the "
               "client's"),
        Expect("bytes that the server read", Kind.SIZE, lambda p: p.writes * p.size,
               lambda e: e.returned["server"], "RFC 9293 2.2"),
    ),
    claims=(
        Claim("Each send() makes a segment of its own", lambda e: frames(e) == e.p.writes),
    ),
    next="`netlab study nagle --set nodelay={not_nodelay}`, then `netlab study "
    "nagle-delayed-ack`: when the ACK is late as well.",
    moment=moment,
)  # fmt: skip
