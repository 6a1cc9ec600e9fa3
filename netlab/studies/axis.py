"""Marks of a plot's axis: where they lie, and how they are written: exactly, never rounded."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from netlab.studies.quantity import Kind

_MANTISSAS = (1, 2, 5)
_FEW, _MANY = 3, 7  # marks: below it more are set, from it on fewer
_UNITS: dict[Kind, tuple[tuple[int, str], ...]] = {
    Kind.TIME: ((10**9, " s"), (10**6, " ms"), (1000, " µs"), (1, " ns")),
    Kind.SIZE: ((1 << 30, " GiB"), (1 << 20, " MiB"), (1 << 10, " KiB"), (1, " B")),
}


@dataclass(frozen=True, slots=True)
class Axis:
    """From where to where it goes, in the smallest unit of its kind, and whether by powers."""

    kind: Kind
    least: float
    most: float
    log: bool = False

    @classmethod
    def upright(cls, kind: Kind, least: float, most: float, *, log: bool) -> Axis:
        """One that takes values so large, with two marks at least: from nothing, or, by powers,
        from a mark to a mark."""
        if not log:
            return cls(kind, 0, max(most * 1.05, 1), log=False)
        marks = [*_powers(kind, least / 10, most * 10)]
        below = max(mark for mark in marks if mark <= least)
        above = min(mark for mark in marks if mark >= most and mark > below)
        return cls(kind, below, above, log=True)

    def cell(self, value: float, cells: int) -> int:
        """In which of so many cells, along the axis, a value is drawn.

        As uniplot has it: a cell is two points wide, and the axis goes from the middle of its first
        point to the middle of its last.
        """
        low, high, at = self.least, self.most, value
        if self.log:
            low, high, at = math.log10(low), math.log10(high), math.log10(at)
        return round((2 * cells - 1) * (at - low) / (high - low)) // 2

    def marks(self) -> list[tuple[float, str]]:
        """The values that are marked, upwards, each as it is written."""
        values = self._by_powers() if self.log else []
        if len(values) < 2:
            values = self._alike()
        unit = None if self.log else _unit(self.kind, self.most)
        return [(value, _written(self.kind, value, unit)) for value in values]

    def _by_powers(self) -> list[float]:
        values = [*_powers(self.kind, self.least, self.most)]
        if len(values) < _MANY:
            return values
        if self.kind is Kind.SIZE:
            return [value for value in values if int(math.log2(value)) % 2 == 0]
        decades = [value for value in values if _leading(value) == 1]
        return decades if len(decades) >= _FEW else values

    def _alike(self) -> list[float]:
        """In steps that are alike, of one, two or five of a unit."""
        scale, _ = _unit(self.kind, self.most)
        least, most = self.least / scale, self.most / scale
        steps = (m * 10.0**e for e in range(-12, 19) for m in _MANTISSAS)
        step = next(step for step in steps if (most - least) / step < _MANY - 1)
        first, last = math.ceil(least / step), math.floor(most / step)
        return [number * step * scale for number in range(first, last + 1)]


def _powers(kind: Kind, least: float, most: float) -> Iterator[float]:
    """One, two and five of each power of ten; of sizes the powers of two."""
    if kind is Kind.SIZE:
        every: Iterator[float] = (float(1 << e) for e in range(62))
    else:
        every = (float(m * 10**e) for e in range(19) for m in _MANTISSAS)
    return (value for value in every if least <= value <= most)


def _leading(value: float) -> int:
    return int(f"{value:e}"[0])


def _unit(kind: Kind, value: float) -> tuple[int, str]:
    """The largest one that is not larger than `value`."""
    return next((one for one in _UNITS.get(kind, ()) if value >= one[0]), (1, ""))


def _written(kind: Kind, value: float, unit: tuple[int, str] | None) -> str:
    scale, name = unit or _unit(kind, value)
    return f"{value / scale:,.10g}{name}"
