"""The commands, given a recording with a wire: recover, export --at, inspect."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from sample_recordings import LO
from wired_recordings import (
    DESCRIPTION,
    INTERFACES,
    WireStory,
    ethernet,
    lossy,
    lossy_calls,
)

from netlab.capture.files import read_raw
from netlab.capture.recording import LiveRecording, make_spool_folder, spool_folder
from netlab.commands.main import run
from netlab.explain.analysis import analyse
from netlab.lab.finish import finish_recording
from netlab.lab.wire.journal_writer import Journal
from netlab.model.frame import Interface
from netlab.model.recording import RawRecording


def write_wire_spool(path: Path, story: WireStory) -> None:
    """All of the story, as the wire's process left it."""
    descriptor = os.open(make_spool_folder(path), os.O_RDONLY)
    journal = Journal(descriptor, segment_bytes=4096, ready_segments=2)
    fates = {arrival.packet: arrival for arrival in story.arrivals}
    for packet, interface, left_ns, data in story.frames:
        journal.frame(packet, interface, left_ns, data)
        fate = fates.get(packet)
        if fate is not None and fate.arrived_ns is not None:
            due_ns = fate.arrived_ns - (fate.late_ns or 0)
            journal.leaving(packet, fate.arrived_ns, due_ns, fate.rule, fate.changed)
        elif fate is not None:
            journal.dropped(packet, fate.rule)
        journal.settled()
    journal.close()
    os.close(descriptor)


def what_a_wire_noted(raw: RawRecording) -> list[object]:
    return [[(f.packet, f.interface, f.time_ns, bytes(f.data)) for f in raw.frames], raw.arrivals]


@pytest.mark.parametrize("recorded", [0, 3, 12])
def test_what_the_recorder_had_not_taken_comes_from_the_wire_s_spool(
    tmp_path: Path, recorded: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.pcapng"
    story = lossy()
    live = LiveRecording.create(path, description=DESCRIPTION, interfaces=INTERFACES)
    live.wire_frames(story.frames[:recorded])
    live.arrivals([one for one in story.arrivals if one.packet <= recorded])
    live.close()
    write_wire_spool(path, story)
    assert run(["recover", str(path)]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{path}: 12 packets, 0 calls\n")
    told = [one for one in story.arrivals if one.packet > recorded]
    assert f"wire's spool alone: {12 - recorded}, arrivals: {len(told)}\n" in out
    raw = read_raw(path)
    assert what_a_wire_noted(raw) == what_a_wire_noted(story.raw())
    assert [one.name for one in raw.interfaces] == ["client", "server", "wire"]
    assert not spool_folder(path).exists()
    assert run(["recover", str(path)]) == 0
    assert "is whole: nothing to recover" in capsys.readouterr().out


def test_the_wire_s_spool_alone_is_a_recording(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.pcapng"
    write_wire_spool(path, lossy())
    assert run(["recover", str(path)]) == 0
    raw = read_raw(path)
    assert what_a_wire_noted(raw) == what_a_wire_noted(lossy().raw())
    assert [one.name for one in raw.interfaces] == ["unknown-0", "unknown-1", "unknown-2"]


def test_spools_stay_where_what_they_hold_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.pcapng"
    LiveRecording.create(path, description=DESCRIPTION, interfaces=INTERFACES).close()
    write_wire_spool(path, lossy())

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("netlab.capture.finished.write_all", full)
        assert run(["recover", str(path)]) != 0
    assert run(["recover", str(path)]) == 0
    assert what_a_wire_noted(read_raw(path)) == what_a_wire_noted(lossy().raw())


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    path = tmp_path / "a.pcapng"
    story = lossy()
    live = LiveRecording.create(path, description=DESCRIPTION, interfaces=INTERFACES)
    live.wire_frames(story.frames)
    live.arrivals(story.arrivals)
    live.calls(lossy_calls())
    live.close()
    finish_recording(path)
    return path


def test_what_finishing_gives_is_what_reading_gives(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    story = lossy()
    error = b"\x03\x04\0\0\0\0\x05\xdc" + story.frames[3][3][14:42]
    story.send("wire", ethernet("server", 1, error, 2, 7))
    live = LiveRecording.create(path, description=DESCRIPTION, interfaces=INTERFACES)
    live.wire_frames(story.frames)
    live.arrivals(story.arrivals)
    live.calls(lossy_calls())
    live.close()
    told = finish_recording(path)
    read = analyse(read_raw(path))
    assert [packet.frame for packet in read.packets] != list(range(1, 14))  # calls are between
    assert read.packets == told.tables.packets
    assert read.spans == told.tables.spans
    assert read.packets[-1]._quoted is not None


@pytest.mark.parametrize(("host", "frames"), [("client", 11), ("server", 10)])
def test_one_end_s_packets_are_a_capture_that_others_read(
    finished: Path, host: str, frames: int, tmp_path: Path
) -> None:
    out = tmp_path / "end.pcapng"
    assert run(["export", str(finished), "--plain", "--at", host, "-o", str(out)]) == 0
    command = ["tcpdump", "-nr", str(out)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert len(shown.splitlines()) == frames
    times = [frame.time_ns for frame in read_raw(out).frames]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--plain", "--at", "router"],
         "no host 'router' in this recording: the hosts are client, server"),
        (["--at", "client", "-t", "packets"], "--at is about packets: add --plain"),
    ],
)  # fmt: skip
def test_an_end_that_cannot_be_is_one_line(
    finished: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["export", str(finished), *arguments]) == 2
    assert capsys.readouterr().err == f"netlab: {said}\n"


def test_a_recording_without_a_wire_has_no_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "lo.pcapng"
    LiveRecording.create(path, description=DESCRIPTION, interfaces=[LO]).close()
    assert run(["export", str(path), "--plain", "--at", "client"]) == 2
    assert capsys.readouterr().err == (
        "netlab: --at needs a recording made on hosts with a wire between: this one has no"
        " arrivals; leave out --at\n"
    )


def test_the_table_of_packets_has_arrival_and_fate(
    finished: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["export", str(finished), "-t", "packets"]) == 0
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [row["fate"] for row in rows].count("dropped") == 1
    assert {row["fate"] for row in rows} == {"delivered", "dropped", "changed", "unknown"}
    flights = [row["arrived_ns"] - row["time_ns"] for row in rows if row["arrived_ns"]]
    assert flights[0] == 20_000_000


def test_wireshark_flags_what_the_sender_sent_again(finished: Path) -> None:
    """The file is in order of departure, so that its verdicts are the sender's story."""
    command = ["tshark", "-r", str(finished), "-Y", "tcp.analysis.retransmission || "
               "tcp.analysis.fast_retransmission || tcp.analysis.out_of_order",
               "-T", "fields", "-e", "frame.packet_id"]  # fmt: skip
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert [int(line, 0) for line in shown.split()] == [8, 9, 10]


def test_interfaces_are_the_hosts_and_the_wire(finished: Path) -> None:
    assert read_raw(finished).interfaces == [Interface(one.name, 1, 65_535) for one in INTERFACES]
