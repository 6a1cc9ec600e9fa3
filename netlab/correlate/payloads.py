"""Frames of a capture -> the bytes of its streams, as far as they were captured, by offset.

Of several copies the first one counts. Bytes beyond a snap length are not there; nor are those of
frames that a wire made or spoilt. Memory stays bounded by the file's size: a stream is pieces of
its frames, whatever offsets hostile numbers claim. Knows nothing of calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netlab.correlate.segments import Track
from netlab.decode.payload import payload_of
from netlab.model.frame import Frame
from netlab.model.ranges import RangeMap
from netlab.model.tables import Direction

_Piece = tuple[int, memoryview]  # offset of its first byte, and its bytes


class StreamBytes:
    """The captured bytes of one direction of a connection."""

    def __init__(self, pieces: RangeMap[_Piece]) -> None:
        self._pieces = pieces
        self._runs: list[tuple[int, bytes]] | None = None

    def compare(self, start: int, data: bytes) -> tuple[int, int | None]:
        """How many of `data`, which would begin at `start`, were captured and are right.

        And the first offset at which other bytes were captured; None: nowhere.
        """
        right = 0
        for a, b, (base, held) in self._pieces.overlaps(start, start + len(data)):
            mine, theirs = data[a - start : b - start], held[a - base : b - base]
            if mine != theirs:
                at = next(i for i, pair in enumerate(zip(mine, theirs, strict=True))
                          if pair[0] != pair[1])  # fmt: skip
                return right + at, a + at
            right += b - a
        return right, None

    def places(self, data: bytes, most: int) -> list[int]:
        """Where these bytes stand, without a gap; the first `most` of the places."""
        found: list[int] = []
        for start, run in self._all_runs():
            at = run.find(data)
            while at >= 0 and len(found) < most:
                found.append(start + at)
                at = run.find(data, at + 1)
        return found

    def __len__(self) -> int:
        return sum(stop - start for start, stop, _ in self._pieces)

    def _all_runs(self) -> list[tuple[int, bytes]]:
        if self._runs is None:
            self._runs = list(_runs(self._pieces))
        return self._runs


def _runs(pieces: RangeMap[_Piece]) -> Iterator[tuple[int, bytes]]:
    """The pieces, those that touch put together."""
    begun, parts, edge = 0, list[memoryview](), None
    for start, stop, (base, held) in pieces:
        if start != edge and parts:
            yield begun, b"".join(parts)
            parts = []
        if not parts:
            begun = start
        parts.append(held[start - base : stop - base])
        edge = stop
    if parts:
        yield begun, b"".join(parts)


class Payloads:
    """The streams of a capture, each put together when it is first asked for."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        self._frames = frames
        self._by_number: dict[int, Frame] | None = None
        self._streams: dict[tuple[int, Direction], StreamBytes] = {}

    def stream(self, track: Track, direction: Direction) -> StreamBytes:
        """The bytes that one end sent."""
        key = track.flow.connection, direction
        found = self._streams.get(key)
        if found is None:
            found = self._streams[key] = StreamBytes(self._pieces(track, direction))
        return found

    def _pieces(self, track: Track, direction: Direction) -> RangeMap[_Piece]:
        if self._by_number is None:
            self._by_number = {frame.number: frame for frame in self._frames}
        pieces: RangeMap[_Piece] = RangeMap()
        for row in track.rows:
            packet, segment = row.packet, row.segment
            if row.direction is not direction or row.probe or packet._made or packet._spoilt:
                continue
            frame = self._by_number.get(packet.frame)
            if frame is None or not segment.payload_len_bytes:
                continue
            held = payload_of(packet, frame.data)[: segment.payload_len_bytes]
            pieces.claim(segment.start, segment.start + len(held), (segment.start, held))
        return pieces
