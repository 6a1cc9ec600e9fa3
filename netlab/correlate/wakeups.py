"""select, poll and epoll_wait -> the frame that made each reported descriptor ready: span wakeup.

Readable: the frame whose arrival made the first unread byte readable, with SO_RCVLOWAT the first of
so many; if there is none, the FIN; on a listener the frame that put the connection accepted next
into the queue, or if nobody accepts any more, the first of those that stayed there. Of datagrams:
the one read next, or the first that nobody read. Exceptional: the frame that brought the urgent
byte. Hang-up and error: the FIN or the RST. Writable: see `writable`. With EPOLLET only what came
since the last report counts, see `epolls`. A Unix socket was made ready by a call (peer_call), the
one whose bytes were read next, or if nobody reads any more, the first whose bytes stayed there.
What its own side's shutdown made ready has no frame.
"Unread" counts the calls entered before the wait; where their order is not known and not one frame
alone may have done it, or several may have, or one that the ring lost, there is no span.
Read first: man 2 poll, man 7 epoll, Linux: tcp_poll, tcp_stream_is_readable, ep_poll_callback.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping

from netlab.correlate.admissions import Admissions
from netlab.correlate.arrivals import arrival_ns, came
from netlab.correlate.datagram_join import DatagramJoin
from netlab.correlate.datagrams import Datagram
from netlab.correlate.epolls import Epolls, Reported
from netlab.correlate.local_join import LocalJoin
from netlab.correlate.option_changes import option_between
from netlab.correlate.reasons import Reason
from netlab.correlate.sockets import Socket, Sockets
from netlab.correlate.streams import Stream, fin_ready
from netlab.correlate.tcp_spans import End, TcpJoin
from netlab.correlate.writable import Writable
from netlab.model.call import (
    MSG_OOB,
    MSG_PEEK,
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLOUT,
    POLLPRI,
    POLLRDHUP,
    WAITING,
    CallRecord,
    is_inbound,
)
from netlab.model.tables import Direction, Packet, Role, Side, Span, Unmatched

_LEFT = frozenset({Reason.CLOSED_UNREAD, Reason.STILL_QUEUED})


class Wakeups:
    """Finds the frames behind the waits of one recording."""

    def __init__(
        self,
        calls: list[CallRecord],
        tcp: Mapping[int, TcpJoin],
        datagrams: DatagramJoin,
        local: LocalJoin,
        packets: Mapping[int, Packet],
        epolls: Epolls,
        *,
        admissions: Admissions,
        ring_lost: bool = False,
    ) -> None:
        self.calls, self.tcp, self.datagrams, self.local = calls, tcp, datagrams, local
        self._admissions = admissions
        self.packets, self.epolls, self.ring_lost = packets, epolls, ring_lost
        self._writable = Writable(calls, packets)
        self._left_here: dict[tuple[int | None, str | None], Unmatched] | None = (
            None  # by direction
        )
        self._cursors: dict[int, tuple[list[int], list[int]]] = {}
        self._unread: dict[int, list[Datagram]] = {}  # by id of the socket
        self._edges: dict[int, tuple[list[int], list[Packet]] | None] = {}

    def spans(self, sockets: Sockets) -> list[Span]:
        """The wakeup spans of every wait that reported something, each frame once a wait."""
        found: dict[Span, None] = {}
        for number, record in enumerate(self.calls, 1):
            if record.op not in WAITING:
                self.epolls.change(record)
                continue
            until = record.returned_ns
            if until is None:
                continue
            for item, socket in sockets.reported.get(number, ()):
                before = self.epolls.reported(record, socket.inode)
                mine = self._ready(number, until, socket, item.events, before)
                for span in mine:
                    found[span] = None
                self.epolls.report(record, socket.inode, max(map(self._cause_ns, mine), default=0))
        return list(found)

    def _ready(
        self, number: int, until: int, socket: Socket, events: int, before: Reported | None
    ) -> list[Span]:
        if socket.is_local:
            spans = self._local(number, until, socket, events)
        elif socket.listens:
            spans = self._listener(number, until, socket, events)
        elif not socket.is_stream:
            spans = self._datagram(number, until, socket, events)
        else:
            join = self.tcp.get(socket.connection) if socket.connection is not None else None
            if join is None or socket.side is None:
                return []
            spans = self._stream(number, until, socket, join, events, before)
        if before is not None:  # what came earlier had been reported
            spans = [span for span in spans if self._cause_ns(span) > before.until_ns]
        return spans

    def _cause_ns(self, span: Span) -> int:
        if span.frame is not None:
            return arrival_ns(self.packets[span.frame])
        return self.calls[(span.peer_call or 1) - 1].entered_ns

    def _span(self, number: int, packet: Packet | None, until: int) -> list[Span]:
        if packet is None or arrival_ns(packet) > until:
            return []
        return [Span(number, packet.frame, None, packet.direction, None, None, Role.WAKEUP)]

    def _overlaps(self, number: int, earlier: int) -> bool:
        """Whether the call before the wait was still inside when the wait was entered."""
        returned = self.calls[earlier - 1].returned_ns
        return returned is None or returned > self.calls[number - 1].entered_ns

    def _listener(self, number: int, until: int, socket: Socket, events: int) -> list[Span]:
        place = bisect_right(socket.accepts, number)
        if not events & POLLIN:
            return []
        if place >= len(socket.accepts):
            known = all(made.connection is not None for made in socket.accepted)
            left = self._admissions.first_left(socket) if known and not self.ring_lost else None
            return self._span(number, left, until)
        if place and self._overlaps(number, socket.accepts[place - 1]):
            return []
        made = socket.accepted[place]
        join = self.tcp.get(made.connection) if made.connection is not None else None
        if join is None or self.ring_lost:
            return []
        admission = self._admissions.of.get(join.connection)
        if admission is None or admission.unsettled:
            return []
        return self._span(number, admission.packet, until)

    def _stream(
        self,
        number: int,
        until: int,
        socket: Socket,
        join: TcpJoin,
        events: int,
        before: Reported | None,
    ) -> list[Span]:
        side = socket.side
        if side is None:
            return []
        spans: list[Span] = []
        resets = came(join.track.halves[side.inbound].resets)
        reset = resets[0] if resets and arrival_ns(resets[0]) <= until else None
        fin = fin_ready(join.streams[side.inbound], self.packets)
        if fin is not None and self._shut_between(socket, 0, arrival_ns(fin)):
            fin = None  # its own side had ended what it reads
        if events & POLLIN:
            if before is not None:
                packet = self._edge(join, socket, side, until, before)
            else:
                found, packet = self._first_unread(number, until, join, join.ends[side])
                if packet is None and not found and not self.ring_lost:
                    packet = reset or fin
            spans += self._span(number, packet, until)
        if events & POLLPRI:
            spans += self._span(number, self._urgent(number, until, join, side), until)
        if events & (POLLRDHUP | POLLHUP | POLLERR):
            hang_up = reset
            if reset is None and not events & POLLERR:
                hang_up = fin if self._hung_up_by(fin, socket, join, events) else None
            spans += self._span(number, hang_up, until)
        if events & POLLOUT and not events & (POLLERR | POLLHUP) and not self.ring_lost:
            spans += self._span(number, self._writable.by(number, until, socket, join), until)
        return spans

    def _hung_up_by(self, fin: Packet | None, socket: Socket, join: TcpJoin, events: int) -> bool:
        """POLLRDHUP is the peer's FIN; POLLHUP is both directions' end: the FIN if it came last."""
        if fin is None or events & POLLRDHUP or socket.side is None:
            return fin is not None
        own = [self.calls[n - 1].returned_ns for n in socket.shutdowns[:1]]
        own += [packet.time_ns for packet in join.track.halves[socket.side.outbound].fins[:1]]
        return any(at is not None and at < arrival_ns(fin) for at in own)

    def _shut_between(self, socket: Socket, since_ns: int, until_ns: int) -> bool:
        """Whether its own side may have shut a socket for reading in this time."""
        shut = (self.calls[number - 1] for number in socket.reading_shutdowns)
        return any(
            one.entered_ns < until_ns and (one.returned_ns is None or one.returned_ns > since_ns)
            for one in shut
        )

    def _first_unread(
        self, number: int, until: int, join: TcpJoin, end: End
    ) -> tuple[bool, Packet | None]:
        """(there was an unread byte or it is not known, the frame that made it readable)."""
        side = end.socket.side
        if side is None or end.inbound.unplaced or end.inbound.known_until_ns <= until:
            return True, None
        cursors = self._cursors.get(id(end))
        if cursors is None:
            reads = sorted(
                (n, stop) for n, (_, stop) in end.inbound.ranges.items()
                if not self.calls[n - 1].flags & MSG_OOB
            )  # fmt: skip
            cursors = self._cursors[id(end)] = [n for n, _ in reads], [s for _, s in reads]
        place = bisect_left(cursors[0], number)
        at = cursors[1][place - 1] if place else 0
        if place and self._overlaps(number, cursors[0][place - 1]):
            before = cursors[1][place - 2] if place > 1 else 0
            if place > 1 and self._overlaps(number, cursors[0][place - 2]):
                return True, None
            return True, self._only_one(number, until, join, end, (before, at))
        return self._made_readable(until, join, end, at)

    def _only_one(
        self, number: int, until: int, join: TcpJoin, end: End, cursors: tuple[int, int]
    ) -> Packet | None:
        """The frame that woke a wait beside a read that was under way, if one alone can have.

        `cursors`: where that read began and ended. What it took came in the time of the wait, and
        nothing behind it by its end.
        """
        side = end.socket.side
        before, (behind, _) = (self._made_readable(until, join, end, at) for at in cursors)
        if side is None or behind or before[1] is None:
            return None
        ends = came(join.track.halves[side.inbound].resets)[:1]
        fin = fin_ready(join.streams[side.inbound], self.packets)
        ends += [fin] if fin is not None else []
        if any(arrival_ns(packet) <= until for packet in ends):
            return None
        inside = arrival_ns(before[1]) > self.calls[number - 1].entered_ns
        return before[1] if inside else None

    def _made_readable(
        self, until: int, join: TcpJoin, end: End, at: int
    ) -> tuple[bool, Packet | None]:
        """The same, where the first unread byte is this one."""
        side = end.socket.side
        if side is None:
            return True, None
        if at in end.inbound.holes:
            at += 1
        lowat = option_between(end.socket.lowat, self.calls, until, until, 1)
        if lowat is None:
            return True, None
        at += lowat - 1
        for _, _, frame in join.streams[side.inbound].ready.overlaps(at, at + 1):
            if frame is None:
                return True, None
            packet = self.packets[frame]
            came_ns = arrival_ns(packet)
            if came_ns <= until:
                # A change of SO_RCVLOWAT after the frame may be what made it readable.
                known = option_between(end.socket.lowat, self.calls, came_ns, until, 1)
                return True, packet if known is not None else None
        return False, None

    def _edge(
        self, join: TcpJoin, socket: Socket, side: Side, until: int, before: Reported
    ) -> Packet | None:
        """The first frame since the last report that can have woken an edge-triggered wait."""
        stream = join.streams[side.inbound]
        if id(stream) not in self._edges:
            self._edges[id(stream)] = self._wakers(join, stream)
        wakers = self._edges[id(stream)]
        if wakers is None or self.ring_lost:
            return None
        times, packets = wakers
        first = bisect_right(times, before.until_ns)
        # What came while that report was made may be in it or in this one.
        if bisect_right(times, before.since_ns) != first or first == len(times):
            return None
        if self._shut_between(socket, before.since_ns, times[first]):
            return None  # which wakes as well
        return packets[first]

    def _wakers(self, join: TcpJoin, stream: Stream) -> tuple[list[int], list[Packet]] | None:
        """What woke a reader of this stream, in order; None: some of it is not known."""
        frames = {frame for _, _, frame in stream.ready}
        packets = [self.packets[frame] for frame in frames if frame is not None]
        if len(packets) < len(frames):
            return None
        fin = fin_ready(stream, self.packets)
        packets += [fin] if fin is not None and fin.frame not in frames else []
        packets += came(join.track.halves[stream.direction].resets)[:1]
        packets.sort(key=arrival_ns)
        return [arrival_ns(packet) for packet in packets], packets

    def _urgent(self, number: int, until: int, join: TcpJoin, side: Side) -> Packet | None:
        """The frame with the urgent byte, if one alone can have been pending during the wait."""
        entered = self.calls[number - 1].entered_ns
        marks = [mark for mark in join.urgent.get(side.inbound, ()) if mark.time_ns <= until]
        if not marks:  # nothing urgent was captured
            return None
        pending = [
            mark for mark, later in zip(marks, [*marks[1:], None], strict=True)
            if later is None or later.time_ns >= entered
        ]  # fmt: skip
        if len(pending) != 1:
            return None
        at = pending[0].offset
        owners = join.streams[side.inbound].accepted.overlaps(at, at + 1)
        return self.packets[owners[0][2]] if owners else None

    def _datagram(self, number: int, until: int, socket: Socket, events: int) -> list[Span]:
        reads = self.datagrams.reads.get(id(socket), [])
        place = bisect_right(reads, number, key=lambda item: item[0])
        if not events & POLLIN:
            return []
        # None: what the next read took is not known
        datagram = reads[place][1] if place < len(reads) else self._left(until, socket)
        if datagram is None:
            return []
        return self._span(number, self.packets[datagram.completed_by], until)

    def _left(self, until: int, socket: Socket) -> Datagram | None:
        """The first datagram that came to a socket of those that nobody read, if it is known."""
        if id(socket) not in self._unread:
            self._unread[id(socket)] = self._never_read(socket)
        left = self._unread[id(socket)]
        if not left or left[0].arrived_ns > until:
            return None
        alone = len(left) == 1 or left[1].arrived_ns > until
        return left[0] if alone or (id(socket), True) in left[0].takers else None

    def _never_read(self, socket: Socket) -> list[Datagram]:
        """In order of arrival; none where a read may have taken one, or one has no frame."""
        local, reads = socket.local_endpoint, self.datagrams.reads.get(id(socket), [])
        if local is None or self.ring_lost or any(taken is None for _, taken in reads):
            return []
        if self.datagrams.lost is not None or self.datagrams.unseen_to(("*", local[1])):
            return []
        came_to = self.datagrams.came.get(id(socket), ())
        return sorted((d for d in came_to if not d.read_by), key=lambda d: d.arrived_ns)

    def _local(self, number: int, until: int, socket: Socket, events: int) -> list[Span]:
        if not events & POLLIN:
            return []
        if socket.listens:
            place = bisect_right(socket.accepts, number)
            if place >= len(socket.accepts):
                return []
            return self._local_connect(number, until, socket.accepted[place])
        reads = self.local.reads.get(id(socket), [])
        place = bisect_right(reads, number, key=lambda item: item[0])
        if place >= len(reads):
            return self._local_left(number, until, socket)
        if self.calls[reads[place][1] - 1].entered_ns > until:
            return []
        if reads[place][0] != self._next_read(number, socket):  # of that one it is not known
            return []
        return [Span(number, None, reads[place][1], None, None, None, Role.WAKEUP)]

    def _local_left(self, number: int, until: int, socket: Socket) -> list[Span]:
        """Of a stream: the call whose bytes were the next to be read, and were closed unread."""
        if self._next_read(number, socket) is not None:
            return []
        last = self._last_read(number, socket)
        if last is not None and self._overlaps(number, last):
            return []
        if self._left_here is None:
            self._left_here = {}
            for row in self.local.unmatched:  # of each direction in order of bytes
                if row.reason in _LEFT:
                    self._left_here.setdefault((row.connection, row.direction), row)
        way = socket.side.inbound if socket.side is not None else Direction.C2S  # a pipe's only one
        left = self._left_here.get((socket.connection, way)) if socket.is_stream else None
        if left is None or left.call is None or self.calls[left.call - 1].entered_ns > until:
            return []
        return [Span(number, None, left.call, None, None, None, Role.WAKEUP)]

    def _next_read(self, number: int, socket: Socket) -> int | None:
        for place in range(bisect_right(socket.calls, number), len(socket.calls)):
            call = socket.calls[place]
            record = self.calls[call - 1]
            taken = record.errno is None and record.result is not None
            if is_inbound(record) and taken and not record.flags & (MSG_PEEK | MSG_OOB):
                return call
        return None

    def _last_read(self, number: int, socket: Socket) -> int | None:
        """The last call before a wait that was to read, whether or not it took anything."""
        for place in range(bisect_left(socket.calls, number) - 1, -1, -1):
            if is_inbound(self.calls[socket.calls[place] - 1]):
                return socket.calls[place]
        return None

    def _local_connect(self, number: int, until: int, made: Socket) -> list[Span]:
        for call, (connection, _) in self.local.of_call.items():
            record = self.calls[call - 1]
            mine = connection == made.connection and record.op == "connect"
            if mine and record.entered_ns <= until:
                return [Span(number, None, call, None, None, None, Role.WAKEUP)]
        return []
