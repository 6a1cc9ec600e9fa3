"""IPv6 neighbour discovery: the same question as ARP's, to fewer ears."""

from __future__ import annotations

import socket

from netlab.model.probe import Probe
from netlab.model.tables import Packet
from netlab.studies.evidence import Evidence
from netlab.studies.lacks import lacking
from netlab.studies.quantity import Kind
from netlab.studies.study import PORT, Expect, Params, Study, Topic

SOLICITATION, ADVERTISEMENT = 135, 136
TYPE_AT = 14 + 40  # behind Ethernet and IPv6


def server(probe: Probe, p: Params) -> None:
    """Accepts one connection over IPv6."""
    listener = probe.socket(socket.AF_INET6, socket.SOCK_STREAM)
    listener.bind(("::", PORT))
    listener.listen(1)
    sock, _ = listener.accept()
    sock.recv(1)
    sock.close()
    listener.close()


def client(probe: Probe, p: Params) -> str:
    """Connects; the address that it connected to."""
    sock = probe.socket(socket.AF_INET6, socket.SOCK_STREAM)
    sock.connect(("server-ipv6", PORT))
    name = str(sock.getpeername()[0])
    sock.close()
    return name


def of_type(evidence: Evidence, kind: int) -> list[Packet]:
    """ICMPv6 messages of a type, before the SYN."""
    syns = evidence.frames("c>s", flags="SYN")
    until_ns = syns[0][0].time_ns if syns else 0
    return [
        packet
        for packet in evidence.tables.packets
        if packet.ip_version == 6
        and packet.protocol == "ICMPv6"
        and packet.time_ns < until_ns
        and evidence.data(packet)[TYPE_AT] == kind
    ]


def seen(evidence: Evidence) -> str:
    """Who asked whom, and was answered."""
    told = [
        f"{name}, {packet.src} to {packet.dst} ({evidence.macs(packet)[1]})"
        for kind, name in ((SOLICITATION, "solicitation"), (ADVERTISEMENT, "advertisement"))
        for packet in of_type(evidence, kind)
    ]
    return f"Before the SYN: {'; '.join(told)}." if told else ""


def asked(evidence: Evidence) -> str | None:
    """The address that the question went to."""
    found = of_type(evidence, SOLICITATION)
    return found[0].dst if found else None


def group(evidence: Evidence) -> str:
    """The solicited-node group of the server's address: its last 24 bits behind ff02::1:ff."""
    packed = socket.inet_pton(socket.AF_INET6, evidence.returned["client"])
    start = socket.inet_pton(socket.AF_INET6, "ff02::1:ff00:0")[:13]
    return socket.inet_ntop(socket.AF_INET6, start + packed[13:])


def mac_is_right(evidence: Evidence) -> str:
    """Whether the frame went to 33:33 and the last four bytes of the group."""
    found = of_type(evidence, SOLICITATION)
    if not found:
        return "none was sent"
    last = socket.inet_pton(socket.AF_INET6, group(evidence))[12:]
    right = evidence.macs(found[0])[1] == (b"\x33\x33" + last).hex(":")
    return "33:33 and its end" if right else evidence.macs(found[0])[1]


STUDY = Study(
    name="ipv6-neighbours",
    topic=Topic.UDP,
    question="IPv6 has no broadcast. How does it find a MAC address?",
    setup="A client connects over IPv6 to a server on its own link. Neither knows the other's "
    "MAC address.",
    prediction="With ICMPv6. Every address has a group of its own, ff02::1:ff and its last 24 "
    "bits, which its host has joined. The neighbour solicitation goes to that group, so that "
    "network cards of other hosts need not even wake their machine; the advertisement comes "
    "back to the asker alone. Then the SYN leaves.",
    server=server,
    client=client,
    lacks=lambda: lacking("net.ipv6.conf.all.disable_ipv6", "it has no IPv6"),
    options={"resolve": True},
    expects=(
        Expect("solicitations before the SYN", Kind.COUNT, lambda p: 1,
               lambda e: len(of_type(e, SOLICITATION)), "RFC 4861 7.2.2"),
        Expect("sent to the group of the server's address", Kind.WORD, lambda p: "yes",
               lambda e: "yes" if asked(e) == group(e) else "no", "RFC 4291 2.7.1"),
        Expect("and on the link to", Kind.WORD, lambda p: "33:33 and its end", mac_is_right,
               "RFC 2464 7: 33:33 and the last four bytes of the group"),
        Expect("advertisements before the SYN", Kind.COUNT, lambda p: 1,
               lambda e: len(of_type(e, ADVERTISEMENT)), "RFC 4861 7.2.4"),
    ),
    seen=seen,
    next="`netlab study arp`: how IPv4 does it.",
)  # fmt: skip
