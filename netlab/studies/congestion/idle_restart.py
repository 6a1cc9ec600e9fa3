"""A connection that was idle: it begins anew."""

from __future__ import annotations

import socket

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.flights import SEGMENT, Flights
from netlab.studies.moments import around, seen_by_client, window
from netlab.studies.parts import MS, WIDE_RMEM, delay
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, read_exactly
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Topic, Window

INITIAL = 10
GROWS, BURST = 70, 60  # segments: the first lets the window grow to 80, the second is counted


def server(probe: Probe, p: Params) -> None:
    """Says when the first part is there; then reads to the end."""
    sock = accepted(probe)
    read_exactly(sock, GROWS * SEGMENT)
    sock.send(b"all")
    while sock.recv(1 << 16):
        pass
    sock.close()


def client(probe: Probe, p: Params) -> None:
    """Lets the congestion window grow, is idle, and has something to send again."""
    sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 200 << 10)
    sock.connect(("server", PORT))
    sock.sendall(b"n" * (GROWS * SEGMENT))
    sock.recv(100)
    probe.poll().poll(p.idle / MS)  # nothing is registered: it waits, and that is all
    sock.sendall(b"n" * (BURST * SEGMENT))
    sock.close()


def at_once(evidence: Evidence) -> int | None:
    """Segments that left after the pause before anything was acknowledged."""
    rounds = Flights(evidence).rounds(GROWS * SEGMENT)
    return rounds[0] if rounds else None


def moment(evidence: Evidence) -> list[Window]:
    """The end of the idle time: what leaves at once, and what only with the first ACKs."""
    flights = Flights(evidence)
    times = seen_by_client(evidence)
    first = [time_ns for time_ns, start, _ in flights.sent if start == GROWS * SEGMENT]
    acked = [time_ns for time_ns, until in flights.acked if until > GROWS * SEGMENT]
    if not first or not acked:
        return []
    return [
        *window(evidence.call("poll", host="client")),
        *around(times, first[0], 0, INITIAL - 1),
        *around(times, acked[0], 0, 6),
    ]


STUDY = Study(
    name="idle-restart",
    topic=Topic.CONGESTION,
    question="A connection had grown fast, then was idle for {idle}. How much leaves at once when "
    "there is something to send again?",
    setup="A client with reno sends 70 segments, by which its congestion window grows to 80. It "
    "is idle for {idle}, then has 60 segments to send; net.ipv4.tcp_slow_start_after_idle is "
    "{restart}. It sends no tail loss probes (net.ipv4.tcp_early_retrans 0).",
    prediction=lambda p: (
        ("10 segments, as on a new connection: what was learned of the network is old. "
         if p.restart
         else "All 60: with tcp_slow_start_after_idle 0 the window stays as it was. By default 10, "
         "as on a new connection, since what was learned of the network is old: ")
        + "Linux halves the window for every retransmission time-out (round trip + 200 ms) of "
        "silence, down to the initial window. A connection that is kept open for the next request "
        "begins slowly again."
        + (" With tcp_slow_start_after_idle 0 the window stays, and all 60 leave at once."
           if p.restart else "")
    ),
    parameters=(
        # From 80 to 10 takes three time-outs: each grows by up to 4 times what ACKs came late.
        Parameter("idle", Kind.TIME, 3000 * MS, 2500 * MS, 5000 * MS, "nothing is sent"),
        Parameter("restart", Kind.COUNT, 1, 0, 1, "net.ipv4.tcp_slow_start_after_idle"),
        Parameter("rtt", Kind.TIME, 100 * MS, 80 * MS, 120 * MS, "round trip of the wire"),
    ),
    server=server,
    client=client,
    wire=delay,
    sysctls=lambda p: {
        "client": {
            "net.ipv4.tcp_congestion_control": "reno",
            "net.ipv4.tcp_slow_start_after_idle": f"{p.restart}",
            "net.ipv4.tcp_early_retrans": "0",  # a probe would be a segment more in a round
        },
        "server": {"net.ipv4.tcp_rmem": WIDE_RMEM},
    },
    expects=(
        Expect("segments that leave at once", Kind.COUNT,
               lambda p: INITIAL if p.restart else BURST, at_once,
               "RFC 5681 4.1; tcp_cwnd_restart() of Linux"),
    ),
    seen=lambda e: "Segments in each round before: "
    + ", ".join(map(str, Flights(e).rounds()[:3])) + "; after: "
    + ", ".join(map(str, Flights(e).rounds(GROWS * SEGMENT))) + ".",
    next="`netlab study idle-restart --set restart={not_restart}`.",
    moment=moment,
)  # fmt: skip
