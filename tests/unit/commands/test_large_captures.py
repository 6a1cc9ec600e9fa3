"""`inspect` and `query` of large captures say what they say of small ones, from bounded memory."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from collections import Counter
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from limited_memory import cgroup
from scapy.layers import inet, l2

from netlab.capture.files import read_raw
from netlab.commands.main import run
from netlab.engine.records import Unfit
from netlab.engine.whole import read
from netlab.explain.analysis import analyse
from netlab.model.errors import BadRecording
from netlab.model.tables import Tables

LIMIT_BYTES = 192 << 20
SECONDS, FRAMES_A_SECOND, FRAME_BYTES = 53, 2_003, 3_011
_VERDICT = re.compile(r" \[[a-zA-Z -]+\]")


@pytest.fixture(scope="module")
def samples(captures_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The sample captures that the engine reads, uncompressed."""
    from netlab.engine.plain import Plain

    folder, found = tmp_path_factory.mktemp("samples"), []
    for path in sorted((captures_dir / "files").iterdir()):
        source = path
        if path.suffix == ".gz":
            source = folder / path.stem
            source.write_bytes(gzip.decompress(path.read_bytes()))
        try:
            read(str(source), Plain(), keep=False)
        except (Unfit, BadRecording):
            continue
        found.append(source)
    assert len(found) > 50
    return found


class Both:
    """Asks the same of the general path and of the way for large captures."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *argv: str) -> tuple[Any, Any]:
        return self.one("", *argv), self.one("plain", *argv)

    def one(self, engine: str, *argv: str) -> Any:
        self._monkeypatch.setenv("NETLAB_ENGINE", engine)
        code = run(list(argv))
        said = self._capsys.readouterr()
        if code:
            return code, said.err
        if "jsonl" in argv:
            return [json.loads(line) for line in said.out.splitlines()]
        return json.loads(said.out)


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Both:
    return Both(monkeypatch, capsys)


def without_verdicts(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Lines of packets without the words that netlab and tshark choose differently."""
    return [
        {name: _VERDICT.sub("", value) if name == "info" else value for name, value in row.items()
         if name != "shorter"}
        for row in rows
    ]  # fmt: skip


def without_numbers(view: Any) -> Any:
    """A view without the numbers of messages, which count all of a capture."""
    if isinstance(view, dict):
        return {name: without_numbers(value) for name, value in view.items() if name != "message"}
    return [without_numbers(one) for one in view] if isinstance(view, list) else view


def test_the_list_of_packets(samples: list[Path], both: Both) -> None:
    lines = 0
    for path in samples:
        small, large = both("inspect", str(path), "--packets", "--json")
        assert without_verdicts(large) == without_verdicts(small), path.name
        lines += len(small)
    assert lines > 6_000


def test_packets_of_a_condition(samples: list[Path], both: Both) -> None:
    """Conditions on verdicts, connections and both, each capture asked one of them in turn."""
    conditions = cycle((
        "retransmission or sport = 53", "conn_protocol = 'udp' and frame > 7",
        "seg_len > 100 and conn_server_port = 80",
    ))  # fmt: skip
    found = dict.fromkeys((0, 1, 2), 0)
    for number, (path, condition) in enumerate(zip(samples, conditions, strict=False)):
        argv = ("inspect", str(path), "--packets", "--json", "--where", condition)
        small, large = both(*argv)
        assert without_verdicts(large) == without_verdicts(small), path.name
        found[number % 3] += len(small)
    assert min(found.values()) > 0, found


def test_single_packets_and_connections(samples: list[Path], both: Both) -> None:
    """Of each capture two packets, one of them the last, and two connections."""
    for path in samples:
        tables: Tables = analyse(read_raw(path))
        frames = [packet.frame for packet in tables.packets]
        for frame in {frames[at * (len(frames) - 1) // 3] for at in (1, 3)} if frames else ():
            small, large = both("inspect", str(path), "--packet", str(frame), "--json")
            assert without_numbers(large) == without_numbers(small), (path.name, frame)
        count = len(tables.connections)
        for number in {0, count // 2} if count else ():
            row = tables.connections[number]
            name = str(number) if row.stream is None else f"{row.protocol}.{row.stream}"
            small, large = both("inspect", str(path), "--connection", name, "--json")
            assert large == small, (path.name, name)
            said = ("inspect", str(path), "--messages", "-c", str(number), "--json")
            small, large = both(*said)
            assert without_numbers(large) == without_numbers(small), (path.name, number)
            assert all(one["message"] is None for one in large)
            stream = ("inspect", str(path), "-c", str(number), "--stream", "both", "--json")
            small, large = both(*stream)
            assert large == small, (path.name, number)


@pytest.mark.parametrize("argv", [("--packet", "100000"), ("-c", "99999"), ("-c", "udp.99999")])
def test_what_is_not_there(argv: tuple[str, str], samples: list[Path], both: Both) -> None:
    for path in samples:
        small, large = both("inspect", str(path), *argv)
        assert large == small
        assert small[0] == 2


@pytest.mark.parametrize(
    "sql",
    [
        "select dport, count(*) as n, sum(payload_len_bytes) as b from frames"
        " where conn_protocol = 'tcp' group by dport order by dport",
        "select frame, src, seq, bytes_in_flight, conn_server_port from frames where seq > 9"
        " order by frame",
        "select protocol, count(*) as n from connections group by protocol order by protocol",
        "select count(*) as n from segments where retransmission",
        "select frame, verdict from segments where verdict is not null order by frame",
    ],
)
def test_queries(sql: str, samples: list[Path], both: Both) -> None:
    for path in samples[::3]:
        small, large = both("query", str(path), sql, "--format", "jsonl")
        assert large == small, path.name


def test_a_length_that_is_a_lie_takes_no_memory(both: Both, tmp_path: Path) -> None:
    path = tmp_path / "lie.pcap"
    ip = struct.pack(">BBHHHBBHII", 0x45, 0, 40, 7, 0, 64, 6, 0, 1, 2)
    syn = struct.pack(">HHIIHHHH", 1_009, 80, 1, 0, 0x5002, 500, 0, 0)
    frame = bytes(12) + b"\x08\0" + ip + syn
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 1)
    path.write_bytes(head + struct.pack("<IIII", 1, 1, len(frame), 0xFFFF_FFFF) + frame)
    for argv in (("--packet", "1"), ("--connection", "0"), ("--packets",)):
        small, large = both("inspect", str(path), *argv, "--json")
        assert large == small


@pytest.fixture(scope="module")
def large_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Connections of a thousand large packets, one after the other."""
    path = tmp_path_factory.mktemp("large") / "large.pcap"
    payload = bytes(FRAME_BYTES - 54)
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for number in range(SECONDS * FRAMES_A_SECOND):
            client = 10_000 + number // 1_009
            ip = struct.pack(
                ">BBHHHBBHII", 0x45, 0, FRAME_BYTES - 14, number & 0xFFFF, 0, 64, 6, 0, 1, 2
            )
            seq = 1 + number % 1_009 * len(payload)
            tcp = struct.pack(">HHIIHHHH", client, 80, seq, 1, 0x5018, 500, 0, 0)
            when, part = divmod(number, FRAMES_A_SECOND)
            head = struct.pack("<IIII", when, part, FRAME_BYTES, FRAME_BYTES)
            file.write(head + bytes(12) + b"\x08\0" + ip + tcp + payload)
    return path


def limited(*argv: str, stdin: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`netlab` in a process that has two thirds of the file's size."""
    command = [sys.executable, "-m", "netlab", *argv]
    with cgroup(LIMIT_BYTES) as begin, open(stdin or os.devnull, "rb") as given:
        return subprocess.run(
            [*begin, *command], stdin=given, capture_output=True, text=True, timeout=300
        )


VIEWS: tuple[tuple[str, ...], ...] = (
    ("inspect", "--json"),
    ("inspect", "--connections"),
    ("inspect", "--packets"),
    ("inspect", "--packets", "--where", "seg_len > 100"),
    ("inspect", "--packet", "7"),
    ("inspect", "-c", "0"),
    ("inspect", "-c", "0", "--stream", "both"),
    ("query", "select frame, seq from frames order by frame", "--format", "jsonl"),
    ("export", "--table", "packets"),
)


@pytest.mark.parametrize("argv", VIEWS, ids=" ".join)
@pytest.mark.parametrize("way", ["gzip", "standard input"])
def test_what_is_spilt_is_said_like_a_plain_large_file(
    way: str, argv: tuple[str, ...], samples: list[Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("netlab.capture.sources.HELD_BYTES", 1_009)
    monkeypatch.setenv("NETLAB_ENGINE", "plain")
    folder = tmp_path / "spill"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    source = next(path for path in samples if path.name == "four_ipv6_http_streams.pcap")
    compressed = tmp_path / "large.gz"
    compressed.write_bytes(gzip.compress(source.read_bytes()))
    ways: list[object] = []

    def counted(*given: Any, **named: Any) -> Any:
        ways.append(given)
        return read(*given, **named)

    monkeypatch.setattr("netlab.engine.whole.read", counted)
    answers = []
    for name in (str(source), str(compressed) if way == "gzip" else "-"):
        with source.open("rb") as file:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(file)))
            assert run([argv[0], name, *argv[1:]]) == 0
        said = capfd.readouterr()
        called = "standard input" if name == "-" else name
        answers.append((said.out.replace(called, "FILE"), said.err.replace(called, "FILE")))
        assert "/proc/" not in said.out + said.err
    assert answers[0] == answers[1]
    assert len(ways) == 2
    assert list(folder.iterdir()) == []


def test_a_compressed_large_file_that_is_cut_short(
    samples: list[Path], tmp_path: Path, both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netlab.capture.sources.HELD_BYTES", 1_009)
    source = next(path for path in samples if path.name == "four_ipv6_http_streams.pcap")
    path = tmp_path / "cut.pcap.gz"
    data = gzip.compress(source.read_bytes())
    path.write_bytes(data[: len(data) // 2])
    small, large = both("inspect", str(path), "--json")
    for name in small.keys() - {"notes", "protocols"}:  # the engine looks at no application
        assert large[name] == small[name], name
    assert "the gzip data is cut short" in large["faults"][0]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["gzip", "gzip on standard input", "standard input"])
def test_what_unpacks_to_more_than_memory(way: str, large_file: Path, tmp_path: Path) -> None:
    count = SECONDS * FRAMES_A_SECOND
    name, given = "-", large_file
    if "gzip" in way:
        given = tmp_path / "large.pcap.gz"
        with large_file.open("rb") as file, gzip.open(given, "wb", 1) as out:
            shutil.copyfileobj(file, out, 1 << 20)
    if way == "gzip":
        name, given = str(given), Path(os.devnull)
    done = limited("inspect", name, "--packet", str(count), "--json", stdin=given)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["connection"] == (count - 1) // 1_009
    done = limited("inspect", name, "--connection", "tcp.7", "--json", stdin=given)
    assert done.returncode == 0, done.stderr
    drawn = [row["wire"]["frame"] for row in json.loads(done.stdout)["rows"] if row["wire"]]
    assert drawn == list(range(7 * 1_009 + 1, 8 * 1_009 + 1))
    sql = "select count(*) as n from packets where dport = 80"
    done = limited("query", name, sql, "--format", "csv", stdin=given)
    assert done.stdout == f"n\n{count}\n", done.stderr


@pytest.mark.slow
def test_a_file_larger_than_memory(large_file: Path) -> None:
    count, path = SECONDS * FRAMES_A_SECOND, str(large_file)
    assert large_file.stat().st_size > 1.5 * LIMIT_BYTES
    done = limited("inspect", path, "--packet", str(count), "--json")
    assert done.returncode == 0, done.stderr
    view = json.loads(done.stdout)
    assert view["frame"] == count
    assert view["connection"] == (count - 1) // 1_009
    done = limited("inspect", path, "--connection", "tcp.7", "--json")
    assert done.returncode == 0, done.stderr
    drawn = [row["wire"]["frame"] for row in json.loads(done.stdout)["rows"] if row["wire"]]
    assert drawn == list(range(7 * 1_009 + 1, 8 * 1_009 + 1))
    condition = f"frame > {count - 5} or (connection = 3 and seq = 1)"
    done = limited("inspect", path, "--packets", "--where", condition, "--json")
    assert done.returncode == 0, done.stderr
    frames = [row["frame"] for row in json.loads(done.stdout)]
    assert frames == [3 * 1_009 + 1, *range(count - 4, count + 1)]
    condition = "payload_len_bytes > 0 and verdict is null"  # the first of a sender without a SYN
    done = limited("inspect", path, "--packets", "--where", condition, "--json")
    assert done.returncode == 0, done.stderr
    frames = [row["frame"] for row in json.loads(done.stdout)]
    assert frames == list(range(1, count + 1, 1_009))
    done = limited("inspect", path, "--packets")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1 + count
    done = limited("query", path, "select count(*) as n from packets where dport = 80",
                   "--format", "csv")  # fmt: skip
    assert done.stdout == f"n\n{count}\n", done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "argv",
    [
        ("query", "select * from frames"),
        ("query", "select connection, rto_frames from connections"),
        ("inspect", "--messages"),
        ("inspect", "--packets", "--where", "conn_rto_frames > 0"),
    ],
)
def test_what_needs_all_of_it_is_refused_in_a_line(argv: tuple[str, ...], large_file: Path) -> None:
    done = limited(argv[0], str(large_file), *argv[1:])
    assert done.returncode == 1
    assert not done.stdout
    last = done.stderr.splitlines()[-1]
    assert last.startswith("netlab: ")
    assert "memory" in last
    assert "Traceback" not in done.stderr


_ONCE = {"refused", "unanswered", "reset", "lost_segment", "ack_lost_segment", "zero_window",
         "window_full", "reused_ports"}  # fmt: skip


def test_a_trouble_has_one_meaning_and_one_number(samples: list[Path], both: Both) -> None:
    """What was resent is netlab's word, after a look at each segment; what tshark calls
    retransmissions has both ways the same number, and is left out where the first is the same."""
    told = Counter[str]()
    for path in samples:
        small, large = both("inspect", str(path), "--json")
        here, there = ({t["kind"]: t for t in one["troubles"]} for one in (small, large))
        assert "resent" not in there
        tsharks = here.get("retransmission") or here.get("resent")
        theirs = there.get("retransmission")
        assert (tsharks and tsharks["count"]) == (theirs and theirs["count"]), path.name
        told["netlab counts others"] += "retransmission" in here and "resent" in here
        told["the same"] += "retransmission" not in here and "resent" in here
        for kind in _ONCE & (here.keys() | there.keys()):
            assert here[kind]["text"] == there[kind]["text"], path.name
            told[kind] += 1
        for one, other in zip(small["connections"], large["connections"], strict=True):
            assert one["retransmissions"] == other["retransmissions"], path.name
            assert other["resent_frames"] in (None, one["resent_frames"])
            told["resent not known"] += other["resent_frames"] is None
    assert told["netlab counts others"] >= 4
    assert told["the same"] >= 4
    assert 4 <= told["resent not known"] < len(samples)
    assert told.keys() >= {"unanswered", "reset", "lost_segment", "zero_window"}


@pytest.mark.parametrize(("times", "text"), [
    (1, "1 connection refused: a reset answered the SYN"),
    (2, "2 connections refused: a reset answered the SYN"),
])  # fmt: skip
def test_one_is_no_plural(times: int, text: str, both: Both, tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 1))
        for port in range(4_001, 4_001 + times):
            syn = inet.TCP(sport=port, dport=80, flags="S", seq=7)
            refusal = inet.TCP(sport=80, dport=port, flags="RA", ack=8)
            ends = ("10.0.0.1", "10.0.0.2")
            for segment, (src, dst) in ((syn, ends), (refusal, ends[::-1])):
                frame = bytes(l2.Ether(type=0x0800) / inet.IP(src=src, dst=dst) / segment)
                file.write(struct.pack("<IIII", port, 0, len(frame), len(frame)) + frame)
    for found in both("inspect", str(path), "--json"):
        assert [(one["count"], one["text"]) for one in found["troubles"]] == [(times, text)]
