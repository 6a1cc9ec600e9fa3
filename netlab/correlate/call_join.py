"""Call records, and what the frames tell -> spans, streams' ends, states: the join itself.

sockets -> which socket is which connection's end -> call ranges -> streams -> spans -> what is left
over -> states. Every step is in its own module; here they are only put together. A capture without
calls needs none of it, and imports none: see `join`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from netlab.correlate.accept_queue import stayed_queued
from netlab.correlate.admissions import Admissions
from netlab.correlate.arrivals import arrival_ns
from netlab.correlate.call_layout import UrgentMark
from netlab.correlate.call_moves import at_their_latest, moved_bytes
from netlab.correlate.call_ranges import CallRanges, Stop, StreamFacts, place_calls
from netlab.correlate.call_rows import call_row
from netlab.correlate.closing import link_closing
from netlab.correlate.datagram_join import DatagramJoin
from netlab.correlate.datagrams import Datagram
from netlab.correlate.doubts import clock_windows, first_impossible, stop_of
from netlab.correlate.epolls import Epolls
from netlab.correlate.flows import Flow
from netlab.correlate.handshake import link_handshake
from netlab.correlate.kernel_verdicts import settle_by_kernel
from netlab.correlate.leftovers import leftover_bytes, uncaptured
from netlab.correlate.lives import Lives
from netlab.correlate.local_join import LocalJoin
from netlab.correlate.matching import add_connections_without_frames, is_hidden, match_tcp
from netlab.correlate.measures import count_verdicts
from netlab.correlate.missing import CUT, Missing, has_gaps, is_cut_short
from netlab.correlate.reasons import Reason, What
from netlab.correlate.receiver_acks import link_receiver_acks
from netlab.correlate.segments import Track
from netlab.correlate.sockets import OBJECT_PROTOCOLS, Socket, Sockets, trace_sockets
from netlab.correlate.stamps import stamps_of_calls
from netlab.correlate.states import states_of
from netlab.correlate.streams import Reads, stream_from_track
from netlab.correlate.tcp_spans import End, TcpJoin, link_bytes
from netlab.correlate.unseen_bytes import UnseenBytes
from netlab.correlate.unseen_reads import maybe_unseen_read
from netlab.correlate.urgent import urgent_marks
from netlab.correlate.wakeups import Wakeups
from netlab.model.call import ACCEPTING, WAITING, CallRecord, is_outbound
from netlab.model.recording import RawRecording
from netlab.model.tables import (
    Call,
    Direction,
    Role,
    Side,
    Span,
    Tables,
    Unmatched,
)

if TYPE_CHECKING:
    from netlab.correlate.locating import Locator

_NAMELESS = frozenset({"unix:", "unix:@"})
_OBJECTS = frozenset(OBJECT_PROTOCOLS.values())

_ROLE_ORDER = {role: place for place, role in enumerate(Role)}


class CallJoin:
    """The steps, and what one hands to the next."""

    def __init__(
        self,
        raw: RawRecording,
        tables: Tables,
        records: list[CallRecord],
        place: Callable[[int], int],
        missing: Missing | None,
    ) -> None:
        """`records` are in order of entry; `place` sorts frames; `missing`: why frames may be."""
        self.raw, self.tables, self.place, self.missing = raw, tables, place, missing
        self.records = at_their_latest(records)
        self.returned_ns = [record.returned_ns for record in records]  # as they were
        self.calls = [call_row(number, record) for number, record in enumerate(records, 1)]
        self.tcp: dict[int, TcpJoin] = {}
        self.unseen = UnseenBytes(raw.losses, self.records, raw.inheritances)
        self.unsure = clock_windows(raw.clock_pairs)
        self.by_frame = {packet.frame: packet for packet in tables.packets} if records else {}
        self.last_entry: dict[int, int] = {}  # of each process; records are in order of entry
        for record in records:
            self.last_entry[record.pid] = record.entered_ns
        self.no_frames = Reason.CUT_SHORT if is_cut_short(raw) else Reason.NO_PACKET_WITNESS
        self.ring_lost = missing is not None
        self.locator: Locator | None = None
        self.sockets: list[Socket] = []

    def run(self, flows: list[Flow], tracks: list[Track], datagrams: list[Datagram]) -> None:
        """Fill the tables with all that calls, samples and the kernel's events tell."""
        sockets = trace_sockets(self.records, self.raw.inheritances)
        network = [s for s in sockets.all if not s.is_local]
        if self.records:
            self._match(network, tracks)
        self.tables.states = states_of(
            self.records,
            sockets,
            self.raw.samples,
            self.tables.connections,
            self.raw.kernel_events,
        )
        if self.records:
            self._join_calls(sockets, network, flows, tracks, datagrams)
        if self.raw.kernel_events and not self.ring_lost:
            from netlab.correlate.kernel_frames import notes_from_events

            lives = Lives(sockets.all, self.records)
            self.tables.notes = notes_from_events(self.raw.kernel_events, self.tables, lives)
        for track in settle_by_kernel(tracks, self.tables.states, self.tables.notes):
            count_verdicts(self.tables.connections[track.flow.connection], track)
        self.tables.calls = self.calls

    def _match(self, network: list[Socket], tracks: list[Track]) -> None:
        """Which socket is which connection's end; what has no frames is a connection, too."""
        if any(record.witness != "probe" for record in self.records):
            from netlab.correlate.locating import Locator

            self.locator = Locator(self.records, self.raw.frames)
        match_tcp(
            network, tracks, self.records,
            ring_lost=self.ring_lost, whole=not has_gaps(self.raw), locator=self.locator,
        )  # fmt: skip
        add_connections_without_frames(network, self.tables.connections, self.records)

    def _join_calls(
        self,
        sockets: Sockets,
        network: list[Socket],
        flows: list[Flow],
        tracks: list[Track],
        datagrams: list[Datagram],
    ) -> None:
        self.sockets = sockets.all
        servers = {
            s.connection: s for s in network
            if s.connection is not None and s.side is Side.SERVER and s.is_stream
        }  # fmt: skip
        admissions = Admissions(
            tracks, servers, network, self.records, self.raw.description.hosts, self.tables.states
        )
        admissions.mark(tracks)
        spans = self._join_tcp(network, tracks)
        udp = self._join_datagrams(network, flows, datagrams)
        spans += udp.spans
        local = self._join_local(sockets.all)
        spans += local.spans
        epolls = Epolls(self.records, self.raw.inheritances)
        waits = Wakeups(
            self.records, self.tcp, udp, local, self.by_frame, epolls,
            admissions=admissions, ring_lost=self.ring_lost,
        )  # fmt: skip
        spans += waits.spans(sockets)
        spans.sort(key=lambda span: _span_order(span, self.place))
        self.tables.spans = spans
        self.tables.unmatched += udp.unmatched
        self.tables.unmatched += local.unmatched
        self._fill_calls(sockets, udp, local)
        self._mark_roleless()
        self._fill_about(sockets, local)
        self._list_the_rest(sockets)
        self.tables.stamps = stamps_of_calls(self.raw.stamps, sockets.all, self.calls, self.records)

    # Most recordings have neither datagrams nor Unix sockets: how these are joined is imported only
    # where there are any, a tenth of the time that `inspect` of a small recording takes.

    def _join_datagrams(
        self, network: list[Socket], flows: list[Flow], datagrams: list[Datagram]
    ) -> DatagramJoin:
        sockets = [s for s in network if s.kind == "SOCK_DGRAM"]
        if not sockets and not datagrams:
            return DatagramJoin(self.records, self.missing)
        from netlab.correlate.datagram_spans import join_datagrams, leftover_datagrams

        if self.locator is not None:
            from netlab.correlate.hidden_datagrams import name_hidden

            name_hidden(sockets, datagrams, self.records, self.raw.frames)
        join = join_datagrams(sockets, flows, datagrams, self.records, missing=self.missing)
        join.unmatched += leftover_datagrams(join, datagrams)
        return join

    def _join_local(self, sockets: list[Socket]) -> LocalJoin:
        unix = [s for s in sockets if s.family == "AF_UNIX"]
        objects = [s for s in sockets if s.is_object]
        join = LocalJoin(self.records, self.tables.connections, self._stop_of)
        if unix:
            from netlab.correlate.local_spans import join_local

            join_local(join, unix)
        if objects:
            from netlab.correlate.local_objects import join_object

            for thing in objects:
                join_object(join, thing)
        return join

    # --- TCP

    def _join_tcp(self, sockets: list[Socket], tracks: list[Track]) -> list[Span]:
        ends: dict[int, dict[Side, Socket]] = {}
        for socket in sockets:
            if socket.connection is not None and socket.side is not None and socket.is_stream:
                ends.setdefault(socket.connection, {})[socket.side] = socket
        spans: list[Span] = []
        marks = urgent_marks(self.raw.frames, tracks)
        for track in tracks:
            join = TcpJoin(track, self.records)
            self.tcp[join.connection] = join
            for direction in track.halves:
                join.urgent[direction] = marks.get((join.connection, direction), ())
            facts = {
                direction: self._facts(track, direction, urgent)
                for direction, urgent in join.urgent.items()
            }
            for side, socket in ends.pop(join.connection, {}).items():
                out, into = facts[side.outbound], facts[side.inbound]
                if self.locator is not None:
                    out, into = self.locator.facts(socket, track, side, out, into)
                join.ends[side] = self._end(socket, out, into)
                if track.flow.to_itself:  # it reads what it wrote
                    mine = self._end(socket, facts[side.outbound], facts[side.outbound])
                    join.ends[Side.CLIENT] = End(socket, mine.outbound, CallRanges())
                    join.ends[Side.SERVER] = End(socket, CallRanges(), mine.inbound)
            if self.locator is not None:
                self.locator.check(join)
            for direction in Direction:
                self._follow(join, direction)
            self.unseen.doubt(join)
            for side, end in join.ends.items():
                self._place(end.outbound.ranges, side.outbound)
                self._place(end.inbound.ranges, side.inbound)
            if join.ends:
                spans += link_bytes(join)
                spans += link_handshake(join)
                spans += link_closing(join)
                spans += link_receiver_acks(join, self.returned_ns)
            queued = self.missing is not CUT and stayed_queued(track, self.records, self._stop_of)
            unwatched = self.unseen.reason_at(track.listeners)
            self.tables.unmatched += leftover_bytes(
                join, missing=self.missing, queued=queued, unwatched=unwatched
            )
        for connection, sides in ends.items():
            self._without_frames(connection, sides)
        return spans

    def _facts(
        self, track: Track, direction: Direction, urgent: tuple[UrgentMark, ...]
    ) -> StreamFacts:
        half = track.halves[direction]
        unborn = Reason.CAPTURE_LATE
        if track.halves[direction.reverse].syn_seen:  # the capture had begun, this SYN escaped it
            unborn = self.missing.captured if self.missing else Reason.GAP
        return StreamFacts(half.syn_seen, half.fin_off, urgent, unborn)

    def _end(self, socket: Socket, out: StreamFacts, into: StreamFacts) -> End:
        born = socket.is_born
        stopped = self._stop_of(socket)
        return End(
            socket,
            place_calls(socket.calls, self.records, outbound=True, born=born,
                        inline=True, facts=out, stopped=stopped),
            place_calls(socket.calls, self.records, outbound=False, born=born,
                        inline=False, inlines=socket.oob_inline, facts=into, stopped=stopped),
        )  # fmt: skip

    def _stop_of(self, socket: Socket) -> Stop | None:
        if socket.listens and (since_ns := self.unseen.since_ns(socket)) is not None:
            return Stop(since_ns, Reason.IO_URING)  # an accept may have gone unseen, too
        return stop_of(socket, self.records, self.raw, self.last_entry, self.unsure)

    def _follow(self, join: TcpJoin, direction: Direction) -> None:
        """Build the stream of a direction, and take back what its frames disprove."""
        sender, receiver = join.ends.get(direction.sender), join.ends.get(direction.receiver)
        while True:
            stream = stream_from_track(join.track, direction, self._reads(receiver))
            join.streams[direction] = stream
            if sender is not None:
                early = first_impossible(
                    sender.outbound, [stream.carried], lambda f: self.by_frame[f].time_ns,
                    self.records, outbound=True, unsure=self.unsure,
                )  # fmt: skip
                if early is not None:
                    sender.outbound.withdraw(early, Reason.CONTRADICTION)
            if receiver is not None and not self.unsure:
                doubtful = maybe_unseen_read(
                    receiver.socket.calls, receiver.inbound, stream, join.track, self.records,
                    ring_lost=self.ring_lost,
                )  # fmt: skip
                if doubtful is not None and receiver.inbound.left is not Reason.CONTRADICTION:
                    receiver.inbound.withdraw(doubtful, Reason.CONTRADICTION)
                    continue
            # A copy that the ring lost may have come before the one that is known.
            if receiver is None or self.ring_lost:
                return
            late = first_impossible(
                receiver.inbound, [stream.accepted, stream.released],
                lambda f: arrival_ns(self.by_frame[f]),
                self.records, outbound=False, unsure=self.unsure,
            )  # fmt: skip
            if late is None:
                return
            receiver.inbound.withdraw(late, Reason.CONTRADICTION)

    def _place(self, ranges: dict[int, tuple[int, int]], direction: Direction) -> None:
        for number, (start, stop) in ranges.items():
            call = self.calls[number - 1]
            call.direction, call.start, call.stop = direction, start, stop

    def _reads(self, end: End | None) -> Reads:
        if end is None:
            return lambda _: 0
        inbound = end.inbound
        return lambda time_ns: inbound.read_until(self.records, time_ns)

    def _without_frames(self, connection: int, sides: dict[Side, Socket]) -> None:
        row = self.tables.connections[connection]
        for side, socket in sides.items():
            end = self._end(socket, StreamFacts(), StreamFacts())
            self._place(end.outbound.ranges, side.outbound)
            self._place(end.inbound.ranges, side.inbound)
            for ranges, direction in (
                (end.outbound, side.outbound),
                (end.inbound, side.inbound),
            ):
                self.tables.unmatched += uncaptured(
                    ranges, connection, direction, self.no_frames,
                    outbound=ranges is end.outbound,
                )  # fmt: skip
            if side is Side.CLIENT:
                row.client_bytes = end.outbound.stop
            else:
                row.server_bytes = end.outbound.stop

    # --- the calls' own columns

    def _fill_calls(self, sockets: Sockets, udp: DatagramJoin, local: LocalJoin) -> None:
        homes = {id(s): udp.home_of(s) for s in sockets.all if s.kind == "SOCK_DGRAM"}
        for call, record, socket in zip(self.calls, self.records, sockets.by_call, strict=True):
            number = call.call
            if number in udp.placed:
                placed = udp.placed[number]
                call.connection, call.side = placed.connection, placed.side
                call.direction, call.start, call.stop = (
                    placed.direction, placed.start, placed.stop,
                )  # fmt: skip
            elif number in local.of_call:
                call.connection, call.side = local.of_call[number]
            elif socket is not None and socket.connection is not None:
                call.connection, call.side = socket.connection, socket.side
            elif (home := homes.get(id(socket))) is not None:
                call.connection, call.side = home
            if number in local.ranges:
                call.direction, call.start, call.stop = local.ranges[number]
            if record.op in WAITING or record.op == "epoll_ctl":
                self._fill_wait(call, record, sockets)
        for socket in sockets.all:  # an accept belongs to the connection that it returned
            if socket.accepted_by is not None and socket.connection is not None:
                call = self.calls[socket.accepted_by - 1]
                call.connection, call.side = socket.connection, socket.side

    def _mark_roleless(self) -> None:
        """The calls on pipes, queues and rings, and on socketpairs: of one made before the
        recording neither end has a name, and nothing opened it."""
        objects, unnamed = set[int | None](), set[int | None]()
        for row in self.tables.connections:
            if row.protocol in _OBJECTS:
                objects.add(row.connection)
            elif row.protocol == "unix" and {row.client, row.server} <= _NAMELESS:
                unnamed.add(row.connection)
        if not objects and not unnamed:
            return
        mine = [call for call in self.calls if call.connection in unnamed]
        unnamed -= {c.connection for c in mine if c.op == "connect" or c.op in ACCEPTING}
        roleless = objects | unnamed
        for call in self.calls:
            call._roleless = call.connection in roleless

    def _fill_wait(self, call: Call, record: CallRecord, sockets: Sockets) -> None:
        reported = sockets.reported.get(call.call, [])
        ends = {(socket.connection, socket.side) for _, socket in reported}
        if len(ends) == 1 and len(reported) == len(record.ready):
            call.connection, call.side = ends.pop()
        else:
            call.connection = call.side = None

    def _fill_about(self, sockets: Sockets, local: LocalJoin) -> None:
        """What a message between processes is about: its sender says so, its reader learns it."""
        for number, socket in sockets.about.items():
            self.calls[number - 1].about = socket.connection
        for reader, senders in local.sources().items():
            subjects = {self.calls[sender - 1].about for sender in senders}
            if len(subjects) == 1:
                self.calls[reader - 1].about = subjects.pop()

    def _list_the_rest(self, sockets: Sockets) -> None:
        """Calls that moved bytes on a socket that has no connection."""
        listed = {row.call for row in self.tables.unmatched}
        for call, record in zip(self.calls, self.records, strict=True):
            outbound = is_outbound(record)
            moved = moved_bytes(record, outbound)
            if not moved or call.start is not None or call.call in listed:
                continue
            what = What.SENT_NOT_PLACED if outbound else What.READ_NOT_PLACED
            local = record.family is not None and not record.family.startswith("AF_INET")
            reason = Reason.NO_PEER if local else Reason.NO_PACKET_WITNESS
            socket = sockets.by_call[call.call - 1]
            if socket is not None and (socket.twins or socket.fits):
                reason = Reason.TWINS if socket.twins else Reason.HIDDEN
            elif socket is not None and not socket.is_born and is_hidden(socket, self.records):
                reason = Reason.UNNAMED
            self.tables.unmatched.append(
                Unmatched(call.connection, None, None, None, moved, what, reason, call.call)
            )


def _span_order(span: Span, place: Callable[[int], int]) -> tuple[int, int, int, int, int]:
    return (
        span.call,
        _ROLE_ORDER[Role(span.role)],
        span.start if span.start is not None else -1,
        -1 if span.frame is None else place(span.frame),
        span.peer_call or 0,
    )
