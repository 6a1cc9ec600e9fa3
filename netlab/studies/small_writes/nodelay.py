"""TCP_NODELAY: events that are small and many, and should be there soon."""

from __future__ import annotations

import socket

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence, held_ns
from netlab.studies.moments import call_on, nth, window
from netlab.studies.parts import MS, TURN_NS, delay
from netlab.studies.programs import reads_two_to_the_end
from netlab.studies.quantity import Kind
from netlab.studies.sockets import connected
from netlab.studies.study import Expect, Parameter, Params, Study, Topic, Window

EVENTS, SIZE, PAUSE_MS = 20, 20, 20


def client(probe: Probe, p: Params) -> None:
    """Sends events as they happen, without the option and with it."""
    pause = probe.poll()  # nothing is registered: it waits, and that is all
    for nodelay in (0, 1):
        sock = connected(probe)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, nodelay)
        for _ in range(EVENTS):
            sock.send(b"n" * SIZE)
            pause.poll(PAUSE_MS)
        sock.close()


def longest_ns(evidence: Evidence, connection: int) -> int | None:
    """The longest that an event lay in the client's stack."""
    held = [held_ns(evidence, call) for call in evidence.calls("send", connection=connection)]
    return max((one for one in held if one is not None), default=None)


def frames(evidence: Evidence, connection: int) -> int:
    """Segments with data."""
    return len(evidence.frames("c>s", data=True, connection=connection))


def moment(evidence: Evidence) -> list[Window]:
    """On the connection without the option: the first event, and those that wait for its ACK."""
    second = nth(evidence.frames("c>s", data=True), 1)
    return window(
        call_on(evidence, "send", host="client"), second.time_ns if second is not None else None
    )


STUDY = Study(
    name="nodelay",
    topic=Topic.SMALL_WRITES,
    question="Something happens every 20 ms, and 20 bytes tell of it. How late do they leave?",
    setup="A client sends 20 events of 20 bytes, 20 ms apart, over a wire with a round trip of "
    "{rtt}: on one connection as sockets come, on another with TCP_NODELAY.",
    prediction="With Nagle's algorithm up to a round trip late: one small segment is on its way, "
    "and what is written meanwhile waits for its ACK. The events come in bunches, one bunch in a"
    " round trip. With TCP_NODELAY each leaves at once, in a segment of its own: 52 bytes of "
    "headers for 20 of data. That is what games, terminals and request pipelines want.",
    parameters=(Parameter("rtt", Kind.TIME, 120 * MS, 80 * MS, 200 * MS, "round trip"),),
    server=reads_two_to_the_end,
    client=client,
    wire=delay,
    expects=(
        Expect("the longest that an event waited, by default", Kind.TIME,
               lambda p: p.rtt - PAUSE_MS * MS, lambda e: longest_ns(e, 0),
               "RFC 896; RFC 9293 3.7.4",
               less=PAUSE_MS * MS, more=PAUSE_MS * MS + 2 * TURN_NS,
               because="events come every 20 ms, so the first that waits is up to that late; a "
               "turn each for the wire's two frames"),
        Expect("with TCP_NODELAY", Kind.TIME, lambda p: 0, lambda e: longest_ns(e, 1),
               "man 7 tcp, TCP_NODELAY", more=TURN_NS,
               otherwise=lambda p: p.rtt - PAUSE_MS * MS,
               because="the client may lose its turn within send()"),
        Expect("segments with data, with TCP_NODELAY", Kind.COUNT, lambda p: EVENTS,
               lambda e: frames(e, 1), "each write is sent as soon as possible"),
    ),
    seen=lambda e: f"{EVENTS} events left in {frames(e, 0)} segments by default, in "
    f"{frames(e, 1)} with TCP_NODELAY.",
    next="`netlab study write-write-read`.",
    moment=moment,
)  # fmt: skip
