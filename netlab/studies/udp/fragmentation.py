"""A datagram larger than the MTU: IP cuts it, and one lost piece loses all."""

from __future__ import annotations

import socket
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.quantity import Kind
from netlab.studies.study import PORT, Claim, Expect, Parameter, Params, Study, Topic

PIECE = 1480  # MTU 1500 less the IPv4 header
WORD = b"that was all"


def server(probe: Probe, p: Params) -> Any:
    """Takes datagrams until the word comes."""
    sock = probe.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("0.0.0.0", PORT))
    sizes = []
    while True:
        data = sock.recv(65536)
        if data == WORD:
            break
        sizes.append(len(data))
    sock.close()
    return sizes


def client(probe: Probe, p: Params) -> None:
    """Sends one large datagram, and the word."""
    sock = probe.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IP, 10, 0)  # IP_MTU_DISCOVER: IP_PMTUDISC_DONT
    sock.sendto(b"n" * p.size, ("server", PORT))
    sock.sendto(WORD, ("server", PORT))
    sock.close()


def pieces(p: Params) -> int:
    """The UDP header and the payload, cut."""
    return -(-(p.size + 8) // PIECE)


STUDY = Study(
    name="udp-fragments",
    topic=Topic.UDP,
    question="A datagram of {size} does not fit into a frame. What happens to it?",
    setup="A client sends a datagram of {size} over a link with an MTU of 1,500 bytes; with "
    "lose=1 the wire loses the second frame.",
    prediction="IP cuts it into pieces of 1,480 bytes, each with a header of its own; the "
    "receiver's kernel puts them together, and the program gets one datagram or none: where "
    "one piece is lost, nobody resends it, and what came of the others is thrown away after "
    "30 s.",
    parameters=(
        Parameter("size", Kind.SIZE, 5000, 1500, 60_000, "of the datagram"),
        Parameter("lose", Kind.COUNT, 0, 0, 1, "1: the second piece is lost"),
    ),
    server=server,
    client=client,
    wire=lambda p: "drop c>s any 2" if p.lose else "",
    expects=(
        Expect("frames that carry it", Kind.COUNT, pieces,
               lambda e: sum(f.fragment is not None for f in e.tables.packets),
               "RFC 791 3.2; net.core: MTU 1500"),
        Expect("datagrams that the server got", Kind.COUNT, lambda p: 0 if p.lose else 1,
               lambda e: len(e.returned["server"]), "RFC 791 3.2: reassembly"),
        Expect("their bytes", Kind.SIZE, lambda p: 0 if p.lose else p.size,
               lambda e: sum(e.returned["server"]), "the same"),
    ),
    claims=(
        Claim("A datagram travels as one packet",
              lambda e: sum(f.fragment is not None for f in e.tables.packets) <= 1,
              "if it fits into the MTU"),
    ),
    next="`netlab study udp-fragments --set lose={not_lose}`.",
)  # fmt: skip
