"""The amounts that studies set, predict and measure: how they are typed and how they are shown.

All are whole numbers of the smallest unit: nanoseconds, bytes, pieces; or words, to be compared.
Sizes are those of buffers, so k and M are powers of 1024 as in the options of `serve`.
"""

from __future__ import annotations

from enum import StrEnum

from netlab.lab.wire.quantities import DURATION
from netlab.model.errors import UsageError
from netlab.show.format import duration

_SCALES = {"": 1, "k": 1 << 10, "m": 1 << 20}

Value = int | str


class Kind(StrEnum):
    """What a number counts."""

    TIME = "time"  # ns
    SIZE = "bytes"
    COUNT = "number"
    WORD = "word"


_NOUNS = {Kind.TIME: "time", Kind.SIZE: "size", Kind.COUNT: "whole number", Kind.WORD: "word"}


def checked_value(what: str, value: Value | None) -> Value | None:
    """What a study's function gave. Raises TypeError for what is neither a number nor a word."""
    if value is not None and not isinstance(value, int | float | str):
        raise TypeError(f"{what} gave a {type(value).__name__}, and wants a number or a word")
    return value


def value_from_text(kind: Kind, text: str) -> int:
    """What was typed. Raises UsageError for what is no such amount."""
    found = DURATION.maybe_parse(text) if kind is Kind.TIME else _whole(text, kind)
    if found is None:
        raise UsageError(f"{text!r} is no {_NOUNS[kind]}", f"write {wanted(kind)}")
    return found


def wanted(kind: Kind) -> str:
    """How such an amount is written, with an example."""
    examples = {
        Kind.TIME: DURATION.wants,
        Kind.SIZE: "a size such as 4096 or 8k",
        Kind.WORD: "words",
    }
    return examples.get(kind, "a whole number")


def _whole(text: str, kind: Kind) -> int | None:
    digits = text
    scale = 1
    if kind is Kind.SIZE:
        digits = text.rstrip("kKmMbB")
        unit = text[len(digits) :].lower().removesuffix("b")
        if unit not in _SCALES:
            return None
        scale = _SCALES[unit]
    return int(digits) * scale if digits.isascii() and digits.isdecimal() else None


def typed(kind: Kind, value: int) -> str:
    """As it would be typed."""
    return DURATION.text(value) if kind is Kind.TIME else f"{value}"


def shown(kind: Kind, value: Value | None) -> str:
    """For people; a dash for what was not seen."""
    if value is None:
        return "not seen"
    if isinstance(value, str):
        return value
    if kind is Kind.TIME:
        return duration(value)
    if kind is Kind.SIZE:
        return f"{value:,} B"
    return f"{value:,}"
