"""The tables for other programs, and where they may be written."""

from __future__ import annotations

import json
import os
import stat
from io import BytesIO
from pathlib import Path

import polars as pl
import pytest
import show_story

from netlab.model.errors import BadRecording, UsageError
from netlab.model.tables import RECORDS, Tables, Wait, columns
from netlab.show.export import check, export_table, output
from netlab.show.frames import frame


def exported(tables: Tables, table: str, form: str) -> bytes:
    out = BytesIO()
    export_table(tables, table, form, out)
    return out.getvalue()


def full() -> Tables:
    tables = show_story.echo().tables
    tables.waits[:] = [Wait(7, 1, 2, "network", "observed", (4, 5), (), 'a "quoted", text')]
    return tables


@pytest.mark.parametrize("table", RECORDS)
def test_json_lines_have_exactly_the_columns_in_order(table: str) -> None:
    tables = full()
    lines = exported(tables, table, "jsonl").splitlines()
    assert len(lines) == len(getattr(tables, table))
    names = [column.name for column in columns(table)]
    for line, row in zip(lines, getattr(tables, table), strict=True):
        found = json.loads(line)
        assert list(found) == names
        assert found == json.loads(json.dumps({name: getattr(row, name) for name in names}))


@pytest.mark.parametrize("table", RECORDS)
def test_the_three_formats_agree(table: str) -> None:
    tables = full()
    rows = [json.loads(line) for line in exported(tables, table, "jsonl").splitlines()]
    parquet = pl.read_parquet(BytesIO(exported(tables, table, "parquet")))
    assert parquet.rows(named=True) == rows
    assert parquet.schema == frame(tables, table).schema
    text = exported(tables, table, "csv").decode()
    assert text.splitlines()[0].split(",") == [column.name for column in columns(table)]
    csv = pl.read_csv(BytesIO(text.encode()), infer_schema=False)
    assert csv.height == len(rows)


def test_lists_are_json_text_in_csv() -> None:
    csv = pl.read_csv(BytesIO(exported(full(), "waits", "csv")))
    assert csv["frames"].to_list() == ["[4, 5]"]
    assert csv["calls"].to_list() == ["[]"]
    assert csv["text"].to_list() == ['a "quoted", text']


class Terminal(BytesIO):
    def isatty(self) -> bool:
        return True


def test_csv_is_exact_in_a_pipe_and_obeyed_by_no_terminal() -> None:
    """A program's name, an argument, a path may hold what rewrites the screen."""
    tables = show_story.echo().tables
    hostile = "\x1b[31mred\u202e \x9b2J"
    tables.calls[0].args = hostile
    tables.waits.append(Wait(7, 1, 2, "network", "observed", (4, 5), (), hostile))
    for table in ("calls", "waits"):
        terminal = Terminal()
        export_table(tables, table, "csv", terminal)
        shown = terminal.getvalue().decode()
        assert "\\x1b[31mred\\u202e \\x9b2J" in shown
        assert all(c.isprintable() or c == "\n" for c in shown)
        assert hostile in exported(tables, table, "csv").decode()
        quiet = Terminal()
        export_table(tables, table, "jsonl", quiet)
        assert quiet.getvalue() == exported(tables, table, "jsonl")


def test_csv_without_anything_hostile_is_the_same_on_a_terminal() -> None:
    for table in RECORDS:
        terminal = Terminal()
        export_table(full(), table, "csv", terminal)
        assert terminal.getvalue() == exported(full(), table, "csv")


@pytest.mark.parametrize("table", RECORDS)
def test_an_empty_table_keeps_its_schema(table: str) -> None:
    names = [column.name for column in columns(table)]
    assert exported(Tables(), table, "jsonl") == b""
    assert exported(Tables(), table, "csv").decode() == ",".join(names) + "\n"
    empty = pl.read_parquet(BytesIO(exported(Tables(), table, "parquet")))
    assert empty.schema == frame(full(), table).schema


def test_unknown_names_are_usage_errors_that_list_what_there_is() -> None:
    with pytest.raises(UsageError, match="no table 'unmatched': the tables are packets, segments"):
        check("unmatched", "jsonl")
    with pytest.raises(UsageError, match="no format 'xml': the formats are jsonl, csv, parquet"):
        check("calls", "xml")


def test_a_file_is_private_and_never_written_through_a_link(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with output(str(path), "-", binary=False) as out:
        out.write(b"x")
    assert path.read_bytes() == b"x"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    link = tmp_path / "link.csv"
    link.symlink_to(path)
    with pytest.raises(UsageError, match="symbolic link"), output(str(link), "-", binary=False):
        pass
    assert path.read_bytes() == b"x"


def test_an_empty_name_is_a_usage_error(tmp_path: Path) -> None:
    source = tmp_path / "a.pcapng"
    source.write_bytes(b"x")
    with pytest.raises(UsageError, match="names no file"), output("", str(source), binary=True):
        raise AssertionError("the block must not run")


def test_the_file_being_read_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    path.write_bytes(b"precious")
    with pytest.raises(UsageError, match="being read"), output(str(path), str(path), binary=True):
        pass
    assert path.read_bytes() == b"precious"


@pytest.mark.parametrize("older", [None, b"what was there"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, OSError])
def test_an_export_that_ends_early_leaves_what_was_there(
    tmp_path: Path, error: type[BaseException], older: bytes | None
) -> None:
    path = tmp_path / "out.csv"
    if older is not None:
        path.write_bytes(older)
    begun = []

    def end_early() -> None:
        with output(str(path), "-", binary=False) as out:
            out.write(b"x" * 100_003)  # more than any buffer holds
            begun.extend(one.stat() for one in tmp_path.iterdir() if one != path)
            raise error

    with pytest.raises(BadRecording if error is OSError else error):
        end_early()
    (partial,) = begun
    assert partial.st_size > 0
    assert stat.S_IMODE(partial.st_mode) == 0o600
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == (
        {} if older is None else {"out.csv": older}
    )


def test_an_older_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_bytes(b"much longer than what comes")
    with output(str(path), "-", binary=False) as out:
        out.write(b"short")
    assert [one.read_bytes() for one in tmp_path.iterdir()] == [b"short"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    refused = {
        pipe: "not a regular file",
        Path("/dev/null"): "not a regular file",
        tmp_path: "it is a folder",
        tmp_path / "no" / "x": "does not exist",
    }
    for path, why in refused.items():
        with pytest.raises(UsageError) as caught, output(str(path), "-", binary=False):
            raise AssertionError("the block must not run")
        assert caught.value.message == f"cannot write {path}"
        assert why in (caught.value.hint or "")
    assert list(tmp_path.iterdir()) == [pipe]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    def fill() -> None:
        with output(str(tmp_path / "x"), "-", binary=False):
            raise OSError(28, "No space left on device")

    with pytest.raises(BadRecording, match="to its end: No space left on device"):
        fill()
