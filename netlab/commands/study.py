"""`netlab study`: the catalogue of experiments, and one of them carried out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netlab.commands.numbers import WholeNumber
from netlab.commands.options import display_options
from netlab.model.errors import CheckFailed, UsageError

if TYPE_CHECKING:
    from netlab.studies.quantity import Value
    from netlab.studies.study import Params, Study


@click.command()
@click.argument("name", required=False)
@click.argument("of", required=False, metavar="")
@click.option(
    "--set", "settings", multiple=True, metavar="PARAMETER=VALUE",
    help="Change a parameter of the study: rtt=100ms, rcvbuf=8k.",
)  # fmt: skip
@click.option("--predict", is_flag=True, help="Ask for your own prediction first, and compare.")
@click.option(
    "--claims", is_flag=True,
    help="Test common statements about sockets: held, false, or under which condition.",
)  # fmt: skip
@click.option(
    "--full",
    is_flag=True,
    help="Take all values of a sweep, wait for all ends, however long it lasts.",
)
@click.option(
    "--repeat", default=1, type=WholeNumber(1, 1000), metavar="N", show_default=True,
    help="Carry it out so often, and count how often the predictions hold.",
)  # fmt: skip
@click.option("--all", "every", is_flag=True, help="Carry out the whole catalogue: one table.")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), metavar="FILE", help="Keep the recording."
)
@click.option(
    "--regenerate", is_flag=True,
    help="Keep the story, and a small recording, under captures/ here.",
)  # fmt: skip
@display_options
def command(
    name: str | None,
    of: str | None,
    settings: tuple[str, ...],
    predict: bool,
    claims: bool,
    full: bool,
    repeat: int,
    every: bool,
    output: Path | None,
    regenerate: bool,
) -> int:
    """Ask one question of real sockets: prediction, experiment, picture, verdict.

    \b
      netlab study                what there is
      netlab study NAME           one of them
      netlab study ./mine.py      one of your own
      netlab study new NAME       begin one of your own: writes NAME.py
      netlab study --claims       what people say about sockets, and whether it is so here

    Needs no privilege. Exit code 1: a prediction did not hold.
    """
    from netlab.studies import catalogue

    if name == "new":
        return _new(of)
    if of is not None:
        raise UsageError("one study at a time", "`netlab study --all` carries out all of them")
    if claims:
        if settings or predict or output or every or full or repeat != 1:
            raise UsageError("--claims goes with no other option", "leave the others out")
        return _claims([catalogue.find(name)] if name else list(catalogue.catalogue().values()))
    about_one = bool(settings) or predict or output is not None
    if regenerate:
        if about_one or full or repeat != 1 or (name is None) is not every:
            raise UsageError(
                "a story is told with what a study has by itself",
                "netlab study NAME --regenerate, or --all --regenerate",
            )
        chosen = [catalogue.find(name)] if name else list(catalogue.catalogue().values())
        return _regenerate(chosen)
    if every and name is not None:
        raise UsageError(
            f"{name} is one study, and --all is every one",
            f"netlab study {name}, or netlab study --all",
        )
    if every and about_one:
        raise UsageError(
            "--set, --predict and --output are about one study", "name it in place of --all"
        )
    if every or name is None:
        if about_one or (repeat != 1 and not every):
            raise UsageError("options are about one study", "name it: `netlab study` lists them")
        if not every:
            return _list()
        return _all(list(catalogue.catalogue().values()), full, repeat)
    given = _pairs(settings)
    study = catalogue.find(name).alone(given)
    p = study.params(given, full=full)
    if repeat > 1 and (output is not None or predict):
        raise UsageError("--repeat shows no single run", "leave out --output and --predict")
    lack = study.lacks()
    if lack:
        return _left_out(study, p, lack)
    return _repeat(study, p, full, repeat) if repeat > 1 else _one(study, p, full, predict, output)


def _list() -> int:
    from netlab.show.terminal.lines import emit, width_of
    from netlab.studies import catalogue, page

    emit(page.list_lines(catalogue.catalogue(), catalogue.lines(), width_of(None)))
    return 0


def _left_out(study: Study, p: Params, lack: str) -> int:
    """What the study would be about, and what it needs that is not here."""
    from netlab.show.terminal.lines import emit, width_of
    from netlab.studies import page

    width = width_of(None)
    emit([*page.before_lines(study, p, width), [], page.skipped_line(study, 0, lack)])
    return 0


def _claims(studies: list[Study]) -> int:
    """What people say about sockets, and what the studies say of it."""
    from netlab.show.terminal.lines import emit, width_of
    from netlab.studies.claims import (
        Judged,
        Verdict,
        counted,
        judged,
        judged_lines,
        legend_lines,
        with_claims,
    )

    testing = with_claims(studies)
    if not testing:
        raise UsageError(f"{studies[0].name} tests no statement", "`netlab study --claims`: all")
    names = max(len(study.name) for study in testing)
    found: list[Judged] = []
    topic = None
    for study in testing:
        if study.topic is not topic:
            emit([*([[]] if topic else []), [(study.topic.value, "bold")]])
            topic = study.topic
        for one in judged(study, _say):
            emit(judged_lines(one, names, width_of(None)))
            found.append(one)
        sys.stdout.flush()
    emit([[], [(counted(found), "bold")], *legend_lines(found, width_of(None))])
    return 1 if any(one.verdict is Verdict.UNTESTED for one in found) else 0


def _one(study: Study, p: Params, full: bool, predict: bool, output: Path | None) -> int:
    from netlab.show.terminal.lines import emit, width_of
    from netlab.show.terminal.screen import is_coloured
    from netlab.studies import page
    from netlab.studies.runner import asked, carry_out, settings

    width = width_of(None)
    emit(page.before_lines(study, p, width, tell=not predict, full=full))
    sys.stdout.flush()
    guess = _ask(study, settings(study, p, full)[-1]) if predict else None
    outcome = carry_out(study, p, path=output, full=full, say=_say)
    if guess is not None:
        emit(page.guess_lines(outcome, asked(study), guess, width))
    emit(page.after_lines(outcome, width, colours=is_coloured()))
    return 0 if outcome.holds else 1


def _ask(study: Study, p: Params) -> Value:
    """The reader's own prediction of one thing that is measured; of a sweep, in the run of `p`."""
    from netlab.studies import page
    from netlab.studies.quantity import Kind, value_from_text, wanted
    from netlab.studies.runner import asked

    expect = study.expects[asked(study)]
    of = f" with {page.of_run(study, p)}" if study.sweep is not None else ""
    while True:
        text = click.prompt(f"\nYour prediction{of}, {wanted(expect.kind)}\n{expect.what}").strip()
        if expect.kind is Kind.WORD:
            return str(text)
        try:
            return value_from_text(expect.kind, text.replace(" ", ""))
        except UsageError as error:
            click.echo(str(error))


def _repeat(study: Study, p: Params, full: bool, repeat: int) -> int:
    from netlab.show.terminal.lines import emit, width_of
    from netlab.studies import repeated
    from netlab.studies.runner import carry_out

    width = width_of(None)
    runs: list[repeated.Named] = []
    held = 0
    for number in range(1, repeat + 1):
        outcome = carry_out(study, p, full=full)
        if not runs:
            emit(repeated.legend_lines(outcome, width))
        emit(repeated.run_lines(outcome, number, width))
        sys.stdout.flush()
        runs.append(repeated.named(outcome))
        held += outcome.holds
    emit([[], *repeated.all_runs_lines(runs, width), []])
    emit([[(f"{held} of {repeat} times all predictions held", "bold")]])
    return 0 if held == repeat else 1


def _all(studies: list[Study], full: bool, repeat: int) -> int:
    """The catalogue, a line a study; what this kernel lacks is said and not counted."""
    from netlab.show.terminal.lines import emit, width_of
    from netlab.studies import page
    from netlab.studies.runner import carry_out

    names = max(len(study.name) for study in studies)
    carried_out = failed = 0
    for study in studies:
        lack = study.lacks()
        if lack:
            emit([page.skipped_line(study, names, lack)])
            continue
        held, took_s, said = 0, 0.0, ""
        for _ in range(repeat):
            try:
                outcome = carry_out(study, study.params({}, full=full), full=full)
            except CheckFailed as error:
                said = str(error)
                continue
            held += outcome.holds
            took_s += outcome.took_s
            said = said or page.failures(outcome)
        emit(page.all_lines(study, names, held, repeat, took_s, said, width_of(None)))
        sys.stdout.flush()
        carried_out += 1
        failed += held < repeat
    emit([[], [(f"{carried_out - failed} of {carried_out} studies hold", "bold")]])
    return 1 if failed else 0


def _regenerate(studies: list[Study]) -> int:
    """Carry them out, and keep their stories; what did not hold leaves its story as it was."""
    import tempfile

    from netlab.studies import page
    from netlab.studies.runner import carry_out
    from netlab.studies.story import keep

    failed = 0
    for study in studies:
        lack = study.lacks()
        if lack:
            click.echo(f"- {study.name}: left out: {lack}")
            continue
        with tempfile.TemporaryDirectory(prefix="netlab-study-") as folder:
            recording = Path(folder) / f"{study.name}.pcapng"
            try:
                outcome = carry_out(study, study.params({}), path=recording)
                said = page.failures(outcome) or keep(outcome, recording, Path("captures"))
                mark = "✓" if outcome.holds else "✗"
            except CheckFailed as error:
                said, mark = f"{error}", "✗"
        click.echo(f"{mark} {study.name}: {said}")
        sys.stdout.flush()
        failed += mark == "✗"
    return 1 if failed else 0


def _new(name: str | None) -> int:
    """Write the starting point."""
    from netlab.studies import catalogue, starting_point

    module = (name or "").replace("-", "_").removesuffix(".py")
    if not module.isidentifier() or module in sys.stdlib_module_names:
        raise UsageError("a study needs a name of its own", "netlab study new my_study")
    there = module.replace("_", "-")
    if there in catalogue.catalogue():
        raise UsageError(
            f"there is a study {there} already", f"`netlab study {there}`, or choose another name"
        )
    path = Path(f"{module}.py")
    text = Path(starting_point.__file__).read_text(encoding="utf-8")
    text = text.replace("NAME.py", path.name).replace("starting-point", module.replace("_", "-"))
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} is there already", "choose another name") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written", f"{error.strerror}") from None
    click.echo(f"{path} is written: netlab study ./{path}")
    return 0


def _say(text: str) -> None:
    """What goes on, where somebody watches."""
    from netlab.commands.main import complain

    if sys.stderr.isatty():
        complain(text)


def _pairs(settings: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set {text} sets nothing", "write it like --set rtt=100ms")
        pairs[name] = value
    return pairs
