"""Timers on a clock that the test moves: order, beats that keep their phase, nobody starved."""

from __future__ import annotations

import math

import pytest

from netlab.model.errors import UsageError
from netlab.server.loop.timers import SHORTEST_TICK_S, TimerHeap


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timers(clock: Clock) -> TimerHeap:
    return TimerHeap(clock)


def test_an_empty_heap_waits_for_nothing(timers: TimerHeap) -> None:
    assert timers.next_s() is None
    assert timers.run_due() == 0
    assert len(timers) == 0


def test_timers_run_in_order_of_their_moments_then_of_their_making(
    timers: TimerHeap, clock: Clock
) -> None:
    ran: list[str] = []
    for delay_s, name in ((2.0, "c"), (1.0, "a"), (2.0, "d"), (1.0, "b"), (3.0, "e")):
        timers.after(delay_s, lambda name=name: ran.append(name))
    clock.now_s += 2.5
    assert timers.run_due() == 4
    assert ran == ["a", "b", "c", "d"]
    assert timers.next_s() == pytest.approx(0.5)
    assert len(timers) == 1


def test_next_says_how_long_to_wait_and_never_less_than_nothing(
    timers: TimerHeap, clock: Clock
) -> None:
    timers.after(5.0, lambda: None)
    assert timers.next_s() == 5.0
    assert timers.next_s(1001.0) == 4.0
    clock.now_s += 60
    assert timers.next_s() == 0.0


def test_not_before_its_moment(timers: TimerHeap, clock: Clock) -> None:
    ran: list[int] = []
    timers.after(1.0, lambda: ran.append(1))
    assert timers.run_due(1000.999) == 0
    assert timers.run_due(1001.0) == 1
    assert timers.run_due(2000.0) == 0
    assert ran == [1]


def test_a_tick_does_not_drift(timers: TimerHeap, clock: Clock) -> None:
    at: list[float] = []
    timers.tick(10.0, lambda: at.append(clock.now_s))
    for now_s in (1010.5, 1020.9, 1030.0, 1040.1):  # each a little late
        clock.now_s = now_s
        timers.run_due()
    assert at == [1010.5, 1020.9, 1030.0, 1040.1]
    assert timers.next_s() == pytest.approx(9.9)


def test_beats_that_were_missed_are_not_made_up_for(timers: TimerHeap, clock: Clock) -> None:
    ran: list[int] = []
    timers.tick(10.0, lambda: ran.append(1))
    clock.now_s += 47
    assert timers.run_due() == 1
    assert timers.next_s() == pytest.approx(3.0)


def test_what_a_callback_adds_waits_for_the_next_time(timers: TimerHeap) -> None:
    ran: list[int] = []

    def again() -> None:
        ran.append(1)
        timers.after(0.0, again)

    timers.after(0.0, again)
    for turn in range(1, 6):
        assert timers.run_due() == 1
        assert len(ran) == turn
    assert timers.next_s() == 0.0


def test_cleared_timers_do_not_run(timers: TimerHeap, clock: Clock) -> None:
    ran: list[str] = []
    once = timers.after(1.0, lambda: ran.append("once"))
    beat = timers.tick(1.0, lambda: ran.append("beat"))
    assert timers.clear(once)
    assert not timers.clear(once)
    assert timers.next_s() == 1.0
    clock.now_s += 1
    assert timers.run_due() == 1
    assert timers.clear(beat)
    clock.now_s += 1
    assert timers.run_due() == 0
    assert ran == ["beat"]
    assert timers.next_s() is None


def test_a_timer_that_ran_cannot_be_cleared(timers: TimerHeap) -> None:
    once = timers.after(0.0, lambda: None)
    timers.run_due()
    assert not timers.clear(once)
    assert not timers.clear(99)


def test_one_callback_may_clear_another_that_is_due(timers: TimerHeap) -> None:
    ran: list[str] = []
    timers.after(0.0, lambda: (ran.append("first"), timers.clear(second)))
    second = timers.after(0.0, lambda: ran.append("second"))
    assert timers.run_due() == 1
    assert ran == ["first"]


def test_a_tick_may_clear_itself(timers: TimerHeap, clock: Clock) -> None:
    ran: list[int] = []
    beat = timers.tick(1.0, lambda: (ran.append(1), timers.clear(beat)))
    for _ in range(3):
        clock.now_s += 1
        timers.run_due()
    assert ran == [1]
    assert len(timers) == 0


def test_an_exception_passes_and_those_behind_run_the_next_time(
    timers: TimerHeap, clock: Clock
) -> None:
    ran: list[str] = []
    timers.after(1.0, lambda: ran.append("a"))
    timers.after(1.0, lambda: 1 / 0)
    timers.after(1.0, lambda: ran.append("b"))
    clock.now_s += 1
    with pytest.raises(ZeroDivisionError):
        timers.run_due()
    assert ran == ["a"]
    assert timers.next_s() == 0.0
    assert timers.run_due() == 1
    assert ran == ["a", "b"]


def test_ids_are_never_used_twice(timers: TimerHeap) -> None:
    seen = set()
    for _ in range(100):
        number = timers.after(0.0, lambda: None)
        timers.run_due()
        seen.add(number)
    assert len(seen) == 100


def test_cleared_entries_do_not_pile_up(timers: TimerHeap, clock: Clock) -> None:
    """A time-out that is set and cleared for each of 10,000 requests leaves no trail."""
    ran: list[str] = []
    timers.after(50.0, lambda: ran.append("kept"))
    for _ in range(10_000):
        timers.clear(timers.after(60.0, lambda: ran.append("cleared")))
    assert len(timers) == 1
    assert len(timers._heap) < 200
    clock.now_s += 100
    timers.run_due()
    assert ran == ["kept"]


@pytest.mark.parametrize("delay_s", [-1.0, math.nan, math.inf])
def test_a_delay_is_a_number_of_seconds(timers: TimerHeap, delay_s: float) -> None:
    with pytest.raises(UsageError, match="seconds"):
        timers.after(delay_s, lambda: None)


@pytest.mark.parametrize("interval_s", [0.0, -1.0, math.nan, math.inf, SHORTEST_TICK_S / 2])
def test_an_interval_is_above_nothing(timers: TimerHeap, interval_s: float) -> None:
    with pytest.raises(UsageError, match="at least"):
        timers.tick(interval_s, lambda: None)
