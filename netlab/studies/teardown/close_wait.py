"""A server that forgets to close."""

from __future__ import annotations

from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.kernel_states import states, wait_until
from netlab.studies.programs import until_the_server_was_told
from netlab.studies.quantity import Kind
from netlab.studies.sockets import connected, listening, tell, told
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Topic


def server(probe: Probe, p: Params) -> Any:
    """Reads the end of each connection, and keeps its socket."""
    word = told(probe)
    listener = listening(probe)
    kept = []
    for _ in range(p.clients):
        sock, _ = listener.accept()
        sock.recv(1)
        kept.append(sock)
    listener.close()
    word.recv(1)
    found = states(PORT)
    word.close()
    for sock in kept:
        sock.close()
    return found


def client(probe: Probe, p: Params) -> Any:
    """Connects and closes, some times; then says how it stands."""
    for _ in range(p.clients):
        connected(probe).close()
    wait_until(PORT, lambda now: now == ["FIN-WAIT-2"] * p.clients)
    found = states(PORT)
    tell(probe)
    return found


def fins_ns(evidence: Evidence, direction: str) -> list[int]:
    """When the FINs of one way left."""
    return [
        packet.time_ns
        for packet, _ in evidence.frames(direction, connection=None)
        if "FIN" in (packet.tcp_flags or "")
    ]


def fins_before_close(evidence: Evidence) -> int | None:
    """FINs of the server before its program's first close() of a connection."""
    told_at = evidence.call("recv", -1, host="server")
    if told_at is None or told_at.returned_ns is None:
        return None
    return sum(time_ns < told_at.returned_ns for time_ns in fins_ns(evidence, "s>c"))


STUDY = Study(
    name="close-wait",
    topic=Topic.TEARDOWN,
    question="A server has hundreds of connections in CLOSE-WAIT. Whose fault is that?",
    setup="{clients} clients connect and close. The server's recv() returns 0 each time, and its "
    "program does nothing about it, until it is told to.",
    prediction="The server's program. CLOSE-WAIT means: the peer has closed, and the kernel "
    "waits for close(). There is no time-out for that, as a program may have more to send; so "
    "each forgotten socket keeps a descriptor and a connection for as long as the process "
    "lives. At the other end it is FIN-WAIT-2.",
    parameters=(Parameter("clients", Kind.COUNT, 5, 1, 50, "that connect and close"),),
    server=server,
    client=client,
    experiment=until_the_server_was_told,
    expects=(
        Expect("connections of the server in CLOSE-WAIT", Kind.COUNT, lambda p: p.clients,
               lambda e: e.returned["server"].count("CLOSE-WAIT"), "RFC 9293 3.6"),
        Expect("of the client in FIN-WAIT-2", Kind.COUNT, lambda p: p.clients,
               lambda e: e.returned["client"].count("FIN-WAIT-2"), "RFC 9293 3.6"),
        Expect("FINs of the server before its program closes", Kind.COUNT, lambda p: 0,
               fins_before_close, "RFC 9293 3.10.4: CLOSE is the program's"),
        Expect("FINs of the server after it", Kind.COUNT, lambda p: p.clients,
               lambda e: len(fins_ns(e, "s>c")), "RFC 9293 3.6"),
    ),
    next="`netlab study fin-wait-2`: for how long the client's kernel waits.",
)  # fmt: skip
