"""A receive queue's reads and the datagrams that reached it -> the pairs that are certain.

The queue is first in, first out, and drops what comes while it is full; so reads take datagrams in
order of arrival, with gaps. Many assignments may do that; a pair is certain when it is in all of
them: the earliest and the latest place of the read are then the same. What narrows them: source,
length, time, the size of the next datagram (SIOCINQ, man 7 udp), and moments at which the queue was
empty: all that had come by then is gone. Reads of several threads that overlap have no known order:
only one that alone fits one datagram has it.
Knows nothing of sockets, frames or tables.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import field

from netlab.correlate.addresses import Endpoint
from netlab.model.records import dataclass

_MESSAGE = 1 << 32  # more than there are calls


@dataclass(slots=True, eq=False)
class Arrival:
    """A datagram that reached the queue, or may have: a send of which no frame was captured."""

    arrived_ns: int
    queued_by_ns: int  # when it surely stood in the queue, if it was not dropped
    source: Endpoint
    length: int
    captured: bool = True
    sure: bool = True  # it came to this queue and to no other, unless the queue was full


@dataclass(slots=True, eq=False)
class Read:
    """A call that took one datagram, or its part that took one of several (recvmmsg)."""

    number: int  # of the call; of its second message and further ones, see `of_message`
    thread: tuple[int, int]
    entered_ns: int
    returned_ns: int | None
    result: int
    may_be_cut: bool  # the datagram may have been longer
    source: Endpoint | None
    head_bytes: int | None = None  # what SIOCINQ had said of the next datagram
    gone_ns: int = -1  # the queue was empty at a moment not before this
    latest: Arrival | None = None  # this read has it, or an earlier one
    crowded: bool = False  # another thread was reading

    @property
    def call(self) -> int:
        return self.number % _MESSAGE

    def fits(self, arrival: Arrival) -> bool:
        if self.returned_ns is not None and arrival.arrived_ns > self.returned_ns:
            return False
        if self.source is not None and arrival.source != self.source:
            return False
        if self.head_bytes and not self.crowded and arrival.length != self.head_bytes:
            return False
        if arrival.queued_by_ns <= self.gone_ns:
            return False
        return arrival.length == self.result or (self.may_be_cut and arrival.length > self.result)


def of_message(call: int, place: int) -> int:
    """A number that tells the messages of one call apart, from 0."""
    return call + place * _MESSAGE


@dataclass(slots=True)
class Pairing:
    """What is certain, and of the rest what could be."""

    certain: dict[int, Arrival] = field(default_factory=dict)  # by the read's number
    possible: dict[int, list[Arrival]] = field(default_factory=dict)  # of reads that are not


def pair_reads(
    reads: Sequence[Read],
    arrivals: Sequence[Arrival],
    empties: Iterable[tuple[int, int]] = (),
    *,
    bound_ns: int | None = None,
) -> Pairing:
    """Pair `reads` (in order of entry) with `arrivals` (in order of arrival).

    `empties`: intervals (ns) in each of which the queue was empty at some moment. `bound_ns`: from
    when on the queue was there, None if it may have held something before.
    """
    for group in _groups(reads):
        for read in group:
            read.crowded = len(group) > 1
    _narrow(reads, arrivals, sorted(empties, key=lambda span: span[1]), bound_ns)
    pairing = Pairing()
    # A read that names its source is compared with that source's datagrams alone.
    if all(read.source is not None for read in reads):
        lanes: dict[Endpoint | None, tuple[list[Read], list[Arrival]]] = {}
        for read in reads:
            lanes.setdefault(read.source, ([], []))[0].append(read)
        for arrival in arrivals:
            if arrival.source in lanes:
                lanes[arrival.source][1].append(arrival)
    else:
        lanes = {None: (list(reads), list(arrivals))}
    for mine, theirs in lanes.values():
        _Lane(mine, theirs, pairing).run()
    return pairing


def _groups(reads: Sequence[Read]) -> list[list[Read]]:
    """Reads that overlap in time, together; one thread's reads never overlap."""
    groups: list[list[Read]] = []
    latest = -1
    for read in reads:
        together = bool(groups) and read.entered_ns < latest
        if together and any(other.thread != read.thread for other in groups[-1]):
            groups[-1].append(read)
        else:
            groups.append([read])
        returned = read.returned_ns if read.returned_ns is not None else read.entered_ns + 1
        latest = max(latest, returned)
    return groups


def _narrow(
    reads: Sequence[Read],
    arrivals: Sequence[Arrival],
    empties: list[tuple[int, int]],
    bound_ns: int | None,
) -> None:
    """What the moments of the reads tell of them."""
    sure = [arrival for arrival in arrivals if arrival.captured and arrival.sure]
    times = [arrival.arrived_ns for arrival in sure]
    at, gone, returned_ns = 0, -1, bound_ns
    for read in reads:
        while at < len(empties) and empties[at][1] <= read.entered_ns:
            gone = max(gone, empties[at][0])
            at += 1
        if not read.crowded:
            gone = max(gone, read.gone_ns)
        read.gone_ns = gone
        # The first that surely came after a read either found something queued, which goes first,
        # or an empty queue, which never drops: the next read has it or an earlier one.
        if not read.crowded and returned_ns is not None:
            place = bisect_left(times, returned_ns)
            read.latest = sure[place] if place < len(sure) else None
        returned = read.returned_ns
        returned_ns = max(returned_ns or 0, read.entered_ns + 1 if returned is None else returned)


class _Lane:
    """Reads and arrivals of which any may belong to any, but in order."""

    def __init__(self, reads: list[Read], arrivals: list[Arrival], pairing: Pairing) -> None:
        self.groups = _groups(reads)
        self.arrivals, self.pairing = arrivals, pairing
        self.times = [arrival.arrived_ns for arrival in arrivals]
        self.place = {id(arrival): place for place, arrival in enumerate(arrivals)}
        self.earliest: dict[int, int] = {}
        self.latest: dict[int, int] = {}

    def run(self) -> None:
        at = 0
        for group in self.groups:
            at = self._forward(group, at)
        stop = len(self.arrivals)
        for group in reversed(self.groups):
            stop = self._backward(group, stop)
        for group in self.groups:
            if len(group) > 1:
                self._crowd(group)
                continue
            read = group[0]
            first, last = self.earliest.get(read.number), self.latest.get(read.number)
            if first is not None and first == last:
                self.pairing.certain[read.number] = self.arrivals[first]
            elif first is not None or last is not None:
                low = min(place for place in (first, last) if place is not None)
                high = max(place for place in (first, last) if place is not None)
                self.pairing.possible[read.number] = [
                    arrival for arrival in self.arrivals[low : high + 1] if read.fits(arrival)
                ]

    def _bound(self, read: Read) -> int:
        """One past the last arrival that this read can have."""
        if read.returned_ns is None:
            stop = len(self.arrivals)
        else:
            stop = bisect_right(self.times, read.returned_ns)
        if read.latest is not None:
            forced = self.place.get(id(read.latest))
            if forced is not None:
                stop = min(stop, forced + 1)
        return stop

    def _forward(self, group: list[Read], at: int) -> int:
        """The earliest places; returns where the next group may begin."""
        if len(group) > 1:
            for read in group:
                self.earliest[read.number] = at
            return at
        read = group[0]
        while at < len(self.arrivals) and self.arrivals[at].queued_by_ns <= read.gone_ns:
            at += 1  # gone for all that follow, too
        for place in range(at, self._bound(read)):
            if read.fits(self.arrivals[place]):
                self.earliest[read.number] = place
                return place + 1
        return at

    def _backward(self, group: list[Read], stop: int) -> int:
        """The latest places; returns where the group before must end."""
        if len(group) > 1:
            for read in group:
                self.latest[read.number] = min(stop, self._bound(read)) - 1
            return stop
        read = group[0]
        low = self.earliest.get(read.number, 0)
        for place in range(min(stop, self._bound(read)) - 1, low - 1, -1):
            if read.fits(self.arrivals[place]):
                self.latest[read.number] = place
                return place
        return stop

    def _crowd(self, group: list[Read]) -> None:
        fitting = {
            read.number: [
                arrival
                for arrival in self.arrivals[
                    self.earliest[read.number] : self.latest[read.number] + 1
                ]
                if read.fits(arrival)
            ]
            for read in group
        }
        wanted: dict[int, int] = {}
        for found in fitting.values():
            for arrival in found:
                wanted[id(arrival)] = wanted.get(id(arrival), 0) + 1
        for number, found in fitting.items():
            if len(found) == 1 and wanted[id(found[0])] == 1:
                self.pairing.certain[number] = found[0]
            elif found:
                self.pairing.possible[number] = found
