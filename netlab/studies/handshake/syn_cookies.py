"""SYN cookies: a listener that keeps nothing of a SYN."""

from __future__ import annotations

import socket
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.lacks import lacking
from netlab.studies.moments import call_on, nth, window
from netlab.studies.programs import reads_to_the_end
from netlab.studies.quantity import Kind
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Topic, Window

PATIENCE_MS = 1_600  # a SYN-ACK is sent again after 1 s, or 1/8 later
SAID = b"hello"


def client(probe: Probe, p: Params) -> Any:
    """Connects, says nothing for a while, and speaks."""
    sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.connect(("server", PORT))
    probe.poll().poll(PATIENCE_MS)
    sock.send(SAID)
    sock.close()


def before_speaking(evidence: Evidence) -> int | None:
    """SYN-ACKs that left before the client spoke."""
    data = evidence.frames("c>s", data=True)
    if not data:
        return None
    synacks = evidence.frames("s>c", flags="SYN ACK")
    return sum(packet.time_ns < data[0][0].time_ns for packet, _ in synacks)


def accepted_by(evidence: Evidence) -> str | None:
    """Whether accept() returned only when there was data."""
    call = evidence.call("accept")
    data = evidence.frames("c>s", data=True)
    if call is None or call.returned_ns is None or not data:
        return None
    return "data" if call.returned_ns > data[0][0].time_ns else "the SYN-ACK's second ACK"


def moment(evidence: Evidence) -> list[Window]:
    """From the SYN until there is something to read."""
    return window(nth(evidence.frames(), 0), call_on(evidence, "recv", host="server"))


STUDY = Study(
    name="syn-cookies",
    topic=Topic.HANDSHAKE,
    question="A server keeps nothing of a SYN, and yet it knows the client by its ACK. How?",
    setup="net.ipv4.tcp_syncookies of the server is {cookies}: its kernel answers with a cookie "
    "every SYN with 2, none with 0, and with 1, the default, those for which its queue has no "
    "place (here it has). The wire loses the client's first ACK; the client says nothing for 1.6 s "
    "and then sends five bytes. It sends no tail loss probes (net.ipv4.tcp_early_retrans 0).",
    prediction=lambda p: (
        "With a cookie the number of its SYN-ACK is the memory: a hash of both ends and a secret, "
        "with the MSS (the largest segment that the client takes) in a few bits. An ACK of that "
        "number proves that there was a SYN. But what is not kept has no timer: where the ACK is "
        "lost, nobody sends the SYN-ACK again, and accept() returns only when the client speaks. A "
        "server that speaks first would wait for ever. With a place in the queue the SYN-ACK is "
        f"sent again after 1 s{'' if p.cookies == 2 else ', and so it is here'}."
    ),
    parameters=(
        Parameter("cookies", Kind.COUNT, 2, 0, 2, "tcp_syncookies of the server"),
    ),
    server=reads_to_the_end,
    client=client,
    lacks=lambda: lacking("net.ipv4.tcp_syncookies", "it was built without SYN cookies"),
    wire=lambda p: "drop c>s ack 1",
    sysctls=lambda p: {
        "server": {"net.ipv4.tcp_syncookies": str(p.cookies)},
        # A probe comes two ticks after what it repeats; on a busy machine a server answers later.
        "client": {"net.ipv4.tcp_early_retrans": "0"},
    },
    expects=(
        Expect("SYN-ACKs until the client speaks", Kind.COUNT,
               lambda p: 1 if p.cookies == 2 else 2, before_speaking,
               "cookie_v4_init_sequence() of Linux; RFC 4987 3.6"),
        Expect("what lets accept() return", Kind.WORD,
               lambda p: "data" if p.cookies == 2 else "the SYN-ACK's second ACK", accepted_by,
               "cookie_v4_check() of Linux: any ACK with the right number"),
        Expect("bytes that the server read", Kind.SIZE, lambda p: len(SAID),
               lambda e: e.returned["server"], "RFC 4987 3.6"),
    ),
    cause="syn_retry",
    waits_on="server accept",
    next="`netlab study syn-flood`: what they are for.",
    moment=moment,
)  # fmt: skip
