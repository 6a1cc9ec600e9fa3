"""The kernels' modules by what is compiled together, and the kernels that are called from outside.

Those of a unit call each other; who imports stands before whom it imports from. Where this is read,
kernels are not all needed: `second_units` has the others.
"""

from __future__ import annotations

from types import ModuleType

from netlab.correlate import kernels as followers
from netlab.correlate import record_kernels, segment_kernels, sort_kernels, verdict_kernels
from netlab.correlate import traffic_kernels as counters
from netlab.decode import kernels as readers
from netlab.engine import column_kernels as columns
from netlab.engine import page_kernels as pages
from netlab.engine import text_kernels as texts
from netlab.engine.layout import Fields

UNITS: tuple[tuple[ModuleType, ...], ...] = (
    (readers,),
    (followers, sort_kernels, verdict_kernels, segment_kernels, record_kernels),
    (counters,),
    (columns,),
    (texts,),
    (pages,),
)

BYTES, NUMBERS = "bytes", "numbers"  # beside records: what an address leads to
Argument = Fields | str | None  # None: a number
Entries = dict[str, tuple[Argument, ...]]

_SCAN: tuple[Argument, ...] = (
    BYTES, None, None, None, readers.SCAN, readers.LINK, readers.ROW, None,
)  # fmt: skip
# The kernels that are called from outside, and what their arguments are.
ENTRIES: Entries = {
    "scan_pcap": _SCAN,
    "scan_pcapng": _SCAN,
    "decode": (BYTES, None, readers.LINK, readers.ROW, None, None),
    "pick": (readers.ROW, None, None, NUMBERS, None, NUMBERS),
    "sort_flows": (
        BYTES, None, readers.ROW, None, None, None,
        NUMBERS, None, followers.FLOW, followers.USED, None,
    ),
    "rehash": (NUMBERS, None, followers.FLOW, followers.USED),
    "follow": (
        readers.ROW, None, None, None, followers.FLOW, followers.TALK, followers.SIDE,
        followers.HALF, NUMBERS, followers.NODE, followers.USED_BEHIND, None, followers.OUT, None,
    ),
    "count_rows": (
        BYTES, None, readers.ROW, None, None, counters.TALLY, NUMBERS, None, counters.TOTAL,
        None, NUMBERS,
    ),
    "count_flows": (
        followers.FLOW, followers.SIDE, None, None, counters.TALLY, NUMBERS, None,
        counters.TOTAL, None,
    ),
    "place_tallies": (counters.TALLY, NUMBERS, None, counters.TOTAL),
    "sum_up": (
        followers.FLOW, followers.TALK, followers.SIDE, NUMBERS, None, NUMBERS, counters.TOTAL,
    ),
    "fill_segments": (
        readers.ROW, followers.OUT, followers.FLOW, followers.TALK, NUMBERS, NUMBERS, None, None,
        None, columns.CELL, None, columns.FILLED,
    ),
    "write_cells": (
        columns.CELL, None, None, NUMBERS, None, BYTES, BYTES, NUMBERS, BYTES,
    ),
    "write_pages": (
        pages.CELL, None, None, NUMBERS, None, pages.CELL, BYTES, pages.PAGE,
    ),
    "busiest": (followers.FLOW, followers.TALK, followers.SIDE, None, NUMBERS, None),
}  # fmt: skip
