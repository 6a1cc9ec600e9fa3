"""The ledger and the causal check notice what is wrong: each fault here must be reported."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playbook import Play, number_of

from netlab.correlate.ledger import causal_violations, ledger_mismatches
from netlab.model.tables import Tables


def sound() -> Tables:
    play = Play()
    play.handshake()
    with play.call("client", "send", 100):
        play.data("c>s", 0, 100)
    play.did("server", "recv", 60)
    return play.tables()


@pytest.mark.parametrize("role", ["carried", "delivered"])
def test_a_missing_or_doubled_or_shifted_span_is_reported(role: str) -> None:
    tables = sound()
    assert ledger_mismatches(tables) == []
    (place,) = [i for i, span in enumerate(tables.spans) if span.role == role]
    span = tables.spans[place]
    for wrong in ([], [span, span], [replace(span, stop=span.stop - 1)]):
        tables.spans[place : place + 1] = wrong
        assert ledger_mismatches(tables)
        tables.spans[place : place + len(wrong)] = [span]


def test_a_missing_or_wrong_line_of_the_ledger_is_reported() -> None:
    tables = sound()
    row = tables.unmatched.pop()
    assert ledger_mismatches(tables)
    tables.unmatched.append(replace(row, start=50, bytes=50))
    assert ledger_mismatches(tables)


@pytest.mark.parametrize(
    ("op", "field", "by_ns"),
    [("send", "entered_ns", 2_000), ("recv", "returned_ns", -5_000),
     ("accept", "returned_ns", -5_000), ("connect", "returned_ns", -5_000)],
)  # fmt: skip
def test_an_effect_before_its_cause_is_reported(op: str, field: str, by_ns: int) -> None:
    tables = sound()
    assert causal_violations(tables) == []
    call = tables.calls[number_of(tables, op) - 1]
    setattr(call, field, getattr(call, field) + by_ns)
    assert len(causal_violations(tables)) >= 1
    assert causal_violations(tables, tolerance_ns=10_000) == []
