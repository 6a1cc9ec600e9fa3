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
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import pytest
from lab_process import ORDINARY_USER, ROOT
from live.content import Compared, compare
from live.witness_cases import LONG, SHORT, Case

from netlab.capture.files import read_raw
from netlab.correlate.ledger import causal_violations, ledger_mismatches
from netlab.correlate.reasons import Reason
from netlab.explain.analysis import analyse
from netlab.model.tables import Tables

WITHIN_S = 280
WIRES = ("", "loss 2% seed 1", "delay 30ms", "reorder data every 5 by 2", "mtu 900")
ONE_EACH = list(zip(SHORT, cycle(WIRES)))
ALL = [(name, wire) for name in LONG for wire in WIRES]
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


def run(name: str, wire: str, size: str, folder: Path) -> None:
    """The case in a process of an ordinary user, who leaves its recording and logs in `folder`."""
    worker = ROOT / "tests" / "live" / "witness_worker.py"
    done = subprocess.run(
        [*(ORDINARY_USER if os.geteuid() == 0 else ()), sys.executable, worker, folder, name, wire,
         size],
        env={**os.environ, "PATH": f"{ROOT / '.servers' / 'bin'}:{os.environ['PATH']}",
             "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests")))},
        capture_output=True, text=True, timeout=WITHIN_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["settled"], told
    assert told["client"][0] == 0, told
    # Two frames of a hundred: of short ones perhaps none.
    assert all(count for _, count in told["fired"]) or wire.startswith("loss"), told


def examined(case: Case, name: str, wire: str, folder: Path) -> Row:
    raw = read_raw(folder / "l.pcapng")
    logs = sorted(folder.glob("*.strace"))
    assert (raw.faults, raw.losses) == ([], [])
    tables = analyse(raw)
    found = compare(raw, tables, logs)
    assert found.different == []
    assert ledger_mismatches(tables) == []
    assert causal_violations(tables) == []
    unix = {c.connection for c in tables.connections if c.protocol == "unix"}
    for row in tables.unmatched:
        allowed = AMONG_THEMSELVES if row.connection in unix else case.allowed
        assert row.reason in allowed, row
    return Row(name, wire, tables, found)


@pytest.mark.parametrize(("name", "wire"), ONE_EACH, ids=[f"{n}, {w}" for n, w in ONE_EACH])
def test_calls_hold_the_bytes_of_their_frames(table: list[Row], name: str, wire: str) -> None:
    with tempfile.TemporaryDirectory(prefix="netlab-") as there:
        run(name, wire, "short", Path(there))
        table.append(examined(SHORT[name], name, wire, Path(there)))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "wire"), ALL, ids=[f"{n}, {w}" for n, w in ALL])
def test_all_wires_and_long_bodies(table: list[Row], name: str, wire: str) -> None:
    with tempfile.TemporaryDirectory(prefix="netlab-") as there:
        run(name, wire, "long", Path(there))
        table.append(examined(LONG[name], name, wire, Path(there)))
