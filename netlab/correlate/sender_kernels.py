"""One end of a connection -> what it has out, what it has heard, and its timers.

Restricted Python; see second_kernels.py, which is the way in. What it says is what `sender` says:
what is bounded there is bounded here, and lists are searched by halving as there.
"""

from netlab.correlate.range_kernels import add_range, covers, move, remove_ranges
from netlab.correlate.sender_record_kernels import (
    ACK_KNOWN,
    BLOCKS,
    COPIES,
    COPIES_AT,
    HAS_OPTIONS,
    M32,
    MOST_OUT,
    MOST_SACKED,
    SAID_OF,
    SCALE,
    SHIFT,
    STAMPS,
    STAMPS_AT,
    SYN,
    TWIN,
    WINDOW_KNOWN,
    distance,
    length_of,
    stamp_of,
)

# --- what it sends


def has_room(me, work):
    """Whether its lists have room for one segment more, once they are moved to the front."""
    if me.tail == me.room:
        if 2 * me.head < me.room:
            return False
        for k in range(me.head, me.tail):
            move(work, me.outs_at + k - me.head, me.outs_at + k)
        me.tail -= me.head
        me.head = 0
    if me.holes_to + 2 > me.room:
        if 2 * me.holes_from < me.room:
            return False
        for k in range(me.holes_from, me.holes_to):
            move(work, me.holes_at + k - me.holes_from, me.holes_at + k)
        me.holes_to -= me.holes_from
        me.holes_from = 0
    return True


def send_new(me, work, i, seq, end, now_ns):
    """A segment whose numbers nobody saw before; what it skips is a hole."""
    if me.has_nxt and seq > me.nxt:
        hole = work[me.holes_at + me.holes_to]
        hole.start = me.nxt
        hole.stop = seq
        hole.row = me.newest_row
        hole.first = i
        me.holes_to += 1
    if not me.has_nxt or me.una >= me.nxt:  # nothing was out
        me.timer_ns = now_ns
        me.timer_row = i
    if me.tail - me.head < MOST_OUT:
        out = work[me.outs_at + me.tail]
        out.start = max(seq, me.nxt) if me.nxt else seq
        out.stop = end
        out.row = i
        me.tail += 1
    me.has_nxt = 1
    me.nxt = end
    me.newest_row = i
    me.newest_ns = now_ns


def original(me, work, at):
    """The row of what first carried this number, while it is out; -1: none."""
    low = me.head
    high = me.tail
    while low < high:
        middle = (low + high) // 2
        if at < work[me.outs_at + middle].start:
            high = middle
        else:
            low = middle + 1
    if low == me.head:
        return -1
    out = work[me.outs_at + low - 1]
    return int(out.row) if at < out.stop else -1


def copy_at(me, number):
    """The place of a copy, the oldest of those that are kept being number 0."""
    return me.at + COPIES_AT + (me.copies_from + number) % COPIES


def last_copy(me, work, at):
    """The place of the latest copy of this number that its sender sent again; -1: none."""
    number = me.copies - 1
    while number >= 0:
        place = copy_at(me, number)
        copy = work[place]
        if copy.start <= at and at < copy.stop and not copy.marks & TWIN:
            return place
        number -= 1
    return -1


def add_copy(me, work, i, start, stop, time_ns, first, marks):
    """Keep a later copy of bytes; the oldest is forgotten where there are too many."""
    if me.copies == COPIES:
        me.copies_from = (me.copies_from + 1) % COPIES
    else:
        me.copies += 1
    copy = work[copy_at(me, me.copies - 1)]
    copy.start = start
    copy.stop = stop
    copy.time_ns = time_ns
    copy.row = i
    copy.first = first
    copy.marks = marks


# --- what it hears


def ack_of(seg):
    """Whether its relative ACK is known."""
    return (seg.found + 0) & ACK_KNOWN


def window_of(row, seg):
    """The window that a segment announces in bytes; -1: not known."""
    found = seg.found + 0
    return (row.window + 0) << (found >> SHIFT & SCALE) if found & WINDOW_KNOWN else -1


def hear(me, rows, segs, spoken, blocks, work, i, now_ns):
    """A frame of the other end, with an ACK, that reached this one."""
    row = rows[i]
    seg = segs[i]
    said = spoken[i]
    ack = seg.ack
    window = window_of(row, seg)
    if said.blocks:
        _hear_sack(me, rows, blocks, work, i, int(said.blocks), ack, now_ns)
    if ack > me.una:
        _advance(me, rows, segs, said, work, i, ack, now_ns)
    elif (
        ack == me.una and me.head < me.tail and window == me.window and length_of(row) == 0
    ):  # fmt: skip
        if not me.duplicates:
            me.duplicate_first = i
        me.duplicate_last = i
        me.duplicates += 1
    me.heard_ns = now_ns
    me.heard_row = i
    if window >= 0 and ack >= me.una and not int(row.flags) & SYN:
        if window != me.window:
            if me.window >= 0 and (window == 0) != (me.window == 0):
                me.turn_row = i
                me.turn_ns = now_ns
                me.turn_stamp = stamp_of(said)
                me.turn_is_first = 1 if me.turn_stamp != me.heard_stamp else 0
            me.window = window
        me.window_row = i
    if said.offered & HAS_OPTIONS:
        me.heard_stamp = stamp_of(said)


def _advance(me, rows, segs, said, work, i, ack, now_ns):
    measured = -1
    while me.head < me.tail:
        out = work[me.outs_at + me.head]
        if out.stop > ack:
            break
        measured = int(out.row)
        me.head += 1
    if me.head == me.tail:
        me.head = 0
        me.tail = 0
    if measured >= 0:
        _measure(me, rows, segs, work, measured, ack, now_ns)
        if me.copies:
            _has_come(me, rows, work, ack - 1, measured, now_ns)
    me.una = ack
    me.una_ns = now_ns
    me.una_row = i
    me.una_ts = stamp_of(said)
    me.duplicates = 0
    me.timer_ns = now_ns
    me.timer_row = i
    me.lone_row = -1
    if me.sacked:
        remove_ranges(me, work, ack)
        if not me.sacked:
            me.sack_top = 0
    if me.recover and ack >= me.recover:
        me.recover = 0
        me.recover_kind = 0


def _measure(me, rows, segs, work, i, ack, now_ns):
    """A round-trip time, unless what it ends was sent again (Karn; RFC 6298 section 3)."""
    row = rows[i]
    seq = segs[i].seq
    if seq + length_of(row) != ack or me.recover:
        return
    for number in range(me.copies):
        copy = work[copy_at(me, number)]
        if copy.start < ack and copy.stop > seq:
            return
    rtt_ns = now_ns - row.time_ns
    if rtt_ns <= 0:
        return
    me.rtt_count += 1
    if not me.rtt_min_ns or rtt_ns < me.rtt_min_ns:
        me.rtt_min_ns = rtt_ns
    me.srtt_ns = rtt_ns if me.rtt_count == 1 else (7 * me.srtt_ns + rtt_ns) // 8


def _has_come(me, rows, work, at, first, now_ns):
    """Which segment brought this number: the latest copy, if it can have by now."""
    place = last_copy(me, work, at)
    if place >= 0:
        copy = work[place]
        i = int(copy.row)
        sent_ns = copy.time_ns if copy.time_ns else rows[i].time_ns
        if not (me.rtt_min_ns > 0 and now_ns - sent_ns >= me.rtt_min_ns):
            return
    elif first >= 0:
        i = first
        sent_ns = rows[i].time_ns
    else:
        return
    if sent_ns > me.come_ns:
        me.come_ns = sent_ns
        me.come_row = i


def _hear_sack(me, rows, blocks, work, i, said, ack, now_ns):
    here = (me.base + ack) & M32
    first = said // BLOCKS
    for number in range(first, first + said % BLOCKS):
        start = ack + distance(blocks[number].start, here)
        stop = ack + distance(blocks[number].stop, here)
        if start <= ack or stop <= start or not me.has_nxt or stop > me.nxt:
            continue  # a D-SACK, or of what was not seen
        if me.sacked >= MOST_SACKED or covers(me, work, start, stop):
            continue
        _has_come(me, rows, work, stop - 1, original(me, work, stop - 1), now_ns)
        add_range(me, work, start, stop)
        me.sack_top = max(me.sack_top, stop)
        me.sack_row = i


# --- clocks


def stamp(me, work, ts_val, now_ns):
    """It sends a timestamp; the first frame with it counts."""
    me.ts_last = ts_val
    if me.ts_newest < 0 or distance(ts_val, me.ts_newest) > 0:
        me.ts_newest = ts_val
        if me.stamps == STAMPS:
            me.stamps_from = (me.stamps_from + 1) % STAMPS
        else:
            me.stamps += 1
        out = work[me.at + STAMPS_AT + (me.stamps_from + me.stamps - 1) % STAMPS]
        out.start = ts_val
        out.time_ns = now_ns


def echoed(me, work, ts_ecr, now_ns):
    """The other end echoes a timestamp for the first time: that was a round trip."""
    me.ecr_last = ts_ecr
    while me.stamps:
        out = work[me.at + STAMPS_AT + me.stamps_from]
        if distance(out.start, ts_ecr) > 0:
            break
        me.stamps -= 1
        me.stamps_from = (me.stamps_from + 1) % STAMPS if me.stamps else 0
        if out.start == ts_ecr and now_ns > out.time_ns:
            rtt_ns = now_ns - out.time_ns
            if not me.ts_rtt_min_ns or rtt_ns < me.ts_rtt_min_ns:
                me.ts_rtt_min_ns = rtt_ns


def told_twice(me, work, blocks, said, ack):
    """Whether a D-SACK (RFC 2883 section 4) names bytes; its copies are then marked SAID_OF."""
    here = (me.base + ack) & M32
    first = said // BLOCKS
    start = ack + distance(blocks[first].start, here)
    stop = ack + distance(blocks[first].stop, here)
    if start >= stop:
        return False
    if stop > ack:
        if said % BLOCKS < 2:
            return False
        if ack + distance(blocks[first + 1].start, here) > start:
            return False
        if ack + distance(blocks[first + 1].stop, here) < stop:
            return False
    number = me.copies - 1
    while number >= 0:
        copy = work[copy_at(me, number)]
        copy.marks &= ~SAID_OF
        if start <= copy.start and copy.start < copy.stop and copy.stop <= stop:
            free = True
            for later in range(number + 1, me.copies):
                one = work[copy_at(me, later)]
                if one.marks & SAID_OF and one.start < copy.stop and copy.start < one.stop:
                    free = False
            if free:
                copy.marks |= SAID_OF
        number -= 1
    return True


LOADS = ()
KERNELS = (
    "has_room", "send_new", "original", "copy_at", "last_copy", "add_copy", "ack_of", "window_of",
    "hear", "_advance", "_measure", "_has_come", "_hear_sack", "stamp", "echoed", "told_twice",
)  # fmt: skip
