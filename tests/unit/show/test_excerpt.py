"""The part of a ladder that is shown: its rows, what stands between two windows, its footnotes."""

from __future__ import annotations

from netlab.show.views.excerpt import excerpt
from netlab.show.views.marks import Ladder, Row, WireMark

START_NS = 1_000


def drawn(*rows: Row) -> Ladder:
    notes = (("✗", "lost"), ("┄", "on its way"))
    return Ladder(0, "tcp", "c", "s", START_NS, rows[-1].time_ns, False, 1, 1, rows, notes)


def frame(time_ns: int, end: str = "") -> Row:
    return Row(time_ns, wire=WireMark(1, "c>s", ("ACK",), "ack", end=end))


WHOLE = drawn(frame(0), frame(10, "lost"), frame(20), Row(20, silence_ns=80), frame(100))


def test_rows_between_two_windows_are_counted_and_timed() -> None:
    found = excerpt(WHOLE, [(START_NS, START_NS), (START_NS + 100, START_NS + 100)])
    assert [row.time_ns for row in found.rows] == [0, 100, 100]
    assert (found.rows[1].left_out, found.rows[1].left_out_ns) == (2, 100)
    assert [sign for sign, _ in found.footnotes] == ["⋮"]


def test_a_silence_alone_between_two_windows_stays_a_silence() -> None:
    found = excerpt(WHOLE, [(START_NS + 10, START_NS + 20), (START_NS + 100, START_NS + 100)])
    assert [row.silence_ns for row in found.rows] == [None, None, 80, None]
    assert [sign for sign, _ in found.footnotes] == ["✗"]


def test_a_silence_at_the_edge_is_not_shown() -> None:
    found = excerpt(WHOLE, [(START_NS + 20, START_NS + 50)])
    assert [row.silence_ns for row in found.rows] == [None]


def test_windows_that_overlap_show_each_row_once() -> None:
    found = excerpt(WHOLE, [(START_NS, START_NS + 10), (START_NS + 5, START_NS + 20)])
    assert [row.time_ns for row in found.rows] == [0, 10, 20]
