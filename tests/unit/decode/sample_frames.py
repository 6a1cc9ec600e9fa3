"""Frames written by hand, byte by byte, with the columns they must become. Nobody's encoder."""

from __future__ import annotations

from dataclasses import dataclass, field

from netlab.decode.packets import decode
from netlab.model.frame import Frame, Interface
from netlab.model.recording import RawRecording
from netlab.model.tables import Packet, TcpOptions

ETHERNET, NULL, LOOP, RAW, RAW_4, RAW_6, COOKED, COOKED_2 = 1, 0, 108, 101, 228, 229, 113, 276


def one(data: bytes, link: int = ETHERNET, origlen: int | None = None, flags: int = 0) -> Packet:
    """The row of a single frame."""
    frame = Frame(1, 5, 0, data, len(data) if origlen is None else origlen, flags)
    return decode(RawRecording(frames=[frame], interfaces=[Interface("if0", link, 0)]))[0]


def h(*parts: str) -> bytes:
    return bytes.fromhex("".join(parts))


MACS = h("0200 0000 0002 0200 0000 0001")
ETH4 = MACS + h("0800")
ETH6 = MACS + h("86dd")
IP6_SRC = h("2001 0db8 0000 0000 0000 0000 0000 0001")
IP6_DST = h("2001 0db8 0000 0000 0001 0000 0000 0002")


def ip4(
    payload: bytes,
    protocol: int,
    *,
    total: int | None = None,
    frag: int = 0,
    options: bytes = b"",
    ihl: int | None = None,
) -> bytes:
    words = 5 + len(options) // 4 if ihl is None else ihl
    length = 20 + len(options) + len(payload) if total is None else total
    head = bytes([0x40 | words, 0]) + length.to_bytes(2, "big") + h("1234")
    head += frag.to_bytes(2, "big") + bytes([64, protocol]) + h("0000 c000 0201 c633 6402")
    return head + options + payload


def ip6(payload: bytes, following: int, *, length: int | None = None) -> bytes:
    size = len(payload) if length is None else length
    head = h("6000 0000") + size.to_bytes(2, "big") + bytes([following, 63])
    return head + IP6_SRC + IP6_DST + payload


def tcp(payload: bytes = b"", *, flags: int = 0x018, options: bytes = b"", words: int = 0) -> bytes:
    bits = (words or 5 + len(options) // 4) << 12 | flags
    head = h("d431 0050 11223344 55667788") + bits.to_bytes(2, "big") + h("0200 abcd 0000")
    return head + options + payload


def udp(payload: bytes = b"", *, length: int | None = None) -> bytes:
    size = 8 + len(payload) if length is None else length
    return h("14e9 0035") + size.to_bytes(2, "big") + h("beef") + payload


TIMESTAMPS = h("0101 080a 0000000a 0000000b")
SYN_OPTIONS = h("0204 05b4 0402 080a 0000000a 0000000b 01 0303 07")
SACK = h("0101 0512 00000001 00000002 fffffff0 00000005")
V4 = {"ip_version": 4, "src": "192.0.2.1", "dst": "198.51.100.2", "ttl": 64, "ip_id": 0x1234}
V6 = {"ip_version": 6, "src": "2001:db8::1", "dst": "2001:db8::1:0:0:2", "ttl": 63}
TCP = {"protocol": "TCP", "sport": 54321, "dport": 80, "seg_seq": 0x11223344,
       "seg_ack": 0x55667788, "seg_wnd_raw": 512}  # fmt: skip
UDP = {"protocol": "UDP", "sport": 5353, "dport": 53}


@dataclass(frozen=True)
class Case:
    name: str
    data: bytes
    columns: dict[str, object]
    link: int = ETHERNET
    need: int = 0  # captured bytes from which on all columns are there; 0: found by payload_off
    hidden: dict[str, object] = field(default_factory=dict)


def _quoted_error() -> bytes:
    quote = ip4(tcp(b"x" * 100), 6)[:28]
    return h("0303 0000 0000 0000") + quote


CASES = [
    Case("tcp", ETH4 + ip4(tcp(b"hello"), 6),
         V4 | TCP | {"tcp_flags": "PSH ACK", "ip_len_bytes": 45, "payload_off": 54,
                     "payload_len_bytes": 5, "fragment": None, "vlan": None},
         hidden={"_options": None, "_flags": 0x18, "_ip_protocol": 6}),
    Case("tcp syn", ETH4 + ip4(tcp(flags=0x002, options=SYN_OPTIONS), 6),
         V4 | TCP | {"tcp_flags": "SYN", "payload_len_bytes": 0, "payload_off": 74},
         hidden={"_options": TcpOptions(1460, 7, True, 10, 11)}),
    Case("tcp timestamps", ETH4 + ip4(tcp(b"abc", options=TIMESTAMPS), 6),
         V4 | TCP | {"payload_len_bytes": 3, "payload_off": 66},
         hidden={"_options": TcpOptions(ts_val=10, ts_ecr=11)}),
    Case("tcp sack", ETH4 + ip4(tcp(flags=0x010, options=SACK), 6),
         V4 | TCP | {"tcp_flags": "ACK", "payload_len_bytes": 0},
         hidden={"_options": TcpOptions(sack_blocks=((1, 2), (0xFFFFFFF0, 5)))}),
    Case("tcp over ipv6", ETH6 + ip6(tcp(b"hello"), 6),
         V6 | TCP | {"ip_id": None, "ip_len_bytes": 65, "payload_off": 74,
                     "payload_len_bytes": 5}),
    Case("udp", ETH4 + ip4(udp(b"question"), 17),
         V4 | UDP | {"payload_off": 42, "payload_len_bytes": 8, "tcp_flags": None}),
    Case("udp without payload", ETH4 + ip4(udp(), 17),
         V4 | UDP | {"payload_off": 42, "payload_len_bytes": 0}),
    Case("vlan", MACS + h("8100 6064 0800") + ip4(udp(b"q"), 17),
         V4 | UDP | {"vlan": 100, "payload_off": 46}),
    Case("two tags", MACS + h("88a8 0007 8100 0064 0800") + ip4(udp(b"q"), 17),
         V4 | UDP | {"vlan": 100, "payload_off": 50}),
    Case("ipv4 options", ETH4 + ip4(udp(b"q"), 17, options=h("9404 0000")),
         V4 | UDP | {"payload_off": 46, "payload_len_bytes": 1}),
    Case("first fragment", ETH4 + ip4(udp(b"x" * 16, length=2000), 17, frag=0x2000),
         V4 | UDP | {"fragment": "0+24 more", "payload_off": 42, "payload_len_bytes": 16},
         hidden={"_fragment_off": 0, "_fragment_more": True}),
    Case("later fragment", ETH4 + ip4(b"x" * 24, 17, frag=0x2003),
         V4 | {"protocol": "IPv4", "sport": None, "fragment": "24+24 more", "payload_off": 34,
               "payload_len_bytes": 24},
         hidden={"_fragment_off": 24, "_fragment_more": True, "_ip_protocol": 17}),
    Case("last fragment", ETH4 + ip4(b"x" * 5, 6, frag=0x0006),
         V4 | {"protocol": "IPv4", "fragment": "48+5 last", "payload_len_bytes": 5},
         hidden={"_fragment_off": 48, "_fragment_more": False, "_ip_protocol": 6}),
    Case("ipv6 extensions",
         ETH6 + ip6(h("3c00 0000 0000 0000 0601 0000 0000 0000") + bytes(8) + tcp(b"hi"), 0),
         V6 | TCP | {"payload_off": 98, "payload_len_bytes": 2, "ip_len_bytes": 86},
         hidden={"_ip_protocol": 6}),
    Case("ipv6 first fragment", ETH6 + ip6(h("1100 0001 0000 00ff") + udp(b"x" * 8), 44),
         V6 | UDP | {"ip_id": 255, "fragment": "0+16 more", "payload_off": 70,
                     "payload_len_bytes": 8},
         hidden={"_fragment_more": True, "_ip_protocol": 17}),
    Case("ipv6 last fragment", ETH6 + ip6(h("1100 0010 0000 00ff") + b"x" * 7, 44),
         V6 | {"protocol": "IPv6", "ip_id": 255, "fragment": "16+7 last", "sport": None,
               "payload_off": 62, "payload_len_bytes": 7},
         hidden={"_fragment_off": 16, "_ip_protocol": 17}),
    Case("ipv6 atomic fragment", ETH6 + ip6(h("1100 0000 0000 00ff") + udp(b"whole"), 44),
         V6 | UDP | {"ip_id": 255, "fragment": None, "payload_len_bytes": 5}),
    Case("icmp echo", ETH4 + ip4(h("0800 0000 0001 0001") + b"ping", 1),
         V4 | {"protocol": "ICMP", "sport": None, "payload_off": 42, "payload_len_bytes": 4},
         hidden={"_quoted": None, "_icmp_text": "echo request id=1 seq=1"}),
    Case("icmp error", ETH4 + ip4(_quoted_error(), 1),
         V4 | {"protocol": "ICMP", "payload_len_bytes": 28}),
    Case("arp", MACS + h("0806 0001 0800 06 04 0001 0200 0000 0001 c000 0201 0000 0000 0000"
                         "c000 0202"),
         {"protocol": "ARP", "src": "192.0.2.1", "dst": "192.0.2.2", "ip_version": None}, need=42),
    Case("null, little-endian", h("02000000") + ip4(udp(b"q"), 17),
         V4 | UDP | {"link": "BSD loopback", "payload_off": 32}, NULL),
    Case("null, big-endian", h("0000001e") + ip6(udp(b"q"), 17), V6 | UDP, NULL),
    Case("loop", h("00000018") + ip6(udp(b"q"), 17), V6 | UDP, LOOP),
    Case("raw, 4", ip4(udp(b"q"), 17), V4 | UDP | {"link": "Raw IP", "payload_off": 28}, RAW),
    Case("raw, 6", ip6(udp(b"q"), 17), V6 | UDP, RAW),
    Case("raw, 12", ip4(udp(b"q"), 17), V4 | UDP, 12),
    Case("raw, 14", ip6(udp(b"q"), 17), V6 | UDP, 14),
    Case("raw ipv4", ip4(udp(b"q"), 17), V4 | UDP, RAW_4),
    Case("raw ipv6", ip6(udp(b"q"), 17), V6 | UDP, RAW_6),
    Case("cooked v1", h("0000 0304 0006 0000 0000 0000 0000 0800") + ip4(udp(b"q"), 17),
         V4 | UDP | {"link": "Linux cooked v1", "payload_off": 44}, COOKED),
    Case("cooked v2", h("86dd 0000 0000 0001 0304 0006 0000 0000 0000 0000") + ip6(udp(b"q"), 17),
         V6 | UDP | {"link": "Linux cooked v2", "payload_off": 68}, COOKED_2),
    Case("named ethertype", MACS + h("88cc") + b"lldp", {"protocol": "LLDP", "src": None}, need=14),
    Case("unknown ethertype", MACS + h("1234") + b"?", {"protocol": "EtherType 0x1234"}, need=14),
    Case("llc", MACS + h("0003 4242 03"), {"protocol": "STP"}, need=17),
    Case("named ip protocol", ETH4 + ip4(b"igmp", 2),
         V4 | {"protocol": "IGMP", "payload_off": None}, need=34),
    Case("unknown ip protocol", ETH4 + ip4(b"", 254),
         V4 | {"protocol": "IP protocol 254"}, need=34),
    Case("opaque link", b"anything", {"link": "USB", "protocol": "USB"}, 189),
    Case("unknown link", b"anything", {"link": "link type 4242"}, 4242),
]  # fmt: skip
