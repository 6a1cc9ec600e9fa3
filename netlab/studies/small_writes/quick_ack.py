"""The first ACKs of a connection are not delayed."""

from __future__ import annotations

import socket

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.parts import MS, TICK_NS, TURN_NS
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, connected
from netlab.studies.study import PORT, Expect, Params, Study, Topic, Window

SENDS, QUICK = 17, 16  # TCP_MAX_QUICKACKS of Linux
PAUSE_MS = 10  # less than half of the shortest delay of an ACK
AT_ONCE_NS = 20 * MS  # half of it


def server(probe: Probe, p: Params) -> None:
    """Accepts, and reads nothing until it is told to."""
    word = probe.socket(socket.AF_INET, socket.SOCK_DGRAM)
    word.bind(("0.0.0.0", PORT))
    sock = accepted(probe)
    word.recv(1)
    while sock.recv(100):
        pass
    sock.close()
    word.close()


def client(probe: Probe, p: Params) -> None:
    """Sends small segments one after the other, each acknowledged before the next."""
    sock = connected(probe)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    pause = probe.poll()  # nothing is registered: it waits, and that is all
    for _ in range(SENDS):
        sock.send(b"n" * 100)
        pause.poll(PAUSE_MS)
    pause.poll(150)
    with probe.socket(socket.AF_INET, socket.SOCK_DGRAM) as word:
        word.sendto(b"n", ("server", PORT))
    sock.close()


def ack_after_ns(evidence: Evidence) -> list[int]:
    """Of each segment: from its arrival to the departure of the first ACK of it."""
    acks = [(f.time_ns, s.ack or 0) for f, s in evidence.frames("s>c")]
    found = []
    for frame, segment in evidence.frames("c>s", data=True):
        times = [time_ns for time_ns, ack in acks if ack > segment.stop]
        if times and frame.arrived_ns is not None:
            found.append(times[0] - frame.arrived_ns)
    return found


def quick(evidence: Evidence) -> int:
    """How many were acknowledged at once, before the first that was not."""
    times = ack_after_ns(evidence)
    return next((n for n, time_ns in enumerate(times) if time_ns > AT_ONCE_NS), len(times))


def slow_ns(evidence: Evidence) -> int | None:
    """How long the first ACK took that did not come at once."""
    return next((time_ns for time_ns in ack_after_ns(evidence) if time_ns > AT_ONCE_NS), None)


def moment(evidence: Evidence) -> list[Window]:
    """From the last quick one to the first that is late."""
    frames = evidence.frames("c>s", data=True)
    if len(frames) < SENDS:
        return []
    return [(frames[QUICK - 2][0].time_ns, frames[QUICK][0].time_ns + 100 * MS)]


STUDY = Study(
    name="quick-ack",
    topic=Topic.SMALL_WRITES,
    question="A connection is new. How many segments are acknowledged at once, before the "
    "receiver begins to delay its ACKs?",
    setup="A client sends 17 segments of 100 bytes, 10 ms apart, to a server whose program does "
    "not read and sends nothing.",
    prediction="16. A sender that has just begun grows its congestion window with each ACK, so "
    "the receiver helps it: Linux has a budget of 16 ACKs that it does not delay. The next one "
    "waits 40 ms for something to ride on. The budget is given anew after a loss or a long "
    "pause; TCP_QUICKACK gives it by hand.",
    server=server,
    client=client,
    expects=(
        Expect("segments acknowledged at once", Kind.COUNT, lambda p: QUICK, quick,
               "TCP_MAX_QUICKACKS of Linux; RFC 5681 4.2 allows it"),
        Expect("the next ACK leaves after", Kind.TIME, lambda p: 40 * MS, slow_ns,
               "TCP_DELACK_MIN of Linux (HZ/25); RFC 1122 4.2.3.2: less than 0.5 s",
               more=2 * TICK_NS + TURN_NS,
               because="the timer counts ticks; the wire may lose its turn as it hands the segment "
               "over"),
    ),
    moment=moment,
    next="`netlab study delayed-ack`: in a conversation.",
)  # fmt: skip
