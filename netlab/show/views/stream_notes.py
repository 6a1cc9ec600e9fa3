"""A connection's streams -> what is not right with their bytes, as footnotes: gaps, contradictions.

A gap is what an ACK says the other end has, and no frame of this capture brought whole. Two frames
that hold different bytes for one place: a stack that changed its mind, or somebody else who sent.
"""

from __future__ import annotations

from netlab.correlate.reassembly import Conflict, Reassembly
from netlab.model.recording import RawRecording
from netlab.model.tables import Connection, Side, Tables, Verdict
from netlab.show.format import byte_count, byte_range

_MOST = 3
_TWICE = (*(kind for kind in Verdict if kind is not Verdict.NEW_DATA), "unsure")


def stream_notes(
    tables: Tables, raw: RawRecording, connection: Connection
) -> list[tuple[str, str]]:
    """Footnotes: a sign and its text."""
    if connection.protocol != "tcp":
        return []
    notes: list[tuple[str, str]] = []
    for side in Side:
        missed = getattr(connection, f"{side}_missed_bytes")
        if missed:
            text = f"{byte_count(missed)} of the {side}'s were acknowledged, and not captured"
            notes.append(("gap", text))
    if not any(getattr(connection, f"{kind}_frames") for kind in _TWICE):
        return notes  # nothing came twice
    streams = Reassembly(tables, raw)
    conflicts = [one for side in Side for one in _conflicts(streams, connection, side)]
    for one in conflicts[:_MOST]:
        where = f"{one.side} {byte_range(one.start, one.stop)}"
        text = f"frames {one.frame} and {one.other_frame} hold different bytes for {where}"
        notes.append(("≠", text))
    if len(conflicts) > _MOST:
        notes.append(("≠", f"… and {len(conflicts) - _MOST:,} more such places"))
    return notes


def other_copies(
    tables: Tables, raw: RawRecording, connection: Connection, side: Side, byte: int
) -> tuple[int, ...]:
    """The frames that hold another byte at this place of a stream than the first that has it."""
    if connection.protocol != "tcp":
        return ()
    found = _conflicts(Reassembly(tables, raw), connection, side)
    frames = [one.other_frame for one in found if one.start <= byte < one.stop]
    return tuple(dict.fromkeys(frames))


def _conflicts(streams: Reassembly, connection: Connection, side: Side) -> list[Conflict]:
    found: list[Conflict] = []
    for _ in streams.chunks(connection, side, found):
        pass
    return found
