"""The recordings under captures/ are what their stories say, and their maps are sound.

`.ci/captures` makes them anew; with `--update-golden` the ladder in a story is replaced, and in
`test_readme` the samples of the README.
"""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from tshark_verdicts import fields_of, judged_by_netlab, judged_by_tshark

from netlab.capture.files import read_raw
from netlab.correlate.ledger import causal_violations, ledger_mismatches
from netlab.explain.analysis import analyse

CAPTURES = Path(__file__).resolve().parents[2] / "captures"
RECORDINGS = [CAPTURES / "echo" / "echo.pcapng", CAPTURES / "hosts" / "hosts.pcapng"]
LADDER = re.compile(r"```\n(.*?)```", re.DOTALL)


def ladder(recording: Path) -> str:
    shown = subprocess.run(
        [sys.executable, "-m", "netlab", "inspect", "--connection", "0", str(recording)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return shown.stdout


def test_there_are_recordings() -> None:
    assert RECORDINGS


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem)
def test_the_story_shows_the_recordings_ladder(
    recording: Path, request: pytest.FixtureRequest
) -> None:
    story = recording.with_name("story.md")
    text = story.read_text(encoding="utf-8")
    drawn = ladder(recording)
    if request.config.getoption("--update-golden"):
        story.write_text(LADDER.sub(lambda _: f"```\n{drawn}```", text, count=1), encoding="utf-8")
        return
    found = LADDER.search(text)
    assert found is not None
    assert found.group(1) == drawn


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem)
def test_its_ledger_closes_and_time_runs_forward(recording: Path) -> None:
    tables = analyse(read_raw(recording))
    assert ledger_mismatches(tables) == []
    assert tables.unmatched == []
    # No tolerance: on one machine the kernel stamps frames and the probe stamps calls with one
    # clock, and a frame is stamped before its receiver can know of it.
    assert causal_violations(tables, 0) == []


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem)
def test_tshark_lists_calls_between_packets_and_flags_nothing(recording: Path) -> None:
    columns = ["-T", "fields", "-e", "frame.protocols", "-e", "tcp.analysis.flags"]
    seen = subprocess.run(
        ["tshark", "-r", str(recording), *columns], capture_output=True, text=True, check=True
    )
    rows = [line.split("\t") for line in seen.stdout.splitlines()]
    kinds = ["call" if "systemd_journal" in row[0] else "packet" for row in rows]
    turns = sum(a != b for a, b in pairwise(kinds))
    assert turns > 10
    assert [row for row in rows if len(row) > 1 and row[1]] == []


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem)
def test_verdicts_are_tsharks(recording: Path) -> None:
    here = judged_by_netlab(analyse(read_raw(recording)).segments)
    assert here == judged_by_tshark(fields_of(recording))
    assert any("acks_frame" in said for said in here.values())
