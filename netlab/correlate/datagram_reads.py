"""Datagrams -> the calls that read them: which queue each reached, spans, ranges.

A datagram goes to the socket that fits best: connected to its source before unconnected, bound to
its address before bound to all (Linux udp compute_score). Where several fit alike (SO_REUSEPORT,
SO_REUSEADDR) only its source can tell, by being read at one of them alone. What each read of a
queue took is decided in `datagram_queue`. Read first: man 7 udp, man 7 socket.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from netlab.correlate.addresses import Endpoint, is_multicast, is_wildcard, maybe_endpoint
from netlab.correlate.datagram_queue import Arrival, Pairing, Read, pair_reads
from netlab.correlate.datagram_sends import DatagramIndex, DatagramJoin, Placed
from netlab.correlate.datagrams import Datagram
from netlab.correlate.reasons import Reason, What
from netlab.correlate.sockets import Socket
from netlab.model.call import INBOUND, MSG_ERRQUEUE, MSG_PEEK, MSG_TRUNC, OUTBOUND, CallRecord
from netlab.model.tables import Role, Span, Unmatched

# From the stamp of a frame to its place in the queue: the rest of one run of the network stack,
# microseconds as a rule. The same for a sample of SIOCINQ, which is taken before the call's entry.
_SETTLE_NS = 20_000_000
_FOREVER = 1 << 63


@dataclass(slots=True, eq=False)
class _Queue:
    """One socket's receive queue, and when it took what."""

    socket: Socket
    local: Endpoint
    reads: list[Read]
    since_ns: int  # not before this,
    bound_ns: int | None  # and surely from here on; None: it was there before its calls were seen
    until_ns: int
    peer: Endpoint | None
    peer_since_ns: int
    sources: set[Endpoint | None] = field(default_factory=set)  # of its reads; None: not known

    def may_take(self, d: Datagram, at_ns: int) -> bool:
        if not self.since_ns <= at_ns <= self.until_ns:
            return False
        if not is_wildcard(self.local) and self.local != d.dst:
            return False
        return self.peer is None or at_ns < self.peer_since_ns or d.src == self.peer

    def score(self, at_ns: int) -> int:
        connected = self.peer is not None and at_ns >= self.peer_since_ns
        return 2 * connected + (not is_wildcard(self.local))

    def is_sure(self, at_ns: int) -> bool:
        return self.bound_ns is not None and self.bound_ns <= at_ns


def match_reads(join: DatagramJoin, index: DatagramIndex, sockets: Sequence[Socket]) -> None:
    """Match every read of `sockets`; the sends are matched already."""
    before = _returns_before(join.calls)
    queues = []
    for socket in sockets:
        numbers = [n for n in socket.calls if _is_read(join.calls[n - 1])]
        local = socket.local_endpoint
        if local is None or local[1] == 0:
            for number in numbers:
                _unread(join, number, Reason.NO_PACKET_WITNESS)
            continue
        join.heard.append((socket, local))
        queues.append(_queue(socket, local, numbers, join.calls, before))
    at_port: dict[tuple[str, int], list[_Queue]] = {}
    for queue in queues:
        at_port.setdefault((queue.socket.host, queue.local[1]), []).append(queue)
    # A connected socket takes its peer's datagrams before a wildcard one on the port sees any.
    for queue in sorted(queues, key=lambda q: (q.peer is None, is_wildcard(q.local))):
        others = [q for q in at_port[queue.socket.host, queue.local[1]] if q is not queue]
        _match(join, index, queue, others)


def _is_read(record: CallRecord) -> bool:
    return (
        record.op in INBOUND
        and record.errno is None
        and record.result is not None
        and not record.flags & (MSG_PEEK | MSG_ERRQUEUE)
    )


def _returns_before(calls: list[CallRecord]) -> list[int]:
    """By call: when the same thread's call before it had returned."""
    last: dict[tuple[str, int, int], int] = {}
    found = []
    for record in calls:
        thread = (record.host, record.pid, record.tid)
        found.append(last.get(thread, -1))
        if record.returned_ns is not None:
            last[thread] = record.returned_ns
    return found


def _queue(
    socket: Socket,
    local: Endpoint,
    numbers: list[int],
    calls: list[CallRecord],
    before: list[int],
) -> _Queue:
    since, bound = 0, None
    if socket.made:  # datagrams are queued from bind on, or from the first connect or send
        first = socket.binds or socket.connects or [
            n for n in socket.calls if calls[n - 1].op in OUTBOUND
        ]  # fmt: skip
        if first:
            since, bound = calls[first[0] - 1].entered_ns, calls[first[0] - 1].returned_ns
    until = _FOREVER
    if socket.last_close is not None:
        until = calls[socket.last_close - 1].returned_ns or _FOREVER
    peer, peer_since = None, _FOREVER
    if len(socket.connects) == 1:
        peer = socket.peer_endpoint
        peer_since = calls[socket.connects[0] - 1].returned_ns or _FOREVER
    queue = _Queue(socket, local, [], since, bound, until, peer, peer_since)
    other_threads = -1  # when the last read of a thread other than the latest one had returned
    latest: CallRecord | None = None
    for number in numbers:
        record = calls[number - 1]
        if latest is not None and (latest.pid, latest.tid) != (record.pid, record.tid):
            other_threads = latest.returned_ns or _FOREVER
        latest = record
        # A sample older than another thread's read says nothing about this one.
        fresh = other_threads <= before[number - 1]
        queue.reads.append(_read_of(number, record, socket, before[number - 1], fresh))
    queue.sources = {read.source for read in queue.reads}
    return queue


def _read_of(number: int, record: CallRecord, socket: Socket, before_ns: int, fresh: bool) -> Read:
    source = maybe_endpoint(record.address)
    if source is None and socket.connects:
        source = maybe_endpoint(record.peer) or socket.peer_endpoint
    result = record.result or 0
    head = record.inq_before_bytes if fresh else None
    was_empty = head == 0 and result > 0
    cut = record.requested_bytes is None or record.requested_bytes == result
    if record.flags & MSG_TRUNC and record.result != record.requested_bytes:
        cut = False  # MSG_TRUNC given: the result is the datagram's real length
    return Read(
        number, (record.pid, record.tid), record.entered_ns, record.returned_ns, result, cut,
        source, head,
        gone_ns=max(before_ns, record.entered_ns - _SETTLE_NS) if was_empty else -1,
    )  # fmt: skip


def _match(join: DatagramJoin, index: DatagramIndex, queue: _Queue, others: list[_Queue]) -> None:
    candidates = index.received(queue.local)
    mine: list[Datagram] = []
    accepts = len(queue.socket.connects) < 2
    contested: list[Datagram] = []
    for d in candidates:
        if not d.whole or d.lost:
            continue
        at_ns = d.arrived_ns
        if not queue.may_take(d, at_ns) or (d.read_by and not is_multicast(d.dst[0])):
            continue
        rivals = [] if is_multicast(d.dst[0]) else [q for q in others if q.may_take(d, at_ns)]
        better = [q for q in rivals if q.score(at_ns) > queue.score(at_ns)]
        if any(q.is_sure(at_ns) for q in better):
            continue
        alike = [q for q in rivals if q.score(at_ns) == queue.score(at_ns)] + better
        if alike:
            accepts = False
            if any(_may_read(q, d) for q in alike):
                if _may_read(queue, d):
                    contested.append(d)
                continue
        mine.append(d)
    shared = _contested_reads(queue, contested)
    for d in contested:
        d.read_unsure = Reason.SHARED
    arrivals = [(_arrival(d, join.calls), d) for d in mine]
    by_arrival = {id(arrival): d for arrival, d in arrivals}
    known = [arrival for arrival, _ in arrivals]
    known += [a for a in join.missing_to(queue.local) if queue.since_ns <= a.arrived_ns]
    known.sort(key=lambda a: a.arrived_ns)
    reads = [read for read in queue.reads if read.number not in shared]
    pairing = pair_reads(
        reads, known, _empties(queue.socket, join.calls), bound_ns=queue.bound_ns,
        accepts=accepts and not shared,
    )  # fmt: skip
    missing = join.missing(bool(candidates))
    taken = join.reads.setdefault(id(queue.socket), [])
    for read in queue.reads:
        found = _taken(read, pairing, by_arrival)
        taken.append((read.number, found))
        if found is not None:
            found.read_by.append(read.number)
            _read(join, found, read.number, join.calls[read.number - 1])
            continue
        possible = pairing.possible.get(read.number, ())
        reason = Reason.SHARED if all(a.captured for a in possible) else Reason.ALIKE
        captured = [by_arrival[id(a)] for a in possible if a.captured]
        for d in captured:
            if not is_multicast(d.dst[0]):
                d.read_unsure = d.read_unsure or reason
        unsure = read.number in shared or captured
        _unread(join, read.number, reason if unsure else missing)


def _taken(read: Read, pairing: Pairing, by_arrival: dict[int, Datagram]) -> Datagram | None:
    arrival = pairing.certain.get(read.number)
    return by_arrival.get(id(arrival)) if arrival is not None else None


def _may_read(queue: _Queue, d: Datagram) -> bool:
    """Whether some read of this queue may have been of this datagram's source."""
    return None in queue.sources or d.src in queue.sources


def _contested_reads(queue: _Queue, contested: list[Datagram]) -> set[int]:
    """The reads that may have taken what another queue may have taken."""
    sources = {d.src for d in contested}
    if not sources:
        return set()
    if any(read.source is None for read in queue.reads):
        return {read.number for read in queue.reads}
    return {read.number for read in queue.reads if read.source in sources}


def _arrival(d: Datagram, calls: list[CallRecord]) -> Arrival:
    queued = d.arrived_ns + _SETTLE_NS
    # On loopback the sender's own call puts it into the queue.
    if d.sent_by and all(packet.arrived_ns is None for packet in d.packets):
        returned = calls[d.sent_by[-1] - 1].returned_ns
        if returned is not None:
            queued = min(queued, max(returned, d.arrived_ns))
    return Arrival(d.arrived_ns, queued, d.src, d.length)


def _empties(socket: Socket, calls: list[CallRecord]) -> list[tuple[int, int]]:
    """Intervals in which a read found nothing."""
    return [
        (record.entered_ns, record.returned_ns)
        for record in (calls[n - 1] for n in socket.calls)
        if record.op in INBOUND
        and record.errno == "EAGAIN"
        and record.returned_ns is not None
        and not record.flags & MSG_ERRQUEUE
    ]


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
