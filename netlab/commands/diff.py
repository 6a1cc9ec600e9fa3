"""`netlab diff A B`: two recordings of the same thing, what changed and what it was waited for."""

from __future__ import annotations

import click


@click.command("diff")
@click.argument("first")
@click.argument("second")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(first: str, second: str, as_json: bool) -> None:
    """Compare two recordings: the time of calls by cause, and the findings, side by side.

    The largest change stands first, idle waits last; processes of one program count together. One
    of the two may be - for standard input.
    """
    from netlab.capture.files import read_raw
    from netlab.commands.main import note
    from netlab.explain.analysis import analyse
    from netlab.show.terminal.difference import difference_lines
    from netlab.show.terminal.lines import emit, width_for_sentences
    from netlab.show.views.difference import difference
    from netlab.show.views.why import Why, why

    views: list[Why] = []
    for file in (first, second):
        raw = read_raw(file)
        for fault in raw.faults:
            note(f"{file}: {fault}")
        views.append(why(analyse(raw), raw, file))
    view = difference(*views)
    if as_json:
        from netlab.show.views.text import as_json as json_text

        print(json_text(view))
        return
    emit(difference_lines(view, width_for_sentences()))
