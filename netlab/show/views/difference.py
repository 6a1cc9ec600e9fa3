"""Two recordings of the same thing -> where the time of their calls went, cause by cause, and which
findings one has and the other has not.

Sides are compared with sides, calls of no connection with each other by the program that made them:
its processes have other numbers in each recording. Idle waits stand apart: how long a server had no
client says how long the recording was. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from netlab.explain.callers import program_of
from netlab.explain.causes import Cause
from netlab.explain.findings.finding import Finding
from netlab.model.records import dataclass
from netlab.show.views.why import Bar, Why


@dataclass(frozen=True, slots=True)
class CauseRow:
    """The time of one cause on one side, in the first recording and in the second."""

    side: str
    cause: str
    first_ns: int
    second_ns: int
    idle: bool = False  # a program waited for something to do

    @property
    def difference_ns(self) -> int:
        return self.second_ns - self.first_ns


@dataclass(frozen=True, slots=True)
class FindingRow:
    """How often a kind of finding stands in each, and what it says there."""

    kind: str
    severity: str
    first: int
    second: int
    first_text: str  # of the gravest there; empty: it has none
    second_text: str


@dataclass(frozen=True, slots=True)
class Difference:
    """What changed."""

    first: str
    second: str
    first_calls: int
    second_calls: int
    first_waited_ns: int
    second_waited_ns: int
    causes: tuple[CauseRow, ...]  # idle waits last, the largest difference first
    findings: tuple[FindingRow, ...]


def difference(first: Why, second: Why) -> Difference:
    """What changed from the first recording to the second."""
    before, after = _times(first), _times(second)
    rows = [
        CauseRow(side, cause, before.get(key, 0), after.get(key, 0), idle)
        for key in {**before, **after}
        for side, cause, idle in [key]
    ]
    rows.sort(key=lambda row: (row.idle, -abs(row.difference_ns), row.side, row.cause))
    return Difference(
        first.path, second.path, first.calls, second.calls, first.waited_ns, second.waited_ns,
        tuple(rows), tuple(_findings(first.findings, second.findings)),
    )  # fmt: skip


def _times(view: Why) -> dict[tuple[str, str, bool], int]:
    """By who waited, for what, and whether that was for something to do."""
    found: dict[tuple[str, str, bool], int] = {}
    bars: list[Bar] = [bar for one in view.connections for bar in one.bars]
    for bar in [*bars, *view.others]:
        name = program_of(bar.side) or "silence:"
        for item in bar.slices:
            for idle, ns in (False, item.ns - item.idle_ns), (True, item.idle_ns):
                if ns:
                    key = name, str(Cause(item.cause)), idle
                    found[key] = found.get(key, 0) + ns
    return found


def _findings(first: Iterable[Finding], second: Iterable[Finding]) -> Iterable[FindingRow]:
    before, after = _by_kind(first), _by_kind(second)
    for kind in {**before, **after}:
        mine, theirs = before.get(kind, []), after.get(kind, [])
        shown = (theirs or mine)[0]
        texts = (found[0].text if found else "" for found in (mine, theirs))
        yield FindingRow(kind, shown.severity, len(mine), len(theirs), *texts)


def _by_kind(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for one in findings:
        found.setdefault(one.kind, []).append(one)
    return found
