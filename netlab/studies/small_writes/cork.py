"""TCP_CORK: no small segment leaves until it is pulled out."""

from __future__ import annotations

import socket
import time
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import call_on, window
from netlab.studies.parts import BUSY_NS, MS, TURN_NS, timer_room
from netlab.studies.programs import reads_two_to_the_end
from netlab.studies.quantity import Kind
from netlab.studies.small_writes.nagle import frames
from netlab.studies.sockets import connected
from netlab.studies.study import Expect, Parameter, Params, Study, Topic, Window

PIECES = (100, 200, 300)
FORGOTTEN_NS = 350 * MS
RTO_NS = 200 * MS  # of a wire without delay


def client(probe: Probe, p: Params) -> Any:
    """Writes three pieces under a cork, and pulls it after a while; then one that it forgets."""
    sock = connected(probe)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    for size in PIECES:
        sock.send(b"n" * size)
    time.sleep(p.pause / 1e9)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
    sock.close()
    forgotten = connected(probe)
    forgotten.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    forgotten.send(b"n" * PIECES[0])
    time.sleep(FORGOTTEN_NS / 1e9)
    forgotten.close()


def first_after_ns(evidence: Evidence) -> int | None:
    """From the first send to the first segment with data."""
    return after_ns(evidence, 0)


def after_ns(evidence: Evidence, connection: int) -> int | None:
    """The same, of a connection."""
    send = next(iter(evidence.calls("send", host="client", connection=connection)), None)
    found = evidence.frames("c>s", data=True, connection=connection)
    return found[0][0].time_ns - send.entered_ns if send and found else None


def moment(evidence: Evidence) -> list[Window]:
    """From the option to the segment that left without it."""
    return window(
        call_on(evidence, "setsockopt", host="client"), call_on(evidence, "recv", host="server")
    )


STUDY = Study(
    name="cork",
    topic=Topic.SMALL_WRITES,
    question="Three writes under TCP_CORK, pulled after {pause}: when does what leave?",
    setup="A client sets TCP_CORK, writes 100, 200 and 300 bytes, waits for {pause} and takes"
    " the option off. On a second connection it writes 100 bytes and leaves the cork in for "
    "350 ms.",
    prediction="One segment of 600 bytes, after {pause}: under the cork only full segments "
    "leave. It is meant for a header and a file that belong together. Forgotten, it is no dam: "
    "a timer lets out what is there, after an RTO, here 200 ms.",
    parameters=(
        Parameter("pause", Kind.TIME, 100 * MS, 20 * MS, 180 * MS, "before it is pulled"),
    ),
    server=reads_two_to_the_end,
    client=client,
    expects=(
        Expect("segments with data", Kind.COUNT, lambda p: 1, frames, "man 7 tcp, TCP_CORK"),
        Expect("its bytes", Kind.SIZE, lambda p: sum(PIECES),
               lambda e: e.frames("c>s", data=True)[0][1].payload_len_bytes, "the same"),
        Expect("after the first send by", Kind.TIME, lambda p: p.pause, first_after_ns,
               "the same", more=2 * TURN_NS,
               because="a turn for the client once it has slept, and one for it among its writes"),
        Expect("forgotten, it leaves after", Kind.TIME, lambda p: RTO_NS,
               lambda e: after_ns(e, 1),
               "man 7 tcp: a ceiling of 200 ms; tcp_check_probe_timer() of Linux: an RTO",
               more=timer_room(RTO_NS) + BUSY_NS,
               because="the timer wheel is up to 1/8 late; a busy wire lengthens the RTO"),
        Expect("bytes that the server read", Kind.SIZE, lambda p: sum(PIECES) + PIECES[0],
               lambda e: e.returned["server"], "RFC 9293 2.2"),
    ),
    next="`netlab study nagle`: what holds them without it.",
    cause="cork",
    waits_on="server recv",
    moment=moment,
)  # fmt: skip
