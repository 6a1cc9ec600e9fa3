"""Rows of a file with their bytes: those of a stretch stay while the next one is read."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import pytest
from same_tables import assert_same_tables

from netlab.engine.plain import Plain
from netlab.engine.records import Records, Stretch
from netlab.model.frame import Frame

FRAMES = 211
PIECE_BYTES = 1 << 9


class Small(Plain):
    """Reads so little at a time that a file of kilobytes has many pieces."""

    piece_bytes = PIECE_BYTES


def frame_bytes(number: int) -> bytes:
    """Some are larger than a piece."""
    size = 1_511 if number % 89 == 88 else 20 + number % 37
    return bytes(number + place & 0xFF for place in range(size))


def pcap() -> bytes:
    data = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    for number in range(FRAMES):
        body = frame_bytes(number)
        data += struct.pack("<IIII", number, 0, len(body), len(body)) + body
    return data


def block(kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + size + body + size


def pcapng() -> bytes:
    """With blocks between that no kernel reads, so that a piece has more stretches than one."""
    interface = block(1, struct.pack("<HHI", 1, 0, 0))
    data = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)) + interface
    for number in range(FRAMES):
        body = frame_bytes(number)
        head = struct.pack("<IIIII", 0, 0, number, len(body), len(body))
        data += block(6, head + body) + interface * (number % 5 == 4)
    return data


def pcapng_with_blocks_alone() -> bytes:
    """With pieces that have no packet at all: one block as large, or many small ones."""
    interface = block(1, struct.pack("<HHI", 1, 0, 0))
    data = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)) + interface
    names, large = block(4, bytes(4)), block(4, struct.pack("<HH", 9, 3_000) + bytes(3_004))
    for number in range(FRAMES):
        body = frame_bytes(number)
        head = struct.pack("<IIIII", 0, 0, number, len(body), len(body))
        data += block(6, head + body)
        if number % 17 == 16:
            data += large if number % 2 else names * 200
    return data


def frames(there: Stretch) -> list[Frame]:
    return [there.frame(index) for index in range(there.first, there.last)]


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("made", [pcap, pcapng, pcapng_with_blocks_alone])
def test_a_stretch_stays_until_the_next_but_one(made: Any, keep: bool, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(made())
    handle = os.open(path, os.O_RDONLY)
    try:
        records = Records(Small(), handle, "a", keep=keep)
        read: list[Frame] = []
        before: tuple[Stretch, list[Frame]] | None = None
        stretches = 0
        for there in records.pieces():
            if before is not None:
                assert frames(before[0]) == before[1]
            before = there, frames(there)
            read += before[1]
            stretches += 1
    finally:
        os.close(handle)
    assert stretches > 10
    assert [frame.data for frame in read] == [frame_bytes(number) for number in range(FRAMES)]
    assert [frame.number for frame in read] == list(range(1, FRAMES + 1))


@pytest.mark.parametrize("made", [pcap, pcapng, pcapng_with_blocks_alone])
def test_nothing_is_read_behind_what_is_damaged(made: Any, tmp_path: Path) -> None:
    """In the next piece as little as in the same: where a record begins there, nobody can tell."""
    path, whole = tmp_path / "a", made()
    faults = 0
    for at in range(48, len(whole), len(whole) // 61):
        path.write_bytes(whole[:at] + b"\xff\xff\xff\x7f" + whole[at + 4 :])
        read = assert_same_tables(path, Small())
        faults += read is not None and len(read.capture.raw.faults)
    assert faults > 4
