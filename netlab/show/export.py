"""Tables -> files that other programs read: JSON lines, CSV, Parquet; and the packets alone.

JSON lines are written without Polars, a row at a time: the names of the columns are netlab's
interface to other programs. CSV has no lists: they are JSON text there. On a terminal nothing of a
text is obeyed: JSON escapes it anyhow, CSV's is escaped there, and exact everywhere else.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from netlab.model.errors import BadRecording, UsageError
from netlab.model.progress import SILENT, Progress
from netlab.model.recording import RawRecording
from netlab.model.tables import RECORDS, Tables, columns

if TYPE_CHECKING:
    import polars as pl

    from netlab.engine.whole import Whole

FORMATS = ("jsonl", "csv", "parquet")
_CSV_ROWS = 262_144
_ENCODE = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), default=str).encode


def check(table: str, form: str, chosen: str | None = None) -> list[str]:
    """The names of the columns that are asked for, `a,b,c`; without a word of it all.

    Raises UsageError unless there is such a table, such a format, and each such column.
    """
    if table not in RECORDS:
        raise UsageError(f"no table {table!r}", f"the tables are {', '.join(RECORDS)}")
    if form not in FORMATS:
        raise UsageError(f"no format {form!r}", f"the formats are {', '.join(FORMATS)}")
    there = [column.name for column in columns(table)]
    if chosen is None:
        return there
    names = [name.strip() for name in chosen.split(",")]
    for name in names:
        if name not in there:
            raise UsageError(f"no column {name!r}", f"the columns are {', '.join(there)}")
    if len(set(names)) < len(names):
        raise UsageError("a column is named twice", f"it was: {chosen}")
    return names


def export_table(
    tables: Tables,
    table: str,
    form: str,
    out: BinaryIO,
    names: list[str] | None = None,
    progress: Progress = SILENT,
) -> None:
    """Write one of the tables, or of it the columns with these names."""
    names = names or check(table, form)
    if out.isatty():  # what is written is progress enough
        progress = SILENT
    if form == "jsonl":
        for line in json_lines(tables, table, names, progress):
            out.write(line)
        return
    progress.step("writing")
    from netlab.show.frames import frame

    export_frame(frame(tables, table).select(names), form, out)


def export_frame(found: pl.DataFrame, form: str, out: BinaryIO) -> None:
    """Write a Polars frame, whatever its columns."""
    if form == "jsonl":
        for row in found.iter_rows(named=True):
            out.write(_ENCODE({name: _for_json(value) for name, value in row.items()}).encode())
            out.write(b"\n")
        return
    if form == "csv":
        found = _lists_as_text(found)
        if out.isatty():
            found = _printable(found)
        for start in range(0, max(found.height, 1), _CSV_ROWS):  # not all as text at once
            part = found.slice(start, _CSV_ROWS)
            out.write(part.write_csv(include_header=start == 0).encode())
        return
    from io import BytesIO

    whole = BytesIO()  # Parquet's writer wants to seek, a pipe cannot
    found.write_parquet(whole)
    out.write(whole.getbuffer())


def export_lines(whole: Whole, names: list[str], out: BinaryIO) -> None:
    """Write these columns of all segments as CSV, by kernels: as `export_frame` does, sooner."""
    from netlab.engine.columns import segment_lines

    out.write(",".join(names).encode() + b"\n")
    for lines in segment_lines(whole, names):
        out.write(lines)


def export_pages(whole: Whole, names: list[str], out: BinaryIO) -> None:
    """Write these columns of all segments as Parquet, by kernels."""
    from netlab.engine.columns import TEXTS
    from netlab.engine.pages import segment_pages
    from netlab.show.parquet import write_parquet

    there = {column.name: column for column in columns("segments")}
    chosen = [there[name] for name in names]
    write_parquet(out, chosen, TEXTS, segment_pages(whole, names))


def json_lines(
    tables: Tables, table: str, names: list[str], progress: Progress = SILENT
) -> Iterator[bytes]:
    """One JSON object a row, with exactly these columns' names, in order."""
    for row in progress.over("writing", getattr(tables, table)):
        yield _ENCODE({name: getattr(row, name) for name in names}).encode() + b"\n"


def export_plain(raw: RawRecording, out: BinaryIO) -> None:
    """Write the packets alone, as a pcapng file without calls or comments."""
    from netlab.capture.recording import plain

    plain(raw, out)


@contextmanager
def output(path: str | None, source: str, *, binary: bool) -> Iterator[BinaryIO]:
    """Where an export goes: standard output (None or `-`), or a private file, there once whole.

    Raises UsageError for binary data to a terminal and for the file that is being read, and
    BadRecording when it could not be written to its end.
    """
    if path is None or path == "-":
        if binary and sys.stdout.isatty():
            raise UsageError("binary data would garble the terminal", "add -o FILE, or pipe it")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if not path:
        raise UsageError("--output names no file", "name one, or leave it out")
    if source != "-" and os.path.exists(path) and os.path.samefile(path, source):
        raise UsageError(f"{path} is the file being read", "name another with -o")
    from netlab.capture.ownership import appearing

    try:
        with appearing(Path(path)) as out:
            yield out
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        reason = os.strerror(error.errno or 0)
        raise BadRecording(
            f"cannot write {path} to its end", f"{reason}: free some space"
        ) from None


def _for_json(value: Any) -> Any:
    """JSON has no infinity, so a division by zero is null there; of numbers it has one kind."""
    if isinstance(value, Decimal):  # as Polars takes a literal 0.5
        return float(value)
    return None if isinstance(value, float) and not isfinite(value) else value


def _lists_as_text(found: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    return found.with_columns(
        pl.Series(
            name,
            [None if value is None else json.dumps(list(value)) for value in found[name].to_list()],
            dtype=pl.String,
        )
        for name, dtype in found.schema.items()
        if dtype == pl.List
    )


def _printable(found: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    from netlab.show.escape import printable

    return found.with_columns(
        pl.Series(
            name,
            [text if text is None else printable(text) for text in found[name].to_list()],
            dtype=pl.String,
        )
        for name, dtype in found.schema.items()
        if dtype == pl.String
    )
