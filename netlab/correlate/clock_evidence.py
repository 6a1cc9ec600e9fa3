"""Sockets and connections whose clocks may differ -> what is known of the difference.

A socket of which both ends are shown names its connection without a look at the time: its bounds
are taken. Where there is none, the sockets whose ends are shown in part are asked: every end that
one of them may be allows some differences, and where the most of them meet is the answer, if there
is one such place only. 0 is preferred: two programs on one machine read one clock.
"""

from __future__ import annotations

from collections.abc import Sequence

from netlab.correlate.addresses import Endpoint, is_wildcard
from netlab.correlate.causality import Bound, Ways, bounds_of_end, interval, moves_of
from netlab.correlate.clock_difference import Difference, Stretch, difference, most_covered
from netlab.correlate.hidden_ends import HiddenEnds, addresses_fit
from netlab.correlate.matching import is_hidden
from netlab.correlate.segments import Track
from netlab.correlate.sockets import Socket
from netlab.model.call import CallRecord
from netlab.model.records import dataclass
from netlab.model.tables import Side

_MOST_SOUGHT = 32  # sockets that are asked: each is compared with every connection
_NEVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of the clocks, and from what."""

    found: Difference | None  # None: nothing that can be said in one piece
    sockets: int  # how many said something
    places: tuple[tuple[int, int], ...] = ()  # where several differences would do, all of them


class Clocks:
    """Asks the sockets of a log about the frames of a capture."""

    def __init__(
        self,
        sockets: Sequence[Socket],
        tracks: Sequence[Track],
        calls: list[CallRecord],
        ways: Ways,
        *,
        whole: bool,
        ring_lost: bool = False,
    ) -> None:
        """`ways`: of these connections, perhaps asked for before."""
        self._sockets = [s for s in sockets if s.is_stream and not s.is_local and not s.listens]
        self._tracks, self._calls = tracks, calls
        self._whole, self._ring_lost = whole, ring_lost
        self._ways = ways

    def evidence(self) -> Evidence:
        """By names where there are any, else by what fits best."""
        bounds, sockets = self._named()
        if sockets:
            return Evidence(difference(bounds), sockets)
        return self._sought()

    def matched(self) -> Evidence:
        """By the sockets that have their connections by now."""
        by_number = {track.flow.connection: track for track in self._tracks}
        bounds: list[Bound] = []
        count = 0
        for socket in self._sockets:
            track = by_number.get(-1 if socket.connection is None else socket.connection)
            if track is not None and socket.side is not None:
                found = self._bounds(socket, track, socket.side)
                bounds += found or ()
                count += found is not None
        return Evidence(difference(bounds), count)

    def _bounds(self, socket: Socket, track: Track, side: Side) -> list[Bound] | None:
        return bounds_of_end(
            socket, moves_of(socket, self._calls), track, side, self._ways, self._calls,
            whole=self._whole, ring_lost=self._ring_lost,
        )  # fmt: skip

    def _named(self) -> tuple[list[Bound], int]:
        ends: dict[tuple[Endpoint, Endpoint], list[tuple[Track, Side]]] = {}
        for track in self._tracks:
            client, server = track.flow.client, track.flow.server
            ends.setdefault((client, server), []).append((track, Side.CLIENT))
            ends.setdefault((server, client), []).append((track, Side.SERVER))
        by_port: dict[tuple[int, Endpoint], list[tuple[Track, Side]]] = {}
        for (here, there), found in ends.items():
            by_port.setdefault((here[1], there), []).extend(found)
        claims: dict[tuple[int, Side], list[tuple[Socket, Track]]] = {}
        for socket in self._sockets:
            local, peer = socket.local_endpoint, socket.peer_endpoint
            if local is None or peer is None or not local[1]:
                continue
            wild = is_wildcard(local)
            named = by_port.get((local[1], peer), []) if wild else ends.get((local, peer), [])
            if len(named) == 1:  # a port that was used twice names none
                track, side = named[0]
                claims.setdefault((track.flow.connection, side), []).append((socket, track))
        bounds: list[Bound] = []
        count = 0
        for (_, side), claim in claims.items():
            if len(claim) == 1:
                found_bounds = self._bounds(*claim[0], side)
                if found_bounds is not None:
                    bounds += found_bounds
                    count += 1
        return bounds, count

    def _sought(self) -> Evidence:
        hidden = [s for s in self._sockets if s.is_born and is_hidden(s, self._calls)]
        if hidden and self._all_fit_as_they_are(hidden):
            return Evidence(Difference((Stretch(-_NEVER, None, None),), 0), len(hidden))
        sets = []
        for socket in hidden[:_MOST_SOUGHT]:
            side = Side.CLIENT if socket.connects else Side.SERVER
            intervals = []
            for track in self._tracks:
                if addresses_fit(socket, track, side):
                    bounds = self._bounds(socket, track, side)
                    if bounds is not None:
                        intervals.append(interval(bounds))
            if intervals:
                sets.append(intervals)
        most, places = most_covered(sets)
        if not most:
            return Evidence(difference(()), 0)
        here = [place for place in places if place[0] <= 0 <= place[1]]
        if here or (len(places) == 1 and most == len(sets)):
            low, high = (here or places)[0]
            known = _limit(low), _limit(high)
            return Evidence(Difference((Stretch(-_NEVER, *known),), 2 * most), most)
        return Evidence(None, most, tuple(places))

    def _all_fit_as_they_are(self, hidden: Sequence[Socket]) -> bool:
        """Whether each of them may be the end of some connection without a look at the clocks."""
        ends = HiddenEnds(
            self._tracks, self._calls, whole=self._whole, ring_lost=self._ring_lost
        )  # fmt: skip
        return all(ends.any_fits(socket) for socket in hidden)


def _limit(value: int) -> int | None:
    return None if abs(value) >= _NEVER else value
