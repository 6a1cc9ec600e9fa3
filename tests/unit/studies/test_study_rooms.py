"""The room that a prediction is given: it has a reason, and does not swallow what is predicted."""

from __future__ import annotations

import re

import pytest

from netlab.studies import starting_point
from netlab.studies.catalogue import catalogue
from netlab.studies.quantity import Kind
from netlab.studies.study import Expect, Params, Study

STUDIES = [*catalogue().values(), starting_point.STUDY]
every_study = pytest.mark.parametrize("study", STUDIES, ids=[study.name for study in STUDIES])
# What makes a time inexact by so much and no more: how long who can run waits for a processor, and
# what timers and clocks count in.
GRANULAR = re.compile(
    r"\bturns?\b|\bticks?\b|\btimer wheel\b|\bcounts? (?:in )?(?:ms|milliseconds)\b"
    r"|\bevery \d+ ms\b|\bwhole segments\b"
)
THE_SAME = re.compile(r"^the same\b")


def settings(study: Study) -> list[Params]:
    """The defaults; of a sweep, with each of its values."""
    p = study.params({})
    if study.sweep is None:
        return [p]
    return [Params({**p, study.sweep.parameter: value}) for value in study.sweep.values]


def has_room(expect: Expect, study: Study) -> bool:
    """Whether the prediction is a number that may be missed, with the default parameters."""
    return any(
        isinstance(expect.predicted(p), int) and expect.room(p) != (0, 0) for p in settings(study)
    )


def reason(expects: tuple[Expect, ...], place: int) -> str:
    """Where a room comes from; "the same" is what was said before."""
    said = expects[place].because
    if THE_SAME.match(said):
        before = [one for one in range(place) if expects[one].because]
        assert before, f"{expects[place].what}: the same as what?"
        return f"{reason(expects, before[-1])}; {said}"
    return said


def what_would_hold(expect: Expect, p: Params) -> list[int]:
    """What must not hold and does: what would be there otherwise; nothing, and twice as much."""
    predicted = expect.predicted(p)
    assert isinstance(predicted, int)
    ruled_out = {0, 2 * predicted} - {predicted}
    if expect.otherwise is not None:
        ruled_out = {0, expect.otherwise(p)} - {predicted}
    assert ruled_out, f"{expect.what}: nothing is predicted, so what would there be otherwise?"
    return sorted(value for value in ruled_out if expect.holds(p, value))


@every_study
def test_every_room_has_a_reason(study: Study) -> None:
    """That of a time is how exact a time can be."""
    for place, expect in enumerate(study.expects):
        if has_room(expect, study):
            why = reason(study.expects, place)
            assert why, expect.what
            assert expect.kind is not Kind.TIME or GRANULAR.search(why), f"{expect.what}: {why}"


@every_study
def test_no_room_swallows_what_is_predicted(study: Study) -> None:
    for expect in study.expects:
        if has_room(expect, study):
            for p in settings(study):
                assert what_would_hold(expect, p) == [], expect.what


def positions(study: Study) -> list[tuple[Params, Params]]:
    """The parameters with each switch in each position, and the same with it in the other."""
    switches = [one.name for one in study.parameters if (one.least, one.most) == (0, 1)]
    return [
        (Params({**p, name: here}), Params({**p, name: 1 - here}))
        for p in settings(study)
        for name in switches
        for here in (0, 1)
    ]


@every_study
def test_no_room_has_a_place_for_the_other_position_of_a_switch(study: Study) -> None:
    for expect in study.expects:
        for p, other in positions(study):
            if expect.applies(p) and expect.applies(other):
                elsewhere = expect.predicted(other)
                assert elsewhere == expect.predicted(p) or not expect.holds(p, elsewhere), (
                    f"{expect.what}, {dict(p)}"
                )


def test_a_room_that_swallows_it_is_found() -> None:
    def made(predicted: int, less: int, more: int, otherwise: int | None = None) -> Expect:
        return Expect(
            "x", Kind.TIME, lambda p: predicted, lambda e: None, "", less, more, "",
            None if otherwise is None else lambda p: otherwise,
        )  # fmt: skip

    p = Params({})
    assert what_would_hold(made(40, 39, 39), p) == []
    assert what_would_hold(made(40, 40, 39), p) == [0]
    assert what_would_hold(made(40, 0, 40), p) == [80]
    assert what_would_hold(made(40, 0, 60, 101), p) == []
    assert what_would_hold(made(40, 0, 60, 100), p) == [100]
    assert what_would_hold(made(0, 0, 30, 31), p) == []
    with pytest.raises(AssertionError, match="otherwise"):
        what_would_hold(made(0, 0, 30), p)
