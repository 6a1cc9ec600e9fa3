"""TCP_DEFER_ACCEPT: accept() returns when there is something to read."""

from __future__ import annotations

import socket
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import back, call_on, nth, there, window
from netlab.studies.parts import BUSY_NS, MS, RTT, TURN_NS, S, delay
from netlab.studies.quantity import Kind
from netlab.studies.sockets import BYTE, connected
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Topic, Window

DEFER_S = 5


def server(probe: Probe, p: Params) -> Any:
    """Waits for a client that has something to say."""
    listener = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    if p.defer:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, DEFER_S)
    listener.bind(("0.0.0.0", PORT))
    listener.listen(1)
    sock, _ = listener.accept()
    sock.setblocking(False)
    try:
        at_once = len(sock.recv(100))
    except BlockingIOError:
        at_once = 0
    sock.setblocking(True)
    sock.recv(100)
    sock.close()
    listener.close()
    return at_once


def client(probe: Probe, p: Params) -> None:
    """Connects, thinks, and speaks."""
    sock = connected(probe)
    probe.poll().poll(p.thinks / 1e6)
    sock.send(BYTE)
    sock.close()


def accepted_ns(evidence: Evidence) -> int | None:
    """From the client's first ACK, as it left, to the return of accept().

    Not from its arrival: the client has begun to think by then.
    """
    call = evidence.call("accept")
    acks = evidence.frames("c>s", flags="ACK")
    if call is None or call.returned_ns is None or not acks:
        return None
    return call.returned_ns - acks[0][0].time_ns


def moment(evidence: Evidence) -> list[Window]:
    """The client's ACK, of which nobody at the server hears; what it says later, and accept()."""
    acks = evidence.frames("c>s", flags="ACK")
    said = nth(evidence.frames("c>s", data=True), 0)
    accept = call_on(evidence, "accept", host="server")
    return [
        *window(nth(acks, 0)),
        *window(call_on(evidence, "send", host="client")),
        *window(there(said), back(accept), call_on(evidence, "recv", host="server")),
    ]


def cause(p: Params) -> str:
    """The client's thinking; on a longer wire the handshake, which is a round trip before it."""
    thinks_ns = p.thinks if p.defer else 0
    if p.rtt >= thinks_ns + BUSY_NS:
        return "network"
    return "peer_app" if thinks_ns >= p.rtt + BUSY_NS else ""


STUDY = Study(
    name="defer-accept",
    topic=Topic.HANDSHAKE,
    question="Why wake a server for a client that has not said anything yet?",
    setup="A server sets TCP_DEFER_ACCEPT on its listener (with defer=1; here it is {defer}) "
    "and waits in accept(). A client connects, thinks for {thinks}, and sends a byte; the round "
    "trip is {rtt}.",
    prediction="It need not be. To the client all is as ever: it is connected after a round trip. "
    "But the server's kernel takes no notice of the ACK and stays in SYN-RECEIVED, until data "
    "comes, {thinks} later: only then accept() returns, and the first recv() need not wait. (A "
    "server that speaks first, as in SMTP, must not do this.) Without the option accept() "
    "returns with the ACK.",
    parameters=(
        Parameter("thinks", Kind.TIME, 300 * MS, 100 * MS, 900 * MS, "how long the client thinks"),
        Parameter("defer", Kind.COUNT, 1, 0, 1, "1: TCP_DEFER_ACCEPT is set"),
        RTT,
    ),
    server=server,
    client=client,
    wire=delay,
    expects=(
        Expect("from the client's ACK to accept()'s return", Kind.TIME,
               lambda p: (p.thinks if p.defer else 0) + p.rtt // 2, accepted_ns,
               "man 7 tcp, TCP_DEFER_ACCEPT; tcp_check_req() of Linux",
               less=1 * MS, more=4 * TURN_NS,
               because="poll() counts in ms; a turn each for the client, twice, the wire and the "
               "server"),
        Expect("bytes that recv() finds at once", Kind.SIZE, lambda p: p.defer,
               lambda e: e.returned["server"], "the same"),
        Expect("connect() takes", Kind.TIME, lambda p: p.rtt,
               lambda e: e.connection.handshake_ns, "RFC 9293 3.5: the client's part is as ever",
               more=2 * TURN_NS, otherwise=lambda p: p.rtt + 1 * S,  # the SYN is sent again then
               because="a turn each for the wire's two frames"),
    ),
    moment=moment,
    seen=lambda e: (
        "The ladder has the server ESTABLISHED at the first ACK, as RFC 9293 would: that Linux "
        "takes no notice of it shows only in accept()."
        if e.p.defer
        else ""
    ),
    cause=cause,
    waits_on="server accept",
    next="`netlab study defer-accept --set defer={not_defer}`.",
)  # fmt: skip
