"""MSG_PEEK, MSG_WAITALL and SO_RCVLOWAT: what they change of recv(), and what not."""

from __future__ import annotations

import socket
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence, took_ns
from netlab.studies.moments import back, there, window
from netlab.studies.parts import MS, TURN_NS
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, connected, read_to_end
from netlab.studies.study import Claim, Expect, Parameter, Params, Study, Topic, Window

PIECE = 100


def server(probe: Probe, p: Params) -> Any:
    """Looks without taking; then waits for two pieces; then for two pieces in another way."""
    sock = accepted(probe)
    peeked = len(sock.recv(1000, socket.MSG_PEEK))
    all_of_two = len(sock.recv(2 * PIECE, socket.MSG_WAITALL))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 2 * PIECE)
    at_least_two = len(sock.recv(1000))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
    rest = read_to_end(sock)
    sock.close()
    return [peeked, all_of_two, at_least_two, rest]


def client(probe: Probe, p: Params) -> None:
    """Sends four pieces, with pauses in which there is nothing to do."""
    sock = connected(probe)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    pause = probe.poll()
    for _ in range(4):
        sock.send(b"n" * PIECE)
        pause.poll(p.pause / MS)
    sock.close()


def waited_ns(evidence: Evidence, number: int) -> int | None:
    """How long the server's n-th recv took."""
    return took_ns(evidence.call("recv", number, host="server"))


def moment(evidence: Evidence) -> list[Window]:
    """Each of the three calls: when it begins, and what ends it."""
    sends = evidence.calls("send", host="client")
    recvs = evidence.calls("recv", host="server")
    data = evidence.frames("c>s", data=True)
    if len(sends) < 4 or len(recvs) < 3 or len(data) < 4:
        return []
    return [
        *window(recvs[0], recvs[1].entered_ns),
        *window(sends[1].entered_ns, back(recvs[1]), recvs[2].entered_ns),
        *window(data[2][0]),
        *window(there(data[3][0]), back(recvs[2])),
    ]


STUDY = Study(
    name="peek-waitall",
    topic=Topic.BUFFERS,
    question="Pieces of 100 bytes come every {pause}. What do MSG_PEEK, MSG_WAITALL and "
    "SO_RCVLOWAT make of recv()?",
    setup="A client sends four pieces with pauses of {pause}. The server peeks, then asks for"
    " 200 bytes with MSG_WAITALL, then sets SO_RCVLOWAT to 200 and asks for 1,000.",
    prediction="MSG_PEEK returns the first 100 and takes nothing: the next call gets them "
    "again. MSG_WAITALL waits until all 200 are there, one pause. With SO_RCVLOWAT recv() "
    "waits until at least 200 are there and takes what there is. None of them changes what is"
    " on the wire.",
    parameters=(Parameter("pause", Kind.TIME, 150 * MS, 60 * MS, 2000 * MS, "between pieces"),),
    server=server,
    client=client,
    expects=(
        Expect("bytes they returned: peek, waitall, lowat, rest", Kind.WORD,
               lambda p: "100, 200, 200, 0",
               lambda e: ", ".join(map(str, e.returned["server"])), "man 2 recv; man 7 socket"),
        Expect("recv(200, MSG_WAITALL) took", Kind.TIME, lambda p: p.pause,
               lambda e: waited_ns(e, 1), "man 2 recv: blocks until the full request is satisfied",
               less=2 * TURN_NS, more=3 * TURN_NS,
               because="it begins late by a turn of the wire's and one of the server's, and ends "
               "late by these and one of the client's"),
        Expect("recv() with SO_RCVLOWAT took", Kind.TIME, lambda p: 2 * p.pause,
               lambda e: waited_ns(e, 2), "man 7 socket, SO_RCVLOWAT",
               less=2 * TURN_NS, more=4 * TURN_NS, because="the same, with two of the client's"),
        Expect("frames with data", Kind.COUNT, lambda p: 4,
               lambda e: len(e.frames("c>s", data=True)), "the receiver's options are its own"),
    ),
    claims=(
        Claim("recv(n) returns n bytes", lambda e: e.returned["server"][1] == 2 * PIECE,
              "with MSG_WAITALL, or when they are there already"),
    ),
    next="`netlab study sticky-packets`.",
    cause="peer_app",
    waits_on="server recv",
    moment=moment,
)  # fmt: skip
