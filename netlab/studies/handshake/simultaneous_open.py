"""Two clients connect to each other: no listener anywhere."""

from __future__ import annotations

import socket
from typing import Any

from netlab.model.probe import Probe
from netlab.model.tables import Packet
from netlab.studies.evidence import Evidence
from netlab.studies.moments import call_on, window
from netlab.studies.parts import MS
from netlab.studies.quantity import Kind
from netlab.studies.sockets import tell, told, trial
from netlab.studies.stage import Stage
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Topic, Window

WORD = PORT + 1
SAID = b"hello"


def talk(probe: Probe, other: str, sock: Any) -> Any:
    """Connect, say something, and read what the other says."""
    found = trial(sock.connect, (other, PORT))
    heard = b""
    if not found["error"]:
        sock.send(SAID)
        heard = sock.recv(100)
    sock.close()
    return {**found, "heard": len(heard)}


def bound(probe: Probe) -> Any:
    """A socket with the port that the other connects to."""
    sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.bind(("0.0.0.0", PORT))
    return sock


def server(probe: Probe, p: Params) -> Any:
    """Connects to the client, when the client's SYN is on its way."""
    word = told(probe, WORD)
    sock = bound(probe)
    word.recv(1)
    word.close()
    return talk(probe, "client", sock)


def client(probe: Probe, p: Params) -> Any:
    """Connects to the server's port."""
    sock = bound(probe)
    tell(probe, "server", WORD)
    return talk(probe, "server", sock)


def experiment(stage: Stage) -> None:
    """Nobody listens at a TCP port."""
    first = stage.start("server", server)
    stage.lab.wait_listening("server", WORD)
    second = stage.start("client", client)
    stage.wait(first, second)
    stage.lab.settle()


def with_flags(evidence: Evidence, flags: str) -> list[Packet]:
    """All TCP frames with these, whichever way."""
    return [f for f in evidence.tables.packets if f.protocol == "TCP" and f.tcp_flags == flags]


def crossed(evidence: Evidence) -> str:
    """Whether the second SYN left before the first had arrived."""
    syns = with_flags(evidence, "SYN")
    if len(syns) < 2 or syns[0].arrived_ns is None:
        return "no"
    return "yes" if syns[1].time_ns < syns[0].arrived_ns else "no"


def moment(evidence: Evidence) -> list[Window]:
    """As long as the two connect() last."""
    return window(
        call_on(evidence, "connect", connection=1), call_on(evidence, "connect", -1, connection=1)
    )


STUDY = Study(
    name="simultaneous-open",
    topic=Topic.HANDSHAKE,
    question="Two programs connect() to each other in the same moment, and nobody listens. Then?",
    setup="Two hosts bind port 4000 and connect to port 4000 of each other. SYN and SYN-ACK "
    "are on their way for {late}, so that the two meet.",
    prediction="They get one connection. Each is in SYN-SENT, where a SYN is not refused: it "
    "answers with SYN-ACK and is in SYN-RECEIVED, until the other's SYN-ACK is there. Both "
    "connect() succeed. Nobody called listen() or accept(), and neither is the server. This is "
    "how two hosts behind firewalls, which let in only answers, can meet.",
    parameters=(
        Parameter("late", Kind.TIME, 300 * MS, 200 * MS, 450 * MS, "how long they take"),
    ),
    server=server,
    client=client,
    experiment=experiment,
    wire=lambda p: f"delay syn by {p.late}ns; delay synack by {p.late}ns",
    connection=1,
    expects=(
        Expect("the client's connect()", Kind.WORD, lambda p: "connected",
               lambda e: e.returned["client"]["error"] or "connected", "RFC 9293 3.5, figure 7"),
        Expect("the server's", Kind.WORD, lambda p: "connected",
               lambda e: e.returned["server"]["error"] or "connected", "the same"),
        Expect("the SYNs met on the way", Kind.WORD, lambda p: "yes", crossed,
               "the experiment: otherwise the first is refused"),
        Expect("SYN-ACKs", Kind.COUNT, lambda p: 2, lambda e: len(with_flags(e, "SYN ACK")),
               "RFC 9293 3.10.7.3: one from each"),
        Expect("bytes that each heard", Kind.SIZE, lambda p: len(SAID),
               lambda e: min(e.returned[host]["heard"] for host in ("client", "server")),
               "RFC 9293 3.5"),
    ),
    cause="network",
    waits_on="client connect",
    next="`netlab study simultaneous-close`: the same at the end.",
    moment=moment,
)  # fmt: skip
