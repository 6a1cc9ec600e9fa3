"""Segments below the newest: overtaken, the same packet once more, or sent again in vain.

Restricted Python; see second_kernels.py, which is the way in. What it says is what `late`, `twins`
and `in_vain` say, and of a SYN that comes again what `second_verdicts` says.
"""

from netlab.correlate.range_kernels import covers
from netlab.correlate.sender_kernels import add_copy, copy_at, last_copy, original, told_twice
from netlab.correlate.sender_record_kernels import (
    ACK,
    AFTER_ANY,
    BLOCKS,
    FINDINGS,
    GAP_ID,
    GAP_STAMP,
    GAP_UNSURE,
    IDS,
    IS_IPV6,
    MAYBE_TWIN,
    MOST_TWICE,
    ONCE_MORE,
    OVERTAKEN_ID,
    OVERTAKEN_STAMP,
    SAID_OF,
    SAME_STAMP,
    SETTLED,
    SYN,
    SYN_AGAIN,
    SYN_ALONE,
    SYN_ANSWERS,
    SYN_HEARD,
    TWICE_TOLD,
    TWIN,
    TWIN_INTERFACE,
    TWIN_LATE,
    TWIN_OPEN,
    TWIN_TTL,
    TWIN_VLAN,
    V_BY_CAPTURE,
    V_BY_NETWORK,
    V_KEEP_ALIVE,
    V_REORDERED,
    V_RTO,
    V_SPURIOUS,
    V_TAIL_PROBE,
    VAIN_ACK,
    VAIN_DSACK,
    VAIN_ECHO,
    VAIN_SACK,
    distance,
    length_of,
    stamp_of,
)

TWICE_WITHIN_NS = 10000000
COUNTS = 4  # packets in a row, numbered upwards
FEWEST_TWINS = 5  # pairs
MOST_MAYBE = 10000
WAS_OPEN = 2  # a mark of findings, beside MAYBE_TWIN
SOONEST_SYN_NS = 190000000


# --- late, or sent anew


def fills_gap(rows, spoken, work, i, place, me, seq, find):
    """Of bytes that this capture had not: whether it is late, or may be."""
    hole = work[place]
    beyond = int(hole.first)
    find.row_a = beyond
    mine = stamp_of(spoken[i])
    theirs = stamp_of(spoken[beyond])
    if mine >= 0 and theirs >= 0:
        apart = distance(mine, theirs)
        if apart > 0:
            return False
        if apart < 0:
            find.verdict = V_REORDERED
            find.reason = GAP_STAMP
            return True
    if hole.row >= 0 and not int(rows[i].marks) & IS_IPV6:
        number = rows[i].ip_id + 0
        after = rows[beyond].ip_id + 0
        before = rows[hole.row].ip_id + 0
        if number and after and before:
            between = (after - before) & 0xFFFF
            if 0 < (number - before) & 0xFFFF < between < IDS:
                find.verdict = V_REORDERED
                find.reason = GAP_ID
                return True
            if 0 < (number - after) & 0xFFFF < IDS and between == 1:
                return False
    find.reason = GAP_UNSURE
    find.one = 1 if me.sack_top > seq or me.duplicates > 0 else 0
    return True


def is_once_more(rows, segs, spoken, blocks, work, i, had, me, state, find):
    """Of bytes that `had` brought: whether it may be that packet."""
    row = rows[i]
    find.row_a = had
    mine = stamp_of(spoken[i])
    theirs = stamp_of(spoken[had])
    if mine >= 0 and theirs >= 0:
        apart = distance(mine, theirs)
        if apart > 0:
            return False
        if apart < 0:
            find.verdict = V_REORDERED
            find.reason = OVERTAKEN_STAMP
            return True
        if mine == theirs and me.ts_newest >= 0 and distance(me.ts_newest, mine) > 0:
            _doubt(rows, segs, work, i, had, me)
            find.reason = SAME_STAMP
            return True
    number = row.ip_id + 0
    theirs = rows[had].ip_id + 0
    if not int(row.marks) & IS_IPV6 and number and theirs and number != theirs:
        if (theirs - number) & 0xFFFF < IDS and me.id_steps >= COUNTS:
            find.verdict = V_REORDERED
            find.reason = OVERTAKEN_ID
            return True
        return False
    if row.time_ns - rows[had].time_ns > TWICE_WITHIN_NS:  # none is doubled so late
        return False
    if _is_same_header(rows, spoken, blocks, i, had) and state.maybe_twins < MOST_MAYBE:
        state.maybe_twins += 1
        find.marks = MAYBE_TWIN
    find.reason = ONCE_MORE
    return True


def syn_again(work, rows, i, me, other, find):
    """A SYN or SYN-ACK that is not the first: the timer sends it, or who got a SYN again."""
    place = last_copy(me, work, 0)
    first = int(work[place].row) if place >= 0 else original(me, work, 0)
    if first < 0:
        find.reason = SYN_AGAIN
        return
    first_ns = rows[first].time_ns
    find.row_a = first
    find.wait_ns = rows[i].time_ns - first_ns
    if me.heard_ns > first_ns or find.wait_ns < SOONEST_SYN_NS:
        find.reason = SYN_HEARD
        return
    if int(rows[i].flags) & ACK:
        number = other.copies - 1
        while number >= 0:
            syn = work[copy_at(other, number)]
            if syn.time_ns > first_ns:
                find.reason = SYN_ANSWERS
                find.row_b = syn.row
                return
            number -= 1
    find.verdict = V_RTO
    find.reason = SYN_ALONE


# --- one packet, twice


def is_same_packet(rows, spoken, blocks, i, before):
    """Whether two frames with one identification hold one packet."""
    return rows[i].ip_id == rows[before].ip_id and _is_same_header(rows, spoken, blocks, i, before)


def _is_same_header(rows, spoken, blocks, i, before):
    a = rows[i]
    b = rows[before]
    if (
        a.seq != b.seq
        or a.ack != b.ack
        or a.flags != b.flags
        or a.payload_len_bytes != b.payload_len_bytes
        or a.window != b.window
    ):
        return False
    mine = spoken[i]
    theirs = spoken[before]
    if (
        mine.offered != theirs.offered
        or mine.ts_val != theirs.ts_val
        or mine.ts_ecr != theirs.ts_ecr
        or mine.blocks % BLOCKS != theirs.blocks % BLOCKS
    ):
        return False
    one = mine.blocks // BLOCKS
    two = theirs.blocks // BLOCKS
    for number in range(mine.blocks % BLOCKS):
        if (
            blocks[one + number].start != blocks[two + number].start
            or blocks[one + number].stop != blocks[two + number].stop
        ):
            return False
    return True


def add_twin(rows, segs, names, work, i, before, me, state, find):
    """A segment has the header and the identification of one before."""
    row = rows[i]
    first = rows[before]
    length = length_of(row)
    late_ns = abs(row.time_ns - first.time_ns)
    find.row_a = before
    place = 0
    if names[row.interface] != names[first.interface]:
        place = TWIN_INTERFACE
    elif row.ttl != first.ttl:
        place = TWIN_TTL
    elif row.vlan != first.vlan:
        place = TWIN_VLAN
    if place:
        find.verdict = V_BY_CAPTURE
        find.reason = place
        state.once_more += 1
    elif late_ns > TWICE_WITHIN_NS:
        find.reason = TWIN_LATE
        find.wait_ns = late_ns
        if length:
            _doubt(rows, segs, work, i, before, me)
            work[copy_at(me, me.copies - 1)].marks = TWIN | SETTLED
    else:
        find.reason = TWIN_OPEN
        find.marks = WAS_OPEN
        state.once_more += 1
        if length and 2 * late_ns < _trip_ns(me):
            _doubt(rows, segs, work, i, before, me)


def _doubt(rows, segs, work, i, before, me):
    """It is a packet once more: a D-SACK may yet tell who did it."""
    seq = segs[i].seq
    add_copy(me, work, i, seq, seq + length_of(rows[i]), rows[i].time_ns, before, TWIN)


def _trip_ns(me):
    """The shortest time in which a sender can have heard that a packet was lost; 0: not known."""
    trip_ns = me.rtt_min_ns
    if not trip_ns or 0 < me.ts_rtt_min_ns < trip_ns:
        trip_ns = me.ts_rtt_min_ns
    return trip_ns + me.near_ns if trip_ns else 0


def settle_twins(rows, places, first, last, senders, said, finds, state):
    """At the end: where nearly all stand twice, the capture did it."""
    again = state.once_more
    if again < FEWEST_TWINS:
        return
    numbered = 0
    vary = False
    for at in range(first, last):
        i = places[at]
        if rows[i].ip_id:
            numbered += 1
        if said[i] >= FINDINGS and finds[said[i] - FINDINGS].marks & WAS_OPEN:
            vary = vary or senders[int(rows[i].marks) & 1].ids_vary != 0
    if 20 * again < 9 * numbered or not vary:
        return
    for at in range(first, last):
        i = places[at]
        if said[i] < FINDINGS:
            continue
        find = finds[said[i] - FINDINGS]
        if find.marks and not find.verdict:
            find.verdict = V_BY_CAPTURE
            find.reason = MOST_TWICE
            find.one = again
            find.two = numbered


# --- in vain


def had_it(rows, work, said, finds, copy, me):
    """A copy comes to its receiver: had that acknowledged all of it?"""
    if copy.stop <= me.una:
        _in_vain(rows, said, finds, copy, VAIN_ACK, me.una_row)
    elif covers(me, work, max(copy.start, me.una), copy.stop):
        _in_vain(rows, said, finds, copy, VAIN_SACK, me.sack_row)


def echo_told(rows, spoken, work, said, finds, i, ack, echo, me):
    """An ACK for `me` that acknowledges something new echoes this timestamp."""
    if ack <= me.una:
        return
    for number in range(me.copies):
        copy = work[copy_at(me, number)]
        if copy.marks & TWIN or not (copy.start <= me.una and me.una < copy.stop):
            continue
        ts_val = stamp_of(spoken[copy.row])
        if ts_val < 0 or distance(echo, ts_val) >= 0:
            continue
        _not_lost(me, copy)
        if not copy.marks & SETTLED:
            _in_vain(rows, said, finds, copy, VAIN_ECHO, i)


def duplicate_told(rows, blocks, work, said, finds, i, sack, ack, me):
    """A D-SACK for `me` names bytes that came a second time."""
    if not told_twice(me, work, blocks, sack, ack):
        return
    here = (me.base + ack) & 0xFFFFFFFF
    block = blocks[sack // BLOCKS]
    start = ack + distance(block.start, here)
    stop = ack + distance(block.stop, here)
    number = me.copies - 1
    while number >= 0:
        copy = work[copy_at(me, number)]
        number -= 1
        if not copy.marks & SAID_OF:
            continue
        if not copy.marks & TWIN:
            _not_lost(me, copy)
        if copy.marks & SETTLED:
            continue
        find = finds[said[copy.row] - FINDINGS]
        if copy.marks & TWIN:
            copy.marks |= SETTLED
            if not find.verdict and copy.first >= 0 and me.ids_vary:
                find.verdict = V_BY_NETWORK
                find.reason = TWICE_TOLD
                find.row_a = copy.first
                find.row_b = i
                find.one = start
                find.two = stop
        elif _in_vain(rows, said, finds, copy, VAIN_DSACK, i):
            find.vain_start = start
            find.vain_stop = stop


def _not_lost(me, copy):
    """A sender that learns so may take back the recovery that began with it (RFC 3522)."""
    if copy.row == me.recover_row:
        me.recover_kind = AFTER_ANY


def _in_vain(rows, said, finds, copy, how, row):
    find = finds[said[copy.row] - FINDINGS]
    copy.marks |= SETTLED
    if int(rows[copy.row].flags) & SYN and find.verdict != V_RTO:
        return False  # what else makes a SYN be sent again is not known
    find.vain = how
    find.vain_row = row
    find.vain_of = find.verdict
    find.verdict = V_SPURIOUS
    return True


def take_back(places, first, last, said, finds):
    """Verdicts that rest on what was not heard, where it may have been and was not captured."""
    for at in range(first, last):
        if said[places[at]] < FINDINGS:
            continue
        find = finds[said[places[at]] - FINDINGS]
        if find.verdict in (V_RTO, V_TAIL_PROBE, V_KEEP_ALIVE):
            find.taken = find.verdict
            find.verdict = 0


LOADS = ()
KERNELS = (
    "fills_gap", "_doubt", "_is_same_header", "is_once_more", "syn_again", "is_same_packet",
    "_trip_ns", "add_twin", "settle_twins", "_in_vain", "_not_lost", "had_it", "echo_told",
    "duplicate_told", "take_back",
)  # fmt: skip
