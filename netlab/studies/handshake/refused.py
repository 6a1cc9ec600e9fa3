"""Nobody listens: the kernel of the other host says so itself."""

from __future__ import annotations

from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence, took_ns
from netlab.studies.parts import LONG_RTT, TURN_NS, delay, felt
from netlab.studies.quantity import Kind
from netlab.studies.sockets import connected, trial
from netlab.studies.study import Claim, Expect, Params, Study, Topic


def client(probe: Probe, p: Params) -> Any:
    """Connects where nobody listens."""
    return trial(connected, probe)


def answer(evidence: Evidence) -> str | None:
    """The flags of the server's answer."""
    frames = evidence.frames("s>c")
    return frames[0][0].tcp_flags if frames else None


STUDY = Study(
    name="refused",
    topic=Topic.HANDSHAKE,
    question="Who says `Connection refused`, and how soon?",
    setup="A client connects to a port of a host on which no program listens; the round trip is "
    "{rtt}.",
    prediction="The host's kernel answers the SYN with RST, and an ACK of it. connect() fails"
    " with ECONNREFUSED after one round trip. No program of that host hears of it.",
    parameters=(LONG_RTT,),
    client=client,
    wire=delay,
    expects=(
        Expect(
            "the answer to the SYN",
            Kind.WORD,
            lambda p: "RST ACK",
            answer,
            "RFC 9293 3.5.2: reset generation, case 1",
        ),
        Expect(
            "connect() fails with",
            Kind.WORD,
            lambda p: "ECONNREFUSED",
            lambda e: e.returned["client"]["error"],
            "man 2 connect",
        ),
        Expect(
            "connect() fails after",
            Kind.TIME,
            lambda p: p.rtt,
            lambda e: took_ns(e.call("connect")),
            "RFC 9293 3.10.7.3: a reset in SYN-SENT ends it",
            more=3 * TURN_NS,
            because="a turn each for the wire's two frames and the client",
        ),
    ),
    claims=(
        Claim(
            "A host says at once that nobody listens at a port",
            lambda e: answer(e) == "RST ACK",
            "if no firewall is silent in its place",
        ),
    ),
    next="`netlab study silent-host`: a firewall that drops in place of refusing.",
    cause=felt("refused"),
)
