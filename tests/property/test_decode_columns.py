"""One truth: the fast path's columns are the values that the field table gives, on any packet.

Packets come from the sample captures and from hypothesis: sensible headers with some bytes replaced
and the frame cut anywhere, so that the broken and the cut are there too.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from netlab.capture.files import read_raw
from netlab.decode import faults
from netlab.decode.fields import FIELDS
from netlab.decode.layers import Layer, layers, whole_layers
from netlab.decode.packets import decode, flags_text
from netlab.decode.reassembly import whole_payload
from netlab.model.errors import BadRecording
from netlab.model.frame import Frame, Interface
from netlab.model.recording import RawRecording
from netlab.model.tables import Packet, TcpOptions

# Protocol columns that a field of the table is; the rest is derived (fragment) or bookkeeping.
COLUMNS = {field.column for table in FIELDS.values() for field in table if field.column}
OPTIONS = {"mss", "wscale", "ts_val", "ts_ecr"}


def columns(shown: list[Layer], packet: Packet) -> dict[str, object]:
    """The columns as the shown fields say, for the layers that the fast path took as read."""
    found: dict[str, object] = {}
    for layer in shown:
        if layer.name.startswith("quoted ") or unread(layer, packet):
            continue
        for value in layer.fields:
            if value.column == "sack_blocks":
                continue
            if value.column in ("src", "dst"):
                found[value.column] = value.text
            elif value.column:
                found[value.column] = value.raw
        if layer.name == "IPv6" and "ip_version" in found:
            length = next(v.raw for v in layer.fields if v.name == "payload length")
            assert isinstance(length, int)
            found["ip_len_bytes"] = 40 + length
        if layer.name == "TCP":
            found["tcp_flags"] = flags_text(int(found["_flags"]))  # type: ignore[call-overload]
            if layer.stop - layer.start > 20 or packet._options is not None:
                found["_options"] = tcp_options(layer)
    for name in OPTIONS:
        found.pop(name, None)
    return found


def unread(layer: Layer, packet: Packet) -> bool:
    """Whether a layer is shown in part, without columns: the fault is in its own fixed header."""
    if layer.name in ("TCP", "UDP"):
        return packet.protocol != layer.name
    if layer.name in ("SCTP", "DCCP", "UDP-Lite"):
        return packet.protocol != layer.name or packet.sport is None
    if layer.name == "IPv6 fragment":
        return layer.stop - layer.start < 8
    if layer.name in ("802.1Q", "802.1ad", "802.1QinQ"):
        return layer.stop - layer.start < 4
    if layer.name == "ARP":
        return packet.protocol != "ARP"
    if layer.name not in ("IPv4", "IPv6"):
        return False
    if packet.ip_version is None:
        return True
    # Inside another packet, whose columns then stay.
    least = 20 if layer.name == "IPv4" else 40
    untrusted = packet.fault_limited_by in (
        faults.VERSION,
        faults.HEADER_LENGTH,
        faults.IP_LENGTH,
    )
    is_here = (packet.fault_layer, packet.fault_off) == (layer.name, layer.start)
    return is_here and (untrusted or packet.fault_need == least)


# RFC 9293 3.2, RFC 7323 2.2 and 3.2, RFC 2018 2 and 3.
LENGTHS = {
    "MSS": (4,),
    "window scale": (3,),
    "SACK permitted": (2,),
    "timestamps": (10,),
    "SACK": range(10, 42, 8),
}


def tcp_options(layer: Layer) -> TcpOptions:
    named = {value.column: value.raw for value in layer.fields if value.column in OPTIONS}
    options = [value for value in layer.fields if value.start >= layer.start + 20]
    permitted = any(v.raw == b"\x04\x02" and v.name == "SACK permitted" for v in options)
    blocks: list[tuple[int, int]] = []
    for value in options:
        if value.name == "SACK" and len(value.raw) in LENGTHS["SACK"]:  # type: ignore[arg-type]
            blocks = []  # a second SACK option replaces the first
        if value.column == "sack_blocks" and isinstance(value.raw, bytes):
            left, right = value.raw[:4], value.raw[4:]
            blocks.append((int.from_bytes(left, "big"), int.from_bytes(right, "big")))
    odd = any(v.name.startswith("MPTCP") or len(v.raw) not in LENGTHS.get(v.name, (len(v.raw),))
              for v in options if isinstance(v.raw, bytes))  # fmt: skip
    return TcpOptions(
        **named,  # type: ignore[arg-type]
        sack_permitted=permitted,
        sack_blocks=tuple(blocks),
        odd=odd,
        has_cookie=any(is_cookie(v.raw) for v in options if isinstance(v.raw, bytes)),
    )


def is_cookie(option: bytes) -> bool:
    """RFC 7413 4.1.1 and appendix A."""
    experimental = option[:1] in (b"\xfd", b"\xfe") and option[2:4] == b"\xf9\x89"
    return len(option) > (4 if experimental else 2) and (experimental or option[:1] == b"\x22")


def check(
    frame: Frame, interface: Interface, packet: Packet, whole: list[Layer] | None = None
) -> None:
    shown = layers(frame, interface)
    said = columns(shown, packet) | columns(whole or [], packet)
    got = {name: getattr(packet, name) for name in COLUMNS - OPTIONS}
    got |= {name: getattr(packet, name) for name in ("tcp_flags", "_options")}
    want = dict.fromkeys(got) | {k: v for k, v in said.items() if k != "_flags"}
    assert got == want
    assert packet._flags == said.get("_flags", 0)
    check_ranges(shown, len(frame.data), packet)
    if whole is not None:
        carried = [layer.fields[0].raw for layer in whole if layer.name == "Payload"]
        assert b"".join(carried) == packet._whole  # type: ignore[arg-type]


def check_ranges(shown: list[Layer], captured: int, packet: Packet) -> None:
    """Layers follow each other, fields lie in the frame, a fault is named once, payload agrees."""
    for before, after in pairwise(shown):
        assert before.stop <= after.start or after.fields[-1].name == "fault"
    for layer in shown:
        assert layer.fields
        for value in layer.fields:
            assert 0 <= value.start <= value.stop <= captured
            assert value.meaning
    named = [v for layer in shown for v in layer.fields if v.name == "fault"]
    assert len(named) == (packet.fault_layer is not None)
    payload = [layer for layer in shown if layer.name == "Payload"]
    quoted = any(layer.name.startswith("quoted ") for layer in shown)
    if payload and not quoted and packet._whole is None:
        assert payload[0].start == packet.payload_off
        assert payload[0].fields[0].text.split()[0] == str(packet.payload_len_bytes)
        assert payload[0].stop == min(captured, packet.payload_off + packet.payload_len_bytes)


def test_columns_are_the_tables_on_the_sample_captures(captures_dir: Path) -> None:
    checked = 0
    for path in sorted((captures_dir / "files").iterdir()):
        try:
            raw = read_raw(path)
        except BadRecording:
            continue
        packets = decode(raw)
        by_number = {p.frame: (p, f.data) for p, f in zip(packets, raw.frames, strict=True)}
        for frame, packet in zip(raw.frames, packets, strict=True):
            if packet.frame > 400:  # the long ones repeat themselves
                break
            interface = raw.interfaces[frame.interface]
            whole = None
            if packet._parts:
                protocol, data = whole_payload([by_number[number] for number in packet._parts])
                whole = whole_layers(frame, interface, packet.ip_version or 0, protocol, data)
            check(frame, interface, packet, whole)
            checked += 1
    assert checked > 3000


@st.composite
def header_options(draw: st.DrawFn) -> bytes:
    known = [
        b"\x01", b"\x02\x04\x05\xb4", b"\x03\x03\x07", b"\x04\x02", b"\x08\x0a" + bytes(range(8)),
        b"\x05\x0a" + bytes(range(8)), b"\x05\x02", b"\x00", b"\xfe\x04\xf9\x89", b"\x1e\x03\x00",
    ]  # fmt: skip
    whole = b"".join(draw(st.lists(st.sampled_from(known), max_size=6)))[:40]
    return whole + bytes(-len(whole) % 4)


@st.composite
def transports(draw: st.DrawFn) -> tuple[int, bytes]:
    kind = draw(st.sampled_from(["tcp", "udp", "icmp", "other"]))
    payload = draw(st.binary(max_size=20))
    if kind == "udp":
        size = 8 + len(payload)
        length = draw(st.sampled_from([size] * 4 + [size - 1, size + 1, size + 9, 0, 7]))
        return 17, draw(st.binary(min_size=4, max_size=4)) + bytes([0, length, 0, 0]) + payload
    if kind == "tcp":
        options = draw(header_options())
        flags = draw(st.integers(0, 0xFFF))
        bits = (5 + len(options) // 4) << 12 | flags
        head = draw(st.binary(min_size=12, max_size=12))
        return 6, head + bits.to_bytes(2, "big") + bytes(6) + options + payload
    if kind == "icmp":
        first = draw(st.sampled_from([0, 1, 3, 8, 11, 128]))
        return draw(st.sampled_from([1, 58])), bytes([first, 0]) + bytes(6) + payload * 3
    return draw(st.integers(0, 255)), payload


@st.composite
def packets(draw: st.DrawFn) -> bytes:
    number, content = draw(transports())
    if draw(st.booleans()):
        options = draw(header_options())
        frag = draw(st.sampled_from([0, 0, 0x4000, 0x2000, 0x2003, 0x0003]))
        total = draw(st.sampled_from([20 + len(options) + len(content)] * 4 + [0, 15, 30, 9000]))
        head = bytes([0x45 + len(options) // 4, 0]) + total.to_bytes(2, "big") + b"\x12\x34"
        head += frag.to_bytes(2, "big") + bytes([64, number, 0, 0]) + bytes(range(8))
        return head + options + content
    for extension in draw(st.lists(st.sampled_from([0, 43, 44, 51, 60, 135]), max_size=3)):
        place = draw(st.sampled_from([0, 0, 1, 8, 9]))
        body = bytes([0, place]) + b"\0\0\0\x07" if extension == 44 else bytes(6)
        size = b"\0" if extension != 51 else draw(st.sampled_from([b"\0", b"\4"]))
        content = bytes([number]) + size + body + content
        number = extension
    length = draw(st.sampled_from([len(content)] * 4 + [0, 3, 9000]))
    head = b"\x60\0\0\0" + length.to_bytes(2, "big") + bytes([number, 63])
    return head + bytes(range(32)) + content


LINK_HEADERS = [
    (1, bytes(12) + b"{}"),
    (1, bytes(12) + b"\x81\x00\x20\x07{}"),
    (1, bytes(12) + b"\x88\xa8\x20\x07\x81\x00\x00\x09{}"),
    (113, bytes(14) + b"{}"),
    (276, b"{}" + bytes(18)),
    (0, b"\x02\0\0\0"),
    (0, b"\x1e\0\0\0"),
    (108, b"\0\0\0\x02"),
    (101, b""),
    (228, b""),
    (229, b""),
]


@st.composite
def frames(draw: st.DrawFn) -> tuple[Frame, Interface]:
    packet = draw(packets())
    link, header = draw(st.sampled_from(LINK_HEADERS))
    ethertype = b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd"
    data = bytearray(header.replace(b"{}", ethertype) + packet)
    data += bytes(draw(st.sampled_from([0, 0, 6])))
    for place, value in draw(
        st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), max_size=3)
    ):
        data[place] = value
    kept = draw(st.sampled_from([len(data)] * 3 + [draw(st.integers(0, len(data)))]))
    origlen = draw(st.sampled_from([len(data), kept]))
    return Frame(1, 1, 0, bytes(data[:kept]), origlen), Interface("if0", link, 0)


@settings(max_examples=1500, deadline=None)
@given(frames())
def test_columns_are_the_tables_on_made_packets(made: tuple[Frame, Interface]) -> None:
    frame, interface = made
    check(frame, interface, decode(RawRecording(frames=[frame], interfaces=[interface]))[0])
