"""The end of a message is lost: nothing comes behind it that could tell."""

from __future__ import annotations

import socket

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence, Frame, gap_ns
from netlab.studies.moments import back, nth, there, window
from netlab.studies.parts import BUSY_NS, MS, TICK_NS, TURN_NS, delay, timer_room
from netlab.studies.quantity import Kind
from netlab.studies.sockets import RTO_US, accepted, connected, read_exactly, tcp_info
from netlab.studies.study import Expect, Parameter, Params, Study, Topic, Window
from netlab.studies.timeouts.rto_backoff import SIZE, WARM_UP

SEGMENT, SEGMENTS = 1448, 4
LOST = 2  # the last ones
LONGER_NS = 5 * MS  # than any trip before: more than the quickest of them may wait for the wire


def server(probe: Probe, p: Params) -> None:
    """Answers each message; the last is longer."""
    sock = accepted(probe)
    for size in (*[SIZE] * WARM_UP, SEGMENTS * SEGMENT):
        read_exactly(sock, size)
        sock.send(b"n" * SIZE)
    sock.recv(1)
    sock.close()


def client(probe: Probe, p: Params) -> int:
    """Some exchanges; then a message of some segments. Its kernel's RTO before that, in ns."""
    sock = connected(probe)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in range(WARM_UP):
        sock.send(b"n" * SIZE)
        read_exactly(sock, SIZE)
    rto_us = tcp_info(sock, RTO_US)
    for _ in range(SEGMENTS):
        sock.send(b"n" * SEGMENT)
    read_exactly(sock, SIZE)
    sock.close()
    return rto_us * 1000


def copies(evidence: Evidence) -> list[Frame]:
    """The last segment, each time that it left."""
    start = WARM_UP * SIZE + (SEGMENTS - 1) * SEGMENT
    return [frame for frame in evidence.frames("c>s", data=True) if frame[1].start == start]


def saved_ns(evidence: Evidence) -> int | None:
    """How much sooner the probe left than the RTO, counted from the ACK of what was not lost."""
    again = copies(evidence)
    whole = WARM_UP * SIZE + (SEGMENTS - LOST) * SEGMENT
    acks = [
        packet.arrived_ns
        for packet, segment in evidence.frames("s>c")
        if segment.ack == whole + 1 and packet.arrived_ns is not None
    ]
    if len(again) < 2 or not acks:
        return None
    return int(evidence.returned["client"]) - (again[1][0].time_ns - acks[0])


def probe_after_ns(p: Params) -> int:
    """A round trip until the ACK of the others, from there two more and two ticks."""
    return 3 * p.rtt + 2 * TICK_NS


def wire(p: Params) -> str:
    """The last segments are lost, when they leave for the first time; the probe is held up.

    Of a copy that is answered sooner than anything before it RACK takes no notice: that may be the
    answer to the one before (tcp_rack_advance() of Linux). The hole would wait for the RTO then.
    """
    last = WARM_UP + SEGMENTS
    lost = f"drop c>s data {last - LOST + 1}-{last} copy 1"
    return f"{delay(p)}; {lost}; delay c>s data {last} copy 2 by {LONGER_NS}ns"


def moment(evidence: Evidence) -> list[Window]:
    """The segments that are lost; from the ACK of the others until all is read, and answered."""
    first = WARM_UP + SEGMENTS - LOST
    sends = evidence.calls("send", host="client")[first : first + LOST]
    answer = evidence.call("recv", -1, host="client")
    acks = [
        packet.arrived_ns
        for packet, segment in evidence.frames("s>c")
        if segment.ack == WARM_UP * SIZE + (SEGMENTS - LOST) * SEGMENT + 1
    ]
    return [
        *window(*sends, answer.entered_ns if answer is not None else None),
        *window(*acks[:1], back(evidence.longest("server recv"))),
        *window(there(nth(evidence.frames("s>c", data=True), -1)), back(answer)),
    ]


STUDY = Study(
    name="tail-loss",
    topic=Topic.TIMEOUTS,
    question="The end of a message is lost. What tells the sender, if no ACK does?",
    setup="After some exchanges over {rtt} of round trip a client sends four segments, of which "
    "the wire loses the last two, and takes 5 ms longer for what is sent again first.",
    prediction="A tail loss probe: when nothing has come for two round trips (since the ACK of the "
    "first two segments), Linux sends the last segment once more, long before the retransmission "
    "timer (round trip + 200 ms) would. The receiver's SACK of it shows the hole before it, which "
    "is filled at once. (Of a lone segment the ACK may be delayed: there the probe waits 200 ms "
    "more, and saves next to nothing.)",
    parameters=(Parameter("rtt", Kind.TIME, 40 * MS, 10 * MS, 120 * MS, "round trip of the wire"),),
    server=server,
    client=client,
    wire=wire,
    expects=(
        Expect("copies of the last segment that left", Kind.COUNT, lambda p: 2,
               lambda e: len(copies(e)), "RFC 8985 7.3"),
        Expect("the second left after", Kind.TIME, probe_after_ns, lambda e: gap_ns(copies(e)),
               "RFC 8985 7.2; tcp_schedule_loss_probe() of Linux",
               less=TICK_NS, more=lambda p: timer_room(probe_after_ns(p)) + 2 * TURN_NS + BUSY_NS,
               because="it is set in ticks; the timer wheel is up to 1/8 late; a turn each for the "
               "wire's two frames, now, and in the trips of which two are waited for"),
        Expect("that is sooner than the retransmission timer by", Kind.TIME,
               lambda p: 200 * MS - p.rtt - 2 * TICK_NS, saved_ns,
               "RFC 8985 7.1: an RTO is srtt + 200 ms here, two round trips are less",
               less=lambda p: timer_room(2 * p.rtt) + BUSY_NS, more=TICK_NS + BUSY_NS,
               because="the same"),
    ),
    moment=moment,
    cause="tail_loss_probe",
    next="`netlab study rto-backoff`: when no probe is sent.",
)  # fmt: skip
