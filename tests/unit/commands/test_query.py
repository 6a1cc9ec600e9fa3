"""`netlab query` and `netlab inspect --where`, as they are called."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import polars as pl
import pytest
from sample_recordings import raw_recording

from netlab.capture.recording import finish
from netlab.commands.main import run


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "a.pcapng"
    finish(path, raw_recording(), frame_comments={}, call_messages={}, threads={}, journal_limit=9)
    return path


def said(capfd: pytest.CaptureFixture[str], *words: str | Path, code: int = 0) -> str:
    assert run([str(word) for word in words]) == code
    found = capfd.readouterr()
    return found.err if code else found.out


def test_an_answer_that_fits_is_a_table(
    path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    shown = said(capfd, "query", path, "select frame, protocol, vlan from packets order by frame")
    head, *rows = shown.splitlines()
    assert head.split() == ["frame", "protocol", "vlan"]
    assert [row.split()[1:] for row in rows[:2]] == [["TCP", "·"], ["TCP", "·"]]
    assert all(len(line) <= 60 for line in shown.splitlines())


def test_one_that_is_too_wide_is_a_block_a_row(
    path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    shown = said(capfd, "query", path, "select * from packets", "--limit", "2").splitlines()
    assert shown[0] == "row 1"
    assert "row 2" in shown
    assert "row 3" not in shown
    assert shown[-1].endswith("more: --limit 0 shows all")
    assert all(len(line) <= 60 for line in shown)


def test_every_format_says_the_same(
    path: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sql = "select call, op, result, errno from calls order by call"
    rows = [json.loads(line) for line in
            said(capfd, "query", path, sql, "--format", "jsonl").splitlines()]  # fmt: skip
    assert len(rows) > 2
    table = list(csv.DictReader(said(capfd, "query", path, sql, "--format", "csv").splitlines()))
    assert [{k: v or None for k, v in row.items()} for row in table] == [
        {k: None if v is None else str(v) for k, v in row.items()} for row in rows
    ]
    out = tmp_path / "a.parquet"
    said(capfd, "query", path, sql, "--format", "parquet", "-o", out)
    assert pl.read_parquet(out).to_dicts() == rows


def test_what_json_cannot_hold_is_null(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shown = said(
        capfd,
        "query",
        path,
        "select cast(1 as double) / cast(0 as double) as x, 0.5 as y",
        "--format",
        "jsonl",
    )
    assert json.loads(shown) == {"x": None, "y": 0.5}


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("query", "select frme from packets"), "no column 'frme': did you mean frame?"),
        (("query", "select 1", "--format", "xml"), "no format 'xml'"),
        (("query", "select 1", "-o", "x"), "a table is for the eye"),
        (("inspect", "-p", "1", "--where", "frame = 1"), "--where chooses among many"),
        (("inspect", "-c", "0", "--where", "oop = 1"), "no column 'oop': did you mean op?"),
        (("inspect", "--calls", "--where", "ops = 1"), "no column 'ops': did you mean op?"),
        (("inspect", "--packets", "--where", "fram = 1"), "no column 'fram': did you mean frame?"),
    ],
)
def test_mistakes_are_one_line_and_2(
    words: tuple[str, ...], text: str, path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    line = said(capfd, words[0], path, *words[1:], code=2)
    assert line.startswith(f"netlab: {text}")
    assert line.count("\n") == 1


def test_where_leaves_the_rows_of_which_it_is_true(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    every = json.loads(said(capfd, "inspect", path, "--packets", "--json"))
    (first, *_) = said(
        capfd, "query", path, "select frame from packets where tcp_flags = 'SYN'", "--format", "csv"
    ).splitlines()[1:]
    (syn,) = json.loads(
        said(capfd, "inspect", path, "--packets", "--json", "--where", "tcp_flags = 'SYN'")
    )
    assert syn == every[[row["frame"] for row in every].index(int(first))]
    shown = said(capfd, "inspect", path, "--connections", "--where", "connection = 99")
    assert len(shown.splitlines()) == 1  # the head


def test_text_of_a_capture_is_not_obeyed_by_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    raw = raw_recording()
    raw.interfaces[0] = type(raw.interfaces[0])("evil\x1b[31m", raw.interfaces[0].link, 0)
    path = tmp_path / "evil.pcapng"
    finish(path, raw, frame_comments={}, call_messages={}, threads={}, journal_limit=9)
    shown = said(capfd, "query", path, "select interface from packets limit 1")
    assert "\x1b" not in shown
    assert "evil" in shown
