"""UDP keeps messages apart, and cuts what does not fit."""

from __future__ import annotations

import socket
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import back, call_on, window
from netlab.studies.parts import RTT, delay
from netlab.studies.quantity import Kind
from netlab.studies.study import PORT, Claim, Expect, Params, Study, Topic, Window

SIZES = (100, 300, 0, 500)
ROOM = 256


def server(probe: Probe, p: Params) -> Any:
    """Takes a datagram with each call, into a buffer of 256 bytes."""
    sock = probe.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("0.0.0.0", PORT))
    found = []
    for _ in SIZES:
        data, _, flags, _ = sock.recvmsg(ROOM)
        found.append([len(data), bool(flags & socket.MSG_TRUNC)])
    sock.close()
    return found


def client(probe: Probe, p: Params) -> None:
    """Sends so many datagrams."""
    sock = probe.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for size in SIZES:
        sock.sendto(b"n" * size, ("server", PORT))
    sock.close()


def moment(evidence: Evidence) -> list[Window]:
    """All that is sent, and what each call then returns."""
    return [
        *window(call_on(evidence, "sendto"), call_on(evidence, "sendto", -1)),
        *window(back(call_on(evidence, "recvmsg")), call_on(evidence, "recvmsg", -1)),
    ]


STUDY = Study(
    name="datagram-boundaries",
    topic=Topic.UDP,
    question="Datagrams of 100, 300, 0 and 500 bytes: what does recv(256) return each time?",
    setup="A client sends four datagrams. The server reads each into a buffer of 256 bytes.",
    prediction="100, 256, 0, 256. Each call takes one datagram, never more; what does not fit"
    " into the buffer is thrown away, with the flag MSG_TRUNC to those who ask recvmsg(). "
    "Nothing is joined, and an empty datagram is a message like any other, not the end.",
    parameters=(RTT,),
    server=server,
    client=client,
    wire=delay,
    expects=(
        Expect("what the calls returned", Kind.WORD, lambda p: "100, 256, 0, 256",
               lambda e: ", ".join(str(size) for size, _ in e.returned["server"]),
               "man 7 udp; man 2 recv"),
        Expect("and said that they were cut", Kind.WORD, lambda p: "no, yes, no, yes",
               lambda e: ", ".join("yes" if cut else "no" for _, cut in e.returned["server"]),
               "man 2 recvmsg, MSG_TRUNC"),
        Expect("bytes that no call got, as the ledger lists them", Kind.SIZE,
               lambda p: 300 - ROOM + 500 - ROOM,
               lambda e: sum(u.bytes for u in e.tables.unmatched if "truncated" in u.reason),
               "every byte is accounted for"),
    ),
    claims=(
        Claim("UDP keeps message boundaries",
              lambda e: [size for size, _ in e.returned["server"]]
              == [min(size, ROOM) for size in SIZES]),
        Claim("What recv() leaves of a datagram comes with the next recv()",
              lambda e: e.returned["server"][2][0] == SIZES[1] - ROOM),
    ),
    moment=moment,
    next="`netlab study sticky-packets`: TCP, with the same program.",
)  # fmt: skip
