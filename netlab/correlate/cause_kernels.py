"""Why a sender sent numbers again, or a segment of a byte or none: what `again` and `probes` say.

Restricted Python; see second_kernels.py, which is the way in. What is said is written to a finding:
its verdict, its reason, and of which rows and numbers that speaks.
"""

from netlab.correlate.range_kernels import range_beyond, range_from
from netlab.correlate.sender_kernels import copy_at, last_copy, original
from netlab.correlate.sender_record_kernels import (
    AFTER_ANY,
    AFTER_LOSS,
    AFTER_TIMEOUT,
    ALIVE,
    ALIVE_OR_AGAIN,
    BY_DUPLICATES,
    BY_LATER,
    BY_PARTIAL,
    BY_SACK,
    EITHER_TIMER,
    FIN,
    FINDINGS,
    LONE_PROBE,
    NO_TRIP,
    NOT_FIRST_SINCE,
    NOT_THE_FIRST,
    PROBE_BEYOND,
    PROBE_CLOSED,
    PROBE_OPENED,
    PROBE_OR_ALIVE,
    PROBE_OR_NEW,
    RANGES_AT,
    RECOVERING,
    SOON_FOR_PROBE,
    SOON_FOR_TIMER,
    SYN,
    TAIL,
    TIMED,
    TOLD,
    TOLD_LATE,
    TOLD_OR_OPEN,
    TWIN,
    UNTOLD,
    V_FAST,
    V_KEEP_ALIVE,
    V_RTO,
    V_TAIL_PROBE,
    V_WINDOW_PROBE,
    distance,
    echo_of,
    length_of,
)

LEAST_TIMER_NS = 190000000  # Linux: 200 ms; a stamp may be late where the timer began
CLOCKED_NS = 20000000  # from an ACK that comes to what it lets go, on a busy machine
TICK_NS = 12000000
ENOUGH_DUPLICATES = 3  # RFC 5681 3.2
NOT_HEARD, HEARD, MAY_HAVE_HEARD = 0, 1, 2


def cause(me, rows, work, said, finds, i, start, stop, now_ns, find):
    """Why start..stop was sent again."""
    place = last_copy(me, work, start)
    sent_row = original(me, work, start)
    sent_ns = 0
    if place >= 0:
        sent_row = int(work[place].row)
        sent_ns = work[place].time_ns
    elif sent_row >= 0:
        sent_ns = rows[sent_row].time_ns
    clocked = me.heard_row >= 0 and now_ns - me.heard_ns <= me.near_ns + CLOCKED_NS
    begun_ns = me.timer_ns
    begun_row = me.timer_row
    if sent_ns > begun_ns and start <= me.una:
        begun_ns = sent_ns
        begun_row = sent_row
    waited_ns = now_ns - begun_ns
    recovering = me.recover > me.una and stop <= me.recover
    if (
        recovering
        and me.recover_kind == AFTER_TIMEOUT
        and sent_ns < me.recover_ns
        and clocked
    ):  # fmt: skip
        find.verdict = V_RTO
        find.reason = RECOVERING
        find.row_a = me.recover_row
        find.row_b = me.heard_row
        return
    if _told_of_loss(me, work, place, sent_row, sent_ns, start, stop, find):
        if recovering and me.recover_kind == AFTER_ANY and sent_ns < me.recover_ns:
            find.reason = TOLD_OR_OPEN
            find.row_c = me.recover_row
            return
        window_ns = (me.srtt_ns + me.near_ns) // 4 + TICK_NS  # of reordering, and a timer's tick
        if (
            clocked
            or now_ns - me.heard_ns <= me.near_ns + window_ns
            or (me.srtt_ns and waited_ns < me.srtt_ns)
        ):
            find.verdict = V_FAST
            find.reason = TOLD
            return
        find.reason = TOLD_LATE
        find.wait_ns = now_ns - me.heard_ns
        return
    if clocked and start <= me.una:
        find.reason = UNTOLD
        find.row_a = me.heard_row
        return
    if start > me.una:
        _tail(me, work, stop, now_ns, find)
        return
    if waited_ns < LEAST_TIMER_NS and now_ns - sent_ns >= LEAST_TIMER_NS and sent_ns:
        # The timer counts from when the segment was sent (Linux: tcp_rearm_rto); see `again`.
        begun_row = sent_row
        waited_ns = now_ns - sent_ns
    if waited_ns < LEAST_TIMER_NS:
        if me.tail - me.head <= 1 or stop < me.nxt:
            find.reason = SOON_FOR_TIMER
            find.row_a = me.heard_row
            find.row_b = begun_row
            find.wait_ns = waited_ns
            return
        _tail(me, work, stop, now_ns, find)
        return
    _timer(me, said, finds, i, stop, waited_ns, begun_row, place >= 0, find)


def _told_of_loss(me, work, place, sent_row, sent_ns, start, stop, find):
    """Whether ACKs said what makes these bytes lost to their sender; which ones."""
    if me.sack_top > stop and (place < 0 or me.come_ns > work[place].time_ns):
        first = range_beyond(me, work, stop)
        last = range_from(me, work, me.sack_top) - 1
        if first <= last:
            lowest = work[me.at + RANGES_AT + first]
            highest = work[me.at + RANGES_AT + last]
            below = range_beyond(me, work, start) - 1
            # Ranges are told from where they end: the last that ends at `start` or before.
            find.one = max(stop, highest.start)
            find.two = min(me.sack_top, highest.stop)
            find.three = work[me.at + RANGES_AT + below].stop if below >= 0 else me.una
            find.four = max(stop, lowest.start)
            find.told = BY_SACK
            find.row_a = me.sack_row
            return True
    head = start <= me.una
    fresh = place < 0 or work[place].time_ns < me.una_ns
    if head and fresh and me.duplicates >= ENOUGH_DUPLICATES:
        find.told = BY_DUPLICATES
        find.one = me.duplicates
        find.row_a = me.duplicate_first
        find.row_b = me.duplicate_last
        return True
    known_ns = sent_ns if sent_row >= 0 else me.come_ns
    if me.sack and me.come_ns > known_ns and me.heard_row >= 0:
        find.told = BY_LATER
        find.row_a = me.come_row
        find.row_b = me.heard_row
        return True
    partial = (
        me.recover > me.una and me.recover_kind == AFTER_LOSS and me.una_ns > me.recover_ns
    )  # fmt: skip
    if head and fresh and partial:
        find.told = BY_PARTIAL
        find.row_a = me.recover_row
        find.row_b = me.una_row
        return True
    return False


def _tail(me, work, stop, now_ns, find):
    """Not the first that is out, or too early for it: the last may be a tail loss probe."""
    find.row_a = me.heard_row
    if stop != me.nxt or me.recover > me.una:
        find.reason = NOT_THE_FIRST
        return
    since_ns = me.newest_ns
    since = me.newest_row
    if me.heard_ns > since_ns:
        since_ns = me.heard_ns
        since = me.heard_row
    least_ns = max(me.una_ns, me.newest_ns)
    for number in range(me.copies):
        copy = work[copy_at(me, number)]
        if not copy.marks & TWIN and copy.time_ns >= least_ns:
            find.reason = NOT_FIRST_SINCE
            return
    if not me.rtt_count or not me.near_ns or not me.sack:
        find.reason = NO_TRIP
        return
    trip_ns = me.srtt_ns + me.near_ns
    find.wait_ns = now_ns - since_ns
    if find.wait_ns < 3 * trip_ns // 2:
        find.reason = SOON_FOR_PROBE
        find.row_b = since
        return
    find.verdict = V_TAIL_PROBE
    find.reason = TAIL
    find.row_a = since
    find.one = me.tail - me.head
    find.two = trip_ns


def _timer(me, said, finds, i, stop, waited_ns, begun_row, is_copied, find):
    """The first that is out, after a silence: the retransmission timer, or with one out a probe."""
    find.wait_ns = waited_ns
    find.row_a = begun_row
    if is_copied and me.lone_row >= 0:
        _settle_lone(me, said, finds, i, waited_ns)
        me.lone_row = -1
    if stop != me.nxt or me.tail - me.head > 1 or not me.sack or is_copied:
        find.verdict = V_RTO
        find.reason = TIMED
        return
    me.lone_row = i
    me.lone_ns = waited_ns
    find.reason = EITHER_TIMER


def _settle_lone(me, said, finds, i, waited_ns):
    """The second resend tells what the first was, by what a timer does when it backs off."""
    first = finds[said[me.lone_row] - FINDINGS]
    before_ns = me.lone_ns
    if first.verdict:  # known to have been in vain by now
        return
    if before_ns * 4 // 5 - TICK_NS <= waited_ns <= before_ns * 27 // 20 + TICK_NS:
        first.verdict = V_TAIL_PROBE
        first.reason = LONE_PROBE
        first.one = before_ns
        first.wait_ns = waited_ns
        first.row_b = i


# --- probes of a window, and keep-alives


def is_probe(me, rows, segs, spoken, i, now_ns, find):
    """Whether a segment of at most one byte is one of these, or may be."""
    row = rows[i]
    flags = int(row.flags)
    if flags & (SYN | FIN) or not me.has_nxt:
        return False
    seq = segs[i].seq
    length = int(row.payload_len_bytes)
    if seq == me.nxt and length == 1 and me.window == 0:
        heard = _heard_of_turn(me, spoken[i], now_ns)
        if me.una < me.nxt or heard == NOT_HEARD:
            return False
        if heard == MAY_HAVE_HEARD:
            find.reason = PROBE_OR_NEW
            _note_turn(me, find)
            return True
        find.verdict = V_WINDOW_PROBE
        find.reason = PROBE_BEYOND
        find.row_a = me.window_row
        return True
    if seq != me.nxt - 1 or me.una != me.nxt:
        return False
    if me.newest_row < 0 or now_ns - me.newest_ns < LEAST_TIMER_NS:
        return False  # an ACK that was overtaken has such a number, too
    find.row_a = me.newest_row
    find.row_b = me.una_row
    if length and length_of(rows[me.newest_row]) == 1 and not _knew(me, spoken[i]):
        find.reason = ALIVE_OR_AGAIN
        return True
    heard = _heard_of_turn(me, spoken[i], now_ns)
    if heard == MAY_HAVE_HEARD:
        find.reason = PROBE_OR_ALIVE
        _note_turn(me, find)
        return True
    if me.window == 0 and heard == HEARD:
        find.verdict = V_WINDOW_PROBE
        find.reason = PROBE_CLOSED
        find.row_a = me.window_row
        return True
    if heard == NOT_HEARD and me.window != 0 and me.turn_row >= 0:
        find.verdict = V_WINDOW_PROBE
        find.reason = PROBE_OPENED
        find.row_a = me.turn_row
        return True
    find.verdict = V_KEEP_ALIVE
    find.reason = ALIVE
    find.wait_ns = now_ns - me.newest_ns
    return True


def _note_turn(me, find):
    find.row_a = me.turn_row
    find.one = 1 if me.window == 0 else 0


def _heard_of_turn(me, said, now_ns):
    """Whether its sender had heard that the window closed, or opened, when it sent this."""
    if me.turn_row < 0:
        return HEARD
    echo = echo_of(said)
    if echo and me.turn_stamp >= 0:
        later = distance(echo, me.turn_stamp)
        if later:
            return HEARD if later > 0 else NOT_HEARD
        return HEARD if me.turn_is_first else MAY_HAVE_HEARD
    if me.newest_ns > me.turn_ns:  # it has sent more since
        return HEARD
    trips_ns = 2 * me.near_ns + LEAST_TIMER_NS
    if me.window == 0 and now_ns - me.turn_ns > trips_ns:
        return HEARD
    return MAY_HAVE_HEARD


def _knew(me, said):
    """Whether its sender had heard the ACK of all: it echoes that ACK's time."""
    echo = echo_of(said)
    return echo != 0 and me.una_ts >= 0 and distance(echo, me.una_ts) >= 0


LOADS = ()
KERNELS = (
    "_told_of_loss", "_tail", "_settle_lone", "_timer", "cause", "_note_turn", "_heard_of_turn",
    "_knew", "is_probe",
)  # fmt: skip
