"""Recordings of a time in which nobody set the machine's clock.

netlab stamps by CLOCK_REALTIME, as the kernel stamps packets. Where that is set meanwhile, times
before and after do not compare: netlab says so, and of some calls it does not know the order any
more (`Reason.CLOCK_STEP`). A test that asks for all of them asks it of another recording.
"""

from __future__ import annotations

from collections.abc import Callable

from netlab.model.clock import clock_steps
from netlab.model.recording import RawRecording

_ATTEMPTS = 4


def in_steady_time(record: Callable[[], RawRecording]) -> RawRecording:
    """What `record` makes, made again where the clock was set while it was made."""
    for _ in range(_ATTEMPTS):
        raw = record()
        if not clock_steps(raw.clock_pairs):
            return raw
    raise AssertionError("the machine's clock was set in each recording")
