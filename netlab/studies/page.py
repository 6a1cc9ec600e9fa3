"""A study as a page in a terminal: before the experiment, and after it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest

from netlab.show.escape import printable
from netlab.show.terminal.ladder import ladder_lines
from netlab.show.terminal.lines import Line, fold
from netlab.show.views.excerpt import excerpt
from netlab.show.views.ladder import ladder, limited
from netlab.show.views.marks import Ladder
from netlab.studies.evidence import Evidence
from netlab.studies.plot import plot_lines
from netlab.studies.quantity import Kind, Value, shown, typed
from netlab.studies.runner import Checked, Outcome
from netlab.studies.study import Params, Study
from netlab.studies.table import table_lines

LADDER_ROWS = 30
_MARGIN_NS = 1_000  # around the moment, so that its first and last event are in it


def list_lines(studies: Iterable[Study], width: int) -> list[Line]:
    """The catalogue: topics, and a line or two for each study."""
    every = list(studies)
    names = max((len(study.name) for study in every), default=0)
    lines: list[Line] = []
    topic = None
    for study in every:
        if study.topic is not topic:
            topic = study.topic
            lines += [*([[]] if lines else []), [(topic.value, "bold")]]
        first, *rest = fold(study.text(study.question, study.params({})), width - names - 4)
        lines.append([(f"  {study.name:<{names}}  ", "cyan"), (first, "")])
        lines += [[(" " * (names + 4) + more, "")] for more in rest]
    return lines


def before_lines(study: Study, p: Params, width: int, *, tell: bool = True) -> list[Line]:
    """The question, how it is put, and (`tell`) what is expected."""
    lines: list[Line] = [[(study.name, "bold cyan"), (f"  {study.topic.value}", "dim")], []]
    lines += _paragraph(study.text(study.question, p), width, "bold")
    lines += [[], *_paragraph(study.text(study.setup, p), width)]
    if study.parameters:
        set_to = ", ".join(
            f"{one.name}={typed(one.kind, p[one.name])} ({one.text})" for one in study.parameters
        )
        lines += [[], *_labelled("parameters", set_to, width, "dim")]
    if tell:
        lines += [[], *_labelled("prediction", study.text(study.prediction, p), width, "yellow")]
    return lines


def guess_lines(outcome: Outcome, guess: Value | None, width: int) -> list[Line]:
    """What the reader said, against what was measured; then what the study says."""
    study, last = outcome.study, outcome.runs[-1]
    check = last.checks[0]
    said, found = shown(check.kind, guess), shown(check.kind, check.measured)
    off = ""
    if isinstance(guess, int) and isinstance(check.measured, int) and guess != check.measured:
        off = f": off by {shown(check.kind, abs(guess - check.measured))}"
    lines: list[Line] = [[], *_labelled("you said", f"{said}, it was {found}{off}", width, "bold")]
    return [
        *lines,
        [],
        *_labelled("prediction", study.text(study.prediction, last.p), width, "yellow"),
    ]


def skipped_line(study: Study, names: int, lack: str) -> Line:
    """A study that this kernel cannot show."""
    return [("- ", "dim"), (f"{study.name:<{names}}  ", "cyan"), (f"left out: {lack}", "dim")]


def all_lines(
    study: Study, names: int, held: int, times: int, took_s: float, said: str, width: int
) -> list[Line]:
    """One study of the whole catalogue."""
    mark, style = ("✓ ", "green") if held == times else ("✗ ", "bold red")
    often = f"  {held} of {times} times" if times > 1 else ""
    line: Line = [
        (mark, style),
        (f"{study.name:<{names}}", "cyan"),
        (f"  {took_s:5.1f} s{often}", ""),
    ]
    if held == times:
        return [line]
    return [line, *([(f"    {text}", "red")] for text in fold(printable(said), width - 4))]


def failures(outcome: Outcome) -> str:
    """What did not hold, in words."""
    return "; ".join(
        f"{check.what}: {shown(check.kind, check.measured)}, predicted {_predicted(check)}"
        for run in outcome.runs
        for check in run.checks
        if not check.holds
    )


def after_lines(outcome: Outcome, width: int, *, colours: bool) -> list[Line]:
    """The telling moment, what was measured against what was predicted, and the verdict."""
    study = outcome.study
    last = outcome.runs[-1]
    lines: list[Line] = []
    story = moment_lines(study, last.evidence, width)
    if story:
        lines += [[], *story]
    seen = study.seen(last.evidence)
    if seen:
        lines += [[], *_paragraph(printable(seen), width)]
    shown_as = figure_lines(study, last.evidence, width, colours=colours)
    if shown_as:
        lines += [[], *shown_as]
    if study.sweep is not None:
        lines += [[], *plot_of_sweep(outcome, width, colours)]
    lines += [[], *measured_lines(outcome, width)]
    checks = [check for run in outcome.runs for check in run.checks]
    held = sum(check.holds for check in checks)
    mark, style = ("✓", "bold green") if outcome.holds else ("✗", "bold red")
    verdict = f"{held} of {len(checks)} predictions hold"
    lines += [[], [(f"{mark} ", style), (verdict, style), (f"  {outcome.took_s:.1f} s", "dim")]]
    lines += [[], *_labelled("try next", study.text(study.next, last.p), width, "cyan")]
    return lines


def figure_lines(study: Study, evidence: Evidence, width: int, *, colours: bool) -> list[Line]:
    """The study's own table and curves; empty where it has none."""
    lines: list[Line] = []
    rows = study.table(evidence)
    if rows:
        lines += table_lines(rows, width)
    curves = study.curves(evidence)
    if curves is not None:
        lines += [[]] if lines else []
        lines += plot_lines(
            curves.title, curves.series, curves.across, curves.upright, width,
            log=curves.log, colours=colours,
        )  # fmt: skip
    return lines


def measured_lines(outcome: Outcome, width: int) -> list[Line]:
    """Predicted against measured; of a sweep, for each value of its parameter."""
    study = outcome.study
    lines: list[Line] = []
    for run in outcome.runs:
        lines += [[]] if lines else []
        if study.sweep is not None:
            name = study.sweep.parameter
            lines.append([(f"{name}={study.typed(name, run.p[name])}", "bold")])
        lines += _table(run.checks, width, sources=run is outcome.runs[-1])
    return lines


def plot_of_sweep(outcome: Outcome, width: int, colours: bool) -> list[Line]:
    """The first expectation over the parameter that was swept."""
    study = outcome.study
    sweep = study.sweep
    assert sweep is not None
    expect = study.expects[0]
    kind = next(one.kind for one in study.parameters if one.name == sweep.parameter)
    places = [run.p[sweep.parameter] for run in outcome.runs]
    series = [
        (name, [(x, y) for x, y in zip(places, values, strict=True) if isinstance(y, int)])
        for name, values in (
            ("predicted", [run.checks[0].predicted for run in outcome.runs]),
            ("measured", [run.checks[0].measured for run in outcome.runs]),
        )
    ]
    title = f"{expect.what}, over {sweep.parameter}"
    return plot_lines(title, series, kind, expect.kind, width, log=sweep.log, colours=colours)


def repeat_lines(outcome: Outcome, number: int, width: int) -> list[Line]:
    """One of several runs in a line: what was measured, and what did not hold in red."""
    mark, style = ("✓", "green") if outcome.holds else ("✗", "bold red")
    line: Line = [(f"{number:>4} {mark} ", style)]
    for run in outcome.runs:
        for check in run.checks:
            text = f"{shown(check.kind, check.measured)}  "
            line.append((text, "" if check.holds else "bold red"))
    return [line]


def moment_ladder(study: Study, evidence: Evidence) -> Ladder | None:
    """The telling moment as a ladder, whole; None where a study has none to show."""
    chosen = study.shown(evidence)
    if chosen is None:
        return None
    whole = ladder(evidence.tables, evidence.raw, evidence.tables.connections[chosen])
    windows = study.moment(evidence)
    if not windows:
        return whole
    return excerpt(whole, [(start - _MARGIN_NS, stop + _MARGIN_NS) for start, stop in windows])


def moment_lines(study: Study, evidence: Evidence, width: int) -> list[Line]:
    """The ladder of the telling moment; empty where a study has none to show."""
    found = moment_ladder(study, evidence)
    return ladder_lines(limited(found, LADDER_ROWS), width) if found is not None else []


def _table(checks: Sequence[Checked], width: int, *, sources: bool) -> list[Line]:
    """A line for each prediction: its mark, what it is of, predicted, measured; its source."""
    heads = ("", "predicted", "measured")
    rows = [(check, _predicted(check), shown(check.kind, check.measured)) for check in checks]
    most = (width - 6) // 3  # of a long word: what is compared needs room, too
    second = min(most, max(len(heads[1]), *(len(row[1]) for row in rows)))
    third = min(most, max(len(heads[2]), *(len(row[2]) for row in rows)))
    first = width - second - third - 6
    lines: list[Line] = [
        [("  " + " " * first, ""), (f"  {heads[1]:>{second}}  {heads[2]:>{third}}", "dim")]
    ]
    for check, predicted, measured in rows:
        mark, style = ("✓ ", "green") if check.holds else ("✗ ", "bold red")
        columns = (
            fold(check.what, first),
            fold(predicted, second),
            fold(printable(measured), third),
        )
        for number, (what, said, found) in enumerate(zip_longest(*columns, fillvalue="")):
            lines.append([
                ("  " if number else mark, style), (f"{what:<{first}}", ""),
                (f"  {said:>{second}}", ""), (f"  {found:>{third}}", style),
            ])  # fmt: skip
        if not sources:
            continue
        why = check.source if not check.because else f"{check.source}; room: {check.because}"
        lines += [[(f"    {text}", "dim")] for text in fold(why, width - 4)]
    return lines


def _predicted(check: Checked) -> str:
    value = shown(check.kind, check.predicted)
    if check.kind is Kind.WORD or (check.less, check.more) == (0, 0):
        return value
    if check.less == check.more:
        return f"{value} ±{shown(check.kind, check.more)}"
    assert isinstance(check.predicted, int)
    low, high = max(check.predicted - check.less, 0), check.predicted + check.more
    return f"{shown(check.kind, low)} to {shown(check.kind, high)}"


def _paragraph(text: str, width: int, style: str = "") -> list[Line]:
    return [[(line, style)] for line in fold(text, width)]


def _labelled(label: str, text: str, width: int, style: str) -> list[Line]:
    first, *rest = fold(text, width - len(label) - 2)
    indent = " " * (len(label) + 2)
    return [[(f"{label}  ", style), (first, "")], *([(indent + line, "")] for line in rest)]
