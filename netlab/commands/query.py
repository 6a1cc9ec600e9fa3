"""`netlab query FILE SQL`: SQL over the tables of a recording or capture."""

from __future__ import annotations

import click

from netlab.commands.decode_as import decode_as_option, rules
from netlab.commands.numbers import WholeNumber
from netlab.commands.options import display_options, tshark_compat_option
from netlab.commands.watching import watching
from netlab.model.errors import UsageError

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
    with watching() as progress:
        progress.step("reading")
        raw = read_raw(file)
        tables = analyse(raw, told, progress=progress, release=Release(tshark_compat))
        progress.step("finding causes" if "waits" in sql.lower() else "answering")
        found = query(tables, sql)
    for fault in raw.faults:
        note(fault)
    if form == TABLE:
        from netlab.show.terminal.grid import grid_lines
        from netlab.show.terminal.lines import columns_of_terminal, emit
        from netlab.show.terminal.screen import paged

        with paged():
            emit(grid_lines(found, columns_of_terminal(), _SHOWN if limit is None else limit))
        return
    with export.output(output, file, binary=form == "parquet") as out:
        export.export_frame(found.head(limit) if limit else found, form, out)
