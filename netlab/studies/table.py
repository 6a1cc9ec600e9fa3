"""Rows of cells as lines of a page: columns as wide as they need, folded where the page is not."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, zip_longest

from netlab.show.escape import printable
from netlab.show.terminal.lines import Line, cells, fold

_LEAST = 8  # columns that a cell keeps, whatever the page's width
_GAP = "  "


def table_lines(rows: Sequence[Sequence[str]], width: int) -> list[Line]:
    """The rows, the first of them as heads. The widest columns give way where it is too narrow.

    A row without a cell ends a table: what follows is another one, with heads of its own.
    """
    lines: list[Line] = []
    for has_cells, group in groupby(rows, key=bool):
        lines += _table([*group], width) if has_cells else [[]]
    return lines


def _table(rows: Sequence[Sequence[str]], width: int) -> list[Line]:
    texts = [[printable(text) for text in row] for row in rows]
    widths = _widths(texts, width)
    return [
        line for number, row in enumerate(texts) for line in _row(row, widths, head=number == 0)
    ]


def _widths(rows: Sequence[Sequence[str]], width: int) -> list[int]:
    widths = [max(map(cells, column)) for column in zip(*rows, strict=True)]
    room = width - len(_GAP) * (len(widths) - 1)
    while sum(widths) > room and max(widths) > _LEAST:
        widths[widths.index(max(widths))] -= 1
    return widths


def _row(row: Sequence[str], widths: Sequence[int], *, head: bool) -> list[Line]:
    folded = [fold(text, columns) for text, columns in zip(row, widths, strict=True)]
    lines: list[Line] = []
    for texts in zip_longest(*folded, fillvalue=""):
        line: Line = []
        for place, (text, columns) in enumerate(zip(texts, widths, strict=True)):
            style = "dim" if head else "cyan" if place == 0 else ""
            line.append((text + " " * (columns - cells(text)) + _GAP, style))
        lines.append(line)
    return lines
