"""Frames that no capture at hand has, built by scapy or byte by byte, for tshark to read.

Options of every form, tunnels, fragments in any order, rare transports, and links.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from scapy.layers import inet, inet6, l2, sctp
from scapy.packet import Packet as ScapyPacket
from scapy.packet import Raw

from netlab.capture import pcapng


def h(*parts: str) -> bytes:
    return bytes.fromhex("".join(parts))


LINK = l2.Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
V4 = inet.IP(src="192.0.2.1", dst="198.51.100.2", id=7)
V6 = inet6.IPv6(src="2001:db8::1", dst="2001:db8::2")
KEY_A, KEY_B = h("0102030405060708"), h("1112131415161718")


def built(packet: ScapyPacket) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bytes(packet)


def with_option(option: bytes, flags: str = "A", payload: bytes = b"") -> ScapyPacket:
    """A segment with these bytes as its options, filled up with no operations."""
    raw = option + b"\x01" * (-len(option) % 4)
    tcp = inet.TCP(sport=40000, dport=5001, seq=1000, ack=2000, flags=flags, window=512)
    whole = bytearray(built(tcp))
    whole[12] = (5 + len(raw) // 4) << 4
    segment = bytes(whole) + raw + payload
    pseudo = h("c0000201 c6336402 0006") + len(segment).to_bytes(2, "big")
    blank = segment[:16] + bytes(2) + segment[18:]
    total = inet.checksum(pseudo + blank).to_bytes(2, "big")
    ip = inet.IP(src="192.0.2.1", dst="198.51.100.2", proto=6)
    return LINK / ip / Raw(blank[:16] + total + blank[18:])


OPTIONS = [
    h("2202"), h("220a 0102030405060708"), h("fe04 f989"), h("fe0c f989 1122334455667788"),
    h("fd06 f989 aabb"), h("fe08 acce 000001 01"), h("fd05 4e45 07"), h("fe06 e2d4 c3d9"),
    h("1312") + bytes(range(16)), h("1d10 0702") + bytes(range(12)), h("1c04 803c"),
    h("1c04 0005"), h("1b08 0540 00000004"), h("4503 01"), h("4504 0121"),
    h("ac02"), h("ac05 000001"), h("ac08 000001 000002"), h("ac0b 000001 000002 000003"),
    h("ae02"), h("ae05 000001"), h("ae08 000001 000002"), h("ae0b 000001 000002 000003"),
    h("1e04 0181"), h("1e0c 0181") + KEY_A, h("1e14 0181") + KEY_A + KEY_B,
    h("1e16 0181") + KEY_A + KEY_B + h("0064"), h("1e18 0181") + KEY_A + KEY_B + h("0064 abcd"),
    h("1e0c 1002 00000011 00000022"), h("1e10 1102") + KEY_A + h("00000022"),
    h("1e18 1000") + bytes(range(20)),
    h("1e08 2001 00000010"), h("1e0c 2003") + KEY_A, h("1e12 2004 00000010 00000001 0064 abcd"),
    h("1e0e 2004 00000010 00000001 0064"), h("1e12 200c") + KEY_A + h("00000001 0064"),
    h("1e1a 200f") + KEY_A + KEY_B + h("00000001 0064"),
    h("1e1c 201f") + KEY_A + KEY_B + h("00000001 0001 abcd"),
    h("1e10 3003 c0000209") + KEY_A, h("1e12 3003 c0000209 1f90") + KEY_A,
    h("1e08 3103 c0000209"), h("1e1c 3003") + bytes(range(16)) + KEY_A,
    h("1e04 4001"), h("1e05 4001 02"), h("1e03 51"), h("1e0c 6000") + KEY_A,
    h("1e0c 7000") + KEY_A, h("1e04 8101"), h("0802"), h("080a 0000000a 0000000b"),
    h("0403 00"), h("0204 05b4 0303 07 0402"),
    h("0512 0000000a 00000014 0000001e 00000028"),
]  # fmt: skip
SYN_OPTIONS = {0x22, 0xFE, 0xFD, 0x02}


def options() -> list[bytes]:
    return [built(with_option(one, "S" if one[0] in SYN_OPTIONS else "A")) for one in OPTIONS]


INNER = inet.IP(src="10.0.0.1", dst="10.0.0.2", id=9) / inet.TCP(sport=1024, dport=80) / Raw(b"in")
INNER_6 = inet6.IPv6(src="fd00::1", dst="fd00::2") / inet.UDP(sport=1024, dport=7) / Raw(b"in6")
FRAME = l2.Ether(src="02:00:00:00:00:03", dst="02:00:00:00:00:04")


def over_udp(port: int, head: bytes, inside: bytes) -> bytes:
    return built(LINK / V4 / inet.UDP(sport=49152, dport=port) / Raw(head + inside))


def tunnels() -> list[bytes]:
    ethernet, v6 = built(FRAME / INNER), built(FRAME / INNER_6)
    arp = built(FRAME / l2.ARP(hwsrc="02:00:00:00:00:03", psrc="10.0.0.1", pdst="10.0.0.2"))
    tagged = built(FRAME / l2.Dot1Q(vlan=9) / INNER)
    return [
        over_udp(4789, h("08000000 00000700"), ethernet),
        over_udp(4789, h("08000000 00000700"), tagged),
        over_udp(4789, h("08000000 00000700"), arp),
        over_udp(4790, h("0c000003 00000700"), v6),
        over_udp(4790, h("0c000001 00000700"), built(INNER)),
        over_udp(6081, h("00006558 00000900"), ethernet),
        over_udp(6081, h("02000800 00000900 0101 80 01 deadbeef"), built(INNER)),
        over_udp(6081, h("000086dd 00000900"), built(INNER_6)),
        over_udp(2152, h("30ff") + len(built(INNER)).to_bytes(2, "big") + h("00000063"),
                 built(INNER)),
        over_udp(2152, h("34ff") + (len(built(INNER_6)) + 8).to_bytes(2, "big")
                 + h("00000063 0000 00 85 01 1009 00"), built(INNER_6)),
        over_udp(2152, h("3201 0004 00000000 0001 0000"), b""),
        built(LINK / V4 / l2.GRE(proto=0x6558) / FRAME / INNER),
        built(LINK / V4 / l2.GRE(proto=0x0800, key_present=1, key=5) / INNER),
        built(LINK / V4 / INNER), built(LINK / V4 / INNER_6), built(LINK / V6 / INNER),
        *(built(LINK / inet.IP(src="192.0.2.1", dst="198.51.100.2", proto=47)
                / Raw(h("3001 880b 002e 0000 00000001", head, "0021") + built(INNER)))
          for head in ("ff03", "ff04")),
        h("020000000002 020000000001 8864 1100 0001 002e ff03 0021") + built(INNER),
        over_udp(4789, h("08000000 00000700"), built(FRAME / INNER_6)),
        built(LINK / V6 / inet.UDP(sport=5, dport=4789) / Raw(h("08000000 00000700") + ethernet)),
        built(LINK / V4 / l2.GRE(proto=0x88BE) / Raw(ethernet)),
        over_udp(6635, h("00064140"), built(INNER)),
        built(LINK / inet6.IPv6(src="2001:db8::1", dst="2001:db8::2", nh=143) / Raw(ethernet)),
        built(LINK / l2.Dot1AD(vlan=5) / l2.Dot1Q(vlan=6) / INNER),
        built(LINK / V6 / inet6.IPv6ExtHdrRouting(addresses=["2001:db8::9"], segleft=1)
              / inet.UDP(sport=7, dport=8) / Raw(b"routed")),
    ]  # fmt: skip


def quic() -> list[bytes]:
    first = h("00000001 08 8394c8f03e515708 00 00 4040") + bytes(64)
    with_token = h("00000001 08 8394c8f03e515708 04 01020304 05 aabbccddee 4020") + bytes(32)
    version_2 = h("6b3343cf 08 8394c8f03e515708 00 00 4040") + bytes(64)
    handshake = h("00000001 00 08 f067a5502a4262b5 4019") + bytes(25)
    retry = h("00000001 00 08 f067a5502a4262b5") + b"token" + bytes(range(16))
    return [
        over_udp(443, h("c3"), first),
        over_udp(443, h("c0"), with_token),
        over_udp(443, h("d3"), version_2),
        over_udp(443, h("e5"), handshake),
        over_udp(443, h("ff"), retry),
        over_udp(443, h("80"), h("00000000 04 01020304 04 05060708 00000001 6b3343cf")),
        over_udp(443, h("c3"), h("00000001 08 8394c8f03e515708 00 00 4020") + bytes(32)
                 + h("e5 00000001 08 8394c8f03e515708 00 4019") + bytes(25)),
        over_udp(443, h("c3"), h("00000001 08 8394c8f03e515708 00 00 4020") + bytes(32)
                 + h("e5") + handshake),
    ]  # fmt: skip


def transports() -> list[bytes]:
    data = sctp.SCTPChunkData(tsn=5, stream_id=1, stream_seq=2, proto_id=46, data=b"hello",
                              beginning=1, ending=1)  # fmt: skip
    init = sctp.SCTPChunkInit(init_tag=7, a_rwnd=1500, n_out_streams=2, n_in_streams=3,
                              init_tsn=5)  # fmt: skip
    sack = sctp.SCTPChunkSACK(cumul_tsn_ack=5, a_rwnd=1500)
    return [
        *(built(LINK / ip / sctp.SCTP(sport=5000, dport=5001, tag=9) / chunk)
          for ip in (V4, V6)
          for chunk in (init, data, sack / data, sctp.SCTPChunkShutdown(cumul_tsn_ack=5),
                        sctp.SCTPChunkHeartbeatReq(), sctp.SCTPChunkCookieAck())),
        igmp(h("11640000 00000000")), igmp(h("11000000 e0000001")), igmp(h("16000000 e0000005")),
        igmp(h("17000000 e0000005")), igmp(h("12000000 e0000005")),
        igmp(h("11640000 e0000005 0a7d 0002 0a000001 0a000002")),
        igmp(h("22000000 00000002 04000000 e0000005 03000001 e0000006 0a000001")),
        built(LINK / inet.IP(src="192.0.2.1", dst="198.51.100.2", proto=33)
              / Raw(h("1388 1389 05 00 0000 05 000001 00000000 000000000000"))),
        built(LINK / inet.IP(src="192.0.2.1", dst="198.51.100.2", proto=33)
              / Raw(h("1388 1389 04 00 0000 04 000007"))),
        udp_lite(h("1388 1389 0008 0000"), b"lite"), udp_lite(h("1388 1389 0000 0000"), b"lite"),
    ]  # fmt: skip


def udp_lite(head: bytes, payload: bytes) -> bytes:
    """Its checksum covers the header alone, or all where the coverage says 0."""
    pseudo = h("c0000201 c6336402 0088") + (8 + len(payload)).to_bytes(2, "big")
    covered = head if head[4:6] == h("0008") else head + payload
    head = head[:6] + inet.checksum(pseudo + covered).to_bytes(2, "big")
    ip = inet.IP(src="192.0.2.1", dst="198.51.100.2", proto=136)
    return built(LINK / ip / Raw(head + payload))


def igmp(message: bytes) -> bytes:
    right = message[:2] + inet.checksum(message).to_bytes(2, "big") + message[4:]
    return built(LINK / inet.IP(src="192.0.2.1", dst="224.0.0.1", proto=2, ttl=1) / Raw(right))


def fragments() -> list[bytes]:
    """Datagrams and segments in pieces: in order, out of order, twice, of both versions."""
    udp = inet.UDP(sport=1000, dport=2000) / Raw(bytes(range(256)) * 12)
    found: list[bytes] = []
    for number, order in enumerate(("012", "210", "102", "0112")):
        whole = LINK / inet.IP(src="192.0.2.1", dst="198.51.100.2", id=100 + number) / udp
        pieces = [built(part) for part in inet.fragment(whole, 1200)]
        found += [pieces[int(place)] for place in order]
    tcp = inet.TCP(sport=3000, dport=4000, seq=1, ack=1, flags="PA") / Raw(b"x" * 700)
    whole = LINK / inet.IP(src="192.0.2.1", dst="198.51.100.2", id=200) / tcp
    found += [built(part) for part in inet.fragment(whole, 304)]
    ping = inet.ICMP() / Raw(bytes(500))
    whole = LINK / inet.IP(src="192.0.2.1", dst="198.51.100.2", id=201) / ping
    found += [built(part) for part in inet.fragment(whole, 304)]
    six = inet6.IPv6(src="2001:db8::1", dst="2001:db8::2")
    for number, order in enumerate(("012", "210")):
        whole = LINK / six / inet6.IPv6ExtHdrFragment(id=300 + number) / udp
        pieces = [built(part) for part in inet6.fragment6(whole, 1280)]
        found += [pieces[int(place)] for place in order]
    gre = l2.GRE() / inet.IP(src="10.0.0.1", dst="10.0.0.2", id=5) / udp
    whole = LINK / inet.IP(src="192.0.2.1", dst="198.51.100.2", id=400) / gre
    found += [built(part) for part in inet.fragment(whole, 1600)]
    missing = inet.fragment(LINK / inet.IP(src="192.0.2.1", dst="198.51.100.2", id=500) / udp, 1200)
    return [*found, built(missing[0]), built(missing[2])]


def errors() -> list[bytes]:
    quoted = inet.IP(src="198.51.100.2", dst="192.0.2.1", id=8) / inet.UDP(sport=9, dport=10)
    quoted_6 = inet6.IPv6(src="2001:db8::2", dst="2001:db8::1") / inet.UDP(sport=9, dport=10)
    segment = inet.IP(src="198.51.100.2", dst="192.0.2.1") / inet.TCP(sport=9, dport=10, seq=7)
    return [
        built(LINK / V4 / inet.ICMP(type=3, code=3) / quoted / Raw(b"abc")),
        built(LINK / V4 / inet.ICMP(type=3, code=4, nexthopmtu=900) / Raw(built(segment)[:28])),
        built(LINK / V4 / inet.ICMP(type=11) / segment),
        built(LINK / V4 / inet.ICMP(type=8, id=1, seq=2) / Raw(b"ping")),
        built(LINK / V6 / inet6.ICMPv6DestUnreach(code=4) / quoted_6),
        built(LINK / V6 / inet6.ICMPv6PacketTooBig(mtu=1280) / quoted_6),
        built(LINK / V6 / inet6.ICMPv6EchoRequest(id=1, seq=2, data=b"ping")),
        built(LINK / V6 / inet6.ICMPv6ND_NS(tgt="2001:db8::2")),
        built(
            LINK / l2.ARP(op=2, hwsrc="02:00:00:00:00:03", psrc="192.0.2.1", pdst="198.51.100.2")
        ),
    ]


def links() -> dict[int, list[bytes]]:
    v4, v6 = built(INNER), built(INNER_6)
    return {
        0: [h("02000000") + v4, h("00000002") + v4, h("1e000000") + v6, h("0000001c") + v6,
            h("18000000") + v6, h("0a000000") + v6],
        108: [h("00000002") + v4, h("00000018") + v6],
        12: [v4, v6], 14: [v4, v6], 101: [v4, v6], 228: [v4], 229: [v6],
        113: [h("0004 0001 0006 020000000001 0000 0800") + v4,
              h("0000 0304 0006 000000000000 0000 86dd") + v6,
              h("0000 030a 0000 0000000000000000 0800") + v4],
        276: [h("0800 0000 00000002 0001 04 06 020000000001 0000") + v4],
        9: [h("ff030021") + v4, h("0057") + v6, h("ff030281 00064140") + v4, h("ff0421") + v4],
        104: [h("0f000800") + v4],
        50: [h("ff030021") + v4],
    }  # fmt: skip


SETS = (options, tunnels, quic, transports, fragments, errors)


def write_samples(path: Path) -> None:
    """One pcapng file with all of them, an interface for each link, a microsecond apart."""
    frames = [(1, frame) for make in SETS for frame in make()]
    frames += [(link, frame) for link, every in links().items() for frame in every]
    write_frames(path, frames)


def write_frames(path: Path, frames: Sequence[tuple[int, bytes]]) -> None:
    """Frames with their link types as a pcapng file."""
    numbers = {link: at for at, link in enumerate(dict.fromkeys(link for link, _ in frames))}
    with path.open("wb") as out:
        out.write(pcapng.section_header([]))
        for link in numbers:
            out.write(pcapng.interface_description(link, 0, []))
        for at, (link, frame) in enumerate(frames):
            time_ns = 1_700_000_000_000_000_000 + 1001 * at
            out.write(pcapng.packet(numbers[link], time_ns, frame, len(frame), 0))
