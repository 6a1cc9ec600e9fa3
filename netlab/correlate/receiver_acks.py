"""Frames that a receiver sent because a recv made room: spans ack_sent and window.

Both belong to a recv that drained: its first byte had arrived before it was entered. One that
blocked first was handed its bytes as they came, and what left meanwhile is a timer's or an answer.

ack_sent: a pure ACK that left inside a recv, all of whose bytes had arrived before its entry (a
recv that then waited for more may be inside when the delayed-ACK timer fires), while no frame of
the peer arrived between the entry and the ACK. Had one arrived, the ACK may be the kernel's answer
to it and not the read's doing; then there is no span.

window: the frame that first announced the space a recv freed, that is the first after it which
moved the right edge of the window, if freed space is the only thing that can have moved it: an ACK
number that did not change, or a window that grew again after it had shrunk. A window that stays
says nothing of any recv: the edge moves with the ACK number alone. One larger than all before may
be receive buffer tuning (Linux: tcp_grow_window), which no recv caused; then there is no span.
Read first: Linux tcp_cleanup_rbuf and __tcp_select_window, RFC 9293 3.8.6.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from netlab.correlate.arrivals import arrival_ns, may_have_reached
from netlab.correlate.flows import ACK, FIN, RST, SYN
from netlab.correlate.segments import Row
from netlab.correlate.tcp_spans import TcpJoin
from netlab.model.call import MSG_WAITALL
from netlab.model.tables import Role, Side, Span


def link_receiver_acks(join: TcpJoin, returned_ns: Sequence[int | None]) -> list[Span]:
    """The ack_sent and window spans of both sides; `returned_ns`: by call, at the earliest."""
    spans: list[Span] = []
    for side, end in join.ends.items():
        reads = sorted(end.inbound.ranges)  # by entry
        if not reads:
            continue
        draining = _Draining(join, side)
        arrivals = sorted(
            arrival_ns(row.packet) for row in join.track.rows
            if row.direction is side.inbound and may_have_reached(row.packet)
        )  # fmt: skip
        sent = [
            row for row in join.track.rows
            if row.direction is side.outbound and not row.packet._made
        ]  # fmt: skip
        whole = [n for n in reads if draining.whole(n)]
        _acks_sent(spans, join, side, whole, sent, arrivals, returned_ns)
        _windows(spans, join, side, reads, sent, arrivals, draining)
    return spans


class _Draining:
    """Which recvs of one side found their bytes in the buffer when they were entered."""

    def __init__(self, join: TcpJoin, side: Side) -> None:
        self._calls, self._ready = join.calls, join.streams[side.inbound].ready
        self._ranges = join.ends[side].inbound.ranges
        self._arrived = {
            row.segment.frame: arrival_ns(row.packet)
            for row in join.track.rows
            if row.direction is side.inbound
        }

    def first(self, number: int) -> bool:
        """The recv's first byte had arrived before its entry."""
        start, stop = self._ranges[number]
        return self._had(start, min(start + 1, stop), self._calls[number - 1].entered_ns)

    def whole(self, number: int) -> bool:
        """All of its bytes had, and it did not wait for more."""
        record = self._calls[number - 1]
        wanted = record.requested_bytes
        short = wanted is None or (record.result or 0) < wanted
        if record.flags & MSG_WAITALL and short:
            return False
        return self._had(*self._ranges[number], record.entered_ns)

    def _had(self, start: int, stop: int, time_ns: int) -> bool:
        at = start
        for a, b, frame in self._ready.overlaps(start, stop):
            if a > at or frame is None or self._arrived[frame] >= time_ns:
                return False
            at = b
        return at == stop > start


def _undisturbed(arrivals: list[int], since_ns: int, until_ns: int) -> bool:
    """True when no frame of the peer arrived from `since_ns` up to `until_ns`."""
    return bisect_right(arrivals, until_ns) == bisect_left(arrivals, since_ns)


def _acks_sent(
    spans: list[Span],
    join: TcpJoin,
    side: Side,
    reads: list[int],
    sent: list[Row],
    arrivals: list[int],
    returned_ns: Sequence[int | None],
) -> None:
    times = [row.packet.time_ns for row in sent]
    for number in reads:
        record = join.calls[number - 1]
        returned = returned_ns[number - 1]
        if returned is None:
            continue
        first = bisect_left(times, record.entered_ns)
        last = bisect_right(times, returned)
        for row in sent[first:last]:
            if row.packet._flags & (SYN | FIN | RST | ACK) != ACK or row.segment.payload_len_bytes:
                continue
            if _undisturbed(arrivals, record.entered_ns, row.packet.time_ns):
                spans.append(
                    Span(number, row.segment.frame, None, side.outbound, None, None, Role.ACK_SENT)
                )


def _windows(
    spans: list[Span],
    join: TcpJoin,
    side: Side,
    reads: list[int],
    sent: list[Row],
    arrivals: list[int],
    draining: _Draining,
) -> None:
    edge = largest = latest = ack = -1
    waiting: list[int] = []  # recvs whose space was not announced yet
    at = 0
    for row in sent:
        segment = row.segment
        window = segment.seg_wnd_bytes
        if segment.ack is None or window is None or row.packet._flags & (SYN | RST):
            continue
        while at < len(reads) and join.calls[reads[at] - 1].entered_ns <= row.packet.time_ns:
            waiting.append(reads[at])
            at += 1
        reached = segment.ack + window
        if reached > edge >= 0 and waiting:
            freed = [n for n in waiting if _had_read(join, n, row, arrivals)]
            if segment.ack == ack or latest < window <= largest:
                for number in filter(draining.first, freed):
                    spans.append(
                        Span(
                            number, segment.frame, None, side.outbound, None, None, Role.WINDOW
                        )
                    )  # fmt: skip
            gone = set(freed)
            waiting = [n for n in waiting if n not in gone]
        edge = max(edge, reached)
        largest, latest = max(largest, window), window
        ack = segment.ack


def _had_read(join: TcpJoin, number: int, row: Row, arrivals: list[int]) -> bool:
    """Whether the recv had taken its bytes when the frame left."""
    record = join.calls[number - 1]
    if record.returned_ns is not None and record.returned_ns <= row.packet.time_ns:
        return True
    return _undisturbed(arrivals, record.entered_ns, row.packet.time_ns)
