"""Segments of a capture -> their columns as numbers, some rows at a time, and as lines of CSV.

By kernels, without an object for a row and without another package. Rows that the general path
made are not among them: `Whole.segments_by_row` has those.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from netlab.correlate.verdict_names import VERDICTS
from netlab.engine import column_kernels as k
from netlab.engine.flow_rows import STATES
from netlab.engine.whole import Whole
from netlab.model.tables import Direction

NAMES = (
    "frame", "connection", "direction", "seq", "seg_len", "payload_len_bytes", "start", "stop",
    "ack", "seg_wnd_bytes", "sender_state", "receiver_state", *VERDICTS, "duplicate_ack_num",
    "duplicate_ack_frame", "acks_frame", "ack_rtt_ns", "rto_ns", "rto_frame", "bytes_in_flight",
    "push_bytes",
)  # fmt: skip
# What the cells of three columns choose from.
TEXTS = (Direction.S2C.value, Direction.C2S.value, *(text or "" for text in STATES[1:]))
CHOICES = ("direction", "sender_state", "receiver_state")
_ROWS = 1 << 12  # at a time: their text lies in the cache when it is written


def segment_cells(
    whole: Whole, most: int = _ROWS, part: tuple[int, int] | None = None
) -> Iterator[tuple[Any, int]]:
    """Tables of cells (column_kernels.CELL), each with how many rows it has; used again.

    Of all rows of the file, or of a `part`: the first, and one past the last.
    """
    capture, machine, found = whole.capture, whole.machine, whole.capture.found
    most = max(1, min(most, capture.count))
    cells, filled = machine.table(k.CELL, most * k.WIDTH), machine.table(k.FILLED, 1)
    skipped = _numbers(machine, capture.records.skipped)
    numbers = _numbers(machine, whole.connection_of)
    first, stop = part or (0, capture.count)
    while first < stop:
        first = machine.run(
            "fill_segments", capture.records.rows, capture.outs, found.flows, found.talks, numbers,
            skipped, len(capture.records.skipped), first, stop, cells, most, filled,
        )  # fmt: skip
        yield cells, filled.get(0, "rows")


def segment_lines(whole: Whole, names: Sequence[str]) -> Iterator[memoryview]:
    """The rows as lines of CSV, many at a time; to be used before the next are made."""
    machine = whole.machine
    picks = [part for name in names for part in _pick(name)]
    picked = _numbers(machine, picks)
    texts = machine.piece(k.TEXT_ROOM * len(TEXTS))
    for number, text in enumerate(TEXTS):
        at = number * k.TEXT_ROOM
        texts.view[at : at + 1 + len(text)] = bytes([len(text), *text.encode()])
    most = min(_ROWS, whole.capture.count)
    room = machine.piece(most * len(names) * (k.LONGEST + 1))
    for cells, count in segment_cells(whole):
        size = machine.run("write_cells", cells, count, picked, len(names), texts, room)
        yield room.view[:size]


def _pick(name: str) -> tuple[int, int]:
    """The cell of a column, and how it is written; a column that no kernel has is empty."""
    if name not in NAMES:
        return -1, k.NUMBER
    if name in CHOICES:
        return NAMES.index(name), k.CHOICE
    return NAMES.index(name), k.TRUTH if name in VERDICTS else k.NUMBER


def _numbers(machine: Any, numbers: Sequence[int]) -> Any:
    table = machine.table([], max(1, len(numbers)))
    for place, number in enumerate(numbers):
        table.put_number(place, number)
    return table
