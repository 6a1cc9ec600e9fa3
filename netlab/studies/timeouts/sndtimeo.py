"""SO_SNDTIMEO: the kernel ends a send() that waits too long for room."""

from __future__ import annotations

import socket
import struct
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import back, window
from netlab.studies.parts import BUSY_NS, MS, TURN_NS, timer_room
from netlab.studies.programs import until_the_client_has_ended
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, trial
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Topic, Window

ASKED = 4 << 20  # far more than all buffers
BUFFER = 32 << 10


def server(probe: Probe, p: Params) -> None:
    """Does not read."""
    word = probe.poll()
    sock = accepted(probe, rcvbuf=BUFFER)
    word.poll()
    sock.close()


def client(probe: Probe, p: Params) -> Any:
    """Sends far too much in one call, and once more."""
    sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
    seconds, rest_ns = divmod(p.timeout, 1_000_000_000)
    sock.setsockopt(
        socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", seconds, rest_ns // 1000)
    )
    sock.connect(("server", PORT))
    found = {"first": trial(sock.send, b"n" * ASKED), "second": trial(sock.send, b"more")}
    sock.close()
    return found


def moment(evidence: Evidence) -> list[Window]:
    """What the first send() begins with, and how both calls end."""
    sends = evidence.calls("send", host="client", connection=0)
    data = evidence.frames("c>s", data=True)
    if len(sends) < 2 or len(data) < 3:
        return []
    return [(sends[0].entered_ns, data[2][0].time_ns), *window(back(sends[0]), sends[1])]


STUDY = Study(
    name="sndtimeo",
    topic=Topic.TIMEOUTS,
    question="The peer does not read, and SO_SNDTIMEO is {timeout}. What does send() return?",
    setup="A client sets SO_SNDTIMEO and gives send() 4 MiB in one piece; the server accepts and "
    "never reads. Then it sends four bytes more.",
    prediction="The first send() returns after {timeout} with less than it was given: what "
    "found room in the two buffers is on its way, and the program must know how much that was. "
    "The second finds no room at all, and fails with EAGAIN after {timeout}. The connection is "
    "as good as before.",
    parameters=(Parameter("timeout", Kind.TIME, 400 * MS, 100 * MS, 5_000 * MS, "SO_SNDTIMEO"),),
    server=server,
    client=client,
    experiment=until_the_client_has_ended,
    expects=(
        Expect("the second send() fails with", Kind.WORD, lambda p: "EAGAIN",
               lambda e: e.returned["client"]["second"]["error"], "man 7 socket, SO_SNDTIMEO"),
        Expect("the second send() fails after", Kind.TIME, lambda p: p.timeout,
               lambda e: e.returned["client"]["second"]["took_ns"],
               "man 7 socket; counted in ticks (CONFIG_HZ), rounded up",
               more=lambda p: timer_room(p.timeout) + TURN_NS,
               because="the timer wheel is up to 1/8 late; a turn, until the client runs again"),
        Expect("the first returned less than it was given", Kind.WORD, lambda p: "yes",
               lambda e: "yes" if 0 < e.returned["client"]["first"]["value"] < ASKED else "no",
               "man 7 socket: the amount, if any data was moved"),
        Expect("the first returned after", Kind.TIME, lambda p: p.timeout,
               lambda e: e.returned["client"]["first"]["took_ns"],
               "sk_stream_wait_memory() of Linux: its waits add up",
               more=lambda p: timer_room(p.timeout) + 2 * BUSY_NS,
               because="the same, and while bytes are moved a turn each for the client and the "
               "wire's two frames"),
    ),
    next="`netlab study rcvtimeo`: the other direction.",
    moment=moment,
)  # fmt: skip
