"""Gaps and contradictions of a stream are told beside its ladder."""

from __future__ import annotations

from pathlib import Path

from netlab.capture.files import read_raw
from netlab.explain.analysis import analyse
from netlab.show import choose
from netlab.show.views.stream_notes import stream_notes


def notes(captures: Path, name: str) -> list[tuple[str, str]]:
    raw = read_raw(captures / "files" / name)
    tables = analyse(raw)
    return stream_notes(tables, raw, choose.connection(tables, "tcp.0"))


def test_what_was_acknowledged_and_not_captured(captures_dir: Path) -> None:
    assert notes(captures_dir, "miss_end_data.pcap") == [
        ("gap", "2,902 B of the server's were acknowledged, and not captured")
    ]


def test_frames_that_hold_different_bytes_for_one_place(captures_dir: Path) -> None:
    found = notes(captures_dir, "reassembly.pcap")
    assert ("≠", "frames 28 and 64 hold different bytes for client 13366..13378") in found


def test_the_byte_of_a_keep_alive_contradicts_nobody(captures_dir: Path) -> None:
    """It is any byte: here a 0 in the place of the last one sent."""
    assert notes(captures_dir, "smb_v2_only_non_zero_reserved1.pcap") == []


def test_a_sound_stream_has_none(captures_dir: Path) -> None:
    assert notes(captures_dir, "wikipedia.pcap") == []
