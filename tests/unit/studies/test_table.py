"""Tables and statements as lines: aligned, and never wider than the page."""

from __future__ import annotations

import pytest

from netlab.show.terminal.lines import plain
from netlab.studies.catalogue import catalogue, find
from netlab.studies.claims import Judged, Verdict, counted, judged_lines
from netlab.studies.table import table_lines

ROWS = [
    ["", "blocking", "with a time-out"],
    ["accept", "a socket, 84.8 ms", "TimeoutError, 30.3 ms"],
    ["epoll_wait", "1 ready", "0 ready"],
]


def test_columns_are_as_wide_as_they_need() -> None:
    assert [plain(line) for line in table_lines(ROWS, 80)] == [
        "            blocking           with a time-out",
        "accept      a socket, 84.8 ms  TimeoutError, 30.3 ms",
        "epoll_wait  1 ready            0 ready",
    ]


def test_the_widest_give_way() -> None:
    assert [plain(line) for line in table_lines(ROWS, 41)] == [
        "            blocking       with a",
        "                           time-out",
        "accept      a socket,      TimeoutError,",
        "            84.8 ms        30.3 ms",
        "epoll_wait  1 ready        0 ready",
    ]


def test_a_row_without_cells_begins_another_table() -> None:
    """Its columns are as wide as it needs itself."""
    assert [plain(line).rstrip() for line in table_lines([["a", "bcd"], [], *ROWS[:2]], 80)] == [
        "a  bcd",
        "",
        "        blocking           with a time-out",
        "accept  a socket, 84.8 ms  TimeoutError, 30.3 ms",
    ]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_statements_fit(width: int) -> None:
    names = max(map(len, catalogue()))
    for study in catalogue().values():
        for claim in study.claims:
            assert claim.text[0] != " "
            for verdict in Verdict:
                lines = judged_lines(
                    Judged(claim.text, study, verdict, claim.condition), names, width
                )
                assert max(len(plain(line)) for line in lines) <= width


def test_statements_are_made_once() -> None:
    texts = [claim.text for study in catalogue().values() for claim in study.claims]
    assert len(set(texts)) == len(texts)


def test_captured_bytes_do_nothing_to_the_terminal() -> None:
    (line,) = table_lines([["\x1b[2J"]], 80)
    assert "\x1b" not in plain(line)


def test_a_condition_stands_below() -> None:
    study = find("accept-queue")
    every = [Judged("A long story.", study, verdict, "on Sundays") for verdict in Verdict]
    lines = [[plain(line) for line in judged_lines(one, 12, 60)] for one in every]
    assert [first for first, _ in lines] == [
        f"{mark}  A long story                           accept-queue"
        for mark in ("✓ held ", "~ if   ", "✗ false", "? open ")
    ]
    assert [second.strip() for _, second in lines] == ["holds on Sundays"] * 3 + ["on Sundays"]
    assert counted(every) == "4 statements: 1 held, 1 under a condition, 1 false, 1 not tested"
