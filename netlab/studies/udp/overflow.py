"""More datagrams come than the socket has room for."""

from __future__ import annotations

import socket
import struct
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import call_on, window
from netlab.studies.programs import until_the_server_was_told
from netlab.studies.quantity import Kind
from netlab.studies.sockets import trial
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Topic, Window

WORD = PORT + 1  # where the server is told that all were sent
SO_RXQ_OVFL = 40
# A datagram of 640 to 1,700 bytes takes 2,048 of the kernel's memory, and 256 for its record of it.
CHARGED = 2304


def server(probe: Probe, p: Params) -> Any:
    """Reads nothing until all were sent; then what is there, and what the kernel says is not."""
    word = probe.socket(socket.AF_INET, socket.SOCK_DGRAM)
    word.bind(("0.0.0.0", WORD))
    sock = probe.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, p.rcvbuf)
    sock.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
    sock.bind(("0.0.0.0", PORT))
    word.recv(1)
    sock.setblocking(False)
    got = []
    while not (found := trial(sock.recv, 65536))["error"]:
        got.append(found["value"])
    word.sendto(b"n", ("client", WORD))
    sock.setblocking(True)
    _, control, _, _ = sock.recvmsg(100, 100)  # the next one tells how many were lost before it
    lost = sum(
        struct.unpack("=I", data)[0]
        for level, kind, data in control
        if (level, kind) == (socket.SOL_SOCKET, SO_RXQ_OVFL)
    )
    sock.close()
    word.close()
    return {"got": got, "lost": lost}


def sizes(p: Params) -> list[int]:
    """No two alike: so netlab can tell which were lost."""
    return list(range(p.size, p.size + p.count))


def room_for(p: Params) -> int:
    """The bytes of those that fit, each charged with more than it has."""
    return sum(sizes(p)[: 2 * p.rcvbuf // CHARGED])


def client(probe: Probe, p: Params) -> Any:
    """Sends them all; then one more, once the server has read."""
    word = probe.socket(socket.AF_INET, socket.SOCK_DGRAM)
    word.bind(("0.0.0.0", WORD))
    sock = probe.socket(socket.AF_INET, socket.SOCK_DGRAM)
    errors = 0
    for size in sizes(p):
        errors += bool(trial(sock.sendto, b"n" * size, ("server", PORT))["error"])
    word.sendto(b"n", ("server", WORD))
    word.recv(1)
    sock.sendto(b"one more", ("server", PORT))
    sock.close()
    word.close()
    return errors


def which(evidence: Evidence) -> str:
    """Which of them had room."""
    got, sent = evidence.returned["server"]["got"], sizes(evidence.p)
    if got == sent:
        return "all"
    return "the first ones" if got and got == sent[: len(got)] else "others"


def unread(evidence: Evidence) -> int:
    """Bytes that the ledger lists, less those of the datagrams that were lost."""
    listed = sum(u.bytes for u in evidence.tables.unmatched)
    lost = sizes(evidence.p)[len(evidence.returned["server"]["got"]) :]
    return listed - sum(lost)


def moment(evidence: Evidence) -> list[Window]:
    """The last datagram that has room, and the next ones; what is read, and what it says."""
    got = len(evidence.returned["server"]["got"])
    sends = evidence.calls("sendto", host="client", connection=0)
    reads = evidence.calls("recv", host="server", connection=0)
    return window(*sends[max(got - 1, 0) : got + 2]) + window(
        *reads[-2:], call_on(evidence, "recvmsg", host="server")
    )


STUDY = Study(
    name="udp-overflow",
    topic=Topic.UDP,
    question="A server is slow, and datagrams keep coming. Who is told of those that are lost?",
    setup="A client sends {count} datagrams of {size} and more, each a byte longer than the "
    "last. The server, with SO_RCVBUF {rcvbuf}, "
    "reads only after the last. It has asked its kernel to count (SO_RXQ_OVFL).",
    prediction="Nobody. UDP has no window: each sendto() succeeds, each datagram arrives, and "
    "those that find the receive buffer full are thrown away. The first ones stay, the last "
    "ones are lost. The buffer is twice SO_RCVBUF, but each datagram is charged with the "
    "memory that it takes, 2,304 bytes, so fewer fit than one would think. The count comes with "
    "the next datagram that finds room.",
    parameters=(
        Parameter("count", Kind.COUNT, 101, 50, 400, "datagrams"),
        Parameter("size", Kind.SIZE, 1000, 700, 1000, "of the first"),
        Parameter("rcvbuf", Kind.SIZE, 8 << 10, 4 << 10, 16 << 10, "SO_RCVBUF of the server"),
    ),
    server=server,
    client=client,
    experiment=until_the_server_was_told,
    expects=(
        Expect("sendto() calls that failed", Kind.COUNT, lambda p: 0,
               lambda e: e.returned["client"], "man 7 udp: no flow control"),
        Expect("those that were read are", Kind.WORD, lambda p: "the first ones", which,
               "__udp_enqueue_schedule_skb() of Linux"),
        Expect("their bytes", Kind.SIZE, room_for,
               lambda e: sum(e.returned["server"]["got"]),
               "man 7 socket: SO_RCVBUF is doubled; SKB_TRUESIZE of Linux: 2,304 for each",
               more=lambda p: p.size + p.count, because="kernels that take one as long as the "
               "buffer is not full have one more"),
        Expect("read and lost together, as the kernel counts", Kind.COUNT, lambda p: p.count,
               lambda e: len(e.returned["server"]["got"]) + e.returned["server"]["lost"],
               "man 7 socket, SO_RXQ_OVFL"),
        Expect("bytes that no call got, as the ledger lists them, less those that were lost",
               Kind.SIZE, lambda p: 0, lambda e: unread(e), "every byte is accounted for"),
    ),
    next="`netlab study zero-window`: how TCP keeps its sender back.",
    moment=moment,
)  # fmt: skip
