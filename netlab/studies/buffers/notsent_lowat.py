"""TCP_NOTSENT_LOWAT: a program that does not write ahead of the network."""

from __future__ import annotations

import array
import fcntl
import select
import socket
import time
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import around, seen_by_client, window
from netlab.studies.parts import MS, S
from netlab.studies.programs import reads_two_to_the_end
from netlab.studies.quantity import Kind
from netlab.studies.sockets import connected, trial
from netlab.studies.study import Expect, Parameter, Params, Study, Topic, Window

TCP_NOTSENT_LOWAT = 25
SIOCOUTQNSD = 0x894B  # linux/sockios.h: bytes that have not been sent yet
WRITE = 4096


def not_sent(sock: Any) -> int:
    """What lies in the send buffer and has never left."""
    answer = array.array("i", [0])
    fcntl.ioctl(sock.fileno(), SIOCOUTQNSD, answer)
    return answer[0]


def writes_for_a_while(probe: Probe, sock: Any, until_s: float) -> int:
    """Writes whenever poll() says that it may; the most that then lay unsent."""
    sock.setblocking(False)
    writable = probe.poll()
    writable.register(sock, select.POLLOUT)
    most = 0
    while time.monotonic() < until_s and writable.poll(1000):
        if trial(sock.send, b"n" * WRITE)["error"] == "":
            most = max(most, not_sent(sock))
    sock.setblocking(True)
    sock.close()
    return most


def client(probe: Probe, p: Params) -> Any:
    """The same with the option, and without."""
    found = {}
    for name, lowat in (("with", p.lowat), ("without", 0)):
        sock = connected(probe)
        if lowat:
            sock.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, lowat)
        found[name] = writes_for_a_while(probe, sock, time.monotonic() + p.time / S)
    return found


def moment(evidence: Evidence) -> list[Window]:
    """With the option: the longest wait for POLLOUT, what ends it, the writes around it."""
    sends = evidence.calls("send", host="client", connection=0)
    waits = [one for one in evidence.calls("poll", host="client") if one.returned_ns]
    waits = [one for one in waits if sends and one.entered_ns < sends[-1].entered_ns]
    longest = max(waits, key=lambda one: (one.returned_ns or 0) - one.entered_ns, default=None)
    if longest is None or longest.returned_ns is None:
        return []
    return [
        *window(
            next((one for one in reversed(sends) if one.entered_ns < longest.entered_ns), None),
            longest.entered_ns,
        ),
        *around(seen_by_client(evidence), longest.returned_ns, 3, 0),
        *window(
            longest.returned_ns, next(one for one in sends if one.entered_ns > longest.entered_ns)
        ),
    ]


STUDY = Study(
    name="notsent-lowat",
    topic=Topic.BUFFERS,
    question="poll() said POLLOUT, the program wrote. How old is a byte when it leaves?",
    setup="A client writes 4,096 bytes whenever poll() lets it, for {time}, over a line of 2 "
    "Mbit/s with a round trip of 20 ms: once with TCP_NOTSENT_LOWAT {lowat}, once without.",
    prediction="Without it as old as the send buffer is long: POLLOUT means room in the buffer, "
    "and a fast program fills it far ahead of a slow line; the kernel even makes it larger. With "
    "TCP_NOTSENT_LOWAT there is POLLOUT only while less than half of {lowat} has not been sent, so "
    "what it writes last leaves soon: it can decide late what that is.",
    parameters=(
        Parameter("lowat", Kind.SIZE, 16 << 10, 4096, 16 << 10, "TCP_NOTSENT_LOWAT"),
        Parameter("time", Kind.TIME, 600 * MS, 400 * MS, 3000 * MS, "that the client writes"),
    ),
    server=reads_two_to_the_end,
    client=client,
    wire=lambda p: "delay 10ms; rate 2mbit",
    expects=(
        Expect("the most that lay unsent, with it", Kind.SIZE, lambda p: p.lowat // 2 + WRITE,
               lambda e: e.returned["client"]["with"],
               "man 7 tcp, TCP_NOTSENT_LOWAT; tcp_stream_memory_free() of Linux: poll() asks for "
               "twice what is unsent to be less",
               less=WRITE, because="it fell below half of it by as much as left with the last ACK: "
               "whole segments, less than a write"),
        Expect("and without it more than that", Kind.WORD, lambda p: "yes",
               lambda e: "yes" if e.returned["client"]["without"] > e.p.lowat + WRITE else "no",
               "the send buffer: net.ipv4.tcp_wmem begins with 16,384 bytes, and grows"),
    ),
    seen=lambda e: f"Without it, {e.returned['client']['without']:,} bytes lay unsent at most: "
    f"{e.returned['client']['without'] / 250_000 * 1000:,.0f} ms of this line.",
    next="`netlab study writable-again`: POLLOUT without it.",
    moment=moment,
)  # fmt: skip
