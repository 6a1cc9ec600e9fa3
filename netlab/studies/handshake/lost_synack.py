"""The SYN-ACK is lost: who notices first?"""

from __future__ import annotations

from netlab.studies.evidence import Evidence, took_ns
from netlab.studies.handshake.three_way import client, server
from netlab.studies.moments import call_on, window
from netlab.studies.parts import MS, TURN_NS, S, timer_room
from netlab.studies.quantity import Kind
from netlab.studies.study import Expect, Parameter, Study, Topic, Window


def moment(evidence: Evidence) -> list[Window]:
    """As long as connect() takes."""
    return window(call_on(evidence, "connect", host="client"))


STUDY = Study(
    name="lost-synack",
    topic=Topic.HANDSHAKE,
    question="The server's SYN-ACK is lost. What does the client see, and what does it cost?",
    setup="The wire loses the first SYN-ACK; the round trip is {rtt}.",
    prediction="To the client it looks like a lost SYN: nothing came. Its SYN goes out again "
    "after 1 s and is answered at once, since the server's kernel still has the half-open "
    "connection. connect() takes 1 s and a round trip. To both one frame is missing, and "
    "neither knows which.",
    parameters=(Parameter("rtt", Kind.TIME, 40 * MS, 0, 500 * MS, "round trip of the wire"),),
    server=server,
    client=client,
    wire=lambda p: f"delay {p.rtt // 2}ns; drop s>c synack 1" if p.rtt else "drop s>c synack 1",
    expects=(
        Expect("SYNs sent", Kind.COUNT, lambda p: 2,
               lambda e: len(e.frames("c>s", flags="SYN")), "RFC 6298 5.5 to 5.7",
               less=1, because="both timers are 1 s: the server's may fire first"),
        Expect("SYN-ACKs sent", Kind.COUNT, lambda p: 2,
               lambda e: len(e.frames("s>c", flags="SYN ACK")),
               "Linux answers each copy of the SYN; its own timer would come at 1 s, too",
               more=1, because="both timers are 1 s: the server's may fire first"),
        Expect("connect() takes", Kind.TIME, lambda p: S + p.rtt,
               lambda e: took_ns(e.call("connect")), "RFC 6298 2.1",
               more=lambda p: timer_room(S) + 3 * TURN_NS,
               because="the timer wheel is up to 1/8 late, never early, and the server's fires no "
               "sooner; a turn each for the wire's two frames and the client"),
    ),
    next="`netlab study silent-host --set retries=3`, and watch the waits double.",
    cause="syn_retry",
    moment=moment,
)  # fmt: skip
