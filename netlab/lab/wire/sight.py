"""Frames in the order in which they left -> what each of them is: "data 3 of connection 0, c>s".

Connections are numbered as in the recording: TCP connections and UDP conversations, from 0 on, in
the order of their first frames (`correlate.flows` has the same rules; two hosts that begin within
microseconds of each other may be told apart only by the wire). Bytes are offsets in the stream, the
first after the SYN is 0.
Read first: RFC 9293 3.4.1 and 3.10.7.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from netlab.decode.numbers import IP_ICMP, IP_ICMPV6, IP_TCP, IP_UDP
from netlab.lab.wire.headers import Headers
from netlab.lab.wire.selection import Kind
from netlab.model.ranges import RangeSet
from netlab.model.seqnum import seq_add, unwrap
from netlab.model.tables import Direction

FIN, SYN, RST, ACK = 1, 2, 4, 16
NO_CONNECTION = -1
_MOST_COPIES_TOLD_APART = 1_000

Part = tuple[int, int, int]  # start, stop, how many times these bytes have been sent now
Counts = dict[Kind, int]


@dataclass(slots=True)
class Sight:
    """One frame, as rules see it.

    `numbers` has each kind that the frame is, and its number among the connection's frames of that
    kind and direction; of a frame in no connection, and of ICMP, among the direction's.
    """

    direction: Direction | None  # None: from a client's host to another client's
    connection: int = NO_CONNECTION
    number_in_direction: int = 0  # among all IP frames
    numbers: Counts = field(default_factory=dict)
    parts: list[Part] = field(default_factory=list)  # of its TCP payload, in order
    so_far: Counts = field(default_factory=dict)  # the counters themselves: they go on
    so_far_in_direction: Counts = field(default_factory=dict)


class CopyCount:
    """How many times each byte of a stream has been sent."""

    __slots__ = ("_levels", "_stop")

    def __init__(self) -> None:
        self._stop = 0  # the end of all that was sent
        self._stop = 0  # of all that was sent
        self._levels = [RangeSet()]  # [0]: bytes sent at least once, [1]: at least twice...

    def add(self, start: int, stop: int) -> list[Part]:
        """The bytes start..stop are sent once more: their parts by count, in order."""
        if start >= stop:
            return []
        if start >= self._stop:  # the usual case: nothing of it was sent before
            self._stop = stop
            self._levels[0].add(start, stop)
            return [(start, stop, 1)]
        self._stop = max(self._stop, stop)
        parts: list[Part] = []
        again = [(start, stop)]
        for copy in range(1, _MOST_COPIES_TOLD_APART + 1):
            if not again:
                break
            if len(self._levels) < copy:
                self._levels.append(RangeSet())
            level = self._levels[copy - 1]
            before: list[tuple[int, int]] = []
            for a, b in again:
                before += level.overlaps(a, b)
                parts += [(c, d, copy) for c, d in level.gaps(a, b)]
                level.add(a, b)
            again = before
        parts += [(a, b, _MOST_COPIES_TOLD_APART) for a, b in again]
        parts.sort()
        return parts


@dataclass(slots=True)
class _Sender:
    """One end of a conversation."""

    base: int | None = None  # seq of offset -1: of the SYN
    near: int = 0  # the last offset seen: the next one is not far
    copies: CopyCount = field(default_factory=CopyCount)
    counts: Counts = field(default_factory=dict)


@dataclass(slots=True)
class _Conversation:
    number: int
    senders: tuple[_Sender, _Sender] = field(default_factory=lambda: (_Sender(), _Sender()))


_Key = tuple[int, bytes, bytes, int, int]  # protocol, src, dst, sport, dport


class Sights:
    """Remembers the conversations."""

    def __init__(self) -> None:
        self._by_key: dict[_Key, tuple[_Conversation, int]] = {}  # and which sender
        self._conversations = 0
        self._by_direction: dict[Direction | None, Counts] = {
            None: {}, Direction.C2S: {}, Direction.S2C: {}
        }  # fmt: skip

    def see(self, headers: Headers, direction: Direction | None) -> Sight:
        """The next frame of those that are counted."""
        overall = self._by_direction[direction]
        sight = Sight(direction, number_in_direction=_next(overall, Kind.ANY))
        sight.so_far_in_direction = overall
        if headers.ports is not None and headers.protocol == IP_TCP:
            self._tcp(headers, headers.ports, sight)
        elif headers.ports is not None and headers.protocol == IP_UDP:
            conversation, sender = self._find(headers, headers.ports)
            self._belongs(sight, conversation, sender)
            sight.numbers[Kind.DATAGRAM] = _next(sight.so_far, Kind.DATAGRAM)
        else:
            sight.so_far = overall
            sight.numbers[Kind.ANY] = sight.number_in_direction
            if headers.protocol in (IP_ICMP, IP_ICMPV6) and not headers.fragment_off:
                sight.numbers[Kind.ICMP] = _next(overall, Kind.ICMP)
        return sight

    def _belongs(self, sight: Sight, conversation: _Conversation, sender: int) -> None:
        sight.connection = conversation.number
        sight.so_far = conversation.senders[sender].counts
        sight.numbers[Kind.ANY] = _next(sight.so_far, Kind.ANY)

    def _tcp(self, headers: Headers, ports: tuple[int, int], sight: Sight) -> None:
        conversation, index = self._find(headers, ports)
        flags, seq = headers.flags, headers.seq
        if flags & (SYN | ACK) == SYN and conversation.senders[index].base not in (None, seq):
            conversation, index = self._new(headers, ports)
        mine, theirs = conversation.senders[index], conversation.senders[not index]
        if mine.base is None or flags & SYN:
            mine.base = seq if flags & SYN else seq_add(seq, -1)
        if flags & ACK and theirs.base is None:
            theirs.base = seq_add(headers.ack, -1)
        self._belongs(sight, conversation, index)
        if headers.stop > headers.payload_off:
            sight.parts = _payload_parts(mine, mine.base, headers)
        for kind in _kinds(headers, sight.parts):
            sight.numbers[kind] = _next(mine.counts, kind)

    def _find(self, headers: Headers, ports: tuple[int, int]) -> tuple[_Conversation, int]:
        key = (headers.protocol, headers.src, headers.dst, *ports)
        return self._by_key.get(key) or self._new(headers, ports)

    def _new(self, headers: Headers, ports: tuple[int, int]) -> tuple[_Conversation, int]:
        conversation = _Conversation(self._conversations)
        self._conversations += 1
        protocol, src, dst, (sport, dport) = headers.protocol, headers.src, headers.dst, ports
        self._by_key[(protocol, dst, src, dport, sport)] = conversation, 1
        self._by_key[(protocol, src, dst, sport, dport)] = conversation, 0
        return conversation, 0


def _payload_parts(sender: _Sender, base: int, headers: Headers) -> list[Part]:
    first = seq_add(headers.seq, 1) if headers.flags & SYN else headers.seq
    # Offset 0 has seq base + 1. A keep-alive's byte before the first has none, and is left out.
    start = unwrap(seq_add(first, -base - 1), sender.near)
    sender.near = start
    return sender.copies.add(max(start, 0), max(start + headers.payload_bytes, 0))


def _kinds(headers: Headers, parts: list[Part]) -> list[Kind]:
    flags = headers.flags
    if not flags & (SYN | FIN | RST) and headers.payload_bytes <= 0:
        return [Kind.ACK] if flags & ACK else []
    kinds = [Kind.DATA] if any(copy == 1 for _, _, copy in parts) else []
    if flags & SYN:
        kinds.append(Kind.SYNACK if flags & ACK else Kind.SYN)
    if flags & FIN:
        kinds.append(Kind.FIN)
    if flags & RST:
        kinds.append(Kind.RST)
    return kinds


def _next(counts: Counts, kind: Kind) -> int:
    number = counts[kind] = counts.get(kind, 0) + 1
    return number
