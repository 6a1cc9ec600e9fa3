"""Bulk following: rows of packets -> flows, segments, verdicts, how each connection ended.

The specification in restricted Python (see decode/kernels.py, whose rows these are): runs plain and
compiled. It says what `flows`, `segments`, `verdicts`, `unacked` and `connections` say, a packet at
a time and in numbers; what is not followed here gets the mark LEFT, and those files follow it.
Tests compare the two on every capture and on generated packets.

Two passes over a piece of the file, so that two threads can make them: `sort_flows` writes flows,
`follow` writes talks, halves and what is said of each segment.
Read first: those files; the few functions on sequence numbers repeat model/seqnum.
"""

# A conversation. Its key's ends are in order of address and port; the first of them is end 0.
FLOW = [
    ("first_high", "i8"),
    ("first_low", "i8"),
    ("second_high", "i8"),
    ("second_low", "i8"),
    ("ports", "i8"),  # both, the protocol, and whether it is IPv6
    ("first_base", "u4"),  # what number counts as 0, of end 0 and end 1
    ("second_base", "u4"),
    ("first_row", "i4"),
    ("stream", "i4"),
    ("marks", "i4"),
    ("client", "i4"),  # which end
]
# What both ends of a conversation said together.
TALK = [
    ("first_ns", "i8"),
    ("last_ns", "i8"),
    ("syn_ns", "i8"),  # the latest SYN, as the verdicts time it
    ("rtt_ns", "i8"),  # the first that the handshake shows; 0: none yet
    ("began_ns", "i8"),  # the client's first SYN
    ("shaken_ns", "i8"),  # the ACK that completed the handshake
    ("marks", "i4"),
    ("closed_by", "i1"),
    ("close_kind", "i1"),
    ("completeness", "u1"),
    ("unused", "u1"),
]
# What one end of it sent: first as `segments` follows it, then as `verdicts` does.
HALF = [
    ("packets", "i8"),
    ("wire_bytes", "i8"),
    ("base", "i8"),
    ("near", "i8"),
    ("una", "i8"),
    ("seen_bytes", "i8"),  # of the stream, each byte once
    ("top_start", "i8"),  # the highest range of them; the others are nodes, descending
    ("top_stop", "i8"),
    ("fin_end", "i8"),
    ("next_seq", "i8"),
    ("next_ns", "i8"),
    ("whole_seq", "i8"),
    ("last_ack", "i8"),
    ("last_ns", "i8"),
    ("window", "i8"),
    ("sacked_bytes", "i8"),
    ("low", "i8"),  # of what is not acknowledged: its first byte and its last, from the base on
    ("high", "i8"),
    ("taken", "i8"),  # the ACK that was last taken from it; -1: none since it changed
    ("ranges", "i4"),
    ("marks", "i4"),
    ("next_row", "i4"),
    ("ack_row", "i4"),  # the last that changed its ACK; -1: none
    ("push_bytes", "i4"),  # since its last PSH
    ("duplicates", "i4"),
    ("last_found", "i4"),
    ("unacked", "i4"),  # how many
    ("head", "i4"),  # of them, oldest first
    ("tail", "i4"),
    ("beyond", "i4"),  # up to here they lie beyond `taken`
    ("mss", "u2"),
    ("syn_ip_id", "u2"),
    ("wscale", "u1"),
    ("scale", "i1"),  # to apply to its windows; UNKNOWN
    ("factor", "i1"),  # the same as the verdicts take it; UNKNOWN, UNUSED
    ("state", "u1"),
    ("in_order", "u1"),  # what is not acknowledged
    ("unused", "u1"),
    ("unused_too", "u2"),
]
# A segment that is not acknowledged, or a range of bytes that was seen: an element of a list.
NODE = [("start", "i8"), ("stop", "i8"), ("row", "i4"), ("next", "i4")]
# How much is in use: flows, streams of each protocol; nodes, and the first of those given back.
USED = [
    ("flows", "i8"),
    ("tcp", "i8"),
    ("udp", "i8"),
    ("sorted", "i8"),  # rows that have a flow
    ("left", "i8"),  # whether any flow has that mark; and any talk
    ("nodes", "i8"),
    ("free", "i8"),
    ("talks_left", "i8"),
]
# What is said of a segment.
OUT = [
    ("seq", "i8"),
    ("ack", "i8"),
    ("acks_row", "i4"),  # -1: none
    ("rto_row", "i4"),  # what its timer ran from, or what ACK it repeats; -1: none
    ("number", "u4"),  # of a duplicate ACK which it is; of data the bytes in flight
    ("found", "u4"),
    ("push_bytes", "u4"),
]

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
TCP, UDP = 6, 17
BACKWARD, IS_IPV6, CUT, UNJUDGED_ROW = 1, 2, 4, 8  # marks of rows
HAS_MSS, HAS_WSCALE, HAS_SACK, HAS_TIMESTAMPS = 1 << 24, 1 << 25, 1 << 26, 1 << 27
HAS_COOKIE = 1 << 28
M32 = 0xFFFFFFFF
M63 = 0x7FFFFFFFFFFFFFFF
HALF_WAY = 1 << 31

# Marks of flows and talks.
SYN_SEEN, REUSED, LEFT, FIRST_BASE, SECOND_BASE = 1, 2, 4, 8, 16
OPENED, UNJUDGED, SYN_TIMED, UNANSWERED, SHAKEN, EARLY_DATA = 32, 64, 128, 256, 512, 1024
# Marks of halves. SYN_KNOWN: it sent one, or the number is proven.
HAS_BASE, SENT_SYN, SYN_KNOWN, MSS_KNOWN, WSCALE_KNOWN, SACK_OFFERED = 1, 2, 4, 8, 16, 32
TIMESTAMPS_OFFERED, SENT_OTHERS, SENT_FIN, GOT_FIN, FIN_ACKED = 64, 128, 256, 512, 1024
UNSCALED, FLIGHT_UNKNOWN, PUSHED = 2048, 4096, 8192

NO_STATE, SYN_SENT, SYN_RECEIVED, ESTABLISHED = 0, 1, 2, 3
FIN_WAIT_1, FIN_WAIT_2, CLOSE_WAIT, CLOSING, LAST_ACK, TIME_WAIT, CLOSED = 4, 5, 6, 7, 8, 9, 10
STATES = 11
BY_BOTH = 3  # closed_by: 1 and 2 are end 0 and end 1
BY_RST = 1

# `found`: the verdicts in the order of `verdict_names`, and what else is known of a segment.
RETRANSMISSION, FAST, SPURIOUS, OUT_OF_ORDER = 1, 2, 4, 8
LOST, ACK_LOST, DUPLICATE_ACK, ZERO_WINDOW, PROBE = 16, 32, 64, 128, 256
PROBE_ACK, WINDOW_FULL, WINDOW_UPDATE, KEEP_ALIVE, KEEP_ALIVE_ACK = 512, 1024, 2048, 4096, 8192
REUSED_PORTS, TFO_SYN, TFO_ACK, TFO_IGNORED = 1 << 14, 1 << 15, 1 << 16, 1 << 17
VERDICTS = 18
JUDGED, ACK_KNOWN, WINDOW_KNOWN, SHIFT = 1 << 18, 1 << 19, 1 << 20, 21
STATES_AT = 25  # behind the window's scale: the sender's state, times STATES, and the other's

UNKNOWN, UNUSED = -1, -2
LARGEST_SCALE = 14
FAST_WITHIN_NS = 20000000
OUT_OF_ORDER_WITHIN_NS = 3000000
MOST_IN_FLIGHT = 2000000000
MOST_UNACKED = 10000
MOST_RANGES = 4096  # looked at for one segment


def be16(buf, at):
    """Two bytes, the first counting most."""
    return (buf[at] << 8) | buf[at + 1]


def be32(buf, at):
    """Four of them."""
    return (buf[at] << 24) | (buf[at + 1] << 16) | (buf[at + 2] << 8) | buf[at + 3]


def be63(buf, at):
    """Half an IPv6 address, as a whole number of 64 bits with a sign."""
    high = be32(buf, at)
    if high >= HALF_WAY:
        high -= HALF_WAY + HALF_WAY
    return (high << 32) | be32(buf, at + 4)


def seq_diff(later, earlier):
    """The distance of two sequence numbers, with its sign."""
    return ((later - earlier + HALF_WAY) & M32) - HALF_WAY


def within(passed_ns, limit_ns):
    """Whether less than the limit passed; a stamp that goes backwards makes a very long time."""
    if (passed_ns < 0) == (limit_ns < 0):
        return passed_ns < limit_ns
    return limit_ns < 0


# --- flows


def _place_of(first_high, first_low, second_high, second_low, ports, mask):
    """Products that do not wait for each other; their low 63 bits are those of any whole number."""
    digest = (
        first_low * 0x1E3779B97F4A7C15
        + second_low * 0x3F58476D1CE4E5B9
        + first_high * 0x14D049BB133111EB
        + second_high * 0x2545F4914F6CDD1D
        + ports * 0x5851F42D4C957F2D
    ) & M63
    return (digest ^ (digest >> 32)) & mask


def _same_key(flow, first_high, first_low, second_high, second_low, ports):
    return (
        flow.ports == ports
        and flow.first_low == first_low
        and flow.second_low == second_low
        and flow.first_high == first_high
        and flow.second_high == second_high
    )


def rehash(table, mask, flows, useds):
    """Fill a larger, empty table; of each key with its latest flow."""
    for k in range(useds[0].flows):
        f = flows[k]
        at = _place_of(
            f.first_high, f.first_low, f.second_high, f.second_low, f.ports, mask
        )  # fmt: skip
        while table[at] >= 0 and not _same_key(
            flows[table[at]], f.first_high, f.first_low, f.second_high, f.second_low, f.ports
        ):
            at = (at + 1) & mask
        table[at] = k
    return 0


def sort_flows(buf, base, rows, first, last, number, table, mask, flows, useds, most):
    """Give rows first..last-1 their flows; stops at the row that finds no room for one more.

    `number` is what the first of `rows` counts as in the file.
    """
    used = useds[0]
    for i in range(first, last):
        row = rows[i]
        kind = row.kind
        if kind != TCP and kind != UDP:
            continue
        if used.flows >= most:
            return i
        ip = int(row.off) - base + row.ip_off
        marks = int(row.marks)
        if marks & IS_IPV6:
            a_high = be63(buf, ip + 8)
            a_low = be63(buf, ip + 16)
            b_high = be63(buf, ip + 24)
            b_low = be63(buf, ip + 32)
            ip += 40
        else:
            a_high = 0
            b_high = 0
            a_low = be32(buf, ip + 12)
            b_low = be32(buf, ip + 16)
            ip += 20
        sport = be16(buf, ip)
        dport = be16(buf, ip + 2)
        backward = 0
        if a_high > b_high or (
            a_high == b_high and (a_low > b_low or (a_low == b_low and sport > dport))
        ):
            backward = 1
            row.marks = marks | BACKWARD
            a_high, b_high = b_high, a_high
            a_low, b_low = b_low, a_low
            sport, dport = dport, sport
        ports = (int(kind) << 40) | ((marks & IS_IPV6) << 32) | (sport << 16) | dport
        at = _place_of(a_high, a_low, b_high, b_low, ports, mask)
        k = table[at]
        while k >= 0 and not _same_key(flows[k], a_high, a_low, b_high, b_low, ports):
            at = (at + 1) & mask
            k = table[at]
        flags = int(row.flags)
        syn = flags & (SYN | ACK)
        reused = False
        if k >= 0 and kind == TCP and syn == SYN:
            reused = _begins_anew(flows[k], int(row.seq), backward)
        if k < 0 or reused:
            k = used.flows
            used.flows = k + 1
            table[at] = k
            f = flows[k]
            f.first_high = a_high
            f.first_low = a_low
            f.second_high = b_high
            f.second_low = b_low
            f.ports = ports
            f.first_row = number + i
            f.client = backward
            f.marks = REUSED if reused else 0
            if a_high == b_high and a_low == b_low and sport == dport:  # one socket is both ends
                f.marks |= LEFT
                used.left = 1
            if kind == TCP:
                f.stream = used.tcp
                used.tcp += 1
                if syn == SYN | ACK:  # it answers the client
                    f.client = 1 - backward
            else:
                f.stream = used.udp
                used.udp += 1
        row.flow = k
        used.sorted += 1
        if kind == TCP:
            f = flows[k]
            if syn == SYN and not f.marks & SYN_SEEN:
                f.marks |= SYN_SEEN
                if f.client != backward:  # so far it was followed with the other for its client
                    f.marks |= LEFT
                    used.left = 1
            _note_bases(f, int(row.seq), int(row.ack), flags, backward)
    return last


def _begins_anew(flow, seq, backward):
    if backward:
        return flow.marks & SECOND_BASE != 0 and flow.second_base != seq
    return flow.marks & FIRST_BASE != 0 and flow.first_base != seq


def _note_bases(flow, seq, ack, flags, backward):
    """Where the numbers of both ends begin: a SYN decides, anew if need be."""
    known = FIRST_BASE
    others = SECOND_BASE
    if backward:
        known = SECOND_BASE
        others = FIRST_BASE
    if flags & SYN or not flow.marks & known:
        flow.marks |= known
        base = seq if flags & SYN else (seq - 1) & M32
        if backward:
            flow.second_base = base
        else:
            flow.first_base = base
    if flags & ACK and not flow.marks & others:
        flow.marks |= others
        if backward:
            flow.first_base = (ack - 1) & M32
        else:
            flow.second_base = (ack - 1) & M32


def pick(rows, first, last, wanted, wants, picked):
    """Which of rows first..last-1 are left aside or (`wants`) in a wanted flow; how many."""
    count = 0
    for i in range(first, last):
        row = rows[i]
        if row.kind == 0 or (wants and row.flow >= 0 and wanted[row.flow]):
            picked[count] = i
            count += 1
    return count


# --- segments


def follow(rows, first, last, number, flows, talks, halves, counts, nodes, useds, most, outs, keep):
    """Follow rows first..last-1, each in its flow; stops at the row that may find no node for it.

    What is said of a segment is written to `outs`: beside its row, or all to the first (keep: 0).
    """
    used = useds[0]
    for i in range(first, last):
        row = rows[i]
        k = row.flow
        if k < 0:
            continue
        if used.nodes + 2 > most:
            return i
        talk = talks[k]
        time_ns = int(row.time_ns)
        if not talk.marks & OPENED:
            talk.marks = OPENED
            talk.first_ns = time_ns
            talk.last_ns = time_ns
            _open_half(halves[2 * k])
            _open_half(halves[2 * k + 1])
        if time_ns < talk.first_ns:
            talk.first_ns = time_ns
        if time_ns > talk.last_ns:
            talk.last_ns = time_ns
        backward = int(row.marks) & BACKWARD
        mine = halves[2 * k + backward]
        mine.packets += 1
        mine.wire_bytes += int(row.origlen_bytes)
        if row.kind == UDP:
            mine.seen_bytes += int(row.payload_len_bytes)
            continue
        other = halves[2 * k + 1 - backward]
        flow = flows[k]
        out = outs[i * keep]
        found = 0
        if int(row.marks) & UNJUDGED_ROW:
            talk.marks |= UNJUDGED
        if talk.marks & UNJUDGED:
            out.acks_row = -1
            out.rto_row = -1
            out.number = 0
            out.push_bytes = 0
            _find_bases(talk, mine, other, row)
        else:
            found = _judge(row, flow, talk, mine, other, nodes, used, number + i, out)
            bits = found
            at = k * VERDICTS
            while bits:
                counts[at] += bits & 1
                bits >>= 1
                at += 1
            found |= JUDGED
        found |= _segment(row, talk, mine, other, flow.client == backward, nodes, used, out)
        _note_completeness(row, talk, number + i == flow.first_row)
        _close(row, talk, mine, other, backward, out, found)
        out.found = found | (int(mine.state) * STATES + int(other.state)) << STATES_AT
        if talk.marks & LEFT:
            used.talks_left = 1
    return last


def _open_half(half):
    half.ranges = -1
    half.scale = UNKNOWN
    half.in_order = 1
    half.taken = -1
    half.window = M32  # before the first, one that no header holds
    half.head = -1
    half.tail = -1
    half.beyond = -1
    half.next_row = -1
    half.ack_row = -1
    half.factor = UNKNOWN


def _find_bases(talk, mine, other, row):
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


def _segment(row, talk, mine, other, from_client, nodes, used, out):
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
    if has_bytes and not _add_range(nodes, used, mine, start, start + length):
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


def _add_range(nodes, used, mine, start, stop):
    """Note bytes as seen; False where it would take too long to find out which of them are new."""
    if mine.top_stop == mine.top_start:
        mine.top_start = start
        mine.top_stop = stop
        mine.seen_bytes += stop - start
        return True
    if start > mine.top_stop:
        node = _new_node(nodes, used, mine.top_start, mine.top_stop, 0)
        nodes[node].next = mine.ranges
        mine.ranges = node
        mine.top_start = start
        mine.top_stop = stop
        mine.seen_bytes += stop - start
        return True
    if start >= mine.top_start:
        if stop > mine.top_stop:
            mine.seen_bytes += stop - mine.top_stop
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
    mine.seen_bytes += stop - start - old_bytes
    if into_top:
        mine.top_start = start
        mine.top_stop = stop
        mine.ranges = at
        return True
    node_at = _new_node(nodes, used, start, stop, 0)
    nodes[node_at].next = at
    if before < 0:
        mine.ranges = node_at
    else:
        nodes[before].next = node_at
    return True


def _new_node(nodes, used, start, stop, row):
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


def _note_completeness(row, talk, is_first):
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


def _close(row, talk, mine, other, backward, out, found):
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


# --- verdicts


def _judge(row, flow, talk, mine, other, nodes, used, number, out):
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
    _find_bases(talk, mine, other, row)
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
    at = _new_node(nodes, used, start, stop, number)
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


LOADS = ("be16", "be32")
KERNELS = (
    "be63", "seq_diff", "within", "_place_of", "_same_key", "rehash",
    "_begins_anew", "_note_bases", "sort_flows", "pick",
    "_open_half", "_find_bases", "_new_node", "_add_range", "_read_syn", "_answers_lost_synack",
    "_segment", "_note_completeness", "_fin_leaves", "_close",
    "_begin", "_windows", "_ack_of_unseen", "_old", "_add_unacked", "_measure", "_size_bytes",
    "_take", "_remember", "_learn", "_fast_open", "_judge", "follow",
)  # fmt: skip
