"""Programs by others under strace, with a wire between: their calls hold the bytes of their frames.

What every call said, as strace printed it, is compared with the content of the frames in its spans:
none may differ, and what is left over has a reason that this case may have. Each program meets one
rule of the wire here; all programs, rules, and bodies of up to 20 MB are in

    pytest -m slow -s tests/live/test_witness_programs.py

which prints what was compared.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import pytest
from lab_process import NOBODYS_THREAD, ORDINARY_USER, ROOT
from live.content import Compared, compare
from live.witness_cases import CASES, HUGE, LONG, SHORT
from steady_clock import in_steady_time

from netlab.capture.files import read_raw
from netlab.capture.strace.reader import StraceReader
from netlab.correlate.ledger import causal_violations, ledger_mismatches
from netlab.correlate.reasons import Reason
from netlab.explain.analysis import analyse
from netlab.model.call import CallRecord
from netlab.model.recording import RawRecording
from netlab.model.tables import Tables

WITHIN_S = 280
LONGER_S = 900  # what the recorder reads of 20 MB is 300 MB in hexadecimal
WIRES = ("", "loss 2% seed 1", "delay 30ms", "reorder data every 5 by 2", "mtu 900")
ONE_EACH = list(zip(SHORT, cycle(WIRES)))
# iperf3's datagrams are small enough for any link: it gives up where they are not.
SMALL_DATAGRAMS = ("iperf3 udp", "mtu 900")
ALL = [(name, wire) for name in LONG for wire in WIRES if (name, wire) != SMALL_DATAGRAMS]
# Unix sockets by which processes and threads wake each other: the last words are not listened to,
# and several may speak or listen at once.
AMONG_THEMSELVES = {Reason.CLOSED_UNREAD, Reason.SHARED}


@dataclass(frozen=True)
class Row:
    """What came of one case."""

    name: str
    wire: str
    tables: Tables
    compared: Compared

    def __str__(self) -> str:
        left = Counter[str]()
        for row in self.tables.unmatched:
            left[f"{row.what}: {row.reason}"] += row.bytes
        said = "; ".join(f"{count:,} {words}" for words, count in left.items())
        found = self.compared
        return (
            f"{self.name:<15} {self.wire or 'nothing':<26} {len(on_networks(self.tables)):>5} "
            f"{len(self.tables.calls):>7,} {found.calls:>7,} {found.printed_bytes:>12,} "
            f"{found.silent_bytes:>12,} {len(found.different):>9}  {said}"
        )


@pytest.fixture(scope="module")
def table() -> Iterator[list[Row]]:
    rows: list[Row] = []
    yield rows
    print(
        f"\n{'program':<15} {'rules of the wire':<26} {'conns':>5} {'calls':>7} {'moving':>7} "
        f"{'bytes':>12} {'silent bytes':>12} {'different':>9}  left over"
    )
    print(*rows, sep="\n")


def on_networks(tables: Tables) -> set[int]:
    return {c.connection for c in tables.connections if c.protocol in ("tcp", "udp")}


AS_ANYONE = ORDINARY_USER if os.geteuid() == 0 else ()


def run(name: str, wire: str, size: str, folder: Path, before: tuple[str, ...] = AS_ANYONE) -> None:
    """The case in a process of an ordinary user, who leaves its recording and logs in `folder`."""
    worker = ROOT / "tests" / "live" / "witness_worker.py"
    done = subprocess.run(
        [*before, sys.executable, worker, folder, name, wire,
         size],
        env={**os.environ, "PATH": f"{ROOT / '.servers' / 'bin'}:{os.environ['PATH']}",
             "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests")))},
        capture_output=True, text=True, timeout=LONGER_S if size == "huge" else WITHIN_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["settled"], told
    assert told["client"][0] == 0, told
    # Two frames of a hundred: of short ones perhaps none.
    assert all(count for _, count in told["fired"]) or wire.startswith("loss"), told


def row_of(name: str, wire: str, size: str) -> Row:
    with tempfile.TemporaryDirectory(prefix="netlab-") as there:
        return examined(name, wire, size, Path(there))


def examined(
    name: str, wire: str, size: str, folder: Path, before: tuple[str, ...] = AS_ANYONE
) -> Row:
    def record() -> RawRecording:
        for left in folder.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        run(name, wire, size, folder, before)
        return read_raw(folder / "l.pcapng")

    raw = in_steady_time(record)
    logs = sorted(folder.glob("*.strace"))
    losses = [loss for loss in raw.losses if NOBODYS_THREAD not in loss.reason]
    assert (raw.faults, losses) == ([], [])
    tables = analyse(raw)
    found = compare(raw, tables, logs)
    assert found.different == []
    assert ledger_mismatches(tables) == []
    assert causal_violations(tables) == []
    unix = {c.connection for c in tables.connections if c.protocol == "unix"}
    for row in tables.unmatched:
        allowed = AMONG_THEMSELVES if row.connection in unix else CASES[size][name].allowed
        assert row.reason in allowed, row
    return Row(name, wire, tables, found)


@pytest.mark.parametrize(("name", "wire"), ONE_EACH, ids=[f"{n}, {w}" for n, w in ONE_EACH])
def test_calls_hold_the_bytes_of_their_frames(table: list[Row], name: str, wire: str) -> None:
    table.append(row_of(name, wire, "short"))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "wire"), ALL, ids=[f"{n}, {w}" for n, w in ALL])
def test_all_rules_of_the_wire(table: list[Row], name: str, wire: str) -> None:
    table.append(row_of(name, wire, "long"))


@pytest.mark.slow
@pytest.mark.timeout(LONGER_S)
@pytest.mark.parametrize("wire", WIRES[:2])
@pytest.mark.parametrize("name", HUGE)
def test_bodies_of_20_megabytes(table: list[Row], name: str, wire: str) -> None:
    table.append(row_of(name, wire, "huge"))


@pytest.mark.root
def test_as_root_whose_workers_are_nobody(table: list[Row]) -> None:
    with tempfile.TemporaryDirectory(prefix="netlab-") as there:
        folder = Path(there)
        folder.chmod(0o755)
        table.append(examined("nginx sendfile", "", "short", folder, before=()))


_CONTENT = re.compile(rb'"((?:\\x[0-9a-f]{2})+)"(?=, (?:\d+|iov_len=))')
_OPTION = re.compile(rb"[gs]etsockopt\(")


def test_what_would_differ_is_found_and_contents_change_nothing() -> None:
    """The comparison sees one byte, one call, one socket; netlab's reader needs no content."""
    with tempfile.TemporaryDirectory(prefix="netlab-") as there:
        folder = Path(there)
        run("haproxy splice", "", "short", folder)
        raw = read_raw(folder / "l.pcapng")
        tables = analyse(raw)
        logs = sorted(folder.glob("*.strace"))
        assert compare(raw, tables, logs).different == []
        lines = logs[1].read_bytes().split(b"\n")
        sends = [
            at for at, line in enumerate(lines) if re.search(rb" sendto\(\d+<TCP.* = \d", line)
        ]
        changed = lines[:]
        changed[sends[0]] = _CONTENT.sub(lambda text: b'"\\x00' + text[0][5:], changed[sends[0]])
        elsewhere = lines[:]
        elsewhere[sends[1]] = elsewhere[sends[1]].replace(b"<TCP:[10.", b"<TCP:[11.")
        fewer = lines[: sends[2]] + lines[sends[2] + 1 :]
        for other, words in ((changed, "from a frame"), (fewer, "thread"), (elsewhere, ": on [")):
            logs[1].write_bytes(b"\n".join(other))
            assert any(words in one for one in compare(raw, tables, logs).different)
        silent = [b if _OPTION.search(b) else _CONTENT.sub(b'""...', b) for b in lines]
        assert len(b"\n".join(silent)) < len(b"\n".join(lines)) - 20_000
        assert calls_in(b"\n".join(silent)) == calls_in(b"\n".join(lines))


def calls_in(log: bytes) -> list[CallRecord]:
    reader = StraceReader("server", "server")
    reader.feed(log)
    reader.finish()
    return reader.calls
