"""A small study and its evidence, for tests of what becomes of them: nothing is carried out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from netlab.show.terminal.lines import Line, plain
from netlab.studies.catalogue import catalogue
from netlab.studies.evidence import Evidence
from netlab.studies.quantity import Kind
from netlab.studies.runner import Outcome, checked
from netlab.studies.story import Kept
from netlab.studies.study import Expect, Study, Sweep

MS = 1_000_000
CAPTURES = Path(__file__).resolve().parents[1] / "captures"


def evidence(name: str = "three-way-handshake") -> Evidence:
    """Of a study whose recording lies under captures/."""
    return Kept(CAPTURES / name).outcome(catalogue()[name]).runs[0].evidence


def study(*expects: Expect, **changes: Any) -> Study:
    """The three-way handshake with other expectations, and nothing to wait for."""
    base = catalogue()["three-way-handshake"]
    return replace(base, **{"cause": "", "expects": expects, **changes})


def time(predicted: int, measured: int | None, less: int = 0, more: int = 0) -> Expect:
    """A time that was measured."""
    return Expect(
        "it took", Kind.TIME, lambda p: predicted, lambda e: measured, "a clock", less, more, "hope"
    )


def outcome(*expects: Expect, **changes: Any) -> Outcome:
    """What came of such a study."""
    one = study(*expects, **changes)
    return Outcome(one, (checked(one, evidence()),), 0)


def swept(*times: int, predicted: int = 40 * MS, **changes: Any) -> Outcome:
    """A sweep over the round trip, and the time that each of its runs measured."""
    places = tuple((number + 1) * 10 * MS for number in range(len(times)))
    one = study(time(predicted, 0), sweep=Sweep("rtt", places), **changes)
    seen = evidence()
    runs = []
    for place, measured in zip(places, times, strict=True):
        p = type(seen.p)({**seen.p, "rtt": place})
        expects = (time(predicted, measured, more=60 * MS),)
        runs.append(checked(replace(one, expects=expects), replace(seen, p=p)))
    return Outcome(one, tuple(runs), 0)


def text(lines: list[Line]) -> str:
    """Lines as one text."""
    return "\n".join(map(plain, lines))
