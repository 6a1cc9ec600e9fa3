"""The recording file written: live, finished, plain; and when the disk is full."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from struct import unpack_from

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_recordings import (
    CALL_RECORDS,
    DESCRIPTION,
    LO,
    T0_NS,
    call,
    calls,
    conversation,
    raw_recording,
)

from netlab.capture.files import read_raw
from netlab.capture.recording import (
    LiveRecording,
    finish,
    make_spool_folder,
    plain,
    spool_folder,
)
from netlab.model.call import CallRecord
from netlab.model.errors import BadRecording, UsageError
from netlab.model.recording import RawRecording


def write_live(path: Path, journal_limit: int = 100_000) -> RawRecording:
    """All of the sample, in the order in which it would arrive."""
    raw = raw_recording()
    recording = LiveRecording.create(
        path, description=DESCRIPTION, interfaces=[LO], journal_limit=journal_limit
    )
    frames = conversation()
    recording.frames(0, frames[:4])
    recording.calls(raw.calls[:3])
    recording.clock(raw.clock_pairs[0])
    recording.inheritances(raw.inheritances)
    recording.stamps(raw.stamps)
    recording.samples(raw.samples[:1])
    recording.samples(raw.samples[1:])
    recording.kernel_events(raw.kernel_events)
    recording.frames(0, frames[4:])
    recording.calls(raw.calls[3:])
    recording.loss(raw.losses[0])
    recording.statistics(0, 8, 0, T0_NS, T0_NS + 30_000)
    recording.close()
    return raw


def finish_plainly(path: Path, raw: RawRecording, journal_limit: int = 100_000) -> None:
    finish(path, raw, frame_comments={}, call_messages={}, threads={}, journal_limit=journal_limit)


def what_was_seen(raw: RawRecording) -> list[object]:
    """All but the numbers of frames, which the two forms do not share, and the form's name."""
    return [
        [(f.time_ns, f.interface, bytes(f.data), f.origlen_bytes, f.flags) for f in raw.frames],
        raw.interfaces,
        raw.calls,
        raw.inheritances,
        raw.stamps,
        raw.samples,
        raw.kernel_events,
        raw.clock_pairs,
        raw.losses,
        replace(raw.description, form="", file_version=0),
        raw.faults,
    ]


@pytest.mark.parametrize("journal_limit", [100_000, 2, 0])
def test_both_forms_give_back_all_that_was_seen(tmp_path: Path, journal_limit: int) -> None:
    path = tmp_path / "a.pcapng"
    given_in = write_live(path, journal_limit)
    live = read_raw(path, ended=True)
    assert what_was_seen(live) == what_was_seen(given_in)
    assert (live.description.form, live.description.file_version) == ("live", 1)
    finish_plainly(path, live, journal_limit)
    finished = read_raw(path)
    assert what_was_seen(finished) == what_was_seen(given_in)
    assert (finished.description.form, finished.description.file_version) == ("finished", 1)
    assert os.listdir(tmp_path) == ["a.pcapng"]


def test_whether_a_live_recording_lost_nothing_is_not_known(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    recording = LiveRecording.create(path, description=DESCRIPTION, interfaces=[LO])
    recording.statistics(0, 8, 0, 1, 2)
    (interface,) = read_raw(path).interfaces
    assert (interface.received, interface.dropped) == (8, None)
    assert read_raw(path, ended=True).interfaces[0].dropped == 0
    recording.statistics(0, 9, 3, 1, 3)
    recording.close()
    (interface,) = read_raw(path).interfaces
    assert (interface.received, interface.dropped) == (9, 3)


@settings(max_examples=30)
@given(
    st.lists(  # which of two that share all of this was first, nobody can say
        CALL_RECORDS, max_size=6, unique_by=lambda c: (c.entered_ns, c.host, c.pid, c.tid, c.order)
    ),
    st.integers(0, 6),
)
def test_any_calls_come_back_from_both_forms(
    tmp_path_factory: pytest.TempPathFactory, records: list[CallRecord], journal_limit: int
) -> None:
    path = tmp_path_factory.mktemp("calls") / "a.pcapng"
    recording = LiveRecording.create(
        path, description=DESCRIPTION, interfaces=[LO], journal_limit=journal_limit
    )
    recording.calls(records)
    recording.close()
    live = read_raw(path)
    assert sorted(map(repr, live.calls)) == sorted(map(repr, records))
    finish_plainly(path, live, journal_limit)
    assert read_raw(path).calls == live.calls
    assert not live.faults


def test_a_call_stands_before_the_packets_it_sent_and_after_those_it_received(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.pcapng"
    raw = raw_recording()
    raw.calls.append(call("recv", 30_000, None, 4))
    finish_plainly(path, raw)
    ops = {index: record.op for index, record in enumerate(raw.calls)}
    assert block_kinds(path.read_bytes()) == [
        "connect", "packet", "packet", "packet", "send", "packet", "packet", "recv",
        "close", "packet", "packet", "packet", "recv", "recv",
    ]  # fmt: skip
    assert ops[0] == "connect"
    assert [frame.number for frame in read_raw(path).frames] == [2, 3, 4, 6, 7, 10, 11, 12]


def test_at_one_microsecond_acting_calls_come_first_then_packets_then_receiving_calls(
    tmp_path: Path,
) -> None:
    frame = (T0_NS + 5_000, b"x", 1, 0)
    path = tmp_path / "a.pcapng"
    raw = raw_recording()
    raw.frames = [replace(raw.frames[0], time_ns=frame[0])]
    raw.calls = [call("recv", 1_000, 4_500, 1), call("send", 5_900, 6_000, 2)]
    finish_plainly(path, raw)
    assert block_kinds(path.read_bytes()) == ["send", "packet", "recv"]


def test_comments_messages_and_threads_stand_where_they_were_put(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    finish(
        path,
        raw_recording(),
        frame_comments={4: ["first", "second"]},
        call_messages={0: "connect: glossed"},
        threads={4: (4711, 4712)},
    )
    data = path.read_bytes()
    assert data.count(b"\nMESSAGE=connect: glossed\n") == 1
    assert data.count(b"\nMESSAGE=send(5, 101, MSG_NOSIGNAL) = 101\n") == 1
    at = data.index(b"\x01\0\x05\0first\0\0\0\x01\0\x06\0second\0\0\x02\0\x04\0")
    assert unpack_from("<HHIIHH", data, at + 32) == (8, 8, 4711, 4712, 0, 0)


def test_the_last_description_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    recording = LiveRecording.create(path, description=DESCRIPTION, interfaces=[LO])
    later = replace(DESCRIPTION, notes=("known at the end",))
    recording.describe(later)
    recording.close()
    assert read_raw(path).description == replace(later, form="live", file_version=1)


def test_packed_calls_are_counted_a_second(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    every = [call("send", n * 300_000_000, n * 300_000_000 + 9, n + 1) for n in range(10)]
    raw = RawRecording(interfaces=[LO], calls=every)
    texts = [
        b"netlab: 2 calls in this second, packed",
        b"netlab: 3 calls in this second, packed",
        b"netlab: 3 calls in this second, packed",
    ]
    finish_plainly(path, raw, journal_limit=2)
    found = [line for line in path.read_bytes().split(b"\n") if b" packed" in line]
    assert [line.removeprefix(b"MESSAGE=") for line in found] == texts
    recording = LiveRecording.create(
        path, description=DESCRIPTION, interfaces=[LO], journal_limit=2
    )
    for record in every:
        recording.calls([record])
    recording.close()
    found = [line for line in path.read_bytes().split(b"\n") if b" packed" in line]
    assert [line.removeprefix(b"MESSAGE=") for line in found] == texts
    assert read_raw(path).calls == every


def test_a_call_with_an_absurd_argument_is_packed(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    record = call("setsockopt", 0, 1, 1, args="\n" * 100_001)
    recording = LiveRecording.create(path, description=DESCRIPTION, interfaces=[LO])
    recording.calls([record])
    recording.close()
    assert read_raw(path).calls == [record]
    finish_plainly(path, read_raw(path))
    assert read_raw(path).calls == [record]


def test_plain_is_the_packets_alone() -> None:
    out = io.BytesIO()
    raw = raw_recording()
    plain(raw, out)
    assert block_kinds(out.getvalue()) == ["packet"] * 8
    assert b"NLAB" not in out.getvalue()


def test_plain_leaves_out_interfaces_of_another_link_that_saw_nothing() -> None:
    raw = raw_recording()
    raw.interfaces.insert(0, replace(LO, name="tun0", link=101))
    raw.frames = [replace(frame, interface=1) for frame in raw.frames]
    out = io.BytesIO()
    plain(raw, out)
    assert b"tun0" not in out.getvalue()
    assert block_kinds(out.getvalue()) == ["packet"] * 8


def test_a_file_torn_anywhere_opens_to_its_last_whole_block(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    write_live(path)
    data = path.read_bytes()
    whole = read_raw(path)
    ends = set(block_ends(data))
    first = min(ends)
    for size in range(0, len(data), 3):
        path.write_bytes(data[:size])
        if size < first:
            with pytest.raises(BadRecording):
                read_raw(path)
            continue
        raw = read_raw(path)
        assert bool(raw.faults) == (size not in ends)
        assert raw.frames == whole.frames[: len(raw.frames)]
        assert all(record in whole.calls for record in raw.calls)
        assert len(raw.frames) + len(raw.calls) == sum(
            kind != "other" for kind in block_kinds(data[:size], every=True)
        )


def test_a_finish_that_fails_leaves_the_live_file(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    write_live(path)
    live = path.read_bytes()
    raw = read_raw(path)
    raw.frames.append(replace(raw.frames[0], time_ns=1 << 70, interface=-1))  # cannot be written
    with pytest.raises(Exception, match="argument"):
        finish_plainly(path, raw)
    assert path.read_bytes() == live
    assert os.listdir(tmp_path) == ["a.pcapng"]


def test_what_a_killed_finish_left_is_in_nobodys_way(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    write_live(path)
    (tmp_path / "a.pcapng.finishing").write_bytes(b"half")
    finish_plainly(path, read_raw(path))
    assert read_raw(path).description.form == "finished"
    assert os.listdir(tmp_path) == ["a.pcapng"]


FULL = """
import resource, sys
from netlab.capture.recording import LiveRecording, finish
from netlab.capture.files import read_raw
from netlab.model.errors import BadRecording
sys.path.insert(0, sys.argv[2])
from sample_recordings import DESCRIPTION, LO, calls, conversation
recording = LiveRecording.create(sys.argv[1], description=DESCRIPTION, interfaces=[LO])
if len(sys.argv) > 3:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
errors = []
for turn in range(20_000):
    try:
        recording.frames(0, conversation()) if turn % 2 else recording.calls(calls())
    except BadRecording as error:
        errors.append(str(error))
    if errors and len(errors) == 1 and turn % 100 == 99:
        break
recording.frames(0, conversation())
recording.calls(calls())
recording.flush()
recording.close()
assert recording.failed
(error,) = errors
print(error)
raw = read_raw(sys.argv[1])
before = open(sys.argv[1], "rb").read()
raw.frames *= 200
try:
    finish(sys.argv[1], raw, frame_comments={}, call_messages={}, threads={})
except BadRecording as error:
    print(error)
assert open(sys.argv[1], "rb").read() == before
"""


def check_full(path: Path, output: str, reason: str) -> None:
    first, second = output.splitlines()
    assert first.startswith(f"recording stopped: {path}: {reason}: free some space")
    assert second.startswith(f"cannot write {path} to its end: ")
    raw = read_raw(path)
    assert not raw.faults
    assert raw.frames
    assert raw.calls
    assert {record.op for record in raw.calls} == {record.op for record in calls()}
    (loss,) = raw.losses
    assert (loss.witness, loss.what) == ("recorder", "frames and calls")
    assert loss.reason == reason.lower()
    assert sorted(os.listdir(path.parent)) == [path.name]


@pytest.mark.parametrize("limit", [60_000, 60_001, 60_233, 61_111, *range(64_000, 64_400, 40)])
def test_a_file_size_limit_is_said_once_and_the_file_stays_whole(
    tmp_path: Path, limit: int
) -> None:
    path = tmp_path / "full.pcapng"
    done = run_python(FULL, path, Path(__file__).parents[2], limit)
    check_full(path, done, "File too large")


@pytest.mark.root
def test_a_full_disk_is_said_once_and_the_file_stays_whole(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    script = tmp_path / "full.py"
    script.write_text(FULL)
    kept = tmp_path / "kept"
    kept.mkdir()
    # The file is copied out of the private mount namespace before that ends.
    shell = (
        'mount -t tmpfs -o size=300k tmpfs "$1" && "$2" "$3" "$1/full.pcapng" "$4"'
        ' && ls "$1" >&2 && cp "$1/full.pcapng" "$5/"'
    )
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", shell, "sh", disk,
         sys.executable, script, Path(__file__).parents[2], kept],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.split() == ["full.pcapng"]
    output = done.stdout.replace(str(disk), str(kept))
    check_full(kept / "full.pcapng", output, "No space left on device")


def run_python(script: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


NO_ROOM = """
import os, resource, sys
sys.path.insert(0, sys.argv[2])
from netlab.capture.recording import LiveRecording
from netlab.model.errors import BadRecording
from sample_recordings import DESCRIPTION, LO
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    LiveRecording.create(sys.argv[1], description=DESCRIPTION, interfaces=[LO])
except BadRecording as error:
    print(error)
"""


def test_a_recording_that_has_no_room_to_begin_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    assert "recording stopped" in run_python(NO_ROOM, path, Path(__file__).parents[2])
    assert os.listdir(tmp_path) == []


def test_the_file_is_the_callers_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    path.write_bytes(b"old")
    path.chmod(0o666)
    write_live(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finish_plainly(path, read_raw(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.root
def test_under_sudo_the_file_belongs_to_the_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_UID", "1000")
    monkeypatch.setenv("SUDO_GID", "1001")
    path = tmp_path / "a.pcapng"
    for _ in range(2):
        write_live(path)
        assert (path.stat().st_uid, path.stat().st_gid) == (1000, 1001)
        finish_plainly(path, read_raw(path))
        assert (path.stat().st_uid, path.stat().st_gid) == (1000, 1001)
    assert make_spool_folder(path).stat().st_uid == 1000


def make_symlink(path: Path) -> None:
    path.symlink_to(path.with_name("target"))


def make_hard_link(path: Path) -> None:
    path.with_name("target").write_bytes(b"precious")
    path.hardlink_to(path.with_name("target"))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (make_symlink, "symbolic link"),
        (make_hard_link, "hard link"),
        (Path.mkdir, "it is a folder"),
        (os.mkfifo, "not a regular file"),
    ],
)
def test_what_is_no_file_of_the_callers_is_refused(tmp_path: Path, make: object, text: str) -> None:
    path = tmp_path / "a.pcapng"
    make(path)  # type: ignore[operator]
    with pytest.raises(UsageError) as caught:
        write_live(path)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
    target = tmp_path / "target"
    assert not target.exists() or target.read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/nowhere/a.pcapng", "folder does not exist"),
        ("/dev/null", "not a regular file"),
        ("/etc/hostname/a.pcapng", "not a folder"),
        ("/tmp/" + "a" * 300, "too long"),
    ],
)
def test_a_place_that_cannot_be_written_is_one_line(path: str, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        write_live(Path(path))
    assert text in str(caught.value)


UNWRITABLE = """
import os, sys
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
from netlab.model.errors import UsageError
from netlab.capture.ownership import open_private
try:
    open_private(sys.argv[1])
except UsageError as error:
    print(error)
"""


def test_a_folder_of_others_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o555)
    # Imported first: the other user may not read where netlab lies.
    script = "from netlab.capture import ownership\n" + UNWRITABLE
    assert "you may not write there" in run_python(script, folder / "a.pcapng")


def test_two_recorders_of_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    recording = LiveRecording.create(path, description=DESCRIPTION, interfaces=[LO])
    script = """
import sys
from netlab.capture.files import recover
from netlab.capture.ownership import open_private
from netlab.model.errors import UsageError
for attempt in open_private, recover:
    try:
        attempt(sys.argv[1])
    except UsageError as error:
        print(error)
"""
    first, second = run_python(script, path).splitlines()
    assert "is being recorded by another netlab" in first
    assert "is still being recorded" in second
    recording.close()
    assert read_raw(path).description.form == "live"


def test_frames_of_two_links_are_not_one_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one link type"):
        LiveRecording.create(
            tmp_path / "a", description=DESCRIPTION, interfaces=[LO, replace(LO, link=101)]
        )


def test_spools_of_a_killed_recording_are_not_mixed_with_new_ones(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    folder = make_spool_folder(path)
    assert folder == spool_folder(str(path)) == tmp_path / "a.pcapng.spools"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert make_spool_folder(path) == folder  # an empty one is in nobody's way
    (folder / "1.spool").write_bytes(b"x")
    with pytest.raises(UsageError, match="netlab recover"):
        make_spool_folder(path)


def block_ends(data: bytes) -> list[int]:
    ends, at = [], 0
    while at < len(data):
        at += unpack_from("<I", data, at + 4)[0]
        ends.append(at)
    return ends


def block_kinds(data: bytes, *, every: bool = False) -> list[str]:
    """Of each whole block: packet, the op of a call, or other."""
    found, at = [], 0
    while at + 8 <= len(data):
        kind, size = unpack_from("<II", data, at)
        if at + size > len(data):
            break
        body = data[at + 8 : at + size - 4]
        if kind == 6:
            found.append("packet")
        elif kind == 9:
            found.append(body.partition(b"NETLAB_OP=")[2].partition(b"\n")[0].decode())
        elif every:
            found.append("other")
        at += size
    return found
