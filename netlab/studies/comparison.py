"""Predicted against measured: a table of each, the room there was, and how far off it came out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import zip_longest

from netlab.show.escape import printable
from netlab.show.terminal.lines import Line, cells, fold
from netlab.studies.quantity import Kind, Value, shown
from netlab.studies.runner import Checked

_HEADS = ("predicted", "room", "measured", "deviation")
_LEAST = 24  # columns of what is compared; where there are fewer, it has lines of its own
_MARK = 2
_INDENT = 4
_GAP = "  "


def comparison_lines(checks: Sequence[Checked], width: int, *, sources: bool) -> list[Line]:
    """A line for each prediction with its mark; below it its source, and why nothing was seen.

    Numbers stand in four columns. Words, which are longer and have no room, take two of them.
    """
    columns = _number_columns(checks)
    halves = _halves(checks, columns, width - _MARK - _LEAST - 2 * len(_GAP))
    beside = width - _MARK - sum(halves) - 2 * len(_GAP)
    if beside < _LEAST:
        if _need(columns[:2], 0) + _need(columns[2:], 2) > width - _INDENT - len(_GAP):
            columns = []  # even so too narrow: numbers are told as words are
        halves = _halves(checks, columns, width - _INDENT - len(_GAP))
        beside = 0
    lines: list[Line] = [_head(columns, halves, beside)]
    for check in checks:
        lines += _row(check, columns, halves, beside, width)
        if check.why:
            lines += [[(f"    {text}", "red")] for text in fold(printable(check.why), width - 4)]
        if sources:
            why = check.source if not check.because else f"{check.source}; room: {check.because}"
            lines += [[(f"    {text}", "dim")] for text in fold(why, width - 4)]
    return lines


def missed(check: Checked) -> str:
    """What did not hold, in words."""
    if check.why:
        return f"{check.what}: {check.why}"
    measured = shown(check.kind, check.measured)
    predicted = foreseen(check)
    off = deviation(check.kind, check.predicted, check.measured)
    return f"{check.what}: {measured}, predicted {predicted}{f', off by {off}' if off else ''}"


def foreseen(check: Checked) -> str:
    """What was predicted, and the room it has: `40.0 ms (room -1/+40 ms)`."""
    if check.predicted is None:
        return "not known"
    value = shown(check.kind, check.predicted)
    if check.kind is Kind.WORD or (check.less, check.more) == (0, 0):
        return value
    return f"{value} (room {room(check.kind, check.less, check.more)})"


def room(kind: Kind, less: int, more: int) -> str:
    """`exact`, `±4 ms`, `-1/+40 ms`."""
    if less == more:
        return f"±{_round(kind, more)}" if more else "exact"
    low, high = _round(kind, less), _round(kind, more)
    unit = high.rpartition(" ")[2]
    if more and low.endswith(f" {unit}"):
        low = low.removesuffix(f" {unit}")
    return f"-{low if less else 0}/+{high if more else 0}"


def deviation(kind: Kind, predicted: Value | None, measured: Value | None) -> str:
    """How much more (+) or less (-) was measured; empty for what is no number."""
    if not isinstance(predicted, int) or isinstance(measured, str) or measured is None:
        return ""
    off = measured - predicted
    return f"{'+' if off > 0 else '-'}{shown(kind, abs(off))}" if off else "0"


def _round(kind: Kind, value: int) -> str:
    """A room is whole: without the zeros of `40.0 ms`."""
    return re.sub(r"\.0+(?= )", "", shown(kind, value))


def _numbers(check: Checked) -> tuple[str, str, str, str] | None:
    """The cells of a number; None for words, and for a word in the place of a number."""
    if not isinstance(check.predicted, int) or isinstance(check.measured, str):
        return None
    return (
        shown(check.kind, check.predicted),
        room(check.kind, check.less, check.more),
        shown(check.kind, check.measured),
        deviation(check.kind, check.predicted, check.measured),
    )


def _words(check: Checked) -> tuple[str, str]:
    off = deviation(check.kind, check.predicted, check.measured)
    more = f" (deviation {off})" if off else ""
    return foreseen(check), printable(shown(check.kind, check.measured)) + more


def _number_columns(checks: Sequence[Checked]) -> list[int]:
    """How wide the four columns are; none where there are no numbers."""
    rows = [row for row in map(_numbers, checks) if row is not None]
    return [max(map(cells, column)) for column in zip(_HEADS, *rows, strict=True)] if rows else []


def _halves(checks: Sequence[Checked], columns: Sequence[int], most: int) -> tuple[int, int]:
    """How wide predicted and measured are: as numbers need, and words as there is room for."""
    need = [_need(columns[:2], 0), _need(columns[2:], 2)]
    words = [_words(check) for check in checks if not columns or _numbers(check) is None]
    want = [max([least, *(cells(pair[side]) for pair in words)]) for side, least in enumerate(need)]
    while sum(want) > most and want != need:
        side = 0 if want[0] - need[0] >= want[1] - need[1] else 1
        want[side] -= 1
    return want[0], want[1]


def _need(columns: Sequence[int], head: int) -> int:
    return max(cells(_HEADS[head]), sum(columns) + len(_GAP) * (len(columns) - 1))


def _pair(texts: Sequence[str], columns: Sequence[int]) -> str:
    return _GAP.join(
        " " * (wide - cells(text)) + text for text, wide in zip(texts, columns, strict=True)
    )


def _head(columns: Sequence[int], halves: tuple[int, int], beside: int) -> Line:
    if columns:
        texts = _pair(_HEADS[:2], columns[:2]), _pair(_HEADS[2:], columns[2:])
    else:
        texts = _HEADS[0], _HEADS[2]
    before = _MARK + beside + len(_GAP) if beside else _INDENT
    return [(" " * before + f"{texts[0]:<{halves[0]}}{_GAP}{texts[1]}", "dim")]


def _row(
    check: Checked, columns: Sequence[int], halves: tuple[int, int], beside: int, width: int
) -> list[Line]:
    mark, style = ("✓ ", "green") if check.holds else ("✗ ", "bold red")
    numbers = _numbers(check) if columns else None
    if numbers is None:
        predicted, measured = (
            fold(text, half) for text, half in zip(_words(check), halves, strict=True)
        )
    else:
        predicted = [_pair(numbers[:2], columns[:2])]
        measured = [_pair(numbers[2:], columns[2:])]
    what = fold(check.what, beside or width - _MARK)
    lines: list[Line] = []
    if not beside:
        lines = [
            [("  " if number else mark, style), (text, "")] for number, text in enumerate(what)
        ]
        what = []
    for number, (left, said, found) in enumerate(
        zip_longest(what, predicted, measured, fillvalue="")
    ):
        start: Line = (
            [("  " if number else mark, style), (_filled(left, beside) + _GAP, "")]
            if beside
            else [(" " * _INDENT, "")]
        )
        lines.append([*start, (_filled(said, halves[0]) + _GAP, ""), (found, style)])
    return lines


def _filled(text: str, width: int) -> str:
    return text + " " * (width - cells(text))
