"""Wrong checksums are found, those left to the device are not called wrong, and tshark agrees."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from sample_recordings import LO, ethernet_tcp

from netlab.capture.files import read_raw
from netlab.decode.packets import decode
from netlab.decode.sums import Sums, check_sums
from netlab.model.errors import BadRecording
from netlab.model.frame import CHECKSUM_NOT_READY, DIRECTION_IN, DIRECTION_OUT, Frame
from netlab.model.recording import RawRecording

DATA = ethernet_tcp(True, 0x18, 1000, 2000, b"hello, sums")


def sums_of(*frames: bytes, flags: int = 0, most: int = 100) -> Sums:
    raw = RawRecording(interfaces=[LO])
    raw.frames = [Frame(n, n, 0, data, len(data), flags) for n, data in enumerate(frames, 1)]
    return check_sums(raw, decode(raw), most)


def changed(at: int, value: int) -> bytes:
    return DATA[:at] + bytes((DATA[at] ^ value,)) + DATA[at + 1 :]


def test_right_ones_are_silent() -> None:
    found = sums_of(DATA)
    assert (found.frames, found.wrong, found.not_filled_in) == (1, {}, 0)


@pytest.mark.parametrize(("at", "protocol"), [(14 + 8, "IPv4"), (14 + 20 + 13, "TCP"), (60, "TCP")])
def test_one_wrong_bit_is_found(at: int, protocol: str) -> None:
    assert sums_of(DATA, changed(at, 4)).wrong == {protocol: [2]}


def test_what_is_left_to_the_device_is_no_error() -> None:
    found = sums_of(changed(60, 4), flags=CHECKSUM_NOT_READY)
    assert (found.wrong, found.not_filled_in) == ({}, 1)


def test_a_wrong_sum_of_a_frame_sent_from_here_is_not_called_wrong() -> None:
    found = sums_of(changed(60, 4), flags=DIRECTION_OUT)
    assert (found.wrong, found.not_filled_in) == ({}, 1)
    assert sums_of(changed(60, 4), flags=DIRECTION_IN).wrong == {"TCP": [1]}


def test_no_more_frames_than_asked_are_looked_at() -> None:
    found = sums_of(DATA, changed(60, 4), most=1)
    assert (found.frames, found.wrong) == (1, {})


def test_tshark_calls_bad_what_is_wrong_here(captures_dir: Path) -> None:
    """And what it calls bad beside that was left to the device, or is not whole in the capture."""
    wrong_ones = 0
    for table in sorted((captures_dir / "expected").glob("*.frames.tsv")):
        name = table.name.removesuffix(".frames.tsv")
        try:
            raw = read_raw(captures_dir / "files" / name)
        except BadRecording:
            continue
        packets = decode(raw)
        found = check_sums(raw, packets, len(packets))
        bad = {
            "IPv4": bad_frames(table, "ip.checksum.status"),
            "UDP": bad_frames(table, "udp.checksum.status"),
            "TCP": bad_frames(
                table.with_name(f"{name}.tcp.tsv"), "tcp.checksum.status"
            ),
        }  # fmt: skip
        for protocol, frames in found.wrong.items():
            assert set(frames) <= bad[protocol], name
            wrong_ones += len(frames)
        whole = {
            p.frame for p in packets if p.fault_layer is None and p.caplen_bytes >= p.origlen_bytes
        }
        left = sum(len(frames & whole) for frames in bad.values())
        here = sum(len(set(frames) & whole) for frames in found.wrong.values())
        assert left == here + found.not_filled_in, name
    assert wrong_ones == 28


def bad_frames(table: Path, column: str) -> set[int]:
    with table.open(encoding="utf-8", errors="replace", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return {int(row["frame.number"]) for row in rows if "0" in row[column].split(",")}
