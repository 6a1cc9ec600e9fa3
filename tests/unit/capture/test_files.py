"""Reading: Wireshark's numbers on captures by others, hostile bytes, old files; and recover."""

from __future__ import annotations

import csv
import gc
import gzip
import io
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sample_recordings import DESCRIPTION, LO, call, calls, conversation, raw_recording

from netlab.capture.files import read_raw, recover
from netlab.capture.recording import LiveRecording, finish, make_spool_folder, plain
from netlab.model.call import CallRecord
from netlab.model.errors import BadRecording
from netlab.model.recording import Loss, RawRecording

GOLDEN = Path(__file__).parents[2] / "golden"

# Not pcap and pcapng, or damaged from the first block on: refused.
REFUSED = {
    "solaris.snoop": "snoop",
    "shb-option-too-long.pcapng": "do not agree",
}
# tshark 4.0 computes the nanoseconds of this one's impossible microseconds in 32 bits.
WRAPPED = "clusterfuzz-testcase-FuzzTarget-5188876846235648.bin"


def test_frames_are_those_of_tshark_on_every_sample(captures_dir: Path) -> None:
    names = sorted(path.name for path in (captures_dir / "files").iterdir())
    assert len(names) > 50
    refused = {}
    for name in names:
        try:
            raw = read_raw(captures_dir / "files" / name)
        except BadRecording as error:
            refused[name] = str(error)
            continue
        table = captures_dir / "expected" / f"{name}.frames.tsv"
        with table.open(newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
        # A frame without a link type is no packet: tshark's way to list a custom block.
        packets = [row for row in rows if row["frame.encap_type"]]
        assert [frame.number for frame in raw.frames] == [
            int(row["frame.number"]) for row in packets
        ], name
        for frame, row in zip(raw.frames, packets, strict=True):
            assert len(frame.data) == int(row["frame.cap_len"]), (name, frame.number)
            assert frame.origlen_bytes == int(row["frame.len"]), (name, frame.number)
            if row["frame.time_epoch"] and name != WRAPPED:
                seconds, fraction = row["frame.time_epoch"].split(".")
                assert frame.time_ns == int(seconds) * 10**9 + int(fraction), (name, frame.number)
        status = (captures_dir / "expected" / f"{name}.status").read_text()
        assert bool(raw.faults) == (not status.startswith("rc=0")), name
    assert refused.keys() == REFUSED.keys()
    assert all(text in refused[name] for name, text in REFUSED.items())


def test_the_time_that_tshark_wraps_is_read_as_the_file_says(captures_dir: Path) -> None:
    (frame,) = read_raw(captures_dir / "files" / WRAPPED).frames
    assert frame.time_ns == 3_556_769_792 * 10**9 + 44_151_491_000
    assert 44_151_491_000 % 2**32 == 1_201_818_040  # tshark's


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "is empty"),
        (b"\0", "not a pcap or pcapng file"),
        (b"GIF89a" + bytes(99), "not a pcap or pcapng file"),
        (gzip.compress(b"x" * 99, mtime=0), "not a pcap or pcapng file"),
        (gzip.compress(b"x" * 99, mtime=0)[:-9], "cut short"),
        (b"\n\r\r\n\x1c\0\0\0", "cut short"),
        (b"\n\r\r\n\x1c\0\0\0endian??" + bytes(12), "no byte order"),
        (b"\xd4\xc3\xb2\xa1\x02\0\x04\0", "cut short in its first header"),
    ],
)
def test_what_is_no_capture_is_refused_in_one_line(tmp_path: Path, data: bytes, text: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(data)
    with pytest.raises(BadRecording) as caught:
        read_raw(path)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("path", ["/nowhere/at/all", "/", "a\0b"])
def test_what_cannot_be_read_is_refused_in_one_line(path: str) -> None:
    with pytest.raises(BadRecording, match="cannot read"):
        read_raw(path)


def test_standard_input_is_a_file_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_sample(tmp_path / "a.pcapng")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))
    assert read_raw("-").calls == read_raw(path).calls


def write_sample(path: Path, journal_limit: int = 3) -> Path:
    finish(
        path, raw_recording(), frame_comments={1: ["x"]}, call_messages={}, threads={1: (1, 2)},
        journal_limit=journal_limit,
    )  # fmt: skip
    return path


SAMPLES: dict[str, bytes] = {}


def sample(name: str, folder: Path) -> bytes:
    if not SAMPLES:
        SAMPLES["recording"] = write_sample(folder / "a.pcapng").read_bytes()
        out = io.BytesIO()
        plain(raw_recording(), out)
        SAMPLES["plain"] = out.getvalue()
        SAMPLES["pcap"] = (
            bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000")
            + bytes.fromhex("01000000020000000400000004000000") * 3
        )
    return SAMPLES[name]


@st.composite
def edits(draw: st.DrawFn) -> list[tuple[str, float, bytes]]:
    """Changes to a file: bytes put over others, in between, or cut out; places as shares of it."""
    return draw(
        st.lists(
            st.tuples(
                st.sampled_from(["over", "between", "cut", "end"]),
                st.floats(0, 1),
                st.binary(min_size=1, max_size=12)
                | st.sampled_from([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\n\r\r\n", b"\xff\xff"]),
            ),
            min_size=1,
            max_size=6,
        )
    )


@settings(max_examples=400)
@given(st.sampled_from(["recording", "plain", "pcap"]), edits())
@example("recording", [("over", 0.999, b"\xff")])
def test_mutated_files_give_a_recording_with_faults_or_are_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, changes: list[tuple[str, float, bytes]]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    data = sample(name, folder)
    for how, share, piece in changes:
        at = int(share * len(data))
        if how == "end":
            data = data[:at]
        else:
            keep = at if how == "between" else at + len(piece)
            data = data[:at] + (b"" if how == "cut" else piece) + data[keep:]
    path = folder / "mutated"
    path.write_bytes(data)
    try:
        raw = read_raw(path)
    except BadRecording as error:
        assert "\n" not in str(error)  # noqa: PT017
        return
    check_sound(raw, len(data))


@settings(max_examples=200)
@given(st.sampled_from([b"", b"\n\r\r\n", b"\xd4\xc3\xb2\xa1\x02\0"]), st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, magic: bytes, rest: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(magic + rest)
    try:
        raw = read_raw(path)
    except BadRecording:
        return
    check_sound(raw, len(magic + rest))


def check_sound(raw: RawRecording, size: int) -> None:
    """What every stage after may rely on, whatever was in the file."""
    numbers = [frame.number for frame in raw.frames]
    assert numbers == sorted(set(numbers))
    assert all(0 <= frame.interface < len(raw.interfaces) for frame in raw.frames)
    assert all(-(2**63) <= frame.time_ns < 2**63 for frame in raw.frames)
    assert sum(len(frame.data) for frame in raw.frames) <= size
    assert all("\n" not in fault for fault in raw.faults)
    assert raw.calls == sorted(
        raw.calls, key=lambda c: (c.entered_ns, c.host, c.pid, c.tid, c.order)
    )


def test_a_small_file_cannot_make_a_large_memory(tmp_path: Path) -> None:
    import tracemalloc

    lies = b"\xff\xff\xff\x7f"
    data = sample("recording", tmp_path)
    path = tmp_path / "lies"
    tracemalloc.start()
    try:
        for at in range(0, len(data) - 4, 4):
            path.write_bytes(data[:at] + lies + data[at + 4 :])
            try:
                read_raw(path)
            except BadRecording:
                if at % 512 == 0:
                    gc.collect()  # tracebacks hold what was read until then
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30 * len(data) + 200_000


def test_damaged_calls_and_blocks_are_faults_and_cost_nothing_else(tmp_path: Path) -> None:
    path = write_sample(tmp_path / "a.pcapng")
    data = path.read_bytes().replace(b"NETLAB_PID=4711", b"NETLAB_PID=47x1", 1)
    data = data.replace(b'{"netlab_version"', b'["netlab_version"', 1)
    path.write_bytes(data)
    raw = read_raw(path)
    assert len(raw.calls) == len(calls()) - 1
    assert len(raw.frames) == len(conversation())
    assert len(raw.faults) == 2
    assert "the call in frame 1 cannot be read" in raw.faults[1]


def test_a_description_nested_without_end_is_a_fault(tmp_path: Path) -> None:
    from netlab.capture import local

    with pytest.raises(ValueError, match="nested"):
        local.parse_description(b"[" * 200_000)


def test_a_recording_of_a_later_version_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = write_sample(tmp_path / "a.pcapng")
    path.write_bytes(path.read_bytes().replace(b"recording, version 1,", b"recording, version 2,"))
    with pytest.raises(BadRecording, match=r"version 2.*newer"):
        read_raw(path)


def test_the_old_file_of_version_1_reads_as_it_did(request: pytest.FixtureRequest) -> None:
    path = GOLDEN / "recording_v1.pcapng"
    if request.config.getoption("--update-golden"):
        finish(
            path, raw_recording(), frame_comments={4: ["client send #3"]}, call_messages={},
            threads={4: (4711, 4711)}, journal_limit=4,
        )  # fmt: skip
        path.chmod(0o644)
    raw = read_raw(path)
    wanted = raw_recording()
    assert raw.calls == wanted.calls
    assert [bytes(frame.data) for frame in raw.frames] == [frame.data for frame in wanted.frames]
    assert [frame.number for frame in raw.frames] == [2, 3, 4, 6, 7, 10, 11, 12]
    assert raw.interfaces == wanted.interfaces
    assert (raw.losses, raw.inheritances) == (wanted.losses, wanted.inheritances)
    assert raw.clock_pairs == wanted.clock_pairs
    assert raw.description == replace(DESCRIPTION, form="finished", file_version=1)
    assert not raw.faults


class FakeSpools:
    """Stands for what a dead process's spools hold: calls that returned, and one still inside."""

    returned: tuple[CallRecord, ...] = ()
    inside: tuple[CallRecord, ...] = ()

    def __init__(self, folder: Path) -> None:
        assert folder.is_dir()
        self.inheritances = list(raw_recording().inheritances)
        self.losses: list[Loss] = []
        self.stamps = list(raw_recording().stamps)

    def poll(self) -> list[CallRecord]:
        return list(self.returned)

    def finish(self) -> list[CallRecord]:
        return list(self.inside)


@pytest.fixture
def spools(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def hold(path: Path, returned: list[CallRecord], inside: list[CallRecord]) -> None:
        (make_spool_folder(path) / "1.spool").write_bytes(b"")
        fake = type("Held", (FakeSpools,), {"returned": returned, "inside": inside})
        monkeypatch.setattr("netlab.capture.probe.spool.SpoolReader", fake)

    return hold


def write_live(path: Path, records: list[CallRecord]) -> None:
    recording = LiveRecording.create(path, description=DESCRIPTION, interfaces=[LO])
    recording.frames(0, conversation())
    recording.calls(records)
    recording.inheritances(raw_recording().inheritances)
    recording.stamps(raw_recording().stamps[:2])
    recording.samples(raw_recording().samples)
    recording.close()


def test_recover_merges_file_and_spools_and_takes_no_call_twice(
    tmp_path: Path, spools: Callable[..., None]
) -> None:
    path = tmp_path / "a.pcapng"
    write_live(path, calls()[:3])
    path.write_bytes(path.read_bytes() + b"\x06\0\0\0torn")
    inside = call("recv", 40_000, None, 9)
    spools(path, calls(), [inside])
    raw = recover(path)
    assert raw.calls == [*calls(), inside]
    assert len(raw.frames) == len(conversation())
    assert raw.inheritances == raw_recording().inheritances
    assert raw.stamps == raw_recording().stamps
    assert raw.samples == raw_recording().samples
    assert "cut short" in raw.faults[0]
    assert "calls that stood in the spools alone: 3" in raw.description.notes[-1]


def test_recover_keeps_what_only_the_file_holds(
    tmp_path: Path, spools: Callable[..., None]
) -> None:
    path = tmp_path / "a.pcapng"
    write_live(path, calls())
    spools(path, calls()[1:2], [])
    assert recover(path).calls == calls()


def test_recover_knows_a_call_that_has_returned_since(
    tmp_path: Path, spools: Callable[..., None]
) -> None:
    path = tmp_path / "a.pcapng"
    raw = raw_recording()
    raw.calls[0] = replace(raw.calls[0], returned_ns=None, result=None)
    finish(path, raw, frame_comments={}, call_messages={}, threads={})
    spools(path, calls(), [])
    assert recover(path).calls == calls()


@pytest.mark.parametrize("left", ["no file", "an empty file"])
def test_recover_makes_do_with_the_spools(
    tmp_path: Path, spools: Callable[..., None], left: str
) -> None:
    path = tmp_path / "a.pcapng"
    spools(path, calls(), [])
    if left == "an empty file":
        path.write_bytes(b"")
    raw = recover(path)
    assert raw.calls == calls()
    assert not raw.frames
    assert raw.faults


def test_recover_makes_do_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    write_live(path, calls())
    assert recover(path).calls == calls()


@pytest.mark.parametrize("left", ["nothing", "an empty file", "an empty folder"])
def test_recover_says_when_nothing_is_there(tmp_path: Path, left: str) -> None:
    path = tmp_path / "a.pcapng"
    if left == "an empty file":
        path.write_bytes(b"")
    elif left == "an empty folder":
        make_spool_folder(path)
    with pytest.raises(BadRecording, match="nothing to recover"):
        recover(path)


def test_recover_leaves_captures_by_others_alone(tmp_path: Path) -> None:
    path = tmp_path / "plain.pcapng"
    with path.open("wb") as out:
        plain(raw_recording(), out)
    with pytest.raises(BadRecording, match="not recorded by netlab"):
        recover(path)
