"""A plot in a terminal: a few series over one axis. Drawn by uniplot, imported only here.

The marks of the axes are ours: uniplot writes them with as few digits as tell them apart, so that
a mark at half a power of ten, or at 2.5, is written as another number.
"""

from __future__ import annotations

from collections.abc import Sequence

from netlab.show.terminal.lines import Line
from netlab.studies.axis import Axis
from netlab.studies.quantity import Kind

_HEIGHT = 14
_AXIS_ROOM = 14  # columns that the labels of the upright axis and the frame take

Series = tuple[str, Sequence[tuple[int, int]]]


def plot_lines(
    title: str,
    series: Sequence[Series],
    across: Kind,
    upright: Kind,
    width: int,
    *,
    log: bool = False,
    colours: bool = False,
) -> list[Line]:
    """The series as lines of block signs; without colours each has a panel of its own."""
    kept = [
        (name, [(x, y) for x, y in points if not log or min(x, y) > 0]) for name, points in series
    ]  # by powers there is no place for nothing
    drawn = [one for one in kept if one[1]]
    if not drawn:
        return []
    xs = [x for _, points in drawn for x, _ in points]
    ys = [y for _, points in drawn for _, y in points]
    axes = (
        Axis(across, min(xs), max(max(xs), min(xs) + 1), log),
        Axis.upright(upright, min(ys), max(ys), log=log),
    )
    panels = [drawn] if colours else [[one] for one in drawn]
    lines: list[Line] = [[(title, "bold")]]
    for panel in panels:
        lines += [[(text, "")] for text in _panel(panel, axes, width - _AXIS_ROOM, colours)]
    return lines


def _panel(
    panel: Sequence[Series], axes: tuple[Axis, Axis], columns: int, colours: bool
) -> list[str]:
    from uniplot import plot_to_string

    across, upright = axes
    drawn = plot_to_string(
        xs=[[x for x, _ in points] for _, points in panel],
        ys=[[y for _, y in points] for _, points in panel],
        legend_labels=[name for name, _ in panel],
        x_min=across.least,
        x_max=across.most,
        y_min=upright.least,
        y_max=upright.most,
        x_as_log=across.log,
        y_as_log=upright.log,
        x_labels=False,
        y_labels=False,
        width=columns,
        height=_HEIGHT,
        lines=True,
        color=colours,
    )
    top, *rows = drawn if isinstance(drawn, list) else drawn.split("\n")
    for value, label in upright.marks():
        row = _HEIGHT - 1 - upright.cell(value, _HEIGHT)
        if rows[row].endswith("│"):  # one mark in a row
            rows[row] += f" {label}"
    rows.insert(_HEIGHT + 1, _across(across, columns))
    return [top, *rows]


def _across(axis: Axis, columns: int) -> str:
    """The marks of the lower axis, each below its column, those that have room."""
    line = ""
    for value, label in axis.marks():
        middle = 1 + axis.cell(value, columns)
        start = min(max(0, middle - len(label) // 2), columns + 2 - len(label))
        if not line or start > len(line):
            line = line.ljust(start) + label
    return line
