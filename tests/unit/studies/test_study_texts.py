"""What a study says of itself follows the parameters that were set."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from netlab.studies import starting_point
from netlab.studies.catalogue import catalogue
from netlab.studies.quantity import Kind, Value, shown
from netlab.studies.runner import asked
from netlab.studies.study import Parameter, Params, Study

STUDIES = [*catalogue().values(), starting_point.STUDY]
every_study = pytest.mark.parametrize("study", STUDIES, ids=[study.name for study in STUDIES])
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
# What a text states that is the default by chance, or of something else, and always true.
ALWAYS_TRUE = {
    ("port-exhaustion", "ports"),  # three of four: of what makes a connection
    ("process-killed", "read"),  # the client always sends 100 bytes
    ("unix-datagrams", "count"),  # each has 1,000 bytes
    ("rto-backoff", "losses"),  # one time-out, then two, then four: the law
    ("ipc", "sizes"),  # three passes, three messages
}


def words(kind: Kind, value: Value) -> set[str]:
    """The ways in which a text may state a value. Of numbers only those that are no small talk: a
    switch is `0` or `1`, and `one`, `two` and `both` are everywhere."""
    if isinstance(value, str):
        return {value} if " " in value else set()
    found = {shown(kind, value)}
    if kind is Kind.COUNT:
        found = {f"{value:,}", f"{value}"} if value > 2 else set()
        found |= {NUMBERS[value]} if 2 < value < len(NUMBERS) else set()
    if kind is Kind.SIZE:
        found |= {f"{value:,} bytes", f"{value} bytes"}
    if kind is Kind.TIME and value:
        for unit, name in ((10**9, "s"), (10**6, "ms")):
            found |= {f"{value / unit:g} {name}", f"{value / unit:g}{name}"}
    return found


def states(text: str, kind: Kind, value: Value) -> str:
    """The place of a text that states a value; empty where none does."""
    for one in sorted(words(kind, value)):
        place = re.search(rf"(?<![\w.,=]){re.escape(one)}(?!\w|[.,]\d)", text, re.IGNORECASE)
        if place:
            return text[max(place.start() - 30, 0) : place.end() + 30]
    return ""


def elsewhere(study: Study) -> Iterator[Params]:
    """All parameters at an end of their range that is not the default; first the least ones."""
    for first, second in (("least", "most"), ("most", "least")):
        values = {}
        for one in study.parameters:
            ends = [getattr(one, first), getattr(one, second)]
            values[one.name] = next(value for value in ends if value != one.default)
        yield Params(values)


def alone(study: Study, one: Parameter) -> Iterator[Params]:
    """This parameter at each end of its range, all others as they are by default."""
    for value in {one.least, one.most} - {one.default}:
        yield Params({**study.params({}), one.name: value})


def said(study: Study, p: Params) -> dict[str, str]:
    """Its texts, with each parameter typed."""
    study = study.alone({one.name: "" for one in study.parameters})
    return {
        "question": study.text(study.question, p),
        "setup": study.text(study.setup, p),
        "prediction": study.text(study.prediction, p),
    }


@every_study
def test_no_text_states_the_default_of_what_was_set(study: Study) -> None:
    """Where the texts have the value of a parameter, they have the one that it was set to."""
    for p in elsewhere(study):
        for name, text in said(study, p).items():
            for one in study.parameters:
                if (study.name, one.name) not in ALWAYS_TRUE:
                    place = states(text, one.kind, one.default)
                    assert not place, f"{name} with {dict(p)}: {one.name} in {place!r}"


@every_study
def test_a_prediction_does_not_begin_with_what_is_predicted_otherwise(study: Study) -> None:
    """Its first sentence is the answer: no number in it that holds for the defaults alone."""
    defaults = study.params({})
    free = [one for one in study.parameters if (study.name, one.name) not in ALWAYS_TRUE]
    for p in (p for one in free for p in alone(study, one)):
        begins = re.split(r"[.:;] ", said(study, p)["prediction"])[0]
        for expect in study.expects:
            if expect.applies(p) and expect.applies(defaults):
                before, now = expect.predicted(defaults), expect.predicted(p)
                if before != now and not states(begins, expect.kind, now):
                    # As a whole answer, small numbers are no small talk.
                    assert before not in (1, 2) or begins.casefold() != NUMBERS[before], dict(p)
                    assert not states(begins, expect.kind, before), f"{dict(p)}: {begins!r}"


@every_study
def test_what_to_try_next_is_another_run(study: Study) -> None:
    kinds = {one.name: one for one in study.parameters}
    for one in study.parameters:
        for p in alone(study, one):
            following = study.text(study.next, p)
            for name, typed_in in re.findall(
                r"netlab study ([\w-]+)((?: --set \w+=[\w.]*\w)+)", following
            ):
                if name == study.name:
                    pairs = re.findall(r"--set (\w+)=([\w.]*\w)", typed_in)
                    assert any(kinds[key].parse(text) != p[key] for key, text in pairs), following


@every_study
def test_what_a_reader_is_asked_is_said_in_full(study: Study) -> None:
    """Not as `the same`: what stands before it in the comparison is not there yet."""
    assert not re.search(r"\bthe same\b", study.expects[asked(study)].what)


def test_a_default_that_a_text_states_is_found() -> None:
    assert states("after 40 ms at most", Kind.TIME, 40_000_000)
    assert states("after 40ms", Kind.TIME, 40_000_000)
    assert not states("after 140 ms", Kind.TIME, 40_000_000)
    assert not states("after 0.40 ms", Kind.TIME, 40_000_000)
    assert states("Five messages", Kind.COUNT, 5)
    assert not states("5.5 messages, 1,500 bytes", Kind.COUNT, 5)
    assert states("a window of 16,384 bytes", Kind.SIZE, 16384)
    assert not states("--set size=5", Kind.COUNT, 5)
    assert not states("both of the two", Kind.COUNT, 2)
