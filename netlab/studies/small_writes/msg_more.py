"""MSG_MORE: a send that says that more will follow."""

from __future__ import annotations

import socket

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence, held_ns
from netlab.studies.moments import nth, window
from netlab.studies.parts import BUSY_NS, MS, TICK_NS, US, delay, first_rto_ns, timer_room
from netlab.studies.quantity import Kind
from netlab.studies.sockets import RTO_US, accepted, connected, read_exactly, tcp_info
from netlab.studies.study import Expect, Parameter, Params, Study, Topic, Window

HEAD, BODY = 40, 60


def server(probe: Probe, p: Params) -> None:
    """Answers a head and a body, then a head alone."""
    sock = accepted(probe)
    read_exactly(sock, HEAD + BODY)
    sock.send(b"yes")
    read_exactly(sock, HEAD)
    sock.send(b"yes")
    sock.recv(1)
    sock.close()


def client(probe: Probe, p: Params) -> int:
    """Says twice that more follows, and keeps its word once; the RTO before the second, in ns."""
    sock = connected(probe)
    sock.send(b"h" * HEAD, socket.MSG_MORE)
    sock.send(b"b" * BODY)
    sock.recv(100)
    rto_us = tcp_info(sock, RTO_US)
    sock.send(b"h" * HEAD, socket.MSG_MORE)
    sock.recv(100)
    sock.close()
    return rto_us * US


def late_ns(evidence: Evidence) -> int | None:
    """How much longer than the RTO the head without a body was kept."""
    held = held_ns(evidence, evidence.call("send", 2, host="client"))
    return None if held is None else held - int(evidence.returned["client"])


def moment(evidence: Evidence) -> list[Window]:
    """The head and the body; then the head alone, until it leaves."""
    sends, data = evidence.calls("send", host="client"), evidence.frames("c>s", data=True)
    return window(*sends[:2], nth(data, 0)) + window(*sends[2:], nth(data, 1))


STUDY = Study(
    name="msg-more",
    topic=Topic.SMALL_WRITES,
    question="A head is sent with MSG_MORE, then the body. What if the body never comes?",
    setup="A client sends a head of 40 bytes with MSG_MORE and a body of 60 without; the server "
    "answers. Then it sends a head with MSG_MORE, and waits for an answer to that.",
    prediction="Head and body leave as one segment: MSG_MORE lets the kernel keep what is less "
    "than a segment. It is TCP_CORK for one call. A promise that is not kept costs a "
    "retransmission time-out (after a few trips the round trip + 200 ms, before that up to three "
    "round trips), until the kernel sends what it has.",
    parameters=(Parameter("rtt", Kind.TIME, 40 * MS, 0, 400 * MS, "round trip of the wire"),),
    server=server,
    client=client,
    wire=delay,
    expects=(
        Expect("bytes in the first segment", Kind.SIZE, lambda p: HEAD + BODY,
               lambda e: e.frames("c>s", data=True)[0][1].payload_len_bytes,
               "man 2 send, MSG_MORE"),
        Expect("the client's RTO then (tcpi_rto)", Kind.TIME, first_rto_ns,
               lambda e: e.returned["client"], "RFC 6298 2.2; TCP_RTO_MIN of Linux: 200 ms",
               less=TICK_NS, more=3 * BUSY_NS,
               because="counted in ticks; the first trip counts three times, and the wire may "
               "have kept each of its frames waiting for a turn"),
        Expect("the head without a body leaves after that RTO by", Kind.TIME, lambda p: 0, late_ns,
               "tcp_check_probe_timer() of Linux: the probe timer, an RTO",
               less=TICK_NS, more=lambda p: timer_room(first_rto_ns(p) + 3 * BUSY_NS),
               otherwise=lambda p: -first_rto_ns(p),
               because="the timer wheel is up to 1/8 late"),
    ),
    moment=moment,
    next="`netlab study cork`.",
    cause="cork",
)  # fmt: skip
