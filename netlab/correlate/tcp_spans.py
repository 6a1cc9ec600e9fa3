"""Streams and call ranges of a TCP connection -> the spans that have bytes.

carried, resent and acked belong to the sender's calls, delivered, released and duplicate to the
receiver's. Every rule is an overlap of two range maps, so a call may have many frames and a frame
many calls. Roles without bytes are in `handshake`, `closing`, `receiver_acks` and `wakeups`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field

from netlab.correlate.call_layout import UrgentMark
from netlab.correlate.call_ranges import CallRanges
from netlab.correlate.segments import Track
from netlab.correlate.sockets import Socket
from netlab.correlate.streams import Piece, Stream
from netlab.model.call import CallRecord
from netlab.model.ranges import RangeMap
from netlab.model.records import dataclass
from netlab.model.tables import Direction, Packet, Role, Side, Span


@dataclass(slots=True)
class End:
    """One side of a TCP connection: its socket and what the calls on it moved."""

    socket: Socket
    outbound: CallRanges
    inbound: CallRanges


@dataclass(slots=True)
class TcpJoin:
    """A TCP connection with frames, and the calls of its ends where a witness saw them."""

    track: Track
    calls: list[CallRecord]  # of the whole recording: call n is calls[n - 1]
    ends: dict[Side, End] = field(default_factory=dict)
    streams: dict[Direction, Stream] = field(default_factory=dict)
    urgent: dict[Direction, tuple[UrgentMark, ...]] = field(default_factory=dict)

    @property
    def connection(self) -> int:
        return self.track.flow.connection

    def frames(self, direction: Direction) -> Iterable[Packet]:
        return (row.packet for row in self.track.rows if row.direction is direction)


def link_bytes(join: TcpJoin) -> list[Span]:
    """The byte spans of both directions."""
    spans: list[Span] = []
    for direction, stream in join.streams.items():
        sender, receiver = join.ends.get(direction.sender), join.ends.get(direction.receiver)
        if sender is not None:
            owners = sender.outbound.owners
            _by_call(spans, owners, stream.carried, direction, Role.CARRIED)
            _by_piece(spans, owners, stream.resent, direction, Role.RESENT)
            _by_piece(spans, owners, stream.acked, direction, Role.ACKED)
        if receiver is not None:
            owners = receiver.inbound.owners
            _by_call(spans, owners, stream.accepted, direction, Role.DELIVERED)
            _by_call(spans, owners, stream.released, direction, Role.RELEASED)
            _by_piece(spans, owners, stream.duplicates, direction, Role.DUPLICATE)
    return spans


def _by_call(
    spans: list[Span],
    owners: RangeMap[int],
    frames: RangeMap[int],
    direction: Direction,
    role: Role,
) -> None:
    if not len(frames):
        return
    for start, stop, call in owners:
        for a, b, frame in frames.overlaps(start, stop):
            spans.append(Span(call, frame, None, direction, a, b, role))


def _by_piece(
    spans: list[Span],
    owners: RangeMap[int],
    pieces: list[Piece],
    direction: Direction,
    role: Role,
) -> None:
    for piece in pieces:
        for a, b, call in owners.overlaps(piece.start, piece.stop):
            spans.append(Span(call, piece.frame, None, direction, a, b, role))
