"""`netlab export`: what it says of a file that is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
from sample_recordings import DESCRIPTION, LO, calls, conversation

from netlab.capture.recording import LiveRecording
from netlab.commands.main import run


@pytest.mark.parametrize("what", [("-t", "packets"), ("--plain", "-o", "OUT")])
def test_damage_is_told_beside_what_can_be_read(
    what: tuple[str, ...], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.pcapng"
    recording = LiveRecording.create(path, description=DESCRIPTION, interfaces=[LO])
    recording.frames(0, conversation())
    recording.calls(calls())
    recording.close()
    what = tuple(str(tmp_path / "out") if word == "OUT" else word for word in what)
    assert run(["export", str(path), *what]) == 0
    assert capfd.readouterr().err == ""
    path.write_bytes(path.read_bytes()[:-3])
    assert run(["export", str(path), *what]) == 0
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("netlab: note: ")
    assert "cut short" in line
