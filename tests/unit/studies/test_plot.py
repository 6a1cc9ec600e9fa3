"""Plots of studies: inside their width, with and without colours."""

from __future__ import annotations

import pytest

from netlab.show.terminal.lines import plain
from netlab.studies.plot import plot_lines
from netlab.studies.quantity import Kind

MS = 1_000_000
SERIES = [
    ("predicted", [(1 * MS, 201 * MS), (200 * MS, 400 * MS)]),
    ("measured", [(1 * MS, 204 * MS), (200 * MS, 433 * MS)]),
]


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("log", [False, True])
def test_a_plot_has_its_axes_and_names(width: int, log: bool) -> None:
    drawn = [
        plain(one)
        for one in plot_lines("RTO, over rtt", SERIES, Kind.TIME, Kind.TIME, width, log=log)
    ]
    assert drawn[0] == "RTO, over rtt"
    assert max(map(len, drawn)) <= width
    text = "\n".join(drawn)
    assert text.count("ms") >= 4
    assert text.count("predicted") == text.count("measured") == 1
    assert any(sign in text for sign in "▗▄▀▘▖▝")


def test_nothing_measured_is_nothing_drawn() -> None:
    assert plot_lines("RTO", [("measured", [])], Kind.TIME, Kind.TIME, 80) == []
