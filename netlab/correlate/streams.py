"""One direction of a tracked TCP connection -> where each of its bytes went.

For every stream byte: the first frame that carried it, later frames with it, the ACK that advanced
over it, the copy that the receiver accepted, the frame whose arrival made it readable in order.
Knows of calls only what `Reads` says: which bytes had been returned by when. Departures are judged
by file order at the capture point, arrivals by `arrived_ns` where a wire recorded one.

Which copy was accepted, when a byte was sent more than once
------------------------------------------------------------
The first copy, unless there is evidence that the receiver did not accept it. All of these must hold
before a later copy takes its place:
1. no ACK or SACK covering the byte left the receiver between the two copies,
2. both ends permitted SACK, so that a receiver that had the byte already would have answered the
   later copy with a D-SACK (RFC 2883; Linux: tcp_send_dupack, sysctl tcp_dsack = 1),
3. the receiver did send an ACK after the later copy, and no D-SACK for the byte before another
   copy of it arrived (a D-SACK speaks of the latest copy before it),
4. no recv had returned the byte before the later copy arrived.
Why the first otherwise: a frame on a capture at the receiver's end has arrived, so acceptance is
the rule; senders resend because an ACK was late or lost as often as because data was. Why D-SACK
decides: it is the receiver's own word that the copy was a second one, and its absence in the ACK
that such a copy forces is the receiver's word that it was the first to be kept.

Data in a SYN (Fast Open, RFC 7413) is accepted as far as the SYN-ACK acknowledges it. A frame that
came after a RST, or begins at or beyond the right edge of the window that was advertised (RFC 9293
3.10.7.4), is not accepted. Unless the receiver acknowledges or reads bytes of which there is no
other copy: that proves that they were.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field

from netlab.correlate.arrivals import arrival_ns, came, may_have_reached, reached
from netlab.correlate.flows import ACK, FIN, RST, SYN
from netlab.correlate.segments import Half, Row, Track
from netlab.model.ranges import RangeMap, RangeSet
from netlab.model.records import dataclass
from netlab.model.seqnum import SEQ_MASK, seq_diff
from netlab.model.tables import Direction, Packet

# Up to which offset recvs had returned the stream at a time (None: in the end).
Reads = Callable[[int | None], int]


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes in a frame."""

    start: int
    stop: int
    frame: int


@dataclass(slots=True)
class _Copy:
    """A later copy of bytes that had an owner; `moves`: parts that it may have replaced."""

    start: int
    stop: int
    frame: int
    place: int
    moves: list[tuple[int, int]] = field(default_factory=list)


@dataclass(slots=True)
class Stream:
    """Where the bytes of one direction went. Values of the maps are frame numbers."""

    direction: Direction
    half: Half  # the sender's
    carried: RangeMap[int] = field(default_factory=RangeMap)
    resent: list[Piece] = field(default_factory=list)
    acked: list[Piece] = field(default_factory=list)  # frame: the ACK's
    accepted: RangeMap[int] = field(default_factory=RangeMap)
    duplicates: list[Piece] = field(default_factory=list)
    ready: RangeMap[int | None] = field(default_factory=RangeMap)  # None: frame not captured
    released: RangeMap[int] = field(default_factory=RangeMap)
    acked_stop: int = 0  # offset up to which the receiver acknowledged
    end: int = 0  # one past the last byte in any captured frame
    has_reset: bool = False
    all_accepted: bool = True  # no frame was lost or turned away


def stream_from_track(track: Track, direction: Direction, reads: Reads) -> Stream:
    """Follow every byte of one direction."""
    stream = Stream(direction, track.halves[direction])
    stream.has_reset = any(half.resets for half in track.halves.values())
    _departures(stream, track.rows)
    back = direction if track.flow.to_itself else direction.reverse
    _acknowledgements(stream, _arrivals(track.rows, back))
    acceptance = _Acceptance(stream, track, reads)
    acceptance.run()
    _order(stream, acceptance)
    return stream


def _departures(stream: Stream, rows: list[Row]) -> None:
    for row in rows:
        segment = row.segment
        if row.direction is not stream.direction or row.probe or segment.start == segment.stop:
            continue
        if row.packet._made:  # a copy, and not its sender's
            continue
        start, stop, frame = segment.start, segment.stop, segment.frame
        if start >= stream.end:
            stream.carried.claim(start, stop, frame)
            stream.end = stop
            continue
        for a, b, _ in stream.carried.overlaps(start, stop):
            stream.resent.append(Piece(a, b, frame))
        stream.carried.claim(start, stop, frame)
        stream.end = max(stream.end, stop)


def _arrivals(rows: list[Row], direction: Direction) -> list[Row]:
    """The rows of a direction that arrived, in order of arrival."""
    found = [r for r in rows if r.direction is direction and reached(r.packet)]
    if any(row.packet.arrived_ns is not None for row in found):
        found.sort(key=lambda row: arrival_ns(row.packet))
    return found


def _acknowledgements(stream: Stream, arrivals: list[Row]) -> None:
    limit = stream.half.fin_off
    for row in arrivals:
        if row.segment.ack is None or row.packet._flags & RST:
            continue
        reached = row.segment.ack - 1  # the SYN took number 0
        if limit is not None and reached > limit:
            reached = limit  # what lies above is the FIN
        if reached > stream.acked_stop:
            stream.acked.append(Piece(stream.acked_stop, reached, row.segment.frame))
            stream.acked_stop = reached


class _Acceptance:
    """Plays the arrivals at one receiver, with what it sent in between, and decides the copies."""

    def __init__(self, stream: Stream, track: Track, reads: Reads) -> None:
        self.stream = stream
        self.reads = reads
        self.sender = track.halves[stream.direction]
        receiver = track.halves[stream.direction.reverse]
        self.sack = bool(self.sender.sack and receiver.sack)
        rows = track.rows
        if track.ignored:
            rows = [row for row in rows if row.packet.frame not in track.ignored]
        self.rows = _merged(rows, stream.direction)
        self._sent = len(track.rows)
        self.position: dict[int, int] = {}  # frame -> place in the play
        self.acks: list[tuple[int, int]] = []  # (place, offset) of each advance
        self._first: RangeMap[int] = RangeMap()
        self._copies: list[_Copy] = []
        self._rejected: list[Piece] = []
        self._acked = 0
        self._sacked = RangeSet()
        self._edge: int | None = None  # right edge of the window, as an offset
        self._reset = False
        self._last_ack_place = -1
        self._syn_taken = max(  # up to which offset the SYN-ACK took what came with the SYN
            (
                (row.segment.ack or 1) - 1 for row in track.rows
                if row.direction is not stream.direction and row.packet._flags & SYN
            ),
            default=0,
        )  # fmt: skip

    def run(self) -> None:
        for place, row in enumerate(self.rows):
            if row.direction is self.stream.direction:
                self.position[row.segment.frame] = place
                if row.packet._flags & RST:
                    self._reset = True
                elif row.segment.stop > row.segment.start and not row.probe:
                    self._data(place, row)
            else:
                self._receiver_says(place, row)
        self.stream.accepted = accepted = self._decide()
        for copy in self._copies:
            for a, b, owner in accepted.overlaps(copy.start, copy.stop):
                if self.position[owner] < copy.place:
                    self.stream.duplicates.append(Piece(a, b, copy.frame))

    def _decide(self) -> RangeMap[int]:
        accepted = self._first
        moves = [
            Piece(a, b, copy.frame)
            for copy in self._copies
            if copy.place < self._last_ack_place  # the receiver answered after it
            for a, b in copy.moves
        ]
        if moves:
            accepted = RangeMap()
            for piece in reversed(moves):  # the latest wins: those before it were not kept either
                accepted.claim(piece.start, piece.stop, piece.frame)
            for start, stop, frame in self._first:
                accepted.claim(start, stop, frame)
        self.stream.all_accepted = not self._rejected and len(self.rows) == self._sent
        had = max(self._acked, self.reads(None))
        for piece in self._rejected:  # acknowledged or read, and no other copy: it was accepted
            accepted.claim(piece.start, min(piece.stop, had), piece.frame)
        return accepted

    def _receiver_says(self, place: int, row: Row) -> None:
        segment = row.segment
        if row.packet._flags & RST:
            self._reset = True
            return
        if segment.ack is None:
            return
        self._last_ack_place = place
        offset = segment.ack - 1
        if offset > self._acked:
            self._acked = offset
            self.acks.append((place, offset))
        options = row.packet._options
        if options is not None and options.sack_blocks:
            blocks = _offsets(options.sack_blocks, self.sender.base, segment.ack)
            self._duplicate_reported(blocks, offset)
            for start, stop in blocks:
                self._sacked.add(start, stop)
        if segment.seg_wnd_bytes is not None:
            edge = offset + segment.seg_wnd_bytes
            if self._edge is None or edge > self._edge:
                self._edge = edge

    def _duplicate_reported(self, blocks: list[tuple[int, int]], ack: int) -> None:
        """A D-SACK (RFC 2883 section 4): the latest copy of these bytes brought nothing new."""
        start, stop = blocks[0]
        inside = len(blocks) > 1 and blocks[1][0] <= start and stop <= blocks[1][1]
        if start >= ack and not inside:
            return
        told = RangeSet([(start, stop)])
        for copy in reversed(self._copies):
            spoken_of = told.overlaps(copy.start, copy.stop)
            for a, b in spoken_of:
                kept = RangeSet(copy.moves)
                kept.remove(a, b)
                copy.moves = list(kept)
                told.remove(a, b)
            if not told:
                return

    def _data(self, place: int, row: Row) -> None:
        start, stop, frame = row.segment.start, row.segment.stop, row.segment.frame
        beyond = self._edge is not None and start >= self._edge and start >= self._acked
        unsure = not reached(row.packet)  # it was on its way when the wire was last heard of
        if self._reset or unsure or (beyond and not row.packet._flags & SYN):
            self._rejected.append(Piece(start, stop, frame))
            return
        if row.packet._flags & (SYN | ACK) == SYN and stop > self._syn_taken:
            self._rejected.append(Piece(max(start, self._syn_taken), stop, frame))
            stop = max(start, self._syn_taken)
        fresh = self._first.claim(start, stop, frame)
        if fresh == [(start, stop)]:
            return
        at = start
        for a, b in [*fresh, (stop, stop)]:
            if at < a:
                self._copy(place, row, at, a)
            at = b

    def _copy(self, place: int, row: Row, start: int, stop: int) -> None:
        """A further copy of start..stop, all of which has an owner already."""
        copy = _Copy(start, stop, row.segment.frame, place)
        if self.sack:
            had = max(start, self._acked, self.reads(arrival_ns(row.packet)))
            copy.moves = self._sacked.gaps(had, stop)
        self._copies.append(copy)


def _merged(rows: list[Row], direction: Direction) -> list[Row]:
    """What happened at the receiver, in order: data as it arrived, its own frames as they left."""
    if all(row.packet.arrived_ns is None and reached(row.packet) for row in rows):
        return rows
    here = [
        row for row in rows
        if (may_have_reached(row.packet) if row.direction is direction else not row.packet._made)
    ]  # fmt: skip
    return sorted(
        here,
        key=lambda r: arrival_ns(r.packet) if r.direction is direction else r.packet.time_ns,
    )


def _offsets(
    blocks: tuple[tuple[int, int], ...], base: int | None, near: int
) -> list[tuple[int, int]]:
    """SACK blocks as stream offsets; `near` is a relative number they are close to."""
    here = ((base or 0) + near) & SEQ_MASK
    return [(near + seq_diff(a, here) - 1, near + seq_diff(b, here) - 1) for a, b in blocks]


def _order(stream: Stream, play: _Acceptance) -> None:
    """When bytes became readable: `ready`, and `released` where another frame had brought them."""
    pieces = [(play.position[frame], 0, a, b, frame) for a, b, frame in stream.accepted]
    edge, last, in_order = 0, -1, True
    for place, _, start, stop, _ in pieces:
        if start != edge or place < last:
            in_order = False
            break
        edge, last = stop, place
    if in_order:
        stream.ready = _same(stream.accepted)
        return
    jumps = [(place, 1, offset, offset, None) for place, offset in play.acks]
    arrived = RangeSet()
    edge = 0
    limit = stream.half.fin_off
    for _, is_ack, start, stop, frame in sorted([*pieces, *jumps], key=lambda e: e[:2]):
        if is_ack:  # the receiver has bytes that the capture does not: the edge moves without frame
            start = edge
            stop = stop if limit is None else min(stop, limit)
        arrived.add(start, stop)
        if start > edge or stop <= edge:
            continue
        reached = arrived.run_stop(edge)
        stream.ready.claim(edge, reached, frame)
        if frame is not None:
            for a, b, brought in stream.accepted.overlaps(edge, reached):
                if brought != frame:
                    stream.released.claim(a, b, frame)
        edge = reached


def _same(accepted: RangeMap[int]) -> RangeMap[int | None]:
    copy: RangeMap[int | None] = RangeMap()
    for start, stop, frame in accepted:
        copy.claim(start, stop, frame)
    return copy


def fin_arrival(stream: Stream) -> Packet | None:
    """The FIN of this direction that arrived first; None when none did."""
    return next((packet for packet in came(stream.half.fins) if packet._flags & FIN), None)


def fin_ready(stream: Stream, packets: Mapping[int, Packet]) -> Packet | None:
    """The frame with which the end of the stream could be read: the FIN, or what it waited for."""
    fin = fin_arrival(stream)
    last = stream.half.fin_off
    if fin is None or not last:
        return fin
    for _, _, frame in stream.ready.overlaps(last - 1, last):
        if frame is not None and arrival_ns(packets[frame]) > arrival_ns(fin):
            return packets[frame]
    return fin
