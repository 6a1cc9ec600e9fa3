"""What the kernels have no word on, though the general path has."""

from __future__ import annotations

from collections.abc import Iterable

from netlab.model.tables import columns

SECOND = ("verdict", "verdict_reason", "verdict_frames")  # of segments, where they are asked for
_LAST_OF_CONNECTIONS = "close_kind"  # behind it is what is counted and measured per segment


def not_known(table: str) -> frozenset[str]:
    """The columns of a table that only the general path fills."""
    if table == "connections":
        names = [column.name for column in columns(table)]
        return frozenset(names[names.index(_LAST_OF_CONNECTIONS) + 1 :])
    return frozenset()


def needs_second(names: Iterable[str]) -> bool:
    """Whether netlab's own verdicts are among these columns of segments."""
    return not set(SECOND).isdisjoint(names)
