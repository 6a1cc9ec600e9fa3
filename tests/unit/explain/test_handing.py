"""Timestamps -> when TCP gave frames to its host's queue: bounds, and what they cannot say."""

from __future__ import annotations

import pytest

from netlab.correlate.segments import Row
from netlab.explain.handing import TICK_NS, handing_of
from netlab.model.tables import Direction, Packet, Segment, TcpOptions

MS = 1_000_000
NEARLY_FULL = (1 << 32) - 2  # the clock of 32 bits wraps in the middle of these


def row(frame: int, left_ms: float, tick: int | None) -> Row:
    """A frame that left then, with a timestamp."""
    options = TcpOptions(ts_val=(NEARLY_FULL + tick) % (1 << 32)) if tick is not None else None
    packet = Packet(frame, round(left_ms * MS), None, "unknown", "lo", "", 66, 66, _options=options)
    segment = Segment(frame, 0, Direction.C2S, 0, 0, 0, 0, 0, None, None)
    return Row(segment, packet, Direction.C2S)


def given(
    rows: list[Row], written_ms: dict[int, float], releases_ms: tuple[float, ...] = ()
) -> dict[int, float]:
    """When frames that were in the queue were given to it, in ms."""

    def not_before(one: Row) -> int | None:
        ms = written_ms.get(one.segment.frame)
        return None if ms is None else round(ms * MS)

    found = handing_of(rows, not_before, lambda: [round(ms * MS) for ms in releases_ms])
    return {frame: ns / MS for frame, ns in found.given_ns.items()}


def test_a_frame_that_left_long_after_its_timestamp_was_given_when_it_was_written() -> None:
    rows = [row(1, 10.2, 10), row(2, 70.0, 10), row(3, 80.0, 15)]
    assert given(rows, {1: 10.1, 2: 10.1, 3: 15.3}) == {2: 10.2, 3: 15.3}


def test_where_something_let_it_go_within_its_bounds_it_was_then() -> None:
    rows = [row(1, 10.2, 10), row(2, 70.5, 10), row(3, 80.0, 70)]
    found = given(rows, {1: 10.1, 2: 10.1, 3: 15.3}, releases_ms=(10.2, 70.5, 80.0))
    assert found == {2: 10.2, 3: 70.5}


def test_for_a_short_time_in_the_queue_it_must_be_known_what_let_it_go() -> None:
    rows = [row(1, 10.2, 10), row(2, 70.5, 10), row(3, 73.0, 70)]
    written = {1: 10.1, 2: 10.1, 3: 15.3}
    assert given(rows, written, releases_ms=(10.2, 70.5))[3] == 70.5
    assert 3 not in given(rows, written)


def test_where_nothing_did_it_was_at_the_latest() -> None:
    rows = [row(1, 10.2, 10), row(2, 70.5, 10), row(3, 80.0, 40)]
    assert given(rows, {1: 10.1, 2: 10.1, 3: 15.3})[3] == 41.2


def test_the_bounds_hold_what_was_and_are_not_wider_than_two_ticks() -> None:
    rows = [row(1, 10.2, 10), row(2, 70.5, 10), row(3, 80.0, 40)]
    written = {1: 10.1, 2: 10.1, 3: 15.3}
    found = handing_of(rows, lambda one: round(written[one.segment.frame] * MS), list)
    low_ns, high_ns = found.bounds[3]
    assert low_ns <= 40 * MS <= high_ns
    assert high_ns - low_ns <= 3 * TICK_NS


@pytest.mark.parametrize(
    ("rows", "written"),
    [
        ([row(1, 10.2, 10), row(2, 15.9, 10)], {1: 10.1, 2: 10.1}),  # soon enough
        ([row(1, 10.2, None), row(2, 70.0, None)], {1: 10.1, 2: 10.1}),
        ([row(1, 10.2, 10), row(2, 70.0, 10)], {}),  # since when is not known
        ([row(1, 10.2, 10), row(2, 70.0, 10)], {1: 2.0, 2: 2.0}),  # nor well enough
        ([row(1, 10.2, 10), row(2, 70.0, 10)], {1: 10.1, 2: 13.0}),  # written after it was given
        ([row(1, 10.2, 10), row(2, 70.0, 70), row(3, 71.0, 10)], {1: 10.1, 2: 70.0, 3: 10.1}),
        ([], {}),
    ],
    ids=["prompt", "no timestamps", "no calls", "loose", "another clock", "overtaken", "nothing"],
)
def test_of_these_nothing_is_said(rows: list[Row], written: dict[int, float]) -> None:
    assert given(rows, written) == {}
