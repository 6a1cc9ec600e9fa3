"""Stream sockets whose ends a witness showed only in part <-> connections, by all else that it did.

Without sock_diag strace shows what stands in the arguments: of connect() the peer, of accept()
mostly the peer, of bind() the port; a client's own port in none. Such a socket may be any end that
fits what is shown and to which its calls can have belonged (`causality`: when they were, and how
many bytes they moved; `contents`: which). One that the witness met in mid-life, without a word on
its ends, fits where what it moved stands (`contents` alone). What nothing shows to be a TCP socket
is given none: one of a backend says the same as its proxy's. It is given an end if the pair is
certain (`only_ways`): nothing else fits either, or there is but one way to give each its own.
A listener's queue is first in, first out: where all that it accepted, and all that came to it, is
known, the places in both orders have to agree, as far as the times tell the order.
Else none is given, and `Socket.fits` names those that fit. What is not seen: a connection that was
not captured, in place of which another program's fits in every respect.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import field
from typing import TYPE_CHECKING, TypeVar

from netlab.correlate.accept_queue import queued_ns
from netlab.correlate.addresses import Endpoint, is_wildcard
from netlab.correlate.call_moves import bound_ns
from netlab.correlate.causality import Moves, Ways, allow, bounds_of_end, moves_of
from netlab.correlate.flows import FIN
from netlab.correlate.only_ways import certain_pairs
from netlab.correlate.segments import Track
from netlab.correlate.sockets import Socket
from netlab.model.call import CallRecord
from netlab.model.records import dataclass
from netlab.model.tables import Direction, Side

if TYPE_CHECKING:
    from netlab.correlate.locating import Locator
    from netlab.correlate.matching import TrackIndex

# How far the order in which two handshakes ended may differ from that of their frames' stamps: two
# processors, each with its own queue.
_SAME_NS = 10_000_000

End = tuple[int, Side]  # connection


_Place = tuple[int, int]  # the first and the last that it can be in an order
N = TypeVar("N")


@dataclass(slots=True)
class _Places:
    """Where accepted sockets stand in their listener's order, and connections in its queue's."""

    of_sockets: dict[int, _Place] = field(default_factory=dict)  # by id
    of_ends: dict[tuple[int, End], _Place] = field(default_factory=dict)  # id of the listener


@dataclass(slots=True, eq=False)
class _Seeker:
    """A socket, and the ends that fit it."""

    socket: Socket
    moves: Moves
    fits: dict[End, Track] = field(default_factory=dict)


class HiddenEnds:
    """Everything that a pairing of sockets and ends is judged by."""

    def __init__(
        self,
        tracks: Sequence[Track],
        calls: list[CallRecord],
        *,
        whole: bool,
        ring_lost: bool = False,
        locator: Locator | None = None,
    ) -> None:
        """`whole`: no call that moved bytes can be missing; `locator`: where any were shown."""
        self.calls, self.whole, self.ring_lost = calls, whole, ring_lost
        self.ways = Ways()
        self._tracks, self._locator = tracks, locator
        begun = [track for track in tracks if track.halves[Direction.C2S].syns]
        begun.sort(key=_syn_ns)
        self._begun = begun
        self._syns_ns = [_syn_ns(track) for track in begun]
        self._answered_ns = [_answered_ns(track) for track in begun]

    def match(self, sockets: Sequence[Socket], index: TrackIndex) -> None:
        """Give `sockets` (hidden ones) their ends where only one way is possible."""
        sockets = [socket for socket in sockets if self._is_tcp(socket)]
        seekers = [_Seeker(socket, moves_of(socket, self.calls)) for socket in sockets]
        places = self._places(sockets)
        for seeker in seekers:
            for track, side in self._near(seeker.socket):
                end = track.flow.connection, side
                if not index.is_free(*end) or not self._in_order(seeker.socket, track, places):
                    continue
                if self.fits(seeker, track, side):
                    seeker.fits[end] = track
        for seeker, end in certain_pairs({seeker: seeker.fits for seeker in seekers}):
            index.take(seeker.socket, seeker.fits[end], end[1])
        for seeker in seekers:
            if seeker.socket.connection is None:
                free = {end: track for end, track in seeker.fits.items() if index.is_free(*end)}
                seeker.socket.fits = sorted(free)
                for (_, side), track in free.items():
                    track.contested.add(side)

    def _is_tcp(self, socket: Socket) -> bool:
        """Whether anything shows that it is on a network: behind a proxy others say the same."""
        if (socket.family or "").startswith("AF_INET"):
            return True
        if socket.local_endpoint is not None or socket.peer_endpoint is not None:
            return True
        options = (self.calls[n - 1] for n in socket.calls)
        return any(r.op.endswith("sockopt") and "_TCP" in r.args for r in options)

    def any_fits(self, socket: Socket) -> bool:
        """Whether there is an end that the socket can be."""
        seeker = _Seeker(socket, moves_of(socket, self.calls))
        return any(self.fits(seeker, track, side) for track, side in self._near(socket))

    def fits(self, seeker: _Seeker, track: Track, side: Side) -> bool:
        """Whether the socket can be that end."""
        if not seeker.socket.is_born:
            return self._locator is not None and self._locator.shows(seeker.socket, track, side)
        bounds = bounds_of_end(
            seeker.socket, seeker.moves, track, side, self.ways, self.calls,
            whole=self.whole, ring_lost=self.ring_lost,
        )  # fmt: skip
        if bounds is None or not allow(bounds, 0):
            return False
        return self._locator is None or self._locator.holds(seeker.socket, track, side)

    def _near(self, socket: Socket) -> list[tuple[Track, Side]]:
        """The ends that its addresses and the time of its birth leave."""
        if not socket.is_born:
            every = ((track, side) for track in self._tracks for side in Side)
            return [end for end in every if addresses_fit(socket, *end)]
        if not socket.connects:
            return self._near_accept(socket, self.calls[(socket.accepted_by or 1) - 1])
        records = [self.calls[n - 1] for n in (*socket.connects, socket.calls[-1])]
        since = bisect_left(self._syns_ns, records[0].entered_ns)
        ends = [bound for record in records if (bound := bound_ns(record)) is not None]
        until = bisect_right(self._syns_ns, max(ends)) if ends else len(self._begun)
        near = self._begun[since:until]
        return [(t, Side.CLIENT) for t in near if addresses_fit(socket, t, Side.CLIENT)]

    def _near_accept(self, socket: Socket, accept: CallRecord) -> list[tuple[Track, Side]]:
        returned = bound_ns(accept)
        until = len(self._begun) if returned is None else bisect_right(self._syns_ns, returned)
        # A connection that was answered before that had been accepted already.
        near = [
            track
            for track, answered_ns in zip(
                self._begun[:until], self._answered_ns[:until], strict=True
            )
            if answered_ns >= accept.entered_ns
        ]
        return [(t, Side.SERVER) for t in near if addresses_fit(socket, t, Side.SERVER)]

    def _places(self, sockets: Sequence[Socket]) -> _Places:
        """Where accepted sockets, and the connections to their listeners, stand in the order."""
        found = _Places()
        for listener in {id(s.listener): s.listener for s in sockets if s.listener}.values():
            if listener.made and listener.binds and self.whole and not self.ring_lost:
                self._places_at(listener, found)
        return found

    def _places_at(self, listener: Socket, found: _Places) -> None:
        local = listener.local_endpoint
        if local is None or not local[1]:
            return
        queued = []
        for track in self._begun:
            host, port = track.flow.server
            if port != local[1] or not (is_wildcard(local) or host == local[0]):
                continue
            at_ns = queued_ns(track, listener, self.calls)
            if not _at_server(track):
                return  # the order in which they came to the server may be another
            if at_ns is not None:
                queued.append((at_ns - _SAME_NS, at_ns, (track.flow.connection, Side.SERVER)))
        if len(queued) != len(listener.accepts):
            return
        taken = []
        for number, socket in zip(listener.accepts, listener.accepted, strict=True):
            record = self.calls[number - 1]
            bound = bound_ns(record)
            taken.append((record.entered_ns, bound or record.entered_ns, id(socket)))
        for key, place in _ranks(queued).items():
            found.of_ends[id(listener), key] = place
        for name, place in _ranks(taken).items():
            found.of_sockets[name] = place

    def _in_order(self, socket: Socket, track: Track, places: _Places) -> bool:
        mine = places.of_sockets.get(id(socket))
        if mine is None:
            return True
        its = places.of_ends.get((id(socket.listener), (track.flow.connection, Side.SERVER)))
        return its is not None and mine[0] <= its[1] and its[0] <= mine[1]


def _ranks(found: Sequence[tuple[int, int, N]]) -> dict[N, _Place]:
    """The places of intervals (since, until, name), of which disjoint ones are in order."""
    starts = sorted(since for since, _, _ in found)
    stops = sorted(until for _, until, _ in found)
    last = len(found) - 1
    return {
        name: (bisect_left(stops, since), last - (len(starts) - bisect_right(starts, until)))
        for since, until, name in found
    }


def _at_server(track: Track) -> bool:
    """Whether the frames were captured where, and hence in the order in which, the server had them.

    One whose SYN-ACK was sent again may have been turned away at first.
    """
    answers = track.halves[Direction.S2C].syns
    return not answers or (
        len(answers) == 1 and answers[0].time_ns - _syn_ns(track) <= _SAME_NS // 2
    )


def _syn_ns(track: Track) -> int:
    return min(packet.time_ns for packet in track.halves[Direction.C2S].syns)


def _answered_ns(track: Track) -> float:
    """When the server's program first said something, or closed."""
    said = (
        row.packet.time_ns for row in track.rows
        if row.direction is Direction.S2C
        and (row.packet._flags & FIN or (row.segment.payload_len_bytes and not row.probe))
    )  # fmt: skip
    return min(said, default=math.inf)


def addresses_fit(socket: Socket, track: Track, side: Side) -> bool:
    """Whether what is known of its addresses is not against it."""
    client, server = track.flow.client, track.flow.server
    here, there = (client, server) if side is Side.CLIENT else (server, client)
    return _may_be(socket.local_endpoint, here) and _may_be(socket.peer_endpoint, there)


def _may_be(known: Endpoint | None, end: Endpoint) -> bool:
    if known is None:
        return True
    if known[1] and known[1] != end[1]:
        return False
    return is_wildcard(known) or known[0] == end[0]
