"""Datagrams <-> the calls that sent and read them: spans, ranges, and what has no partner.

Sends and frames are matched per socket and destination: a frame belongs to the send it left inside
of, else to the first earlier send of its length still without a frame. Reads and datagrams are
matched per socket in order of arrival, the first that fits by source, length and time; one that was
passed over was dropped by the full receive buffer. Equal datagrams match in order, since nothing
tells them apart. Calls of several threads that overlap and do not differ are ambiguous.
Sends with MSG_MORE leave together with the next one without (man 7 udp).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from netlab.correlate.addresses import Endpoint, is_multicast, is_wildcard, maybe_endpoint
from netlab.correlate.datagrams import Datagram
from netlab.correlate.reasons import Reason, What
from netlab.correlate.sockets import Socket
from netlab.model.call import (
    INBOUND,
    MSG_ERRQUEUE,
    MSG_MORE,
    MSG_PEEK,
    MSG_TRUNC,
    OUTBOUND,
    CallRecord,
)
from netlab.model.tables import Direction, Role, Side, Span, Unmatched


@dataclass(slots=True)
class Placed:
    """Where a datagram call belongs. A read's range is the whole datagram."""

    connection: int
    side: Side
    direction: Direction
    start: int | None
    stop: int | None


@dataclass(slots=True)
class DatagramJoin:
    """The outcome: everything `join` adds to the tables for UDP."""

    calls: list[CallRecord]
    spans: list[Span] = field(default_factory=list)
    placed: dict[int, Placed] = field(default_factory=dict)
    unmatched: list[Unmatched] = field(default_factory=list)
    reads: dict[int, list[tuple[int, Datagram]]] = field(default_factory=dict)  # by id of socket
    heard: list[tuple[Socket, Endpoint]] = field(default_factory=list)  # sockets that read
    spoke: list[tuple[Socket, Endpoint]] = field(default_factory=list)


@dataclass(slots=True)
class _Send:
    """One datagram as the calls made it."""

    numbers: list[int]
    length: int
    entered_ns: int
    returned_ns: int | None
    thread: tuple[int, int]
    matched: bool = False


class DatagramIndex:
    """Datagrams by their ends, with and without the local address (wildcard-bound sockets)."""

    def __init__(self, datagrams: Sequence[Datagram]) -> None:
        self._from: dict[tuple[Endpoint, Endpoint], list[Datagram]] = {}
        self._from_port: dict[tuple[int, Endpoint], list[Datagram]] = {}
        self._to: dict[Endpoint, list[Datagram]] = {}
        self._to_port: dict[int, list[Datagram]] = {}
        for d in datagrams:
            self._from.setdefault((d.src, d.dst), []).append(d)
            self._from_port.setdefault((d.src[1], d.dst), []).append(d)
            self._to.setdefault(d.dst, []).append(d)
            self._to_port.setdefault(d.dst[1], []).append(d)
        for lists in (self._to, self._to_port):
            for found in lists.values():
                found.sort(key=lambda d: d.arrived_ns)

    def sent(self, local: Endpoint, remote: Endpoint) -> list[Datagram]:
        if is_wildcard(local):
            return self._from_port.get((local[1], remote), [])
        return self._from.get((local, remote), [])

    def received(self, local: Endpoint) -> list[Datagram]:
        if is_wildcard(local):
            return self._to_port.get(local[1], [])
        return self._to.get(local, [])


def join_datagrams(
    sockets: Sequence[Socket], datagrams: Sequence[Datagram], calls: list[CallRecord]
) -> DatagramJoin:
    """Match every datagram call of `sockets` (Internet, SOCK_DGRAM)."""
    join = DatagramJoin(calls)
    index = DatagramIndex(datagrams)
    # A connected socket takes its peer's datagrams before a wildcard one on the port sees any.
    for socket in sorted(sockets, key=lambda s: (s.peer is None, _wild(s))):
        _match_sends(join, index, socket)
        _match_reads(join, index, socket)
    return join


def _wild(socket: Socket) -> bool:
    local = socket.local_endpoint
    return local is None or is_wildcard(local)


# --- sending


def _match_sends(join: DatagramJoin, index: DatagramIndex, socket: Socket) -> None:
    for (local, remote), sends in _sends(join, socket).items():
        join.spoke.append((socket, local))
        candidates = [d for d in index.sent(local, remote) if not d.sent_by]
        _pair(sends, candidates)
        for send in sends:
            if not send.matched:
                _unsent(join, send, bool(candidates))
        for d in candidates:
            if d.sent_by:
                _sent(join, d)
            elif d.sent_ambiguous:
                d.sent_by = []


def _sends(join: DatagramJoin, socket: Socket) -> dict[tuple[Endpoint, Endpoint], list[_Send]]:
    """This socket's datagrams by (local, remote), in order."""
    found: dict[tuple[Endpoint, Endpoint], list[_Send]] = {}
    corked: list[int] = []
    for number in socket.calls:
        record = join.calls[number - 1]
        if record.op not in OUTBOUND or record.errno is not None or record.result is None:
            continue
        corked.append(number)
        if record.flags & MSG_MORE:
            continue
        numbers, corked = corked, []
        local = maybe_endpoint(record.local) or socket.local_endpoint
        if local is None or local[1] == 0:
            local = socket.local_endpoint
        remote = maybe_endpoint(join.calls[numbers[0] - 1].address) or (
            maybe_endpoint(record.address) or maybe_endpoint(record.peer) or socket.peer_endpoint
        )
        length = sum(join.calls[n - 1].result or 0 for n in numbers)
        send = _Send(
            numbers, length, record.entered_ns, record.returned_ns, (record.pid, record.tid)
        )
        if local is None or remote is None:
            _unsent(join, send, False)
            continue
        found.setdefault((local, remote), []).append(send)
    return found


def _pair(sends: list[_Send], datagrams: list[Datagram]) -> None:
    entered = [send.entered_ns for send in sends]
    by_length: dict[int, deque[int]] = {}
    for place, send in enumerate(sends):
        by_length.setdefault(send.length, deque()).append(place)
    for d in datagrams:
        latest = bisect_right(entered, d.time_ns)
        around = [
            place
            for place in range(max(0, latest - 16), latest)
            if not sends[place].matched
            and sends[place].length == d.length
            and (sends[place].returned_ns or d.time_ns) >= d.time_ns
        ]
        if len({sends[place].thread for place in around}) > 1:
            d.sent_ambiguous = True
            continue  # two threads were sending just this: whose it is, is not known
        chosen = around[0] if around else None
        if chosen is None:  # it left after its send returned: a queue held it
            queue = by_length.get(d.length)
            while queue and sends[queue[0]].matched:
                queue.popleft()
            if queue and queue[0] < latest:
                chosen = queue[0]
        if chosen is not None:
            sends[chosen].matched = True
            d.sent_by = sends[chosen].numbers


def _unsent(join: DatagramJoin, send: _Send, seen: bool) -> None:
    for number in send.numbers:
        record = join.calls[number - 1]
        if record.result:
            reason = Reason.GAP if seen else Reason.NO_PACKET_WITNESS
            join.unmatched.append(
                Unmatched(
                    None, None, None, None, record.result, What.SENT_NOT_CAPTURED, reason, number
                )
            )  # fmt: skip


def _sent(join: DatagramJoin, d: Datagram) -> None:
    at = d.start
    for number in d.sent_by:
        stop = at + (join.calls[number - 1].result or 0)
        join.placed[number] = Placed(
            d.flow.connection, d.direction.sender, d.direction, at, stop
        )  # fmt: skip
        for piece in d.pieces:
            a, b = max(at, piece.start), min(stop, piece.stop)
            if a < b or d.length == 0:
                join.spans.append(
                    Span(number, piece.frame, None, d.direction, a, b, Role.CARRIED)
                )  # fmt: skip
        at = stop


# --- reading


def _match_reads(join: DatagramJoin, index: DatagramIndex, socket: Socket) -> None:
    numbers = [n for n in socket.calls if _is_read(join.calls[n - 1])]
    local = socket.local_endpoint
    if local is None or local[1] == 0:
        for number in numbers:
            _unread(join, number, Reason.NO_PACKET_WITNESS)
        return
    join.heard.append((socket, local))
    candidates = index.received(local)
    since = _listening_since(socket, join.calls)
    reads = join.reads.setdefault(id(socket), [])
    at = 0
    for number in numbers:
        record = join.calls[number - 1]
        found = _first_fit(candidates, at, record, socket, since)
        if found is None:
            _unread(join, number, Reason.GAP if candidates else Reason.NO_PACKET_WITNESS)
            continue
        at = found + 1
        d = candidates[found]
        d.read_by.append(number)
        if _rivals(join.calls, numbers, number):
            d.read_ambiguous = True
            _unread(join, number, Reason.SHARED)
            continue
        reads.append((number, d))
        _read(join, d, number, record)


def _is_read(record: CallRecord) -> bool:
    return (
        record.op in INBOUND
        and record.errno is None
        and record.result is not None
        and not record.flags & (MSG_PEEK | MSG_ERRQUEUE)
    )


def _listening_since(socket: Socket, calls: list[CallRecord]) -> int:
    """When datagrams could first be queued: at bind, or at the first send or connect."""
    if not socket.made:
        return 0
    first = socket.binds or socket.connects or [
        n for n in socket.calls if calls[n - 1].op in OUTBOUND
    ]  # fmt: skip
    return calls[first[0] - 1].entered_ns if first else 0


def _first_fit(
    candidates: list[Datagram], at: int, record: CallRecord, socket: Socket, since: int
) -> int | None:
    source = maybe_endpoint(record.address)
    if source is None and socket.connects:
        source = maybe_endpoint(record.peer) or socket.peer_endpoint
    result = record.result or 0
    for place in range(at, len(candidates)):
        d = candidates[place]
        if record.returned_ns is not None and d.arrived_ns > record.returned_ns:
            return None
        if not d.whole or d.lost or d.arrived_ns < since:
            continue
        if d.read_by and not is_multicast(d.dst[0]):
            continue
        if source is not None and d.src != source:
            continue
        if d.length == result or (d.length > result and _may_be_cut(record)):
            return place
    return None


def _may_be_cut(record: CallRecord) -> bool:
    if record.flags & MSG_TRUNC and record.result != record.requested_bytes:
        return False  # MSG_TRUNC given: the result is the datagram's real length
    return record.requested_bytes is None or record.requested_bytes == record.result


def _rivals(calls: list[CallRecord], numbers: list[int], number: int) -> bool:
    """Whether another thread's read overlapped this one and cannot be told from it."""
    record = calls[number - 1]
    place = bisect_right(numbers, number)
    for other in (*numbers[max(0, place - 9) : place - 1], *numbers[place : place + 8]):
        rival = calls[other - 1]
        if (rival.pid, rival.tid) == (record.pid, record.tid):
            continue
        overlap = rival.entered_ns < (record.returned_ns or rival.entered_ns + 1) and (
            record.entered_ns < (rival.returned_ns or record.entered_ns + 1)
        )
        if overlap and (rival.result, rival.address) == (record.result, record.address):
            return True
    return False


def _unread(join: DatagramJoin, number: int, reason: Reason) -> None:
    result = join.calls[number - 1].result
    if result:
        join.unmatched.append(
            Unmatched(None, None, None, None, result, What.READ_NOT_CAPTURED, reason, number)
        )


def _read(join: DatagramJoin, d: Datagram, number: int, record: CallRecord) -> None:
    join.placed[number] = Placed(
        d.flow.connection, d.direction.receiver, d.direction, d.start, d.stop
    )  # fmt: skip
    for piece in d.pieces:
        join.spans.append(
            Span(number, piece.frame, None, d.direction, piece.start, piece.stop, Role.DELIVERED)
        )
    if len(d.pieces) > 1:
        last = d.completed_by
        for piece in d.pieces:
            if piece.frame != last:
                join.spans.append(
                    Span(number, last, None, d.direction, piece.start, piece.stop, Role.RELEASED)
                )
    kept = record.result or 0
    if record.flags & MSG_TRUNC and record.requested_bytes is not None:
        kept = min(kept, record.requested_bytes)
    if kept < d.length:
        join.unmatched.append(
            Unmatched(
                d.flow.connection,
                d.direction,
                d.start + kept,
                d.stop,
                d.length - kept,
                What.TRUNCATED,
                Reason.TRUNCATED,
                number,
            )
        )


# --- what is left


def leftover_datagrams(join: DatagramJoin, datagrams: Sequence[Datagram]) -> list[Unmatched]:
    """Ledger rows of the datagrams that no call sent, or none read."""
    rows: list[Unmatched] = []
    last_read: dict[int, int] = {}
    listeners: dict[Endpoint, list[int]] = {}
    by_port: dict[int, list[int]] = {}
    for socket, local in join.heard:
        reads = join.reads.get(id(socket), [])
        last = max((d.packets[0].frame for _, d in reads), default=0)
        last_read[id(socket)] = last
        listeners.setdefault(local, []).append(id(socket))
        if is_wildcard(local):
            by_port.setdefault(local[1], []).append(id(socket))
    for d in datagrams:
        if not d.length:
            continue
        if not d.sent_by:
            reason = Reason.SHARED if d.sent_ambiguous else Reason.NO_CALL_WITNESS
            rows.append(_row(d, What.CARRIED_NOT_SENT, reason))
        if not d.read_by or d.read_ambiguous:
            here = listeners.get(d.dst, []) or by_port.get(d.dst[1], [])
            rows.append(_row(d, What.CARRIED_NOT_READ, _why_unread(d, here, last_read)))
    return rows


def _why_unread(d: Datagram, here: list[int], last_read: dict[int, int]) -> Reason:
    if d.read_ambiguous:
        return Reason.SHARED
    if not d.whole:
        return Reason.INCOMPLETE
    if _refused(d):
        return Reason.REFUSED
    if not here:
        return Reason.NO_CALL_WITNESS
    if any(last_read[socket] > d.packets[0].frame for socket in here):
        return Reason.DATAGRAM_DROPPED
    return Reason.STILL_QUEUED_DATAGRAM


def _refused(d: Datagram) -> bool:
    return any(
        error._quoted is not None
        and error._quoted.ip_id == d.packets[0].ip_id
        and d.flow.direction(forward) is d.direction
        and bool(d.packets[0].ip_id)
        for error, forward in d.flow.errors
    )


def _row(d: Datagram, what: What, reason: Reason) -> Unmatched:
    return Unmatched(d.flow.connection, d.direction, d.start, d.stop, d.length, what, reason, None)
