"""All connections to a listener -> which frame put each into the accept queue, which it ignored.

The queue holds one more than the backlog (sk_acceptq_is_full in Linux); while it does, SYNs and the
last ACKs of handshakes are ignored, and so is what those clients send next. So the connections are
followed in order of time: each frame that may have made one met a queue of known length, or, where
an accept may just have taken one out, of one of two lengths.
Read first: `accept_queue` (what the frames of one connection tell), man 2 listen.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field

from netlab.correlate.accept_queue import deferral, knocks_of, surely_ns
from netlab.correlate.addresses import Endpoint, is_wildcard
from netlab.correlate.arrivals import arrival_ns, sent
from netlab.correlate.call_moves import bound_ns
from netlab.correlate.segments import Track
from netlab.correlate.sockets import Socket
from netlab.model.call import CallRecord
from netlab.model.recording import Host
from netlab.model.records import dataclass
from netlab.model.tables import Direction, Packet, State

_FOREVER = 1 << 63
_LATE_NS = 2_000_000  # from a frame's stamp until its kernel looks at it, on a busy machine


@dataclass(frozen=True, slots=True)
class Ignored:
    """A frame that came while the queue was full; `waiting`: at least so many stood in it."""

    packet: Packet
    waiting: int
    most: int  # no more than so many did


@dataclass(frozen=True, slots=True)
class Admission:
    """How a connection came into its accept queue."""

    packet: Packet | None  # that put it there; None: none did
    ignored: tuple[Ignored, ...] = ()  # before, in order of arrival
    sure: bool = False  # the queue is known to have had room then, and no earlier frame can have
    unsettled: bool = False  # it may have been a later frame


@dataclass(slots=True)
class AcceptQueue:
    """What went through the accept queue of one listener."""

    listener: Socket
    backlog: int | None  # None: it is not known
    came_ns: list[int] = field(default_factory=list)  # in order
    taken_ns: list[int] = field(default_factory=list)  # the earliest that each left, in order
    gone_ns: list[int] = field(default_factory=list)  # the latest, in order
    broken: bool = False  # somebody came in though it was full: what is known of it is not all

    def waiting(self, time_ns: int) -> tuple[int, int]:
        """(the least, the most) connections that stood in it then."""
        came = bisect_left(self.came_ns, time_ns)
        least = came - bisect_right(self.taken_ns, time_ns)
        return max(least, 0), came - bisect_right(self.gone_ns, time_ns)

    def surely_waiting(self, time_ns: int) -> int:
        """So many at least stood in it when a frame with this stamp was looked at."""
        came = bisect_left(self.came_ns, time_ns)
        return max(came - bisect_right(self.taken_ns, time_ns + _LATE_NS), 0)

    def has_room(self, most: int) -> bool:
        """Whether with so many in it there surely was room for one more."""
        return self.backlog is not None and most <= self.backlog


class Admissions:
    """The accept queues of a recording.

    `servers`: the sockets at the servers' ends of connections, as far as they are known. `states`:
    in which the kernel says when it made such a socket, where a witness heard it.
    """

    def __init__(
        self,
        tracks: Iterable[Track],
        servers: Mapping[int, Socket],
        sockets: Sequence[Socket],
        calls: list[CallRecord],
        hosts: Sequence[Host],
        states: Iterable[State],
    ) -> None:
        self._servers, self._calls = servers, calls
        self._made_ns = _made_ns(states)
        self._listening = [s for s in sockets if s.listens and s.is_stream and not s.is_local]
        self._at: dict[Endpoint, list[Socket]] = {}
        self.of: dict[int, Admission] = {}  # by connection
        self._queues: dict[int, AcceptQueue] = {}  # by id of the listener
        self._behind: dict[int, list[Track]] = {}  # the same: who came to it
        self._left: dict[int, Packet | None] = {}  # the same: see `first_left`
        groups: dict[int, tuple[Socket, list[Track]]] = {}
        for track in tracks:
            listener = self._listener_of(track)
            if listener is not None:
                groups.setdefault(id(listener), (listener, []))[1].append(track)
        for listener, group in groups.values():
            alone = all(self.listens_at(track.flow.server) == [listener] for track in group)
            backlog = _backlog(listener, calls, hosts) if alone else None
            queue = self._queues[id(listener)] = AcceptQueue(listener, backlog)
            self._behind[id(listener)] = group
            self._follow(queue, group)

    def queue_at(self, server: Endpoint) -> AcceptQueue | None:
        """The queue behind a server's end, where one socket alone listened there."""
        found = self.listens_at(server)
        return self._queues.get(id(found[0])) if len(found) == 1 else None

    def first_left(self, listener: Socket) -> Packet | None:
        """The frame that put the first connection into its queue of those that nobody accepted.

        None: there is none, or it may have been a later frame, or somebody accepted it unseen.
        """
        if id(listener) not in self._left:
            self._left[id(listener)] = self._first_left(listener)
        return self._left[id(listener)]

    def _first_left(self, listener: Socket) -> Packet | None:
        left: list[tuple[Track, Packet, bool]] = []
        for track in self._behind.get(id(listener), ()):
            admission = self.of.get(track.flow.connection)
            if admission is None or admission.packet is None or self._accept_of(track) is not None:
                continue
            left.append((track, admission.packet, admission.unsettled))
        if not left or any(_spoke_ns(track) is not None for track, _, _ in left):
            return None
        _, packet, unsettled = min(left, key=lambda item: arrival_ns(item[1]))
        return None if unsettled else packet

    def mark(self, tracks: Iterable[Track]) -> None:
        """Note at each connection what its listener ignored before it was made, and so never read.

        Of one that never was made nothing is noted: what became of its bytes is the ledger's.
        """
        for track in tracks:
            admission = self.of.get(track.flow.connection)
            queue = self.queue_at(track.flow.server)
            if admission is None or admission.packet is None or (queue and queue.broken):
                continue
            track.ignored = frozenset(one.packet.frame for one in admission.ignored)

    def has_ignored(self, connection: int) -> bool:
        """Whether frames of a connection were ignored before it was made, if it was."""
        admission = self.of.get(connection)
        return admission is not None and bool(admission.ignored)

    def listens_at(self, server: Endpoint) -> list[Socket]:
        """The sockets that listened at an address, be it one after the other.

        Where 0.0.0.0 and :: both listen, each takes the clients of its own family (man 7 ipv6).
        """
        if server not in self._at:
            found = [
                (socket, local) for socket in self._listening
                if (local := socket.local_endpoint) is not None and local[1] == server[1]
                and (local[0] == server[0] or is_wildcard(local))
            ]  # fmt: skip
            own = [item for item in found if (":" in item[1][0]) == (":" in server[0])]
            self._at[server] = [socket for socket, _ in own or found]
        return self._at[server]

    def _listener_of(self, track: Track) -> Socket | None:
        socket = self._servers.get(track.flow.connection)
        if socket is not None and socket.listener is not None:
            return socket.listener
        found = self.listens_at(track.flow.server)
        return found[0] if len(found) == 1 else None

    def _follow(self, queue: AcceptQueue, tracks: list[Track]) -> None:
        """Every frame that may have put one of them into the queue, in order of arrival."""
        marks: list[tuple[int, int, bool, Packet]] = []
        last: dict[int, Packet] = {}
        lives: dict[int, Track] = {}
        for track in tracks:
            number = track.flow.connection
            knocks, ignored = knocks_of(track, queue.listener, self._calls)
            if number in self._made_ns:
                knocks, ignored = _as_told(knocks, ignored, self._made_ns[number])
            marks += [(arrival_ns(packet), number, True, packet) for packet in ignored]
            marks += [(arrival_ns(packet), number, False, packet) for packet in knocks]
            until_ns = self._latest_ns(track)
            if until_ns is not None and knocks:  # by then it was there
                early = [packet for packet in knocks if arrival_ns(packet) <= until_ns]
                last[number] = early[-1] if early else knocks[0]
            lives[number] = track
        marks.sort(key=lambda mark: mark[:3])
        turned: dict[int, list[Ignored]] = {}
        for at_ns, number, ignored_before, packet in marks:
            if number in self.of:
                continue
            least, most = queue.surely_waiting(at_ns), queue.waiting(at_ns)[1]
            full = queue.backlog is not None and least > queue.backlog
            if ignored_before or (full and last.get(number) is not packet):
                turned.setdefault(number, []).append(Ignored(packet, least, most))
                continue
            queue.broken = queue.broken or full
            told = number in self._made_ns
            unsettled = not told and self._is_unsettled(queue, lives[number], packet)
            sure = told or (queue.has_room(most) and not unsettled)
            before = tuple(turned.get(number, ()))
            self.of[number] = Admission(packet, before, sure, unsettled)
            self._enter(queue, lives[number], at_ns)
        for number, before_all in turned.items():
            self.of.setdefault(number, Admission(None, tuple(before_all)))

    def _is_unsettled(self, queue: AcceptQueue, track: Track, packet: Packet) -> bool:
        """Whether a later frame may have done it: its listener defers, or resent its SYN-ACK."""
        answers = sent(track.halves[Direction.S2C].syns)
        deferred = deferral(queue.listener, self._calls, packet)
        bare = not packet.payload_len_bytes
        return (bare and deferred != 0) or any(p.time_ns > arrival_ns(packet) for p in answers)

    def _enter(self, queue: AcceptQueue, track: Track, at_ns: int) -> None:
        queue.came_ns.append(at_ns)
        accept = self._accept_of(track)
        if accept is not None:
            bound = bound_ns(accept)
            insort(queue.taken_ns, max(accept.entered_ns, at_ns))
            insort(queue.gone_ns, _FOREVER if bound is None else max(bound, at_ns))
            return
        spoke_ns = _spoke_ns(track)
        if spoke_ns is not None:  # by calls that nobody saw: it had been accepted by then
            insort(queue.taken_ns, at_ns)
            insort(queue.gone_ns, max(spoke_ns, at_ns))

    def _accept_of(self, track: Track) -> CallRecord | None:
        socket = self._servers.get(track.flow.connection)
        if socket is None or socket.accepted_by is None:
            return None
        return self._calls[socket.accepted_by - 1]

    def _latest_ns(self, track: Track) -> int | None:
        """When the connection was made at the latest; None: it may never have been."""
        accept = self._accept_of(track)
        found = [surely_ns(track), bound_ns(accept) if accept is not None else None]
        return min((at_ns for at_ns in found if at_ns is not None), default=None)


def _made_ns(states: Iterable[State]) -> dict[int, int]:
    """When the kernel says that it made the server's socket of each connection."""
    found: dict[int, int] = {}
    for state in states:
        told = (state.witness, state.side, state.state) == ("kernel", "server", "SYN-RECEIVED")
        if told and state.connection is not None:
            found.setdefault(state.connection, state.time_ns)
    return found


def _as_told(
    knocks: list[Packet], ignored: list[Packet], made_ns: int
) -> tuple[list[Packet], list[Packet]]:
    """The same, where the kernel said when it made the connection: the last frame by then did."""
    early = [packet for packet in (*ignored, *knocks) if arrival_ns(packet) <= made_ns]
    return (early[-1:], early[:-1]) if early else (knocks, ignored)


def _spoke_ns(track: Track) -> int | None:
    """When the server's program first did something: its first data or its FIN."""
    return next(
        (row.packet.time_ns for row in track.rows
         if row.direction is Direction.S2C and not row.probe
         and row.segment.seg_len > 0 and row.packet not in track.halves[Direction.S2C].syns), None,
    )  # fmt: skip


def _backlog(listener: Socket, calls: list[CallRecord], hosts: Sequence[Host]) -> int | None:
    """What it was asked to hold, where it was asked once."""
    asked = {calls[n - 1].args.strip() for n in listener.calls if calls[n - 1].op == "listen"}
    one = asked.pop() if len(asked) == 1 else ""
    return backlog_of(one, listener.host, hosts)


def backlog_of(asked: str, host: str, hosts: Sequence[Host]) -> int | None:
    """What a listen's backlog comes to: no more than its host's net.core.somaxconn, if known.

    Linux compares them as unsigned numbers, so that a negative one asks for all there is. None:
    what was asked for is no number.
    """
    if not asked.strip().removeprefix("-").isdecimal():
        return None
    number = int(asked)
    most = next(
        (dict(one.sysctls).get("net.core.somaxconn", "") for one in hosts if one.name == host), ""
    )
    if not most.isdecimal():
        return number if number >= 0 else 1 << 31
    return int(most) if number < 0 else min(number, int(most))
