"""How far a long piece of work is: said by who does it, heard by whoever wants to know.

Work on many rows goes through them by `over`; what has no rows to count says its name by `step`.
With nobody listening (`SILENT`) that is the rows themselves, and costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")


class Progress(Protocol):
    """Who hears how far work is."""

    def step(self, what: str) -> None:
        """Something begins of which nobody knows how long it will take."""

    def over(self, what: str, rows: Sequence[T]) -> Iterable[T]:
        """The rows, one after the other; each that is asked for is one done."""


class Silent:
    """Nobody listens."""

    def step(self, what: str) -> None:
        """Not heard."""

    def over(self, what: str, rows: Sequence[T]) -> Iterable[T]:
        """The rows as they are."""
        return rows


SILENT = Silent()
