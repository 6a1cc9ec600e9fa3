"""The congestion window of slow start, as the kernel tells it, against what was acknowledged."""

from __future__ import annotations

import socket
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.congestion.cwnd_reno import sysctls
from netlab.studies.flights import SEGMENT, Flights
from netlab.studies.parts import MS, delay
from netlab.studies.quantity import Kind
from netlab.studies.sockets import CWND, accepted, read_exactly, tcp_info
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Sweep, Topic

INITIAL = 10


def server(probe: Probe, p: Params) -> None:
    """Says when all is there."""
    sock = accepted(probe)
    read_exactly(sock, sent(p) * SEGMENT)
    sock.send(b"all")
    sock.recv(1)
    sock.close()


def client(probe: Probe, p: Params) -> Any:
    """Sends so many segments; when all are acknowledged, asks its kernel for the window."""
    sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 200 << 10)
    sock.connect(("server", PORT))
    sock.sendall(b"n" * (sent(p) * SEGMENT))
    sock.recv(100)  # a FIN would count as a segment more
    window = tcp_info(sock, CWND)
    sock.close()
    return window


def sent(p: Params) -> int:
    """All segments of the rounds 10, 20, 40, 80."""
    return INITIAL * ((1 << p.rounds) - 1)


STUDY = Study(
    name="cwnd-curve",
    topic=Topic.CONGESTION,
    question="The congestion window is a number of the sender's kernel. How does it follow what is "
    "sent and acknowledged?",
    setup="A client with reno sends as many segments as slow start lets out in one, two, three "
    "and four rounds; when all are acknowledged, it asks for tcpi_snd_cwnd.",
    prediction="It begins with 10 and grows by one for each segment that is acknowledged: 10 x 2^n"
    " after n rounds. On their way is at most what the window was before the last round's ACKs, "
    "half of that. A sender with nothing to send does not earn a larger window: what was not "
    "tried is not known to fit.",
    parameters=(
        Parameter("rounds", Kind.COUNT, 3, 1, 4, "of slow start that are filled"),
        Parameter("rtt", Kind.TIME, 80 * MS, 60 * MS, 300 * MS, "round trip of the wire"),
    ),
    server=server,
    client=client,
    wire=delay,
    sysctls=lambda p: sysctls("reno"),
    expects=(
        Expect("the congestion window, in segments", Kind.COUNT, lambda p: INITIAL << p.rounds,
               lambda e: e.returned["client"],
               "RFC 6928, RFC 3465; man 7 tcp, TCP_INFO"),
        Expect("segments on their way at most", Kind.COUNT, lambda p: INITIAL << (p.rounds - 1),
               lambda e: Flights(e).most(), "RFC 5681 3.1: never more than the window"),
    ),
    sweep=Sweep("rounds", (1, 2, 3, 4)),
    connection=None,
    next="`netlab study cwnd-reno`: what a loss does to it.",
)  # fmt: skip
