"""A reader that does not read: the window closes, is probed, and opens again."""

from __future__ import annotations

import socket
import time
from itertools import pairwise
from statistics import median
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence, Frame
from netlab.studies.moments import back, call_on, nth, window
from netlab.studies.parts import MS, TURN_NS, delay
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, read_to_end
from netlab.studies.study import PORT, Claim, Expect, Parameter, Params, Study, Topic, Window


def server(probe: Probe, p: Params) -> int:
    """Sleeps before it reads."""
    sock = accepted(probe, rcvbuf=p.rcvbuf)
    time.sleep(p.sleep / 1e9)
    got = read_to_end(sock)
    sock.close()
    return got


def client(probe: Probe, p: Params) -> Any:
    """Sends more than the server's buffer and its own hold; send() has to wait."""
    sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, p.rcvbuf)
    sock.connect(("server", PORT))
    sock.sendall(b"n" * p.size)
    sock.close()
    return p.size


def closed(evidence: Evidence) -> list[Frame]:
    """The frames of the server that offer a window of zero."""
    return [(f, s) for f, s in evidence.frames("s>c") if s.seg_wnd_bytes == 0]


def probes(evidence: Evidence) -> list[Frame]:
    """The client's segments without data that ask for a window that is closed.

    Linux sends them with the number before the next (tcp_xmit_probe_skb).
    """
    first = closed(evidence)
    if not first:
        return []
    since_ns = first[0][0].time_ns
    return [
        (f, s)
        for f, s in evidence.frames("c>s", data=False)
        if s.keep_alive or (s.zero_window_probe and f.time_ns > since_ns)
    ]


def open_again_ns(evidence: Evidence) -> int | None:
    """From the server's first recv after its sleep to the frame that opens the window."""
    shut = closed(evidence)
    reads = [c for c in evidence.calls("recv", host="server") if c.result]
    if not shut or not reads:
        return None
    later = [
        f.time_ns
        for f, s in evidence.frames("s>c")
        if f.time_ns > shut[0][0].time_ns and (s.seg_wnd_bytes or 0) > 0
    ]
    return later[0] - reads[0].entered_ns if later else None


def growth_percent(evidence: Evidence) -> int | None:
    """Each wait for a probe over the one before, in %: the median.

    A wait begins as the answer to the probe before comes in, when the kernel sets its timer anew
    (tcp_ack_probe).
    """
    answers = [f.arrived_ns for f, _ in evidence.frames("s>c") if f.arrived_ns is not None]
    waits = []
    for probe, _ in probes(evidence):
        before = [time_ns for time_ns in answers if time_ns < probe.time_ns]
        if before:
            waits.append(probe.time_ns - max(before))
    return round(median(100 * b / a for a, b in pairwise(waits))) if len(waits) > 1 else None


def moment(evidence: Evidence) -> list[Window]:
    """The window closes, and is probed three times; who opens it; and send() returns."""
    shut, asked = closed(evidence), probes(evidence)
    read = call_on(evidence, "recv", host="server")
    if not shut or len(asked) < 2 or read is None:
        return []
    opened = [one for one in evidence.frames("s>c") if one[1].seg_wnd_bytes]
    opened = [one for one in opened if one[0].time_ns > read.entered_ns]
    return [
        *window(shut[0]),
        *window(asked[0], asked[min(2, len(asked) - 1)][0].time_ns),
        *window(read, nth(opened, 0)),
        *window(back(call_on(evidence, "sendall", host="client"))),
    ]


STUDY = Study(
    name="zero-window",
    topic=Topic.BUFFERS,
    question="The server sleeps for {sleep} before it reads. Who stops the client, and who "
    "wakes it?",
    setup="A client sends {size}; the server's SO_RCVBUF is {rcvbuf}, and its program sleeps. "
    "What its kernel has room for is the window that it offers; a segment by which the client's "
    "kernel asks whether a closed window is open again is called a probe.",
    prediction="The server's kernel takes what fits and offers a window of zero. The client's"
    " kernel may not send, and asks again and again with probes, each wait twice as long as "
    "the one before: the frame that opens the window could be lost. send() waits with it, for"
    " its own buffer is full. As soon as the server reads, its kernel opens the window.",
    parameters=(
        Parameter("sleep", Kind.TIME, 2500 * MS, 2500 * MS, 8000 * MS, "of the server"),
        Parameter("rcvbuf", Kind.SIZE, 16 << 10, 8 << 10, 32 << 10, "of the server, and SO_SNDBUF"),
        Parameter("size", Kind.SIZE, 256 << 10, 128 << 10, 1 << 20, "that is sent"),
        Parameter("rtt", Kind.TIME, 40 * MS, 0, 50 * MS, "round trip of the wire"),
    ),
    server=server,
    client=client,
    wire=delay,
    expects=(
        Expect("the window was closed", Kind.WORD, lambda p: "yes",
               lambda e: "yes" if closed(e) else "no", "RFC 9293 3.8.6"),
        Expect("each wait for a probe over the one before, in %, median", Kind.COUNT, lambda p: 200,
               growth_percent, "RFC 9293 3.8.6.1: the interval should grow exponentially",
               less=30, more=30, because="the timer wheel is up to 1/8 late, each time"),
        Expect("from the first recv to the frame that opens the window", Kind.TIME, lambda p: 0,
               open_again_ns, "tcp_cleanup_rbuf() of Linux: read enough, then an ACK at once",
               more=TURN_NS, otherwise=lambda p: 200 * MS,  # no probe finds it open sooner
               because="it takes a read of half the buffer, and the server may lose its turn in "
               "it"),
        Expect("bytes that the server read", Kind.SIZE, lambda p: p.size,
               lambda e: e.returned["server"], "RFC 9293 2.2: nothing was lost"),
    ),
    moment=moment,
    claims=(
        Claim("TCP loses data when the receiver is too slow",
              lambda e: e.returned["server"] != e.p.size),
    ),
    next="`netlab study partial-send`: the same for a program that does not wait.",
    cause="peer_window",
)  # fmt: skip
