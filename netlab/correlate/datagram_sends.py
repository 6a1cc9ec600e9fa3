"""The calls that sent datagrams <-> the datagrams: spans, ranges, and sends without a frame.

Sends and frames are matched per socket and destination: a frame belongs to the send it left inside
of, else to the first earlier send of its length still without a frame. Sends of several threads
that overlap and do not differ are ambiguous. Sends with MSG_MORE leave together with the next one
without (man 7 udp).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from netlab.correlate.addresses import Endpoint, is_wildcard, maybe_endpoint
from netlab.correlate.datagram_queue import Arrival
from netlab.correlate.datagrams import Datagram
from netlab.correlate.reasons import Reason, What
from netlab.correlate.sockets import Socket
from netlab.model.call import MSG_MORE, OUTBOUND, CallRecord
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
    ring_lost: bool = False  # the capture missed frames
    spans: list[Span] = field(default_factory=list)
    placed: dict[int, Placed] = field(default_factory=dict)
    unmatched: list[Unmatched] = field(default_factory=list)
    # Every read in order with what it took, None where that is not known; by id of socket.
    reads: dict[int, list[tuple[int, Datagram | None]]] = field(default_factory=dict)
    spoke: list[tuple[Socket, Endpoint]] = field(default_factory=list)
    # By destination: what was sent but not captured, and may have been received all the same.
    unseen: dict[Endpoint, list[Arrival]] = field(default_factory=dict)

    def missing(self, seen: bool) -> Reason:
        """Why a frame is not there; `seen`: others of its kind are."""
        if self.ring_lost:
            return Reason.RING_DROP
        return Reason.GAP if seen else Reason.NO_PACKET_WITNESS

    def unseen_to(self, local: Endpoint) -> dict[Endpoint, list[Arrival]]:
        """The sends without a frame to this address, by destination."""
        if not is_wildcard(local):
            return {local: self.unseen[local]} if local in self.unseen else {}
        return {to: found for to, found in self.unseen.items() if to[1] == local[1]}


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


def match_sends(join: DatagramJoin, index: DatagramIndex, socket: Socket) -> None:
    """Match the sends of one socket."""
    for (local, remote), sends in _sends(join, socket).items():
        join.spoke.append((socket, local))
        candidates = [d for d in index.sent(local, remote) if not d.sent_by]
        _pair(sends, candidates)
        for send in sends:
            if not send.matched:
                _unsent(join, send, bool(candidates))
                if not any(d.sent_ambiguous for d in candidates):
                    join.unseen.setdefault(remote, []).append(_unseen(send, local))
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
            reason = join.missing(seen)
            join.unmatched.append(
                Unmatched(
                    None, None, None, None, record.result, What.SENT_NOT_CAPTURED, reason, number
                )
            )  # fmt: skip


def _unseen(send: _Send, local: Endpoint) -> Arrival:
    queued = send.entered_ns if send.returned_ns is None else send.returned_ns
    return Arrival(send.entered_ns, queued, local, send.length, captured=False)


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
