"""The line that tiles a stretch of time: whatever a story says, the parts cover it."""

from __future__ import annotations

import ast
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

import netlab.correlate
import netlab.explain
import netlab.show.views
from netlab.explain.causes import MECHANISMS, Cause, Certainty
from netlab.explain.parts import Line, Part, Sense

CAUSES = st.sampled_from(list(Cause))
CERTAINTIES = st.sampled_from(list(Certainty))


@given(
    st.integers(0, 100),
    st.integers(0, 100),
    st.lists(st.tuples(st.integers(-20, 220), CAUSES, CERTAINTIES), max_size=12),
)
def test_parts_are_disjoint_ordered_and_cover(
    start: int, length: int, said: list[tuple[int, Cause, Certainty]]
) -> None:
    line = Line(start, start + length)
    for time_ns, cause, certainty in said:
        line.until(time_ns, cause, certainty)
    at = start
    for part in line.finish():
        assert part.start_ns == at < part.stop_ns
        at = part.stop_ns
    assert at == start + length


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(1, 30)), max_size=8))
def test_parts_of_others_are_clipped_and_gaps_stay_unknown(pieces: list[tuple[int, int]]) -> None:
    others = [
        Part(start, start + length, Cause.NETWORK, Certainty.OBSERVED) for start, length in pieces
    ]
    line = Line(10, 90)
    line.include(others, 80)
    covered = {t for start, length in pieces for t in range(start, start + length)}
    edge = 10
    for part in line.parts:
        assert part.start_ns == edge
        edge = part.stop_ns
        if part.cause is Cause.NETWORK:
            assert covered.issuperset(range(part.start_ns, part.stop_ns))
    assert edge <= 80


def test_what_says_the_same_is_one_part_with_all_its_evidence() -> None:
    line = Line(0, 10)
    line.until(4, Cause.CWND, Certainty.INFERRED, (1,), (7,), "x")
    line.until(8, Cause.CWND, Certainty.INFERRED, (2,), (7,), "x")
    line.until(10, Cause.CWND, Certainty.OBSERVED, (3,), (), "x")
    assert [(p.start_ns, p.stop_ns, p.frames, p.calls) for p in line.finish()] == [
        (0, 8, (1, 2), (7,)), (8, 10, (3,), ()),
    ]  # fmt: skip


def test_what_a_part_means_goes_with_it_whatever_becomes_of_its_times() -> None:
    held = Part(0, 9, Cause.DELAYED_ACK, Certainty.OBSERVED, (1,), (7,), "x", Sense.FREES_NAGLE)
    asked = Part(6, 9, Cause.PEER_APP, Certainty.OBSERVED, (), (8,), "y", None, 3, 12)
    line = Line(2, 10)
    line.include([held], 4)
    line.go_on(5)
    line.include([asked], 7)
    line.go_on(20)
    assert [(p.start_ns, p.stop_ns, p.sense, p.inside, p.third) for p in line.finish()] == [
        (2, 5, Sense.FREES_NAGLE, None, None), (5, 6, None, None, None), (6, 10, None, 3, 12),
    ]  # fmt: skip


def test_two_that_mean_different_things_are_two() -> None:
    line = Line(0, 10)
    line.until(4, Cause.DELAYED_ACK, Certainty.OBSERVED, text="x", sense=Sense.FREES_NAGLE)
    line.until(9, Cause.DELAYED_ACK, Certainty.OBSERVED, text="x", sense=Sense.FREES_BUFFER)
    line.go_on(7)
    assert [(p.stop_ns, p.sense) for p in line.parts] == [
        (4, Sense.FREES_NAGLE), (9, Sense.FREES_BUFFER),
    ]  # fmt: skip


def test_what_nobody_told_is_unknown() -> None:
    line = Line(0, 10)
    line.until(3, Cause.COPY, Certainty.INFERRED)
    assert [(p.cause, p.certainty) for p in line.finish()] == [
        (Cause.COPY, Certainty.INFERRED), (Cause.UNKNOWN, Certainty.UNKNOWN),
    ]  # fmt: skip


def test_every_cause_has_its_words_and_those_that_a_program_can_change_their_advice() -> None:
    assert set(MECHANISMS) == set(Cause)
    without = {cause for cause, mechanism in MECHANISMS.items() if not mechanism.advice}
    idle = {Cause.NO_CLIENT, Cause.TIMER, Cause.SIGNAL, Cause.OTHER_EVENT}
    assert without == idle | {Cause.COPY, Cause.UNKNOWN}
    for mechanism in MECHANISMS.values():
        assert mechanism.says.isascii()
        assert mechanism.advice.isascii()
        assert not mechanism.advice or mechanism.advice.endswith(".")


_LOOKS = frozenset({"startswith", "endswith", "find", "index", "count", "partition", "split"})
_MATCHES = frozenset({"match", "search", "fullmatch", "findall", "finditer"})
_WORDS = frozenset({"text", "reason", "verdict_reason", "in_vain", "_icmp_text"})


def _looks_into(node: ast.AST, words: frozenset[str]) -> bool:
    if isinstance(node, ast.Compare) and any(isinstance(op, ast.In | ast.NotIn) for op in node.ops):
        return any(_is_one(one, words) for one in node.comparators)
    called = node.func if isinstance(node, ast.Call) else None
    if not isinstance(node, ast.Call) or not isinstance(called, ast.Attribute):
        return False
    if called.attr in _MATCHES:
        return any(_is_one(one, words) for one in node.args)
    return called.attr in _LOOKS and _is_one(called.value, words)


def _is_one(node: ast.AST, words: frozenset[str]) -> bool:
    """Whether it is a field with words for people, or such a one `or ""`."""
    if isinstance(node, ast.BoolOp):
        return any(_is_one(one, words) for one in node.values)
    return isinstance(node, ast.Attribute) and node.attr in words


def _found(package: ModuleType, words: frozenset[str]) -> list[str]:
    return [
        f"{path.name}:{node.lineno}"
        for path in sorted(Path(package.__path__[0]).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.expr) and _looks_into(node, words)
    ]


def test_nothing_is_decided_by_the_words_of_a_text() -> None:
    """Words are for people, and change: what others decide by is a field beside them."""
    assert _found(netlab.correlate, _WORDS) == []
    assert _found(netlab.explain, _WORDS) == []
    assert _found(netlab.show.views, frozenset({"text"})) == []


@pytest.mark.parametrize(
    "line",
    [
        '"answered" in part.text',
        '"x" not in (row.text or "")',
        '(segment.verdict_reason or "").partition(";")',
        "found.reason.startswith(_UNSURE)",
        "_TOLD.match(packet._icmp_text)",
    ],
)
def test_what_looks_into_one_would_be_seen(line: str) -> None:
    assert any(_looks_into(node, _WORDS) for node in ast.walk(ast.parse(line)))
    others = line.replace("text", "frame").replace("verdict_reason", "frames")
    others = others.replace("reason", "frames")
    assert not any(_looks_into(node, _WORDS) for node in ast.walk(ast.parse(others)))
