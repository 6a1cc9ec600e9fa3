"""Plots of studies: inside their width, with and without colours."""

from __future__ import annotations

import pytest

from netlab.show.terminal.lines import plain
from netlab.studies.axis import Axis
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


US, KIB, MIB = 1_000, 1 << 10, 1 << 20
SIGNS = set("▗▄▀▘▖▝▞▚▛▜▙▟█▌▐")


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(
    ("kind", "least", "most"),
    [
        (Kind.TIME, 19 * US, 44 * US),
        (Kind.TIME, 3 * US, 5 * MS),
        (Kind.TIME, 31 * US, 33 * US),
        (Kind.TIME, 1, 7 * 1000 * MS),
        (Kind.SIZE, 7 * MIB, 6000 * MIB),
        (Kind.SIZE, 3 * KIB, 5 * KIB),
        (Kind.COUNT, 1, 8),
        (Kind.COUNT, 10, 1000),
    ],
)
def test_a_marked_row_is_where_that_value_is_drawn(
    kind: Kind, least: int, most: int, log: bool
) -> None:
    marks = Axis.upright(kind, least, most, log=log).marks()
    assert len(marks) >= 2
    assert len({label for _, label in marks}) == len(marks)
    for value, label in marks:
        if not least <= value <= most:
            continue
        span = ("all", [(1, least), (100, most)])
        level = ("level", [(1, round(value)), (100, round(value))])
        drawn = [plain(one) for one in plot_lines("t", [span, level], kind, kind, 80, log=log)]
        rows = [one for one in drawn[drawn.index(drawn[1], 2) :] if one.startswith("│")]
        (marked,) = [one for one in rows if one.endswith(f"│ {label}")]
        assert SIGNS & set(marked), f"{label} is marked in another row"
        assert sum(bool(SIGNS & set(one)) for one in rows) == 1


@pytest.mark.parametrize("log", [False, True])
def test_a_mark_below_is_where_that_value_is_drawn(log: bool) -> None:
    axis = Axis(Kind.SIZE, 64, 64 * KIB, log)
    drawn = [
        plain(one)
        for one in plot_lines(
            "t",
            [("all", [(64, 1), (64 * KIB, 9)])],
            Kind.SIZE,
            Kind.COUNT,
            80,
            log=log,
        )
    ]
    below = drawn[-2]
    for value, label in axis.marks():
        if label not in below:
            continue
        start = below.index(label)
        assert start - 1 <= 1 + axis.cell(value, 66) <= start + len(label) + 1
    assert ("64 B" in below) is log
    assert "KiB" in below


def test_marks_are_written_exactly() -> None:
    assert [label for _, label in Axis(Kind.TIME, 0, 9 * MS).marks()] == [
        "0 ms", "2 ms", "4 ms", "6 ms", "8 ms",
    ]  # fmt: skip
    assert [label for _, label in Axis(Kind.TIME, US, 20 * MS, log=True).marks()] == [
        "1 µs", "10 µs", "100 µs", "1 ms", "10 ms",
    ]  # fmt: skip
    assert [label for _, label in Axis(Kind.TIME, 10, 2 * US).marks()] == [
        "0.5 µs", "1 µs", "1.5 µs", "2 µs",
    ]  # fmt: skip


def test_nothing_has_no_place_on_an_axis_by_powers() -> None:
    drawn = plot_lines("t", [("a", [(1, 0), (10, 5), (100, 50)])], Kind.COUNT, Kind.COUNT, 80,
                       log=True)  # fmt: skip
    assert drawn
