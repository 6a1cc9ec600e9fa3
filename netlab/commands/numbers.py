"""Numbers as options take them, in words that an error can use: `is not a valid whole number`."""

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
