"""TCP_CORK: no small segment leaves until it is pulled out."""

from __future__ import annotations

import socket
import time
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import call_on, window
from netlab.studies.parts import MS
from netlab.studies.programs import reads_to_the_end
from netlab.studies.quantity import Kind
from netlab.studies.small_writes.nagle import frames
from netlab.studies.sockets import connected
from netlab.studies.study import Expect, Parameter, Params, Study, Topic, Window

PIECES = (100, 200, 300)


def client(probe: Probe, p: Params) -> Any:
    """Writes three pieces under a cork, and pulls it after a while."""
    sock = connected(probe)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    for size in PIECES:
        sock.send(b"n" * size)
    time.sleep(p.pause / 1e9)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
    sock.close()


def first_after_ns(evidence: Evidence) -> int | None:
    """From the first send to the first segment with data."""
    send = evidence.call("send", host="client")
    found = evidence.frames("c>s", data=True)
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
    " the option off.",
    prediction="One segment of 600 bytes, after {pause}: under the cork only full segments "
    "leave. It is meant for a header and a file that belong together. Forgotten, it is pulled"
    " by a timer, the RTO (200 ms and more).",
    parameters=(
        Parameter("pause", Kind.TIME, 100 * MS, 20 * MS, 180 * MS, "before it is pulled"),
    ),
    server=reads_to_the_end,
    client=client,
    expects=(
        Expect("segments with data", Kind.COUNT, lambda p: 1, frames, "man 7 tcp, TCP_CORK"),
        Expect("its bytes", Kind.SIZE, lambda p: sum(PIECES),
               lambda e: e.frames("c>s", data=True)[0][1].payload_len_bytes, "the same"),
        Expect("after the first send by", Kind.TIME, lambda p: p.pause, first_after_ns,
               "the same", more=40 * MS, because="the sleep ends late on a busy machine"),
        Expect("bytes that the server read", Kind.SIZE, lambda p: sum(PIECES),
               lambda e: e.returned["server"], "RFC 9293 2.2"),
    ),
    next="`netlab study nagle`: what holds them without it.",
    cause="cork",
    waits_on="server recv",
    moment=moment,
)  # fmt: skip
