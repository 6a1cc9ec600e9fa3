"""`netlab why FILE`: where the time went, with causes, evidence, and what to change."""

from __future__ import annotations

import click

from netlab.commands.numbers import WholeNumber
from netlab.commands.options import display_options
from netlab.commands.watching import watching
from netlab.model.errors import UsageError


@click.command("why")
@click.argument("file")
@click.option("--connection", "-c", metavar="C", help="Of one connection alone: 3, tcp.0, udp.1.")
@click.option("--call", "-n", "number", metavar="N", type=WholeNumber(min=1), help="Of one call.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@display_options
def command(file: str, connection: str | None, number: int | None, as_json: bool) -> None:
    """Say why calls took as long as they took: each interval with its cause.

    A bar for each side of each connection, the ten waits that matter most, and findings, with the
    frames and calls that show it. What is marked inferred follows from a rule; the rest the
    recording shows. FILE may be - for standard input.
    """
    if connection is not None and number is not None:
        raise UsageError("a call or a connection, not both", "leave one of them out")
    from netlab.capture.files import read_raw
    from netlab.commands.main import note
    from netlab.explain.analysis import analyse
    from netlab.show import choose
    from netlab.show.terminal.lines import Line, emit, emit_json, width_for_sentences
    from netlab.show.terminal.screen import paged
    from netlab.show.terminal.why import call_lines, why_lines
    from netlab.show.views.why import Why, why
    from netlab.show.views.why_sentences import Sentence, why_call

    view: Why | Sentence
    lines: list[Line]
    with watching() as progress:
        progress.step("reading")
        raw = read_raw(file)
        tables = analyse(raw, progress=progress)
        progress.step("finding causes")
        if number is not None:
            view = why_call(tables, raw, choose.call(tables, number))
            lines = call_lines(view, width_for_sentences())
        else:
            chosen = choose.connection(tables, connection) if connection is not None else None
            view = why(tables, raw, file, chosen)
            lines = why_lines(view, width_for_sentences())
    for fault in raw.faults:
        note(fault)
    with paged():
        if as_json:
            emit_json(view)
        else:
            emit(lines)
