"""What the join of UDP calls with datagrams gives: the outcome that its parts fill and others read.

Apart from them, so that a recording without UDP need not import how it is joined.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from netlab.correlate.addresses import Endpoint, is_wildcard
from netlab.correlate.missing import Missing
from netlab.correlate.reasons import Reason
from netlab.model.call import CallRecord
from netlab.model.records import dataclass
from netlab.model.tables import Direction, Side, Span, Unmatched

if TYPE_CHECKING:
    from netlab.correlate.datagram_queue import Arrival
    from netlab.correlate.datagrams import Datagram
    from netlab.correlate.sockets import Socket


@dataclass(slots=True)
class Placed:
    """Where a datagram call belongs. A read's range is the whole datagram."""

    connection: int
    side: Side
    direction: Direction
    start: int | None
    stop: int | None


@dataclass(slots=True)
class DatagramJoin:
    """The outcome: everything `join` adds to the tables for UDP."""

    calls: list[CallRecord]
    lost: Missing | None = None  # why the capture lacks frames
    spans: list[Span] = field(default_factory=list)
    placed: dict[int, Placed] = field(default_factory=dict)
    unmatched: list[Unmatched] = field(default_factory=list)
    # Every read in order with what it took, None where that is not known; by id of socket.
    reads: dict[int, list[tuple[int, Datagram | None]]] = field(default_factory=dict)
    # What may have come to each socket, in no order; by id of socket.
    came: dict[int, list[Datagram]] = field(default_factory=dict)
    spoke: list[tuple[Socket, Endpoint]] = field(default_factory=list)
    # By destination: what was sent but not captured, and may have been received all the same.
    unseen: dict[Endpoint, list[Arrival]] = field(default_factory=dict)

    def missing(self, seen: bool) -> Reason:
        """Why a frame is not there; `seen`: others of its kind are."""
        if self.lost is not None:
            return self.lost.captured
        return Reason.GAP if seen else Reason.NO_PACKET_WITNESS

    def home_of(self, socket: Socket) -> tuple[int, Side] | None:
        """The conversation of a socket that connect() tied to one peer: all its calls are of it."""
        if len({self.calls[number - 1].address for number in socket.connects}) != 1:
            return None
        placed = (self.placed[number] for number in socket.calls if number in self.placed)
        homes = {(one.connection, one.side) for one in placed}
        return homes.pop() if len(homes) == 1 else None

    def unseen_to(self, local: Endpoint) -> dict[Endpoint, list[Arrival]]:
        """The sends without a frame to this address, by destination."""
        if not is_wildcard(local):
            return {local: self.unseen[local]} if local in self.unseen else {}
        return {to: found for to, found in self.unseen.items() if to[1] == local[1]}
