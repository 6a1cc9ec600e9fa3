"""Reno: a loss halves the congestion window, then it grows by one segment in a round trip."""

from __future__ import annotations

import socket
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.flights import SEGMENT, Flights
from netlab.studies.moments import around, seen_by_client
from netlab.studies.parts import MS, WIDE_RMEM, delay
from netlab.studies.programs import reads_to_the_end
from netlab.studies.quantity import Kind
from netlab.studies.sockets import SSTHRESH, tcp_info
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Topic, Window

LOST = 31  # the first segment of the third round, in which 40 are on their way
SEGMENTS = 300
GROWTH_ROUNDS = 5


def client(probe: Probe, p: Params) -> Any:
    """Sends much; what its kernel took for the limit of slow start in the end."""
    sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 200 << 10)
    sock.connect(("server", PORT))
    sock.sendall(b"n" * (SEGMENTS * SEGMENT))
    sock.shutdown(socket.SHUT_WR)
    sock.recv(1)  # all was acknowledged
    threshold = tcp_info(sock, SSTHRESH)
    sock.close()
    return threshold


def wire(p: Params) -> str:
    """One segment is lost, once."""
    return f"{delay(p)}; drop c>s data {LOST}"


def sysctls(algorithm: str) -> dict[str, dict[str, str]]:
    """The client's congestion control, and a receiver whose window is no limit."""
    return {
        "client": {"net.ipv4.tcp_congestion_control": algorithm},
        "server": {"net.ipv4.tcp_rmem": WIDE_RMEM},
    }


def at_loss(evidence: Evidence) -> int | None:
    """Segments on their way when the loss could first be noticed: the congestion window."""
    found = Flights(evidence).on_the_way_behind((LOST - 1) * SEGMENT)
    return None if found is None else found // SEGMENT


def share(evidence: Evidence) -> int | None:
    """The threshold after the loss, in % of the window before it."""
    before = at_loss(evidence)
    return 100 * int(evidence.returned["client"]) // before if before else None


def windows_after(evidence: Evidence) -> list[int]:
    """Segments on their way at most, in each whole round after the loss was made good."""
    flights = Flights(evidence)
    again_ns = flights.first_copy_ns()
    if again_ns is None:
        return []
    out = max(stop for time_ns, _, stop in flights.sent if time_ns < again_ns)
    over_ns = next((time_ns for time_ns, until in flights.acked if until >= out), None)
    start = next((first for time_ns, first, _ in flights.sent if over_ns and time_ns > over_ns), 0)
    return flights.windows(start)[:-1]


def growth(evidence: Evidence) -> int | None:
    """How many segments more are on their way, so many rounds later; the first is not whole."""
    windows = windows_after(evidence)[1:]
    return windows[GROWTH_ROUNDS] - windows[0] if len(windows) > GROWTH_ROUNDS else None


def moment(evidence: Evidence) -> list[Window]:
    """The loss; the proof of it, and the resend; and what leaves once that is acknowledged."""
    times, flights = seen_by_client(evidence), Flights(evidence)
    again_ns = flights.first_copy_ns()
    lost = [f.time_ns for f, _ in evidence.frames("c>s", data=True) if f.arrived_ns is None]
    if again_ns is None or not lost:
        return []
    after = [time_ns for time_ns, _ in flights.acked if time_ns > again_ns + evidence.p.rtt // 2]
    return [
        (lost[0], lost[0]),
        *around(times, again_ns, 4, 3),
        *(around(times, after[0], 0, 5) if after else ()),
    ]


def seen(evidence: Evidence) -> str:
    """What the recording shows."""
    after = ", ".join(map(str, windows_after(evidence)))
    return (
        f"{at_loss(evidence)} segments were on their way when one was lost. In each round after "
        f"that was made good, at most: {after}."
    )


BEFORE = Expect(
    "segments on their way when the loss was noticed", Kind.COUNT, lambda p: 40, at_loss,
    "slow start: 10, 20, 40 (RFC 6928, RFC 5681 3.1)",
)  # fmt: skip

STUDY = Study(
    name="cwnd-reno",
    topic=Topic.CONGESTION,
    question="A segment is lost. What does reno do to the congestion window, and how does it "
    "grow again?",
    setup="A client with reno sends 300 segments; slow start makes it 40 in the third round, whose"
    " first segment the wire loses. The round trip is {rtt}.",
    prediction="It is halved: a loss means that the network was full, and half as much should "
    "fit. From there it grows by one segment in each round trip, until the next loss halves it "
    "again: additive increase, multiplicative decrease. On a long fast line that takes very "
    "long: a window of 1,000 needs 500 round trips to be back.",
    parameters=(Parameter("rtt", Kind.TIME, 100 * MS, 60 * MS, 300 * MS, "round trip"),),
    server=reads_to_the_end,
    client=client,
    wire=wire,
    sysctls=lambda p: sysctls("reno"),
    expects=(
        BEFORE,
        Expect("the threshold after it, in % of them", Kind.COUNT, lambda p: 50, share,
               "RFC 5681 3.1 (4): ssthresh = max(FlightSize / 2, 2 SMSS)"),
        Expect("segments more on their way, 5 rounds later", Kind.COUNT,
               lambda p: GROWTH_ROUNDS, growth, "RFC 5681 3.1: one segment in a round trip",
               less=1, more=1,
               because="the window grows when as many are acknowledged, which is now just before "
               "the end of a round, now just behind it"),
    ),
    moment=moment,
    seen=seen,
    next="`netlab study cwnd-cubic`: the same loss.",
)  # fmt: skip
