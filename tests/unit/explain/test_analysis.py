"""What the tables say does not depend on the form of the recording."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from sample_recordings import DESCRIPTION, LO, T0_NS, calls, conversation, ethernet_tcp

from netlab.capture.files import read_raw
from netlab.capture.recording import LiveRecording
from netlab.explain.analysis import analyse
from netlab.lab.finish import finish_recording
from netlab.model.tables import Tables

LOCAL, PEER = "127.0.0.1:40000", "127.0.0.1:7"
_FRAME_NUMBERS = ("frame", "acks_frame")


def told(tables: Tables) -> dict[str, list[dict[str, Any]]]:
    """All tables, with the time of a frame for its number: the two forms do not share those."""
    times = {packet.frame: packet.time_ns for packet in tables.packets}
    found = {}
    for name in ("packets", "segments", "connections", "calls", "spans", "unmatched"):
        rows = [
            {field: getattr(row, field) for field in row.__dataclass_fields__}
            for row in getattr(tables, name)
        ]
        for row in rows:
            row.update({f: times.get(row[f]) for f in _FRAME_NUMBERS if f in row})
        found[name] = rows
    return found


def test_a_live_recording_out_of_order_says_what_the_finished_one_says(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    frames = conversation(b"x" * 101)
    second = ethernet_tcp(True, 0x18, 1051, 5001, b"x" * 51)
    frames[3] = (frames[3][0], ethernet_tcp(True, 0x18, 1001, 5001, b"x" * 50), 104, 0)
    # Sent later and by another processor, whose frames the ring handed over first.
    frames.insert(3, (frames[3][0] + 200, second, len(second), 0))
    socket = {"inode": 100, "family": "AF_INET", "kind": "SOCK_STREAM"}
    recording = LiveRecording.create(path, description=DESCRIPTION, interfaces=[LO])
    recording.frames(0, frames)
    recording.calls([
        replace(record, **socket, local=LOCAL, peer=PEER) if record.actor == "client" else record
        for record in calls()
    ])  # fmt: skip
    recording.close()

    live = read_raw(path, ended=True)
    assert [frame.number for frame in live.frames] == list(range(1, 10))
    tables = analyse(live)
    assert [packet.frame for packet in tables.packets] == [1, 2, 3, 5, 4, 6, 7, 8, 9]
    assert [(s.frame, s.start, s.stop) for s in tables.spans if s.role == "carried"] == [
        (5, 0, 50), (4, 50, 101),
    ]  # fmt: skip
    assert live.frames[3].time_ns == tables.packets[3].time_ns == T0_NS + 10_500
    finished = finish_recording(path)
    assert told(finished.tables) == told(tables)
    again = read_raw(path)
    assert told(analyse(again)) == told(tables)
    # What is shown at once is what the file says later, numbers and texts that name them too.
    assert [frame.number for frame in finished.raw.frames] == [f.number for f in again.frames]
    for item in fields(Tables):
        if not item.name.startswith("_"):
            assert getattr(finished.tables, item.name) == getattr(analyse(again), item.name)
