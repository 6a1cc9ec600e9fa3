"""Some rows of a large capture -> packets, their segments and their frames, a page at a time.

For lists that are too long to be held: whoever draws a page lets it go before the next.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from netlab.decode import kernels as d
from netlab.engine.layout import layout
from netlab.engine.tables import Times, packet_of, read_alone, segment_of
from netlab.engine.whole import Whole
from netlab.model.frame import Frame
from netlab.model.tables import Packet, Segment

PAGE_ROWS = 4_096
_INTERFACE = layout(d.ROW).place("interface")


class Line(NamedTuple):
    """A packet, and what else there is of it."""

    packet: Packet
    segment: Segment | None
    frame: Frame


def pages(whole: Whole, places: Sequence[int]) -> Iterator[list[Line]]:
    """The packets in those rows, in that order. The capture was read with `keep`."""
    handle = whole.file.open()
    packets, segments = whole.packets_by_row(), whole.segments_by_row()
    times = Times(whole)
    tables = (whole.capture.records.rows, whole.capture.outs)
    every, said = (table.array(whole.capture.count) for table in tables)
    try:
        for first in range(0, len(places), PAGE_ROWS):
            page = list(places[first : first + PAGE_ROWS])
            alone = read_alone(whole, page)
            rows, outs = every[page].tolist(), said[page].tolist()
            yield [
                Line(
                    packets.get(place) or alone.get(place) or packet_of(whole, place, row),
                    segments.get(place) or segment_of(whole, place, row, out, times),
                    _frame(whole, handle, place, row),
                )
                for place, row, out in zip(page, rows, outs, strict=True)
            ]
    finally:
        os.close(handle)


def _frame(whole: Whole, handle: int, place: int, row: tuple[int, ...]) -> Frame:
    time_ns, off, caplen, origlen = row[:4]
    data = os.pread(handle, caplen, off)
    return Frame(whole.capture.number(place), time_ns, row[_INTERFACE], data, origlen)
