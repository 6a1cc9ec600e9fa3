"""A flood of SYNs that nobody will ever finish, and a client that means it."""

from __future__ import annotations

import socket
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.lacks import lacking
from netlab.studies.parts import TURN_NS
from netlab.studies.quantity import Kind
from netlab.studies.raw_tcp import SYN, Ends, segment, sender, start_raw
from netlab.studies.sockets import listening, tell, told, trial
from netlab.studies.stage import Stage
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Topic

BACKLOG = 16
FIRST_PORT = 20_000
PATIENCE_S = 0.5  # shorter than the first resend of a SYN


def server(probe: Probe, p: Params) -> None:
    """Listens until somebody says that it is over."""
    word = told(probe)
    listener = listening(probe, BACKLOG)
    word.recv(1)
    word.close()
    listener.close()


def attacker(probe: Probe, p: Params) -> None:
    """So many SYNs, each from a port of its own, and then nothing."""
    own, server = (socket.gethostbyname(name) for name in ("attacker", "server"))
    with sender() as raw:
        for port in range(FIRST_PORT, FIRST_PORT + p.flood):
            raw.sendto(segment(Ends(own, port, server, PORT), SYN, port), (server, 0))


def client(probe: Probe, p: Params) -> Any:
    """One client that means it."""
    sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.settimeout(PATIENCE_S)
    found = trial(sock.connect, ("server", PORT))
    sock.close()
    tell(probe)
    return found


def experiment(stage: Stage) -> None:
    """First the flood, then the client."""
    program = stage.start("server", server)
    stage.lab.wait_listening("server", PORT)
    stage.wait(start_raw(stage, "attacker", attacker))
    stage.run("client", client)
    stage.wait(program)


def answered(evidence: Evidence) -> int:
    """SYNs of the flood that got an answer."""
    return len({
        packet.dport
        for packet, _ in evidence.frames(flags="SYN ACK", connection=None)
        if packet.dport is not None and FIRST_PORT <= packet.dport < FIRST_PORT + evidence.p.flood
    })  # fmt: skip


def real(evidence: Evidence) -> int | None:
    """The connection of the client that means it."""
    call = evidence.call("connect", host="client")
    return call.connection if call is not None else None


STUDY = Study(
    name="syn-flood",
    topic=Topic.HANDSHAKE,
    question="Somebody sends {flood} SYNs and never the last ACK. Can a real client still connect?",
    setup="A server listens with a backlog of 16. An attacker's host sends {flood} SYNs from as "
    "many ports, and no more (the wire loses the resets with which its kernel would betray it). "
    "Then a client connects. net.ipv4.tcp_syncookies is {cookies}.",
    prediction="Each SYN takes a place among the half-open connections, of which there are "
    "about as many as the backlog, and keeps it for a minute of resends. Without cookies the "
    "rest is dropped, the real client's SYN as well: 17 frames of 54 bytes keep everybody "
    "out. With cookies the kernel goes on to answer once the places are gone, and keeps nothing "
    "more: the client is connected after one round trip, though its window scale and SACK live "
    "on only in the bits of its timestamp.",
    parameters=(
        Parameter("flood", Kind.COUNT, 64, 20, 200, "SYNs of the attacker"),
        Parameter("cookies", Kind.COUNT, 1, 0, 1, "tcp_syncookies of the server"),
    ),
    hosts=("client", "server", "attacker"),
    server=server,
    client=client,
    experiment=experiment,
    lacks=lambda: lacking("net.ipv4.tcp_syncookies", "it was built without SYN cookies"),
    wire=lambda p: "drop c>s rst",
    sysctls=lambda p: {"server": {"net.ipv4.tcp_syncookies": str(p.cookies)}},
    expects=(
        Expect("the client's connect()", Kind.WORD,
               lambda p: "connected" if p.cookies else "timed out",
               lambda e: e.returned["client"]["error"] or "connected", "RFC 4987 3.6"),
        Expect("SYNs of the flood that are answered", Kind.COUNT,
               lambda p: p.flood if p.cookies else BACKLOG + 1, answered,
               "inet_csk_reqsk_queue_is_full() and tcp_conn_request() of Linux",
               less=lambda p: 0 if p.cookies else 1,
               because="older kernels compare with `not less than`"),
        Expect("connect() took at most", Kind.TIME,
               lambda p: 0 if p.cookies else int(PATIENCE_S * 1e9),
               lambda e: e.returned["client"]["took_ns"], "a round trip, or its time-out",
               more=4 * TURN_NS, otherwise=lambda p: int(PATIENCE_S * 1e9) if p.cookies else 0,
               because="a turn each for the flood, the wire's two frames, and the client"),
    ),
    connection=real,
    next="`netlab study syn-flood --set cookies={not_cookies}`, then `netlab study syn-cookies`.",
)  # fmt: skip
