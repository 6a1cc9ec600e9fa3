"""Bulk following: rows of packets -> flows, segments, verdicts, how each connection ended.

The specification in restricted Python (see decode/kernels.py, whose rows these are): runs plain and
compiled. Its parts lie beside it, in the order in which to read them: record_kernels (what is kept
of a flow, a connection and an end), sort_kernels, segment_kernels, verdict_kernels. They say what
`flows`, `segments`, `verdicts`, `unacked` and `connections` say, a packet at a time and in numbers;
what is not followed here gets the mark LEFT, and those files follow it.
Tests compare the two on every capture and on generated packets.

Two passes over a piece of the file, so that two threads can make them: `sort_flows` writes flows,
`follow` writes talks, sides, halves and what is said of each segment.
Read first: those files; the few functions on sequence numbers repeat model/seqnum.
"""

from netlab.correlate.record_kernels import (
    ACK,
    ACK_KNOWN,
    ACK_LOST,
    BACKWARD,
    BY_BOTH,
    BY_RST,
    DUPLICATE_ACK,
    FAST,
    FIN,
    FLOW,
    HALF,
    IS_IPV6,
    JUDGED,
    KEEP_ALIVE,
    KEEP_ALIVE_ACK,
    LARGEST_SCALE,
    LEFT,
    LOST,
    M32,
    MOST_IN_FLIGHT,
    MOST_UNACKED,
    MSS_KNOWN,
    NODE,
    OPENED,
    OUT,
    OUT_OF_ORDER,
    PROBE,
    PROBE_ACK,
    RETRANSMISSION,
    REUSED_PORTS,
    RST,
    SACK_OFFERED,
    SENT_FIN,
    SENT_SYN,
    SHAKEN,
    SHIFT,
    SIDE,
    SPURIOUS,
    STATES,
    STATES_AT,
    SYN,
    TALK,
    TCP,
    TFO_ACK,
    TFO_IGNORED,
    TFO_SYN,
    TIMESTAMPS_OFFERED,
    UDP,
    UNJUDGED,
    UNJUDGED_ROW,
    UNKNOWN,
    USED,
    USED_BEHIND,
    VERDICTS,
    WINDOW_FULL,
    WINDOW_KNOWN,
    WINDOW_UPDATE,
    WSCALE_KNOWN,
    ZERO_WINDOW,
    seq_diff,
    within,
)
from netlab.correlate.segment_kernels import (
    find_bases,
    follow_close,
    follow_segment,
    note_completeness,
)
from netlab.correlate.sort_kernels import (
    pick,
    rehash,
    sort_flows,
)
from netlab.correlate.verdict_kernels import (
    judge,
)


def follow(
    rows, first, last, number, flows, talks, sides, halves, counts, nodes, useds, most, outs, keep
):
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
            if row.kind != UDP:
                _open_half(halves[2 * flows[k].stream])
                _open_half(halves[2 * flows[k].stream + 1])
        if time_ns < talk.first_ns:
            talk.first_ns = time_ns
        if time_ns > talk.last_ns:
            talk.last_ns = time_ns
        backward = int(row.marks) & BACKWARD
        side = sides[2 * k + backward]
        side.packets += 1
        side.wire_bytes += int(row.origlen_bytes)
        if row.kind == UDP:
            side.seen_bytes += int(row.payload_len_bytes)
            continue
        flow = flows[k]
        stream = int(flow.stream)
        mine = halves[2 * stream + backward]
        other = halves[2 * stream + 1 - backward]
        out = outs[i * keep]
        found = 0
        if int(row.marks) & UNJUDGED_ROW:
            talk.marks |= UNJUDGED
        if talk.marks & UNJUDGED:
            out.acks_row = -1
            out.rto_row = -1
            out.number = 0
            out.push_bytes = 0
            find_bases(talk, mine, other, row)
        else:
            found = judge(row, flow, talk, mine, other, nodes, used, number + i, out)
            bits = found
            at = stream * VERDICTS
            while bits:
                counts[at] += bits & 1
                bits >>= 1
                at += 1
            found |= JUDGED
        from_client = flow.client == backward
        found |= follow_segment(row, talk, side, mine, other, from_client, nodes, used, out)
        note_completeness(row, talk, number + i == flow.first_row)
        follow_close(row, talk, mine, other, backward, out, found)
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


LOADS = ()
KERNELS = (
    "_open_half", "follow",
)  # fmt: skip
