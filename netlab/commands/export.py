"""`netlab export FILE`: one of the tables for other programs, or the packets alone."""

from __future__ import annotations

import click

from netlab.commands.decode_as import decode_as_option, rules
from netlab.model.errors import UsageError


@click.command("export")
@click.argument("file")
@click.option(
    "--table",
    "-t",
    metavar="T",
    help="packets, segments, connections, calls, spans, waits, states, stamps or messages.",
)
@click.option("--format", "form", metavar="F", help="jsonl (the default), csv or parquet.")
@click.option("--plain", is_flag=True, help="The packets alone, as pcapng without the calls.")
@click.option(
    "--at", metavar="HOST", help="With --plain: what that host's own tcpdump would have seen."
)
@click.option("--output", "-o", metavar="OUT", help="Write to a file instead of standard output.")
@decode_as_option
def command(
    file: str,
    table: str | None,
    form: str | None,
    plain: bool,
    at: str | None,
    output: str | None,
    decode_as: tuple[str, ...],
) -> None:
    """Print a table of a recording, or write its packets alone.

    FILE may be - for standard input.
    """
    if plain == (table is not None):
        raise UsageError(
            "nothing to export" if table is None else "a table or the packets alone, not both",
            "say --table T, or --plain",
        )
    if plain and form is not None:
        raise UsageError("--plain is always pcapng", "leave out --format")
    if at is not None and not plain:
        raise UsageError("--at is about packets", "add --plain")
    from netlab.capture.files import read_raw
    from netlab.capture.finished import check_plain
    from netlab.commands.main import note
    from netlab.show import export

    form = form or "jsonl"
    if table is not None:
        export.check(table, form)
    told = rules(decode_as)
    raw = read_raw(file)
    for fault in raw.faults:
        note(fault)
    if at is not None:
        from netlab.show.at_end import seen_at

        raw = seen_at(raw, at)
    if table is None:
        check_plain(raw)  # before the file is opened, which empties it
        with export.output(output, file, binary=True) as out:
            export.export_plain(raw, out)
        return
    from netlab.explain.analysis import analyse

    tables = analyse(raw, told)
    if table == "waits":
        from netlab.explain.waits import fill_waits

        fill_waits(tables, raw)
    with export.output(output, file, binary=form == "parquet") as out:
        export.export_table(tables, table, form, out)
