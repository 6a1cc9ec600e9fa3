"""`netlab follow FILE --connection C --side S --byte K`: one byte, from send() to recv()."""

from __future__ import annotations

from dataclasses import replace

import click

from netlab.commands.options import display_options
from netlab.commands.watching import watching
from netlab.model.tables import Side


@click.command("follow")
@click.argument("file")
@click.option(
    "--connection", "-c", metavar="C", required=True, help="The connection: 3, tcp.0, udp.1."
)
@click.option(
    "--side",
    type=click.Choice(["client", "server"]),
    required=True,
    help="The side that wrote the byte.",
)
@click.option(
    "--byte", "-b", metavar="K", type=int, required=True, help="Its offset; 0: the first."
)
@click.option("--json", "as_json", is_flag=True, help="Print the journey as JSON.")
@display_options
def command(file: str, connection: str, side: str, byte: int, as_json: bool) -> None:
    """Follow one byte: who wrote it, which frames carried it, who read it, and the times between.

    FILE may be - for standard input.
    """
    from netlab.capture.files import read_raw
    from netlab.explain.analysis import analyse
    from netlab.show import choose
    from netlab.show.views.journey import journey
    from netlab.show.views.stream_notes import other_copies

    with watching() as progress:
        progress.step("reading")
        raw = read_raw(file)
        tables = analyse(raw, progress=progress)
    chosen = choose.connection(tables, connection)
    view = journey(tables, chosen, Side(side), byte)
    view = replace(view, other_copies=other_copies(tables, raw, chosen, Side(side), byte))
    if as_json:
        from netlab.show.views.text import as_json as json_text

        print(json_text(view))
        return
    from netlab.show.terminal.journey import journey_lines
    from netlab.show.terminal.lines import emit
    from netlab.show.terminal.screen import paged

    with paged():
        emit(journey_lines(view))
