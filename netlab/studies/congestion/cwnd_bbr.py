"""BBR: what is on its way follows from what was measured, not from what was lost."""

from __future__ import annotations

import socket
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.congestion.cwnd_reno import sysctls
from netlab.studies.evidence import Evidence
from netlab.studies.flights import SEGMENT, Flights
from netlab.studies.moments import around, seen_by_client
from netlab.studies.parts import MS, TURN_NS, S, delay, lacks_algorithm
from netlab.studies.programs import reads_to_the_end
from netlab.studies.quantity import Kind
from netlab.studies.sockets import CWND, tcp_info
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Topic, Window

FRAME_BITS = 8 * 1514  # of a full segment, as the wire counts it
# bbr_quantization_budget() and bbr_target_cwnd(): three bursts of two segments, and two more.
BUDGET = 3 * 2 + 2
AGGREGATION_NS = 100 * MS  # bbr_extra_acked_max_us: so much more, because ACKs come in bunches


def client(probe: Probe, p: Params) -> Any:
    """Sends for a while; what its congestion window is then."""
    sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.connect(("server", PORT))
    sock.sendall(b"n" * (p.time // frame_ns(p) * SEGMENT))
    window = tcp_info(sock, CWND)
    sock.close()
    return window


def frame_ns(p: Params) -> int:
    """How long the wire takes to send a full frame."""
    return FRAME_BITS * 1000 // p.kbits * 1000


def bdp(p: Params) -> int:
    """Segments that fill the wire once: the bandwidth-delay product."""
    return -(-(p.rtt + frame_ns(p)) // frame_ns(p))


def bunches(p: Params) -> int:
    """Segments that the window may have beyond twice the product."""
    return BUDGET + AGGREGATION_NS // frame_ns(p)


def of_slow_start(p: Params) -> int:
    """Segments on their way when all are sent, if the queue is filled: half, for each ACK lets
    two leave. With a queue that loses nothing reno would not stop before."""
    return p.time // frame_ns(p) // 2


def window(evidence: Evidence) -> int:
    """In segments, at the end."""
    return int(evidence.returned["client"])


def late_flight(evidence: Evidence) -> int | None:
    """Segments on their way in the last quarter of the transfer: the median."""
    flights = Flights(evidence)
    times = [time_ns for time_ns, _, _ in flights.sent]
    late = times[3 * len(times) // 4 :: 7]
    found = sorted(flights.on_the_way(time_ns) // SEGMENT for time_ns in late)
    return found[len(found) // 2] if found else None


def late_rate(evidence: Evidence) -> int | None:
    """Bytes a second that came through the line in the last quarter of the transfer.

    Not before: where the round trip is long, the third lets the queue of slow start run dry.
    """
    came = [
        (frame.arrived_ns, segment.start)
        for frame, segment in evidence.frames("c>s", data=True)
        if frame.arrived_ns is not None
    ]
    late = came[3 * len(came) // 4 :]
    if len(late) < 2:
        return None
    return (late[-1][1] - late[0][1]) * S // (late[-1][0] - late[0][0])


def moment(evidence: Evidence) -> list[Window]:
    """In the middle: an ACK, a segment, an ACK, a segment, as the line takes them."""
    times = seen_by_client(evidence)
    return around(times, times[len(times) // 2], 0, 4) if times else []


def rate_room(p: Params) -> int:
    """Of the rate: a quarter of it for a round trip, and two turns, in a quarter of the time."""
    return SEGMENT * S // frame_ns(p) * (p.rtt + 4 * 2 * TURN_NS) // p.time


STUDY = Study(
    name="cwnd-bbr",
    topic=Topic.CONGESTION,
    question="A line of {kbits} kbit/s and {rtt}, with a queue that loses nothing. How much does "
    "BBR have on its way?",
    setup="A client with bbr sends as much as the line carries in {time}. Where the line is slow, "
    "up to 1,000 frames may wait.",
    prediction="About what fills the line once, or twice: BBR measures the highest rate at which "
    "ACKs come and the shortest round trip, and their product is what the line itself holds. It "
    "paces at that rate, and its congestion window is twice the product, for ACKs that come late "
    "and in bunches. It asks no loss to find its limit: reno and cubic would fill the queue to "
    "the last place first.",
    parameters=(
        Parameter("kbits", Kind.COUNT, 4000, 2000, 8000, "rate of the line, in kbit/s"),
        Parameter("rtt", Kind.TIME, 60 * MS, 40 * MS, 100 * MS, "round trip of the wire"),
        Parameter("time", Kind.TIME, 2 * S, 2 * S, 6 * S, "that the transfer takes"),
    ),
    server=reads_to_the_end,
    client=client,
    wire=lambda p: f"{delay(p)}; rate {p.kbits}kbit",
    sysctls=lambda p: sysctls("bbr"),
    expects=(
        Expect("the congestion window at the end, in segments", Kind.COUNT,
               lambda p: 2 * bdp(p), window,
               "bbr_cwnd_gain, bbr_quantization_budget(), bbr_extra_acked_max_us of tcp_bbr.c",
               less=lambda p: bdp(p) // 4, more=lambda p: bdp(p) // 2 + bunches(p),
               otherwise=of_slow_start,
               because="what came in bunches within 100 ms is added, and so are bursts; a rate "
               "that is measured is up to a quarter too low, or too high, as it probes"),
        Expect("bytes a second through the line, late in the transfer", Kind.SIZE,
               lambda p: SEGMENT * S // frame_ns(p), late_rate,
               "the rate of the line, less headers: bbr_pacing_gain of tcp_bbr.c",
               less=rate_room, more=rate_room,
               because="it probes by 5/4 and lets go by 3/4, for a round trip each, of which the "
               "last quarter of the transfer may have only one; two turns at its begin or end"),
        Expect("segments on their way late in the transfer", Kind.COUNT,
               bdp, late_flight, "bbr paces at the rate of the line: draft-ietf-ccwg-bbr",
               less=lambda p: bdp(p) // 4, more=lambda p: bdp(p) + bdp(p) // 2 + bunches(p),
               otherwise=of_slow_start,
               because="it lets go by 3/4; it is the window where the rate was measured too high, "
               "from ACKs in bunches"),
        Expect("segments sent again", Kind.COUNT, lambda p: 0,
               lambda e: int(Flights(e).first_copy_ns() is not None), "nothing was lost"),
    ),
    lacks=lambda: lacks_algorithm("bbr"),
    moment=moment,
    next="`netlab study queue-rtt`: what a queue does to the round trip.",
)  # fmt: skip
