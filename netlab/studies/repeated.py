"""A study carried out many times, as lines: what each column is, each run, and all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from statistics import median_low
from typing import TypeVar

from netlab.show.escape import printable
from netlab.show.terminal.lines import Line, cells, fold
from netlab.studies.comparison import foreseen
from netlab.studies.page import of_run
from netlab.studies.quantity import Kind, shown
from netlab.studies.runner import Checked, Outcome
from netlab.studies.table import table_lines

Named = list[tuple[str, Checked]]
_T = TypeVar("_T")

_BEFORE = 7  # columns of the run's number and its mark
_CELL = 11


def legend_lines(outcome: Outcome, width: int) -> list[Line]:
    """What was predicted, by the letters that then stand above what was measured."""
    every = named(outcome)
    letters = list(islice(_letters(), len(every)))
    lines: list[Line] = []
    for letter, (what, check) in zip(letters, every, strict=True):
        first, *rest = fold(f"{what}: predicted {foreseen(check)}", width - 4)
        lines.append([(f"{letter:<2}  ", "cyan"), (first, "")])
        lines += [[("    " + more, "")] for more in rest]
    lines.append([])
    for number, row in enumerate(_rows(letters, width)):
        start = f"{'run':>4}" if number == 0 else ""
        lines.append([(f"{start:<{_BEFORE}}" + "".join(f"{one:>{_CELL}}" for one in row), "cyan")])
    return lines


def run_lines(outcome: Outcome, number: int, width: int) -> list[Line]:
    """One run: each number that was measured, ✓ for a word that holds; red is what does not."""
    mark, style = ("✓", "green") if outcome.holds else ("✗", "bold red")
    checks = [check for run in outcome.runs for check in run.checks]
    lines: list[Line] = []
    for at, row in enumerate(_rows(checks, width)):
        start: Line = [(f"{number:>4} {mark} ", style)] if at == 0 else [(" " * _BEFORE, "")]
        lines.append([*start, *(_cell(check) for check in row)])
    for run in outcome.runs:
        for check in run.checks:
            if check.why:
                lines += _below(f"{check.what}: {check.why}", width)
            elif not check.holds and cells(_worded(check)) > _CELL - 1:
                lines += _below(f"{check.what}: {shown(check.kind, check.measured)}", width)
        for fault in run.told.faults:
            lines += _below(fault, width)
    return lines


def all_runs_lines(runs: Iterable[Named], width: int) -> list[Line]:
    """Of each prediction, by its letter: how often it held, and between what the numbers lay."""
    rows: list[tuple[str, ...]] = [("", "least", "median", "most", "held")]
    for letter, column in zip(_letters(), zip(*runs, strict=True), strict=False):
        kind = column[0][1].kind
        held = sum(check.holds for _, check in column)
        numbers = sorted(c.measured for _, c in column if isinstance(c.measured, int))
        between = (numbers[0], median_low(numbers), numbers[-1]) if numbers else ()
        found = [shown(kind, value) for value in between] or [""] * 3
        rows.append((letter, *found, f"{held} of {len(column)}"))
    return table_lines(rows, width)


def named(outcome: Outcome) -> Named:
    """Each prediction and what it is of; of a sweep, with the value of its parameter."""
    found = []
    for run in outcome.runs:
        of = f"{of_run(outcome.study, run.p)}, " if outcome.study.sweep is not None else ""
        found += [(of + check.what, check) for check in run.checks]
    return found


def _letters() -> Iterator[str]:
    """a, b, ... z, aa, ab, ...: a number would be taken for what was measured."""
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    yield from alphabet
    yield from (first + second for first in alphabet for second in alphabet)


def _rows(every: Sequence[_T], width: int) -> list[Sequence[_T]]:
    each = max((width - _BEFORE) // _CELL, 1)
    return [every[at : at + each] for at in range(0, len(every), each)]


def _worded(check: Checked) -> str:
    if check.holds and (check.kind is Kind.WORD or isinstance(check.measured, str)):
        return "✓"
    return printable(shown(check.kind, check.measured))


def _cell(check: Checked) -> tuple[str, str]:
    text = _worded(check)
    if cells(text) > _CELL - 1:
        text = "✗ below"
    return (" " * (_CELL - cells(text)) + text, "" if check.holds else "bold red")


def _below(text: str, width: int) -> list[Line]:
    return [[(" " * _BEFORE + line, "red")] for line in fold(printable(text), width - _BEFORE)]
