"""Common statements about sockets, each tested by a study: held, false, or under a condition.

A statement is judged by what its study measured, and only where that study's own predictions hold:
an experiment that went otherwise than it should says nothing about others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from netlab.model.errors import CheckFailed
from netlab.show.escape import printable
from netlab.show.terminal.lines import Line, cells, fold
from netlab.studies.raised import reason
from netlab.studies.runner import Outcome, carry_out
from netlab.studies.study import Study


class Verdict(StrEnum):
    """What came of a statement."""

    HELD = "held"
    CONDITION = "if"  # held under the condition of its study
    FALSE = "false"
    UNTESTED = "open"  # its study could not be carried out, or did not hold itself


_STYLES = {
    Verdict.HELD: ("✓", "green"),
    Verdict.CONDITION: ("~", "yellow"),
    Verdict.FALSE: ("✗", "red"),
    Verdict.UNTESTED: ("?", "bold red"),
}
_WORDS = {
    Verdict.HELD: "held",
    Verdict.CONDITION: "under a condition",
    Verdict.FALSE: "false",
    Verdict.UNTESTED: "not tested",
}


@dataclass(frozen=True, slots=True)
class Judged:
    """A statement and what its study says of it.

    `why`: the condition under which it holds (of one that came out false, too: its study has met
    another), or why it is open.
    """

    text: str
    study: Study
    verdict: Verdict
    why: str = ""


def with_claims(studies: Iterable[Study]) -> list[Study]:
    """Those that test a statement."""
    return [study for study in studies if study.claims]


def judged(study: Study, say: Callable[[str], None]) -> Iterator[Judged]:
    """Carry a study out, once, and judge all of its statements."""
    lack = study.lacks()
    if lack:
        yield from _open(study, f"left out: {lack}")
        return
    try:
        outcome = carry_out(study, study.params({}), say=lambda text: say(f"{study.name}: {text}"))
    except CheckFailed as error:
        yield from _open(study, str(error))
        return
    if not outcome.holds:
        yield from _open(study, "a prediction of its study did not hold")
        return
    yield from _judged(outcome)


def _judged(outcome: Outcome) -> Iterator[Judged]:
    for claim in outcome.study.claims:
        try:
            held = all(claim.holds(run.evidence) for run in outcome.runs)
        except Exception as error:
            why = reason(error, claim.holds)
            yield Judged(claim.text, outcome.study, Verdict.UNTESTED, why)
            continue
        if not held:
            verdict = Verdict.FALSE
        else:
            verdict = Verdict.CONDITION if claim.condition else Verdict.HELD
        yield Judged(claim.text, outcome.study, verdict, claim.condition)


def _open(study: Study, why: str) -> Iterator[Judged]:
    for claim in study.claims:
        yield Judged(claim.text, study, Verdict.UNTESTED, why)


def judged_lines(one: Judged, names: int, width: int) -> list[Line]:
    """A statement, its verdict, and the study to run; below it the condition."""
    mark, style = _STYLES[one.verdict]
    label = f"{mark} {one.verdict:<5}  "
    room = width - cells(label) - 2 - names
    first, *rest = fold(printable(one.text.removesuffix(".")), room)
    indent = " " * cells(label)
    lines: list[Line] = [
        [(label, style), (f"{first:<{room}}  ", ""), (one.study.name, "cyan")],
        *([(indent + text, "")] for text in rest),
    ]
    if one.why:
        why = one.why if one.verdict is Verdict.UNTESTED else f"holds {one.why}"
        lines += [[(indent + text, "dim")] for text in fold(printable(why), room, "  ")]
    return lines


_LEGEND = {
    Verdict.HELD: "as it is said",
    Verdict.CONDITION: "so here, and not everywhere: it needs what stands below",
    Verdict.FALSE: "not so here; what stands below is where it would be",
    Verdict.UNTESTED: "its study could not tell",
}


def legend_lines(every: Iterable[Judged], width: int) -> list[Line]:
    """What the marks mean that there were."""
    there = {one.verdict for one in every}
    words = [f"{_STYLES[v][0]} {v}: {_LEGEND[v]}" for v in Verdict if v in there]
    return [[(line, "dim")] for line in fold("; ".join(words), width)]


def counted(every: Iterable[Judged]) -> str:
    """How many statements came out how."""
    count = Counter(one.verdict for one in every)
    all_of_them = "1 statement" if count.total() == 1 else f"{count.total()} statements"
    words = [f"{count[verdict]} {_WORDS[verdict]}" for verdict in Verdict if count[verdict]]
    return f"{all_of_them}: {', '.join(words)}"
