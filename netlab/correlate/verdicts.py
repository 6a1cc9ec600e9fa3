"""A TCP connection's rows in file order -> what tshark says of each: its tcp.analysis.

It is tshark 4.0; what a newer release says otherwise, as far as it is known, is in `releases`.

The verdicts are those of a capture at one place, read once from its first frame to its last: each
is judged by what stood before it in the file, by when a frame *left*, and with no knowledge of a
wire, of calls or of what came later; netlab's own judgement stands in the spans. Numbers are as on
the wire, and one that is 0 counts as not known yet, as it does in tshark.
Read first: "TCP Analysis" in the Wireshark User's Guide, RFC 9293 3.8. `test_verdicts` compares
with the program itself.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import field

from netlab.correlate.flows import ACK, FIN, PSH, RST, SYN
from netlab.correlate.releases import Release, opens_after_probe, repeats_by_sack
from netlab.correlate.segments import Row, Track
from netlab.correlate.unacked import Unacked
from netlab.correlate.verdict_names import VERDICTS
from netlab.decode.faults import SNAPLEN
from netlab.decode.transport import LAYER
from netlab.model.records import dataclass
from netlab.model.seqnum import SEQ_MASK, seq_add, seq_diff
from netlab.model.tables import Direction, Packet, Segment

(
    _RETRANSMISSION, _FAST, _SPURIOUS, _OUT_OF_ORDER,
    _LOST, _ACK_LOST, _DUPLICATE_ACK, _ZERO_WINDOW, _PROBE,
    _PROBE_ACK, _WINDOW_FULL, _WINDOW_UPDATE, _KEEP_ALIVE, _KEEP_ALIVE_ACK,
    _REUSED_PORTS, _TFO_SYN, _TFO_ACK, _TFO_IGNORED,
) = _BITS = tuple(1 << number for number in range(len(VERDICTS)))  # fmt: skip

_FAST_WITHIN_NS = 20_000_000  # of the last that the other end said
_OUT_OF_ORDER_WITHIN_NS = 3_000_000  # where no handshake told the round-trip time
_MOST_IN_FLIGHT = 2_000_000_000
_MOST_SACK_BLOCKS = 3  # of the four that fit into a header
_UNSIGNED = 1 << 64  # intervals are that: a stamp that goes backwards makes a very long one
_UNKNOWN, _UNUSED = -1, -2  # of a window scale


@dataclass(slots=True)
class _Side:
    """What one direction has shown so far."""

    base: int | None = None
    next_seq: int = 0  # behind the highest byte seen
    next_ns: int = 0  # when that byte came
    next_frame: int = 0
    whole_seq: int = 0  # as far as was seen when last a segment closed up to it
    last_ack: int = 0
    last_ns: int = 0
    window: int = SEQ_MASK  # as in the header; before the first, one that no header holds
    scale: int = _UNKNOWN
    unscaled: bool = False  # its SYN came, and no ACK of it yet
    ack_frame: int | None = None  # the last that changed its ACK
    duplicates: int = 0  # -1: it was ACKed for what was not seen; as good as many
    last_found: int = 0  # the verdicts on its last segment
    flight_known: bool = True
    push_bytes: int = 0  # since its last PSH
    pushed: bool = False  # its last data had one
    sacked_bytes: int = 0
    unacked: Unacked = field(default_factory=Unacked)


def judge(track: Track, release: Release = Release.V4_0) -> None:
    """Fill the verdicts of a connection's rows, what is measured between them, and their counts.

    From the first segment on that tshark may read otherwise, nothing is said: a fragment of one, as
    it is read when the last fragment is there; one whose options are damaged; and one of several
    paths (MPTCP), whose ACKs are judged together. Of a segment whose options the snap length cut,
    tshark shows nothing, though it goes by all that it read of it; what that was, is said here.
    """
    client, server = _Side(), _Side()
    judged = _Connection(release, reused=track.flow.reused)
    taken: list[int] = []
    for row in track.rows:
        if _is_read_otherwise(row.packet):
            return
        mine, other = (client, server) if row.direction is Direction.C2S else (server, client)
        if release is not Release.V4_0 and judged.is_unknown(row, mine, other):
            return
        taken.append(judged.take(row, mine, other))
        track.initial_rtt_ns = judged.rtt_ns or None
    found = Counter(taken)
    track.verdict_counts = {
        name: sum(count for bits, count in found.items() if bits & bit)
        for name, bit in zip(VERDICTS, _BITS, strict=True)
    }


def _is_read_otherwise(packet: Packet) -> bool:
    options = packet._options
    cut = (packet.payload_off or 0) > packet.caplen_bytes
    broken = packet.fault_layer is not None and (cut or packet.fault_layer == LAYER)
    part = packet._fragment_more and packet._whole is None
    odd = options is not None and options.odd
    return part or odd or (broken and not _has_cut_options(packet))


def _has_cut_options(packet: Packet) -> bool:
    """Whether the snap length cut a header's options, which are whole as far as they are there."""
    return packet.fault_layer == LAYER and packet.fault_limited_by == SNAPLEN


class _Connection:
    """Both sides, a row after the other."""

    def __init__(self, release: Release, *, reused: bool) -> None:
        self._reused = reused  # the ports, by the SYN that begins it
        self._later = release is not Release.V4_0
        self._is_unknown = False  # from here on: see `releases`
        self._syn_ns: int | None = None
        self._brings_early_data = False  # a SYN with a Fast Open cookie did
        self.rtt_ns = 0

    def is_unknown(self, row: Row, mine: _Side, other: _Side) -> bool:
        """Whether a release after 4.0 may go by a rule here that nobody has written down."""
        packet = row.packet
        ack, flags = packet.seg_ack or 0, packet._flags
        options = packet._options
        blocks = () if options is None else options.sack_blocks
        if _is_repeated(packet, mine) and packet.seg_wnd_raw != mine.window:
            unsure = repeats_by_sack(ack, packet.seg_wnd_raw or 0, blocks) is None
            self._is_unknown = self._is_unknown or unsure
        unseen = flags & ACK and other.whole_seq and seq_diff(ack, other.whole_seq) > 0
        if unseen and not self._opens(packet, mine, other):
            self._is_unknown = True  # "ACKed unseen segment" has another rule (issue 18558)
        return self._is_unknown

    def _opens(self, packet: Packet, mine: _Side, other: _Side) -> bool:
        """Whether it answers a zero-window probe, and has room."""
        if packet._flags & (SYN | FIN | RST) or not other.last_found & _PROBE:
            return False
        if packet.payload_len_bytes or packet.seg_seq != mine.next_seq:
            return False
        blocks = () if packet._options is None else packet._options.sack_blocks
        probe_end = seq_add(other.next_seq, 1)
        return opens_after_probe(packet.seg_ack or 0, packet.seg_wnd_raw or 0, blocks, probe_end)

    def take(self, row: Row, mine: _Side, other: _Side) -> int:
        """Judge a row, and remember it; the verdicts as bits."""
        packet, segment = row.packet, row.segment
        flags, length = packet._flags, packet.payload_len_bytes or 0
        seq, ack, window = packet.seg_seq or 0, packet.seg_ack or 0, packet.seg_wnd_raw or 0
        found = self._begin(mine, other, seq, ack, flags)
        if length == 1 and seq == mine.next_seq and other.window == 0:
            found |= _PROBE
        else:
            found |= _windows(mine, other, seq, ack, window, length, flags)
            if self._later:
                found = self._as_later(packet, mine, other, found)
            if found & _DUPLICATE_ACK:
                segment.duplicate_ack_num = mine.duplicates
                segment.duplicate_ack_frame = mine.ack_frame
        if ack != mine.last_ack:
            mine.duplicates, mine.ack_frame = 0, packet.frame
        unseen = flags & ACK and other.whole_seq and seq_diff(ack, other.whole_seq) > 0
        if unseen and not self._later:
            found |= _ack_of_unseen(other)
        if (length or flags & (SYN | FIN)) and not found & _KEEP_ALIVE:
            old = self._old(packet, seq, length, mine, other)
            found |= old
            if old == _RETRANSMISSION:
                frame, since_ns = mine.unacked.oldest or (mine.next_frame, mine.next_ns)
                if packet.time_ns != since_ns:  # of 0 tshark shows none
                    segment.rto_ns, segment.rto_frame = packet.time_ns - since_ns, frame
        _remember(packet, mine, seq, length, found)
        mine.window, mine.last_ack, mine.last_ns = window, ack, packet.time_ns
        acked = other.unacked.take(ack)
        if acked is not None:
            segment.acks_frame = acked[0]
            segment.ack_rtt_ns = packet.time_ns - acked[1] or None
        if length and mine.flight_known:
            mine.push_bytes = length if mine.pushed else mine.push_bytes + length
            mine.pushed = bool(flags & PSH)
            size = seq_add(mine.unacked.size_bytes, -other.sacked_bytes)
            if 0 < size < _MOST_IN_FLIGHT:
                segment.bytes_in_flight = size - bool(flags & (SYN | FIN)) or None
            if segment.bytes_in_flight:
                segment.push_bytes = mine.push_bytes
        found |= self._fast_open(packet, length, flags, seq_add(ack, -(other.base or 0)))
        self._end(packet, mine, other)
        _fill(segment, found)
        return found

    def _as_later(self, packet: Packet, mine: _Side, other: _Side, found: int) -> int:
        """What 4.4 makes of what 4.0 says of windows and duplicates."""
        options = packet._options
        if found & _WINDOW_UPDATE and options is not None and options.sack_blocks:
            mine.duplicates = mine.duplicates + 1 if mine.duplicates >= 0 else 1
            return found & ~_WINDOW_UPDATE | _DUPLICATE_ACK
        if self._opens(packet, mine, other):
            self._is_unknown = True  # of what follows: the guide does not say what is new then
            return found | _WINDOW_UPDATE
        return found

    def _begin(self, mine: _Side, other: _Side, seq: int, ack: int, flags: int) -> int:
        """Where numbers begin; `reused_ports` where they begin anew."""
        found = 0
        if flags & SYN and not flags & ACK:
            if self._reused:
                found, self._reused = _REUSED_PORTS, False
            if mine.base == seq:  # again: so far nothing has come behind it
                mine.next_seq = mine.whole_seq
        elif flags & SYN and mine.base is not None and mine.base != seq:
            found = _REUSED_PORTS
            mine.base = None
        if mine.base is None:
            mine.base = seq if flags & SYN else seq_add(seq, -1)
            mine.unacked.begin_at(mine.base)
        if flags & ACK:
            other.flight_known = True
            if other.base is None:
                other.base = seq_add(ack, -1)
                other.unacked.begin_at(other.base)
        return found

    def _fast_open(self, packet: Packet, length: int, flags: int, acked: int) -> int:
        """What became of data in a SYN (RFC 7413). `acked`: relative to the first number."""
        if not flags & SYN:
            return 0
        if not flags & ACK:
            options = packet._options
            if options is None or not options.has_cookie:
                return 0
            self._brings_early_data = self._brings_early_data or length > 0
            return _TFO_SYN
        if acked > 1:
            return _TFO_ACK
        return _TFO_IGNORED if self._brings_early_data else 0

    def _old(self, packet: Packet, seq: int, length: int, mine: _Side, other: _Side) -> int:
        """What brings nothing new: which of the four kinds it is."""
        behind = seq_diff(seq, mine.next_seq)
        if length and other.last_ack and seq_diff(seq_add(seq, length), other.last_ack) <= 0:
            return _RETRANSMISSION | _SPURIOUS
        if not mine.next_seq or behind >= 0 or (length > 1 and behind == -1):
            return 0
        asked_for = other.last_ack == seq and (other.duplicates >= 2 or other.duplicates < 0)
        if asked_for and (packet.time_ns - other.last_ns) % _UNSIGNED < _FAST_WITHIN_NS:
            return _RETRANSMISSION | _FAST
        end = seq_add(seq, length + bool(packet._flags & (SYN | FIN)))
        within_ns = (self.rtt_ns or _OUT_OF_ORDER_WITHIN_NS) % _UNSIGNED
        if (packet.time_ns - mine.next_ns) % _UNSIGNED < within_ns and mine.next_seq != end:
            return _OUT_OF_ORDER
        return _RETRANSMISSION

    def _end(self, packet: Packet, mine: _Side, other: _Side) -> None:
        """What a packet tells of the next ones: scales, selective ACKs, the round-trip time."""
        flags, options = packet._flags, packet._options
        if flags & SYN:
            scale = None if options is None else options.wscale
            mine.unscaled = True
            if scale is not None:
                mine.scale = scale
            if _has_cut_options(packet):  # what it would have offered is not known
                pass
            elif mine.scale == _UNKNOWN:
                mine.scale = other.scale = _UNUSED
            elif other.scale == _UNUSED and flags & ACK:
                mine.scale = _UNUSED
            if not flags & ACK:
                self._syn_ns = packet.time_ns
        elif flags & ACK:
            mine.unscaled = False
            if not self.rtt_ns and self._syn_ns is not None:  # 0 is as good as none
                self.rtt_ns = packet.time_ns - self._syn_ns
        mine.sacked_bytes = 0
        if options is not None and options.sack_blocks:
            blocks = options.sack_blocks[:_MOST_SACK_BLOCKS]
            mine.sacked_bytes = sum(seq_add(stop, -start) for start, stop in blocks)


def _is_repeated(packet: Packet, mine: _Side) -> bool:
    """Whether it is an ACK alone, of what its sender had acknowledged before."""
    if packet.payload_len_bytes or packet._flags & (SYN | FIN | RST):
        return False
    return packet.seg_seq == mine.next_seq and packet.seg_ack == mine.last_ack


def _windows(
    mine: _Side, other: _Side, seq: int, ack: int, window: int, length: int, flags: int
) -> int:
    """What a segment leaves out, what it says of windows, and what it says a second time."""
    ahead = seq_diff(seq, mine.next_seq)
    found = 0
    if ahead > 0 and mine.next_seq and not flags & RST:
        found = _LOST
        mine.flight_known = False  # until the other end speaks again
    if flags & (SYN | FIN | RST):
        return found
    if window == 0:
        found |= _ZERO_WINDOW
    if ahead == -1 and length <= 1:
        found |= _KEEP_ALIVE
    if length:
        if other.scale != _UNKNOWN:
            shift = 0 if other.unscaled or other.scale == _UNUSED else other.scale
            if seq_add(seq, length) == seq_add(other.last_ack, other.window << shift):
                found |= _WINDOW_FULL
        return found
    if ahead or ack != mine.last_ack:
        return found
    if window != mine.window:
        return found | _WINDOW_UPDATE if window else found
    if window and other.last_found & _KEEP_ALIVE:
        return found | _KEEP_ALIVE_ACK
    if not window:
        return found | _PROBE_ACK if other.last_found & _PROBE else found
    mine.duplicates = mine.duplicates + 1 if mine.duplicates >= 0 else 1
    return found | _DUPLICATE_ACK


def _ack_of_unseen(other: _Side) -> int:
    if seq_diff(other.whole_seq, other.next_seq) < 0:
        other.whole_seq = other.next_seq
        return _ACK_LOST
    found = 0 if other.duplicates else _ACK_LOST
    other.duplicates = -1
    return found


def _remember(packet: Packet, mine: _Side, seq: int, length: int, found: int) -> None:
    virtual = bool(packet._flags & (SYN | FIN))
    end = seq_add(seq, length)
    if length or virtual:
        whole = seq_add(end, virtual)
        if mine.unacked.add(seq, whole, packet.frame, packet.time_ns):
            end = whole
    if not found & _PROBE:
        if not mine.next_seq or seq_diff(end, mine.next_seq) > 0:
            mine.next_seq, mine.next_ns, mine.next_frame = end, packet.time_ns, packet.frame
        if not mine.whole_seq or seq == mine.whole_seq:
            mine.whole_seq = mine.next_seq
    mine.last_found = found


def _fill(segment: Segment, found: int) -> None:
    segment.retransmission = segment.fast_retransmission = segment.spurious_retransmission = False
    segment.out_of_order = segment.lost_segment = segment.ack_lost_segment = False
    segment.duplicate_ack = segment.zero_window = segment.zero_window_probe = False
    segment.zero_window_probe_ack = segment.window_full = segment.window_update = False
    segment.keep_alive = segment.keep_alive_ack = segment.reused_ports = False
    segment.tfo_syn = segment.tfo_ack = segment.tfo_ignored = False
    if found:
        for name, bit in zip(VERDICTS, _BITS, strict=True):
            if found & bit:
                setattr(segment, name, True)
