"""Frames -> the bytes of each side of a connection, and the frames that they came in.

A byte is taken once, from the first frame that holds it in the order of capture; what no frame
holds is a gap. Where a later copy of a byte is another byte, that is told: which of them the
receiver took, depends on its stack (Linux drops a queued segment that a new one covers), or on who
forged one.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter

from netlab.decode.payload import payload_of
from netlab.model.ranges import RangeMap
from netlab.model.recording import RawRecording
from netlab.model.records import dataclass
from netlab.model.tables import Connection, Segment, Side, Tables, Verdict

_LAST = 1 << 62  # behind all frames
_UDP_HEADER = 8
_NOTHING = memoryview(b"")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes of a side that first came in one frame; without a frame they are missing."""

    side: Side  # that sent them
    start: int
    stop: int
    frame: int | None
    time_ns: int | None  # of the frame
    data: bytes | memoryview  # empty where missing
    parts: tuple[int, ...] = ()  # the frames, of a datagram that `frame` completed

    @property
    def size(self) -> int:
        return self.stop - self.start

    @property
    def frames(self) -> tuple[int, ...]:
        """All that it came in."""
        return self.parts or (() if self.frame is None else (self.frame,))


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two frames that hold different bytes for the same place; the first is the one taken."""

    side: Side
    start: int
    stop: int
    frame: int
    other_frame: int


# By range: the place of the packet that brought it, the offset of its first byte, its bytes.
_Owners = RangeMap[tuple[int, int, memoryview]]


class Reassembly:
    """The streams of a recording, each put together when it is asked for."""

    def __init__(self, tables: Tables, raw: RawRecording) -> None:
        self._packets = tables.packets
        self._frames = raw.frames
        self._place = {packet.frame: place for place, packet in enumerate(tables.packets)}
        self._segments: dict[tuple[int, str], list[Segment]] = {}
        for segment in tables.segments:
            key = segment.connection, segment.direction
            self._segments.setdefault(key, []).append(segment)
        self._datagrams: dict[tuple[int | None, str | None], list[int]] = {}
        for place, packet in enumerate(tables.packets):
            datagram = packet.protocol == "UDP" or packet._fragment_off
            if datagram and packet.connection is not None and not packet._made:
                sent = packet.connection, packet.direction
                self._datagrams.setdefault(sent, []).append(place)

    def chunks(
        self, connection: Connection, side: Side, conflicts: list[Conflict] | None = None
    ) -> Iterator[Chunk]:
        """What one side sent, in the order of its stream; of UDP, each datagram is a chunk."""
        if connection.protocol == "tcp":
            told = conflicts if conflicts is not None else []
            return self._stream(connection.connection, side, told)
        return (chunk for one in self.datagrams(connection, side) for chunk in one)

    def place(self, frame: int) -> int:
        """Where the frame stands in the order of capture."""
        return self._place[frame]

    def _stream(self, connection: int, side: Side, conflicts: list[Conflict]) -> Iterator[Chunk]:
        owners: _Owners = RangeMap()
        for segment in self._segments.get((connection, side.outbound), ()):
            if segment.verdict == Verdict.KEEP_ALIVE:
                continue  # its byte is any (RFC 1122 4.2.3.6)
            at = self._place[segment.frame]
            payload = self._payload(at)
            start, stop = max(segment.start, 0), min(segment.stop, segment.start + len(payload))
            for a, b, (owner, begun, theirs) in owners.overlaps(start, stop):
                if theirs[a - begun : b - begun] != payload[a - segment.start : b - segment.start]:
                    frame = self._packets[owner].frame
                    conflicts.append(Conflict(side, a, b, frame, segment.frame))
            owners.claim(start, stop, (at, segment.start, payload))
        yield from self._pieces(side, owners, 0, 0)

    def datagrams(self, connection: Connection, side: Side) -> Iterator[list[Chunk]]:
        """What one side sent over UDP: the chunks of each datagram, and its gaps."""
        places = self._datagrams.get((connection.connection, side.outbound), ())
        later: dict[int | None, list[int]] = {}
        for place in places:
            packet = self._packets[place]
            if packet._fragment_off and packet._whole_in is None:
                later.setdefault(packet.ip_id, []).append(place)
        end = 0
        for place in places:
            packet = self._packets[place]
            if packet._whole_in is not None:
                if packet._whole_in == packet.frame:
                    stop = end + len(self._payload(place))
                    data = self._payload(place)
                    yield [
                        Chunk(side, end, stop, packet.frame, packet.time_ns, data, packet._parts)
                    ]
                    end = stop
                continue
            if packet._fragment_off:
                continue
            payload = self._payload(place)
            pieces: _Owners = RangeMap()
            pieces.claim(end, end + len(payload), (place, end, payload))
            stop = end + (packet.payload_len_bytes or 0)
            if packet._fragment_more:  # not all of it came
                stop = max(stop, end + self._told_bytes(place))
                for other in later.pop(packet.ip_id, ()):
                    begun = end + self._packets[other]._fragment_off - _UDP_HEADER
                    brought = self._brought(other)
                    pieces.claim(begun, begun + len(brought), (other, begun, brought))
                    stop = max(stop, begun + len(brought))
            yield list(self._pieces(side, pieces, end, stop))
            end = stop

    def _told_bytes(self, place: int) -> int:
        """How long the payload is by the UDP header, which is in the first fragment."""
        off = self._packets[place].payload_off or 0
        length = bytes(self._frames[place].data[off - 4 : off - 2])
        return max(int.from_bytes(length, "big") - _UDP_HEADER, 0)

    def _brought(self, place: int) -> memoryview:
        """What a later fragment brings."""
        piece = self._packets[place]._piece
        return memoryview(self._frames[place].data)[piece[0] : piece[1]] if piece else _NOTHING

    def _pieces(self, side: Side, owners: _Owners, end: int, last: int) -> Iterator[Chunk]:
        """The owned ranges from `end` to `last` as chunks, and the gaps between them."""
        for start, stop, (at, begun, data) in owners:
            if start > end:
                yield Chunk(side, end, start, None, None, b"")
            packet = self._packets[at]
            held = data[start - begun : stop - begun]
            yield Chunk(side, start, stop, packet.frame, packet.time_ns, held)
            end = stop
        if end < last:
            yield Chunk(side, end, last, None, None, b"")

    def _payload(self, place: int) -> memoryview:
        """The payload as far as it was captured."""
        return payload_of(self._packets[place], self._frames[place].data)


def by_frame(every: list[Chunk]) -> list[Chunk]:
    """The chunks of both sides by frame, a gap before what follows it on its side."""
    keyed: list[tuple[tuple[int, bool], Chunk]] = []
    following: dict[Side, int] = {}
    for chunk in reversed(every):
        if chunk.frame is not None:
            following[chunk.side] = chunk.frame
        keyed.append(((following.get(chunk.side, _LAST), chunk.frame is not None), chunk))
    keyed.reverse()
    return [chunk for _, chunk in sorted(keyed, key=itemgetter(0))]
