"""Whether a recording lacks frames that were there, and what the ledger says of what was in them.

A ring that ran over has counted what it lost. Of a recorder that was killed, of a full disk and of
a file that was cut short only this is known: there may have been more than it holds, calls, too.
"""

from __future__ import annotations

from netlab.correlate.reasons import Reason
from netlab.model.recording import RawRecording
from netlab.model.records import dataclass


@dataclass(frozen=True, slots=True)
class Missing:
    """Why frames are missing, for the two things that can be said of bytes without one."""

    captured: Reason  # they had certainly left
    unsure: Reason  # they may have been in a missing frame, or in none


RING = Missing(Reason.RING_DROP, Reason.RING_LOST)
CUT = Missing(Reason.CUT_SHORT, Reason.CUT_UNKNOWN)


def missing_frames(raw: RawRecording) -> Missing | None:
    """Why frames are missing; None: none are, as far as the file tells."""
    if any(one.dropped for one in raw.interfaces):
        return RING
    if any(loss.witness == "packets" for loss in raw.losses):
        return RING
    return CUT if raw.cut_short or is_cut_short(raw) else None


def is_cut_short(raw: RawRecording) -> bool:
    """Whether a ring was there, and nobody read it to its end: the recorder was killed."""
    return any(one.received is not None and one.dropped is None for one in raw.interfaces)


def has_gaps(raw: RawRecording) -> bool:
    """Whether calls that moved bytes may be missing."""
    return any(loss.witness not in ("packets", "stamps") for loss in raw.losses)
