"""Pairs that are certain are true, whatever else would fit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netlab.correlate.only_ways import certain_pairs

truths = st.lists(st.integers(0, 9), unique=True, max_size=7)


@given(truths, st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9)), max_size=20))
def test_what_is_certain_is_true(truth: list[int], others: list[tuple[int, int]]) -> None:
    """Seeker n has thing truth[n]; things that nobody has may fit some, too."""
    fits = {seeker: {thing} for seeker, thing in enumerate(truth)}
    for seeker, thing in others:
        if seeker in fits:
            fits[seeker].add(thing)
    found = certain_pairs(fits)
    assert set(found) <= set(enumerate(truth))
    assert len(set(found)) == len(found)


@given(truths)
def test_who_fits_one_thing_alone_gets_it(truth: list[int]) -> None:
    fits = {seeker: [thing] for seeker, thing in enumerate(truth)}
    assert sorted(certain_pairs(fits)) == list(enumerate(truth))


def test_a_chain_unravels() -> None:
    """As many as there are: the one with a single choice decides all others."""
    chain = {"a": [1], "b": [1, 2], "c": [2, 3], "d": [3, 4]}
    assert sorted(certain_pairs(chain)) == [("a", 1), ("b", 2), ("c", 3), ("d", 4)]


def test_one_thing_too_many_leaves_it_open() -> None:
    """The thing may be somebody else's, whom nobody watched: then a may not be the one with 1."""
    assert certain_pairs({"a": [1], "b": [1, 2], "c": [2, 3, 4]}) == []


def test_two_that_could_change_places_stay_open_and_the_rest_does_not() -> None:
    fits = {"a": [1, 2], "b": [1, 2], "c": [2, 3], "d": [9]}
    assert sorted(certain_pairs(fits)) == [("c", 3), ("d", 9)]


def test_more_seekers_than_things_get_none() -> None:
    assert certain_pairs({"a": [1], "b": [1]}) == []
    assert certain_pairs({"a": [1], "b": [1], "c": [1, 2, 3]}) == []
