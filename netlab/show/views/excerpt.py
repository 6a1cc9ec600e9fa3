"""A ladder -> the part of it that tells the story: its rows within some windows of time.

Between two windows stands one row that says how much of it is not shown. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from netlab.show.views.marks import Ladder, Row
from netlab.show.views.state_marks import latest_states

_NOTE = ("⋮", "between two moments: netlab inspect --limit 0 shows all")
_SIGNS = frozenset("↻≡⊕✗╳?")


def excerpt(whole: Ladder, windows: Sequence[tuple[int, int]]) -> Ladder:
    """The rows from each start to each stop, both included, in ns since the epoch.

    `windows` are in the order of time and may overlap. A silence at the edge of a window is not
    shown, since what ends it is not. Footnotes explain no sign that is left.
    """
    kept: list[int] = []
    for start_ns, stop_ns in windows:
        inside = [
            number
            for number, row in enumerate(whole.rows)
            if start_ns <= whole.start_ns + row.time_ns <= stop_ns
            and (not kept or number > kept[-1])
        ]
        kept += _without_edges(whole.rows, inside, joins=bool(kept and inside) and
                               kept[-1] + 1 == inside[0])  # fmt: skip
    if not kept:
        return replace(whole, rows=(), footnotes=())
    rows = [whole.rows[kept[0]]]
    for before, after in pairwise(kept):
        hidden = whole.rows[before + 1 : after]
        if len(hidden) == 1 and hidden[0].silence_ns is not None:
            rows.append(hidden[0])
        elif hidden:
            rows.append(_gap(hidden, whole.rows[before], whole.rows[after]))
        rows.append(whole.rows[after])
    notes = [note for note in whole.footnotes if _explains(note[0], rows)]
    if any(row.left_out for row in rows):
        notes.append(_NOTE)
    return replace(whole, rows=tuple(rows), footnotes=tuple(notes))


def _without_edges(rows: Sequence[Row], inside: list[int], *, joins: bool) -> list[int]:
    while inside and rows[inside[-1]].silence_ns is not None:
        inside = inside[:-1]
    while inside and not joins and rows[inside[0]].silence_ns is not None:
        inside = inside[1:]
    return inside


def _gap(hidden: Sequence[Row], before: Row, after: Row) -> Row:
    client, server = latest_states(hidden)
    return Row(
        after.time_ns,
        client_lanes=hidden[-1].client_lanes,
        server_lanes=hidden[-1].server_lanes,
        left_out=sum(row.silence_ns is None for row in hidden),
        left_out_ns=after.time_ns - before.time_ns,
        client_state=client,
        server_state=server,
    )


def _explains(sign: str, rows: Sequence[Row]) -> bool:
    """Whether a footnote's sign stands in some row; of what is no sign of a frame, it does."""
    marks = [row.wire for row in rows if row.wire is not None]
    if sign == "┄":
        return any(mark.part != "whole" for mark in marks)
    ends = {"✗": "lost", "╳": "spoilt", "?": "unsure"}
    if sign in ends:
        return any(mark.end == ends[sign] for mark in marks)
    if sign in _SIGNS:
        return any(sign in mark.texts[0] for mark in marks)
    return sign != "×n" or any("×" in mark.texts[0] for mark in marks)
