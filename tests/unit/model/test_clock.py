"""Steps of the real-time clock are found, slewing is not one."""

from __future__ import annotations

from netlab.model.clock import ClockPair, clock_steps

SECOND = 1_000_000_000


def test_a_clock_that_is_slewed_has_no_step() -> None:
    pairs = [ClockPair(5 * SECOND + n * (SECOND + 500_000), n * SECOND) for n in range(7)]
    assert clock_steps(pairs) == []


def test_a_step_is_found_with_its_size() -> None:
    pairs = [
        ClockPair(10 * SECOND, SECOND),
        ClockPair(11 * SECOND, 2 * SECOND),
        ClockPair(15 * SECOND, 3 * SECOND),
    ]
    assert clock_steps(pairs) == [(15 * SECOND, 3 * SECOND)]
