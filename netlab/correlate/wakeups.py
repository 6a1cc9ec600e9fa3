"""select, poll and epoll_wait -> the frame that made each reported descriptor ready: span wakeup.

Readable: the frame whose arrival made the first unread byte readable; if there is none, the FIN; on
a listener the frame that completed the handshake of the connection accepted next. Hang-up and
error: the FIN or the RST. Writable: the SYN-ACK after a connect in progress, else the last ACK that
had freed space since the send that found too little; a descriptor that was writable all along was
made ready by no frame, and has no span. A Unix socket was made ready by a call (peer_call).
"Unread" counts the calls entered before the wait; where their order is not known there is no span.
Read first: man 2 poll, Linux tcp_poll.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping

from netlab.correlate.accept_queue import queued_by
from netlab.correlate.datagram_sends import DatagramJoin
from netlab.correlate.local_spans import LocalJoin
from netlab.correlate.sockets import Socket, Sockets
from netlab.correlate.streams import arrival_ns, fin_arrival
from netlab.correlate.tcp_spans import End, TcpJoin
from netlab.model.call import (
    MSG_OOB,
    OUTBOUND,
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLOUT,
    POLLRDHUP,
    CallRecord,
)
from netlab.model.tables import Packet, Role, Span


class Wakeups:
    """Finds the frames behind the waits of one recording."""

    def __init__(
        self,
        calls: list[CallRecord],
        tcp: Mapping[int, TcpJoin],
        datagrams: DatagramJoin,
        local: LocalJoin,
        packets: Mapping[int, Packet],
    ) -> None:
        self.calls, self.tcp, self.datagrams, self.local = calls, tcp, datagrams, local
        self.packets = packets
        self._cursors: dict[int, tuple[list[int], list[int]]] = {}
        self._sends: dict[int, list[int]] = {}
        self._ack_times: dict[int, list[int]] = {}

    def spans(self, sockets: Sockets) -> list[Span]:
        """The wakeup spans of every wait that reported something, each frame once a wait."""
        found: dict[Span, None] = {}
        for number, reported in sockets.reported.items():
            until = self.calls[number - 1].returned_ns
            if until is None:
                continue
            for item, socket in reported:
                for span in self._ready(number, until, socket, item.events):
                    found[span] = None
        return list(found)

    def _ready(self, number: int, until: int, socket: Socket, events: int) -> list[Span]:
        if socket.is_local:
            return self._local(number, until, socket, events)
        if socket.listens:
            return self._listener(number, until, socket, events)
        if not socket.is_stream:
            return self._datagram(number, until, socket, events)
        join = self.tcp.get(socket.connection) if socket.connection is not None else None
        if join is None or socket.side is None:
            return []
        return self._stream(number, until, socket, join, events)

    def _span(self, number: int, packet: Packet | None, until: int) -> list[Span]:
        if packet is None or arrival_ns(packet) > until:
            return []
        return [Span(number, packet.frame, None, packet.direction, None, None, Role.WAKEUP)]

    def _listener(self, number: int, until: int, socket: Socket, events: int) -> list[Span]:
        place = bisect_right(socket.accepts, number)
        if not events & POLLIN or place >= len(socket.accepts):
            return []
        made = socket.accepted[place]
        join = self.tcp.get(made.connection) if made.connection is not None else None
        if join is None:
            return []
        return self._span(number, queued_by(join.track, socket, self.calls), until)

    def _stream(
        self, number: int, until: int, socket: Socket, join: TcpJoin, events: int
    ) -> list[Span]:
        side = socket.side
        if side is None:
            return []
        spans: list[Span] = []
        resets = join.track.halves[side.inbound].resets
        reset = resets[0] if resets and arrival_ns(resets[0]) <= until else None
        fin = fin_arrival(join.streams[side.inbound])
        if events & POLLIN:
            found, packet = self._first_unread(number, until, join, join.ends[side])
            if packet is None and not found:
                packet = reset or fin
            spans += self._span(number, packet, until)
        if events & (POLLRDHUP | POLLHUP | POLLERR):
            hang_up = reset or (None if events & POLLERR else fin)
            spans += self._span(number, hang_up, until)
        if events & POLLOUT and not events & (POLLERR | POLLHUP):
            spans += self._span(number, self._writable(number, until, socket, join), until)
        return spans

    def _first_unread(
        self, number: int, until: int, join: TcpJoin, end: End
    ) -> tuple[bool, Packet | None]:
        """(there was an unread byte or it is not known, the frame that made it readable)."""
        side = end.socket.side
        if side is None or end.inbound.unplaced:
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
        if at in end.inbound.holes:
            at += 1
        stream = join.streams[side.inbound]
        for _, _, frame in stream.ready.overlaps(at, at + 1):
            if frame is None:
                return True, None
            packet = self.packets[frame]
            if arrival_ns(packet) <= until:
                return True, packet
        return False, None

    def _writable(self, number: int, until: int, socket: Socket, join: TcpJoin) -> Packet | None:
        sends = self._sends.get(id(socket))
        if sends is None:
            sends = [n for n in socket.calls if self.calls[n - 1].op in OUTBOUND]
            self._sends[id(socket)] = sends
        place = bisect_left(sends, number)
        side = socket.side
        if side is None:
            return None
        if not place:
            return self._connected(number, socket, join)
        last = self.calls[sends[place - 1] - 1]
        short = last.errno == "EAGAIN" or (
            last.result is not None
            and last.requested_bytes is not None
            and last.result < last.requested_bytes
        )
        if not short:
            return None
        stream = join.streams[side.outbound]
        times = self._ack_times.get(id(stream))
        if times is None:
            times = [arrival_ns(self.packets[piece.frame]) for piece in stream.acked]
            self._ack_times[id(stream)] = times
        at = bisect_right(times, until) - 1
        if at < 0 or times[at] < last.entered_ns:
            return None
        return self.packets[stream.acked[at].frame]

    def _connected(self, number: int, socket: Socket, join: TcpJoin) -> Packet | None:
        """The SYN-ACK, for the first wait that reports the end of a connect in progress."""
        if not socket.connects or socket.side is None:
            return None
        connect = self.calls[socket.connects[0] - 1]
        synacks = join.track.halves[socket.side.inbound].syns
        if connect.errno != "EINPROGRESS" or not synacks:
            return None
        return synacks[0] if socket.connects[0] < number else None

    def _datagram(self, number: int, until: int, socket: Socket, events: int) -> list[Span]:
        reads = self.datagrams.reads.get(id(socket), [])
        place = bisect_right(reads, number, key=lambda item: item[0])
        if not events & POLLIN or place >= len(reads):
            return []
        datagram = reads[place][1]  # None: what the next read took is not known
        if datagram is None:
            return []
        return self._span(number, self.packets[datagram.completed_by], until)

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
        if place >= len(reads) or self.calls[reads[place][1] - 1].entered_ns > until:
            return []
        return [Span(number, None, reads[place][1], None, None, None, Role.WAKEUP)]

    def _local_connect(self, number: int, until: int, made: Socket) -> list[Span]:
        for call, (connection, _) in self.local.of_call.items():
            record = self.calls[call - 1]
            mine = connection == made.connection and record.op == "connect"
            if mine and record.entered_ns <= until:
                return [Span(number, None, call, None, None, None, Role.WAKEUP)]
        return []
