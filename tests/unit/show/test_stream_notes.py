"""Gaps and contradictions of a stream are told beside its ladder."""

from __future__ import annotations

from pathlib import Path

from playbook import Play

from netlab.capture.files import read_raw
from netlab.explain.analysis import analyse
from netlab.model.frame import Frame
from netlab.model.recording import RawRecording
from netlab.model.tables import Side
from netlab.show import choose
from netlab.show.views.stream_notes import other_copies, stream_notes


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


def test_which_frames_hold_another_byte_at_a_place(captures_dir: Path) -> None:
    raw = read_raw(captures_dir / "files" / "reassembly.pcap")
    tables = analyse(raw)
    connection = choose.connection(tables, "tcp.0")
    assert other_copies(tables, raw, connection, Side.CLIENT, 13_366) == (64,)
    assert other_copies(tables, raw, connection, Side.CLIENT, 0) == ()


def test_the_byte_of_a_keep_alive_contradicts_nobody() -> None:
    """It is any byte (RFC 1122 4.2.3.6); sent sooner, the same would be data."""
    for wait_ns, count in ((1_010_000_000, 0), (1_000_000, 1)):
        play = Play()
        play.handshake(calls=False)
        play.data("c>s", 0, 100)
        play.ack("s>c", 100)
        play.now_ns += wait_ns
        play.data("c>s", 99, 100)
        tables = play.tables()
        raw = RawRecording(frames=[
            Frame(p.frame, p.time_ns, 0, bytes(66) + b"x" * (p.payload_len_bytes or 0), 166)
            for p in play.packets[:-1]
        ])  # fmt: skip
        last = play.packets[-1]
        raw.frames.append(Frame(last.frame, last.time_ns, 0, bytes(66) + b"\0", 67))
        assert len(stream_notes(tables, raw, tables.connections[0])) == count


def test_a_sound_stream_has_none(captures_dir: Path) -> None:
    assert notes(captures_dir, "wikipedia.pcap") == []
