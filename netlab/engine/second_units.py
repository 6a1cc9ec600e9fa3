"""The kernels of netlab's own verdicts: their units (see `units`), and what their arguments are.

Apart from the others, so that nobody imports or compiles them who does not ask for such verdicts.
"""

from __future__ import annotations

from types import ModuleType

from netlab.correlate import (
    again_kernels,
    cause_kernels,
    range_kernels,
    record_kernels,
    second_kernels,
    sender_kernels,
    sender_record_kernels,
)
from netlab.decode import kernels as readers
from netlab.decode import option_kernels as options
from netlab.engine.units import BYTES, NUMBERS, Entries

UNITS: tuple[tuple[ModuleType, ...], ...] = (
    (options, readers),
    (
        second_kernels, again_kernels, cause_kernels, sender_kernels, range_kernels,
        sender_record_kernels,
    ),
)  # fmt: skip
ENTRIES: Entries = {
    "note_options": (
        BYTES, None, readers.ROW, None, None, options.SPOKEN, options.BLOCK, options.NOTED, None,
    ),
    "group": (readers.ROW, None, record_kernels.SIDE, None, NUMBERS, NUMBERS),
    "judge_again": (
        readers.ROW, record_kernels.OUT, options.SPOKEN, options.BLOCK, record_kernels.FLOW,
        record_kernels.TALK, record_kernels.HALF, NUMBERS, NUMBERS, None, None, NUMBERS,
        sender_record_kernels.SENDER, sender_record_kernels.WORK, None, NUMBERS,
        sender_record_kernels.FINDING, None, sender_record_kernels.JUDGED_AGAIN, None,
    ),
}  # fmt: skip
