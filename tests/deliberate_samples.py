"""Frames of which netlab says something else than tshark, on purpose: at least one for each entry.

Where `deliberate_differences` has a rule, it is these that show it to be needed.
"""

from __future__ import annotations

from compare_samples import FRAME, INNER, INNER_6, LINK, V4, built, h, over_udp
from scapy.layers import inet, inet6
from scapy.packet import Raw

TO_IPV4 = h("020000000002 020000000001 0800")
TO_IPV6 = h("020000000002 020000000001 86dd")


def departures() -> list[tuple[int, bytes]]:
    """Frames with their link types."""
    return [
        *((1, frame) for make in (cut, closed, big, quic_short) for frame in make()),
        (1, TO_IPV4 + built(INNER_6)),  # the EtherType of another version
        (1, built(LINK / V4 / inet.UDP(sport=4789, dport=40001)
                  / Raw(h("08000000 00000700") + built(FRAME / INNER)))),
        (113, h("0004 0001 0006 020000000001 0000 0800") + with_a_wrong_sum()),  # sent from here
        (107, h("18410300 cc") + built(INNER)),  # Frame Relay: a link that is only named
        (201, bytes(20)),  # Bluetooth, whose first four bytes tshark does not count
    ]  # fmt: skip


def in_ip(protocol: int, content: bytes, total: int | None = None) -> bytes:
    head = bytearray(built(inet.IP(src="192.0.2.1", dst="198.51.100.2", id=7, proto=protocol)))
    length = 20 + len(content) if total is None else total
    head[2:4] = length.to_bytes(2, "big")
    head[10:12] = bytes(2)
    head[10:12] = inet.checksum(bytes(head)).to_bytes(2, "big")
    return TO_IPV4 + bytes(head) + content


def with_a_wrong_sum() -> bytes:
    packet = bytearray(built(INNER))
    packet[36] ^= 0x55
    return bytes(packet)


def cut() -> list[bytes]:
    """Headers that end too early."""
    usual = [("MSS", 1460), ("Timestamp", (1, 2))]
    segment = built(inet.TCP(sport=1024, dport=8000, options=usual))
    return [
        in_ip(6, segment[:15]),
        in_ip(6, segment[:19], 40),
        in_ip(6, segment[:28], 60),  # in an option
        in_ip(1, h("0800 ffff 00")),
        in_ip(132, h("0001 0002 00000009")),
    ]


def closed() -> list[bytes]:
    """Packets in what netlab names and does not open."""
    packet, frame = built(INNER), built(FRAME / INNER)
    link = TO_IPV4[:12]
    return [
        in_ip(103, h("2100 0000 00000000") + packet),
        in_ip(2, h("1301 ecf2 0006 ff03")),
        in_ip(2, h("1400 0000 10000000 00000000")),
        in_ip(47, h("1000 22eb 00000001 2001 0000 00000000 0000 0000") + frame),
        in_ip(47, h("0000 883e 00000000") + packet),
        in_ip(97, h("3000") + frame),
        link + h("894f 0fc6 0101 000001ff") + bytes(16) + packet,
        link + h("88e5 0000 00000001 0800") + packet + bytes(16),
        link + h("8909 0101 0001 0007 0800") + packet,
        link + h("88e7 00000001") + link + h("0800") + packet,
        link + h("22f3 0000 0001 0002") + frame,
        link + h("8035 0001 0800 06 04 0003 020000000001 c0000201 020000000001 c0000202"),
        over_udp(4341, h("c0000001 00000000"), packet),
        over_udp(3544, b"", built(INNER_6)),
        over_udp(1701, h("0002 0001 0001 ff03 0021"), packet),
        over_udp(4754, h("0000 0800"), packet),
    ]


def big() -> list[bytes]:
    """Lengths of 0, where they stand for more than 65,535 bytes or are left to a device."""
    segment = built(inet.TCP(sport=1024, dport=8000) / Raw(bytes(20)))
    datagram = h("0400 2328 0000 0000") + bytes(20)
    found = []
    for protocol, content in ((6, segment), (17, datagram)):
        packet = bytearray(built(inet6.IPv6(src="2001:db8::1", dst="2001:db8::2", nh=protocol)))
        packet[4:6] = bytes(2)
        found.append(TO_IPV6 + bytes(packet) + content)
    inner = in_ip(6, segment, 0) + bytes(66_000)
    return [*found, in_ip(17, h("0005 12b5 0000 0000 08000000 00000700") + inner, 0)]


def quic_short() -> list[bytes]:
    """Short headers at QUIC's port, of a connection whose beginning nobody saw, and of another."""
    there = inet.UDP(sport=49154, dport=443)
    back = inet.IP(src="198.51.100.2", dst="192.0.2.1") / inet.UDP(sport=443, dport=49154)
    name = h("f067a5502a4262b5")
    first = h("c3 00000001 08 8394c8f03e515708 04 01020304 00 4040") + bytes(64)
    answer = h("c3 00000001 04 01020304 08") + name + h("00 4040") + bytes(64)
    return [
        built(LINK / V4 / inet.UDP(sport=49153, dport=443) / Raw(h("40") + bytes(38))),
        built(LINK / V4 / there / Raw(first)),
        built(LINK / back / Raw(answer)),
        built(LINK / V4 / there / Raw(h("40") + name + bytes(30))),
    ]
