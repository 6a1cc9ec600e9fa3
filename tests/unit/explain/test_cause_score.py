"""The benchmark's own arithmetic: what counts as right, and what as wrong but observed."""

from __future__ import annotations

from dataclasses import replace

from tests.bench.cause_bench import MS, Score
from tests.bench.cause_case import case
from tests.bench.cause_cases import cases

CASE = case("one", [], [], ("client", "recv", 1), "nagle", 10, "", "network")


def scored(observed: dict[str, int], **milliseconds: int) -> Score:
    by_cause = {cause: ms * MS for cause, ms in milliseconds.items()}
    waited = sum(by_cause.values())
    return Score(CASE, True, waited, by_cause, {c: ms * MS for c, ms in observed.items()})


def test_what_is_allowed_beside_the_truth_takes_nothing_from_it() -> None:
    assert scored({}, nagle=40, network=60, scheduler=30, copy=5).right


def test_a_tenth_elsewhere_is_still_right_and_more_is_not() -> None:
    assert scored({}, nagle=90, cork=10).right
    assert not scored({}, nagle=80, cork=20).right
    assert not scored({}, cork=100).right


def test_unknown_counts_against_the_truth() -> None:
    one = scored({}, nagle=50, unknown=50)
    assert not one.right
    assert one.share == 0.5


def test_a_false_cause_that_is_observed_is_found() -> None:
    assert scored({"cork": 20}, nagle=80, cork=20).wrong_observed == ["cork"]
    assert scored({}, nagle=80, cork=20).wrong_observed == []
    assert scored({"network": 20}, nagle=80, network=20).wrong_observed == []


def test_what_may_stand_beside_it_cannot_take_the_place_of_the_truth() -> None:
    assert not scored({}, nagle=8, network=90).right


def test_of_several_causes_each_must_have_its_time() -> None:
    both = case("both", [], [], CASE.target, "nagle cork", 100, each={"nagle": 40, "cork": 40})
    assert replace(scored({}, nagle=50, cork=50), case=both).right
    assert not replace(scored({}, nagle=90, cork=10), case=both).right


def test_a_case_that_did_not_happen_is_not_right() -> None:
    one = scored({}, nagle=40)
    one.happened = False
    assert not one.right


def test_there_are_enough_cases_and_each_has_its_name() -> None:
    names = [one.name for one in cases()]
    assert len(names) == len(set(names)) >= 80
    causes = set().union(*(one.truth for one in cases()))
    assert len(causes) >= 18
