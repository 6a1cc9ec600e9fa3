"""What changed between two recordings: causes side by side, idle waits last, then findings."""

from __future__ import annotations

from collections.abc import Sequence

from netlab.show.escape import printable
from netlab.show.format import count, duration
from netlab.show.terminal.lines import Line, fold
from netlab.show.views.difference import CauseRow, Difference, FindingRow

_MOST = 20
_MOST_IDLE = 8
_IDLE = "Idle waits (for a client, or for something to do):"
_NUMBER = 11


def difference_lines(view: Difference, width: int) -> list[Line]:
    """All of it in lines of at most `width` columns."""
    lines: list[Line] = []
    for sign, path, calls, waited in (
        ("A", view.first, view.first_calls, view.first_waited_ns),
        ("B", view.second, view.second_calls, view.second_waited_ns),
    ):
        tail = f"  {count(calls, 'call')}, {duration(waited)} waited"
        name = printable(path)
        room = max(width - len(tail) - 3, 8)
        path = name if len(name) <= room else f"...{name[-(room - 3) :]}"
        lines.append([(f"{sign}  ", "bold"), (path, ""), (tail, "dim")])
    lines.append([])
    rows = [row for row in view.causes if not row.idle]
    idle = [row for row in view.causes if row.idle]
    shown = [*rows[:_MOST], *idle[:_MOST_IDLE]]
    named = max((len(_name(row)) for row in shown), default=0)
    named = min(named, max(width - 3 * _NUMBER - 1, 12))
    lines.append(
        [(f"{'':<{named}}{'A':>{_NUMBER}}{'B':>{_NUMBER}}{'B - A':>{_NUMBER + 1}}", "dim")]
    )
    lines += _causes(rows, _MOST, named)
    if idle:
        lines += [[(text, "dim")] for text in fold(_IDLE, width)]
        lines += _causes(idle, _MOST_IDLE, named)
    if view.findings:
        lines += [[], [("Findings", "bold"), ("  in A, in B", "dim")]]
    for finding in view.findings:
        lines += _finding(finding, width)
    return lines


def _causes(rows: Sequence[CauseRow], most: int, named: int) -> list[Line]:
    lines = [_cause(row, named) for row in rows[:most]]
    left = len(rows) - most
    return [*lines, [(f"... and {left} more: --json has all", "italic")]] if left > 0 else lines


def _name(row: CauseRow) -> str:
    return f"{printable(row.side)} {row.cause}"


def _cause(row: CauseRow, named: int) -> Line:
    change = row.difference_ns
    sign = "+" if change > 0 else ""
    style = "red" if change > 0 else "green" if change < 0 else "dim"
    return [
        (f"{_name(row)[:named]:<{named}}", ""),
        (f"{_time(row.first_ns):>{_NUMBER}}{_time(row.second_ns):>{_NUMBER}}", ""),
        (f"{sign + duration(change):>{_NUMBER + 1}}", style),
    ]


def _time(ns: int) -> str:
    return duration(ns) if ns else "-"


def _finding(row: FindingRow, width: int) -> list[Line]:
    head = f"  {row.first:>3} {row.second:>3}  "
    style = "red" if row.second > row.first else "green" if row.second < row.first else ""
    if row.first_text and row.second_text and row.first_text != row.second_text:
        said = [f"{row.kind}, in A: {row.first_text}", f"in B: {row.second_text}"]
    else:
        said = [f"{row.kind}: {row.second_text or row.first_text}"]
    folded = [line for text in said for line in fold(printable(text), width - len(head))]
    first, *rest = folded
    return [[(head, style), (first, "")], *[[(" " * len(head) + more, "")] for more in rest]]
