"""`netlab query FILE SQL`: SQL over the tables of a recording or capture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from netlab.commands.decode_as import rules
from netlab.commands.numbers import WholeNumber
from netlab.commands.options import decode_as_option, display_options, tshark_compat_option
from netlab.commands.watching import settled, watching
from netlab.model.errors import UsageError

if TYPE_CHECKING:
    import polars as pl

    from netlab.capture.at_hand import AtHand

TABLE = "table"
_SHOWN = 100


@click.command("query")
@click.argument("file")
@click.argument("sql")
@click.option("--format", "form", metavar="F", help="table (the default), jsonl, csv or parquet.")
@click.option("--limit", metavar="N", type=WholeNumber(min=0), help="At most N rows; 0: all.")
@click.option("--output", "-o", metavar="OUT", help="Write to a file instead of standard output.")
@decode_as_option
@tshark_compat_option
@display_options
def command(
    file: str,
    sql: str,
    form: str | None,
    limit: int | None,
    output: str | None,
    decode_as: tuple[str, ...],
    tshark_compat: str,
) -> None:
    """Ask SQL of the tables: packets, segments, connections, calls, spans, waits, states, stamps
    and messages.

    `frames` has each packet with its segment and its connection (conn_...) in one row. A table is
    shown, of 100 rows unless --limit says another number; the other formats have all.
    FILE may be - for standard input.
    """
    from netlab.capture.files import read_raw
    from netlab.commands.main import note
    from netlab.correlate.releases import Release
    from netlab.explain.analysis import analyse
    from netlab.show import export
    from netlab.show.sql import query

    form = form or TABLE
    if form not in (TABLE, *export.FORMATS):
        known = ", ".join((TABLE, *export.FORMATS))
        raise UsageError(f"no format {form!r}", f"the formats are {known}")
    if form == TABLE and output is not None:
        raise UsageError("a table is for the eye", "add --format jsonl, csv or parquet")
    told = rules(decode_as)
    capture = settled(file)
    release = Release(tshark_compat)
    usual = not decode_as and release is Release.V4_0  # the kernels know no other
    bulk = _bulk(capture, sql) if usual else None
    if bulk is not None:
        _write(bulk, file, form, limit, output)
        return
    with watching() as progress:
        progress.step("reading")
        raw = read_raw(capture)
        tables = analyse(raw, told, progress=progress, release=release)
        progress.step("finding causes" if "waits" in sql.lower() else "answering")
        found = query(tables, sql)
    if not found.height:
        from netlab.show.chosen import not_there
        from netlab.show.sql import tables_in

        for text in dict.fromkeys(
            text for name in tables_in(sql) for text in not_there(tables, name, sql)
        ):
            note(text)
    for fault in raw.faults:
        note(fault)
    _write(found, file, form, limit, output)


def _bulk(file: AtHand, sql: str) -> pl.DataFrame | None:
    """The answer about a capture that is too large to be held; None: the general path has it."""
    from netlab.engine.choose import is_large, maybe_read

    if not is_large(file):
        return None
    from netlab.commands.main import note
    from netlab.show.bulk_sql import TABLES, missing_columns, needs_second, query
    from netlab.show.sql import tables_in

    named = tables_in(sql)
    if not set(named) <= set(TABLES) or missing_columns(sql, named):
        return None
    with watching() as progress:
        progress.step("reading")
        second = needs_second(sql) and not {"segments", "frames"}.isdisjoint(named)
        whole = maybe_read(file, keep=set(named) != {"connections"}, with_second=second)
        if whole is None:
            return None
        progress.step("answering")
        found = query(whole, sql)
    for fault in whole.capture.raw.faults:
        note(fault)
    return found


def _write(
    found: pl.DataFrame, file: str, form: str, limit: int | None, output: str | None
) -> None:
    from netlab.show import export

    if form == TABLE:
        from netlab.show.terminal.grid import grid_lines
        from netlab.show.terminal.lines import columns_of_terminal, emit
        from netlab.show.terminal.screen import paged

        with paged():
            emit(grid_lines(found, columns_of_terminal(), _SHOWN if limit is None else limit))
        return
    with export.output(output, file, binary=form == "parquet") as out:
        export.export_frame(found.head(limit) if limit else found, form, out)
