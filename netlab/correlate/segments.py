"""One TCP flow -> its rows of `segments`, and what its headers say of both ends.

Sequence numbers are unwrapped and made relative as Wireshark does: the SYN is 0, the first byte 1,
and in a flow whose SYN is missing the first byte seen is 1. A stream offset is seq - 1. Windows are
scaled once the handshake tells the scale, and None before one can know. A keep-alive or window
probe (at most one byte at snd_una - 1) holds no stream bytes; a probe with real data does, and has
another sequence number. Knows nothing of calls.
Read first: RFC 9293 3.4 and 3.8.4, RFC 7323 section 2, tshark's packet-tcp.c.
"""

from __future__ import annotations

from dataclasses import field
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from netlab.correlate.arrivals import arrival_ns, may_have_reached
from netlab.correlate.flows import ACK, FIN, RST, SYN, Flow
from netlab.model.ranges import RangeSet
from netlab.model.records import dataclass
from netlab.model.seqnum import SEQ_MASK, seq_add, seq_diff
from netlab.model.tables import Direction, Packet, Segment, Side

if TYPE_CHECKING:
    from netlab.correlate.sender import Sender
    from netlab.correlate.sockets import Socket

# tshark's tcp.completeness bits.
COMPLETE_SYN, COMPLETE_SYNACK, COMPLETE_ACK = 1, 2, 4
COMPLETE_DATA, COMPLETE_FIN, COMPLETE_RST = 8, 16, 32

_LARGEST_SCALE = 14  # RFC 7323 2.3
_ALL = 1 << 63  # later than any time


@dataclass(slots=True)
class Half:
    """What one end sent: one direction of a connection, as its headers show it."""

    direction: Direction
    base: int | None = None  # 32-bit sequence number that counts as 0
    near: int = 0  # unwrapped, relative: where the next number is expected
    syn_seen: bool = False  # a SYN or SYN-ACK, or what proves its number: seq 0 is certain
    mss: int | None = None
    wscale: int | None = None
    sack: bool | None = None
    timestamps: bool | None = None
    scale: int | None = None  # to apply to this end's windows; None while unknown
    una: int = 0  # highest ack that this end *received*, relative
    coming: list[tuple[int, int]] = field(default_factory=list)  # a heap: when which ack arrives
    bytes_seen: RangeSet = field(default_factory=RangeSet)  # stream offsets in captured frames
    syns: list[Packet] = field(default_factory=list)  # SYN or SYN-ACK, every copy
    fins: list[Packet] = field(default_factory=list)
    fin_off: int | None = None  # stream length, as the FIN tells
    resets: list[Packet] = field(default_factory=list)


@dataclass(slots=True)
class Row:
    """A segment with its packet. `probe`: it holds no stream bytes, whatever its length."""

    segment: Segment
    packet: Packet
    direction: Direction
    probe: bool = False


@dataclass(slots=True)
class Track:
    """A TCP connection as its frames tell it."""

    flow: Flow
    rows: list[Row] = field(default_factory=list)  # in file order
    halves: dict[Direction, Half] = field(default_factory=dict)
    completeness: int = 0
    handshake_acks: list[Packet] = field(default_factory=list)  # the ACK of each SYN-ACK
    verdict_counts: dict[str, int] = field(default_factory=dict)  # by `verdicts`; empty: no word
    initial_rtt_ns: int | None = None  # by `verdicts`
    senders: dict[Direction, Sender] = field(default_factory=dict)  # by `second_verdicts`
    twins: bool = False  # one of several that an accept may have returned
    contested: set[Side] = field(default_factory=set)  # ends that several sockets may be, or none
    listeners: list[Socket] = field(default_factory=list)  # on its server's address, by `matching`
    ignored: frozenset[int] = frozenset()  # frames that a full listener ignored, by `admissions`

    def half(self, direction: Direction) -> Half:
        return self.halves[direction]


def track_from_flow(flow: Flow) -> Track:
    """Follow the sequence numbers of a TCP flow from its first frame to its last."""
    c2s, s2c = Half(Direction.C2S), Half(Direction.S2C)
    track = Track(flow, halves={Direction.C2S: c2s, Direction.S2C: s2c})
    forward = flow.direction(True)
    ahead, back = (c2s, s2c) if forward is Direction.C2S else (s2c, c2s)
    unanswered: list[int] = []  # when the SYN-ACKs that wait for their ACK came to the client
    for packet, is_forward in zip(flow.packets, flow.forward, strict=True):
        if packet.seg_seq is None or packet.payload_len_bytes is None:
            continue
        half, other = (ahead, back) if is_forward else (back, ahead)
        flags = packet._flags
        _find_bases(packet, half, other)
        _take_in(half, packet.time_ns)
        if flags & SYN:
            _read_syn(packet, half, other)
            if flags & ACK and may_have_reached(packet):
                unanswered.append(arrival_ns(packet) if packet._wired else 0)
        if half is c2s and not other.syn_seen and _answers_lost_synack(track, packet, half, other):
            other.syn_seen = True
        row = _row(packet, half, other, flow.connection)
        if packet._copy_of is not None:  # by then the ACK may have come: still it is what it copies
            row.probe = any(r.probe for r in track.rows if r.packet.frame == packet._copy_of)
        track.rows.append(row)
        _note_completeness(track, packet, first=len(track.rows) == 1)
        ack = row.segment.ack
        if unanswered and half is c2s and flags & (SYN | RST | ACK) == ACK and ack and ack >= 1:
            answered = [at_ns for at_ns in unanswered if at_ns <= packet.time_ns]
            if answered and not packet._made:
                track.handshake_acks.append(packet)
                unanswered = [at_ns for at_ns in unanswered if at_ns > packet.time_ns]
    for half in (ahead, back):
        _take_in(half, _ALL)
    return track


def _take_in(half: Half, until_ns: int) -> None:
    """The ACKs that a wire brought to this end by then."""
    while half.coming and half.coming[0][0] <= until_ns:
        half.una = max(half.una, heappop(half.coming)[1])


def _find_bases(packet: Packet, half: Half, other: Half) -> None:
    """Where relative numbers begin: as tshark does it, a SYN always decides, anew if need be."""
    seq = packet.seg_seq or 0
    if packet._flags & SYN:
        if half.base != seq:
            half.base, half.near, half.una = seq, 0, 0
    elif half.base is None:
        half.base = seq_add(seq, -1)
    if packet._flags & ACK and other.base is None:
        other.base = seq_add(packet.seg_ack or 0, -1)


def _answers_lost_synack(track: Track, packet: Packet, client: Half, server: Half) -> bool:
    """Whether this ACK can only be the one that completed the handshake; then it tells the base.

    It is if the client sent no other packet since its SYN, as consecutive IPv4 identifications
    show (Linux numbers the packets of a connection so). Without them it may be a later ACK, of
    server data that was not captured either.
    """
    if packet._flags & (SYN | RST | ACK) != ACK or not client.syns or packet.ip_version != 4:
        return False
    if any(r.direction is client.direction and not r.packet._flags & SYN for r in track.rows):
        return False
    syn = client.syns[-1].ip_id
    if not syn or packet.ip_id is None or (packet.ip_id - syn) & 0xFFFF != 1:
        return False
    return server.base == seq_add(packet.seg_ack or 0, -1)


def _read_syn(packet: Packet, half: Half, other: Half) -> None:
    """The options of a SYN; both scales are settled by the SYN-ACK (RFC 7323 2.2).

    A SYN resent without options (some stacks try that) does not take back what the first offered.
    """
    half.syns.append(packet)
    half.syn_seen = True
    options = packet._options
    if options is not None:
        half.mss = options.mss if options.mss is not None else half.mss
        half.wscale = options.wscale if options.wscale is not None else half.wscale
    half.sack = bool(half.sack or (options and options.sack_permitted))
    half.timestamps = bool(half.timestamps or (options and options.ts_val is not None))
    if half.wscale is None:  # one end without the option switches it off for both
        half.scale = other.scale = 0
    elif other.syn_seen and other.wscale is not None:
        half.scale = min(half.wscale, _LARGEST_SCALE)
        other.scale = min(other.wscale, _LARGEST_SCALE)
    elif packet._flags & ACK and not other.syn_seen:  # a SYN-ACK may scale only if the SYN did
        half.scale = min(half.wscale, _LARGEST_SCALE)


def _row(packet: Packet, half: Half, other: Half, connection: int) -> Row:
    flags = packet._flags
    length = packet.payload_len_bytes or 0
    syn = 1 if flags & SYN else 0
    fin = 1 if flags & FIN else 0
    base = half.base or 0
    seq = half.near + seq_diff(packet.seg_seq or 0, (base + half.near) & SEQ_MASK)
    end = seq + length + syn + fin
    if end > half.near and not flags & RST:
        half.near = end
    ack = None
    if flags & ACK and other.base is not None:
        ack = other.near + seq_diff(packet.seg_ack or 0, (other.base + other.near) & SEQ_MASK)
    window = packet.seg_wnd_raw
    if window is not None and not syn:
        window = None if half.scale is None else window << half.scale
    start = seq + syn - 1
    probe = length <= 1 and not syn | fin and seq == half.una - 1 and not flags & RST
    if length == 0 and start < 0:
        start = 0
    segment = Segment(
        packet.frame, connection, half.direction, seq, length + syn + fin, length,
        start, start + length, ack, window,
    )  # fmt: skip
    if length and not probe and not flags & RST:  # a RST's payload is a message, not data
        half.bytes_seen.add(start, start + length)
    if flags & RST:
        half.resets.append(packet)
    elif ack is not None and packet._wired:
        if may_have_reached(packet):
            heappush(other.coming, (arrival_ns(packet), ack))
    elif ack is not None and ack > other.una:
        other.una = ack
    if fin:
        half.fins.append(packet)
        if half.fin_off is None:
            half.fin_off = start + length
    return Row(segment, packet, half.direction, probe or bool(flags & RST))


def _note_completeness(track: Track, packet: Packet, *, first: bool) -> None:
    """tshark 4.0's tcp.completeness, as it stands after the last frame."""
    flags = packet._flags
    length = packet.payload_len_bytes or 0
    bits = 0
    if flags & (SYN | ACK) == SYN and first:
        bits |= COMPLETE_SYN
    if flags & (SYN | ACK) == SYN | ACK:
        bits |= COMPLETE_SYNACK
    if flags & (SYN | ACK) == ACK and length == 0:  # FIN and RST may be set, too
        bits |= COMPLETE_ACK
    if length:
        bits |= COMPLETE_DATA
    if flags & (FIN | ACK) == FIN | ACK:
        bits |= COMPLETE_FIN
    if flags & RST:
        bits |= COMPLETE_RST
    track.completeness |= bits
