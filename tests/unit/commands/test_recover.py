"""`netlab recover`: what it prints and leaves, with FILE and spools, with one of them or none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sample_recordings import DESCRIPTION, LO, calls, conversation

from netlab.capture.files import read_raw, recover
from netlab.capture.local import Kind, table_blocks
from netlab.capture.probe import JournalProbe
from netlab.capture.recording import LiveRecording, make_spool_folder, spool_folder
from netlab.capture.rows import LOSSES
from netlab.commands.main import run
from netlab.correlate.missing import CUT, missing_frames
from netlab.lab.finish import finish_raw
from netlab.model.recording import Loss


def write_live(path: Path) -> None:
    recording = LiveRecording.create(path, description=DESCRIPTION, interfaces=[LO])
    recording.frames(0, conversation())
    recording.calls(calls()[:2])
    recording.close()


def write_spools(path: Path) -> None:
    probe = JournalProbe(make_spool_folder(path), actor="client")
    left, right = probe.socketpair()
    left.send(b"abc")
    assert right.recv(7) == b"abc"
    left.close()
    right.close()
    probe.close()


def test_file_and_spools_become_one_finished_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.pcapng"
    write_live(path)
    write_spools(path)
    path.write_bytes(path.read_bytes()[:-3])
    assert run(["recover", str(path)]) == 0
    out, err = capsys.readouterr()
    raw = read_raw(path)
    assert out.startswith(f"{path}: 8 packets, {len(raw.calls)} calls\n")
    assert "cut short" in out
    assert "stood in the spools alone" in out
    assert err == ""
    assert {"connect", "send", "recv", "close"} <= {call.op for call in raw.calls}
    assert raw.description.form == "finished"
    assert not spool_folder(path).exists()


def test_what_a_killed_recorder_lost_is_not_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.pcapng"
    recording = LiveRecording.create(path, description=DESCRIPTION, interfaces=[LO])
    recording.frames(0, conversation())
    recording.statistics(0, 8, 0, 1, 2)
    recording.close()
    assert run(["inspect", str(path)]) == 0
    assert "lo: 8 frames, losses not known" in capsys.readouterr().out
    assert run(["recover", str(path)]) == 0
    assert "was not finished: frames of its end may be missing" in capsys.readouterr().out
    assert run(["inspect", str(path)]) == 0
    assert "lo: 8 frames, losses not known" in capsys.readouterr().out


def test_calls_that_the_spools_kept_are_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    write_live(path)
    with path.open("ab") as file:
        loss = Loss("recorder", "frames and calls", None, "no space left on device")
        file.write(b"".join(table_blocks(Kind.LOSSES, LOSSES, [loss])))
    assert recover(path).losses == [loss]
    write_spools(path)
    assert recover(path).losses == [replace(loss, what="frames")]


def test_spools_alone_become_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.pcapng"
    write_spools(path)
    assert run(["recover", str(path)]) == 0
    assert "0 packets" in capsys.readouterr().out
    assert {call.op for call in read_raw(path).calls} >= {"send", "recv", "close"}


def test_a_file_alone_becomes_finished_and_then_is_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.pcapng"
    write_live(path)
    assert run(["recover", str(path)]) == 0
    assert "8 packets, 2 calls" in capsys.readouterr().out
    before = path.read_bytes()
    assert run(["recover", str(path)]) == 0
    assert "is whole: nothing to recover" in capsys.readouterr().out
    assert path.read_bytes() == before


def test_a_finished_file_that_was_cut_short_stays_known_as_one(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    write_live(path)
    finish_raw(path, read_raw(path, ended=True))
    whole = read_raw(path)
    assert missing_frames(whole) is None
    path.write_bytes(path.read_bytes()[:-301])
    assert missing_frames(read_raw(path)) is CUT
    assert run(["recover", str(path)]) == 0
    assert 0 < len(read_raw(path).frames) < len(whole.frames)
    assert missing_frames(read_raw(path)) is CUT


def test_a_killed_recording_stays_known_as_one(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    write_live(path)
    assert missing_frames(read_raw(path)) is CUT
    assert run(["recover", str(path)]) == 0
    assert missing_frames(read_raw(path)) is CUT


def test_nothing_there_is_one_line_and_exit_code_4(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["recover", str(tmp_path / "none.pcapng")]) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("netlab: nothing to recover: ")
    assert err.count("\n") == 1


def test_it_takes_the_journal_limit_and_shows_losses_as_the_summary_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.pcapng"
    recording = LiveRecording.create(path, description=DESCRIPTION, interfaces=[LO])
    recording.calls(calls())
    recording.loss(Loss("packets", "frames", 12, "ring full"))
    recording.close()
    assert run(["recover", str(path), "--journal-limit", "1"]) == 0
    assert "  lost: packets: 12 frames lost, ring full\n" in capsys.readouterr().out
    assert path.read_bytes().count(b"\nNETLAB_WITNESS=") == 1
    assert len(read_raw(path).calls) == len(calls()) > 1
