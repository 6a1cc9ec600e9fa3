"""Stream sockets <-> TCP connections, by addresses and, where ports were reused, by time.

A socket's (local, peer) names a 4-tuple; of several connections on it the socket's is:
- a connecting socket: the first not yet taken whose SYN left after connect() was entered,
- an accepted one: the first not yet taken that stood in the queue before accept() returned (a
  listener's queue is first in, first out). One that the client reset and of which the server's end
  never spoke may have been turned away (see `accept_queue`): with more such connections than
  accepts, which of them it was is not known, and none is given,
- one that the probe met in mid-life: the latest that had begun before its first call returned.
A socket that fits none is left without frames rather than given one that does not fit.
One of which the witness does not show both ends is left to `hidden_ends`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from netlab.correlate.accept_queue import queued_ns, surely_queued
from netlab.correlate.addresses import Endpoint, is_wildcard
from netlab.correlate.call_moves import bound_ns
from netlab.correlate.segments import Track
from netlab.correlate.sockets import Socket
from netlab.model.call import CallRecord
from netlab.model.tables import Connection, Direction, Side

if TYPE_CHECKING:
    from netlab.correlate.locating import Locator


class TrackIndex:
    """The TCP connections of a capture by their ends; each end of each is given away once."""

    def __init__(self, tracks: Sequence[Track]) -> None:
        self._by_ends: dict[tuple[Endpoint, Endpoint], list[tuple[Track, Side]]] = {}
        self._by_port: dict[tuple[int, Endpoint], list[tuple[Track, Side]]] = {}
        self._taken: set[tuple[int, Side]] = set()
        for track in tracks:
            client, server = track.flow.client, track.flow.server
            for here, there, side in (
                (client, server, Side.CLIENT),
                (server, client, Side.SERVER),
            ):
                self._by_ends.setdefault((here, there), []).append((track, side))
                self._by_port.setdefault((here[1], there), []).append((track, side))

    def candidates(self, local: Endpoint, peer: Endpoint) -> list[tuple[Track, Side]]:
        """Connections with this end not yet taken, in order of first frame."""
        found = (
            self._by_port.get((local[1], peer), [])
            if is_wildcard(local)
            else self._by_ends.get((local, peer), [])
        )
        return [item for item in found if (item[0].flow.connection, item[1]) not in self._taken]

    def is_free(self, connection: int, side: Side) -> bool:
        """Whether this end is nobody's yet."""
        return (connection, side) not in self._taken

    def take(self, socket: Socket, track: Track, side: Side) -> None:
        socket.connection, socket.side = track.flow.connection, side
        self._taken.add((track.flow.connection, side))


def match_tcp(
    sockets: Sequence[Socket],
    tracks: Sequence[Track],
    calls: list[CallRecord],
    *,
    ring_lost: bool = False,
    whole: bool = True,
    locator: Locator | None = None,
) -> None:
    """Fill connection and side of the stream sockets whose frames were captured.

    `whole`: no call can be missing; `locator`: where it is known what some calls moved.
    """
    index = TrackIndex(tracks)

    def opened_ns(socket: Socket) -> int:
        if socket.accepted_by is not None:
            return calls[socket.accepted_by - 1].entered_ns
        first = socket.connects or socket.calls
        return calls[first[0] - 1].entered_ns if first else 0

    waiting = Counter(
        (s.local_endpoint, s.peer_endpoint) for s in sockets if s.accepted_by is not None
    )
    for socket in sorted(sockets, key=opened_ns):
        local, peer = socket.local_endpoint, socket.peer_endpoint
        if local is None or peer is None or socket.listens or not socket.is_stream:
            continue
        found = _choose(
            socket, index.candidates(local, peer), calls, waiting[local, peer], ring_lost
        )
        if socket.accepted_by is not None and found is not None:
            waiting[local, peer] -= 1
        if found is not None:
            index.take(socket, *found)
    hidden = [socket for socket in sockets if is_hidden(socket, calls)]
    if hidden:
        from netlab.correlate.hidden_ends import HiddenEnds

        ends = HiddenEnds(tracks, calls, whole=whole, ring_lost=ring_lost, locator=locator)
        ends.match(hidden, index)
    _add_listeners(sockets, tracks)


def is_hidden(socket: Socket, calls: list[CallRecord]) -> bool:
    """Whether the socket may have a connection that what is known of its ends does not name."""
    if socket.connection is not None or not socket.is_stream or socket.is_local:
        return False
    if socket.listens or socket.twins or not socket.calls:
        return False
    if calls[socket.calls[0] - 1].witness == "probe":  # it asks the kernel for both
        return False
    if socket.made and not socket.connects and socket.accepted_by is None:
        return False  # nothing ever tied it to a peer
    local, peer = socket.local_endpoint, socket.peer_endpoint
    return local is None or peer is None or not local[1] or is_wildcard(peer)


def _add_listeners(sockets: Sequence[Socket], tracks: Sequence[Track]) -> None:
    """Who may still have held a connection that no known accept() returned."""
    accepted = {s.connection for s in sockets if s.side is Side.SERVER}
    listening = [(s, s.local_endpoint) for s in sockets if s.listens and s.is_stream]
    for track in tracks if listening else ():
        if track.flow.connection in accepted:
            continue
        host, port = track.flow.server
        track.listeners = [
            socket for socket, local in listening
            if local is not None and local[1] == port and (local[0] == host or is_wildcard(local))
        ]  # fmt: skip


def _choose(
    socket: Socket,
    candidates: list[tuple[Track, Side]],
    calls: list[CallRecord],
    waiting: int,
    ring_lost: bool,
) -> tuple[Track, Side] | None:
    """`waiting`: how many accepted sockets of these ends, this one too, have no connection yet."""
    if not candidates:
        return None
    if socket.connects:
        entered = calls[socket.connects[0] - 1].entered_ns
        given_up = bound_ns(calls[socket.connects[-1] - 1]) if socket.failed else None
        until = math.inf if given_up is None else given_up
        for track, side in candidates:
            syns = track.halves[side.outbound].syns
            if syns and entered <= syns[0].time_ns <= until:
                return track, side
        return _without_syn(candidates, entered)
    if socket.accepted_by is not None:
        found = _accepted(socket, candidates, calls, waiting, ring_lost)
        if found is not None or socket.twins:
            return found
        return _without_syn(candidates, calls[socket.accepted_by - 1].entered_ns)
    if socket.made or not socket.calls:
        return None
    first = calls[socket.calls[0] - 1]
    returned = bound_ns(first)
    begun = returned if returned is not None else first.entered_ns
    before = [item for item in candidates if item[0].rows and _first_ns(item[0]) <= begun]
    if before:
        return before[-1]
    return _without_syn(candidates, first.entered_ns)


def _accepted(
    socket: Socket,
    candidates: list[tuple[Track, Side]],
    calls: list[CallRecord],
    waiting: int,
    ring_lost: bool,
) -> tuple[Track, Side] | None:
    """The connection that accept() returned; sets `twins` where several fit."""
    returned = bound_ns(calls[(socket.accepted_by or 1) - 1])
    queued = [
        (track, at) for track, side in candidates
        if side is Side.SERVER
        and track.halves[Direction.C2S].syns
        and (at := queued_ns(track, socket.listener, calls, ring_lost=ring_lost)) is not None
    ]  # fmt: skip
    fitting = [track for track, at in queued if returned is None or at <= returned]
    if not fitting:
        return None
    if len(fitting) > 1 and len(queued) > waiting and not surely_queued(fitting[0]):
        socket.twins = True
        for track in fitting:
            track.twins = True
        return None
    return fitting[0], Side.SERVER


def _first_ns(track: Track) -> int:
    return track.rows[0].packet.time_ns


def _without_syn(candidates: list[tuple[Track, Side]], since_ns: int) -> tuple[Track, Side] | None:
    """The capture began late or lost the SYN: only a connection that went on after the call."""
    for track, side in candidates:
        begun = track.halves[Direction.C2S].syns and track.handshake_acks
        if not begun and track.rows and track.rows[-1].packet.time_ns >= since_ns:
            return track, side
    return None


def add_connections_without_frames(
    sockets: Sequence[Socket], connections: list[Connection], calls: list[CallRecord]
) -> None:
    """TCP sockets that had a peer and no captured frame: a connection for each pair of ends."""
    pairs: dict[tuple[Endpoint, Endpoint], list[Connection]] = {}
    for socket in sockets:
        if socket.connection is not None or socket.listens or not socket.is_stream:
            continue
        if socket.twins or socket.fits:  # it has frames
            continue
        local, peer = socket.local_endpoint, socket.peer_endpoint
        if local is None or peer is None or not _was_connected(socket):
            continue
        if socket.accepted_by is None:
            client, server, side = local, peer, Side.CLIENT
        else:
            client, server, side = peer, local, Side.SERVER
        waiting = pairs.get((local, peer))
        if waiting:
            row = waiting.pop(0)
            socket.connection = row.connection
            socket.side = Side.CLIENT if (row.client, row.client_port) == local else Side.SERVER
            continue
        row = Connection(
            len(connections), None, "tcp", client[0], client[1], server[0], server[1], None, None
        )
        connections.append(row)
        pairs.setdefault((peer, local), []).append(row)
        socket.connection, socket.side = row.connection, side


def _was_connected(socket: Socket) -> bool:
    """An attempt counts: it too has a client, a server and a result."""
    return socket.accepted_by is not None or bool(socket.connects) or bool(socket.peer)
