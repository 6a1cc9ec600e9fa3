"""The tables that a run shows are those that its finished file gives to the next reader."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from netlab.capture.files import read_raw
from netlab.explain.analysis import analyse
from netlab.lab.finish import finish_raw
from netlab.model.tables import RECORDS


def run(path: Path, *options: str) -> None:
    command = [sys.executable, "-m", "netlab", "run", "--quiet", "-o", str(path), *options]
    subprocess.run(command, check=True, capture_output=True)


def test_wireshark_lists_as_many_calls_as_asked(tmp_path: Path) -> None:
    path = tmp_path / "run.pcapng"
    run(path, "--journal-limit", "5", "--messages", "23")
    seen = subprocess.run(
        ["tshark", "-r", str(path), "-Y", "systemd_journal", "-T", "fields", "-e", "_ws.col.Info"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    listed = [line for line in seen if " = " in line]
    summaries = [line for line in seen if "packed" in line]
    assert len(listed) == 5
    assert len(seen) == len(listed) + len(summaries)
    assert len(read_raw(path).calls) > 100  # the tables have them all


@pytest.mark.parametrize("options", [[], ["--clients", "3"], ["--udp"], ["--journal-limit", "7"]])
def test_renumbering_is_what_reading_gives(tmp_path: Path, options: list[str]) -> None:
    path = tmp_path / "run.pcapng"
    run(path, *options)
    raw = read_raw(path)
    assert raw.frames
    assert raw.calls
    # Shuffled, as a ring may hand frames over, and with numbers of its own.
    raw.frames.reverse()
    finished = finish_raw(path, raw)
    again = read_raw(path)
    assert finished.raw.frames == again.frames
    assert finished.raw.calls == again.calls
    assert finished.raw.description.form == again.description.form == "finished"
    tables = analyse(again)
    for name in RECORDS:
        assert getattr(finished.tables, name) == getattr(tables, name), name
    assert finished.tables.unmatched == tables.unmatched
