"""UDP flows -> datagrams: frames put together, and the offsets that count their payload bytes.

Per conversation and direction, start and stop count payload bytes in the order in which the first
frames were captured at the sender, so a lost datagram leaves a hole in what the receiver read.
A fragmented datagram is one datagram with several frames. Knows nothing of calls.
Read first: RFC 768, RFC 791 3.2.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import field, replace

from netlab.correlate.addresses import Endpoint
from netlab.correlate.arrivals import arrival_ns, on_its_way, reached
from netlab.correlate.flows import UDP_HEADER, Flow, fragment_bytes, own_payload_bytes
from netlab.correlate.reasons import Reason
from netlab.correlate.streams import Piece
from netlab.model.records import dataclass
from netlab.model.tables import Direction, Packet


@dataclass(slots=True, eq=False)
class Datagram:
    """One datagram of a conversation."""

    flow: Flow
    direction: Direction
    src: Endpoint
    dst: Endpoint
    start: int
    stop: int
    packets: list[Packet]
    pieces: list[Piece]  # which frame holds which part
    whole: bool = True  # every fragment was captured
    lost: bool = False  # a frame of it never arrived
    astray: bool = False  # of a frame of it, it is not known
    copy_of: Datagram | None = None  # a wire made it: the same bytes again, sent by nobody
    sent_by: list[int] = field(default_factory=list)  # several: corked together
    sent_unsure: Reason | None = None  # why it is not known which call sent it
    segment_bytes: int = 0  # it is a run of datagrams of this length, not cut yet (UDP_SEGMENT)
    segments: list[Datagram] = field(default_factory=list)  # that run, as the receiver gets it
    read_by: list[int] = field(default_factory=list)  # several: multicast
    read_unsure: Reason | None = None  # why it may have been read, or not
    refused: bool = False  # an ICMP error said that nobody listens there
    takers: list[tuple[int, bool]] = field(default_factory=list)  # ids of sockets that may have
    # taken it, and whether it surely came to them

    @property
    def length(self) -> int:
        return self.stop - self.start

    @property
    def time_ns(self) -> int:
        """When its first frame left."""
        return self.packets[0].time_ns

    @property
    def arrived_ns(self) -> int:
        """When its last frame arrived."""
        return max(arrival_ns(packet) for packet in self.packets)

    @property
    def completed_by(self) -> int:
        """The frame with which it was whole at the receiver."""
        return (
            max(self.packets, key=arrival_ns).frame
            if len(self.packets) > 1
            else (self.packets[0].frame)
        )

    def cut(self) -> list[Datagram]:
        """The datagrams that a receiver gets of it: itself, or the segments of its run."""
        step = self.segment_bytes
        if step and not self.segments:
            self.segments = [
                replace(
                    self, start=start, stop=min(start + step, self.stop), segment_bytes=0,
                    pieces=[
                        Piece(max(start, p.start), min(start + step, p.stop), p.frame)
                        for p in self.pieces
                        if p.start < start + step and start < p.stop
                    ],
                    read_by=[], takers=[], segments=[],
                )
                for start in range(self.start, self.stop, step)
            ]  # fmt: skip
        return self.segments or [self]


def datagrams_from_flows(flows: Sequence[Flow]) -> list[Datagram]:
    """Every UDP datagram of the flows, in order of first frame within each flow."""
    found: list[Datagram] = []
    for flow in flows:
        if flow.protocol == "udp":
            found += _datagrams(flow)
    return found


def _datagrams(flow: Flow) -> list[Datagram]:
    pending: dict[tuple[bool, int | None], deque[Packet]] = {}
    for packet, forward in flow.fragments:
        if packet._made:  # a second copy completes nothing
            continue
        pending.setdefault((forward, packet.ip_id), deque()).append(packet)
    at = {Direction.C2S: 0, Direction.S2C: 0}
    found: list[Datagram] = []
    by_frame: dict[int, Datagram] = {}
    for packet, forward in zip(flow.packets, flow.forward, strict=True):
        direction = flow.direction(forward)
        original = by_frame.get(packet._copy_of or 0)
        base = at[direction] if original is None else original.start
        length = own_payload_bytes(packet)
        sent_by_client = direction is Direction.C2S
        src, dst = (flow.client, flow.server) if sent_by_client else (flow.server, flow.client)
        datagram = Datagram(
            flow, direction, src, dst, base, base + length, [packet],
            [Piece(base, base + length, packet.frame)],
        )  # fmt: skip
        if packet._fragment_more:
            _gather(datagram, pending.get((forward, packet.ip_id), deque()))
        datagram.packets.sort(key=lambda p: p.frame)
        datagram.astray = any(map(on_its_way, datagram.packets))
        datagram.lost = not datagram.astray and not all(map(reached, datagram.packets))
        datagram.copy_of = original
        at[direction] = max(at[direction], datagram.stop)
        by_frame[packet.frame] = datagram
        found.append(datagram)
    return found


def _gather(datagram: Datagram, waiting: deque[Packet]) -> None:
    """Add the later fragments; they may have come in any order."""
    have = fragment_bytes(datagram.packets[0])
    whole = None
    while waiting and (whole is None or have < whole):
        packet = waiting.popleft()
        length = fragment_bytes(packet)
        start = datagram.start + packet._fragment_off - UDP_HEADER
        datagram.packets.append(packet)
        datagram.pieces.append(Piece(start, start + length, packet.frame))
        datagram.stop = max(datagram.stop, start + length)
        have += length
        if not packet._fragment_more:
            whole = packet._fragment_off + length
    datagram.whole = whole is not None and have >= whole
