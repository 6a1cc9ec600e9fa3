"""Whatever the bytes: rows, layers and looks never raise; what scapy builds, we read."""

from __future__ import annotations

import ipaddress
import warnings

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scapy.layers import inet, inet6, l2
from scapy.packet import Packet as ScapyPacket

from netlab.decode.addresses import ipv4_text, ipv6_text
from netlab.decode.deep import deep
from netlab.decode.layers import layers
from netlab.decode.links import LINKS as KNOWN
from netlab.decode.packets import decode
from netlab.decode.quick import info
from netlab.model.frame import Frame, Interface
from netlab.model.recording import RawRecording
from netlab.model.tables import Packet, TcpOptions

LINKS = st.sampled_from([*sorted(KNOWN), 189, 9999])
ETHERTYPES = st.sampled_from([b"\x08\x00", b"\x86\xdd", b"\x08\x06", b"\x81\x00", b"\x00\x10"])


def one(data: bytes, link: int = 1, origlen: int | None = None) -> Packet:
    frame = Frame(1, 1, 0, data, len(data) if origlen is None else origlen)
    return decode(RawRecording(frames=[frame], interfaces=[Interface("if0", link, 0)]))[0]


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200), LINKS, st.integers(0, 3000))
def test_any_bytes_are_a_row_and_layers(data: bytes, link: int, origlen: int) -> None:
    frame = Frame(1, 1, 0, data, origlen)
    packet = one(data, link, origlen)
    shown = layers(frame, Interface("if0", link, 0))
    assert (packet.protocol is None) <= (packet.fault_layer is not None)
    assert bool(shown) == bool(data or packet.fault_layer)


@settings(max_examples=500, deadline=None)
@given(ETHERTYPES, st.sampled_from([b"\x45", b"\x4f", b"\x60"]), st.binary(max_size=150))
def test_any_bytes_after_a_likely_beginning(ethertype: bytes, first: bytes, rest: bytes) -> None:
    data = bytes(12) + ethertype + first + rest
    packet = one(data)
    layers(Frame(1, 1, 0, data, len(data)), Interface("if0", 1, 0))
    if packet.protocol == "TCP":
        assert None not in (packet.sport, packet.dport, packet.seg_seq, packet.seg_ack)
        assert packet.payload_off is not None
        assert packet.payload_len_bytes is not None
        assert packet.payload_off + packet.payload_len_bytes <= len(data)


HTTP, TLS, DNS = b"GET / HTTP/1.1\r\nHost: ", b"\x16\x03\x01\x00\x30\x01", b"\0\x01\x01\0\0\x01"


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from(["TCP", "UDP", "ICMP", None]),
    st.sampled_from([53, 80, 443, 5353, 9999]),
    st.sampled_from([b"", HTTP, b"HTTP/1.1 200 OK\r\n", TLS, DNS, b"\x15\x03\x03", b"\0\x20"]),
    st.binary(max_size=80),
)
def test_the_quick_look_never_raises_and_is_one_line(
    protocol: str | None, port: int, start: bytes, rest: bytes
) -> None:
    line = info(protocol, port, 40_000, start + rest)
    assert len(line.splitlines()) <= 1
    assert len(line) <= 200


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=120), LINKS)
def test_the_deep_look_never_raises(data: bytes, link: int) -> None:
    assert isinstance(deep(data, link), list)


@settings(max_examples=1000)
@given(st.lists(st.sampled_from([0, 0, 0, 1, 0x10, 0xABC, 0xFFFF]), min_size=8, max_size=8))
@example([0] * 8)
@example([1] * 8)
@example([0, 1, 0, 0, 1, 0, 0, 1])
@example([1, 0, 1, 1, 1, 1, 1, 1])
def test_ipv6_text_is_the_standard_librarys(groups: list[int]) -> None:
    packed = b"".join(group.to_bytes(2, "big") for group in groups)
    address = ipaddress.IPv6Address(packed)
    assume(address.ipv4_mapped is None)  # its text changed in Python 3.13; ours is RFC 5952's
    assert ipv6_text(packed) == str(address)


@given(st.binary(min_size=4, max_size=4))
def test_ipv4_text_and_mapped_ipv4_text(packed: bytes) -> None:
    text = str(ipaddress.IPv4Address(packed))
    assert ipv4_text(packed) == text
    assert ipv6_text(bytes(10) + b"\xff\xff" + packed) == f"::ffff:{text}"


ports = st.integers(0, 65535)
words = st.integers(0, 2**32 - 1)
flags = st.integers(0, 0x1FF)
payloads = st.binary(max_size=100)
tcp_options = st.lists(
    st.one_of(
        st.tuples(st.just("MSS"), ports),
        st.tuples(st.just("WScale"), st.integers(0, 255)),
        st.tuples(st.just("SAckOK"), st.just(b"")),
        st.tuples(st.just("Timestamp"), st.tuples(words, words)),
        st.tuples(st.just("NOP"), st.none()),
    ),
    max_size=4,
    unique_by=lambda option: option[0],
)
v4_addresses = st.ip_addresses(v=4).map(str)
v6_addresses = st.ip_addresses(v=6).filter(lambda address: address.ipv4_mapped is None).map(str)


@st.composite
def networks(draw: st.DrawFn) -> tuple[ScapyPacket, dict[str, object]]:
    """An IP header of scapy's with the columns it must become."""
    ttl = draw(st.integers(0, 255))
    if draw(st.booleans()):
        src, dst, ident = draw(v4_addresses), draw(v4_addresses), draw(ports)
        ip = inet.IP(src=src, dst=dst, ttl=ttl, id=ident)
        return ip, {"ip_version": 4, "src": src, "dst": dst, "ttl": ttl, "ip_id": ident}
    src, dst = draw(v6_addresses), draw(v6_addresses)
    return inet6.IPv6(src=src, dst=dst, hlim=ttl), {
        "ip_version": 6, "src": src, "dst": dst, "ttl": ttl,
    }  # fmt: skip


def built(packet: ScapyPacket) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bytes(packet)


@settings(max_examples=300, deadline=None)
@given(networks(), ports, ports, words, words, ports, flags, tcp_options, payloads, st.booleans())
def test_build_by_scapy_then_decode_is_identity_for_tcp(
    network: tuple[ScapyPacket, dict[str, object]],
    sport: int,
    dport: int,
    seq: int,
    ack: int,
    window: int,
    bits: int,
    options: list[tuple[str, object]],
    payload: bytes,
    tagged: bool,
) -> None:
    ip, want = network
    tcp = inet.TCP(sport=sport, dport=dport, seq=seq, ack=ack, window=window, flags=bits,
                   options=options)  # fmt: skip
    link = l2.Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    data = built((link / l2.Dot1Q(vlan=9) if tagged else link) / ip / tcp / payload)
    packet = one(data)
    want |= {
        "protocol": "TCP", "sport": sport, "dport": dport, "seg_seq": seq, "seg_ack": ack,
        "seg_wnd_raw": window, "_flags": bits, "payload_len_bytes": len(payload),
        "vlan": 9 if tagged else None, "fault_layer": None,
    }  # fmt: skip
    assert {name: getattr(packet, name) for name in want} == want
    assert packet.payload_off is not None
    assert data[packet.payload_off :] == payload
    named = dict(options)
    first, second = named.get("Timestamp", (None, None))  # type: ignore[misc]
    has = packet._options or TcpOptions()
    assert (has.mss, has.wscale) == (named.get("MSS"), named.get("WScale"))
    assert (has.ts_val, has.ts_ecr, has.sack_permitted) == (first, second, "SAckOK" in named)


def checksum_texts(data: bytes) -> list[str]:
    shown = layers(Frame(1, 1, 0, data, len(data)), Interface("if0", 101, 0))
    return [v.text for layer in shown for v in layer.fields if v.name.endswith("checksum")]


@settings(max_examples=200, deadline=None)
@given(networks(), ports, ports, payloads, st.data())
def test_checksums_that_scapy_made_are_good_and_a_flipped_bit_is_found(
    network: tuple[ScapyPacket, dict[str, object]],
    sport: int,
    dport: int,
    payload: bytes,
    choose: st.DataObject,
) -> None:
    ip, _ = network
    transport = choose.draw(
        st.sampled_from([inet.TCP(sport=sport, dport=dport), inet.UDP(sport=sport, dport=dport)])
    )
    data = built(ip / transport / (payload + b"!"))
    texts = checksum_texts(data)
    assert texts
    assert all(text.endswith(" good") for text in texts)
    bit = choose.draw(st.integers(0, 7))
    place = choose.draw(st.integers(len(data) - len(payload) - 1, len(data) - 1))
    flipped = bytearray(data)
    flipped[place] ^= 1 << bit
    spoiled = checksum_texts(bytes(flipped))[-1]
    right = spoiled.partition("should be ")[2]
    assert spoiled.startswith(texts[-1][:6])
    assert right.startswith("0x") or spoiled.endswith("left to the device")
