"""How fast a connection can be: a window in each round trip, and no more."""

from __future__ import annotations

import socket
from bisect import bisect_left
from statistics import median

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import pause
from netlab.studies.parts import BUSY_NS, MS, S, delay
from netlab.studies.programs import reads_to_the_end
from netlab.studies.quantity import Kind
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Sweep, Topic

ROUNDS = 12  # windows that are sent, so that slow start is a small part of it
SEGMENT = 1448  # MSS 1460 less 12 bytes of timestamps
# A frame with a segment takes 2,304 bytes of the receiver's memory: 2,048, and the kernel's own
# record of it (SKB_TRUESIZE). The share of data is kept in 256ths (scaling_ratio of Linux).
SHARE = SEGMENT * 256 // 2304


def client(probe: Probe, p: Params) -> None:
    """Sends so many windows."""
    sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * p.rcvbuf)
    sock.connect(("server", PORT))
    sock.sendall(b"n" * (ROUNDS * window(p)))
    sock.close()


def window(p: Params) -> int:
    """What of the doubled buffer can be data, in whole segments."""
    return 2 * p.rcvbuf * SHARE // 256 // SEGMENT * SEGMENT


def bytes_a_second(evidence: Evidence, span: int) -> int | None:
    """The rate at which data left: so many bytes, over the time until the next byte could leave."""
    frames = [(s.start, f.time_ns) for f, s in evidence.frames("c>s", data=True)]
    starts = [start for start, _ in frames]
    times = []
    for start, time_ns in frames[len(frames) // 4 :]:
        place = bisect_left(starts, start + span)
        if place < len(frames):
            times.append(frames[place][1] - time_ns)
    return int(span * S / median(times)) if times else None


def rate(p: Params) -> int:
    """A window in each round trip: bytes a second."""
    return window(p) * S // p.rtt


def room(p: Params) -> int:
    """How much slower: two segments less in a window, and trips that are longer by a while."""
    return rate(p) - (window(p) - 2 * SEGMENT) * S // (p.rtt + BUSY_NS // 2)


STUDY = Study(
    name="window-rtt",
    topic=Topic.BUFFERS,
    question="How does throughput depend on the receive buffer, when a round trip takes {rtt}?",
    setup="A client sends data as fast as it may to servers with an SO_RCVBUF of several sizes; "
    "its own SO_SNDBUF is twice as large. The wire has no limit but a round trip of {rtt}.",
    prediction="It is the buffer's window divided by the round trip: a window may be on its way,"
    " and the next byte leaves when the first is acknowledged. Twice the buffer, twice as fast; "
    "twice the distance, half as fast, however fast the line is. What matters is the smaller of"
    " receive window and send buffer. Of the doubled buffer 1,448 of every 2,304 bytes can be "
    "data: the rest is the kernel's overhead.",
    parameters=(
        Parameter("rcvbuf", Kind.SIZE, 32 << 10, 8 << 10, 64 << 10, "SO_RCVBUF of the server"),
        Parameter("rtt", Kind.TIME, 100 * MS, 50 * MS, 500 * MS, "round trip of the wire"),
    ),
    server=reads_to_the_end,
    client=client,
    wire=delay,
    expects=(
        Expect("bytes a second", Kind.SIZE, rate, lambda e: bytes_a_second(e, window(e.p)),
               "RFC 9293 3.8.6; tcp_measure_rcv_mss() of Linux",
               less=room,
               more=lambda p: rate(p) // 20,
               because="windows are of whole segments; a busy machine makes round trips longer"),
    ),
    sweep=Sweep("rcvbuf", (8 << 10, 32 << 10, 64 << 10), (8 << 10, 16 << 10, 32 << 10, 64 << 10)),
    moment=pause,
    next="`netlab study throughput-rtt`: the same over the round trip.",
    cause="peer_window",
)  # fmt: skip
