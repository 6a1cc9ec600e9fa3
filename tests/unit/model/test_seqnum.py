"""Sequence arithmetic holds at the wrap, where others are off by one."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.model.seqnum import SEQ_MODULUS, seq_add, seq_diff, seq_le, seq_lt, unwrap

seqs = st.integers(0, SEQ_MODULUS - 1)
steps = st.integers(-(2**31) + 1, 2**31 - 1)


@given(seqs, steps)
def test_diff_undoes_add(seq: int, step: int) -> None:
    assert seq_diff(seq_add(seq, step), seq) == step


@given(seqs, st.integers(1, 2**31 - 1))
def test_order_is_strict_on_the_near_half_of_the_circle(seq: int, step: int) -> None:
    later = seq_add(seq, step)
    assert seq_lt(seq, later)
    assert seq_le(seq, later)
    assert not seq_lt(later, seq)
    assert seq_le(seq, seq)
    assert not seq_lt(seq, seq)


@given(st.integers(0, 2**40), steps)
def test_unwrap_finds_the_near_number(near: int, step: int) -> None:
    number = near + step
    if number >= 0:
        assert unwrap(number % SEQ_MODULUS, near) == number


@pytest.mark.parametrize(
    ("seq", "near", "number"),
    [(0, 2**32 - 1, 2**32), (2**32 - 1, 2**32, 2**32 - 1), (5, 2**32 + 3, 2**32 + 5)],
)
def test_unwrap_at_the_wrap(seq: int, near: int, number: int) -> None:
    assert unwrap(seq, near) == number


def test_nobody_else_does_it_by_hand() -> None:
    """0xFFFFFFFF and 1 << 32 stand in model/seqnum, and in capture and the applications, where
    64-bit stamps are split and fields of 32 bits mean something by all ones, and in the linker,
    whose relocations have two halves; the kernels import
    nothing, and what they count is compared with what the others count."""
    package = Path(__file__).resolve().parents[3] / "netlab"
    for source in package.rglob("*.py"):
        place = source.relative_to(package)
        other_numbers = place.parts[0] == "capture" or "applications" in place.parts
        other_numbers = other_numbers or place.name.endswith("kernels.py")
        other_numbers = other_numbers or place.as_posix() == "engine/linked.py"
        if place.as_posix() == "model/seqnum.py" or other_numbers:
            continue
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            value = getattr(node, "value", None) if isinstance(node, ast.Constant) else None
            assert value not in (0xFFFFFFFF, 1 << 32), f"{source}:{node.lineno}"  # type: ignore[attr-defined]
