"""Classic pcap: every variant that is read, and files that end or lie."""

from __future__ import annotations

from pathlib import Path
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.capture import pcap
from netlab.capture.damage import Damaged
from netlab.capture.files import read_raw

Record = tuple[int, int, bytes, int]  # seconds, fraction, data, length on the wire


def file_bytes(order: str, magic: int, records: list[Record], link: int = 1) -> bytes:
    data = pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262_144, link)
    for seconds, fraction, body, origlen in records:
        data += pack(order + "IIII", seconds, fraction, len(body), origlen)
        data += bytes(8 if magic == 0xA1B2CD34 else 0) + body
    return data


RECORDS = st.lists(
    st.tuples(
        st.integers(0, (1 << 32) - 1),
        st.integers(0, 999_999),
        st.binary(max_size=40),
        st.integers(0, 99_999),
    ),
    max_size=5,
)


@given(st.sampled_from("<>"), st.sampled_from([0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34]), RECORDS)
def test_what_was_built_is_read(order: str, magic: int, records: list[Record]) -> None:
    data = file_bytes(order, magic, records, link=113)
    header = pcap.maybe_header(data)
    assert header is not None
    assert (header.link, header.snaplen_bytes) == (113, 262_144)
    unit_ns = 1 if magic == 0xA1B23C4D else 1000
    assert [
        (time_ns, data[start:stop], origlen)
        for time_ns, start, stop, origlen in pcap.records(data, header)
    ] == [(s * 10**9 + f * unit_ns, body, origlen) for s, f, body, origlen in records]


@pytest.mark.parametrize(
    ("version", "lengths"),
    [
        ((2, 0), [(60, 20), (20, 20)]),
        ((2, 2), [(60, 20), (20, 20)]),
        ((543, 0), [(60, 20), (20, 20)]),
        ((2, 3), [(60, 20), (20, 60), (20, 20)]),  # some wrote them so, some so
        ((2, 4), [(20, 60), (20, 20)]),
        ((2, 5), [(20, 60), (20, 20)]),
    ],
)
@pytest.mark.parametrize("order", "<>")
def test_old_versions_have_the_lengths_in_the_other_order(
    version: tuple[int, int], lengths: list[tuple[int, int]], order: str
) -> None:
    data = pack(order + "IHHiIII", 0xA1B2C3D4, *version, 0, 0, 262_144, 1)
    for first, second in lengths:
        data += pack(order + "IIII", 1, 0, first, second) + bytes(20)
    header = pcap.maybe_header(data)
    assert header is not None
    found = [(stop - start, origlen) for _, start, stop, origlen in pcap.records(data, header)]
    assert found == [(20, max(pair)) for pair in lengths]


def test_a_file_cut_anywhere_gives_its_whole_packets(tmp_path: Path) -> None:
    records = [(n, 0, bytes([n]) * (7 + n), 99) for n in range(5)]
    data = file_bytes("<", 0xA1B2C3D4, records)
    path = tmp_path / "cut.pcap"
    for size in range(24, len(data)):
        path.write_bytes(data[:size])
        raw = read_raw(path)
        whole, at = 0, 24
        while whole < 5 and at + 23 + whole <= size:
            at += 23 + whole
            whole += 1
        assert len(raw.frames) == whole
        assert len(raw.faults) == (0 if at == size else 1)
        assert all("cut short" in fault for fault in raw.faults)


def test_a_length_beyond_all_reason_ends_the_reading() -> None:
    data = file_bytes("<", 0xA1B2C3D4, [(1, 2, b"whole", 5)])
    data += pack("<IIII", 1, 2, 640_034_342, 640_034_342) + bytes(300)
    header = pcap.maybe_header(data)
    assert header is not None
    found = pcap.records(data, header)
    assert next(found)[0] == 1_000_002_000
    with pytest.raises(Damaged, match="640034342 bytes"):
        next(found)


@pytest.mark.parametrize("link", [1, 231, 249])
def test_the_longest_packet_depends_on_the_link(link: int) -> None:
    data = file_bytes("<", 0xA1B2C3D4, [(1, 2, bytes(262_145), 262_145)], link)
    header = pcap.maybe_header(data)
    assert header is not None
    if link == 1:
        with pytest.raises(Damaged):
            list(pcap.records(data, header))
    else:
        assert len(list(pcap.records(data, header))) == 1


@pytest.mark.parametrize("data", [b"", b"\xd4\xc3\xb2\xa1" + bytes(19), bytes(24), b"GIF89a" * 9])
def test_other_bytes_begin_no_pcap(data: bytes) -> None:
    assert pcap.maybe_header(data) is None
