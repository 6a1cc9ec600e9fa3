"""How fast a connection can be when it is the send buffer that is small."""

from __future__ import annotations

import socket
from bisect import bisect_right

from netlab.model.probe import Probe
from netlab.studies.buffers.window_rtt import bytes_a_second
from netlab.studies.evidence import Evidence
from netlab.studies.moments import pause
from netlab.studies.parts import BUSY_NS, MS, WIDE_RMEM, S, delay
from netlab.studies.programs import reads_to_the_end
from netlab.studies.quantity import Kind
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Sweep, Topic

ROUNDS = 12
WRITE = 1448  # a segment
CHARGED = 2304  # that a packet of a segment is charged with: the kernel's record of it is counted


def client(probe: Probe, p: Params) -> int:
    """Sends many times what its buffer holds.

    MSG_EOR makes each write a packet of its own. One large write would be one packet of 64 KiB, and
    the last of them sticks out of the buffer: whether there is room is asked before each packet.
    """
    sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, p.sndbuf)
    sock.connect(("server", PORT))
    writes = ROUNDS * p.sndbuf // WRITE
    for _ in range(writes):
        sock.sendall(b"n" * WRITE, socket.MSG_EOR)
    sock.close()
    return writes * WRITE


def most_on_its_way(evidence: Evidence) -> int:
    """The most bytes that had left and were not acknowledged, as the client's kernel knew it."""
    acks = sorted(
        (f.arrived_ns, (s.ack or 1) - 1)
        for f, s in evidence.frames("s>c")
        if f.arrived_ns is not None
    )
    times = [time_ns for time_ns, _ in acks]
    most = 0
    for frame, segment in evidence.frames("c>s", data=True):
        place = bisect_right(times, frame.time_ns)
        acked = acks[place - 1][1] if place else 0
        most = max(most, segment.stop - acked)
    return most


def holds(p: Params) -> int:
    """What the doubled buffer has room for: packets are taken as long as it is not full."""
    return -(-2 * p.sndbuf // CHARGED) * WRITE


STUDY = Study(
    name="sndbuf-rtt",
    topic=Topic.BUFFERS,
    question="The receiver has room for everything. What does a small SO_SNDBUF do?",
    setup="A client with an SO_SNDBUF of several sizes sends to a server whose buffer is as large "
    "as it needs to be; a round trip takes {rtt}. Each write is a packet of 1,448 bytes.",
    prediction="It is the limit: what was sent stays in the send buffer until it is acknowledged,"
    " so no more than the buffer holds can be on its way in a round trip. The kernel doubles what"
    " was asked for, and counts its own record of each packet: 2,304 bytes for 1,448 of data. So "
    "more fits than was asked for, and less than twice that.",
    parameters=(
        Parameter("sndbuf", Kind.SIZE, 16 << 10, 8 << 10, 64 << 10, "SO_SNDBUF of the client"),
        Parameter("rtt", Kind.TIME, 60 * MS, 40 * MS, 500 * MS, "round trip of the wire"),
    ),
    server=reads_to_the_end,
    client=client,
    wire=delay,
    sysctls=lambda p: {
        "client": {"net.ipv4.tcp_congestion_control": "reno"},
        "server": {"net.ipv4.tcp_rmem": WIDE_RMEM},
    },
    expects=(
        Expect("the most that was on its way", Kind.SIZE, holds, most_on_its_way,
               "man 7 socket, SO_SNDBUF: doubled; SKB_TRUESIZE of Linux: 2,304 bytes for each",
               less=WRITE, more=WRITE, because="whole packets, of which the last may stick out"),
        Expect("bytes a second", Kind.SIZE, lambda p: holds(p) * S // p.rtt,
               lambda e: bytes_a_second(e, holds(e.p)), "what is on its way, in each round trip",
               less=lambda p: holds(p) * S // p.rtt - (holds(p) - WRITE) * S // (p.rtt + BUSY_NS),
               more=lambda p: holds(p) * S // p.rtt // 20 + WRITE * S // p.rtt,
               because="whole packets; a busy machine makes round trips longer"),
        Expect("bytes that the server read", Kind.WORD, lambda p: "all",
               lambda e: "all" if e.returned["server"] == e.returned["client"] else "not all",
               "RFC 9293 2.2"),
    ),
    sweep=Sweep("sndbuf", (8 << 10, 16 << 10, 32 << 10), (8 << 10, 16 << 10, 32 << 10, 64 << 10)),
    moment=pause,
    next="`netlab study window-rtt`: throughput is that over the round trip.",
)  # fmt: skip
