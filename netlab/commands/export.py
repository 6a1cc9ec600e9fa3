"""`netlab export FILE`: one of the tables for other programs, or the packets alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from netlab.commands.decode_as import rules
from netlab.commands.options import decode_as_option, tshark_compat_option
from netlab.commands.watching import settled, watching
from netlab.model.errors import UsageError

if TYPE_CHECKING:
    from netlab.capture.at_hand import AtHand


@click.command("export")
@click.argument("file")
@click.option(
    "--table",
    "-t",
    metavar="T",
    help="packets, segments, connections, calls, spans, waits, states, stamps or messages.",
)
@click.option("--format", "form", metavar="F", help="jsonl (the default), csv or parquet.")
@click.option("--columns", metavar="A,B", help="Of the table only these columns, in this order.")
@click.option("--plain", is_flag=True, help="The packets alone, as pcapng without the calls.")
@click.option(
    "--at", metavar="HOST", help="With --plain: what that host's own tcpdump would have seen."
)
@click.option("--output", "-o", metavar="OUT", help="Write to a file instead of standard output.")
@decode_as_option
@tshark_compat_option
def command(
    file: str,
    table: str | None,
    form: str | None,
    columns: str | None,
    plain: bool,
    at: str | None,
    output: str | None,
    decode_as: tuple[str, ...],
    tshark_compat: str,
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
    if columns is not None and table is None:
        raise UsageError("--columns is about a table", "add --table T")
    from netlab.capture.files import read_raw
    from netlab.capture.finished import check_plain
    from netlab.commands.main import note
    from netlab.correlate.releases import Release
    from netlab.show import export

    form = form or "jsonl"
    names = export.check(table, form, columns) if table is not None else []
    told = rules(decode_as)
    capture = settled(file)
    release = Release(tshark_compat)
    usual = not decode_as and release is Release.V4_0
    if table is not None and usual and _bulk(capture, table, names, form, output):
        return
    with watching() as progress:
        progress.step("reading")
        raw = read_raw(capture)
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

    with watching() as progress:
        tables = analyse(raw, told, progress=progress, release=release)
    with (
        export.output(output, file, binary=form == "parquet") as out,
        watching() as progress,
    ):
        if table == "waits":  # made when its rows are asked for
            progress.step("finding causes")
        export.export_table(tables, table, form, out, names, progress)


def _bulk(capture: AtHand, table: str, names: list[str], form: str, output: str | None) -> bool:
    """Whether the table is that of a capture by others, large enough for the engine: then it is
    written."""
    from netlab.engine.choose import TABLES, maybe_read, unknown_columns
    from netlab.engine.known import needs_second

    if table not in TABLES or unknown_columns(table, names, capture):
        return False
    with watching() as progress:
        progress.step("reading")
        second = table == "segments" and needs_second(names)
        whole = maybe_read(capture, keep=table != "connections", with_second=second)
    if whole is None:
        return False
    from netlab.commands.main import note
    from netlab.show import export

    for fault in whole.capture.raw.faults:
        note(fault)
    with export.output(output, capture.path, binary=form == "parquet") as out:
        if (table, form) == ("segments", "csv") and not second:
            export.export_lines(whole, names, out)
        elif (table, form) == ("segments", "parquet") and not second:
            export.export_pages(whole, names, out)
        else:
            from netlab.show.bulk import bulk_frame

            export.export_frame(bulk_frame(whole, table, names), form, out)
    return True
