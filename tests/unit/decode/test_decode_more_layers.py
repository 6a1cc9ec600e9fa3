"""Pages of TCP options, tunnels, QUIC and rare transports; broken ones; CRC32C."""

from __future__ import annotations

from collections.abc import Callable

import compare_samples as made
from hypothesis import given
from hypothesis import strategies as st
from sample_frames import ETH4, ETH6, h, ip4, ip6, one, tcp

from netlab.decode.checksums import crc32c
from netlab.decode.fields_tcp import option_tables
from netlab.decode.layers import Layer, layers, whole_layers
from netlab.decode.packets import decode
from netlab.model.frame import Frame, Interface
from netlab.model.recording import RawRecording


def shown(data: bytes) -> list[Layer]:
    return layers(Frame(1, 5, 0, data, len(data)), Interface("if0", 1, 0))


def page(found: list[Layer], skip: int = 0) -> str:
    lines = []
    for layer in found:
        lines.append(f"{layer.name} {layer.start}..{layer.stop}")
        lines += [f"  {v.start}..{v.stop} {v.name}: {v.text}" for v in layer.fields[skip:]]
    return "\n".join(lines) + "\n"


def test_options_page(golden: Callable[[str, str], None]) -> None:
    """Every option of each form with its fields, as it stands in `--packet`."""
    parts = []
    for option in made.OPTIONS:
        (layer,) = (x for x in shown(ETH4 + ip4(tcp(options=padded(option)), 6)) if x.name == "TCP")
        fields = [v for v in layer.fields if 54 <= v.start < 54 + len(option)]
        parts.append("\n".join(f"{v.start - 54}..{v.stop - 54} {v.name}: {v.text}" for v in fields))
    golden("decode_options.txt", "\n\n".join(parts) + "\n")


def padded(option: bytes) -> bytes:
    return option + b"\x01" * (-len(option) % 4)


def test_pages_of_tunnels_quic_and_rare_transports(golden: Callable[[str, str], None]) -> None:
    parts = []
    for make in (made.tunnels, made.quic, made.transports):
        for data in make():
            parts.append(page([x for x in shown(data)[2:] if x.name not in ("IPv4", "IPv6")]))
    golden("decode_more_layers.txt", "\n".join(parts))


@given(st.sampled_from([2, 3, 8, 19, 27, 28, 29, 30, 34, 69, 172, 174, 253, 254]),
       st.binary(max_size=38))  # fmt: skip
def test_the_tables_of_an_option_fill_it_or_there_are_none(kind: int, rest: bytes) -> None:
    from netlab.decode.fields import FIELDS

    raw = bytes([kind, 2 + len(rest)]) + rest
    names = option_tables(raw)
    size = sum(FIELDS[name][-1].end_byte for name in names)
    open_end = any(not FIELDS[name][-1].bits for name in names)
    known = size <= len(raw) if open_end else size == len(raw)
    # Counters of AccECN may be left out, and one of an odd length has none that can be read.
    assert not names or known or names == ["TCP option head"]


def test_crc32c_is_castagnolis() -> None:
    """The check value of the catalogue of CRCs, and RFC 3720 B.4's."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43


def test_sctp_sums() -> None:
    data = made.transports()[1]
    assert "good" in text_of(data, "SCTP", "checksum")
    wrong = data[:-1] + bytes([data[-1] ^ 1])
    assert "bad, should be" in text_of(wrong, "SCTP", "checksum")
    left = data[:42] + bytes(4) + data[46:]
    assert text_of(left, "SCTP", "checksum") == "0x00000000 not filled in: left to the device"


def text_of(data: bytes, layer: str, field: str) -> str:
    return next(v.text for x in shown(data) if x.name == layer for v in x.fields if v.name == field)


def test_a_tunnel_with_nothing_readable_inside_is_a_datagram() -> None:
    empty = one(made.over_udp(4789, h("08000000 00000700"), b"short"))
    assert (empty.protocol, empty.sport, empty.dport) == ("UDP", 49152, 4789)
    assert (empty.payload_len_bytes, empty.fault_layer, empty._carriers) == (13, "Ethernet", ())
    no_vni = one(made.over_udp(4789, bytes(8), made.built(made.FRAME / made.INNER)))
    assert (no_vni.protocol, no_vni.payload_len_bytes) == ("UDP", 64)
    echo = one(made.over_udp(2152, h("3201 0004 00000000 0001 0000"), b""))
    assert (echo.protocol, echo.fault_layer) == ("UDP", None)


def test_a_tunnel_that_stays_closed_is_named() -> None:
    assert shown(made.over_udp(51820, b"", b"secret"))[-1].name == "WireGuard"
    assert shown(made.over_udp(1701, b"", b"secret"))[-1].name == "L2TP"
    assert shown(made.over_udp(51821, b"", b"secret"))[-1].name == "Payload"


def test_tunnels_in_tunnels_end_somewhere() -> None:
    inside = made.built(made.FRAME / made.INNER)
    for _ in range(20):
        inside = made.over_udp(4789, h("08000000 00000700"), inside)
    packet = one(inside)
    assert (packet.protocol, packet.dport, len(packet._carriers)) == ("UDP", 4789, 8)
    assert [layer.name for layer in shown(inside)].count("VXLAN") == 9
    assert packet.payload_off is not None


def test_ports_of_sctp_and_dccp() -> None:
    init = one(made.transports()[0])
    assert (init.protocol, init.sport, init.dport) == ("SCTP", 5000, 5001)
    cut = one(ETH4 + ip4(h("1388 1389 0000"), 132))
    assert (cut.protocol, cut.sport, cut.fault_layer, cut.fault_need) == ("SCTP", None, "SCTP", 12)
    assert one(ETH6 + ip6(h("1388 1389 0500 0000 0500 0001"), 33)).dport == 5001


@given(st.sampled_from([443, 4789, 4790, 6081, 2152]), st.binary(max_size=90))
def test_whatever_a_datagram_to_a_known_port_holds(port: int, payload: bytes) -> None:
    data = made.over_udp(port, b"", payload)
    found = shown(data)
    assert found[-1].stop == len(data)
    for layer in found:
        for value in layer.fields:
            assert layer.start <= value.start <= value.stop <= len(data)


@given(
    st.sampled_from([0, 1, 2, 4, 6, 17, 33, 41, 44, 47, 58, 60, 132, 136]),
    st.sampled_from([4, 6]),
    st.binary(max_size=120),
    st.integers(0, 40),
)
def test_whatever_a_transport_holds(protocol: int, version: int, data: bytes, cut: int) -> None:
    """In one frame, cut by a snap length, and as what fragments brought."""
    packed = ETH4 + ip4(data, protocol) if version == 4 else ETH6 + ip6(data, protocol)
    held = packed[: max(len(packed) - cut, 0)]
    frame, interface = Frame(1, 5, 0, held, len(packed)), Interface("if0", 1, 0)
    for found, size in (
        (layers(frame, interface), len(held)),
        (whole_layers(frame, interface, version, protocol, data), len(data)),
    ):
        for layer in found:
            for value in layer.fields:
                assert 0 <= value.start <= value.stop <= size
                assert value.meaning


def test_a_conversation_in_a_tunnel_leaves_its_carrier_a_stream_number() -> None:
    """As tshark counts: the datagram's own conversation first, then the one inside."""
    from netlab.correlate.flows import flows_from_packets

    datas = [made.tunnels()[0], made.over_udp(9, b"", b"x")]
    frames = [Frame(n, n, 0, data, len(data)) for n, data in enumerate(datas, 1)]
    packets = decode(RawRecording(frames=frames, interfaces=[Interface("if0", 1, 0)]))
    flows = flows_from_packets(packets)
    assert [(flow.protocol, flow.stream) for flow in flows] == [("tcp", 0), ("udp", 1)]


def test_every_link_that_is_not_read_has_one_name() -> None:
    from netlab.decode.links import LINKS
    from netlab.decode.linktypes import OPAQUE_LINKS
    from netlab.decode.numbers import link_name

    assert not set(OPAQUE_LINKS) & set(LINKS)
    assert {link_name(link) for link in (186, 189, 220, 266)} == {"USB"}
    for link, name in OPAQUE_LINKS.items():
        packet = one(b"anything", link)
        assert (packet.link, packet.protocol, packet.fault_layer) == (name, name, None)
    assert one(b"anything", 4711).link == "link type 4711"


def test_the_word_of_pptp_is_no_key() -> None:
    """Version 1 of GRE (RFC 2637 4.1) has two numbers where RFC 2890 has the key."""
    frame = ETH4 + ip4(h("3001880b 00300007 00000005") + h("ff03c021"), 47)
    (layer,) = (one for one in shown(frame) if one.name == "GRE")
    told = {field.name: (field.text, field.stop - field.start) for field in layer.fields}
    assert "key" not in told
    assert told["payload length"] == ("48", 2)
    assert told["call ID"] == ("7", 2)
    assert told["sequence number"] == ("5", 4)
