"""Slow start: ten segments, and twice as many in each round trip."""

from __future__ import annotations

import socket

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.flights import SEGMENT, Flights
from netlab.studies.moments import around, seen_by_client
from netlab.studies.parts import MS, WIDE_RMEM, delay
from netlab.studies.programs import reads_to_the_end
from netlab.studies.quantity import Kind
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Topic, Window

INITIAL, ROUNDS = 10, 4
SEGMENTS = INITIAL * (2**ROUNDS - 1)


def in_round(number: int) -> Expect:
    """What is expected of one round."""

    def left(evidence: Evidence) -> int | None:
        rounds = Flights(evidence).rounds()
        return rounds[number - 1] if number <= len(rounds) else None

    return Expect(
        f"segments in round {number}",
        Kind.COUNT,
        lambda p: INITIAL << (number - 1),
        left,
        "RFC 6928: 10 at first"
        if number == 1
        else "RFC 5681 3.1, RFC 3465: one more for each that is acknowledged",
    )


def client(probe: Probe, p: Params) -> None:
    """Has all of it in its send buffer from the start."""
    sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 200 << 10)
    sock.connect(("server", PORT))
    sock.sendall(b"n" * (SEGMENTS * SEGMENT))
    sock.close()


def moment(evidence: Evidence) -> list[Window]:
    """The first round, and how the ACKs begin the second."""
    flights = Flights(evidence)
    sent = evidence.call("sendall")
    if sent is None or len(flights.sent) < 10 or not flights.acked:
        return []
    return [
        (sent.entered_ns, flights.sent[9][0]),
        *around(seen_by_client(evidence), flights.acked[0][0], 0, 10),
    ]


STUDY = Study(
    name="slow-start",
    topic=Topic.CONGESTION,
    question="A connection is new, and there is much to send. How much leaves in each round trip?",
    setup="A client with reno as its congestion control has more to send than may leave at once. "
    "The receiver's window and the wire have room; a round trip takes {rtt}. It sends no tail loss "
    "probes (net.ipv4.tcp_early_retrans 0).",
    prediction="10 segments, then 20, 40, 80: nobody has said how fast the network is, so the "
    "sender begins with ten and adds one for each that is acknowledged. That doubles what is on "
    "its way in each round trip, until something is lost. A short answer never gets to know the "
    "speed of its line: 100 kB take three round trips on any.",
    parameters=(
        Parameter("rtt", Kind.TIME, 100 * MS, 80 * MS, 500 * MS, "round trip of the wire"),
    ),
    server=reads_to_the_end,
    client=client,
    wire=delay,
    sysctls=lambda p: {
        # A probe would be a segment more in a round whose ACKs take two round trips.
        "client": {
            "net.ipv4.tcp_congestion_control": "reno",
            "net.ipv4.tcp_early_retrans": "0",
        },
        "server": {"net.ipv4.tcp_rmem": WIDE_RMEM},
    },
    expects=tuple(map(in_round, range(1, ROUNDS + 1))),
    moment=moment,
    next="`netlab study idle-restart`: how long a connection keeps what it has learned.",
)  # fmt: skip
