"""A condition in SQL -> what of a recording a view is to show.

Views of packets take conditions on `frames`, views of calls on `calls`. A ladder has both: a
condition that names a column which only calls have is about calls, and the frames that belong to
them stay; any other is about frames, and the calls that belong to those stay.
Imports Polars: only on request.
"""

from __future__ import annotations

from dataclasses import replace

from netlab.model.recording import RawRecording
from netlab.model.records import dataclass
from netlab.model.tables import Tables
from netlab.show import sql
from netlab.show.sql import FRAMES, NoColumn, columns_of, positions_where, rows_where


@dataclass(frozen=True, slots=True)
class Chosen:
    """Frames and calls of which a condition is true, or that belong to such."""

    frames: frozenset[int]
    calls: frozenset[int]


def frames(tables: Tables, condition: str) -> set[int]:
    """The frames of which it is true. Raises UsageError."""
    return rows_where(tables, FRAMES, condition, "frame")


def frames_and_calls(tables: Tables, condition: str) -> Chosen:
    """Both, for a view that has both. Raises UsageError for what neither can answer."""
    try:
        found = frames(tables, condition)
    except NoColumn as missing:
        try:
            calls = rows_where(tables, "calls", condition, "call")
        except NoColumn:
            there = [*columns_of(FRAMES), *columns_of("calls")]
            raise NoColumn(missing.name, there) from None
        linked = {span.frame for span in tables.spans if span.call in calls}
        peers = {
            span.peer_call
            for span in tables.spans
            if span.call in calls and span.peer_call is not None
        }
        return Chosen(
            frozenset(frame for frame in linked if frame is not None), frozenset(calls | peers)
        )
    belonging = {span.call for span in tables.spans if span.frame in found}
    return Chosen(frozenset(found), frozenset(belonging))


def states(tables: Tables, condition: str) -> Tables:
    """The tables with those samples alone of which it is true. Raises UsageError."""
    kept = positions_where(tables, "states", condition)
    return replace(tables, states=[tables.states[at] for at in kept])


def packets_alone(tables: Tables, raw: RawRecording, condition: str) -> tuple[Tables, RawRecording]:
    """The frames of which it is true, as a capture of its own: verdicts and connections stay.

    What is left are packets, their segments, and the connections that have any, with the numbers
    of the whole connection. Raises UsageError.
    """
    found = frames(tables, condition)
    packets = [packet for packet in tables.packets if packet.frame in found]
    touched = {packet.connection for packet in packets}
    part = Tables(
        packets=packets,
        segments=[segment for segment in tables.segments if segment.frame in found],
        connections=[row for row in tables.connections if row.connection in touched],
    )
    return part, RawRecording(
        frames=[frame for frame in raw.frames if frame.number in found],
        interfaces=raw.interfaces,
        description=raw.description,
    )


def not_there(tables: Tables, name: str, condition: str) -> list[str]:
    """In words, the values that a condition asks for and that its columns never have."""
    found = sql.not_there(sql.table(tables, name), condition)
    if name == FRAMES and tables.calls:
        frames_have = set(columns_of(FRAMES))
        calls = sql.table(tables, "calls")
        alone = [one for one in calls.columns if one not in frames_have]
        found += sql.not_there(calls.select(alone), condition)
    return found
