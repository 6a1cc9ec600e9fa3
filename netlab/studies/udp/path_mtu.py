"""A link in the middle takes only smaller packets, and says so."""

from __future__ import annotations

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import there, window
from netlab.studies.parts import RTT, delay
from netlab.studies.programs import reads_to_the_end
from netlab.studies.quantity import Kind
from netlab.studies.sockets import connected
from netlab.studies.study import Expect, Parameter, Params, Study, Topic, Window

SENT = 5_003
HEADERS = 20 + 32  # of IPv4, and of TCP with timestamps
LINK_MTU = 1500


def client(probe: Probe, p: Params) -> None:
    """Sends a number of full segments."""
    sock = connected(probe)
    sock.sendall(b"n" * SENT)
    sock.close()


def largest(evidence: Evidence, delivered: bool) -> int:
    """The payload of the largest segment: of those that arrived, or of all."""
    return max(
        (
            segment.payload_len_bytes
            for packet, segment in evidence.frames("c>s", data=True)
            if not delivered or packet.arrived_ns is not None
        ),
        default=0,
    )


def too_large_after(evidence: Evidence) -> int | None:
    """Segments that were still too large once the first message was there."""
    told = [f.arrived_ns for f in evidence.packets("ICMP") if f.arrived_ns is not None]
    if not told:
        return None
    fits = evidence.p.mtu - HEADERS
    return sum(
        packet.time_ns > told[0] and segment.payload_len_bytes > fits
        for packet, segment in evidence.frames("c>s", data=True)
    )


def moment(evidence: Evidence) -> list[Window]:
    """What is too large is cut smaller as soon as the router has said so; how that arrives."""
    told = there(next(iter(evidence.packets("ICMP")), None))
    smaller = [
        packet
        for packet, _ in evidence.frames("c>s", data=True)
        if told is not None and packet.time_ns > told
    ]
    if not smaller:
        return window(evidence.call("sendall"))
    at_once = [one for one in smaller if one.time_ns - smaller[0].time_ns < evidence.p.rtt // 2]
    came_ns = there(at_once[-1])
    read_ns = [
        call.returned_ns
        for call in evidence.calls("recv", host="server")
        if came_ns is not None and call.returned_ns is not None and call.returned_ns > came_ns
    ]
    return [
        *window(evidence.call("sendall"), at_once[-1].time_ns),
        *window(there(smaller[0])),
        *window(came_ns, min(read_ns, default=None)),
    ]


STUDY = Study(
    name="path-mtu",
    topic=Topic.UDP,
    question="My link takes 1,500 bytes, one further on only {mtu}. How does TCP find out?",
    setup="A client sends 5,003 bytes. In the middle there is a link with an MTU of {mtu}, whose "
    "router answers as RFC 1191 says.",
    prediction="By losing a packet. TCP sets `don't fragment` in each; the router throws away "
    "those that do not fit, and sends ICMP `fragmentation needed`, with its MTU. The kernel "
    "remembers that for this destination, cuts the same bytes smaller, {mtu} less 52 of headers, "
    "and sends them again. No segment is too large from then on. The program knows nothing.",
    parameters=(
        Parameter("mtu", Kind.SIZE, 1400, 576, 1499, "of the link in the middle"),
        RTT,
    ),
    server=reads_to_the_end,
    client=client,
    wire=lambda p: "; ".join(filter(None, [delay(p), f"mtu {p.mtu}"])),
    expects=(
        Expect("payload of the first full segments", Kind.SIZE, lambda p: LINK_MTU - HEADERS,
               lambda e: largest(e, delivered=False), "RFC 9293 3.7.1: the MTU of its own link"),
        Expect("of the largest that arrived", Kind.SIZE, lambda p: p.mtu - HEADERS,
               lambda e: largest(e, delivered=True), "RFC 1191 3; RFC 9293 3.7.2"),
        Expect("ICMP `fragmentation needed`", Kind.WORD, lambda p: "some",
               lambda e: "some" if e.packets("ICMP") else "none", "RFC 1191 4"),
        Expect("segments that were too large after it had come", Kind.COUNT, lambda p: 0,
               too_large_after, "tcp_v4_mtu_reduced() of Linux"),
        Expect("bytes that the server read", Kind.SIZE, lambda p: SENT,
               lambda e: e.returned["server"], "RFC 9293 2.2"),
    ),
    moment=moment,
    next="`netlab study black-hole`: a router that does not say it.",
)  # fmt: skip
