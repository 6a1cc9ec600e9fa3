"""A segment in its flow -> tshark's verdicts on it, as bits, and what is measured beside them.

Restricted Python; see kernels.py, which is the way in. What it says is what `verdicts` says, and
`unacked` of what is not acknowledged.
"""

from netlab.correlate.record_kernels import (
    ACK,
    ACK_LOST,
    CUT,
    DUPLICATE_ACK,
    EARLY_DATA,
    FAST,
    FAST_WITHIN_NS,
    FIN,
    FLIGHT_UNKNOWN,
    HALF_WAY,
    HAS_BASE,
    HAS_COOKIE,
    HAS_WSCALE,
    KEEP_ALIVE,
    KEEP_ALIVE_ACK,
    LOST,
    M32,
    MOST_IN_FLIGHT,
    MOST_UNACKED,
    OUT_OF_ORDER,
    OUT_OF_ORDER_WITHIN_NS,
    PROBE,
    PROBE_ACK,
    PSH,
    PUSHED,
    RETRANSMISSION,
    REUSED,
    REUSED_PORTS,
    RST,
    SPURIOUS,
    SYN,
    SYN_TIMED,
    TFO_ACK,
    TFO_IGNORED,
    TFO_SYN,
    UNKNOWN,
    UNSCALED,
    UNUSED,
    WINDOW_FULL,
    WINDOW_UPDATE,
    ZERO_WINDOW,
    seq_diff,
    within,
)
from netlab.correlate.segment_kernels import (
    find_bases,
    new_node,
)


def judge(row, flow, talk, mine, other, nodes, used, number, out):
    """The verdicts of tshark 4.0 on a segment, as bits; what is measured goes to `out`."""
    seq = int(row.seq)
    ack = int(row.ack)
    length = int(row.payload_len_bytes)
    flags = int(row.flags)
    time_ns = int(row.time_ns)
    found = _begin(flow, talk, mine, other, row, number)
    out.number = 0
    out.rto_row = -1
    out.push_bytes = 0
    if length == 1 and seq == mine.next_seq and other.window == 0:
        found |= PROBE
    else:
        found |= _windows(mine, other, seq, ack, int(row.window), length, flags)
        if found & DUPLICATE_ACK:
            out.number = mine.duplicates
            out.rto_row = mine.ack_row
    if ack != mine.last_ack:
        mine.duplicates = 0
        mine.ack_row = number
    if flags & ACK and other.whole_seq and seq_diff(ack, other.whole_seq) > 0:
        found |= _ack_of_unseen(other)
    if (length or flags & (SYN | FIN)) and not found & KEEP_ALIVE:
        old = _old(talk, mine, other, seq, length, flags, time_ns)
        found |= old
        if old == RETRANSMISSION:
            out.rto_row = nodes[mine.head].row if mine.unacked else mine.next_row
    _remember(mine, nodes, used, number, seq, length, flags, found, time_ns)
    mine.window = int(row.window)
    mine.last_ack = ack
    mine.last_ns = time_ns
    out.acks_row = _take(other, nodes, used, ack)
    if length and not mine.marks & FLIGHT_UNKNOWN:
        mine.push_bytes = length if mine.marks & PUSHED else mine.push_bytes + length
        mine.marks |= PUSHED
        if not flags & PSH:
            mine.marks ^= PUSHED
        size = (_size_bytes(mine) - other.sacked_bytes) & M32
        if 0 < size < MOST_IN_FLIGHT:
            out.number = size - (1 if flags & (SYN | FIN) else 0)
            if out.number:
                out.push_bytes = mine.push_bytes
    if flags & SYN:
        found |= _fast_open(talk, int(row.options), length, flags, (ack - other.base) & M32)
    _learn(talk, mine, other, int(row.options), flags, time_ns, int(row.marks) & CUT)
    return found


def _fast_open(talk, options, length, flags, acked):
    """What became of data in a SYN (RFC 7413). `acked`: relative to the first number."""
    if not flags & ACK:
        if not options & HAS_COOKIE:
            return 0
        if length:
            talk.marks |= EARLY_DATA
        return TFO_SYN
    if acked > 1:
        return TFO_ACK
    return TFO_IGNORED if talk.marks & EARLY_DATA else 0


def _begin(flow, talk, mine, other, row, number):
    """Where numbers begin; `reused_ports` where they begin anew."""
    flags = int(row.flags)
    found = 0
    if flags & (SYN | ACK) == SYN:
        if flow.marks & REUSED and number == flow.first_row:
            found = REUSED_PORTS
        if mine.marks & HAS_BASE and mine.base == int(row.seq):
            mine.next_seq = mine.whole_seq  # again: so far nothing has come behind it
    elif flags & SYN and mine.marks & HAS_BASE and mine.base != int(row.seq):
        found = REUSED_PORTS
    if flags & ACK:
        other.marks &= ~FLIGHT_UNKNOWN
    find_bases(talk, mine, other, row)
    return found


def _windows(mine, other, seq, ack, window, length, flags):
    """What a segment leaves out, what it says of windows, and what it says a second time."""
    ahead = seq_diff(seq, mine.next_seq)
    found = 0
    if ahead > 0 and mine.next_seq and not flags & RST:
        found = LOST
        mine.marks |= FLIGHT_UNKNOWN  # until the other end speaks again
    if flags & (SYN | FIN | RST):
        return found
    if window == 0:
        found |= ZERO_WINDOW
    if ahead == -1 and length <= 1:
        found |= KEEP_ALIVE
    if length:
        if other.factor != UNKNOWN:
            shift = int(other.factor)
            if other.marks & UNSCALED or shift == UNUSED:
                shift = 0
            if (seq + length) & M32 == (other.last_ack + (other.window << shift)) & M32:
                found |= WINDOW_FULL
        return found
    if ahead or ack != mine.last_ack:
        return found
    if window != mine.window:
        return found | WINDOW_UPDATE if window else found
    if window and other.last_found & KEEP_ALIVE:
        return found | KEEP_ALIVE_ACK
    if not window:
        return found | PROBE_ACK if other.last_found & PROBE else found
    mine.duplicates = mine.duplicates + 1 if mine.duplicates >= 0 else 1
    return found | DUPLICATE_ACK


def _ack_of_unseen(other):
    if seq_diff(other.whole_seq, other.next_seq) < 0:
        other.whole_seq = other.next_seq
        return ACK_LOST
    found = 0 if other.duplicates else ACK_LOST
    other.duplicates = -1
    return found


def _old(talk, mine, other, seq, length, flags, time_ns):
    """What brings nothing new: which of the four kinds it is."""
    behind = seq_diff(seq, mine.next_seq)
    if length and other.last_ack and seq_diff((seq + length) & M32, other.last_ack) <= 0:
        return RETRANSMISSION | SPURIOUS
    if not mine.next_seq or behind >= 0 or (length > 1 and behind == -1):
        return 0
    asked_for = other.last_ack == seq and (other.duplicates >= 2 or other.duplicates < 0)
    if asked_for and within(time_ns - other.last_ns, FAST_WITHIN_NS):
        return RETRANSMISSION | FAST
    end = (seq + length + (1 if flags & (SYN | FIN) else 0)) & M32
    limit_ns = talk.rtt_ns if talk.rtt_ns else OUT_OF_ORDER_WITHIN_NS
    if within(time_ns - mine.next_ns, limit_ns) and mine.next_seq != end:
        return OUT_OF_ORDER
    return RETRANSMISSION


def _remember(mine, nodes, used, number, seq, length, flags, found, time_ns):
    end = (seq + length) & M32
    if length or flags & (SYN | FIN):
        whole = (end + (1 if flags & (SYN | FIN) else 0)) & M32
        if mine.unacked < MOST_UNACKED:
            _add_unacked(mine, nodes, used, seq, whole, number)
            end = whole
    if not found & PROBE:
        if not mine.next_seq or seq_diff(end, mine.next_seq) > 0:
            mine.next_seq = end
            mine.next_ns = time_ns
            mine.next_row = number
        if not mine.whole_seq or seq == mine.whole_seq:
            mine.whole_seq = mine.next_seq
    mine.last_found = found


def _learn(talk, mine, other, options, flags, time_ns, cut):
    """What a segment tells of the next ones: scales, selective ACKs, the round-trip time."""
    mine.sacked_bytes = 0
    if flags & SYN:
        mine.marks |= UNSCALED
        if options & HAS_WSCALE:
            scale = (options >> 16) & 0xFF
            mine.factor = min(scale, 40)  # from 32 on it shifts all away
        if cut:  # what it would have offered is not known
            pass
        elif mine.factor == UNKNOWN:
            mine.factor = UNUSED
            other.factor = UNUSED
        elif other.factor == UNUSED and flags & ACK:
            mine.factor = UNUSED
        if not flags & ACK:
            talk.syn_ns = time_ns
            talk.marks |= SYN_TIMED
        return
    mine.sacked_bytes = options
    if flags & ACK:
        mine.marks &= ~UNSCALED
        if talk.rtt_ns == 0 and talk.marks & SYN_TIMED:  # 0 is as good as none
            talk.rtt_ns = time_ns - talk.syn_ns


# --- what is not acknowledged, as `unacked` has it


def _add_unacked(mine, nodes, used, seq, end, number):
    start = (seq - mine.base) & M32
    stop = (end - mine.base) & M32
    at = new_node(nodes, used, start, stop, number)
    if mine.unacked == 0:
        mine.in_order = 1 if start <= stop else 0
        mine.head = at
        mine.low = start
        mine.high = stop
        mine.taken = -1
    else:
        last = nodes[mine.tail].stop
        if start < last or stop < start:
            mine.in_order = 0
        nodes[mine.tail].next = at
        mine.low = min(mine.low, start)
        mine.high = max(mine.high, stop)
    mine.tail = at
    mine.unacked += 1


def _size_bytes(mine):
    if mine.unacked == 0:
        return 0
    return mine.high - mine.low


def _take(half, nodes, used, ack):
    """Take out what an ACK covers; the row of the oldest that ends just there, or -1."""
    if half.unacked == 0:
        return -1
    ack = (ack - half.base) & M32
    straight = (
        half.in_order
        and half.high - half.low < HALF_WAY
        and abs(ack - half.low) < HALF_WAY
        and abs(ack - half.high) < HALF_WAY
    )
    before = -1
    at = half.head
    if ack == half.taken:
        before = half.beyond
        at = nodes[before].next
    found = -1
    changed = False
    while at >= 0:
        node = nodes[at]
        beyond = (node.stop - ack) & M32
        later = node.next
        if 0 < beyond < HALF_WAY:
            if 0 < (ack - node.start) & M32 < HALF_WAY:
                node.start = ack
                changed = True
            elif straight and node.start >= ack:  # and so do all that follow
                at = half.tail
                later = -1
            before = at
        else:
            if beyond == 0 and found < 0:
                found = node.row
            if before < 0:
                half.head = later
            else:
                nodes[before].next = later
            node.next = used.free
            used.free = at
            half.unacked -= 1
            changed = True
        at = later
    if half.unacked == 0:
        half.tail = -1
        half.taken = -1
        return found
    half.tail = before
    half.taken = ack
    half.beyond = before
    if changed:
        _measure(half, nodes)
    return found


def _measure(half, nodes):
    """First and last byte of what is left."""
    if half.in_order:
        half.low = nodes[half.head].start
        half.high = nodes[half.tail].stop
        return
    at = half.head
    half.low = nodes[at].start
    half.high = nodes[at].stop
    while at >= 0:
        half.low = min(half.low, nodes[at].start)
        half.high = max(half.high, nodes[at].stop)
        at = nodes[at].next


LOADS = ()
KERNELS = (
    "_begin", "_windows", "_ack_of_unseen", "_old", "_add_unacked", "_measure", "_size_bytes",
    "_take", "_remember", "_learn", "_fast_open", "judge",
)  # fmt: skip
