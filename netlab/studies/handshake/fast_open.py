"""TCP Fast Open: data in the SYN."""

from __future__ import annotations

import socket

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import call_on, nth, there, window
from netlab.studies.parts import MS, TURN_NS, delay
from netlab.studies.quantity import Kind
from netlab.studies.sockets import read_to_end
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Topic, Window

ASKED, ANSWER = b"a question", b"an answer"
TALKS = 2


def server(probe: Probe, p: Params) -> None:
    """Answers one question on each connection."""
    listener = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 5)
    listener.bind(("0.0.0.0", PORT))
    listener.listen(5)
    for _ in range(TALKS):
        sock, _ = listener.accept()
        sock.recv(100)
        sock.send(ANSWER)
        sock.close()
    listener.close()


def client(probe: Probe, p: Params) -> None:
    """Asks twice, each time on a connection of its own; connects and asks in one call."""
    for _ in range(TALKS):
        sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.sendto(ASKED, socket.MSG_FASTOPEN, ("server", PORT))
        read_to_end(sock)
        sock.close()


def in_syn(evidence: Evidence, number: int) -> int | None:
    """Bytes of the question that are in the SYN of a connection."""
    found = evidence.frames("c>s", flags="SYN", connection=number)
    return found[0][1].payload_len_bytes if found else None


def answered_ns(evidence: Evidence, number: int) -> int | None:
    """From the SYN's departure to the arrival of the answer's first byte."""
    syns = evidence.frames("c>s", flags="SYN", connection=number)
    data = evidence.frames("s>c", data=True, connection=number)
    if not syns or not data or data[0][0].arrived_ns is None:
        return None
    return data[0][0].arrived_ns - syns[0][0].time_ns


def moment(evidence: Evidence) -> list[Window]:
    """The second question until its answer is sent; then what the client hears of it."""
    came = [
        there(nth(evidence.frames("s>c", flags=flags, data=data, connection=1), 0))
        for flags, data in (("SYN ACK", None), (None, True))
    ]
    return [
        *window(
            call_on(evidence, "sendto", host="client", connection=1),
            call_on(evidence, "send", host="server", connection=1),
        ),
        *window(*came, call_on(evidence, "recv", host="client", connection=1)),
    ]


STUDY = Study(
    name="fast-open",
    topic=Topic.HANDSHAKE,
    question="A handshake costs a round trip before the first byte. Can that be saved?",
    setup="A client asks a server twice, each time on a new connection, by "
    "sendto(MSG_FASTOPEN). The round trip is {rtt}; Fast Open is allowed at both "
    "(net.ipv4.tcp_fastopen 3, and TCP_FASTOPEN on the listener).",
    prediction="From the second time on. With the first SYN the client asks for a cookie, which "
    "the SYN-ACK brings; the answer comes after two round trips, as ever. The second SYN "
    "carries the cookie and the question: the server's program has it at once, and the answer "
    "comes after one. The cookie proves that the client's address is its own. A SYN may come "
    "twice, and the question with it: only for questions that may be asked twice.",
    parameters=(
        Parameter("rtt", Kind.TIME, 200 * MS, 100 * MS, 1000 * MS, "round trip of the wire"),
    ),
    server=server,
    client=client,
    wire=delay,
    sysctls=lambda p: {
        "client": {"net.ipv4.tcp_fastopen": "3"},
        "server": {"net.ipv4.tcp_fastopen": "3"},
    },
    expects=(
        Expect("bytes of the question in the first SYN", Kind.SIZE, lambda p: 0,
               lambda e: in_syn(e, 0), "RFC 7413 3: no cookie yet"),
        Expect("the first answer comes after", Kind.TIME, lambda p: 2 * p.rtt,
               lambda e: answered_ns(e, 0), "RFC 9293 3.5", more=6 * TURN_NS,
               because="a turn each for the wire's four frames and two programs"),
        Expect("bytes of the question in the second SYN", Kind.SIZE, lambda p: len(ASKED),
               lambda e: in_syn(e, 1), "RFC 7413 3"),
        Expect("the second answer comes after", Kind.TIME, lambda p: p.rtt,
               lambda e: answered_ns(e, 1), "RFC 7413 3", more=3 * TURN_NS,
               because="a turn each for the wire's two frames and the server"),
    ),
    connection=1,
    moment=moment,
    cause="network",  # also with the cookie: a sendto() that blocks waits for the SYN-ACK
    waits_on="client sendto",
    next="`netlab study three-way-handshake`: what is saved here.",
)  # fmt: skip
