"""One end has forgotten the connection, the other has not been told."""

from __future__ import annotations

import socket
import struct
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.parts import LONG_RTT, TURN_NS, delay
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, connected, tell, told, trial
from netlab.studies.study import Expect, Params, Study, Topic, Window

CLIENT_PORT = 4001


def server(probe: Probe, p: Params) -> None:
    """Answers once and forgets the connection, as a machine that starts anew does."""
    word = told(probe)
    sock = accepted(probe)
    sock.recv(100)
    sock.send(b"yes")
    word.recv(1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    tell(probe, "client", CLIENT_PORT)
    word.close()


def client(probe: Probe, p: Params) -> Any:
    """Goes on as if nothing had happened."""
    word = told(probe, CLIENT_PORT)
    sock = connected(probe)
    sock.send(b"are you there?")
    sock.recv(100)
    tell(probe)
    word.recv(1)
    found = {"send": trial(sock.send, b"still there?"), "recv": trial(sock.recv, 100)}
    sock.close()
    word.close()
    return found


def answer(evidence: Evidence) -> str | None:
    """The flags of the server's last frame."""
    frames = evidence.frames("s>c")
    return frames[-1][0].tcp_flags if frames else None


def failed_ns(evidence: Evidence) -> int | None:
    """From the departure of the segment to one who has forgotten until recv() failed."""
    frames = evidence.frames("c>s", data=True)
    calls = evidence.calls("recv", host="client", connection=0)
    if not frames or not calls or calls[-1].returned_ns is None:
        return None
    return calls[-1].returned_ns - frames[-1][0].time_ns


def moment(evidence: Evidence) -> list[Window]:
    """From the message to one who has forgotten."""
    call = evidence.call("send", 1, host="client")
    return [(call.entered_ns, call.entered_ns + 10 * evidence.p.rtt + 10**9)] if call else []


STUDY = Study(
    name="half-open",
    topic=Topic.HANDSHAKE,
    question="The server was switched off and on again. How does its client hear of it?",
    setup="A server answers once and then forgets the connection without the client's knowing "
    "(it resets, and the wire loses the reset, as with a machine that lost its power). The "
    "client goes on.",
    prediction="Not by waiting: the connection is half-open, and for the client all is well. Its "
    "next segment comes to a kernel that knows no such connection, which says so: RST, with "
    "the number that the client expects. recv() fails with ECONNRESET after a round trip.",
    parameters=(LONG_RTT,),
    server=server,
    client=client,
    wire=lambda p: "; ".join(filter(None, [delay(p), "drop s>c rst 1"])),
    expects=(
        Expect("send() to one who has forgotten returns", Kind.SIZE, lambda p: 12,
               lambda e: e.returned["client"]["send"]["value"], "man 2 send: into the buffer"),
        Expect("the answer", Kind.WORD, lambda p: "RST", answer,
               "RFC 9293 3.5.1 and 3.5.2: reset generation, case 1"),
        Expect("recv() fails with", Kind.WORD, lambda p: "ECONNRESET",
               lambda e: e.returned["client"]["recv"]["error"], "man 2 recv"),
        Expect("recv() fails, after the segment left, by", Kind.TIME, lambda p: p.rtt,
               failed_ns, "there and back", more=3 * TURN_NS,
               because="a turn each for the wire's two frames and the client"),
    ),
    moment=moment,
    next="`netlab study keepalive`: for a client that only waits.",
)  # fmt: skip
