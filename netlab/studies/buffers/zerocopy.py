"""MSG_ZEROCOPY: the kernel sends from the program's own memory, and says when it is done."""

from __future__ import annotations

import socket
import struct
from typing import Any

from netlab.model.probe import Probe
from netlab.model.tables import Role
from netlab.studies.evidence import Evidence
from netlab.studies.moments import back, call_on, nth, there, window
from netlab.studies.parts import MS, RTT, TURN_NS, delay, felt, timer_room
from netlab.studies.programs import reads_to_the_end
from netlab.studies.quantity import Kind
from netlab.studies.sockets import connected
from netlab.studies.study import Expect, Parameter, Params, Study, Topic, Window

SO_ZEROCOPY, MSG_ZEROCOPY, MSG_ERRQUEUE = 60, 0x4000000, 0x2000
# struct sock_extended_err of linux/errqueue.h: errno, origin, type, code, pad, info, data.
EXTENDED = struct.Struct("=IBBBBII")
ORIGIN_ZEROCOPY, CODE_COPIED = 5, 1
# Worth it from about 10 KiB on, says the kernel's documentation; less than the ten segments that a
# connection may begin with, so what a send() waits for is the network and not the window.
SIZE = 12 << 10


def client(probe: Probe, p: Params) -> Any:
    """Sends a few times; after each waits until its memory is its own again."""
    sock = connected(probe)
    sock.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
    told = probe.poll()
    told.register(sock, 0)  # POLLERR comes unasked
    copied = 0
    numbers: list[int] = []
    for sent in range(p.sends):
        sock.send(b"n" * SIZE, MSG_ZEROCOPY)
        while len(numbers) == sent and told.poll(5000):
            _, ancillary, _, _ = sock.recvmsg(0, 512, MSG_ERRQUEUE)
            for _, _, data in ancillary:
                _, origin, _, code, _, first, last = EXTENDED.unpack_from(data)
                if origin == ORIGIN_ZEROCOPY:
                    numbers += range(first, last + 1)
                    copied += code == CODE_COPIED
    sock.close()
    return {"numbers": numbers, "copied": copied}


def told_ns(evidence: Evidence) -> int | None:
    """From the departure of the last segment of the first send() until it was told of."""
    sent = evidence.call("send", host="client")
    told = evidence.call("recvmsg", host="client")
    if sent is None or told is None or told.returned_ns is None:
        return None
    left = [span.frame for span in evidence.spans(sent, Role.CARRIED) if span.frame is not None]
    return told.returned_ns - evidence.packet(max(left)).time_ns if left else None


def moment(evidence: Evidence) -> list[Window]:
    """The first send(); and the ACK with which the memory is its own again."""
    sent, told = (call_on(evidence, op, host="client") for op in ("send", "recvmsg"))
    waits = call_on(evidence, "poll", host="client")
    data = evidence.frames("c>s", data=True)
    if sent is None or told is None or waits is None or len(data) < 3:
        return []
    before_ns = told.entered_ns
    acks = [one for one in evidence.frames("s>c") if (there(one[0]) or before_ns) < before_ns]
    return [
        (sent.entered_ns, data[2][0].time_ns),
        *window(back(sent), waits.entered_ns),
        *window(there(nth(acks, -1)), told),
    ]


STUDY = Study(
    name="zerocopy",
    topic=Topic.BUFFERS,
    question="send() with MSG_ZEROCOPY returned. May the program change its buffer now?",
    setup="A client sends 12 KiB with MSG_ZEROCOPY, {sends} times, and reads the socket's error "
    "queue after each. The round trip is {rtt}.",
    prediction="Not yet: the packets point at the program's own memory, and may have to be sent "
    "again. When all is acknowledged, a round trip later, the error queue says which sends are "
    "done, by number: 0, 1, 2... It may also say that the kernel has "
    "had to copy after all (SO_EE_CODE_ZEROCOPY_COPIED), as for a link that cannot gather a frame"
    " from several places; then a plain send() would have cost less.",
    parameters=(
        Parameter("sends", Kind.COUNT, 3, 1, 5, "with MSG_ZEROCOPY"),
        RTT,
    ),
    server=reads_to_the_end,
    client=client,
    wire=delay,
    expects=(
        Expect("sends that the error queue told of", Kind.WORD,
               lambda p: ", ".join(map(str, range(p.sends))),
               lambda e: ", ".join(map(str, e.returned["client"]["numbers"])),
               "Documentation/networking/msg_zerocopy.rst: Notification Parsing"),
        Expect("of the first, after its last segment has left by", Kind.TIME, lambda p: p.rtt,
               told_ns, "the last ACK is a round trip away",
               more=40 * MS + timer_room(40 * MS) + 3 * TURN_NS,
               otherwise=lambda p: 0,  # as if a copy had been sent
               because="that ACK may be delayed by 40 ms, and the timer wheel be 1/8 late; a turn "
               "each for the wire's two frames and the client"),
    ),
    seen=lambda e: f"{e.returned['client']['copied']} of the sends were reported as copied after "
    "all.",
    cause=felt("network"),
    waits_on="client poll",
    next="`netlab study sendfile`: no copy, from a file.",
    moment=moment,
)  # fmt: skip
