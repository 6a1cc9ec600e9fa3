"""Compressed captures are read as what was compressed; cut, damaged and hostile ones say so."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random

import lz4.frame
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from test_files import write_sample

from netlab.capture.compressed import ROOM_LEAST_BYTES, maybe_decompressed
from netlab.capture.files import read_raw
from netlab.model.errors import BadRecording

Compress = Callable[[bytes], bytes]

WAYS: dict[str, Compress] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.compress,
    "lz4": lz4.frame.compress,
}
# As the programs of Debian's packages write them.
PROGRAMS = {"gzip": "gzip", "bzip2": "bzip2", "xz": "xz", "zstd": "zstd", "lz4": "lz4"}


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sample(tmp_path_factory.mktemp("plain") / "a.pcapng")


@pytest.mark.parametrize("way", WAYS)
def test_a_compressed_recording_is_the_recording(way: str, sample: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng.compressed"
    path.write_bytes(WAYS[way](sample.read_bytes()))
    found, plain = read_raw(path), read_raw(sample)
    assert found.frames == plain.frames
    assert found.calls == plain.calls
    assert found.faults == []
    assert not found.cut_short


@pytest.mark.parametrize("way", WAYS)
@given(data=st.binary(min_size=1, max_size=9_000), parts=st.integers(1, 4))
def test_streams_one_behind_the_other_are_one(way: str, data: bytes, parts: int) -> None:
    size = -(-len(data) // parts)
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    found = maybe_decompressed(b"".join(map(WAYS[way], pieces)), "x")
    assert found is not None
    assert (found.data, found.compression, found.fault) == (data, way, "")


@pytest.mark.parametrize("way", WAYS)
@given(data=st.binary(min_size=1, max_size=9_000), cut=st.floats(0, 1))
def test_what_is_cut_short_gives_its_beginning_and_says_so(
    way: str, data: bytes, cut: float
) -> None:
    whole = WAYS[way](data)
    kept = whole[: max(6, int(cut * (len(whole) - 1)))]
    found = maybe_decompressed(kept, "x")
    assert found is not None
    assert data.startswith(found.data)
    assert way in found.fault


@given(data=st.binary(min_size=1, max_size=9_000), bad=st.integers(1, 8))
def test_a_gzip_whose_sum_or_size_is_wrong_gives_all_that_is_in_it(data: bytes, bad: int) -> None:
    whole = bytearray(gzip.compress(data))
    whole[-bad] ^= 0x55
    found = maybe_decompressed(bytes(whole), "x")
    assert found is not None
    assert found.data == data
    assert "damaged" in found.fault


def test_a_gzip_damaged_in_its_middle_gives_what_came_before() -> None:
    data = Random(31).randbytes(9_973)
    whole = bytearray(gzip.compress(data, compresslevel=0))
    # Stored as it is: the damage is in a byte of the content, which only the sum tells.
    whole[len(whole) // 2] ^= 0x55
    found = maybe_decompressed(bytes(whole), "x")
    assert found is not None
    assert len(found.data) == len(data)
    assert sum(a != b for a, b in zip(found.data, data, strict=True)) == 1
    assert "damaged" in found.fault


@pytest.mark.parametrize("way", WAYS)
@given(noise=st.binary(max_size=3_000))
def test_damage_never_raises(way: str, noise: bytes) -> None:
    magic = WAYS[way](b"capture")[:6]
    found = maybe_decompressed(magic + noise, "x")
    assert found is not None
    assert way in found.fault or found.data


# A block of bzip2, here the whole capture, is there or not.
@pytest.mark.parametrize("way", sorted(WAYS.keys() - {"bzip2"}))
def test_a_capture_cut_in_its_compression_keeps_its_first_frames(
    way: str, captures_dir: Path, tmp_path: Path
) -> None:
    plain = gzip.decompress((captures_dir / "files" / "iso-download.pcap.gz").read_bytes())
    path = tmp_path / "cut"
    compressed = WAYS[way](plain)
    path.write_bytes(compressed[: len(compressed) * 3 // 4])
    found = read_raw(path)
    assert found.cut_short
    (fault,) = found.faults  # and not that what came out of it is cut short
    packets = len(found.frames)
    assert fault == f"the {way} data is cut short (packets read before that: {packets})"
    whole = tmp_path / "whole"
    whole.write_bytes(plain)
    assert found.frames == read_raw(whole).frames[: len(found.frames)]


@pytest.mark.parametrize("way", WAYS)
def test_one_cut_before_its_first_packet_is_not_called_something_else(
    way: str, sample: Path, tmp_path: Path
) -> None:
    path = tmp_path / "cut"
    path.write_bytes(WAYS[way](sample.read_bytes())[:21])
    with pytest.raises(BadRecording) as caught:
        read_raw(path)
    expected = f"no packet of {path} can be read: the {way} data is cut short"
    assert str(caught.value) == expected


def test_a_bomb_is_refused_before_it_has_filled_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    with gzip.open(path, "wb") as file:
        for _ in range(80):
            file.write(bytes(1 << 20))
    assert path.stat().st_size < ROOM_LEAST_BYTES // 256
    with pytest.raises(BadRecording) as caught:
        read_raw(path)
    assert "decompresses to more than 64 MiB" in str(caught.value)
    assert "gzip -dc" in caught.value.hint


def test_a_frame_of_zstd_that_repeats_one_byte_is_bounded_too(tmp_path: Path) -> None:
    # RFC 8878: magic, frame header (no checksum, window 2 MiB), then blocks of 4 bytes: RLE of
    # 128 kB each, and none is the last.
    block = ((128 << 10) << 3 | 1 << 1).to_bytes(3, "little") + b"\0"
    path = tmp_path / "bomb.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd\x00\x58" + block * 3_000)
    with pytest.raises(BadRecording, match="decompresses to more than 64 MiB from 12,006 bytes"):
        read_raw(path)


def test_an_xz_that_wants_much_memory_is_damaged() -> None:
    wanted = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 20}]
    data = bytearray(lzma.compress(b"capture", filters=wanted))
    at = data.index(b"\x21\x01", 12) + 2  # the filter's properties: the size of its dictionary
    data[at] = 39  # 3 GiB
    head = bytes(data[12 : 12 + (data[12] + 1) * 4 - 4])
    data[12 + len(head) : 16 + len(head)] = zlib.crc32(head).to_bytes(4, "little")
    found = maybe_decompressed(bytes(data), "x")
    assert found is not None
    assert found.data == b""
    assert "limit" in found.fault


@pytest.mark.parametrize("way", PROGRAMS)
def test_what_the_usual_program_writes_is_read(way: str, sample: Path, tmp_path: Path) -> None:
    program = shutil.which(PROGRAMS[way])
    assert program is not None, f"install {PROGRAMS[way]}"
    path = tmp_path / "a"
    with path.open("wb") as out:
        subprocess.run([program, "-c", sample], stdout=out, check=True, timeout=60)
    assert read_raw(path).frames == read_raw(sample).frames
