"""The same buffers over a longer way: the round trip divides."""

from __future__ import annotations

from netlab.studies.buffers.window_rtt import bytes_a_second, client, rate, room, window
from netlab.studies.moments import pause
from netlab.studies.parts import MS, delay
from netlab.studies.programs import reads_to_the_end
from netlab.studies.quantity import Kind
from netlab.studies.study import Expect, Parameter, Study, Sweep, Topic

STUDY = Study(
    name="throughput-rtt",
    topic=Topic.BUFFERS,
    question="The buffers stay as they are. How does throughput depend on the distance?",
    setup="A client sends data as fast as it may, over wires with several round trips, to a server"
    " with an SO_RCVBUF of {rcvbuf}. The wires have no limit otherwise.",
    prediction="It is the window divided by the round trip: ten times as far, a tenth as fast. "
    "That is why a copy to another continent is slow on a line that is fast, why several "
    "connections at once help, and why an SO_RCVBUF that was set once for the LAN does harm: "
    "the kernel would have made the buffer larger.",
    parameters=(
        Parameter("rtt", Kind.TIME, 100 * MS, 50 * MS, 500 * MS, "round trip of the wire"),
        Parameter("rcvbuf", Kind.SIZE, 32 << 10, 8 << 10, 64 << 10, "SO_RCVBUF of the server"),
    ),
    server=reads_to_the_end,
    client=client,
    wire=delay,
    expects=(
        Expect("bytes a second", Kind.SIZE, rate, lambda e: bytes_a_second(e, window(e.p)),
               "RFC 9293 3.8.6; RFC 7323 1.1: the bandwidth-delay product",
               less=room, more=lambda p: rate(p) // 20,
               because="windows are of whole segments; a busy machine makes round trips longer"),
    ),
    sweep=Sweep("rtt", (50 * MS, 100 * MS, 200 * MS),
                (50 * MS, 100 * MS, 200 * MS, 300 * MS, 500 * MS)),
    moment=pause,
    next="`netlab study sndbuf-rtt`: where the send buffer is the smaller one. "
    "`netlab study autotuning`: what the kernel does when nobody sets the buffer.",
    cause="peer_window",
)  # fmt: skip
