"""Three frames, and which call each of them ends."""

from __future__ import annotations

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence, took_ns
from netlab.studies.moments import back, call_on, window
from netlab.studies.parts import LONG_RTT, TURN_NS, delay, felt
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, connected
from netlab.studies.study import Expect, Params, Study, Topic, Window


def server(probe: Probe, p: Params) -> None:
    """Accepts one connection, and closes it once the client has."""
    sock = accepted(probe)
    sock.recv(1)
    sock.close()


def client(probe: Probe, p: Params) -> None:
    """Connects, and closes."""
    connected(probe).close()


def flags(evidence: Evidence) -> str:
    """The flags of the first three frames."""
    return ", ".join(str(packet.tcp_flags) for packet, _ in evidence.frames()[:3])


def accept_after_syn_ns(evidence: Evidence) -> int | None:
    """From the SYN's departure to the return of accept."""
    frames = evidence.frames()
    call = evidence.call("accept")
    if not frames or call is None or call.returned_ns is None:
        return None
    return call.returned_ns - frames[0][0].time_ns


def moment(evidence: Evidence) -> list[Window]:
    """From the connect() until accept() is back."""
    return window(
        call_on(evidence, "connect", host="client"),
        back(call_on(evidence, "accept", host="server")),
    )


STUDY = Study(
    name="three-way-handshake",
    topic=Topic.HANDSHAKE,
    question="Which frames make a connection, and which call waits for which of them?",
    setup="A server waits in accept(). {rtt} of round trip away a client calls connect(), and "
    "closes.",
    prediction="SYN, SYN-ACK, ACK. connect() returns when the SYN-ACK is there, one round "
    "trip after it was called: the client may send then. accept() returns half a round trip "
    "later, when the ACK is there. Neither program took part: the kernels do all of it.",
    parameters=(LONG_RTT,),
    server=server,
    client=client,
    wire=delay,
    expects=(
        Expect(
            "the first three frames",
            Kind.WORD,
            lambda p: "SYN, SYN ACK, ACK",
            flags,
            "RFC 9293 3.5",
        ),
        Expect(
            "connect() takes a round trip",
            Kind.TIME,
            lambda p: p.rtt,
            lambda e: took_ns(e.call("connect")),
            "RFC 9293 3.5: ESTABLISHED on receipt of the SYN-ACK",
            more=3 * TURN_NS,
            because="a turn each for the wire's two frames and the client",
        ),
        Expect(
            "accept() returns after the SYN by one and a half",
            Kind.TIME,
            lambda p: p.rtt * 3 // 2,
            accept_after_syn_ns,
            "RFC 9293 3.5: SYN-RECEIVED until the ACK",
            more=4 * TURN_NS,
            because="a turn each for the wire's three frames and the server",
        ),
    ),
    next="`netlab study three-way-handshake --set rtt=300ms`: how many round trips are there "
    "before a web page has its first byte?",
    cause=felt("network"),
    moment=moment,
)
