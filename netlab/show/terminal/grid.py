"""A Polars frame as lines: a table where it fits, else each row as a block of names and values."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from netlab.show.escape import printable
from netlab.show.format import count
from netlab.show.terminal.lines import Line, fold, left_out_line

if TYPE_CHECKING:
    import polars as pl

NULL = "·"  # what is not known: no text of a table is this


def grid_lines(found: pl.DataFrame, width: int, limit: int) -> list[Line]:
    """At most `limit` rows (0: all), then how many there are more."""
    kept = found.head(limit) if limit else found
    names = [printable(name) for name in kept.columns]
    cells = [[_text(value) for value in row] for row in kept.iter_rows()]
    sizes = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    if sum(sizes) + 2 * (len(sizes) - 1) <= width:
        right = [dtype.is_numeric() for dtype in kept.dtypes]
        lines = [_row(names, sizes, right, "dim")]
        lines += [_row(row, sizes, right, "") for row in cells]
    else:
        lines = _blocks(names, cells, width)
    left = found.height - kept.height
    if left:
        lines.append(left_out_line(left))
    elif not cells:
        lines.append([(f"({count(0, 'row')})", "italic")])
    return lines


def _row(texts: list[str], sizes: list[int], right: list[bool], style: str) -> Line:
    padded = [
        text.rjust(size) if to_right else text.ljust(size)
        for text, size, to_right in zip(texts, sizes, right, strict=True)
    ]
    return [("  ".join(padded), style)]


def _blocks(names: list[str], cells: list[list[str]], width: int) -> list[Line]:
    widest = max(map(len, names))
    lines: list[Line] = []
    for number, row in enumerate(cells, 1):
        if number > 1:
            lines.append([])
        lines.append([(f"row {number}", "bold")])
        for name, text in zip(names, row, strict=True):
            first, *rest = fold(text, width - widest - 4)
            lines.append([(f"  {name:<{widest}}  ", "dim"), (first, "")])
            lines += [[(" " * (widest + 4) + more, "")] for more in rest]
    return lines


def _text(value: Any) -> str:
    if value is None:
        return NULL
    if isinstance(value, list):
        return json.dumps(value, default=str)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6g}"
    return printable(str(value))
