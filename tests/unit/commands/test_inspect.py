"""`netlab inspect`, `follow` and `export` on whole files, and what a wrong word gets."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from sample_recordings import DESCRIPTION, LO, T0_NS, calls, conversation

from netlab.capture.files import read_raw
from netlab.capture.recording import LiveRecording
from netlab.commands.main import run
from netlab.explain.analysis import analyse
from netlab.lab.finish import finish_recording
from netlab.model.tables import RECORDS
from netlab.show.format import duration
from netlab.show.views.summary import summary


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A finished recording of a small conversation with its calls."""
    path = tmp_path / "echo.pcapng"
    live = LiveRecording.create(path, description=DESCRIPTION, interfaces=[LO])
    live.frames(0, conversation())
    client, server = "127.0.0.1:40000", "127.0.0.1:7"
    for call in calls():
        local, peer = (client, server) if call.actor == "client" else (server, client)
        live.calls(
            [
                replace(
                    call, family="AF_INET", kind="SOCK_STREAM", local=local, peer=peer,
                    inode=call.pid,
                )
            ]
        )  # fmt: skip
    live.statistics(0, 8, 0, T0_NS, T0_NS + 30_000)
    live.close()
    finish_recording(path)
    return path


def output_of(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> str:
    assert run(list(argv)) == code, capsys.readouterr().err
    return capsys.readouterr().out


def complaint(capsys: pytest.CaptureFixture[str], *argv: str, code: int) -> str:
    """The one line on stderr."""
    assert run(list(argv)) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


def test_summary(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = output_of(capsys, "inspect", str(recording))
    assert "8 frames of 533 B, 5 calls" in text
    assert "127.0.0.1:40000 → 127.0.0.1:7" in text
    assert "lo: 8 frames, none lost" in text
    assert "byte ledger  closed: 101 B sent and 101 B received by calls, all matched" in text


def test_ladder(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = output_of(capsys, "inspect", str(recording), "--connection", "tcp.0")
    for word in ("connect(", "SYN Seq=0", "Len=101", "┌ recv(4096)", "0..101", "FIN ACK"):
        assert word in text
    assert max(map(len, text.splitlines())) <= 80


def test_packets_and_one_packet(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(output_of(capsys, "inspect", str(recording), "--packets", "--json"))
    assert len(rows) == 8
    data = next(row for row in rows if "Len=101" in row["info"])
    text = output_of(capsys, "inspect", str(recording), "--packet", str(data["frame"]))
    assert "carried    client send #" in text
    assert "delivered  server recv #" in text
    assert "TCP  bytes 34..54" in text
    assert "[9c 40|00 07|" in text  # the ports, marked
    said = json.loads(
        output_of(capsys, "inspect", str(recording), "-p", str(data["frame"]), "--json")
    )
    assert [layer["name"] for layer in said["layers"]][:3] == ["Ethernet", "IPv4", "TCP"]
    assert bytes.fromhex(said["data"]).endswith(b"x" * 101)


def test_the_list_of_a_recordings_packets_says_how_they_are_numbered(
    recording: Path, captures_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    *_, last = output_of(capsys, "inspect", str(recording), "--packets").splitlines()
    assert last == "Frames are numbered as in Wireshark, which counts calls, too."
    other = str(captures_dir / "files" / "reassembly.pcap")
    assert "Wireshark" not in output_of(capsys, "inspect", other, "--packets")


def test_deep_adds_scapys_view(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(output_of(capsys, "inspect", str(recording), "--packets", "--json"))
    number = str(rows[0]["frame"])
    assert "dport" in output_of(capsys, "inspect", str(recording), "-p", number, "--deep")


def test_start_is_since_the_recordings_first_event(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The lists of `inspect --connections` and of a summary mean the same: here a call is first."""
    raw = read_raw(recording)
    tables = analyse(raw)
    first_ns = tables.packets[0].time_ns
    assert summary(tables, raw, "").start_ns == tables.calls[0].entered_ns < first_ns
    row = output_of(capsys, "inspect", str(recording), "--connections").splitlines()[1]
    assert f"  {duration(first_ns - tables.calls[0].entered_ns)}  " in row


def test_limit(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = output_of(capsys, "inspect", str(recording), "--packets", "--limit", "3")
    assert text.splitlines()[0].split() == [
        "frame",
        "ms",
        "source",
        "→",
        "destination",
        "protocol,",
        "info",
    ]
    assert text.splitlines()[4] == "… 5 more: --limit 0 shows all"
    text = output_of(capsys, "inspect", str(recording), "-c", "0", "--limit", "6")
    assert "rows are left out here: netlab inspect --limit 0 shows all" in text


@pytest.mark.parametrize("view", [[], ["--connections"], ["--packets"], ["-c", "0"]])
def test_every_view_has_json(
    recording: Path, view: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert json.loads(output_of(capsys, "inspect", str(recording), *view, "--json"))


def test_follow(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    byte = ["--connection", "0", "--side", "client", "--byte", "100"]
    text = output_of(capsys, "follow", str(recording), *byte)
    for word in ("written   client send #", "carried   frame", "acked ", "read      server recv #"):
        assert word in text
    assert "unknown" not in text
    said = json.loads(output_of(capsys, "follow", str(recording), *byte, "--json"))
    assert (said["byte"], said["stream_bytes"]) == (100, 101)


@pytest.mark.parametrize("table", RECORDS)
def test_export(recording: Path, table: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = output_of(capsys, "export", str(recording), "--table", table, "--format", "jsonl")
    rows = [json.loads(line) for line in text.splitlines()]
    known = {"calls": 5, "packets": 8, "connections": 1}
    assert known.get(table, len(rows)) == len(rows)
    if table == "waits":
        assert {row["call"] for row in rows} == {1, 2, 3, 4, 5}


def test_export_plain_is_a_capture_without_calls(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "plain.pcapng"
    output_of(capsys, "export", str(recording), "--plain", "-o", str(out))
    found = json.loads(output_of(capsys, "inspect", str(out), "--json"))
    assert (found["frames"], found["calls"], found["source"]) == (8, 0, "capture")


def test_standard_input(captures_dir: Path) -> None:
    data = (captures_dir / "files" / "tcp.pcapng").read_bytes()
    done = subprocess.run(
        [sys.executable, "-m", "netlab", "inspect", "-", "--packets"],
        input=data, capture_output=True, check=True,
    )  # fmt: skip
    frames = [line.split()[0] for line in done.stdout.decode().splitlines() if line[4] != " "]
    assert frames == ["frame", *map(str, range(1, 25))]


def test_a_capture_from_elsewhere(captures_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(captures_dir / "files" / "four_ipv6_http_streams.pcap")
    text = output_of(capsys, "inspect", path, "-c", "tcp.0")
    head = next(line for line in text.splitlines() if line.lstrip().startswith("ms "))
    assert head.split()[1] == "[2001:618:400::5199:cc70]:35995"
    assert "byte ledger" not in output_of(capsys, "inspect", path)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["inspect", "F", "-c", "7"], "no connection 7 in this file: its connections are 0"),
        (["inspect", "F", "-c", "tcp.9"], "no connection tcp.9 in this file"),
        (["inspect", "F", "-c", "udp.0"], "it has no udp streams"),
        (["inspect", "F", "-c", "x\x1b"], "names no connection"),
        (["inspect", "F", "-p", "999"], "no packet has frame number 999: its frames are"),
        (["inspect", "F", "-p", "one"], "--packet"),
        (["inspect", "F", "-p", "1", "-c", "0"], "only one view at a time"),
        (["inspect", "F", "--deep"], "add --packet N"),
        (["inspect", "F", "--limit", "-1"], "--limit"),
        (["follow", "F", "-c", "0", "--side", "client", "-b", "101"], "sent bytes 0..101"),
        (["follow", "F", "-c", "0", "--side", "server", "-b", "0"], "sent no bytes"),
        (["follow", "F", "-c", "0", "--side", "both", "-b", "0"], "--side"),
        (["export", "F", "--table", "unmatched"], "the tables are packets, segments,"),
        (["export", "F", "--table", "calls", "--format", "xml"], "the formats are jsonl, csv,"),
        (["export", "F"], "say --table T, or --plain"),
        (["export", "F", "--plain", "--table", "calls"], "not both"),
        (["export", "F", "--table", "calls", "-o", "F"], "is the file being read"),
    ],
)
def test_a_wrong_word_gets_one_line_and_code_2(
    recording: Path, argv: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = complaint(capsys, *(str(recording) if word == "F" else word for word in argv), code=2)
    assert says in said
    assert "\x1b" not in said


def test_what_is_no_capture_gets_one_line_and_code_4(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("hello, I am not a capture")
    for argv in (
        ["inspect"],
        ["follow", "-c0", "--side=client", "-b0"],
        ["export", "--table=calls"],
    ):
        complaint(capsys, argv[0], str(path), *argv[1:], code=4)
        complaint(capsys, argv[0], str(tmp_path / "missing"), *argv[1:], code=4)


def test_parquet_to_a_terminal_is_refused(
    recording: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdout", Terminal())
    assert run(["export", str(recording), "--table", "calls", "--format", "parquet"]) == 2
    assert "would garble the terminal" in capsys.readouterr().err


HEAVY = {"polars", "numpy", "scapy", "rich", "dpkt", "socket", "asyncio", "subprocess", "pyroute2"}


@pytest.mark.parametrize(
    "argv",
    [
        ["--help"],
        ["inspect", "F"],
        ["inspect", "F", "--connections"],
        ["inspect", "F", "--packets"],
        ["inspect", "F", "-c", "0"],
        ["inspect", "F", "-p", "2"],
        ["follow", "F", "-c", "0", "--side", "client", "-b", "0"],
        ["export", "F", "--table", "calls"],
    ],
)
def test_small_views_import_nothing_heavy(recording: Path, argv: list[str]) -> None:
    words = [str(recording) if word == "F" else word for word in argv]
    program = (
        "import sys\n"
        "from netlab.commands.main import run\n"
        f"code = run({words!r})\n"
        "sys.stderr.write(' '.join({m.partition('.')[0] for m in sys.modules}))\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not HEAVY & set(done.stderr.split())
