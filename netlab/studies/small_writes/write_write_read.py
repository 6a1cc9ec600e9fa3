"""Requests in two writes, in one, and in two with TCP_NODELAY: what a request takes."""

from __future__ import annotations

import socket
from statistics import median

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import call_on, window
from netlab.studies.parts import MS, TURN_NS, timer_room
from netlab.studies.quantity import Kind
from netlab.studies.sockets import connected, listening
from netlab.studies.study import Expect, Parameter, Params, Study, Topic, Window

HEAD, BODY = b"h" * 64, b"b" * 64
WAYS = ("two writes", "one write", "two writes, nodelay")
WARM_UP = 2  # requests after which the server's socket is in ping-pong mode


def server(probe: Probe, p: Params) -> None:
    """Answers each whole request, on one connection after the other."""
    listener = listening(probe)
    for _ in WAYS:
        sock, _ = listener.accept()
        got = 0
        while data := sock.recv(4096):
            got += len(data)
            if got % len(HEAD + BODY) == 0:
                sock.send(b"answer")
        sock.close()
    listener.close()


def client(probe: Probe, p: Params) -> None:
    """The same requests in three ways."""
    for way in WAYS:
        sock = connected(probe)
        if way == "two writes, nodelay":
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(WARM_UP + p.requests):
            if way == "one write" or number < WARM_UP:
                sock.send(HEAD + BODY)
            else:
                sock.send(HEAD)
                sock.send(BODY)
            sock.recv(4096)
        sock.close()


def request_ns(evidence: Evidence, connection: int) -> int | None:
    """From a request's first byte written to its answer read; the median."""
    sends = evidence.calls("send", host="client", connection=connection)
    recvs = evidence.calls("recv", host="client", connection=connection)
    firsts = [call for call in sends if (call.start or 0) % len(HEAD + BODY) == 0]
    took = [
        answer.returned_ns - first.entered_ns
        for first, answer in zip(firsts, recvs, strict=True)
        if answer.returned_ns is not None
    ][WARM_UP:]
    return int(median(took)) if took else None


def moment(evidence: Evidence) -> list[Window]:
    """The first request that was written with two calls."""
    return window(
        call_on(evidence, "send", WARM_UP, host="client"),
        call_on(evidence, "recv", WARM_UP, host="client"),
    )


STUDY = Study(
    name="write-write-read",
    topic=Topic.SMALL_WRITES,
    question="A request has a head and a body. Does it matter whether they are written with one "
    "call or with two?",
    setup="A client sends {requests} requests of 128 bytes, each when the last was answered: head "
    "and body with two calls, with one, and with two under TCP_NODELAY, on a connection each. "
    "The wire adds no delay.",
    prediction="It costs 40 ms each time: write, write, read is the pattern that Nagle's "
    "algorithm and delayed ACKs make slow together. The body waits for the ACK of the head, the "
    "server delays that ACK, because it expects its program to answer soon, and its program "
    "waits for the body. One write avoids it, TCP_NODELAY too (with a segment more).",
    parameters=(Parameter("requests", Kind.COUNT, 7, 3, 100, "after two that warm up"),),
    server=server,
    client=client,
    expects=(
        Expect("a request in two writes takes", Kind.TIME, lambda p: 40 * MS,
               lambda e: request_ns(e, 0), "RFC 896; RFC 1122 4.2.3.2; TCP_DELACK_MIN of Linux",
               more=timer_room(40 * MS) + TURN_NS,
               because="the timer wheel is up to 1/8 late; a turn, for this is the median, and not "
               "each who is woken must wait for one"),
        Expect("in one write", Kind.TIME, lambda p: 0, lambda e: request_ns(e, 1),
               "nothing is held", more=TURN_NS, otherwise=lambda p: 40 * MS,
               because="a turn, as above"),
        Expect("in two, with TCP_NODELAY", Kind.TIME, lambda p: 0, lambda e: request_ns(e, 2),
               "man 7 tcp, TCP_NODELAY", more=TURN_NS, otherwise=lambda p: 40 * MS,
               because="the same"),
    ),
    next="`netlab study nagle-delayed-ack`: one such request on the wire.",
    cause="delayed_ack",
    waits_on="client recv",
    moment=moment,
)  # fmt: skip
