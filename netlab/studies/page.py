"""A study as a page in a terminal: before the experiment, and after it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from netlab.show.escape import printable
from netlab.show.terminal.ladder import ladder_lines
from netlab.show.terminal.lines import Line, fold
from netlab.show.views.excerpt import excerpt
from netlab.show.views.ladder import ladder, limited
from netlab.show.views.marks import Ladder
from netlab.studies.comparison import comparison_lines, missed
from netlab.studies.guess import judged
from netlab.studies.parts import TICK_NS, TURN_NS
from netlab.studies.plot import plot_lines
from netlab.studies.quantity import Kind, Value, shown, typed
from netlab.studies.runner import Outcome, Run
from netlab.studies.study import Drawn, Expect, Parameter, Params, Study
from netlab.studies.table import table_lines

LADDER_ROWS = 30
_MARGIN_NS = 1_000  # around the moment, so that its first and last event are in it


def list_lines(studies: Mapping[str, Study], about: Mapping[str, str], width: int) -> list[Line]:
    """The catalogue: topics, and for each study its name and in a line what it is about."""
    names = max(map(len, studies), default=0)
    lines: list[Line] = []
    topic = None
    for name, study in studies.items():
        if study.topic is not topic:
            topic = study.topic
            lines += [*([[]] if lines else []), [(topic.value, "bold")]]
        first, *rest = fold(about[name], width - names - 4)
        lines.append([(f"  {name:<{names}}  ", "cyan"), (first, "")])
        lines += [[(" " * (names + 4) + more, "")] for more in rest]
    return lines


def before_lines(
    study: Study, p: Params, width: int, *, tell: bool = True, full: bool = False
) -> list[Line]:
    """The question, how it is put, and (`tell`) what is expected; `full`: of a long sweep."""
    swept = study.sweep.taken(full) if study.sweep is not None else ()
    lines: list[Line] = [[(study.name, "bold cyan"), (f"  {study.topic.value}", "dim")], []]
    lines += _paragraph(study.text(study.question, p, swept), width, "bold")
    lines += [[], *_paragraph(study.text(study.setup, p, swept), width)]
    if study.parameters:
        set_to = "; ".join(_set_to(study, one, p, swept) for one in study.parameters)
        lines += [[], *_labelled("parameters", set_to, width, "dim")]
    if tell:
        prediction = study.text(study.prediction, p, swept)
        lines += [[], *_labelled("prediction", prediction, width, "yellow")]
    return lines


def _set_to(study: Study, one: Parameter, p: Params, swept: Iterable[int]) -> str:
    """What a parameter is; of the one that is swept all that it will be, in place of a default."""
    is_swept = study.sweep is not None and study.sweep.parameter == one.name
    values = swept if is_swept else (p[one.name],)
    return f"{one.name}={', '.join(typed(one.kind, value) for value in values)} ({one.text})"


def guess_lines(outcome: Outcome, at: int, guess: Value, width: int) -> list[Line]:
    """What the reader said of one expectation of the last run, against what was measured; then
    what the study says."""
    study, last = outcome.study, outcome.runs[-1]
    check = last.checks[at]
    found = shown(check.kind, check.measured)
    more = ""
    if isinstance(guess, int) and isinstance(check.measured, int):
        right, more = judged(check, guess, check.measured)
    else:
        right = _plainly(f"{guess}") == _plainly(found)
    of = f" ({of_run(study, last.p)})" if study.sweep is not None else ""
    text = f"{shown(check.kind, guess)}, it was {found}{of}{more}"
    mark, style = ("✓ ", "bold green") if right else ("✗ ", "bold red")
    first, *rest = _labelled("you said", printable(text), width - 2, style)
    lines: list[Line] = [[], [(mark, style), *first], *([("  ", ""), *line] for line in rest)]
    prediction = outcome.text(study.prediction)
    return [*lines, [], *_labelled("prediction", prediction, width, "yellow")]


def _plainly(words: str) -> str:
    """Words as they are compared with a reader's: letters and digits."""
    return " ".join(re.findall(r"\w+", words.casefold()))


def of_run(study: Study, p: Params) -> str:
    """Which run of a sweep it is: `rtt=50ms`."""
    assert study.sweep is not None
    name = study.sweep.parameter
    return f"{name}={study.typed(name, p[name])}"


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
    """What did not hold, in words; empty where all did."""
    found = []
    for run in outcome.runs:
        of = f"{of_run(outcome.study, run.p)}: " if outcome.study.sweep is not None else ""
        found += [of + missed(check) for check in run.checks if not check.holds]
        found += [of + fault for fault in run.told.faults]
    return "; ".join(found)


def after_lines(outcome: Outcome, width: int, *, colours: bool) -> list[Line]:
    """The telling moment, what was measured against what was predicted, and the verdict."""
    study = outcome.study
    last = outcome.runs[-1]
    lines: list[Line] = []
    story = moment_lines(last, width)
    if story:
        lines += [[], *story]
    if last.told.seen:
        lines += [[], *_paragraph(printable(last.told.seen), width)]
    shown_as = figure_lines(last, width, colours=colours)
    if shown_as:
        lines += [[], *shown_as]
    for fault in last.told.faults:
        lines += [[], *_labelled("✗", f"not told, {printable(fault)}", width, "bold red")]
    if study.sweep is not None:
        lines += [[], *plot_of_sweep(outcome, width, colours)]
    lines += [[], *measured_lines(outcome, width), *words_lines(outcome, width)]
    checks = [check for run in outcome.runs for check in run.checks]
    held = sum(check.holds for check in checks)
    mark, style = ("✓", "bold green") if outcome.holds else ("✗", "bold red")
    verdict = f"{held} of {len(checks)} predictions hold"
    lines += [[], [(f"{mark} ", style), (verdict, style), (f"  {outcome.took_s:.1f} s", "dim")]]
    lines += [[], *_labelled("try next", outcome.text(study.next), width, "cyan")]
    return lines


def figure_lines(run: Run, width: int, *, colours: bool) -> list[Line]:
    """The study's own table and curves; empty where it has none."""
    lines: list[Line] = []
    if run.told.table:
        lines += table_lines(run.told.table, width)
    for curves in run.told.curves:
        lines += [[]] if lines else []
        lines += plot_lines(
            curves.title, curves.series, curves.across, curves.upright, width,
            log=curves.log, colours=colours,
        )  # fmt: skip
    return lines


def measured_lines(outcome: Outcome, width: int) -> list[Line]:
    """Predicted against measured; of a sweep, for each value of its parameter."""
    lines: list[Line] = []
    for run in outcome.runs:
        lines += [[]] if lines else []
        if outcome.study.sweep is not None:
            lines.append([(of_run(outcome.study, run.p), "bold")])
        lines += comparison_lines(run.checks, width, sources=run is outcome.runs[-1])
    return lines


_EXPLAINED = {
    "room": "how far the measured may be off the predicted, to less and to more",
    "turn": "how long who can run may wait for a processor, here up to "
    f"{shown(Kind.TIME, TURN_NS)}",
    "tick": f"what most kernels count their timers in, {shown(Kind.TIME, TICK_NS)}",
}


def words_lines(outcome: Outcome, width: int) -> list[Line]:
    """What the words of the comparison mean, those that it uses; empty where it uses none."""
    checks = [check for run in outcome.runs for check in run.checks]
    said = " ".join(check.because for check in checks)
    used = [word for word in ("turn", "tick") if re.search(rf"\b{word}s?\b", said)]
    if any((check.less, check.more) != (0, 0) for check in checks):
        used.insert(0, "room")
    if not used:
        return []
    words = "; ".join(f"{word}: {_EXPLAINED[word]}" for word in used)
    return [[], *_paragraph(words, width, "dim")]


def plot_of_sweep(outcome: Outcome, width: int, colours: bool) -> list[Line]:
    """What the sweep draws, over the parameter that was swept."""
    study = outcome.study
    sweep = study.sweep
    assert sweep is not None
    kind = next(one.kind for one in study.parameters if one.name == sweep.parameter)
    places = [run.p[sweep.parameter] for run in outcome.runs]
    series = []
    for name, at, of in sweep.drawn:
        values = [_side(run, study.expects[at], of) for run in outcome.runs]
        pairs = zip(places, values, strict=True)
        series.append((name, [(x, y) for x, y in pairs if isinstance(y, int)]))
    expect = study.expects[sweep.drawn[0][1]]
    title = f"{sweep.title or expect.what}, over {sweep.parameter}"
    return plot_lines(title, series, kind, expect.kind, width, log=sweep.log, colours=colours)


def _side(run: Run, expect: Expect, of: Drawn) -> Value | None:
    """What is drawn of an expectation: what was measured only where it applies."""
    check = next((one for one in run.checks if one.what == expect.what), None)
    if of is Drawn.MEASURED:
        return check.measured if check is not None else None
    return check.predicted if check is not None else expect.predicted(run.p)


def moment_ladder(run: Run) -> Ladder | None:
    """The telling moment as a ladder, whole; None where a study has none to show."""
    evidence, told = run.evidence, run.told
    if told.connection is None:
        return None
    whole = ladder(evidence.tables, evidence.raw, evidence.tables.connections[told.connection])
    if not told.moment:
        return whole
    return excerpt(whole, [(start - _MARGIN_NS, stop + _MARGIN_NS) for start, stop in told.moment])


def moment_lines(run: Run, width: int) -> list[Line]:
    """The ladder of the telling moment; empty where a study has none to show."""
    found = moment_ladder(run)
    return ladder_lines(limited(found, LADDER_ROWS), width) if found is not None else []


def _paragraph(text: str, width: int, style: str = "") -> list[Line]:
    return [[(line, style)] for line in fold(text, width)]


def _labelled(label: str, text: str, width: int, style: str) -> list[Line]:
    first, *rest = fold(text, width - len(label) - 2)
    indent = " " * (len(label) + 2)
    return [[(f"{label}  ", style), (first, "")], *([(indent + line, "")] for line in rest)]
