"""`netlab export`: what it says of a file that is damaged."""

from __future__ import annotations

import struct
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


def test_a_link_type_that_pcapng_has_no_room_for(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "a.pcap", tmp_path / "out.pcapng"
    path.write_bytes(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1 << 16))
    assert run(["inspect", str(path)]) == 0
    capfd.readouterr()
    assert run(["export", str(path), "--plain", "-o", str(out)]) == 4
    assert capfd.readouterr().err.startswith("netlab: pcapng has no link type 65536: ")
    assert not out.exists()
    out.write_bytes(b"another export")
    assert run(["export", str(path), "--plain", "-o", str(out)]) == 4
    assert out.read_bytes() == b"another export"
