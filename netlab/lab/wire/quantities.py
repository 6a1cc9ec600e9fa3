"""Amounts as people type them <-> integers: durations in ns, rates in bit/s, sizes in bytes.

Every amount that can be written is read back exactly; what is no whole number of the smallest unit
is refused. Units are decimal, as rates and the sizes of packets are: 64kB is 64,000 bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

_AMOUNT = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)([a-zµ%]*)")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A kind of amount: its units, largest first, and what an error says is expected."""

    wants: str
    units: Mapping[str, int]
    zero: str = ""

    def maybe_parse(self, text: str) -> int | None:
        """The amount in the smallest unit; None where the text is no such amount."""
        match = _AMOUNT.fullmatch(text.lower())
        if match is None or match[2] not in self.units:
            return None
        amount = Decimal(match[1]) * self.units[match[2]]
        return int(amount) if amount == int(amount) else None

    def text(self, amount: int) -> str:
        """With the largest unit that leaves at least 1 before the point."""
        for unit, scale in self.units.items():
            if amount >= scale:
                return f"{plain_number(Decimal(amount) / scale)}{_SHOWN.get(unit, unit)}"
        return self.zero


def plain_number(number: Decimal) -> str:
    """Without exponent, and without zeros at its end behind the point."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent_text(percent: float) -> str:
    """`0.1%`; the shortest number that is read back as the same."""
    return f"{plain_number(Decimal(repr(percent)))}%"


def maybe_percent(text: str) -> float | None:
    """The number before the sign; None where the text is no such amount."""
    match = _AMOUNT.fullmatch(text)
    return float(match[1]) if match is not None and match[2] == "%" else None


DURATION = Quantity(
    "a time such as 20ms (s, ms, us, ns)",
    {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1},
    "0s",
)
RATE = Quantity(
    "a rate such as 10mbit (gbit, mbit, kbit, bit: per second)",
    {"gbit": 1_000_000_000, "mbit": 1_000_000, "kbit": 1_000, "bit": 1},
)
SIZE = Quantity("a size such as 64kB (MB, kB, B)", {"mb": 1_000_000, "kb": 1_000, "b": 1})

_SHOWN = {"mb": "MB", "kb": "kB", "b": "B"}
