"""`netlab study`: the catalogue of experiments, and one of them carried out."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from netlab.commands.numbers import WholeNumber
from netlab.model.errors import UsageError


@click.command()
@click.argument("name", required=False)
@click.option(
    "--set", "settings", multiple=True, metavar="PARAMETER=VALUE",
    help="Change a parameter of the study: rtt=100ms, rcvbuf=8k.",
)  # fmt: skip
@click.option(
    "--repeat", default=1, type=WholeNumber(1, 1000), metavar="N", show_default=True,
    help="Carry it out so often, and count how often the predictions hold.",
)  # fmt: skip
@click.option("--full", is_flag=True, help="Take all values of a sweep, however long it lasts.")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), metavar="FILE", help="Keep the recording."
)
def command(name: str | None, settings: tuple[str, ...], repeat: int, full: bool, output: Path | None) -> int:
    """Ask one question of real sockets: prediction, experiment, picture, verdict.

    Without NAME: what there is. NAME may be a file of your own, ./mine.py. Needs no privilege.
    Exit code 1: a prediction did not hold.
    """
    from netlab.commands.main import complain
    from netlab.show.terminal.lines import coloured, emit, width_of
    from netlab.studies import catalogue, page

    width = width_of(None)
    if name is None:
        if settings or output is not None or repeat != 1:
            raise UsageError("options are about one study", "name it: `netlab study` lists them")
        emit(page.list_lines(catalogue.catalogue().values(), width))
        return 0
    study = catalogue.find(name)
    p = study.params(_pairs(settings))
    if repeat > 1 and output is not None:
        raise UsageError("--output keeps one recording", "leave out --repeat")
    emit(page.before_lines(study, p, width))
    sys.stdout.flush()
    from netlab.studies.runner import carry_out

    def say(text: str) -> None:
        if sys.stderr.isatty():
            complain(text)

    failed = 0
    for number in range(1, repeat + 1):
        outcome = carry_out(study, p, path=output, full=full, say=say)
        if repeat > 1:
            emit(page.repeat_lines(outcome, number, width))
        else:
            emit(page.after_lines(outcome, width, colours=coloured()))
        failed += not outcome.holds
    if repeat > 1:
        emit([[(f"{repeat - failed} of {repeat} times all predictions held", "bold")]])
    return 1 if failed else 0


def _pairs(settings: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set {text} sets nothing", "write it like --set rtt=100ms")
        pairs[name] = value
    return pairs
