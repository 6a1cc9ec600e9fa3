"""A wait that reports a TCP socket writable -> the frame that made it so, where one alone can have.

After a connect in progress that is the SYN-ACK. After a send that found too little room it is an
ACK that freed some; the kernel calls a socket writable when a third of its buffer is free
(sk_stream_is_writeable), which no frame tells: so there is an answer only if one ACK alone had come
between that send and the first wait that reported it. It stays writable, and the answer the same,
until the next send. A socket that was writable all along was made so by no frame.
Read first: Linux, tcp_poll and sk_stream_write_space.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping

from netlab.correlate.arrivals import arrival_ns, came
from netlab.correlate.sockets import Socket
from netlab.correlate.streams import Stream
from netlab.correlate.tcp_spans import TcpJoin
from netlab.model.call import CallRecord, is_outbound
from netlab.model.tables import Packet


class Writable:
    """Answers for the waits of one recording, which are to be asked for in order of entry."""

    def __init__(self, calls: list[CallRecord], packets: Mapping[int, Packet]) -> None:
        self._calls, self._packets = calls, packets
        self._sends: dict[int, list[int]] = {}
        self._ack_times: dict[int, list[int]] = {}
        self._answers: dict[tuple[int, int], Packet | None] = {}  # by socket and its last send

    def by(self, number: int, until: int, socket: Socket, join: TcpJoin) -> Packet | None:
        """The frame that made the socket writable, as the wait `number` reports it."""
        if socket.side is None:
            return None
        sends = self._sends.get(id(socket))
        if sends is None:
            sends = [n for n in socket.calls if is_outbound(self._calls[n - 1])]
            self._sends[id(socket)] = sends
        place = bisect_left(sends, number)
        if not place:
            return self._connected(number, socket, join)
        key = id(socket), sends[place - 1]
        if key not in self._answers:
            stream = join.streams[socket.side.outbound]
            self._answers[key] = self._freed(number, until, sends[place - 1], socket, stream)
        return self._answers[key]

    def _freed(
        self, number: int, until: int, send: int, socket: Socket, stream: Stream
    ) -> Packet | None:
        last, wait = self._calls[send - 1], self._calls[number - 1]
        short = last.errno == "EAGAIN" or (
            last.result is not None
            and last.requested_bytes is not None
            and last.result < last.requested_bytes
        )
        if not short or last.returned_ns is None or last.returned_ns > wait.entered_ns:
            return None
        if any(n < number for n in socket.room):  # an option had its say
            return None
        times = self._ack_times.get(id(stream))
        if times is None:
            times = [arrival_ns(self._packets[piece.frame]) for piece in stream.acked]
            self._ack_times[id(stream)] = times
        first, behind = bisect_left(times, last.entered_ns), bisect_right(times, until)
        return self._packets[stream.acked[first].frame] if behind - first == 1 else None

    def _connected(self, number: int, socket: Socket, join: TcpJoin) -> Packet | None:
        if not socket.connects or socket.side is None:
            return None
        connect = self._calls[socket.connects[0] - 1]
        synacks = came(join.track.halves[socket.side.inbound].syns)
        if connect.errno != "EINPROGRESS" or not synacks:
            return None
        return synacks[0] if socket.connects[0] < number else None
