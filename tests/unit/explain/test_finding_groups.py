"""Findings that repeat are said once, with their count; those that say something else are not."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from netlab.explain.findings.finding import Finding, Severity
from netlab.explain.findings.groups import grouped
from netlab.show.terminal.lines import plain
from netlab.show.terminal.why import finding_lines, finding_text
from netlab.show.views.text import as_json
from netlab.show.views.why import why
from tests.playbook import Play

RESET = Finding(
    "reset", 0, Severity.HIGH, "The server reset the connection (frame 70): close #40 did it.",
    "", "RFC 9293 3.10.7", (70,), (40,),
)  # fmt: skip


def resets(*connections: int, text: str = RESET.text) -> list[Finding]:
    return [
        replace(RESET, connection=n, text=text.replace("70", f"{70 + n}"), frames=(70 + n,))
        for n in connections
    ]


def test_what_one_close_did_to_many_is_said_once() -> None:
    (one,) = grouped(resets(0, 1, 2, 3, 4, 6))
    assert (one.count, one.connections) == (6, (0, 1, 2, 3, 4, 6))
    assert (one.frames, one.calls) == ((70, 71, 72, 73, 74, 76), (40,))
    assert finding_text(one) == (
        "[0-4, 6] 6 times: The server reset the connection: close #40 did it."
    )


def test_one_that_does_not_repeat_stays_as_it_is() -> None:
    (one,) = grouped([RESET])
    assert finding_text(one) == f"[0] {RESET.text}"


def test_where_numbers_differ_the_text_is_that_of_the_first() -> None:
    rows = [replace(RESET, connection=n, text=f"It waited {n}.5 ms (frame 7).") for n in (1, 2, 3)]
    rows[1] = replace(rows[1], text="It waited 12 us (frame 9).")
    (one,) = grouped(rows)
    assert not one.alike
    assert finding_text(one) == "[1-3] 3 times, the first: It waited 1.5 ms (frame 7)."


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "close_wait"},
        {"severity": Severity.LOW},
        {"advice": "Read to the end."},
        {"text": "The client reset the connection (frame 71): close #40 did it."},
    ],
)
def test_those_that_say_something_else_stay_apart(change: dict[str, object]) -> None:
    other = replace(RESET, connection=1, **change)  # type: ignore[arg-type]
    assert [one.count for one in grouped([RESET, other])] == [1, 1]


def test_a_group_stands_where_its_first_one_stands() -> None:
    other = replace(RESET, kind="never_read", text="Never read.")
    assert [one.kind for one in grouped([*resets(0), other, *resets(1, 2)])] == [
        "reset", "never_read",
    ]  # fmt: skip


@pytest.mark.parametrize("width", [60, 80])
def test_many_connections_fit_the_lines(width: int) -> None:
    lines = [plain(line) for line in finding_lines(grouped(resets(*range(0, 60, 2))), width)]
    assert max(map(len, lines)) <= width
    assert "[0, 2, 4, 6, 8, 10, ...] 30 times" in " ".join(lines)
    assert "and 22 more" in " ".join(" ".join(lines).split())


def test_json_keeps_each_finding_beside_those_that_are_said_once() -> None:
    play = Play(wired=True)
    for sport in (40001, 40002, 40003):
        play.frame("c>s", "S", 0, sport=sport)
        play.frame("s>c", "RA", 0, 1, sport=sport)
    said = json.loads(as_json(why(play.tables(), play.raw, "refused")))
    assert [one["connection"] for one in said["findings"]] == [0, 1, 2]
    assert [one["frames"] for one in said["findings"]] == [[2], [4], [6]]
    (one,) = said["grouped"]
    assert (one["count"], one["connections"], one["frames"]) == (3, [0, 1, 2], [2, 4, 6])
    assert "nobody listens at that port" in one["text"]
