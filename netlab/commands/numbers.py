"""Numbers and times as options take them, in words that an error can use: `is not a valid whole
number`."""

from __future__ import annotations

import math
from typing import Any

import click


class WholeNumber(click.IntRange):
    """Whole numbers in a range."""

    name = "whole number"


class FiniteNumber(click.FloatRange):
    """Numbers in a range: nan is in none, though no comparison says so."""

    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """As click has it."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is in no range of numbers.", param, ctx)
        return number


class Duration(click.ParamType):  # type: ignore[type-arg]  # it has none before click 8.3
    """A time such as 20ms, in nanoseconds, of at least `least_ns`."""

    name = "time"

    def __init__(self, least_ns: int) -> None:
        self._least_ns = least_ns

    def text(self, amount_ns: int) -> str:
        """As it would be typed."""
        from netlab.lab.wire.quantities import DURATION

        return DURATION.text(amount_ns)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """As the rules of the wire have it."""
        if isinstance(value, int):
            return value
        from netlab.lab.wire.quantities import DURATION

        found = DURATION.maybe_parse(value)
        if found is None:
            self.fail(f"{value!r} is no time: write {DURATION.wants}.", param, ctx)
        if not self._least_ns <= found <= _LONGEST_NS:
            range_text = f"{DURATION.text(self._least_ns)} to {DURATION.text(_LONGEST_NS)}"
            self.fail(f"{value} is not in the range of {range_text}.", param, ctx)
        return found


_LONGEST_NS = 3_600_000_000_000
