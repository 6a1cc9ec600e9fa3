"""Tables and raw material -> what the stories of waits look things up in.

Built once a recording; connections when they are first asked for. Pure; guesses nothing: what is
not in the recording is None.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import cached_property
from itertools import accumulate
from operator import attrgetter
from typing import TYPE_CHECKING

from netlab.correlate.addresses import Endpoint
from netlab.correlate.admissions import Admissions
from netlab.correlate.arrivals import arrival_ns, came, seen_at_both_ends
from netlab.correlate.datagrams import Datagram, datagrams_from_flows
from netlab.correlate.flows import Flow, flows_from_packets
from netlab.correlate.local_queues import LocalQueues
from netlab.correlate.missing import missing_frames
from netlab.correlate.reasons import What
from netlab.correlate.segments import Track, track_from_flow
from netlab.correlate.socket_options import OptionSet, options_of
from netlab.correlate.sockets import Socket, trace_sockets
from netlab.explain.endings import ended_ns, last_ns
from netlab.explain.moves import Moves
from netlab.explain.parts import Part
from netlab.explain.path import Path
from netlab.explain.sender import Write
from netlab.explain.switch import Switch
from netlab.explain.watching import Watching
from netlab.model.call import (
    MSG_MORE,
    MSG_PEEK,
    STOP,
    CallRecord,
    is_inbound,
    is_outbound,
)
from netlab.model.clock import clock_steps
from netlab.model.recording import RawRecording
from netlab.model.tables import (
    Call,
    Direction,
    Fate,
    Packet,
    Role,
    Side,
    Span,
    State,
    Tables,
    Unmatched,
)

if TYPE_CHECKING:
    from netlab.explain.callers import Callers
    from netlab.explain.room_anew import RoomHistory
    from netlab.explain.silence.listeners import Unanswered
    from netlab.explain.timed_out import Owed

Thread = tuple[str, int, int]  # host, pid, tid
_OF_CALLS = frozenset({"calls", "events"})  # losses of a witness of calls


class Scene:
    """What a recording says, ready to be asked."""

    def __init__(self, tables: Tables, raw: RawRecording) -> None:
        self.tables, self.raw = tables, raw
        self.calls = tables.calls
        self.records: list[CallRecord] = sorted(
            raw.calls, key=attrgetter("entered_ns", "host", "pid", "tid", "order")
        )
        self.packets: dict[int, Packet] = {packet.frame: packet for packet in tables.packets}
        self._segments = {segment.frame: segment for segment in tables.segments}
        self.spans: dict[int, list[Span]] = defaultdict(list)
        self.closers: dict[tuple[str, int], list[Span]] = defaultdict(list)
        self.carriers: dict[int, int] = {}  # by frame, the call that wrote its first byte
        for span in tables.spans:
            self.spans[span.call].append(span)
            if span.role == Role.CARRIED and span.frame is not None:
                self.carriers.setdefault(span.frame, span.call)
            if span.role in (Role.FIN, Role.RST) and span.frame is not None:
                self.closers[span.role, span.frame].append(span)
        self.sockets = trace_sockets(self.records, raw.inheritances)
        self.ends: dict[tuple[int, Side], Socket] = {}
        self.threads: dict[Thread, list[Call]] = defaultdict(list)
        self._moves: dict[tuple[int, Side, Direction], list[Call]] = defaultdict(list)
        for call, socket in zip(self.calls, self.sockets.by_call, strict=True):
            self.threads[call.host, call.pid, call.tid].append(call)
            if call.connection is None or call.side is None:
                continue
            side = Side(call.side)
            if socket is not None and not socket.listens:
                self.ends[call.connection, side] = socket
            if call.start is not None and call.direction is not None:
                self._moves[call.connection, side, Direction(call.direction)].append(call)
        self._entries: dict[Thread, list[int]] = {
            thread: [call.entered_ns for call in calls] for thread, calls in self.threads.items()
        }
        self._in_order: dict[tuple[int, Side, Direction], Moves] = {}
        self._paths: dict[int, Path | None] = {}
        self.lost_frames = missing_frames(raw) is not None
        self.turned_away: dict[Endpoint, list[int]] = {}  # connections by listener's end
        self.unread: dict[int | None, list[Unmatched]] = defaultdict(list)  # by connection
        for item in tables.unmatched:
            if item.bytes and item.what in (What.CARRIED_NOT_READ, What.SENT_NOT_READ):
                self.unread[item.connection].append(item)
        self.end_ns = last_ns(tables, raw)
        self.is_steady = not clock_steps(raw.clock_pairs)  # the clock was never set
        self._sysctls = {host.name: dict(host.sysctls) for host in raw.description.hosts}
        self.exits = {(c.host, c.pid): c for c in self.calls if c.op == "exit"}
        self.stops = [call for call in self.calls if call.op == STOP]
        self._options: dict[tuple[int, Side], list[OptionSet]] = {}
        self._reads: dict[int, list[Call]] = {}  # by id of the socket
        self._errors: dict[int, list[Packet]] = {}  # the same
        self._arrived: dict[tuple[int, Direction], list[Packet]] = {}
        self._latest: dict[tuple[int, Side, Direction], list[int]] = {}
        self._to_port: dict[int, list[Packet]] | None = None
        self._served: dict[int | None, list[int]] | None = None  # connections by port
        self._clients_ns: dict[int | None, list[int]] = {}
        self._read_to: dict[tuple[int, Side], int] = {}
        self._held: dict[tuple[str, int], list[tuple[int, Socket]]] | None = None
        self._takers: dict[int, frozenset[int]] = {}  # by id of the listener
        self._accepted: dict[int, Socket] = {
            number: made
            for socket in self.sockets.all
            for number, made in zip(socket.accepts, socket.accepted, strict=True)
        }
        for number, made in self._accepted.items():
            accept = self.calls[number - 1]
            if accept.connection is not None:
                self.ends.setdefault((accept.connection, Side.SERVER), made)
        self._of_connection: dict[int, list[Call]] | None = None
        self._tracks: dict[int, Track] | None = None
        self._states: dict[tuple[int | None, str | None], list[State]] | None = None
        self._datagrams: dict[int, list[Datagram]] | None = None
        self.left_lying: dict[int, list[Call]] = defaultdict(list)  # waits, by connection (`edges`)
        self.explained: dict[int, list[Part]] = {}  # by call, of those that returned earlier
        self.silences: dict[int, list[Part]] = {}  # by connection, once told
        self.ignored: dict[Endpoint, list[Unanswered]] = {}  # by listener's end; the same
        self.troubles: dict[int, list[tuple[Call | None, Part]]] = {}  # by connection; the same
        self.owed: dict[int, Owed] = {}  # by call that its timer ended, once told
        self.callers: Callers | None = None  # once asked for
        self.room_history: RoomHistory | None = None  # the same
        self.requests: dict[int, tuple[Socket, int]] | None = None  # `asked`, once told
        self.owed_on: dict[int, list[int]] = defaultdict(list)  # by connection, those calls

    # --- calls

    def call(self, number: int) -> Call:
        return self.calls[number - 1]

    def record(self, number: int) -> CallRecord:
        return self.records[number - 1]

    def socket_of(self, call: Call) -> Socket | None:
        return self.sockets.by_call[call.call - 1]

    def home(self, socket: Socket) -> tuple[int, Side] | None:
        """Which end of which connection a socket is; None: it is not known."""
        if socket.connection is not None and socket.side is not None:
            return socket.connection, socket.side
        for number in reversed(socket.calls):
            call = self.call(number)
            if call.connection is not None and call.side is not None:
                return call.connection, Side(call.side)
        return None

    def other_end(self, socket: Socket) -> Socket | None:
        """The socket at the other end, of a Unix socket or pipe for example."""
        home = self.home(socket)
        return self.ends.get((home[0], home[1].inbound.sender)) if home is not None else None

    def accepted_by(self, call: Call) -> Socket | None:
        """The socket that an accept returned."""
        return self._accepted.get(call.call)

    def takers(self, listener: Socket) -> frozenset[int]:
        """The processes that accepted from a listener."""
        key = id(listener)
        if key not in self._takers:
            self._takers[key] = frozenset(self.call(number).pid for number in listener.accepts)
        return self._takers[key]

    def before(self, call: Call, since_ns: int) -> list[Call]:
        """The calls of the same thread that were inside after `since_ns`, before this one."""
        thread = call.host, call.pid, call.tid
        calls, entries = self.threads[thread], self._entries[thread]
        place = bisect_left(entries, call.entered_ns)
        while place < len(calls) and calls[place].call < call.call:
            place += 1
        found = []
        while place > 0:
            place -= 1
            other = calls[place]
            if other.call == call.call:
                continue
            if other.returned_ns is None:
                continue
            if other.returned_ns <= since_ns:
                break
            found.append(other)
        return found[::-1]

    def moves(self, connection: int, side: Side, direction: Direction) -> Moves:
        """The calls of one side that moved bytes in this direction."""
        key = connection, side, direction
        if key not in self._in_order:
            calls = sorted(self._moves.get(key, []), key=lambda c: (c.start or 0, c.call))
            self._in_order[key] = Moves([call.start or 0 for call in calls], calls)
        return self._in_order[key]

    def first_move(
        self, connection: int, side: Side, direction: Direction, after_ns: int
    ) -> Call | None:
        """The first of those in the order of the stream that was entered after that time."""
        key = connection, side, direction
        calls = self.moves(connection, side, direction).calls
        if key not in self._latest:  # of each and those before it, the latest entry
            self._latest[key] = list(accumulate((call.entered_ns for call in calls), max))
        place = bisect_right(self._latest[key], after_ns)
        return calls[place] if place < len(calls) else None

    def writer(self, connection: int, direction: Direction, byte: int) -> Call | None:
        """The call that wrote this byte."""
        return self.moves(connection, direction.sender, direction).at(byte)

    def writes(self, connection: int, side: Side) -> list[Write]:
        """The calls that wrote, in order of entry."""
        calls = self.moves(connection, side, side.outbound).calls
        found = [
            Write(call, call.stop or 0, bool(self.record(call.call).flags & MSG_MORE))
            for call in calls
            if is_outbound(call)
        ]
        return sorted(found, key=lambda write: write.call.entered_ns)

    def reads(self, connection: int, side: Side) -> list[Call]:
        """The calls of one side that asked for bytes and returned, in order of entry."""
        socket = self.ends.get((connection, side))
        return self.reads_of(socket) if socket is not None else []

    def reads_of(self, socket: Socket) -> list[Call]:
        """The same of a socket, whichever conversations it has."""
        key = id(socket)
        if key not in self._reads:
            self._reads[key] = [
                self.call(n) for n in socket.calls
                if is_inbound(self.call(n)) and not self.record(n).flags & MSG_PEEK
            ]  # fmt: skip
        return self._reads[key]

    def read_to(self, connection: int, side: Side) -> int:
        """Up to which byte of its stream the calls of a side read."""
        key = connection, side
        if key not in self._read_to:
            moves = self.moves(connection, side, side.inbound)
            self._read_to[key] = max((call.stop or 0 for call in moves.calls), default=0)
        return self._read_to[key]

    def held_by(self, host: str, pid: int) -> list[tuple[int, Socket]]:
        """The sockets that a process used, each with the first call by which it did."""
        if self._held is None:
            self._held = defaultdict(list)
            for socket in self.sockets.all:
                accepted = [socket.accepted_by] if socket.accepted_by else []
                first: dict[int, int] = {}
                for number in sorted((*socket.calls, *accepted)):
                    first.setdefault(self.call(number).pid, number)
                for user, number in first.items():
                    self._held[socket.host, user].append((number, socket))
        return self._held.get((host, pid), [])

    def errors_of(self, socket: Socket) -> list[Packet]:
        """The ICMP messages that quote what was sent on a socket of datagrams, as they came."""
        key = id(socket)
        if key not in self._errors:
            frames = {
                span.frame for number in socket.calls if is_outbound(self.call(number))
                for span in self.spans.get(number, ())
                if span.role == Role.ICMP and span.frame is not None
            }  # fmt: skip
            self._errors[key] = came(self.packets[frame] for frame in frames)
        return self._errors[key]

    def has_calls(self, connection: int, side: Side) -> bool:
        """Whether calls of this side were recorded."""
        return (connection, side) in self.ends

    def of_connection(self, connection: int) -> list[Call]:
        """The calls of a connection, in order of entry."""
        if self._of_connection is None:
            self._of_connection = defaultdict(list)
            for call in self.calls:
                if call.connection is not None:
                    self._of_connection[call.connection].append(call)
        return self._of_connection.get(connection, [])

    def listener(self, track: Track) -> Socket | None:
        """The one socket that listened at the server's end of a connection."""
        found = self.admissions.listens_at(track.flow.server)
        return found[0] if len(found) == 1 else None

    @cached_property
    def watching(self) -> Watching:
        """What the waits of event loops watch."""
        whole = not any(loss.what in _OF_CALLS for loss in self.raw.losses)
        return Watching(self.records, self.raw.inheritances, self.sockets.all, whole=whole)

    @cached_property
    def lossy(self) -> frozenset[int | None]:
        """The connections of whose frames the wire dropped or spoilt some."""
        return frozenset(
            packet.connection for packet in self.tables.packets
            if packet.fate == Fate.DROPPED or packet._spoilt
        )  # fmt: skip

    # --- options

    def options(self, connection: int, side: Side) -> list[OptionSet]:
        """The setsockopt calls of a side, those inherited from its listener first."""
        key = connection, side
        if key not in self._options:
            self._options[key] = self._options_of(connection, side)
        return self._options[key]

    def _options_of(self, connection: int, side: Side) -> list[OptionSet]:
        socket = self.ends.get((connection, side))
        if socket is None:
            return []
        found: list[OptionSet] = []
        if socket.listener is not None and socket.accepted_by is not None:
            until = socket.accepted_by
            numbers = [n for n in socket.listener.calls if n < until]
            found += options_of(numbers, self.records)
        return [*found, *options_of(socket.calls, self.records)]

    def option_at(self, connection: int, side: Side, name: str, time_ns: int) -> OptionSet | None:
        """What set an option of a side last by then; None: nothing that was recorded."""
        return next(
            (option for option in reversed(self.options(connection, side))
             if option.name == name and option.entered_ns <= time_ns), None,
        )  # fmt: skip

    def switch(self, connection: int, side: Side, name: str) -> Switch:
        """An option that is on or off."""
        socket = self.ends.get((connection, side))
        if socket is None or not socket.is_born:
            return Switch(default=None)
        return Switch(tuple(
            (option.entered_ns, option.on)
            for option in self.options(connection, side) if option.name == name
        ))  # fmt: skip

    def paces(self, connection: int, side: Side) -> bool:
        """Whether the socket asked for pacing, or its congestion control does it always (bbr)."""
        return any(
            (option.name == "SO_MAX_PACING_RATE" and option.on)
            or (option.name == "TCP_CONGESTION" and b"bbr" in option.raw)
            for option in self.options(connection, side)
        )

    def autocorks(self, connection: int, side: Side) -> bool | None:
        """Whether the host of a side had net.ipv4.tcp_autocorking on; None: it is not known."""
        socket = self.ends.get((connection, side))
        settings = self._sysctls.get(socket.host, {}) if socket is not None else {}
        value = settings.get("net.ipv4.tcp_autocorking")
        return None if value is None else value != "0"

    def ender(self, connection: int, side: Side) -> Call | None:
        """The call with which this side ended its stream: shutdown, or the last close."""
        socket = self.ends.get((connection, side))
        if socket is None:
            return None
        numbers = [*socket.shutdowns[:1], *([socket.last_close] if socket.last_close else [])]
        return min(map(self.call, numbers), key=lambda call: call.entered_ns, default=None)

    def caller_of(self, packets: Iterable[Packet], role: Role, direction: Direction) -> Call | None:
        """The call of the sending side that these FIN or RST frames came of."""
        for packet in packets:
            for span in self.closers.get((role, packet.frame), ()):
                call = self.call(span.call)
                if span.direction == direction and call.side in (None, direction.sender):
                    return call
        return None

    def finished_ns(self, connection: int, side: Side) -> int | None:
        """When this side ended its stream, at the latest."""
        call = self.ender(connection, side)
        return ended_ns(call, self.departures_ns(call)) if call is not None else None

    def departures_ns(self, call: Call) -> list[int]:
        """When the FIN and RST frames left that a call caused."""
        return [
            self.packets[span.frame].time_ns for span in self.spans.get(call.call, ())
            if span.role in (Role.FIN, Role.RST) and span.frame is not None
        ]  # fmt: skip

    # --- frames

    def path(self, connection: int | None) -> Path | None:
        """A TCP connection; None where it has no frames, or is none."""
        if connection is None:
            return None
        if connection not in self._paths:
            track = self._all_tracks().get(connection)
            self._paths[connection] = Path(self, track) if track is not None else None
        return self._paths[connection]

    def arrived(self, path: Path, direction: Direction) -> list[Packet]:
        """The frames with bytes of a direction that came, in order of arrival."""
        key = path.connection, direction
        if key not in self._arrived:
            self._arrived[key] = came(row.packet for row in path.senders[direction].departed)
        return self._arrived[key]

    def _all_tracks(self) -> dict[int, Track]:
        if self._tracks is None:
            flows = flows_from_packets(self.tables.packets)
            self._tracks = {
                flow.connection: self._track(flow) for flow in flows if flow.protocol == "tcp"
            }
            self.admissions.mark(self._tracks.values())
        return self._tracks

    @cached_property
    def admissions(self) -> Admissions:
        """How connections came into the accept queues."""
        ends = self.ends.items()
        servers = {number: socket for (number, side), socket in ends if side is Side.SERVER}
        return Admissions(
            self._all_tracks().values(), servers, self.sockets.all, self.records,
            self.raw.description.hosts, self.tables.states,
        )  # fmt: skip

    @cached_property
    def local_queues(self) -> LocalQueues:
        """How full the queues of Unix listeners were."""
        made = {
            id(socket): self.ends[number, Side.SERVER]
            for (number, side), socket in self.ends.items()
            if side is Side.CLIENT and (number, Side.SERVER) in self.ends
        }
        return LocalQueues(self.sockets.all, made, self.records, self.raw.description.hosts)

    def datagrams(self, connection: int) -> list[Datagram]:
        """The datagrams of a UDP conversation."""
        if self._datagrams is None:
            self._datagrams = defaultdict(list)
            for one in datagrams_from_flows(flows_from_packets(self.tables.packets)):
                self._datagrams[one.flow.connection].append(one)
        return self._datagrams.get(connection, [])

    def datagrams_to(self, port: int) -> list[Packet]:
        """The datagrams to a port of whichever host, in the order in which they left."""
        if self._to_port is None:
            self._to_port = defaultdict(list)
            for packet in sorted(self.tables.packets, key=attrgetter("time_ns")):
                if packet.protocol == "UDP" and packet.dport is not None:
                    self._to_port[packet.dport].append(packet)
        return self._to_port.get(port, [])

    def clients_ns(self, port: int | None) -> list[int]:
        """When the SYNs to a port came, in order."""
        if self._served is None:
            self._served = defaultdict(list)
            for row in self.tables.connections:
                self._served[row.server_port].append(row.connection)
        if port not in self._clients_ns:
            paths = map(self.path, self._served.get(port, ()))
            halves = [path.track.halves[Direction.C2S] for path in paths if path is not None]
            syns = came(packet for half in halves for packet in half.syns)
            self._clients_ns[port] = [arrival_ns(packet) for packet in syns]
        return self._clients_ns[port]

    def _track(self, flow: Flow) -> Track:
        """The frames of a connection, with the verdicts that the tables have."""
        track = track_from_flow(flow)
        for row in track.rows:
            row.segment = self._segments.get(row.segment.frame, row.segment)
        return track

    def start_of(self, packet: Packet) -> int | None:
        """The first byte of the stream that a segment brings; None: it has none."""
        segment = self._segments.get(packet.frame)
        return segment.start if segment is not None else None

    def is_exact(self, track: Track) -> bool:
        """Whether a frame's departure and arrival are both known.

        A wire knows both; on a loopback, and wherever one machine is both ends, they are one.
        Elsewhere the capture stands at one end.
        """
        first = next((row.packet for row in track.rows), None)
        if first is None:
            return False
        if seen_at_both_ends(first):
            return True
        ends = [self.ends.get((track.flow.connection, side)) for side in Side]
        hosts = {socket.host for socket in ends if socket is not None}
        return None not in ends and len(hosts) == 1

    def states(self, connection: int | None, side: Side) -> list[State]:
        """The samples of one end, in order of time."""
        if self._states is None:
            self._states = defaultdict(list)
            for state in self.tables.states:
                self._states[state.connection, state.side].append(state)
        return self._states.get((connection, side), [])

    def state_at(
        self, connection: int, side: Side, time_ns: int, has: Callable[[State], object]
    ) -> State | None:
        """The latest sample by then that has what is asked for."""
        states = self.states(connection, side)
        place = bisect_right(states, time_ns, key=lambda state: state.time_ns)
        while place:
            place -= 1
            if has(states[place]) is not None:
                return states[place]
        return None
