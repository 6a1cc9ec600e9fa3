"""Segments of a capture -> their columns as numbers, some rows at a time, and as lines of CSV.

By kernels, without an object for a row but for those that the general path made, and without
another package.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from netlab.correlate.verdict_names import VERDICTS
from netlab.engine import column_kernels as k
from netlab.engine import text_kernels as t
from netlab.engine.flow_rows import STATES
from netlab.engine.whole import Whole
from netlab.model.tables import Direction, Segment

NAMES = (
    "frame", "connection", "direction", "seq", "seg_len", "payload_len_bytes", "start", "stop",
    "ack", "seg_wnd_bytes", "sender_state", "receiver_state", *VERDICTS, "duplicate_ack_num",
    "duplicate_ack_frame", "acks_frame", "ack_rtt_ns", "rto_ns", "rto_frame", "bytes_in_flight",
    "push_bytes",
)  # fmt: skip
# What the cells of three columns choose from.
TEXTS = (Direction.S2C.value, Direction.C2S.value, *(text or "" for text in STATES[1:]))
CHOICES = ("direction", "sender_state", "receiver_state")
_LINE_BYTES = 64  # of the processor's cache
_ROWS = 2056  # as lines of text: cells and text of so many lie in the cache
_WORD_BYTES = 8


@dataclass(frozen=True, slots=True)
class Place:
    """Where a column of the table lies in cells, and what its numbers mean (text_kernels)."""

    cell: int
    kind: int
    bit: int = 0


Cells = tuple[Any, int, int]  # the table, how many rows it has room for, and how many it has


def place_of(name: str) -> Place:
    """Of a column of segments."""
    at = NAMES.index(name)
    if name in VERDICTS:
        return Place(k.VERDICTS_AT, t.TRUTH, at - k.VERDICTS_AT)
    cell = at if at < k.VERDICTS_AT else at - len(VERDICTS) + 1
    return Place(cell, t.CHOICE if name in CHOICES else t.NUMBER)


def room_for(rows: int) -> int:
    """So many rows or a few more, that columns do not begin at the same places of the cache."""
    lines = -(-rows * _WORD_BYTES // _LINE_BYTES) | 1
    return lines * _LINE_BYTES // _WORD_BYTES


def segment_cells(
    whole: Whole,
    most: int = _ROWS,
    part: tuple[int, int] | None = None,
    *,
    with_general: bool = True,
) -> Iterator[Cells]:
    """Tables of cells (column_kernels.CELL), each with at most so many rows; used again.

    Of all rows of the file, or of a `part`: the first, and one past the last. `with_general`: those
    that the general path made are among them.
    """
    capture, machine, found = whole.capture, whole.machine, whole.capture.found
    first, stop = part or (0, capture.count)
    room = room_for(min(most, stop - first))
    cells, filled = machine.table(k.CELL, room * k.WIDTH), machine.table(k.FILLED, 1)
    skipped = numbers_of(machine, capture.records.skipped)
    numbers = numbers_of(machine, whole.connection_of)
    general = whole.segments_by_row() if with_general else {}
    count = 0
    for until in [*sorted(row for row in general if first <= row < stop), stop]:
        while first < until:
            filled.put(0, rows=count)
            first = machine.run(
                "fill_segments", capture.records.rows, capture.outs, found.flows, found.talks,
                numbers, skipped, len(capture.records.skipped), first, until, cells, room, filled,
            )  # fmt: skip
            count = filled.get(0, "rows")
            if first < until:
                yield cells, room, count
                count = 0
        if until < stop:
            if count == room:
                yield cells, room, count
                count = 0
            _put(cells, room, count, general[until])
            count += 1
    if count:
        yield cells, room, count


def _put(cells: Any, room: int, row: int, segment: Segment) -> None:
    """A segment that the general path made, into a row of cells."""
    judged = segment.retransmission is not None
    bits = sum(1 << bit for bit, name in enumerate(VERDICTS) if getattr(segment, name))
    cells.put(k.VERDICTS_AT * room + row, value=bits if judged else k.NULL)
    for name in NAMES:
        if name in VERDICTS:
            continue
        value = getattr(segment, name)
        if value is None:
            value = k.NULL
        elif name in CHOICES:
            value = TEXTS.index(value)
        cells.put(place_of(name).cell * room + row, value=value)


def segment_lines(whole: Whole, names: Sequence[str]) -> Iterator[memoryview]:
    """The rows as lines of CSV, many at a time; to be used before the next are made."""
    machine = whole.machine
    picks = _picks(names)
    picked = numbers_of(machine, [number for pick in picks for number in pick])
    texts, starts = texts_of(machine, [f"{text}," for text in TEXTS])
    digits = digits_of(machine)
    longest = max(map(len, TEXTS)) + 1
    widths = {t.NUMBER: t.LONGEST, t.CHOICE: longest, t.TRUTH: 6}
    width = sum(widths[kind] * count for _, kind, _, count in picks)
    text = machine.piece(room_for(min(_ROWS, whole.capture.count)) * width + t.SLACK)
    for cells, room, count in segment_cells(whole):
        size = machine.run(
            "write_cells", cells, room, count, picked, len(picks), digits, texts, starts, text
        )
        yield text.view[:size]


def _picks(names: Sequence[str]) -> list[tuple[int, int, int, int]]:
    """How columns are written; those that follow each other are written together."""
    picks: list[tuple[int, int, int, int]] = []
    for name in names:
        place = place_of(name)
        if picks:
            cell, kind, bit, count = picks[-1]
            step = (0, count) if kind == t.TRUTH else (count, 0)
            if (cell + step[0], kind, bit + step[1]) == (place.cell, place.kind, place.bit):
                picks[-1] = cell, kind, bit, count + 1
                continue
        picks.append((place.cell, place.kind, place.bit, 1))
    return picks


def texts_of(machine: Any, texts: Sequence[str]) -> tuple[Any, Any]:
    """Texts one behind the other, and where each begins; with room behind them for two words."""
    data = [text.encode() for text in texts]
    starts = [0]
    for one in data:
        starts.append(starts[-1] + len(one))
    piece = machine.piece(starts[-1] + 2 * _WORD_BYTES)
    piece.view[: starts[-1]] = b"".join(data)
    return piece, numbers_of(machine, starts)


def digits_of(machine: Any) -> Any:
    """What text_kernels write numbers from."""
    data = ""
    for length in range(1, 5):
        four = f"{{:04}},{chr(length + 1)}{chr(32 - 8 * length)}\0".format
        data += "".join(map(four, range(10 ** (length - 1) if length > 1 else 0, 10**length)))
    piece = machine.piece(len(data))
    piece.view[: len(data)] = data.encode()
    return piece


def numbers_of(machine: Any, numbers: Sequence[int]) -> Any:
    """A table of whole numbers of 32 bits."""
    table = machine.table([], max(1, len(numbers)))
    table.put_numbers(numbers)
    return table
