"""Packets -> flows: which frames belong together, from which end, and tshark's stream numbers.

A flow is a TCP connection or a UDP conversation as tshark 4.0 counts them (tested against it):
tcp.stream and udp.stream grow with each new 4-tuple in frame order; a pure SYN on a known 4-tuple
whose sequence number differs from that sender's base begins a new TCP stream, one with the same
number is a retransmission even after FIN or RST. An ICMP error belongs to the flow that it quotes,
and a quote of an unknown flow takes a stream number too. A fragmented datagram is dissected, and
numbered, when its last fragment is there; its frames join the flow of the first fragment.
Knows nothing of calls. Read first: RFC 9293 3.4.1, RFC 791 3.2, tshark's packet-tcp.c.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field

from netlab.correlate.addresses import Endpoint, plain_address
from netlab.model.records import dataclass
from netlab.model.seqnum import seq_add
from netlab.model.tables import Direction, Ends, Packet

FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32

UDP_HEADER = 8  # bytes
_TCP = 6  # IP's number for it

FlowKey = tuple[str, str, int, str, int]  # protocol, src, sport, dst, dport


@dataclass(slots=True)
class Flow:
    """The frames of one conversation. `ends[0]` sent the first frame, until `settle` swaps them."""

    protocol: str  # tcp, udp
    ends: tuple[Endpoint, Endpoint]
    stream: int | None = None
    connection: int = -1
    packets: list[Packet] = field(default_factory=list)  # with the transport's header, in order
    forward: list[bool] = field(default_factory=list)  # from ends[0]; parallel to packets
    fragments: list[tuple[Packet, bool]] = field(default_factory=list)  # later ones: no header
    errors: list[tuple[Packet, bool]] = field(default_factory=list)  # ICMP; quoted was forward
    bases: list[int | None] = field(default_factory=lambda: [None, None])  # seq of offset -1
    swapped: bool = False  # client is ends[1]
    first_syn_seen: bool = False
    reused: bool = False  # its ports, which another TCP connection had

    @property
    def client(self) -> Endpoint:
        return self.ends[1] if self.swapped else self.ends[0]

    @property
    def server(self) -> Endpoint:
        return self.ends[0] if self.swapped else self.ends[1]

    @property
    def to_itself(self) -> bool:
        """One socket is both ends (RFC 9293 figure 8, with oneself): all its frames are c>s."""
        return self.ends[0] == self.ends[1]

    def direction(self, forward: bool) -> Direction:
        return Direction.C2S if forward != self.swapped else Direction.S2C


# Source, destination, protocol and identification name the packet that fragments belong to
# (RFC 791 3.2).
_Whole = tuple[str | None, str | None, int | None, int | None]


@dataclass(slots=True)
class _Reassembly:
    """The fragments of one datagram seen so far."""

    held: list[Packet] = field(default_factory=list)  # came before the first fragment
    flow: Flow | None = None
    forward: bool = True
    have_bytes: int = 0
    whole_bytes: int | None = None


class FlowTable:
    """Sorts packets into flows, one at a time, in file order."""

    def __init__(self) -> None:
        self.flows: list[Flow] = []
        self._by_key: dict[FlowKey, tuple[Flow, bool]] = {}
        self.streams = {"tcp": 0, "udp": 0}  # how many of each were numbered
        self._reassembly: dict[_Whole, _Reassembly] = {}
        self._parts: dict[int, list[Packet]] = {}  # of TCP segments, by the frame to complete them
        self._wired: dict[int, tuple[Flow, bool]] = {}  # by frame, of those that a wire carried

    def add(self, packet: Packet) -> None:
        """Find the packet's flow, or make one."""
        for ends in packet._carriers:  # a tunnel takes a number like any conversation
            flow, _ = self._find("udp", ends)
            if flow.stream is None and not flow.packets:
                self._number(flow)
        if packet._quoted is not None:
            self._add_error(packet, packet._quoted)
        elif packet._fragment_off and packet._copy_of in self._wired:
            flow, forward = self._wired[packet._copy_of]
            flow.fragments.append((packet, forward))
        elif packet._whole_in is not None and "TCP" in (packet.protocol, _carried(packet)):
            self._add_tcp_part(packet, packet._whole_in)
        elif packet._fragment_off:
            self._add_fragment(packet)
        elif packet.sport is not None and packet.protocol in ("TCP", "UDP"):
            if packet.protocol == "TCP":
                flow, forward = self._tcp(packet)
            else:
                flow, forward = self._find("udp", _ends(packet))
            if not flow.packets and flow.protocol == "udp":
                flow.swapped = not forward  # known from an ICMP quote only, until now
            flow.packets.append(packet)
            flow.forward.append(forward)
            if packet._wired:
                self._wired[packet.frame] = flow, forward
            if packet._fragment_more:
                self._begin_fragments(packet, flow, forward)
            elif flow.stream is None:
                self._number(flow)

    def settle(self) -> list[Flow]:
        """Fill connection and direction; give the flows in order of first frame."""
        found = [flow for flow in self.flows if flow.packets]
        for number, flow in enumerate(found):
            flow.connection = number
            for packet, forward in zip(flow.packets, flow.forward, strict=True):
                packet.connection = number
                packet.direction = flow.direction(forward)
            for packet, forward in flow.fragments:
                packet.connection = number
                packet.direction = flow.direction(forward)
            for packet, forward in flow.errors:  # an error travels against what it quotes
                packet.connection = number
                packet.direction = flow.direction(forward).reverse
        return found

    def _number(self, flow: Flow) -> None:
        flow.stream = self.streams[flow.protocol]
        self.streams[flow.protocol] += 1

    def _find(self, protocol: str, ends: Ends) -> tuple[Flow, bool]:
        key = (protocol, *ends)
        found = self._by_key.get(key)
        return found if found is not None else self._new(key)

    def _new(self, key: FlowKey) -> tuple[Flow, bool]:
        protocol, src, sport, dst, dport = key
        ends = (plain_address(src), sport), (plain_address(dst), dport)
        flow = Flow(protocol, ends)
        self.flows.append(flow)
        self._by_key[(protocol, dst, dport, src, sport)] = flow, False
        self._by_key[key] = flow, True  # after the reverse: a socket may talk to itself
        return flow, True

    def _tcp(self, packet: Packet) -> tuple[Flow, bool]:
        flow, forward = self._find("tcp", _ends(packet))
        flags = packet._flags
        seq = packet.seg_seq or 0
        if not flow.packets:
            flow.swapped = not forward
        if flags & (SYN | ACK) == SYN:
            base = flow.bases[not forward]
            if base is not None and base != seq:
                flow, forward = self._new(("tcp", *_ends(packet)))
                flow.reused = True
            if not flow.first_syn_seen:
                flow.first_syn_seen = True
                flow.swapped = not forward
        elif not flow.packets and flags & SYN:  # SYN-ACK first: it answers the client
            flow.swapped = forward
        if flow.bases[not forward] is None or flags & SYN:  # a SYN decides anew
            flow.bases[not forward] = seq if flags & SYN else seq_add(seq, -1)
        if flags & ACK and flow.bases[forward] is None:
            flow.bases[forward] = seq_add(packet.seg_ack or 0, -1)
        return flow, forward

    def _add_tcp_part(self, packet: Packet, whole_in: int) -> None:
        """A segment is there, as in tshark, with the frame that completed it."""
        if packet.frame != whole_in:
            self._parts.setdefault(whole_in, []).append(packet)
            return
        parts = self._parts.pop(whole_in, [])
        if packet.protocol == "TCP":
            flow, forward = self._tcp(packet)
            flow.packets.append(packet)
            flow.forward.append(forward)
            flow.fragments += [(part, forward) for part in parts]
            if flow.stream is None:
                self._number(flow)

    def _begin_fragments(self, packet: Packet, flow: Flow, forward: bool) -> None:
        key = (packet.src, packet.dst, packet._ip_protocol, packet.ip_id)
        parts = self._reassembly.get(key)
        if parts is None or parts.flow is not None:
            parts = self._reassembly[key] = _Reassembly()
        parts.flow, parts.forward = flow, forward
        held, parts.held = parts.held, []
        parts.have_bytes += fragment_bytes(packet)
        for later in held:
            flow.fragments.append((later, forward))
        self._number_when_whole(parts)

    def _add_fragment(self, packet: Packet) -> None:
        key = (packet.src, packet.dst, packet._ip_protocol, packet.ip_id)
        parts = self._reassembly.setdefault(key, _Reassembly())
        length = fragment_bytes(packet)
        parts.have_bytes += length
        if not packet._fragment_more:
            parts.whole_bytes = packet._fragment_off + length
        if parts.flow is None:
            parts.held.append(packet)
            return
        parts.flow.fragments.append((packet, parts.forward))
        self._number_when_whole(parts)

    def _number_when_whole(self, parts: _Reassembly) -> None:
        whole = parts.whole_bytes is not None and parts.have_bytes >= parts.whole_bytes
        if whole and parts.flow is not None and parts.flow.stream is None:
            self._number(parts.flow)

    def _add_error(self, packet: Packet, quoted: Packet) -> None:
        if quoted.sport is None or quoted.protocol not in ("TCP", "UDP"):
            return
        flow, forward = self._find(quoted.protocol.lower(), _ends(quoted))
        if flow.stream is None and not flow.packets:
            self._number(flow)
        flow.errors.append((packet, forward))


def _carried(packet: Packet) -> str:
    return "TCP" if packet._ip_protocol == _TCP else ""


def _ends(packet: Packet) -> Ends:
    return packet.src or "", packet.sport or 0, packet.dst or "", packet.dport or 0


def fragment_bytes(packet: Packet) -> int:
    """How many bytes of the whole IP payload this fragment holds ("0+1480 more" says 1480)."""
    text = packet.fragment or ""
    length = text.partition("+")[2].partition(" ")[0]
    return int(length) if length.isdigit() else 0


def own_payload_bytes(packet: Packet) -> int:
    """How many bytes of a datagram's payload the frame itself holds."""
    if packet.fragment is None:
        return packet.payload_len_bytes or 0
    held = fragment_bytes(packet)
    return held if packet._fragment_off else max(held - UDP_HEADER, 0)


def flows_from_packets(packets: Iterable[Packet]) -> list[Flow]:
    """The flows of a capture; connection and direction of the packets are filled in passing."""
    table = FlowTable()
    for packet in packets:
        table.add(packet)
    return table.settle()
