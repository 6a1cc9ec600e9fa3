"""One connection of a large capture, or one packet -> tables by the general path, of it alone.

Numbers are those of the whole capture: connections, streams, frames. The capture's first frame
stands before all others, for times count from it; it is in no connection unless in this one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from netlab.capture.spare import PACKET_BYTES, spare_bytes
from netlab.decode.packets import decode
from netlab.engine.general import follow, key_of
from netlab.engine.whole import Whole, frames_of
from netlab.model.errors import NetlabError
from netlab.model.frame import Frame
from netlab.model.recording import RawRecording
from netlab.model.records import dataclass
from netlab.model.tables import Packet, Tables


@dataclass(frozen=True, slots=True)
class Part:
    """What is left of a capture; `without`: what had no room, in words."""

    raw: RawRecording
    tables: Tables
    without: str = ""


def connection_part(whole: Whole, connection: int) -> Part:
    """A connection with all its frames. Raises NetlabError when memory has no room for it."""
    general = whole.general
    if any(row.connection == connection for row in general.tables.connections):
        return _part(whole, general.frames, general.tables, connection)
    index = whole.connection_of.index(connection)
    key = key_of(whole.rows[index])
    same = [row for row in whole.rows if key_of(row) == key]  # its ports may have been used again
    _check_room(whole, [row.index for row in same], connection)
    aside = {row for row, _ in whole.capture.aside}
    frames = [f for row, f in frames_of(whole, [one.index for one in same]) if row not in aside]
    found = follow(whole.capture.raw, frames)
    numbers = defaultdict(list)
    for row in same:
        mine = whole.connection_of[row.index], whole.stream_of[row.index]
        numbers[whole.capture.number(row.first_row)].append(mine)
    renumbered: dict[int, int] = {}
    for born, one in zip(found.born, found.tables.connections, strict=True):
        renumbered[one.connection], stream = numbers[born].pop(0)
        one.connection = renumbered[one.connection]
        one.stream = stream if one.stream is not None else None
    tables = found.tables
    for segment in tables.segments:
        segment.connection = renumbered[segment.connection]
    tables.end_states = [
        replace(one, connection=renumbered[one.connection]) for one in tables.end_states
    ]
    for packet in tables.packets:
        if packet.connection is not None:
            packet.connection = renumbered[packet.connection]
    return _part(whole, found.frames, tables, connection)


def packet_part(whole: Whole) -> Part:
    """The frame that was sought, with its connection as far as that was read.

    Where memory has no room for the connection, the packet alone.
    """
    sought, general = whole.sought, whole.general
    assert sought is not None
    assert sought.found is not None
    connection = None
    if sought.flow >= 0 and whole.connection_of[sought.flow] >= 0:
        connection = whole.connection_of[sought.flow]
    else:
        rows = {row: frame for frame, row in whole.row_of.items()}
        if sought.row in rows:  # with all that the general path read: fragments belong together
            mine = next(p for p in general.tables.packets if p.frame == sought.frame)
            if mine.connection is None:
                return _part(whole, general.frames, general.tables, None)
            connection = mine.connection
    if connection is None:
        return _alone(whole, sought.found)
    try:
        return connection_part(whole, connection)
    except NetlabError as error:
        part = _alone(whole, sought.found)
        part.tables.packets[-1].connection = connection
        return replace(part, without=f"{error.message}: what it is to that is not shown")


def _alone(whole: Whole, frame: Frame) -> Part:
    raw = replace(whole.capture.raw, frames=[frame])
    return _part(whole, [frame], Tables(packets=decode(raw)), None)


def _part(whole: Whole, frames: Iterable[Frame], tables: Tables, connection: int | None) -> Part:
    """Of those frames and tables what belongs to the connection (None: all), behind the first."""
    pairs = [
        (frame, packet)
        for frame, packet in zip(frames, tables.packets, strict=True)
        if connection is None or packet.connection == connection
    ]
    first = whole.capture.first
    assert first is not None
    if not pairs or pairs[0][0].number != first.number:
        pairs.insert(0, (first, _decoded(whole, first)))
    kept = Tables(
        packets=[packet for _, packet in pairs],
        segments=[s for s in tables.segments if connection in (None, s.connection)],
        connections=[c for c in tables.connections if connection in (None, c.connection)],
        end_states=[e for e in tables.end_states if connection in (None, e.connection)],
        is_part=True,
    )
    return Part(replace(whole.capture.raw, frames=[frame for frame, _ in pairs]), kept)


def _decoded(whole: Whole, frame: Frame) -> Packet:
    return decode(replace(whole.capture.raw, frames=[frame]))[0]


def _check_room(whole: Whole, flows: list[int], connection: int) -> None:
    """Raise NetlabError unless these flows' frames have room in memory, with all that is said of
    them."""
    sides = whole.capture.found.sides
    packets = sum(sides.get(2 * flow + end, "packets") for flow in flows for end in (0, 1))
    each = _mean_bytes(whole)
    needed, spare = packets * (PACKET_BYTES + each), spare_bytes()
    if needed > spare:
        raise NetlabError(
            f"connection {connection} has {packets:,} packets, which take some"
            f" {needed >> 20:,} MiB of memory, and {spare >> 20:,} MiB are left",
            "more memory shows it, or a part of the file (editcap -r)",
        )


def _mean_bytes(whole: Whole) -> int:
    """What a packet takes in what was read of the file; its own word on that may be any."""
    records = whole.capture.records
    there = min(whole.file.size_bytes or 0, records.base + len(records.piece.view))
    return there // max(whole.capture.count, 1)
