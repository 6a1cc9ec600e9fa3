"""`netlab join` of what tcpdump and strace wrote, each taken by hand, in a network of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from private_network import in_private_network

from netlab.capture.files import read_raw
from netlab.commands import main
from netlab.correlate.ledger import causal_violations, ledger_mismatches
from netlab.correlate.reasons import Reason
from netlab.explain.analysis import analyse
from netlab.model.recording import RawRecording
from netlab.model.tables import Role, Tables, Unmatched

# An ordinary user's namespaces have one user, and tcpdump wants to become another.
pytestmark = pytest.mark.root
PROGRAMS = Path(__file__).with_name("join_talk.py")
MARK = b"netlab test: nothing comes after this"
LIMIT_S = 60
SIZES = (101, 30_011, 101, 200_003)
FORMS = {
    "plain": ["-f"],
    "inodes": ["-f", "-y"],
    "addresses": ["-f", "-yy"],
    "no content": ["-f", "-s", "0"],
    "all content": ["-f", "-s", "65535", "-xx"],
    "a file each": ["-ff"],
}


@contextmanager
def tcpdump(file: Path, *words: str) -> Iterator[None]:
    program = shutil.which("tcpdump", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None
    running = subprocess.Popen(
        # Room for each frame as long as it may be: the default has eight such places.
        [program, "-i", "lo", "-n", "-U", "--immediate-mode", "-Z", "root", "-s", "66000",
         "-B", "32768", *words, "-w", file],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert running.stderr is not None
    for line in running.stderr:
        if "listening on" in line:
            break
    try:
        yield
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(MARK, ("127.0.0.1", 9))
        until = time.monotonic() + LIMIT_S
        while MARK not in file.read_bytes():
            assert time.monotonic() < until, "tcpdump did not write its last packet"
            time.sleep(0.01)
    finally:
        running.terminate()
        running.communicate(timeout=LIMIT_S)


def straced(options: list[str], log: Path, role: str, **more: Any) -> subprocess.Popen[str]:
    words = ["strace", *options, "-ttt", "-T", "-o", str(log), sys.executable, str(PROGRAMS), role]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, **more)


def conversations(folder: Path, options: list[str], *words: str) -> None:
    """All connections of the two programs, each traced."""
    with tcpdump(folder / "cap.pcap", *words):
        server = straced(options, folder / "server.strace", "server")
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        client = straced(options, folder / "client.strace", "client")
        assert client.wait(LIMIT_S) == 0
        assert server.wait(LIMIT_S) == 0
        server.stdout.close()
        assert client.stdout is not None
        client.stdout.close()


def joined(folder: Path, *words: str) -> tuple[RawRecording, Tables]:
    recording = folder / "joined.pcapng"
    assert main.run(["join", str(folder / "cap.pcap"), "-o", str(recording), *words]) == 0
    raw = read_raw(recording)
    assert raw.faults == []
    tables = analyse(raw)
    assert ledger_mismatches(tables) == []
    assert causal_violations(tables) == []
    return raw, tables


def wrong_content(raw: RawRecording, tables: Tables) -> list[str]:
    """Calls of which the log shows other bytes than the frames of their spans hold."""
    frames = {frame.number: frame for frame in raw.frames}
    packets = {packet.frame: packet for packet in tables.packets}
    segments = {segment.frame: segment for segment in tables.segments}
    wrong = []
    for span in tables.spans:
        shown = raw.calls[span.call - 1].data
        if span.role not in (Role.CARRIED, Role.DELIVERED) or not shown or span.frame is None:
            continue
        call = tables.calls[span.call - 1]
        assert None not in (span.start, span.stop, call.start)
        at = (packets[span.frame].payload_off or 0) + span.start - segments[span.frame].start  # type: ignore[operator]
        held = bytes(frames[span.frame].data[at : at + span.stop - span.start])  # type: ignore[operator]
        mine = shown[span.start - call.start : span.stop - call.start]  # type: ignore[operator]
        if held[: len(mine)] != mine:
            wrong.append(f"{call.op} #{call.call}")
    return wrong


def of_tcp(tables: Tables) -> list[Unmatched]:
    """The ledger without the mark that ended the capture."""
    mark = {row.connection for row in tables.connections if row.server_port == 9}
    return [row for row in tables.unmatched if row.connection not in mark]


def moved(tables: Tables) -> dict[tuple[int | None, str | None, str | None], int]:
    found: dict[tuple[int | None, str | None, str | None], int] = {}
    for call in tables.calls:
        if call.start is not None and call.stop is not None and call.direction is not None:
            key = call.connection, str(call.side), str(call.direction)
            found[key] = found.get(key, 0) + call.stop - call.start
    return found


@pytest.mark.parametrize("form", FORMS)
def test_every_byte_of_every_form_of_log_finds_its_frames(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    in_private_network(lambda: conversations(tmp_path, FORMS[form]))
    logs = ["--strace", str(tmp_path / "server.strace"), str(tmp_path / "client.strace")]
    raw, tables = joined(tmp_path, *logs)
    said = capsys.readouterr()
    assert "8 by " in said.out  # sockets: two for each connection
    assert "agree with the frames' as they are" in said.out
    expected = {}
    for number, size in enumerate(SIZES):
        for side in ("client", "server"):
            expected[number, side, "c>s"] = len(b"please")
            expected[number, side, "s>c"] = size
    assert moved(tables) == expected
    assert of_tcp(tables) == []
    assert wrong_content(raw, tables) == []
    assert {call.actor for call in tables.calls} == {"server", "client"}


def test_the_recording_of_one_end_says_that_the_other_was_not_watched(tmp_path: Path) -> None:
    in_private_network(lambda: conversations(tmp_path, ["-f"], "--time-stamp-precision=nano"))
    raw, tables = joined(
        tmp_path, "--strace", str(tmp_path / "server.strace"), "--actor", "an old server"
    )
    assert {row.reason for row in of_tcp(tables)} == {"no call witness"}
    assert {call.actor for call in raw.calls} == {"an old server"}
    assert {call.side for call in tables.calls if call.connection is not None} == {"server"}
    sent = sum(row.bytes for row in of_tcp(tables) if row.what.startswith("carried but not s"))
    assert sent == len(SIZES) * len(b"please")
    comments = subprocess.run(
        ["tshark", "-r", tmp_path / "joined.pcapng", "-Y", "frame.comment", "-T", "fields",
         "-e", "frame.comment"], capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "an old server" in comments


@pytest.mark.parametrize("form", ["content", "no content", "no addresses"])
def test_a_program_that_was_attached_to_in_mid_connection(form: str, tmp_path: Path) -> None:
    """By what was said the calls find their place; without that it stays unknown."""
    options = {
        "content": ["-s", "64", "-yy"],
        "no content": ["-s", "0", "-yy"],
        "no addresses": ["-s", "64"],
    }[form]

    def attach() -> None:
        with tcpdump(tmp_path / "cap.pcap"):
            program = subprocess.Popen(
                [sys.executable, PROGRAMS, "both"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                text=True,
            )  # fmt: skip
            assert program.stdin is not None
            assert program.stdout is not None
            assert program.stdout.readline() == "half\n"
            strace = subprocess.Popen(
                ["strace", "-f", "-ttt", "-T", *options, "-o", str(tmp_path / "log.strace"),
                 "-p", str(program.pid)], stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            assert strace.stderr is not None
            assert "attached" in strace.stderr.readline()
            print(file=program.stdin, flush=True)
            assert program.stdout.readline() == "said\n"
            program.communicate("\n", timeout=LIMIT_S)
            strace.communicate(timeout=LIMIT_S)
            assert (program.returncode, strace.returncode) == (0, 0)

    in_private_network(attach)
    raw, tables = joined(tmp_path, "--strace", str(tmp_path / "log.strace"))
    before = len(b"said before anybody looked on: " * 10)
    found = {
        (str(call.side), str(call.direction)): (call.start, call.stop)
        for call in tables.calls
        if call.start is not None
    }
    reasons = {row.reason for row in tables.unmatched if row.call is not None}
    if form == "no addresses":  # they might as well be those of a proxy's backend
        assert (found, reasons) == ({}, {Reason.UNNAMED})
        return
    if form == "no content":
        assert (found, reasons) == ({}, {Reason.PROBE_LATE})
        return
    sent = {("client", "c>s"): (before, before + 30), ("server", "s>c"): (0, 24)}
    read = {("server", "c>s"): (5, before + 30), ("client", "s>c"): (0, 24)}
    assert found == {**sent, **read}
    assert wrong_content(raw, tables) == []
