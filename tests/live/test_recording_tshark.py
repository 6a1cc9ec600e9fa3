"""What stock tools show of a recording, without any plug-in: tshark, capinfos, tcpdump, editcap."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from sample_recordings import DESCRIPTION, LO, T0_NS, call, calls, conversation, raw_recording

from netlab.capture.files import read_raw
from netlab.capture.recording import LiveRecording, finish, plain
from netlab.model.frame import CHECKSUM_NOT_READY, TCP_SEGMENTATION_OFFLOAD


def run(*command: object) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    complaints = [
        line for line in done.stderr.splitlines()
        if "Running as user" not in line and not line.startswith(("reading from file", "dropped"))
    ]  # fmt: skip
    assert (done.returncode, complaints) == (0, []), done.stderr
    return done.stdout


def rows(path: Path, *fields: str) -> list[list[str]]:
    flags = [part for field in fields for part in ("-e", field)]
    out = run("tshark", "-r", path, "-T", "fields", "-E", "separator=|", *flags)
    return [line.split("|") for line in out.splitlines()]


def write_live(path: Path) -> None:
    recording = LiveRecording.create(path, description=DESCRIPTION, interfaces=[LO])
    raw = raw_recording()
    recording.frames(0, conversation()[:5])
    recording.calls(raw.calls[:3])
    recording.clock(raw.clock_pairs[0])
    recording.inheritances(raw.inheritances)
    recording.loss(raw.losses[0])
    recording.frames(0, conversation()[5:])
    recording.calls(raw.calls[3:])
    recording.statistics(0, 8, 0, T0_NS, T0_NS + 30_000)
    recording.close()


@pytest.fixture(params=["live", "finished", "packed"])
def recording(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"{request.param}.pcapng"
    write_live(path)
    if request.param != "live":
        finish(
            path,
            read_raw(path),
            frame_comments={4: ["client send #3", "a second comment"]},
            call_messages={0: "client connect(5, 127.0.0.1:7) = 0, handshake in frames 2 3 4"},
            threads={4: (4711, 4711)},
            journal_limit=2 if request.param == "packed" else 100_000,
        )
    return path


def test_tshark_lists_calls_between_packets_in_the_order_of_time(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    write_live(path)
    finish(
        path, read_raw(path), frame_comments={}, call_messages={0: "connect, glossed"}, threads={}
    )  # fmt: skip
    found = rows(path, "frame.time_epoch", "_ws.col.Protocol", "_ws.col.Info")
    assert [(protocol, info.split(" [")[0].split(" → ")[0]) for _, protocol, info in found] == [
        ("systemd Journal", "connect, glossed"),
        ("TCP", "40000"), ("TCP", "7"), ("TCP", "40000"),
        ("systemd Journal", "send(5, 101, MSG_NOSIGNAL) = 101"),
        ("ECHO", "Request"), ("TCP", "7"),
        ("systemd Journal", "recv(6, 4096) = 101"),
        ("systemd Journal", "close(5) = 0"),
        ("TCP", "40000"), ("TCP", "7"), ("TCP", "40000"),
        ("systemd Journal", "recv(6, 4096) = 0"),
    ]  # fmt: skip
    times = [int(time.replace(".", "")) for time, _, _ in found]
    assert times == sorted(times)


def test_tshark_sees_the_frames_that_netlab_sees(recording: Path) -> None:
    raw = read_raw(recording)
    found = rows(recording, "frame.number", "frame.time_epoch", "frame.cap_len", "tcp.stream")
    packets = [row for row in found if row[3]]
    assert [[str(f.number), f.time_ns, len(f.data)] for f in raw.frames] == [
        [number, int(time.replace(".", "")), int(caplen)] for number, time, caplen, _ in packets
    ]
    assert int(found[-1][0]) == len(found)


def test_tshark_flags_nothing_on_a_clean_connection(recording: Path) -> None:
    flagged = "tcp.analysis.flags or _ws.malformed or _ws.expert.severity >= 0x600000"
    assert run("tshark", "-r", recording, "-Y", flagged) == ""
    bad_sums = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    assert run("tshark", "-r", recording, *bad_sums, "-Y", flagged) == ""
    journal = "systemd_journal and not systemd_journal.message"
    assert run("tshark", "-r", recording, "-Y", journal) == ""


def test_comments_are_shown_and_can_be_filtered(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    finish(
        path, raw_recording(), frame_comments={4: ["bytes 0..101", "reached"]}, call_messages={},
        threads={4: (1, 2)},
    )  # fmt: skip
    assert rows(path, "frame.comment")[5] == ["bytes 0..101,reached"]
    assert len(run("tshark", "-r", path, "-Y", 'frame.comment contains "0..101"').splitlines()) == 1


def test_what_a_call_is_stands_in_fields_that_can_be_filtered(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    raw = raw_recording()
    raw.calls = [call("recv", 0, 1_000, 1, errno="EAGAIN", code="client.py:17")]
    finish(path, raw, frame_comments={}, call_messages={}, threads={})
    names = ("pid", "comm", "errno", "code_file", "code_line", "priority", "hostname")
    fields = [f"systemd_journal.{name}" for name in names]
    assert [row for row in rows(path, *fields) if row[0]] == [
        ["4711", "client", "11", "client.py", "17", "6", "localhost"]
    ]


def test_hostile_text_stays_in_its_field(tmp_path: Path) -> None:
    evil = (
        "x\nMESSAGE=forged\r\nMESSAGE=forged\u2028MESSAGE\n\xff\0__REALTIME_TIMESTAMP=9\\N\x1b[2J"
    )
    path = tmp_path / "a.pcapng"
    raw = raw_recording()
    raw.calls = [call("send", 0, 9, 1, args=evil, actor=evil, code=evil, peer=evil + "\udc80")]
    finish(path, raw, frame_comments={}, call_messages={0: "honest"}, threads={})
    shown = rows(path, "frame.time_epoch", "_ws.col.Info", "systemd_journal.message")
    assert shown[0] == ["1700000000.000000000", "honest", "honest"]
    assert run("tshark", "-r", path, "-Y", "_ws.malformed") == ""
    assert read_raw(path).calls == raw.calls


def test_offload_marks_do_not_change_what_tshark_thinks(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    recording = LiveRecording.create(path, description=DESCRIPTION, interfaces=[LO])
    marks = CHECKSUM_NOT_READY | TCP_SEGMENTATION_OFFLOAD
    recording.frames(0, [(t, data, size, flags | marks) for t, data, size, flags in conversation()])
    recording.close()
    assert len(rows(path, "frame.packet_flags_direction")) == len(conversation())
    assert {frame.flags for frame in read_raw(path).frames} == {0xA01}


def test_packed_calls_are_one_line_a_second(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    raw = raw_recording()
    finish(path, raw, frame_comments={}, call_messages={}, threads={}, journal_limit=1)
    found = [info for protocol, info in rows(path, "_ws.col.Protocol", "_ws.col.Info")
             if protocol == "systemd Journal"]  # fmt: skip
    assert found == ["connect(5, 127.0.0.1:7) = 0", "netlab: 4 calls in this second, packed"]
    assert read_raw(path).calls == calls()


def test_capinfos_reads_both_forms(recording: Path) -> None:
    report = run("capinfos", recording)
    assert "Capture comment:     netlab recording, version 1, " in report
    assert "Encapsulation = Ethernet" in report
    assert "Time precision = nanoseconds (9)" in report
    assert "Number of stat entries = 1" in report


def test_a_torn_recording_opens_to_its_last_whole_block(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    write_live(path)
    path.write_bytes(path.read_bytes()[:-50])
    done = subprocess.run(
        ["tshark", "-r", path, "-T", "fields", "-e", "frame.number"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "cut short in the middle of a packet" in done.stderr
    last = int(done.stdout.splitlines()[-1])
    raw = read_raw(path)
    assert last == len(raw.frames) + len(raw.calls)


def test_tcpdump_and_editcap_read_the_packets(recording: Path, tmp_path: Path) -> None:
    packets = tmp_path / "plain.pcapng"
    with packets.open("wb") as out:
        plain(read_raw(recording), out)
    for path in (recording, packets):
        lines = run("tcpdump", "-n", "-r", path).splitlines()
        assert len(lines) == len(conversation()), path
        assert "127.0.0.1.40000 > 127.0.0.1.7: Flags [S], seq 1000" in lines[0]
    classic = tmp_path / "plain.pcap"
    run("editcap", "-F", "pcap", packets, classic)
    assert [(f.time_ns // 1000, bytes(f.data)) for f in read_raw(classic).frames] == [
        (at // 1000, data) for at, data, _, _ in conversation()
    ]
    assert rows(packets, "_ws.col.Protocol").count(["systemd Journal"]) == 0
    assert "Number of stat entries = 1" in run("capinfos", packets)
