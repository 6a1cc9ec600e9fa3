"""One message over a router: what changes on the way, and what does not."""

from __future__ import annotations

import socket

from netlab.model.probe import Probe
from netlab.model.tables import Packet
from netlab.studies.evidence import Evidence
from netlab.studies.quantity import Kind
from netlab.studies.study import PORT, Expect, Params, Study, Topic
from netlab.studies.udp.ttl import FORWARDS

SIZE = 100
MAC = {1: "client", 2: "server", 3: "router"}  # by its last byte
ETHERNET, CHECKSUM_AT, TTL_AT = 14, 10, 8


def server(probe: Probe, p: Params) -> int:
    """Takes the message."""
    sock = probe.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("0.0.0.0", PORT))
    got = len(sock.recv(1000))
    sock.close()
    return got


def client(probe: Probe, p: Params) -> None:
    """Sends it."""
    sock = probe.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.sendto(b"n" * SIZE, ("server", PORT))
    sock.close()


def hops(evidence: Evidence) -> list[Packet]:
    """The frames with the message, in order."""
    return evidence.packets("UDP")


def on_link(evidence: Evidence, number: int) -> str | None:
    """From which network card to which."""
    found = hops(evidence)
    if number >= len(found):
        return None
    names = (MAC.get(int(mac[-2:], 16), mac) for mac in evidence.macs(found[number]))
    return " to ".join(names)


def seen(evidence: Evidence) -> str:
    """Both frames."""
    told = []
    for packet in hops(evidence):
        source, target = evidence.macs(packet)
        told.append(
            f"frame from {source} to {target}, packet from {packet.src} to {packet.dst}, "
            f"TTL {packet.ttl}"
        )
    return f"On the wire: {'; '.join(told)}."


def by_address(evidence: Evidence) -> str:
    """From which IP address to which, in all frames alike; by their last number."""
    found = {(str(f.src), str(f.dst)) for f in hops(evidence)}
    return "; ".join(
        " to ".join(MAC.get(int(one.split(".")[-1]), one) for one in pair) for pair in sorted(found)
    )


def changed(evidence: Evidence) -> list[int]:
    """Which bytes of the IP packet are others behind the router."""
    found = [evidence.data(f)[ETHERNET:] for f in hops(evidence)]
    if len(found) != 2:
        return []
    return [at for at, (one, other) in enumerate(zip(*found, strict=True)) if one != other]


def only_header(evidence: Evidence) -> str:
    """Whether all that changed is the TTL, and the checksum with it."""
    at = changed(evidence)
    right = TTL_AT in at and set(at) <= {TTL_AT, CHECKSUM_AT, CHECKSUM_AT + 1}
    return "TTL, checksum" if right and len(at) > 1 else f"bytes {at}"


STUDY = Study(
    name="two-hops",
    topic=Topic.LAYERS,
    question="A message passes a router. What does the router change in it?",
    setup="A client sends a datagram of 100 bytes to a server, by way of a router.",
    prediction="Each link has its own frame: the first goes from the client's network card to "
    "the router's, the second from the router's to the server's. The packet in it goes from "
    "the client's IP address to the server's all the way; its TTL is 64 and then 63, and the "
    "checksum of its header goes with that. All behind the header, ports, checksum and "
    "payload of UDP, is none of the router's business: not a byte of it changes.",
    hosts=("client", "server", "router"),
    server=server,
    client=client,
    sysctls=lambda p: {"router": FORWARDS},
    options={"next_hops": {"client": {"server": "router"}}},
    expects=(
        Expect("the first frame goes from", Kind.WORD, lambda p: "client to router",
               lambda e: on_link(e, 0), "RFC 894; RFC 1812 5.2.1: the next hop"),
        Expect("the second", Kind.WORD, lambda p: "router to server", lambda e: on_link(e, 1),
               "the same"),
        Expect("IP addresses in both", Kind.WORD, lambda p: "client to server", by_address,
               "RFC 791 2.3"),
        Expect("TTL in the first", Kind.COUNT, lambda p: 64,
               lambda e: hops(e)[0].ttl if hops(e) else None, "net.ipv4.ip_default_ttl"),
        Expect("in the second", Kind.COUNT, lambda p: 63,
               lambda e: hops(e)[-1].ttl if hops(e) else None, "RFC 1812 5.3.1: less one"),
        Expect("what else changed in the packet", Kind.WORD, lambda p: "TTL, checksum",
               only_header, "RFC 1812 5.3.1; RFC 1624: the header's sum, brought up to date"),
        Expect("the server read", Kind.SIZE, lambda p: SIZE, lambda e: e.returned["server"],
               "RFC 768"),
    ),
    seen=seen,
    next="`netlab study routing-loop`: routers that do not know the way.",
)  # fmt: skip
