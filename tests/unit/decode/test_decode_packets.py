"""Rows of single frames: whole, cut at every byte, with trailing bytes, and broken on purpose."""

from __future__ import annotations

from dataclasses import asdict, fields

import pytest
from sample_frames import (
    CASES,
    ETH4,
    ETH6,
    ETHERNET,
    MACS,
    RAW,
    Case,
    h,
    ip4,
    ip6,
    one,
    tcp,
    udp,
)
from sample_links import DATA_FRAME, DATAGRAM_4, FCS, LINK_CASES, SNAP4, TUNNEL_CASES, radiotap

from netlab.decode.packets import decode, flags_text
from netlab.model.frame import Frame, Interface
from netlab.model.recording import RawRecording
from netlab.model.tables import Icmp, Packet, TcpOptions

FAULT = ("fault_layer", "fault_off", "fault_need", "fault_have", "fault_limited_by")
UNSET = {field.name: field.default for field in fields(Packet)}
EVERY = [*CASES, *LINK_CASES]
by_name = pytest.mark.parametrize("case", EVERY, ids=lambda case: case.name)


def faults(packet: Packet) -> tuple[object, ...]:
    return tuple(getattr(packet, name) for name in FAULT)


@by_name
def test_whole(case: Case) -> None:
    packet = one(case.data, case.link)
    wanted = case.columns | case.hidden
    assert {name: getattr(packet, name) for name in wanted} == wanted
    assert faults(packet) == (None,) * 5
    assert (packet.frame, packet.time_ns, packet.arrived_ns) == (1, 5, None)
    assert (packet.fate, packet.interface) == ("unknown", "if0")
    assert packet.caplen_bytes == packet.origlen_bytes == len(case.data)


@by_name
def test_cut_at_every_byte_by_the_snap_length(case: Case) -> None:
    whole = asdict(one(case.data, case.link))
    enough = case.need or whole["payload_off"] or 0
    for kept in range(len(case.data)):
        packet = one(case.data[:kept], case.link, len(case.data))
        if kept >= enough:
            assert faults(packet) == (None,) * 5, kept
        else:
            assert packet.fault_limited_by == "snaplen", kept
            assert packet.fault_off + packet.fault_have == kept
            assert packet.fault_have < packet.fault_need
        for name, value in asdict(packet).items():
            if name in FAULT or name in ("caplen_bytes", "protocol", "_options", "_quoted"):
                continue
            if name == "vlan" and value == 7:  # of two tags, the outer one was all there is
                continue
            # What is there equals the whole frame's: lengths too, they are the headers' word.
            assert value in (whole[name], UNSET.get(name)), (kept, name)
        if packet.protocol == whole["protocol"] and kept >= enough:
            assert packet.payload_len_bytes == whole["payload_len_bytes"]


@by_name
def test_a_frame_that_ended_early_on_the_wire(case: Case) -> None:
    for kept in range(len(case.data)):
        packet = one(case.data[:kept], case.link)
        assert packet.fault_limited_by != "snaplen", kept
        if packet.fault_have is not None:
            assert packet.fault_have < packet.fault_need
            assert packet.fault_off + packet.fault_have <= kept


@by_name
def test_trailing_bytes_change_nothing(case: Case) -> None:
    padded = asdict(one(case.data + b"\xaa" * 18, case.link))
    plain = asdict(one(case.data, case.link))
    for row in (padded, plain):
        del row["caplen_bytes"], row["origlen_bytes"]
        if row["_quoted"]:
            del row["_quoted"]["caplen_bytes"], row["_quoted"]["origlen_bytes"]
    assert padded == plain


@by_name
def test_a_view_of_a_file_reads_like_bytes(case: Case) -> None:
    whole = memoryview(b"--" + case.data)[2:]
    frame = Frame(1, 5, 0, whole, len(whole))
    raw = RawRecording(frames=[frame], interfaces=[Interface("if0", case.link, 0)])
    assert decode(raw) == [one(case.data, case.link)]


@pytest.mark.parametrize("case", TUNNEL_CASES, ids=lambda case: case.name)
def test_the_innermost_packet_of_a_tunnel_fills_the_columns(case: Case) -> None:
    packet = one(case.data, case.link)
    assert {name: getattr(packet, name) for name in case.columns} == case.columns
    assert faults(packet) == (None,) * 5
    for kept in range(len(case.data)):  # cut anywhere: a fault, and never an exception
        cut = one(case.data[:kept], case.link, len(case.data))
        assert cut.fault_layer is None or cut.fault_limited_by == "snaplen", kept


def test_packets_inside_each_other_without_end_stay_closed() -> None:
    data = b""
    for _ in range(3000):
        data = ip4(data, 4, total=20)
    packet = one(ETH4 + data)
    assert packet.protocol == "IPv4 in IP"


def test_the_check_sequence_that_a_card_leaves_is_no_payload() -> None:
    """Flags say that it is there: in radiotap, and in PPI's field of 802.11."""
    inner = DATA_FRAME + SNAP4 + DATAGRAM_4
    with_fcs = radiotap(bytes(8) + h("10"), "03000000", inner + FCS)
    assert one(with_fcs, 127).payload_len_bytes == 1
    common = h("0200 1400") + bytes(8) + h("0100") + bytes(10)
    ppi = h("0000 2000 69000000") + common + inner + FCS
    assert one(ppi, 192).payload_len_bytes == 1


GSO = b"x" * 3000
BROKEN = [
    ("ihl too small", ETH4 + ip4(tcp(), 6, ihl=4), ("IPv4", 14, 20, 16, "header length")),
    ("total below header", ETH4 + ip4(tcp(), 6, total=19), ("IPv4", 14, 20, 19, "ip total length")),
    ("total past frame", ETH4 + ip4(tcp(), 6, total=50), ("IPv4", 14, 50, 40, "frame end")),
    ("ipv6 past frame", ETH6 + ip6(tcp(), 6, length=30), ("IPv6", 14, 70, 60, "frame end")),
    ("not version 4", ETH4 + b"\x65" + ip4(tcp(), 6)[1:], ("IPv4", 14, None, None, "ip version")),
    ("not version 6", ETH6 + ip4(udp(b"x" * 40), 17), ("IPv6", 14, None, None, "ip version")),
    ("tcp past ip", ETH4 + ip4(tcp()[:12], 6) + bytes(99), ("TCP", 34, 20, 12, "ip total length")),
    ("data offset small", ETH4 + ip4(tcp(words=4), 6), ("TCP", 34, 20, 16, "header length")),
    ("data offset large", ETH4 + ip4(tcp(words=9), 6), ("TCP", 34, 36, 20, "ip total length")),
    ("udp length small", ETH4 + ip4(udp(length=7), 17), ("UDP", 34, 8, 7, "udp length")),
    ("udp length large", ETH4 + ip4(udp(length=9), 17), ("UDP", 34, 9, 8, "ip total length")),
    ("tiny fragment", ETH4 + ip4(tcp()[:8], 6, frag=0x2000), ("TCP", 34, 20, 8, "fragment")),
    ("option zero", ETH4 + ip4(tcp(options=h("02000000")), 6),
     ("TCP options", 54, 2, 0, "option length")),
    ("option past header", ETH4 + ip4(tcp(options=h("01010204")), 6),
     ("TCP options", 56, 4, 2, "header length")),
    ("option without length", ETH4 + ip4(tcp(options=h("01010102")), 6),
     ("TCP options", 57, 2, 1, "header length")),
    ("ipv4 option", ETH4 + ip4(tcp(), 6, options=h("94010000")),
     ("IPv4 options", 34, 2, 1, "option length")),
    ("extension past payload", ETH6 + ip6(h("06ff 0000 0000 0000"), 0),
     ("IPv6 hop-by-hop", 54, 2048, 8, "ip total length")),
    ("udp length of nothing", ETH4 + ip4(udp(b"abc", length=0), 17),
     ("UDP", 34, 8, 0, "udp length")),
    ("arp sizes", MACS + h("0806 0001 0800 ff 04 0001") + bytes(20),
     ("ARP", 14, 526, 28, "frame end")),
]  # fmt: skip


@pytest.mark.parametrize(("data", "fault"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN])
def test_broken_headers_are_fault_columns(data: bytes, fault: tuple[object, ...]) -> None:
    assert faults(one(data)) == fault


def test_ip_past_the_frame_still_shows_the_segment_that_is_there() -> None:
    packet = one(ETH4 + ip4(tcp(b"abc"), 6, total=50))
    assert (packet.protocol, packet.ip_len_bytes, packet.payload_len_bytes) == ("TCP", 50, 3)


def test_a_broken_option_costs_only_the_options_behind_it() -> None:
    packet = one(ETH4 + ip4(tcp(b"abc", options=h("020405b4 03000000")), 6))
    assert packet._options == TcpOptions(mss=1460)
    assert (packet.protocol, packet.payload_len_bytes, packet.fault_off) == ("TCP", 3, 58)


def test_options_of_a_wrong_length_are_passed_over() -> None:
    packet = one(ETH4 + ip4(tcp(options=h("0203 05 0304 0101 0403 01 0502 01")), 6))
    assert packet._options == TcpOptions(odd=True)
    assert packet.fault_layer is None


def test_nothing_after_the_end_of_options_counts() -> None:
    packet = one(ETH4 + ip4(tcp(options=h("00 0303 07")), 6))
    assert packet._options == TcpOptions()
    assert packet.fault_layer is None


def test_a_length_of_zero_means_all_of_the_frame() -> None:
    packet = one(ETH4 + ip4(tcp(GSO), 6, total=0))
    assert (packet.ip_len_bytes, packet.payload_len_bytes) == (3040, 3000)
    packet = one((ETH4 + ip4(tcp(GSO), 6, total=0))[:96], origlen=54 + 3000)
    assert (packet.ip_len_bytes, packet.payload_len_bytes, packet.fault_layer) == (3040, 3000, None)
    packet = one(ETH6 + ip6(tcp(GSO), 6, length=0))
    assert (packet.ip_len_bytes, packet.payload_len_bytes) == (3060, 3000)


def test_a_jumbo_option_tells_the_length() -> None:
    jumbo = h("0600 c204") + (28 + 70_000).to_bytes(4, "big")
    packet = one(ETH6 + ip6(jumbo + tcp(b"x" * 70_000), 0, length=0) + b"padding")
    assert (packet.payload_len_bytes, packet.fault_layer) == (70_000, None)


def test_a_udp_length_of_zero_is_a_jumbogram_where_there_can_be_one() -> None:
    packet = one(ETH6 + ip6(udp(b"abc", length=0), 17))
    assert (packet.payload_len_bytes, packet.fault_layer) == (3, None)
    packet = one(ETH4 + ip4(udp(b"x" * 70_000, length=0), 17, total=0))
    assert (packet.payload_len_bytes, packet.fault_layer) == (70_000, None)


@pytest.mark.parametrize("six", [False, True])
def test_behind_an_authentication_header_stands_the_segment(six: bool) -> None:
    header = h("0604 0000 00000001 00000001") + bytes(12)
    packet = one(
        ETH6 + ip6(header + tcp(b"abc"), 51) if six else ETH4 + ip4(header + tcp(b"abc"), 51)
    )
    assert (packet.protocol, packet.payload_len_bytes, packet.fault_layer) == ("TCP", 3, None)
    packet = one(ETH4 + ip4(header[:20], 51))
    assert faults(packet) == ("AH", 34, 24, 20, "ip total length")


def test_an_ipv6_packet_of_nothing_is_not_a_jumbo() -> None:
    packet = one(ETH6 + ip6(b"", 59) + bytes(6))
    assert (packet.ip_len_bytes, packet.protocol) == (40, "IPv6 no next header")


def test_an_error_quotes_addresses_ports_and_sequence_number() -> None:
    sent = ip4(tcp(b"x" * 100), 6)
    unreachable = h("0303 0000 0000 0000")
    for quote in (sent[:28], sent[:40], sent[:60]):
        quoted = one(ETH4 + ip4(unreachable + quote, 1))._quoted
        assert quoted is not None
        assert (quoted.src, quoted.dst, quoted.protocol) == ("192.0.2.1", "198.51.100.2", "TCP")
        assert (quoted.sport, quoted.dport, quoted.seg_seq) == (54321, 80, 0x11223344)
    assert one(ETH4 + ip4(unreachable + sent[:27], 1))._quoted.sport is None
    assert one(ETH4 + ip4(unreachable + sent[:19], 1))._quoted is None
    assert one(ETH4 + ip4(h("0800 0000 0000 0000") + sent, 1))._quoted is None


ICMP = {
    "0304 0000 0000 0384": "fragmentation needed, MTU 900",
    "0304 0000 0000 0000": "fragmentation needed",  # a router from before RFC 1191
    "0303 0000 0000 0384": "port unreachable",
    "0301 0000 0000 0000": "host unreachable",
    "0363 0000 0000 0000": "destination unreachable, code 99",
    "0b00 0000 0000 0000": "time exceeded",
    "0b01 0000 0000 0000": "time exceeded in reassembly",
    "0501 0000 c000 0207": "redirect to 192.0.2.7",
    "0800 0000 1234 0005": "echo request id=4660 seq=5",
    "0000 0000 1234 0005": "echo reply id=4660 seq=5",
    "2a01 0000 0000 0000": "type 42 code 1",
}
ICMPV6 = {
    "0200 0000 0000 0500": "packet too big, MTU 1280",
    "0104 0000 0000 0000": "port unreachable",
    "0100 0000 0000 0000": "no route",
    "0163 0000 0000 0000": "destination unreachable, code 99",
    "0300 0000 0000 0000": "time exceeded",
    "0301 0000 0000 0000": "time exceeded in reassembly",
    "8000 0000 1234 0005": "echo request id=4660 seq=5",
    "8700 0000 0000 0000": "neighbor solicitation",
    "0304 0000 0000 0384": "time exceeded",
    "ff01 0000 0000 0000": "type 255 code 1",
}


def test_what_a_message_says_in_words() -> None:
    for head, said in ICMP.items():
        assert one(ETH4 + ip4(h(head), 1))._icmp_text == said
    for head, said in ICMPV6.items():
        assert one(ETH6 + ip6(h(head), 58))._icmp_text == said
    short = one(ETH4 + ip4(h("0304 0000 0000 03"), 1))
    assert (short._icmp, short._icmp_text) == (None, "")


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("0304 0000 0000 0384", Icmp(3, 4, "fragmentation needed", 900)),
        ("0304 0000 0000 0000", Icmp(3, 4, "fragmentation needed")),
        ("0303 0000 0000 0384", Icmp(3, 3, "port unreachable")),
        ("0363 0000 0000 0000", Icmp(3, 99, "destination unreachable")),
        ("0b01 0000 0000 0000", Icmp(11, 1, "time exceeded in reassembly")),
        ("2a01 0000 0000 0000", Icmp(42, 1, "type 42 code 1")),
    ],
)
def test_what_the_head_of_a_message_says(head: str, said: Icmp) -> None:
    assert one(ETH4 + ip4(h(head), 1))._icmp == said


def test_which_mtu_a_packet_too_big_names() -> None:
    packet = one(ETH6 + ip6(h("0200 0000 0001 0500"), 58))
    assert packet._icmp == Icmp(2, 0, "packet too big", 66_816)
    assert one(ETH6 + ip6(h("0304 0000 0000 0384"), 58))._icmp == Icmp(3, 4, "time exceeded")


def test_an_icmpv6_error_quotes_a_datagram() -> None:
    quoted = one(ETH6 + ip6(h("0104 0000 0000 0000") + ip6(udp(b"lost"), 17), 58))._quoted
    assert quoted is not None
    assert (quoted.protocol, quoted.src, quoted.sport) == ("UDP", "2001:db8::1", 5353)
    assert quoted.payload_len_bytes == 4


def test_errors_in_errors_do_not_recurse() -> None:
    data = ip4(tcp(), 6)
    for _ in range(50):
        data = ip4(h("0303 0000 0000 0000") + data, 1)
    quoted = one(data, RAW)._quoted
    assert quoted is not None
    assert (quoted.protocol, quoted._quoted) == ("ICMP", None)


def test_an_interface_that_was_never_declared() -> None:
    frame = Frame(7, 5, 3, b"bytes", 5)
    packet = decode(RawRecording(frames=[frame], interfaces=[]))[0]
    assert (packet.frame, packet.link, packet.protocol) == (7, "unknown", "unknown")


def test_an_original_length_below_the_captured_one() -> None:
    packet = one(ETH4 + ip4(tcp(b"hello"), 6), ETHERNET, 10)
    assert (packet.payload_len_bytes, packet.fault_layer) == (5, None)


def test_offload_marks_are_kept() -> None:
    assert one(ETH4 + ip4(tcp(), 6), flags=0xA01)._offload == 0xA01


@pytest.mark.parametrize(
    ("flags", "text"),
    [(0x002, "SYN"), (0x012, "SYN ACK"), (0x018, "PSH ACK"), (0x011, "FIN ACK"), (0x004, "RST"),
     (0x000, ""), (0x019, "FIN PSH ACK"), (0x1C2, "SYN ECE CWR AE"), (0x802, "SYN reserved"),
     (0x03F, "FIN SYN RST PSH ACK URG")],
)  # fmt: skip
def test_flags_text(flags: int, text: str) -> None:
    assert flags_text(flags) == text
