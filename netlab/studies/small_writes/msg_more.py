"""MSG_MORE: a send that says that more will follow."""

from __future__ import annotations

import socket

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence, held_ns
from netlab.studies.moments import nth, window
from netlab.studies.parts import BUSY_NS, MS, RTT, delay, timer_room
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, connected, read_exactly
from netlab.studies.study import Expect, Params, Study, Topic, Window

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


def client(probe: Probe, p: Params) -> None:
    """Says twice that more follows, and keeps its word once."""
    sock = connected(probe)
    sock.send(b"h" * HEAD, socket.MSG_MORE)
    sock.send(b"b" * BODY)
    sock.recv(100)
    sock.send(b"h" * HEAD, socket.MSG_MORE)
    sock.recv(100)
    sock.close()


def rto_ns(p: Params) -> int:
    """The round trip and 200 ms: its variation has died down, or is less than that."""
    return p.rtt + 200 * MS


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
    "retransmission time-out, the round trip + 200 ms, until the kernel sends what it has.",
    parameters=(RTT,),
    server=server,
    client=client,
    wire=delay,
    expects=(
        Expect("bytes in the first segment", Kind.SIZE, lambda p: HEAD + BODY,
               lambda e: e.frames("c>s", data=True)[0][1].payload_len_bytes,
               "man 2 send, MSG_MORE"),
        Expect("the head without a body leaves after", Kind.TIME, rto_ns,
               lambda e: held_ns(e, e.call("send", 2, host="client")),
               "tcp_check_probe_timer() of Linux: the probe timer, an RTO; TCP_RTO_MIN: 200 ms",
               less=lambda p: 5 * MS, more=lambda p: timer_room(rto_ns(p)) + p.rtt + BUSY_NS,
               because="the timer wheel is up to 1/8 late; the trip's variation counts four times"),
    ),
    moment=moment,
    next="`netlab study cork`.",
    cause="cork",
)  # fmt: skip
