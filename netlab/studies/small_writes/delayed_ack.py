"""A receiver that has nothing to say: how long it keeps an ACK."""

from __future__ import annotations

import socket

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import nth, window
from netlab.studies.parts import MS, TICK_NS, TURN_NS
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, connected
from netlab.studies.study import Claim, Expect, Parameter, Params, Study, Topic, Window

WARM_UP = 3  # exchanges: the server answers, and so its socket is in ping-pong mode


def server(probe: Probe, p: Params) -> None:
    """Answers a few times, then only reads."""
    sock = accepted(probe)
    for _ in range(WARM_UP):
        sock.recv(100)
        sock.send(b"answer")
    if p.quickack:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
    sock.recv(100)
    sock.recv(100)
    sock.close()


def client(probe: Probe, p: Params) -> None:
    """Says one thing to which there is no answer, and waits for its ACK alone."""
    sock = connected(probe)
    for _ in range(WARM_UP):
        sock.send(b"question")
        sock.recv(100)
    sock.send(b"no answer, please")
    probe.poll().poll(200)  # nothing is registered: it waits, and that is all
    sock.close()


def ack_after_ns(evidence: Evidence) -> int | None:
    """From the arrival of the last message to the ACK's departure."""
    data = evidence.frames("c>s", data=True)
    if not data or data[-1][0].arrived_ns is None:
        return None
    end = data[-1][1].stop + 1
    acks = [f.time_ns for f, s in evidence.frames("s>c") if s.ack is not None and s.ack >= end]
    return acks[0] - data[-1][0].arrived_ns if acks else None


def moment(evidence: Evidence) -> list[Window]:
    """From the last question that had an answer to the ACK of what has none."""
    data = evidence.frames("c>s", data=True)
    if not data:
        return []
    acks = [one for one in evidence.frames("s>c") if (one[1].ack or 0) > data[-1][1].stop]
    return window(evidence.call("send", WARM_UP - 1, host="client"), nth(acks, 0))


STUDY = Study(
    name="delayed-ack",
    topic=Topic.SMALL_WRITES,
    question="A message that needs no answer: when is it acknowledged?",
    setup="A client and a server exchange three questions and answers. Then the client says "
    "something to which there is no answer.",
    prediction=lambda p: (
        ("At once: the server sets TCP_QUICKACK just before. Without it, after 40 ms. "
         if p.quickack else "After 40 ms. ")
        + "In a conversation the kernel expects its program to answer soon, and lets the ACK ride "
        "on that answer; only when nothing comes does a timer send it alone (TCP_DELACK_MIN)."
        + ("" if p.quickack else " With TCP_QUICKACK just before, it leaves at once.")
    ),
    parameters=(
        Parameter("quickack", Kind.COUNT, 0, 0, 1, "1: the server sets TCP_QUICKACK before"),
    ),
    server=server,
    client=client,
    expects=(
        Expect("the ACK leaves after", Kind.TIME, lambda p: 0 if p.quickack else 40 * MS,
               ack_after_ns, "RFC 1122 4.2.3.2 (less than 0.5 s); TCP_DELACK_MIN of Linux",
               more=2 * TICK_NS + TURN_NS,
               because="the timer counts ticks; the wire may lose its turn as it hands the segment "
               "over"),
    ),
    claims=(
        Claim("Every segment is acknowledged at once",
              lambda e: (ack_after_ns(e) or 0) < TICK_NS),
    ),
    next="`netlab study nagle-delayed-ack`: what it does to a sender that waits for it.",
    cause="",
    moment=moment,
)  # fmt: skip
