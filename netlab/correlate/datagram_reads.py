"""Datagrams -> the calls that read them: which queue each reached, and what its reads took.

A datagram goes to the socket that fits best: connected to its source before unconnected, bound to
its address before bound to all, of its own family before IPv6 (Linux udp compute_score). Where
several fit alike (SO_REUSEPORT, SO_REUSEADDR) it may have come to any of them, and each queue is
judged as if it had: what is certain then, is. If two have it for certain, it was sent to all, or
one of them read something that nobody captured. What a socket lets in at all stands in
`datagram_admission`, what each read of a queue took in `datagram_queue`.
Read first: man 7 udp, man 7 socket.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

from netlab.correlate.addresses import Endpoint, is_multicast, is_wildcard, maybe_endpoint
from netlab.correlate.call_moves import moved_bytes
from netlab.correlate.datagram_admission import Admits, Gate, may_be_for_all
from netlab.correlate.datagram_join import DatagramJoin
from netlab.correlate.datagram_links import link_read, list_read
from netlab.correlate.datagram_queue import Arrival, Pairing, Read, of_message, pair_reads
from netlab.correlate.datagram_sends import DatagramIndex
from netlab.correlate.datagrams import Datagram
from netlab.correlate.reasons import Reason
from netlab.correlate.socket_options import options_of
from netlab.correlate.sockets import Socket
from netlab.model.call import MSG_ERRQUEUE, MSG_PEEK, MSG_TRUNC, CallRecord, is_inbound, is_outbound
from netlab.model.records import dataclass

# From the stamp of a frame to its place in the queue: the rest of one run of the network stack,
# microseconds as a rule. The same for a sample of SIOCINQ, which is taken before the call's entry.
_SETTLE_NS = 20_000_000
_FOREVER = 1 << 63


@dataclass(slots=True, eq=False)
class _Queue:
    """One socket's receive queue, and when it took what."""

    socket: Socket
    local: Endpoint
    gate: Gate
    reads: list[Read]
    since_ns: int  # not before this,
    bound_ns: int | None  # and surely from here on; None: it was there before its calls were seen
    until_ns: int
    first_local: Endpoint  # what it was bound to before connect() chose an address
    peer: Endpoint | None
    peer_since_ns: int

    @property
    def moves(self) -> bool:
        """Connected more than once: which peer and address it had when, is not followed."""
        return len(self.socket.connects) > 1

    def local_at(self, at_ns: int) -> Endpoint:
        if self.moves:
            return "*", self.local[1]
        return self.local if at_ns >= self.peer_since_ns else self.first_local

    def admits(self, d: Datagram, at_ns: int) -> Admits:
        if not self.since_ns <= at_ns <= self.until_ns:
            return Admits.NO
        local = self.local_at(at_ns)
        if d.dst[1] != local[1] or not (is_wildcard(local) or local == d.dst):
            return Admits.NO
        if self.peer is not None and at_ns >= self.peer_since_ns and d.src != self.peer:
            return Admits.NO
        found = self.gate.admits(local, d, at_ns)
        return min(found, Admits.MAYBE) if self.moves or self.gate.merges else found

    def score(self, d: Datagram, at_ns: int) -> int:
        connected = self.peer is not None and at_ns >= self.peer_since_ns
        own_family = self.socket.family == "AF_INET" or ":" in d.dst[0]
        return 4 * connected + 2 * (not is_wildcard(self.local_at(at_ns))) + own_family

    def is_sure(self, d: Datagram, at_ns: int) -> bool:
        there = self.bound_ns is not None and self.bound_ns <= at_ns
        return there and self.admits(d, at_ns) is Admits.YES


@dataclass(slots=True, eq=False)
class _Matched:
    """What is known of the reads of one queue."""

    queue: _Queue
    pairing: Pairing
    datagrams: dict[int, Datagram]  # by id of their arrivals
    seen: bool  # some datagram for this address was captured
    shared: set[int] = field(default_factory=set)  # ids of arrivals that others may have had


_Claim = tuple[_Matched, int]  # and the number of the read


def match_reads(join: DatagramJoin, index: DatagramIndex, sockets: Sequence[Socket]) -> None:
    """Match every read of `sockets`; sends and refusals are matched already."""
    before = _returns_before(join.calls)
    queues = []
    for socket in sockets:
        numbers = [n for n in socket.calls if _is_read(join.calls[n - 1])]
        local = socket.local_endpoint
        if local is None or local[1] == 0:
            for number in numbers:
                size = moved_bytes(join.calls[number - 1], outbound=False)
                reason = Reason.HIDDEN if socket.fits else index.unnamed
                list_read(join, number, size, reason)
            continue
        queues.append(_queue(socket, local, numbers, join.calls, before))
    at_port: dict[tuple[str, int], list[_Queue]] = {}
    for queue in queues:
        at_port.setdefault((queue.socket.host, queue.local[1]), []).append(queue)
    # A connected socket takes its peer's datagrams before a wildcard one on the port sees any.
    claims: dict[int, list[_Claim]] = {}
    matched = []
    for queue in sorted(queues, key=lambda q: (q.peer is None, is_wildcard(q.local))):
        others = [q for q in at_port[queue.socket.host, queue.local[1]] if q is not queue]
        matched.append(_match(join, index, queue, others, claims))
    _settle(claims, _broadcasting(sockets, join.calls))
    for item in matched:
        _write(join, item)


def _is_read(record: CallRecord) -> bool:
    return (
        is_inbound(record)
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
            n for n in socket.calls if is_outbound(calls[n - 1])
        ]  # fmt: skip
        if first:
            since, bound = calls[first[0] - 1].entered_ns, calls[first[0] - 1].returned_ns
    until = _FOREVER
    if socket.last_close is not None:
        until = calls[socket.last_close - 1].returned_ns or _FOREVER
    peer, peer_since, first_local = None, _FOREVER, local
    if len(socket.connects) == 1:
        peer = socket.peer_endpoint
        peer_since = calls[socket.connects[0] - 1].returned_ns or _FOREVER
        if socket.binds:
            bind = calls[socket.binds[-1] - 1]
            first_local = maybe_endpoint(bind.local) or maybe_endpoint(bind.address) or local
            first_local = first_local[0], local[1]
    queue = _Queue(
        socket, local, Gate(socket, calls), [], since, bound, until, first_local, peer, peer_since
    )
    other_threads = -1  # when the last read of a thread other than the latest one had returned
    latest: CallRecord | None = None
    for number in numbers:
        record = calls[number - 1]
        if latest is not None and (latest.pid, latest.tid) != (record.pid, record.tid):
            other_threads = latest.returned_ns or _FOREVER
        latest = record
        # A sample older than another thread's read says nothing about this one.
        fresh = other_threads <= before[number - 1]
        queue.reads += _reads_of(number, record, before[number - 1], fresh)
    return queue


def _reads_of(number: int, record: CallRecord, before_ns: int, fresh: bool) -> list[Read]:
    if not record.message_bytes:
        return [_read_of(number, record, before_ns, fresh)]
    found = []
    for place, size in enumerate(record.message_bytes):  # how much each asked for is not told
        address = record.message_addresses[place] if record.message_addresses else None
        found.append(Read(
            of_message(number, place), (record.pid, record.tid), record.entered_ns,
            record.returned_ns, size, True, maybe_endpoint(address),
        ))  # fmt: skip
    return found


def _read_of(number: int, record: CallRecord, before_ns: int, fresh: bool) -> Read:
    # Without an address nothing is known: what came before connect() is read after it, too.
    source = maybe_endpoint(record.address)
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


def _match(
    join: DatagramJoin,
    index: DatagramIndex,
    queue: _Queue,
    others: list[_Queue],
    claims: dict[int, list[_Claim]],
) -> _Matched:
    found = _Matched(queue, Pairing(), {}, seen=False)
    known: list[Arrival] = []
    local = ("*", queue.local[1]) if queue.socket.connects else queue.local
    candidates = index.received(local)
    for d in candidates:
        at_ns = d.arrived_ns
        verdict = queue.admits(d, at_ns)
        if verdict is Admits.NO:
            continue
        found.seen = True
        if not d.whole or d.lost or d.refused:
            continue
        rivals = _rivals(queue, others, d, at_ns)
        if rivals is None or any(m.queue in rivals for m, _ in claims.get(id(d), ())
                                 if m.queue.score(d, at_ns) > queue.score(d, at_ns)):  # fmt: skip
            continue
        arrival = _arrival(d, join.calls)
        arrival.sure = verdict is Admits.YES and not rivals and not d.astray
        if rivals:
            found.shared.add(id(arrival))
        d.takers.append((id(queue.socket), arrival.sure))
        join.came.setdefault(id(queue.socket), []).append(d)
        found.datagrams[id(arrival)] = d
        known.append(arrival)
    for to, unseen in join.unseen_to(local).items():
        if queue.gate.hears(local, to[0]) is not Admits.NO:
            known += [a for a in unseen if queue.since_ns <= a.arrived_ns]
    known.sort(key=lambda a: a.arrived_ns)
    found.pairing = pair_reads(
        queue.reads, known, _empties(queue.socket, join.calls), bound_ns=queue.bound_ns
    )
    for number, arrival in found.pairing.certain.items():
        if arrival.captured:
            claims.setdefault(id(found.datagrams[id(arrival)]), []).append((found, number))
    return found


def _rivals(queue: _Queue, others: list[_Queue], d: Datagram, at_ns: int) -> list[_Queue] | None:
    """The queues that may have had the datagram instead; None if one of them surely did."""
    if is_multicast(d.dst[0]):
        return []
    mine = queue.score(d, at_ns)
    rivals = []
    for other in others:
        if other.admits(d, at_ns) is Admits.NO:
            continue
        # A socket bound to the device goes first (compute_score): nothing is known of both then.
        if queue.gate.any_device and other.gate.any_device:
            if other.score(d, at_ns) < mine:
                if queue.is_sure(d, at_ns):
                    continue
            elif other.score(d, at_ns) > mine and other.is_sure(d, at_ns):
                return None
        rivals.append(other)
    return rivals


def _settle(claims: dict[int, list[_Claim]], broadcasting: set[int]) -> None:
    """Take back what two reads have for certain, unless it may have been sent to all."""
    for claim in claims.values():
        if len(claim) < 2:
            continue
        matched, number = claim[0]
        d = matched.datagrams[id(matched.pairing.certain[number])]
        if is_multicast(d.dst[0]) or may_be_for_all(
            d.dst[0], [call in broadcasting for call in d.sent_by]
        ):
            continue
        for matched, number in claim:
            arrival = matched.pairing.certain.pop(number)
            matched.pairing.possible[number] = [arrival]
            matched.shared.add(id(arrival))


def _broadcasting(sockets: Sequence[Socket], calls: list[CallRecord]) -> set[int]:
    """The calls on sockets that may send to all."""
    found: set[int] = set()
    for socket in sockets:
        if any(o.name == "SO_BROADCAST" and o.on for o in options_of(socket.calls, calls)):
            found.update(socket.calls)
    return found


def _write(join: DatagramJoin, matched: _Matched) -> None:
    """Put what is certain into the tables, and the reasons of the rest."""
    pairing, datagrams = matched.pairing, matched.datagrams
    taken = join.reads.setdefault(id(matched.queue.socket), [])
    for read in matched.queue.reads:
        arrival = pairing.certain.get(read.number)
        found = datagrams.get(id(arrival)) if arrival is not None else None
        taken.append((read.call, found))
        if found is not None:
            found.read_by.append(read.call)
            link_read(join, found, read.call, read.result)
            continue
        possible = pairing.possible.get(read.number, [])
        captured = [datagrams[id(a)] for a in possible if a.captured]
        reason = _why_unsure(read, possible, matched.shared)
        for d in captured:
            d.read_unsure = d.read_unsure or reason
        if not captured:
            reason = join.missing(matched.seen)
            if matched.queue.gate.merges and datagrams:
                reason = Reason.MERGED
                for d in datagrams.values():
                    d.read_unsure = d.read_unsure or reason
        list_read(join, read.call, read.result, reason)


def _why_unsure(read: Read, possible: Sequence[Arrival], shared: set[int]) -> Reason:
    if not all(a.captured for a in possible):
        return Reason.ALIKE
    if read.crowded or any(id(a) in shared for a in possible):
        return Reason.SHARED
    return Reason.SEVERAL_FIT if all(a.sure for a in possible) else Reason.MAY_NOT_ARRIVE


def _arrival(d: Datagram, calls: list[CallRecord]) -> Arrival:
    queued = d.arrived_ns + _SETTLE_NS
    # On loopback the sender's own call puts it into the queue.
    if d.sent_by and not any(packet._wired for packet in d.packets):
        returned = calls[d.sent_by[-1] - 1].returned_ns
        if returned is not None:
            queued = min(queued, max(returned, d.arrived_ns))
    if d.astray:
        queued = _FOREVER
    return Arrival(d.arrived_ns, queued, d.src, d.length)


def _empties(socket: Socket, calls: list[CallRecord]) -> list[tuple[int, int]]:
    """Intervals in which a read found nothing."""
    return [
        (record.entered_ns, record.returned_ns)
        for record in (calls[n - 1] for n in socket.calls)
        if is_inbound(record)
        and record.errno == "EAGAIN"
        and record.returned_ns is not None
        and not record.flags & MSG_ERRQUEUE
    ]
