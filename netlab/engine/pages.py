"""Segments of a capture -> the data pages of a Parquet file, many rows at a time, by kernels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from netlab.engine import page_kernels as p
from netlab.engine.columns import TEXTS, Cells, Place, numbers_of, place_of, segment_cells
from netlab.engine.whole import Whole

_ROWS = 1 << 15  # of a page
_VALUE_BYTES = 9  # at most, with what says that there is one, and how wide it is
_MORE_BYTES = 1024  # of a page, at most, beside them: its last block is whole


@dataclass(slots=True)
class Page:
    """Some rows of one column, without the header that a file has before them."""

    kind: int  # page_kernels.NUMBER, CHOICE or TRUTH
    data: bytes
    rows: int
    present: int  # of them that have a value
    low: int  # the least of those values, if there is any, and of numbers
    high: int
    is_packed: bool


def segment_pages(whole: Whole, names: Sequence[str]) -> Iterator[list[Page]]:
    """A page of each of these columns, of some rows, until all have been; texts are of TEXTS."""
    places = [place_of(name) for name in names]
    return pages_of(whole.machine, segment_cells(whole, _ROWS), places, len(TEXTS))


def pages_of(
    machine: Any, tables: Iterable[Cells], places: Sequence[Place], texts: int
) -> Iterator[list[Page]]:
    """A page of each of these columns from each table of cells; so many texts are chosen from."""
    width = (texts - 1).bit_length()
    picked = numbers_of(
        machine, [number for one in places for number in (one.cell, one.kind, one.bit, width)]
    )
    pages = machine.table(p.PAGE, len(places))
    values, text = machine.table(p.CELL, 0), machine.piece(1)
    for cells, room, count in tables:
        values.ensure((count + p.DELTAS) * 9 // 8 + 1)
        text.ensure(len(places) * (count * _VALUE_BYTES + _MORE_BYTES))
        machine.run("write_pages", cells, room, count, picked, len(places), values, text, pages)
        made, at = [], 0
        for place, row in zip(places, pages.rows(len(places)), strict=True):
            size, present, low, high, unpacked = row
            data = bytes(text.view[at : at + size])
            made.append(Page(place.kind, data, count, present, low, high, not unpacked))
            at += size
        yield made
