"""The congestion window of slow start, as the kernel tells it, against what was acknowledged."""

from __future__ import annotations

import socket
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.congestion.cwnd_reno import sysctls
from netlab.studies.evidence import Evidence
from netlab.studies.flights import SEGMENT, Flights
from netlab.studies.moments import around, seen_by_client
from netlab.studies.parts import MS, delay
from netlab.studies.quantity import Kind, shown
from netlab.studies.sockets import CWND, accepted, read_exactly, tcp_info
from netlab.studies.study import (
    PORT,
    Curves,
    Expect,
    Parameter,
    Params,
    Study,
    Sweep,
    Topic,
    Window,
)

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


def curves(evidence: Evidence) -> Curves:
    """The kernel's window as it was looked at, and what was on its way, over time."""
    flights = Flights(evidence)
    begun_ns = flights.sent[0][0]
    over_ns = flights.acked[-1][0]
    looks = [
        (state.time_ns - begun_ns, state.snd_cwnd)
        for state in evidence.tables.states
        if state.host == "client" and state.snd_cwnd and begun_ns <= state.time_ns <= over_ns
    ]
    times = sorted({*(ns for ns, _, _ in flights.sent), *(ns for ns, _ in flights.acked)})
    on_the_way = [(ns - begun_ns, flights.on_the_way(ns) // SEGMENT) for ns in times]
    return Curves("segments over time", (("congestion window", tuple(looks)),
                  ("on their way", tuple(on_the_way))), Kind.TIME, Kind.COUNT)  # fmt: skip


def seen(evidence: Evidence) -> str:
    """The smoothed round trips that the kernel told."""
    trips = [state.srtt_ns for state in evidence.tables.states
             if state.host == "client" and state.srtt_ns]  # fmt: skip
    if not trips:
        return ""
    return (
        f"srtt was {shown(Kind.TIME, min(trips))} to {shown(Kind.TIME, max(trips))} meanwhile: "
        "the window grows, what is on its way grows with it, and no queue does."
    )


def moment(evidence: Evidence) -> list[Window]:
    """The end of the first round, where each ACK lets out more than it acknowledges."""
    flights = Flights(evidence)
    if not flights.acked:
        return []
    return around(seen_by_client(evidence), flights.acked[0][0], 0, 10)


STUDY = Study(
    name="cwnd-curve",
    topic=Topic.CONGESTION,
    question="The congestion window is a number of the sender's kernel. How does it follow what is "
    "sent and acknowledged?",
    setup="A client with reno sends as many segments as slow start lets out in so many "
    "rounds, one to four; when all are acknowledged, it asks for tcpi_snd_cwnd.",
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
    sweep=Sweep("rounds", (1, 2, 4), (1, 2, 3, 4)),
    moment=moment,
    curves=curves,
    seen=seen,
    options={"sample_every_ns": 5 * MS},
    next="`netlab study cwnd-reno`: what a loss does to it.",
)  # fmt: skip
