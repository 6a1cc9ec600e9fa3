"""What the kernels have no word on, though the general path has."""

from __future__ import annotations

from netlab.model.tables import columns

_LAST_OF_CONNECTIONS = "close_kind"  # behind it is what is counted and measured per segment


def not_known(table: str) -> frozenset[str]:
    """The columns of a table that only the general path fills."""
    if table == "segments":  # netlab's own verdict
        return frozenset({"verdict", "verdict_reason", "verdict_frames"})
    if table == "connections":
        names = [column.name for column in columns(table)]
        return frozenset(names[names.index(_LAST_OF_CONNECTIONS) + 1 :])
    return frozenset()
