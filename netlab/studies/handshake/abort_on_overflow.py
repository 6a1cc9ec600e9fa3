"""The last ACK of the handshake finds the accept queue full."""

from __future__ import annotations

import select
import socket
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.parts import MS, TURN_NS, delay
from netlab.studies.programs import until_the_server_was_told
from netlab.studies.quantity import Kind
from netlab.studies.sockets import connected, listening, tell, told, trial
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Topic

BACKLOG = 2
PATIENCE_MS = 1_600  # the SYN-ACK is sent again after 1 s, or 1/8 later


def server(probe: Probe, p: Params) -> None:
    """Listens, and does not accept until somebody says so."""
    word = told(probe)
    listener = listening(probe, BACKLOG)
    word.recv(1)
    word.close()
    listener.close()


def client(probe: Probe, p: Params) -> Any:
    """Leaves one place in the queue; then two connect at the same time, and listen."""
    early = [connected(probe) for _ in range(BACKLOG)]
    late = [probe.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(2)]
    ready = probe.poll()
    for sock in late:
        sock.setblocking(False)
        sock.connect_ex(("server", PORT))
    for sock in late:
        ready.register(sock, select.POLLOUT)
    through = 0
    while through < len(late):
        for fd, _ in ready.poll(5_000):
            ready.unregister(fd)
            through += 1
    failed = [sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) for sock in late]
    probe.poll().poll(PATIENCE_MS)
    heard = sorted(trial(sock.recv, 1)["error"] for sock in late)  # none of them blocks
    tell(probe)
    for sock in (*early, *late):
        sock.close()
    return {"connected": BACKLOG + failed.count(0), "heard": heard}


def most_synacks(evidence: Evidence) -> int:
    """How often the SYN-ACK of one connection left, at most."""
    frames = evidence.frames("s>c", flags="SYN ACK", connection=None)
    counts = [segment.connection for _, segment in frames]
    return max(map(counts.count, counts), default=0)


def overflowed(evidence: Evidence) -> int | None:
    """Whose last ACK found the queue full: it was sent a RST, or its SYN-ACK again."""
    synacks = [s.connection for _, s in evidence.frames("s>c", flags="SYN ACK", connection=None)]
    again = [number for number in synacks if synacks.count(number) > 1]
    resets = [
        segment.connection
        for packet, segment in evidence.frames("s>c", connection=None)
        if "RST" in (packet.tcp_flags or "")
    ]
    return next(iter(again or resets), None)


STUDY = Study(
    name="abort-on-overflow",
    topic=Topic.HANDSHAKE,
    question="connect() succeeded, but the server's queue was full. What becomes of me?",
    setup="A server has listen(fd, 2), which has three places, and never accepts. Two clients "
    "are in; then two more connect at the same time, so that the queue is not yet full when "
    "their SYNs come. net.ipv4.tcp_abort_on_overflow is {abort}.",
    prediction="All four connects succeed, as both SYNs are answered; but the last ACK to come "
    "finds the queue full. By default the server's kernel ignores that ACK, and sends the "
    "SYN-ACK again after 1 s, in case there is a place by then: that client is connected to "
    "nobody, and is not told. With tcp_abort_on_overflow it is sent a RST at once.",
    parameters=(
        Parameter("abort", Kind.COUNT, 1, 0, 1, "tcp_abort_on_overflow of the server"),
        # Both SYNs must leave before the first is answered, and between them who sends them may
        # wait for its turn; at 1 s the timer of the SYN runs out before its answer comes.
        Parameter("rtt", Kind.TIME, 40 * MS, TURN_NS, 900 * MS, "round trip of the wire"),
    ),
    server=server,
    client=client,
    experiment=until_the_server_was_told,
    wire=delay,
    sysctls=lambda p: {"server": {"net.ipv4.tcp_abort_on_overflow": str(p.abort)}},
    expects=(
        Expect("connects that succeed", Kind.COUNT, lambda p: BACKLOG + 2,
               lambda e: e.returned["client"]["connected"],
               "RFC 9293 3.5: ESTABLISHED on receipt of the SYN-ACK"),
        Expect("the last two hear, by recv() without blocking", Kind.WORD,
               lambda p: "EAGAIN, ECONNRESET" if p.abort else "EAGAIN, EAGAIN",
               lambda e: ", ".join(e.returned["client"]["heard"]),
               "man 7 tcp, tcp_abort_on_overflow; tcp_v4_syn_recv_sock() of Linux finds the queue "
               "full, tcp_check_req() ignores the ACK or sends the RST"),
        Expect("SYN-ACKs of one connection, at most", Kind.COUNT,
               lambda p: 1 if p.abort else 2, most_synacks,
               "reqsk_timer_handler() of Linux: it is sent again; RFC 6298 2.1: 1 s"),
    ),
    connection=overflowed,
    seen=lambda e: (
        "At the last ACK RFC 9293 would have the server ESTABLISHED: this one stays in "
        "SYN-RECEIVED, since Linux finds no place for it."
    ),
    next=lambda p: (
        "`netlab study abort-on-overflow --set abort=0`: the default, and rightly: a reset is "
        "final, a busy moment is not."
        if p.abort
        else "`netlab study abort-on-overflow --set abort=1`: the client is told at once."
    ),
)  # fmt: skip
