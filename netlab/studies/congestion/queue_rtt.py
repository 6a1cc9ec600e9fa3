"""More on its way than the line holds: it waits in a queue, and the round trip grows."""

from __future__ import annotations

import socket
from statistics import median
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.flights import SEGMENT, Flights
from netlab.studies.moments import there, window
from netlab.studies.parts import MS, TURN_NS, US, S, delay
from netlab.studies.quantity import Kind, shown
from netlab.studies.sockets import SRTT_US, accepted, read_to_end, tcp_info
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Sweep, Topic, Window

FRAME_NS = 8 * 1514 * S // 4_000_000  # that a line of 4 Mbit/s takes for a full segment
WARM_UP, ROUNDS = 60, 4


def client(probe: Probe, p: Params) -> Any:
    """Sends, has the last of it in its buffer, and asks its kernel for the round trip."""
    sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 200 << 10)
    sock.connect(("server", PORT))
    sock.sendall(b"n" * ((WARM_UP + ROUNDS * p.flight) * SEGMENT))
    sock.shutdown(socket.SHUT_WR)
    sock.recv(1)  # all was acknowledged
    srtt_us = tcp_info(sock, SRTT_US)
    sock.close()
    return srtt_us * US


def server(probe: Probe, p: Params) -> None:
    """Reads to the end; its SO_RCVBUF is the one whose window is so many segments.

    Doubled, 160 / 256 of it are window: see window-rtt.
    """
    sock = accepted(probe, rcvbuf=(p.flight + 1) * SEGMENT * 4 // 5)
    read_to_end(sock)
    sock.close()


def trip_ns(p: Params) -> int:
    """The line's own round trip, or the time that all of them take to pass it."""
    return max(p.rtt + FRAME_NS, p.flight * FRAME_NS)


def trip(evidence: Evidence) -> int | None:
    """The round trip of most segments, once so many are on their way.

    Not of the last: where a late wire or sender lets the line run empty, those that then leave all
    at once wait both for each other and for the way, until the queue has settled again.
    """
    trips = Flights(evidence).trips_ns(WARM_UP * SEGMENT)
    return round(median(trips)) if trips else None


def seen(evidence: Evidence) -> str:
    """What the kernel made of the last of them."""
    srtt = shown(Kind.TIME, evidence.returned["client"])
    return f"In the end the smoothed round trip of the client's kernel (tcpi_rtt) was {srtt}."


def moment(evidence: Evidence) -> list[Window]:
    """A segment late in the transfer: it leaves, it arrives, and its ACK comes back."""
    sent = evidence.frames("c>s", data=True)
    if not sent:
        return []
    packet, segment = sent[3 * len(sent) // 4]
    answers = [
        frame
        for frame, ack in evidence.frames("s>c")
        if (ack.ack or 0) > segment.stop and frame.arrived_ns is not None
    ]
    first = min(answers, key=lambda frame: frame.arrived_ns or 0, default=None)
    return [
        *window(packet.time_ns),
        *window(there(packet), first.time_ns if first else None),
        *window(there(first)),
    ]


STUDY = Study(
    name="queue-rtt",
    topic=Topic.CONGESTION,
    question="A line of 4 Mbit/s has a round trip of {rtt}. What is the round trip when more and "
    "more segments are on their way?",
    setup="A client sends over that line; the server's SO_RCVBUF lets so many segments be on "
    "their way at once. What waits at the line waits in a queue that loses nothing.",
    prediction="As it is, up to what the line holds: at 4 Mbit/s a segment takes 3 ms, so as many "
    "as {rtt} have 3 ms. From there each one more waits those 3 ms in the queue, and nothing gets "
    "faster: the round trip is segments x 3 ms. A sender that waits for losses to learn its limit "
    "fills whatever queue there is, and everybody else's packets stand in it too: bufferbloat.",
    parameters=(
        Parameter("flight", Kind.COUNT, 32, 4, 80, "segments on their way at once"),
        Parameter("rtt", Kind.TIME, 40 * MS, 20 * MS, 80 * MS, "round trip of the wire"),
    ),
    server=server,
    client=client,
    wire=lambda p: f"{delay(p)}; rate 4mbit",
    sysctls=lambda p: {"client": {"net.ipv4.tcp_congestion_control": "reno"}},
    expects=(
        Expect("the round trip, median", Kind.TIME, trip_ns, trip,
               "Little's law: packets on their way = rate x time; RFC 9293 3.8.6.3: an ACK tells "
               "of two segments",
               less=2 * FRAME_NS, more=FRAME_NS + TURN_NS,
               because="whole segments: of two that an ACK tells of the first had left sooner, and "
               "the line is given one or two at once; a turn, for the wire's two frames may wait "
               "for one each, and do so now and then"),
        Expect("segments on their way at most", Kind.COUNT, lambda p: p.flight,
               lambda e: Flights(e).most(),
               "the window: netlab study window-rtt", less=1, more=1, because="whole segments"),
    ),
    sweep=Sweep("flight", (4, 24, 64), (4, 8, 16, 24, 32, 48, 64, 80)),
    moment=moment,
    seen=seen,
    next="`netlab study cwnd-bbr`: a sender that stays out of the queue.",
)  # fmt: skip
