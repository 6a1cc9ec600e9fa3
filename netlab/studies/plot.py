"""A plot in a terminal: a few series over one axis. Drawn by uniplot, imported only here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from netlab.show.terminal.lines import Line
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
    """The series as lines of braille dots; without colours each has a panel of its own."""
    drawn = [one for one in series if one[1]]
    if not drawn:
        return []
    panels = [drawn] if colours else [[one] for one in drawn]
    scales = _scale(across, drawn, 0), _scale(upright, drawn, 1)
    lines: list[Line] = [[(title, "bold")]]
    for panel in panels:
        lines += _panel(panel, drawn, scales, width, log, colours)
    return lines


def _panel(
    panel: Sequence[Series],
    every: Sequence[Series],
    scales: tuple[tuple[float, str], tuple[float, str]],
    width: int,
    log: bool,
    colours: bool,
) -> list[Line]:
    from uniplot import plot_to_string

    (x_scale, x_unit), (y_scale, y_unit) = scales
    ys = [y / y_scale for _, points in every for _, y in points]
    xs = [x / x_scale for _, points in every for x, _ in points]
    options: dict[str, Any] = {"x_min": min(xs), "x_max": max(xs), "y_min": 0}
    if log:
        options |= {"x_as_log": True, "y_as_log": True, "y_min": min(ys) / 1.05}
    drawn = plot_to_string(
        xs=[[x / x_scale for x, _ in points] for _, points in panel],
        ys=[[y / y_scale for _, y in points] for _, points in panel],
        legend_labels=[name for name, _ in panel],
        x_unit=x_unit,
        y_unit=y_unit,
        y_max=max(ys) * 1.05,
        width=width - _AXIS_ROOM,
        height=_HEIGHT,
        lines=True,
        color=colours,
        **options,
    )
    texts = drawn if isinstance(drawn, list) else drawn.split("\n")
    return [[(text, "")] for text in texts]


def _scale(kind: Kind, series: Sequence[Series], axis: int) -> tuple[float, str]:
    """What to divide by, and the unit that is then shown."""
    most = max(point[axis] for _, points in series for point in points)
    steps: tuple[tuple[float, str], ...] = ()
    if kind is Kind.TIME:
        steps = ((1e9, " s"), (1e6, " ms"), (1e3, " us"))
    elif kind is Kind.SIZE:
        steps = ((float(1 << 20), " MiB"), (1024.0, " KiB"))
    return next(((scale, unit) for scale, unit in steps if most >= scale), (1.0, ""))
