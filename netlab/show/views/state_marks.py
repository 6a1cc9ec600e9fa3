"""Changes of both ends' states -> the rows of a ladder at which they stand.

A state is written where it changes and nowhere else. Which states the packets show, and when, is
`correlate.end_states`' to say; what the kernel itself was asked is another view (`states`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from netlab.model.tables import EndState, Side
from netlab.show.views.marks import Row

_PARTS = {"leaves": (False,), "arrives": (True,), "whole": (False, True)}


def with_states(rows: Sequence[Row], changes: Sequence[EndState]) -> list[Row]:
    """The rows with the states that their frames brought; `changes` are those of one connection."""
    by_frame: dict[tuple[int, bool], list[EndState]] = defaultdict(list)
    for change in changes:
        by_frame[change.frame, change.arrived].append(change)
    first = {side: next((c for c in changes if c.side is side), None) for side in Side}
    opens = first[Side.CLIENT]
    answers = first[Side.SERVER]
    # A server that takes a SYN was listening (RFC 9293 3.10.7.2).
    listens = answers is not None and answers.state == "SYN-RECEIVED"
    found = []
    for row in rows:
        wire = row.wire
        if wire is not None and wire.frame is not None:
            for arrived in _PARTS[wire.part]:
                for change in by_frame.get((wire.frame, arrived), ()):
                    row = _marked(row, change.side, change.state)
                    if listens and change is opens and change.state == "SYN-SENT":
                        row = _marked(row, Side.SERVER, "LISTEN")
        found.append(row)
    return found


def latest_states(rows: Sequence[Row]) -> tuple[str, str]:
    """The states at the end of some rows, client's and server's; empty where none changed."""
    client = next((row.client_state for row in reversed(rows) if row.client_state), "")
    server = next((row.server_state for row in reversed(rows) if row.server_state), "")
    return client, server


def _marked(row: Row, side: Side, state: str) -> Row:
    if side is Side.CLIENT:
        return replace(row, client_state=state)
    return replace(row, server_state=state)
