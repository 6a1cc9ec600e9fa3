"""What a connection's ends said to each other: the bytes of each side, and the frames they came in.

How frames become bytes is `correlate.reassembly`'s. Pure; the bytes are hostile, whoever shows them
escapes them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from enum import StrEnum

from netlab.correlate.reassembly import Chunk, Conflict, Reassembly, by_frame
from netlab.model.errors import UsageError
from netlab.model.recording import RawRecording
from netlab.model.records import dataclass
from netlab.model.tables import Connection, Side, Tables

__all__ = ["Chunk", "Conflict", "Content", "Sides", "content"]


class Sides(StrEnum):
    """Whose bytes."""

    CLIENT = "client"
    SERVER = "server"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Content:
    """The chunks of one side in the order of its stream; of both, in the order of their frames."""

    connection: int
    sides: Sides
    chunks: tuple[Chunk, ...]
    conflicts: tuple[Conflict, ...]

    def of_frames(self, frames: Collection[int]) -> Content:
        """What those frames brought; nothing is said of gaps."""
        chunks = tuple(chunk for chunk in self.chunks if chunk.frame in frames)
        conflicts = tuple(one for one in self.conflicts if one.frame in frames)
        return replace(self, chunks=chunks, conflicts=conflicts)

    def first(self, count: int) -> Content:
        """The first so many chunks."""
        return replace(self, chunks=self.chunks[:count])


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
    streams = Reassembly(tables, raw)
    for side in wanted:
        every += streams.chunks(connection, side, conflicts)
    if sides is Sides.BOTH:
        every = by_frame(every)
    return Content(connection.connection, sides, tuple(every), tuple(conflicts))
