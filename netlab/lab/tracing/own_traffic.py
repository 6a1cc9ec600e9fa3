"""Which captured frames are of one program's sockets: frames and sockets' names, in any order.

A frame is written when one of its ends is a socket of the program. The ring shows a frame as soon
as it passes, the call that names its socket is read later (a SYN leaves inside connect(), and the
port is told by the next call), so frames of nobody wait. The rule, whatever the order in which
frames and names are handed in: a frame is the program's if it was stamped at most HOLD_NS before
the time of a name that fits it. What waits has a limit in bytes; the oldest fall out, and are
counted. `advance` says up to when names are complete: what no name can reach any more goes.

A name is both ends of a connection, or the one end that a socket is bound to: then the frames of
any peer fit. ICMP errors fit by the packet that they quote, fragments by the first of their packet.
Pure: no sockets here, no clock. A name holds to the end, also when its port has become another's;
of more than MOST_NAMES connections the one that was named longest ago is given up. Not known: who
of two holders a port with SO_REUSEPORT serves, that a socket bound to `::` takes no IPv4
(IPV6_V6ONLY); raw and packet sockets have no such name.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from netlab.capture.ring import RingFrame
from netlab.correlate.addresses import (
    WILDCARDS,
    Endpoint,
    is_multicast,
    maybe_endpoint,
    plain_address,
)
from netlab.decode.packets import decode
from netlab.model.frame import LINK_ETHERNET, Frame, Interface
from netlab.model.recording import RawRecording
from netlab.model.tables import Packet

HOLD_NS = 5_000_000_000
LIMIT_BYTES = 64 << 20
MOST_NAMES = 1 << 18
_FRAME_COST_BYTES = 600  # what a waiting frame takes beside its data
_MOST_FLOWS = 1 << 16
_TRANSPORTS = (6, 17)  # TCP, UDP
_PROTOCOLS = {"TCP": "tcp", "UDP": "udp"}

Ends = tuple[str, Endpoint, Endpoint]  # tcp or udp, source, destination
FragmentKey = tuple[str | None, str | None, int | None, int | None]


@dataclass(frozen=True, slots=True)
class SocketName:
    """What is known of one socket's ends. Addresses are spelt as packets show them."""

    protocol: str  # tcp or udp
    local: Endpoint
    peer: Endpoint | None = None  # None: whoever speaks to it


def maybe_name(kind: str | None, local: str | None, peer: str | None) -> SocketName | None:
    """The name of a socket with these addresses, as calls write them; None: nothing to go by."""
    here, there = maybe_endpoint(local), maybe_endpoint(peer)
    if here is None or here[1] == 0:
        return None
    if there is not None and (there[1] == 0 or there[0] in WILDCARDS):
        there = None
    if here[0] in WILDCARDS and there is not None:
        there = None  # any of our addresses may be the one: it is known by its port
    return SocketName("udp" if kind == "SOCK_DGRAM" else "tcp", here, there)


@dataclass(slots=True)
class _Waiting:
    """A frame that nobody has claimed yet."""

    interface: int
    frame: RingFrame
    fragment: FragmentKey | None = None  # of a packet whose first fragment was not seen yet


@dataclass(slots=True)
class _Names:
    """All names with the time from which on frames are theirs."""

    connected: dict[Ends, int] = field(default_factory=dict)  # protocol, local, peer
    bound: dict[tuple[str, Endpoint], int] = field(default_factory=dict)  # perhaps to a wildcard
    forgotten: int = 0

    def add(self, name: SocketName, since_ns: int) -> bool:
        """Whether it says more than before."""
        if name.peer is None:
            host, port = name.local
            # What is bound to `::` takes IPv4, too.
            hosts = ("::", "0.0.0.0") if host in ("::", "*") else (host,)
            news = [self._bind((name.protocol, (each, port)), since_ns) for each in hosts]
            return any(news)
        key = name.protocol, name.local, name.peer
        known = self.connected.pop(key, None)  # it goes to the end: it was heard of last
        if known is None and len(self.connected) >= MOST_NAMES:
            del self.connected[next(iter(self.connected))]
            self.forgotten += 1
        self.connected[key] = since_ns if known is None else min(since_ns, known)
        return known is None or since_ns < known

    def _bind(self, key: tuple[str, Endpoint], since_ns: int) -> bool:
        known = self.bound.get(key)
        if known is not None and known <= since_ns:
            return False
        self.bound[key] = since_ns
        return True


class OwnTraffic:
    """Sorts frames. `take` gives those that turned out to be the program's."""

    def __init__(
        self,
        is_our_address: Callable[[str], bool],
        *,
        hold_ns: int = HOLD_NS,
        limit_bytes: int = LIMIT_BYTES,
    ) -> None:
        """`is_our_address`: of this machine (a wildcard means all of these)."""
        self._is_ours = is_our_address
        self._hold_ns, self._limit_bytes = hold_ns, limit_bytes
        self._names = _Names()
        self._known: dict[bytes, Ends] = {}  # of flows met before
        self._waiting: dict[int, _Waiting] = {}  # by number
        self._flows: dict[Ends, dict[int, None]] = {}  # numbers of those that wait, by ends
        self._ends: dict[int, Ends] = {}
        self._oldest: list[tuple[int, int]] = []  # heap of (time, number); some are gone already
        self._first: dict[FragmentKey, tuple[Ends, int]] = {}  # what a first fragment said, when
        self._orphans: dict[FragmentKey, list[int]] = {}  # the others, when they came before it
        self._taken: dict[int, list[RingFrame]] = {}
        self._number = 0
        self._waiting_bytes = 0
        self.crowded_out = 0  # frames that left before their time was up, for want of room

    @property
    def forgotten_names(self) -> int:
        """Names that were given up because there were too many."""
        return self._names.forgotten

    @property
    def waits(self) -> bool:
        """Whether any frame is of nobody yet."""
        return bool(self._waiting)

    def is_connected(self, local: Endpoint, peer: Endpoint) -> bool:
        """Whether a TCP connection with these ends is the program's."""
        end = "tcp", local
        return ("tcp", local, peer) in self._names.connected or end in self._names.bound

    def frames(self, interface: int, frames: Sequence[RingFrame]) -> None:
        """What passed at an interface."""
        for frame in frames:
            flow = _flow_of(frame[1])
            known = self._known.get(flow)
            if known is not None:
                self._number += 1
                self._place(self._number, _Waiting(interface, frame), known)
                continue
            packet = _decoded(frame)
            ends = _ends_of(packet)
            if flow and ends is not None:
                if len(self._known) >= _MOST_FLOWS:
                    self._known.clear()
                self._known[flow] = ends
            self._sort(interface, frame, packet, ends)
        while self._waiting_bytes > self._limit_bytes:
            self.crowded_out += self._drop_oldest()

    def name(self, name: SocketName, time_ns: int) -> None:
        """A socket of the program's was heard of at this time."""
        if not self._names.add(name, time_ns - self._hold_ns):
            return
        if name.peer is not None:
            ends = name.protocol, name.local, name.peer
            flows = [ends, (name.protocol, name.peer, name.local)]
        else:
            flows = [e for e in self._flows if name.local[1] in (e[1][1], e[2][1])]
        for flow in flows:
            self._claim(flow)

    def reconsider(self) -> None:
        """This machine has got another address."""
        for flow in list(self._flows):
            self._claim(flow)

    def advance(self, names_until_ns: int) -> None:
        """No name will come whose time is before this one: let go of what none can claim."""
        end = names_until_ns - self._hold_ns
        while self._oldest and self._oldest[0][0] < end:
            self._drop_oldest()
        for key in [key for key, (_, time_ns) in self._first.items() if time_ns < end]:
            del self._first[key]

    def take(self, interface: int) -> list[RingFrame]:
        """The program's frames there, since the last time; late ones come behind earlier ones."""
        return self._taken.pop(interface, [])

    # -- a frame ---------------------------------------------------------------------------------

    def _sort(self, interface: int, frame: RingFrame, packet: Packet, ends: Ends | None) -> None:
        number = self._number = self._number + 1
        if packet.fragment is None:
            if ends is not None:
                self._place(number, _Waiting(interface, frame), ends)
            return
        key = packet.src, packet.dst, packet.ip_id, packet._ip_protocol
        if ends is not None:
            self._first[key] = ends, frame[0]
            self._place(number, _Waiting(interface, frame), ends)
            for orphan in self._orphans.pop(key, ()):
                if (waiting := self._remove(orphan)) is not None:
                    self._place(orphan, waiting, ends)
        elif key in self._first:
            self._place(number, _Waiting(interface, frame), self._first[key][0])
        elif packet._ip_protocol in _TRANSPORTS:
            self._keep(number, _Waiting(interface, frame, key))
            self._orphans.setdefault(key, []).append(number)

    def _place(self, number: int, waiting: _Waiting, ends: Ends) -> None:
        if self._since_ns(ends) <= waiting.frame[0]:
            self._taken.setdefault(waiting.interface, []).append(waiting.frame)
            return
        waiting.fragment = None
        self._keep(number, waiting)
        self._ends[number] = ends
        self._flows.setdefault(ends, {})[number] = None

    def _keep(self, number: int, waiting: _Waiting) -> None:
        self._waiting[number] = waiting
        self._waiting_bytes += len(waiting.frame[1]) + _FRAME_COST_BYTES
        heapq.heappush(self._oldest, (waiting.frame[0], number))

    def _claim(self, flow: Ends) -> None:
        """Take those that are the program's by what is known now."""
        since_ns = self._since_ns(flow)
        for number in list(self._flows.get(flow, ())):
            if self._waiting[number].frame[0] >= since_ns:
                waiting = self._remove(number)
                assert waiting is not None
                self._taken.setdefault(waiting.interface, []).append(waiting.frame)

    def _drop_oldest(self) -> bool:
        """False: it was claimed before."""
        return self._remove(heapq.heappop(self._oldest)[1]) is not None

    def _remove(self, number: int) -> _Waiting | None:
        waiting = self._waiting.pop(number, None)
        if waiting is None:
            return None
        self._waiting_bytes -= len(waiting.frame[1]) + _FRAME_COST_BYTES
        ends = self._ends.pop(number, None)
        if ends is not None:
            flow = self._flows[ends]
            del flow[number]
            if not flow:
                del self._flows[ends]
        elif waiting.fragment is not None and waiting.fragment in self._orphans:
            orphans = self._orphans[waiting.fragment]
            orphans.remove(number)
            if not orphans:
                del self._orphans[waiting.fragment]
        return waiting

    # -- names -----------------------------------------------------------------------------------

    def _since_ns(self, ends: Ends) -> int:
        """From when on frames between these ends are the program's; never: beyond any time."""
        return min(self._fitting(ends), default=1 << 63)

    def _fitting(self, ends: Ends) -> Iterator[int]:
        names = self._names
        protocol, source, destination = ends
        for key in (ends, (protocol, destination, source)):
            if key in names.connected:
                yield names.connected[key]
        for end in (source, destination):
            if (protocol, end) in names.bound:
                yield names.bound[protocol, end]
            everywhere = protocol, ("::" if ":" in end[0] else "0.0.0.0", end[1])
            if everywhere in names.bound and (self._is_ours(end[0]) or is_multicast(end[0])):
                yield names.bound[everywhere]


_INTERFACES = [Interface("", LINK_ETHERNET, 0)]


def _decoded(frame: RingFrame) -> Packet:
    time_ns, data, length, _ = frame
    return decode(
        RawRecording(frames=[Frame(0, time_ns, 0, data, length)], interfaces=_INTERFACES)
    )[0]


def _flow_of(data: bytes) -> bytes:
    """Equal bytes: between the same ends. Empty where that takes a closer look (fragments, ICMP,
    IPv4 options, IPv6 extension headers, VLAN tags, headers cut short)."""
    kind = data[12:15]
    if kind == b"\x08\x00\x45":
        if len(data) >= 42 and data[23] in _TRANSPORTS and not (data[20] & 0x3F or data[21]):
            return data[23:24] + data[26:38]
    elif kind[:2] == b"\x86\xdd" and len(data) >= 62 and data[20] in _TRANSPORTS:
        return data[20:21] + data[22:58]
    return b""


def _ends_of(packet: Packet) -> Ends | None:
    """Between whom it goes; of an ICMP error, the packet that it is about."""
    about = packet if packet._quoted is None else packet._quoted
    protocol = _PROTOCOLS.get(about.protocol or "")
    if protocol is None or about.src is None or about.dst is None:
        return None
    if about.sport is None or about.dport is None:
        return None
    source = plain_address(about.src), about.sport
    return protocol, source, (plain_address(about.dst), about.dport)
