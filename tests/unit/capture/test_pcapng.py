"""pcapng: blocks of both byte orders as other programs write them, and bytes that are none."""

from __future__ import annotations

from pathlib import Path
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.capture import pcapng
from netlab.capture.files import read_raw
from netlab.capture.pcapng_reader import packet_flags
from netlab.model.recording import RawRecording


class Builder:
    """Builds a file as another program would, without netlab's own encoder."""

    def __init__(self, order: str = "<") -> None:
        self.order = order
        self.data = b""

    def block(self, kind: int, body: bytes) -> Builder:
        body += bytes(-len(body) % 4)
        total = 12 + len(body)
        self.data += pack(self.order + "II", kind, total) + body + pack(self.order + "I", total)
        return self

    def options(self, *items: tuple[int, bytes]) -> bytes:
        data = b""
        for code, value in items:
            data += pack(self.order + "HH", code, len(value)) + value + bytes(-len(value) % 4)
        return data + bytes(4) if items else b""

    def section(self, order: str | None = None) -> Builder:
        self.order = order or self.order
        return self.block(0x0A0D0D0A, pack(self.order + "IHHq", 0x1A2B3C4D, 1, 0, -1))

    def interface(self, link: int, snaplen: int = 0, *items: tuple[int, bytes]) -> Builder:
        return self.block(1, pack(self.order + "HHI", link, 0, snaplen) + self.options(*items))

    def packet(self, interface: int, ticks: int, data: bytes, *items: tuple[int, bytes]) -> Builder:
        head = pack(self.order + "IIIII", interface, ticks >> 32, ticks & 0xFFFFFFFF, len(data), 99)
        return self.block(6, head + data + bytes(-len(data) % 4) + self.options(*items))

    def read(self, folder: Path) -> RawRecording:
        path = folder / "built.pcapng"
        path.write_bytes(self.data)
        return read_raw(path)


@pytest.mark.parametrize("order", ["<", ">"])
def test_an_enhanced_packet_has_stamp_length_flags_and_number(tmp_path: Path, order: str) -> None:
    flags = pack(order + "I", 0x201)
    raw = (
        Builder()
        .section(order)
        .interface(1, 77, (2, b"eth0"))
        .packet(0, 5_000_001, b"abc")
        .packet(0, 6_000_001, b"defg", (1, b"a comment"), (2, flags))
        .read(tmp_path)
    )
    first, second = raw.frames
    assert (first.number, first.time_ns, bytes(first.data)) == (1, 5_000_001_000, b"abc")
    assert (first.origlen_bytes, first.flags, second.flags) == (99, 0, 0x201)
    assert (second.number, second.time_ns, bytes(second.data)) == (2, 6_000_001_000, b"defg")
    (interface,) = raw.interfaces
    assert (interface.name, interface.link, interface.snaplen_bytes) == ("eth0", 1, 77)
    assert not raw.faults


@pytest.mark.parametrize(
    ("resolution", "ticks", "time_ns"),
    [
        (b"\x00", 3, 3_000_000_000),
        (b"\x03", 1_500, 1_500_000_000),
        (b"\x09", 1_700_000_000_123_456_789, 1_700_000_000_123_456_789),
        (b"\x0c", 1_234_567, 1_234),
        (b"\x80", 7, 7_000_000_000),
        (b"\x8a", 512, 500_000_000),
        (b"\xbf", 1 << 62, 500_000_000),
        (b"\x00", (1 << 64) - 1, (1 << 63) - 1),  # held within what the tables can say
    ],
)
def test_stamps_count_in_powers_of_ten_or_two(
    tmp_path: Path, resolution: bytes, ticks: int, time_ns: int
) -> None:
    raw = Builder().section().interface(1, 0, (9, resolution)).packet(0, ticks, b"").read(tmp_path)
    assert raw.frames[0].time_ns == time_ns


def test_an_interface_may_shift_its_clock(tmp_path: Path) -> None:
    shifted = (14, pack(">q", -3))
    raw = Builder(">").section().interface(1, 0, shifted).packet(0, 5_000_000, b"").read(tmp_path)
    assert raw.frames[0].time_ns == 2_000_000_000


def test_interfaces_are_numbered_anew_in_each_section(tmp_path: Path) -> None:
    raw = (
        Builder()
        .section("<")
        .interface(1)
        .interface(0)
        .packet(1, 0, b"one")
        .section(">")
        .interface(113)
        .packet(0, 0, b"two")
        .read(tmp_path)
    )
    assert [raw.interfaces[frame.interface].link for frame in raw.frames] == [0, 113]
    assert [frame.number for frame in raw.frames] == [1, 2]


@pytest.mark.parametrize(("snaplen", "caplen"), [(0, 10), (4, 4), (99, 10)])
def test_a_simple_packet_has_no_stamp_and_is_cut_at_the_snap_length(
    tmp_path: Path, snaplen: int, caplen: int
) -> None:
    builder = Builder().section().interface(1, snaplen).packet(0, 7_000_000, b"before")
    builder.block(3, pack("<I", 10) + b"0123456789"[:caplen])
    raw = builder.read(tmp_path)
    assert bytes(raw.frames[1].data) == b"0123456789"[:caplen]
    assert (raw.frames[1].origlen_bytes, raw.frames[1].time_ns) == (10, 7_000_000_000)
    assert "carry no time" in raw.description.notes[0]


def test_the_obsolete_packet_block_is_read(tmp_path: Path) -> None:
    builder = Builder(">").section().interface(1)
    builder.block(2, pack(">HHIIII", 0, 9, 0, 8_000_000, 2, 50) + b"hi")
    (frame,) = builder.read(tmp_path).frames
    assert (frame.time_ns, bytes(frame.data), frame.origlen_bytes) == (8_000_000_000, b"hi", 50)


def test_what_wireshark_lists_as_frames_takes_a_number_and_the_rest_none(tmp_path: Path) -> None:
    builder = Builder().section().interface(1)
    builder.block(0x0BAD, pack("<I", 32_473) + b"custom")  # a frame
    builder.block(0x40000BAD, pack("<I", 32_473))  # a frame
    builder.block(9, b"__REALTIME_TIMESTAMP=1\nMESSAGE=not ours\n")  # a frame
    builder.block(0x204, bytes(22))  # a sysdig event: a frame
    builder.block(4, bytes(4)).block(10, bytes(8))  # names, secrets: none
    builder.block(0x80004E4C, b"someone else's").block(0x7777, bytes(16))  # unknown: none
    raw = builder.packet(0, 0, b"").read(tmp_path)
    assert [frame.number for frame in raw.frames] == [5]
    assert not raw.calls
    assert not raw.faults


def test_statistics_are_the_interfaces_and_the_last_ones_are_valid(tmp_path: Path) -> None:
    builder = Builder().section().interface(1)
    for received in (5, 9):
        options = builder.options((4, pack("<Q", received)), (5, pack("<Q", 2)))
        builder.block(5, pack("<III", 0, 0, 0) + options)
    (interface,) = builder.read(tmp_path).interfaces
    assert (interface.received, interface.dropped) == (9, 2)


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (pack("<II", 6, 4) + pack("<I", 4), "claims to be 4 bytes"),
        (pack("<II", 6, 0xFFFFFFF0) + bytes(16), "claims to be 4294967280 bytes"),
        (pack("<II", 6, 64) + bytes(16), "cut short"),
        (pack("<II", 99, 16) + bytes(4) + pack("<I", 20), "do not agree"),
        (b"\n\r\r\n" + pack("<I", 28) + b"endian??" + bytes(16), "no byte order"),
        (Builder().block(6, pack("<IIIII", 0, 0, 0, 65_536, 65_536)).data, "claims 65536 bytes"),
        (Builder().block(6, pack("<IIIII", 1, 0, 0, 0, 0)).data, "names interface 1"),
        (Builder().block(6, bytes(8)).data, "too short"),
        (Builder().block(6, bytes(20) + pack("<HH", 1, 99)).data, "claims 99 bytes"),
        (Builder().block(6, bytes(20) + pack("<HHHH", 2, 2, 0, 0)).data, "flags of 2 bytes"),
        (Builder().block(3, pack("<I", 9)).data, "more than its block"),
        (Builder().block(0x0BAD, b"").data, "too short"),
        (Builder().block(9, b"MESSAGE=x\n").data, "too short"),
        (Builder().block(1, bytes(4)).data, "too short"),
        (b"trailing", "cut short"),
    ],
)
def test_damage_ends_the_reading_and_is_named(tmp_path: Path, damage: bytes, text: str) -> None:
    builder = Builder().section().interface(1).packet(0, 0, b"whole")
    builder.data += damage
    raw = builder.read(tmp_path)
    assert len(raw.frames) == 1
    (fault,) = raw.faults
    assert text in fault


def test_a_section_whose_options_run_over_its_end_is_read_on(tmp_path: Path) -> None:
    head = pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + pack("<HH", 4, 12_336) + bytes(12)
    raw = Builder().block(0x0A0D0D0A, head).interface(1).packet(0, 0, b"whole").read(tmp_path)
    assert [bytes(frame.data) for frame in raw.frames] == [b"whole"]
    (fault,) = raw.faults
    assert "claims 12336 bytes" in fault
    assert not raw.cut_short


@pytest.mark.parametrize("order", ["<", ">"])
def test_keys_in_the_file_are_named(order: str, tmp_path: Path) -> None:
    keys = b"CLIENT_RANDOM 00 11\n"
    builder = Builder().section(order)
    for kind in (0x544C534B, 0x544C534B, 0x57474B4C, 7):
        builder.block(10, pack(order + "II", kind, len(keys)) + keys)
    raw = builder.interface(1).packet(0, 0, b"whole").read(tmp_path)
    assert raw.secrets == ["TLS key log", "WireGuard key log", "secrets of type 0x00000007"]
    assert [frame.number for frame in raw.frames] == [1]
    assert not raw.faults


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_flags_of_a_packet_are_found_from_its_bytes(order: str) -> None:
    builder = Builder(order).section().interface(1)
    begun = len(builder.data)
    builder.packet(0, 0, b"abc", (1, b"text"), (2, pack(order + "I", 0x201)))
    assert packet_flags(builder.data, begun + 28, 3) == 0x201
    at = len(builder.data) + 12
    builder.block(3, pack(order + "I", 3) + b"abc\0")
    assert packet_flags(builder.data, at, 3) == 0


def test_a_length_that_is_no_multiple_of_four_is_rounded_up_as_wireshark_does(
    tmp_path: Path,
) -> None:
    builder = Builder().section().interface(1)
    builder.data += pack("<II", 0x7777, 15) + b"abc\0" + pack("<I", 15)
    assert len(builder.packet(0, 0, b"").read(tmp_path).frames) == 1


BATCH = st.lists(
    st.tuples(
        st.integers(0, (1 << 63) - 1),
        st.binary(max_size=70),
        st.integers(0, 99_999),
        st.sampled_from([0, 1, 2, 0xA01, 0xFFFFFFFF]),
    ),
    max_size=9,
)


@given(BATCH)
def test_a_batch_of_packets_is_the_packets_one_by_one(
    batch: list[tuple[int, bytes, int, int]],
) -> None:
    one_by_one = b"".join(
        pcapng.packet(3, time_ns, data, origlen, flags) for time_ns, data, origlen, flags in batch
    )
    assert pcapng.PacketBatches().encode(3, batch) == one_by_one


@given(BATCH, st.data())
def test_the_bytes_of_whole_blocks_end_at_a_block(
    batch: list[tuple[int, bytes, int, int]], data: st.DataObject
) -> None:
    blocks = [pcapng.packet(0, t, body, size, flags) for t, body, size, flags in batch]
    ends = [0]
    for block in blocks:
        ends.append(ends[-1] + len(block))
    limit = data.draw(st.integers(0, ends[-1]))
    assert pcapng.whole_blocks_bytes(b"".join(blocks), limit) == max(
        end for end in ends if end <= limit
    )


def test_text_is_cut_to_what_an_option_can_say_between_characters() -> None:
    _, value = pcapng.text_option(1, "é" * 40_000)
    assert value == ("é" * 32_767).encode()
