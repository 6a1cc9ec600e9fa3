"""What a connection's ends said to each other: the bytes of each side, and the frames they came in.

A byte is shown once, from the first frame that holds it in the order of capture; what no frame
holds is a gap. Where a later copy of a byte is another byte, that is told: which of them the
receiver took, depends on its stack (Linux drops a queued segment that a new one covers), or on who
forged one. Pure; the bytes are hostile, whoever shows them escapes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from operator import itemgetter

from netlab.decode.payload import payload_of
from netlab.model.errors import UsageError
from netlab.model.ranges import RangeMap
from netlab.model.recording import RawRecording
from netlab.model.tables import Connection, Side, Tables

_LAST = 1 << 62  # behind all frames


class Sides(StrEnum):
    """Whose bytes."""

    CLIENT = "client"
    SERVER = "server"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes of a side that first came in one frame; without a frame they are missing."""

    side: Side  # that sent them
    start: int
    stop: int
    frame: int | None
    time_ns: int | None  # of the frame
    data: bytes | memoryview  # empty where missing

    @property
    def size(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two frames that hold different bytes for the same place; the first is the one shown."""

    side: Side
    start: int
    stop: int
    frame: int
    other_frame: int


@dataclass(frozen=True, slots=True)
class Content:
    """The chunks of one side in the order of its stream; of both, in the order of their frames."""

    connection: int
    sides: Sides
    chunks: tuple[Chunk, ...]
    conflicts: tuple[Conflict, ...]


def content(tables: Tables, raw: RawRecording, connection: Connection, sides: Sides) -> Content:
    """What a connection carried.

    Raises UsageError for a connection whose bytes no packets carry.
    """
    if connection.protocol not in ("tcp", "udp") or connection.first_ns is None:
        raise UsageError(
            f"connection {connection.connection} has no packets",
            "the content of TCP connections and UDP conversations can be shown",
        )
    wanted = [side for side in Side if sides in (Sides.BOTH, side.value)]
    every: list[Chunk] = []
    conflicts: list[Conflict] = []
    for side in wanted:
        if connection.protocol == "tcp":
            every += _stream(tables, raw, connection.connection, side, conflicts)
        else:
            every += _datagrams(tables, raw, connection.connection, side)
    if sides is Sides.BOTH:
        every = _by_frame(every)
    return Content(connection.connection, sides, tuple(every), tuple(conflicts))


def _stream(
    tables: Tables, raw: RawRecording, connection: int, side: Side, conflicts: list[Conflict]
) -> Iterator[Chunk]:
    direction = side.outbound
    packets = {packet.frame: at for at, packet in enumerate(tables.packets)}
    owners: RangeMap[tuple[int, int]] = RangeMap()  # place of the packet, offset of its payload
    for segment in tables.segments:
        if segment.connection != connection or segment.direction != direction:
            continue
        at = packets[segment.frame]
        payload = payload_of(tables.packets[at], raw.frames[at].data)
        start, stop = max(segment.start, 0), min(segment.stop, segment.start + len(payload))
        for a, b, (owner, begun) in owners.overlaps(start, stop):
            theirs = payload_of(tables.packets[owner], raw.frames[owner].data)
            if theirs[a - begun : b - begun] != payload[a - segment.start : b - segment.start]:
                frame = tables.packets[owner].frame
                conflicts.append(Conflict(side, a, b, frame, segment.frame))
        owners.claim(start, stop, (at, segment.start))
    end = 0
    for start, stop, (at, begun) in owners:
        if start > end:
            yield Chunk(side, end, start, None, None, b"")
        packet = tables.packets[at]
        payload = payload_of(packet, raw.frames[at].data)
        yield Chunk(
            side, start, stop, packet.frame, packet.time_ns, payload[start - begun : stop - begun]
        )
        end = stop


def _datagrams(tables: Tables, raw: RawRecording, connection: int, side: Side) -> Iterator[Chunk]:
    """Each datagram is a chunk; what of it was not captured is a gap behind it."""
    end = 0
    for packet, frame in zip(tables.packets, raw.frames, strict=True):
        if packet.connection != connection or packet.direction != side.outbound:
            continue
        if packet._whole_in not in (None, packet.frame):  # all of it stands where it was complete
            continue
        payload = payload_of(packet, frame.data)
        there = packet.payload_len_bytes or 0
        stop = end + len(payload)
        yield Chunk(side, end, stop, packet.frame, packet.time_ns, payload)
        if len(payload) < there:
            yield Chunk(side, stop, end + there, None, None, b"")
        end += there


def _by_frame(every: list[Chunk]) -> list[Chunk]:
    """The chunks of both sides by frame, a gap before what follows it on its side."""
    keyed: list[tuple[tuple[int, bool], Chunk]] = []
    following: dict[Side, int] = {}
    for chunk in reversed(every):
        if chunk.frame is not None:
            following[chunk.side] = chunk.frame
        keyed.append(((following.get(chunk.side, _LAST), chunk.frame is not None), chunk))
    keyed.reverse()
    return [chunk for _, chunk in sorted(keyed, key=itemgetter(0))]
