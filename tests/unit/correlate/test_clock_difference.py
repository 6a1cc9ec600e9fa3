"""By how much two clocks differ: the interval holds the truth, whatever the bounds happen to be."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from netlab.correlate.causality import Bound
from netlab.correlate.clock_difference import Difference, difference, most_covered

S = 1_000_000_000
MS = 1_000_000
T0 = 1_700_000_000 * S
# When a call was, whether its frame came after it, and how long after (or before).
facts = st.lists(
    st.tuples(st.integers(0, 600 * S), st.booleans(), st.integers(0, 50 * MS)),
    min_size=1, max_size=60,
)  # fmt: skip


def bounds_of(facts: list[tuple[int, bool, int]], added: list[tuple[int, int]]) -> list[Bound]:
    """`added`: (from when on, difference); `facts` on the calls' clock."""
    found = []
    for number, (at, upper, slack) in enumerate(facts, 1):
        true = next(value for since, value in reversed(added) if at >= since)
        offset = true + slack if upper else true - slack
        found.append(Bound(T0 + at, offset, upper, number, number))
    return found


def holds(found: Difference | None, added: int) -> bool:
    assert found is not None
    (one,) = found.stretches
    return (one.low_ns is None or one.low_ns <= added) and (
        one.high_ns is None or added <= one.high_ns
    )


@given(facts, st.integers(-90_000 * S, 90_000 * S))
def test_one_number_lies_in_the_interval(facts: list[tuple[int, bool, int]], added: int) -> None:
    found = difference(bounds_of(facts, [(0, added)]))
    assert holds(found, added)
    assert found is not None
    assert found.drift_ppb is None
    assert found.amiss is None


@given(facts)
def test_a_clock_that_is_right_may_be_right(facts: list[tuple[int, bool, int]]) -> None:
    found = difference(bounds_of(facts, [(0, 0)]))
    assert found is not None
    assert found.allows_zero


def test_the_interval_is_exactly_what_is_known() -> None:
    found = difference(bounds_of([(0, True, 300), (5, False, 20), (9, True, 70)], [(0, 1000)]))
    assert found is not None
    (one,) = found.stretches
    assert (one.low_ns, one.high_ns, one.middle_ns) == (980, 1070, 1025)
    assert not found.allows_zero


def test_with_one_limit_only_as_little_is_added_as_can_be() -> None:
    (late,) = difference([Bound(T0, 500, False, 1, 1)]).stretches  # type: ignore[union-attr]
    assert (late.low_ns, late.high_ns, late.middle_ns) == (500, None, 500)
    (early,) = difference([Bound(T0, -500, True, 1, 1)]).stretches  # type: ignore[union-attr]
    assert early.middle_ns == -500
    (either,) = difference([Bound(T0, 500, True, 1, 1)]).stretches  # type: ignore[union-attr]
    assert either.middle_ns == 0


@settings(max_examples=60)
@given(st.integers(-400, 400).filter(lambda ppm: abs(ppm) >= 20), st.integers(-5 * S, 5 * S))
def test_a_drift_is_found(ppm: int, added: int) -> None:
    facts = [(at * S, at % 2 == 0, 100_000) for at in range(600)]
    bounds = [
        bound._replace(offset_ns=bound.offset_ns + ppm * (bound.at_ns - T0) // 1_000_000)
        for bound in bounds_of(facts, [(0, added)])
    ]
    found = difference(bounds)
    assert found is not None
    assert found.drift_ppb is not None
    used, least, greatest = found.drift_ppb
    assert least <= used <= greatest
    assert least <= ppm * 1000 <= greatest
    assert greatest - least < 1000  # 200 us in ten minutes
    for at in (0, 300, 599):
        true = added + ppm * 1000 * at
        assert abs(found.added_ns(T0 + at * S) - true) <= 200_000


@settings(max_examples=200)
@given(
    facts,
    st.integers(1, 599),
    st.integers(-9 * S, 9 * S),
    st.integers(3 * MS, 60 * S) | st.integers(-60 * S, -3 * MS),
)
def test_a_step_lies_where_it_is_said_to_be(
    facts: list[tuple[int, bool, int]], second: int, before: int, step: int
) -> None:
    """Which may be nowhere, where the bounds do not show it."""
    found = difference(bounds_of(facts, [(0, before), (second * S, before + step)]))
    if found is None or found.drift_ppb is not None or len(found.stretches) == 1:
        return
    for one, true in zip(found.stretches, (before, before + step), strict=True):
        assert one.low_ns is None or one.low_ns <= true
        assert one.high_ns is None or true <= one.high_ns
    last = found.stretches[1]
    assert last.unsure_ns is not None
    assert last.unsure_ns <= T0 + second * S <= last.since_ns


def test_a_step_is_seen_and_both_sides_of_it_are_known() -> None:
    facts = [(at * S, at % 2 == 0, 40_000) for at in range(100)]
    found = difference(bounds_of(facts, [(0, 7), (50 * S, 2 * S)]))
    assert found is not None
    first, second = found.stretches
    assert first.allows_zero
    assert abs(second.middle_ns - 2 * S) <= 40_000
    assert (second.unsure_ns, second.since_ns) == (T0 + 48 * S, T0 + 51 * S)
    assert found.added_ns(T0) == 0
    assert found.added_ns(T0 + 51 * S) == second.middle_ns
    assert found.amiss is not None


def test_clocks_that_jump_all_the_time_are_not_put_into_words() -> None:
    facts = [(at * S, at % 2 == 0, 0) for at in range(100)]
    jumps = [(10 * at * S, (at % 2) * S) for at in range(10)]
    assert difference(bounds_of(facts, jumps)) is None


def test_a_return_that_was_stamped_early_is_no_step() -> None:
    """Strace stops its clock before the call has returned."""
    found = difference([Bound(T0, 171_000, False, 1, 4), Bound(T0 + S, 20_000, True, 2, 5)])
    assert found is not None
    (one,) = found.stretches
    assert (one.low_ns, one.high_ns) == (20_000, 171_000)
    assert found.amiss is not None
    assert (found.amiss[0].call, found.amiss[1].call) == (1, 2)


intervals = st.lists(
    st.tuples(st.integers(-9, 9) | st.none(), st.integers(-9, 9) | st.none()), max_size=4
)


@given(st.lists(intervals, max_size=5))
def test_where_most_meet_is_where_counting_says(
    sets: list[list[tuple[int | None, int | None]]],
) -> None:
    def depth(at: int) -> int:
        return sum(
            any(
                (low is None or low <= at) and (high is None or at <= high)
                for low, high in one
            )
            for one in sets
        )  # fmt: skip

    most, places = most_covered(sets)
    counted = {at: depth(at) for at in range(-12, 13)}
    assert most == max(counted.values())
    if most:
        inside = {at for at in counted if any(low <= at <= high for low, high in places)}
        assert inside == {at for at, count in counted.items() if count == most}
