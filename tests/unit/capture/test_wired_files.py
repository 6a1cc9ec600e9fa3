"""Recordings with a wire: written live and finished, read back exactly, damaged, recovered."""

from __future__ import annotations

import io
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_recordings import TEXT
from wired_recordings import DESCRIPTION, INTERFACES, lossy

from netlab.capture.files import read_raw
from netlab.capture.recording import LiveRecording, plain
from netlab.capture.rows import ARRIVALS, table_header, table_records, table_row
from netlab.capture.wired import check_arrivals, merge_wire
from netlab.explain.analysis import analyse
from netlab.lab.finish import finish_recording
from netlab.model.recording import RawRecording
from netlab.model.wire import Arrival


def seen(raw: RawRecording) -> list[object]:
    return [
        sorted((f.packet, f.interface, f.time_ns, bytes(f.data)) for f in raw.frames),
        raw.arrivals,
        [(one.name, one.link) for one in raw.interfaces],
        raw.faults,
    ]


def test_both_forms_give_back_what_the_wire_noted(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    story = lossy()
    story.write_live(path)
    told = seen(story.raw())
    assert seen(read_raw(path)) == told
    finished = finish_recording(path)
    read = read_raw(path)
    assert seen(read) == told
    assert (read.description.form, read.wired) == ("finished", True)
    assert [f.number for f in read.frames] == [f.number for f in finished.raw.frames]
    assert analyse(read).packets == finished.tables.packets


def test_the_finished_file_is_in_order_of_departure(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    story = lossy()
    story.frames[3:6] = reversed(story.frames[3:6])  # hosts are read one after the other
    story.write_live(path)
    finish_recording(path)
    read = read_raw(path)
    assert [frame.packet for frame in read.frames] == list(range(1, len(read.frames) + 1))


def test_frames_that_left_at_once_stay_as_the_wire_took_them(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    story = lossy()
    story.frames = [(p, i, story.now_ns, data) for p, i, _, data in reversed(story.frames)]
    story.write_live(path)
    finish_recording(path)
    packets = [frame.packet for frame in read_raw(path).frames]
    assert packets == sorted(packets, key=lambda packet: packet or 0)


RULES = TEXT
ARRIVAL = st.builds(
    Arrival,
    packet=st.integers(1, 1 << 40),
    fate=st.sampled_from(["delivered", "dropped", "changed", "unknown"]),
    arrived_ns=st.none() | st.integers(0, (1 << 63) - 1),
    late_ns=st.none() | st.integers(-(1 << 40), 1 << 40),
    rule=RULES,
    changed=st.none() | st.binary(max_size=30),
)


@given(st.lists(ARRIVAL, max_size=5))
def test_any_arrival_comes_back_from_its_row(arrivals: list[Arrival]) -> None:
    table = table_header(ARRIVALS) + b"".join(table_row(ARRIVALS, one) for one in arrivals)
    assert list(table_records(ARRIVALS, table)) == arrivals


def test_a_fate_that_is_none_is_damage() -> None:
    table = table_header(ARRIVALS) + b"7\tteleported\t\\N\t\\N\t\\N\t\\N\n"
    (found,) = table_records(ARRIVALS, table)
    assert isinstance(found, ValueError)


def test_an_arrival_of_a_packet_that_is_not_there_is_named_once(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    story = lossy()
    story.arrivals += [Arrival(71, "dropped"), Arrival(73, "delivered", 5, 0)]
    story.write_live(path)
    read = read_raw(path)
    assert read.faults == [
        "an arrival names packet 71: there is none (in all, 2 arrivals name packets)"
    ]
    assert seen(read)[1] == lossy().arrivals
    finish_recording(path)
    assert read_raw(path).faults == []


@pytest.mark.parametrize(
    ("arrival", "fault"),
    [
        (Arrival(1, "delivered"), "the arrival of packet 1 contradicts itself"),
        (Arrival(1, "dropped", 7, 0), "the arrival of packet 1 contradicts itself"),
        (Arrival(2, "delivered", 7, 0), "packet 2 arrived twice: the first counts"),
    ],
)
def test_arrivals_that_cannot_be_are_damage(arrival: Arrival, fault: str) -> None:
    raw = lossy().raw()
    before = list(raw.arrivals)
    raw.arrivals = [*(one for one in before if one.packet != 1), arrival]
    assert check_arrivals(raw) == [fault]
    assert raw.arrivals == before[1:]


def test_the_same_arrival_twice_is_no_damage() -> None:
    raw = lossy().raw()
    before = list(raw.arrivals)
    raw.arrivals = before + before[:3]
    assert check_arrivals(raw) == []
    assert raw.arrivals == before


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_file_cut_anywhere_opens_with_what_is_whole(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("cut") / "a.pcapng"
    lossy().write_live(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(700, len(whole)))])
    raw = read_raw(path)
    packets = {frame.packet for frame in raw.frames}
    assert {arrival.packet for arrival in raw.arrivals} <= packets
    analyse(raw)


def test_what_only_the_wire_s_spool_holds_is_merged() -> None:
    whole, story = lossy().raw("live"), lossy()
    cut = replace(whole, frames=whole.frames[:6], arrivals=whole.arrivals[:4])
    assert merge_wire(cut, story.frames[3:], story.arrivals[2:]) == (
        len(story.frames) - 6,
        len(story.arrivals) - 4,
    )
    assert seen(cut) == seen(whole)
    assert [frame.number for frame in cut.frames] == list(range(1, len(story.frames) + 1))


def test_frames_of_a_file_that_lost_its_beginning_get_interfaces(tmp_path: Path) -> None:
    raw = RawRecording()
    story = lossy()
    merge_wire(raw, story.frames, story.arrivals)
    assert [one.name for one in raw.interfaces] == ["unknown-0", "unknown-1", "unknown-2"]
    assert len(analyse(raw).packets) == len(story.frames)


def test_a_capture_by_others_may_have_packet_ids() -> None:
    raw = lossy().raw("")
    raw.arrivals = []
    raw.interfaces = [replace(one, name="wire") for one in raw.interfaces]
    assert not raw.wired
    assert {packet.fate for packet in analyse(raw).packets} == {"unknown"}


def test_a_wired_recording_of_which_no_arrival_was_noted_is_one(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    recording = LiveRecording.create(path, description=DESCRIPTION, interfaces=INTERFACES)
    recording.wire_frames(lossy().frames[:2])
    recording.close()
    assert read_raw(path).wired


def test_others_see_the_packets_and_the_comments(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    lossy().write_live(path)
    finish_recording(path)
    fields = ["frame.number", "frame.packet_id", "frame.interface_name", "frame.comment"]
    command = ["tshark", "-r", str(path), "-T", "fields"]
    for name in fields:
        command += ["-e", name]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.split("\t") for line in shown.splitlines()]
    assert [row[0] for row in rows] == [str(n + 1) for n in range(len(lossy().frames))]
    assert [int(row[1], 0) for row in rows] == [frame[0] for frame in lossy().frames]
    assert [row[2] for row in rows[:2]] == ["client", "server"]
    comments = [row[3] for row in rows]
    assert comments[0] == "arrived 20.000 ms later at server"
    assert comments[3] == "arrived 20.000 ms later at server: delay 20ms"
    assert comments[5] == "dropped by the wire: drop s>c data 1"
    assert comments[6] == (
        "arrived 20.000 ms later at client, 1.300 ms of it the wire's own lateness"
    )
    assert comments[7] == (
        "made by the wire: duplicate s>c data 2; arrived 21.000 ms later at client"
    )
    assert comments[8] == (
        "changed on the wire: corrupt s>c data 3; arrived 20.000 ms later at client;"
        " its receiver threw it away"
    )
    assert comments[11] == "on the wire when that was last heard of"


def test_plain_packets_are_read_by_all(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    lossy().write_live(path)
    finish_recording(path)
    out = io.BytesIO()
    plain(read_raw(path), out)
    packets = tmp_path / "plain.pcapng"
    packets.write_bytes(out.getvalue())
    assert shutil.which("tcpdump")
    for file in (path, packets):
        command = ["tcpdump", "-nr", str(file)]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert len(shown.splitlines()) == len(lossy().frames)
