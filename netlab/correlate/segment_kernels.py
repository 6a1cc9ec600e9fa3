"""A segment in its flow -> its relative numbers, the bytes it brought, how both ends' states move.

Restricted Python; see kernels.py, which is the way in. What it says is what `segments` says, and
of the states (RFC 9293 figure 5) what `closing` says.
"""

from netlab.correlate.record_kernels import (
    ACK,
    ACK_KNOWN,
    BY_BOTH,
    BY_RST,
    CLOSE_WAIT,
    CLOSED,
    CLOSING,
    ESTABLISHED,
    FIN,
    FIN_ACKED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    GOT_FIN,
    HAS_BASE,
    HAS_MSS,
    HAS_SACK,
    HAS_TIMESTAMPS,
    HAS_WSCALE,
    IS_IPV6,
    LARGEST_SCALE,
    LAST_ACK,
    LEFT,
    M32,
    MOST_RANGES,
    MSS_KNOWN,
    NO_STATE,
    RST,
    SACK_OFFERED,
    SENT_FIN,
    SENT_OTHERS,
    SENT_SYN,
    SHAKEN,
    SHIFT,
    SYN,
    SYN_KNOWN,
    SYN_RECEIVED,
    SYN_SENT,
    TIME_WAIT,
    TIMESTAMPS_OFFERED,
    UNANSWERED,
    WINDOW_KNOWN,
    WSCALE_KNOWN,
    seq_diff,
)


def find_bases(talk, mine, other, row):
    """Where relative numbers begin: as tshark does it, a SYN always decides, anew if need be."""
    seq = int(row.seq)
    flags = int(row.flags)
    if flags & SYN:
        if not mine.marks & HAS_BASE or mine.base != seq:
            mine.near = 0
            mine.una = 0
            if mine.unacked:  # they would be counted anew
                talk.marks |= LEFT
        mine.base = seq
        mine.marks |= HAS_BASE
    elif not mine.marks & HAS_BASE:
        mine.base = (seq - 1) & M32
        mine.marks |= HAS_BASE
    if flags & ACK and not other.marks & HAS_BASE:
        other.base = (int(row.ack) - 1) & M32
        other.marks |= HAS_BASE


def follow_segment(row, talk, side, mine, other, from_client, nodes, used, out):
    """Its relative numbers, the bytes that it brought, and what is known of its ACK and window."""
    seq = int(row.seq)
    length = int(row.payload_len_bytes)
    flags = int(row.flags)
    syn = 1 if flags & SYN else 0
    fin = 1 if flags & FIN else 0
    if syn:
        _read_syn(row, mine, other)
        if from_client and mine.marks & SENT_SYN == 0:
            talk.began_ns = row.time_ns
        mine.marks |= SENT_SYN | SYN_KNOWN
        mine.syn_ip_id = row.ip_id
        if flags & ACK:
            talk.marks |= UNANSWERED
    if from_client and _answers_lost_synack(row, mine, other):
        other.marks |= SYN_KNOWN
    if not syn:
        mine.marks |= SENT_OTHERS
    near = mine.near
    relative = near + seq_diff(seq, (mine.base + near) & M32)
    end = relative + length + syn + fin
    if end > near and not flags & RST:
        mine.near = end
    said = 0
    ack = 0
    if flags & ACK and other.marks & HAS_BASE:
        said = ACK_KNOWN
        near = other.near
        ack = near + seq_diff(int(row.ack), (other.base + near) & M32)
    if syn:
        said |= WINDOW_KNOWN
    elif mine.scale >= 0:
        said |= WINDOW_KNOWN | int(mine.scale) << SHIFT
    start = relative + syn - 1
    probe = length <= 1 and not syn and not fin and relative == mine.una - 1
    has_bytes = length and not probe and not flags & RST
    if has_bytes and not _add_range(nodes, used, side, mine, start, start + length):
        talk.marks |= LEFT
    if said & ACK_KNOWN and not flags & RST and ack > other.una:
        other.una = ack
    if from_client and talk.marks & UNANSWERED and flags & (SYN | RST | ACK) == ACK and ack >= 1:
        talk.marks &= ~UNANSWERED
        if not talk.marks & SHAKEN:
            talk.marks |= SHAKEN
            talk.shaken_ns = row.time_ns
    out.seq = relative
    out.ack = ack
    return said


def _read_syn(row, mine, other):
    """The options of a SYN; both scales are settled by the SYN-ACK (RFC 7323 2.2)."""
    options = int(row.options)
    if options & HAS_MSS:
        mine.mss = options & 0xFFFF
        mine.marks |= MSS_KNOWN
    if options & HAS_WSCALE:
        mine.wscale = (options >> 16) & 0xFF
        mine.marks |= WSCALE_KNOWN
    if options & HAS_SACK:
        mine.marks |= SACK_OFFERED
    if options & HAS_TIMESTAMPS:
        mine.marks |= TIMESTAMPS_OFFERED
    if not mine.marks & WSCALE_KNOWN:  # one end without the option switches it off for both
        mine.scale = 0
        other.scale = 0
    elif other.marks & SYN_KNOWN and other.marks & WSCALE_KNOWN:
        mine.scale = min(int(mine.wscale), LARGEST_SCALE)
        other.scale = min(int(other.wscale), LARGEST_SCALE)
    elif int(row.flags) & ACK and not other.marks & SYN_KNOWN:  # it may scale if the SYN did
        mine.scale = min(int(mine.wscale), LARGEST_SCALE)


def _answers_lost_synack(row, mine, other):
    """Whether this can only be the ACK that completed the handshake (see `segments`)."""
    if other.marks & SYN_KNOWN or int(row.flags) & (SYN | RST | ACK) != ACK:
        return False
    if not mine.marks & SENT_SYN or mine.marks & SENT_OTHERS or int(row.marks) & IS_IPV6:
        return False
    if mine.syn_ip_id == 0 or (int(row.ip_id) - int(mine.syn_ip_id)) & 0xFFFF != 1:
        return False
    return other.base == (int(row.ack) - 1) & M32


def _add_range(nodes, used, side, mine, start, stop):
    """Note bytes as seen; False where it would take too long to find out which of them are new."""
    if mine.top_stop == mine.top_start:
        mine.top_start = start
        mine.top_stop = stop
        side.seen_bytes += stop - start
        return True
    if start > mine.top_stop:
        node = new_node(nodes, used, mine.top_start, mine.top_stop, 0)
        nodes[node].next = mine.ranges
        mine.ranges = node
        mine.top_start = start
        mine.top_stop = stop
        side.seen_bytes += stop - start
        return True
    if start >= mine.top_start:
        if stop > mine.top_stop:
            side.seen_bytes += stop - mine.top_stop
            mine.top_stop = stop
        return True
    into_top = stop >= mine.top_start
    old_bytes = 0
    if into_top:
        old_bytes = mine.top_stop - mine.top_start
        stop = max(stop, mine.top_stop)
    before = -1
    at = mine.ranges
    looked = 0
    while at >= 0 and nodes[at].start > stop:
        before = at
        at = nodes[at].next
        looked += 1
        if looked > MOST_RANGES:
            return False
    while at >= 0 and nodes[at].stop >= start:
        node = nodes[at]
        start = min(start, node.start)
        stop = max(stop, node.stop)
        old_bytes += node.stop - node.start
        later = node.next
        node.next = used.free
        used.free = at
        at = later
    side.seen_bytes += stop - start - old_bytes
    if into_top:
        mine.top_start = start
        mine.top_stop = stop
        mine.ranges = at
        return True
    node_at = new_node(nodes, used, start, stop, 0)
    nodes[node_at].next = at
    if before < 0:
        mine.ranges = node_at
    else:
        nodes[before].next = node_at
    return True


def new_node(nodes, used, start, stop, row):
    """The place of a new element of a list: one that was given back, or the next."""
    at = used.free
    if at >= 0:
        used.free = nodes[at].next
    else:
        at = used.nodes
        used.nodes = at + 1
    node = nodes[at]
    node.start = start
    node.stop = stop
    node.row = row
    node.next = -1
    return at


def note_completeness(row, talk, is_first):
    """tshark 4.0's tcp.completeness, as it stands after the last frame."""
    flags = int(row.flags)
    bits = 0
    if flags & (SYN | ACK) == SYN and is_first:
        bits |= 1
    if flags & (SYN | ACK) == SYN | ACK:
        bits |= 2
    if row.payload_len_bytes:
        bits |= 8
    elif flags & (SYN | ACK) == ACK:
        bits |= 4
    if flags & (FIN | ACK) == FIN | ACK:
        bits |= 16
    if flags & RST:
        bits |= 32
    talk.completeness = int(talk.completeness) | bits


# --- how both ends' states move (RFC 9293 figure 5), as `connections` has it


def follow_close(row, talk, mine, other, backward, out, found):
    """What a segment left behind at its sender, and what its coming did at the other end."""
    flags = int(row.flags)
    if flags & RST:
        if not (mine.marks & FIN_ACKED and other.marks & FIN_ACKED):
            if talk.close_kind != BY_RST:
                talk.closed_by = 1 + backward
                talk.close_kind = BY_RST
                mine.state = CLOSED
            other.state = CLOSED
        return
    if flags & SYN:
        if flags & ACK:
            if mine.state == NO_STATE or mine.state == SYN_SENT:
                mine.state = SYN_RECEIVED
            if other.state == NO_STATE or other.state == SYN_SENT:
                other.state = ESTABLISHED
        elif mine.state == NO_STATE:
            mine.state = SYN_SENT
        return
    if mine.state == NO_STATE or mine.state == SYN_RECEIVED:
        mine.state = ESTABLISHED
    if flags & FIN and not mine.marks & SENT_FIN:
        _fin_leaves(row, talk, mine, other, backward, out, found)
    if other.state == NO_STATE or other.state == SYN_RECEIVED:
        other.state = ESTABLISHED
    if found & ACK_KNOWN and other.marks & SENT_FIN and out.ack >= other.fin_end:
        other.marks |= FIN_ACKED
        if other.state == FIN_WAIT_1:
            other.state = FIN_WAIT_2
        elif other.state == CLOSING:
            other.state = TIME_WAIT
        elif other.state == LAST_ACK:
            other.state = CLOSED
    if flags & FIN and not other.marks & GOT_FIN:
        other.marks |= GOT_FIN
        if other.state == ESTABLISHED:
            other.state = CLOSE_WAIT
        elif other.state == FIN_WAIT_1:
            other.state = CLOSING
        elif other.state == FIN_WAIT_2:
            other.state = TIME_WAIT


def _fin_leaves(row, talk, mine, other, backward, out, found):
    mine.marks |= SENT_FIN
    mine.fin_end = out.seq + int(row.payload_len_bytes) + 1
    if not other.marks & SENT_FIN:
        talk.closed_by = 1 + backward
    elif not found & ACK_KNOWN or out.ack < other.fin_end:  # before the other's was taken in
        talk.closed_by = BY_BOTH
        if mine.state == CLOSE_WAIT:
            mine.state = CLOSING
    if mine.state == ESTABLISHED:
        mine.state = FIN_WAIT_1
    elif mine.state == CLOSE_WAIT:
        mine.state = LAST_ACK


LOADS = ()
KERNELS = (
    "find_bases", "new_node", "_add_range", "_read_syn", "_answers_lost_synack", "follow_segment",
    "note_completeness", "_fin_leaves", "follow_close",
)  # fmt: skip
