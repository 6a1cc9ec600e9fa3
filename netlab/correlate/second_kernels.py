"""Bulk judging: segments of connections, once all are followed -> netlab's own verdict on each.

The specification in restricted Python (see decode/kernels.py): runs plain and compiled. It says
what `second_verdicts` says of a capture without calls and without a wire, where a frame leaves and
arrives as it is seen; its reasons are numbers, of which `second_words` makes the text. Its parts:
sender_record_kernels (what is kept of an end), range_kernels (holes, selective ACKs),
sender_kernels (what it has out and has heard), cause_kernels (why it sent again), again_kernels
(late, twice, or in vain).

A connection is judged from its first segment to its last before the next one is, so that what is
kept of its ends is small and stays where the processor has it.
Read first: second_verdicts, sender, again, late, twins, in_vain, probes: the same in objects.
"""

from netlab.correlate.again_kernels import (
    add_twin,
    duplicate_told,
    echo_told,
    fills_gap,
    had_it,
    is_once_more,
    is_same_packet,
    settle_twins,
    syn_again,
    take_back,
)
from netlab.correlate.cause_kernels import LEAST_TIMER_NS, cause, is_probe
from netlab.correlate.range_kernels import fill, hole_of
from netlab.correlate.sender_kernels import (
    ack_of,
    add_copy,
    copy_at,
    echoed,
    has_room,
    hear,
    last_copy,
    original,
    send_new,
    stamp,
)
from netlab.correlate.sender_record_kernels import (
    ACKED_BEFORE,
    AFTER_ANY,
    AFTER_LOSS,
    AFTER_TIMEOUT,
    BACKWARD,
    FIN,
    FINDINGS,
    FIRST,
    IDS,
    IDS_AT,
    NEW,
    NOTHING,
    RST,
    SETTLED,
    SYN,
    SYN_DATA,
    TIMED,
    TWIN,
    V_FAST,
    V_RTO,
    V_TAIL_PROBE,
    echo_of,
    length_of,
    open_sender,
    stamp_of,
)

TCP = 6
LEFT = 4  # a mark of flows and talks
SYN_KNOWN, SACK_OFFERED = 4, 32  # marks of halves
LONGEST_NS = 1 << 55  # of a connection: what is longer is left, for its times may not be added up


def group(rows, last, sides, flows, starts, places):
    """The rows of each flow, one flow behind the other; where each begins, and the last ends."""
    at = 0
    for k in range(flows):
        starts[k + 1] = at
        at += int(sides[2 * k].packets) + int(sides[2 * k + 1].packets)
    for i in range(last):
        k = rows[i].flow
        if k >= 0:
            places[starts[k + 1]] = i
            starts[k + 1] += 1
    return at


def judge_again(
    rows, segs, spoken, blocks, flows, talks, halves, starts, places, first, last,
    names, senders, work, room, said, finds, most, states, lost,
):  # fmt: skip
    """Judge the segments of connections first..last-1; stops at one whose lists find no room.

    `segs` is what `follow` said of them. Interfaces of the same name have the same number in
    `names`. `lost`: frames may be missing in the file.
    """
    state = states[0]
    for k in range(first, last):
        flow = flows[k]
        talk = talks[k]
        if (flow.ports >> 40) & 0xFF != TCP or (flow.marks | talk.marks) & LEFT:
            continue
        if talk.last_ns - talk.first_ns >= LONGEST_NS:
            talk.marks |= LEFT
            state.left = 1
            continue
        begun = state.findings
        state.turns += 1
        state.once_more = 0
        state.maybe_twins = 0
        two = 2 * int(flow.stream)
        sack = halves[two].marks & halves[two + 1].marks & SACK_OFFERED
        for side in range(2):
            me = senders[side]
            half = halves[two + side]
            open_sender(me, side, room, state.turns)
            me.base = half.base
            me.sack = sack
            me.syn_known = half.marks & SYN_KNOWN
        for at in range(starts[k], starts[k + 1]):
            i = int(places[at])
            row = rows[i]
            said[i] = NOTHING
            if int(row.flags) & RST:
                continue
            backward = int(row.marks) & BACKWARD
            me = senders[backward]
            other = senders[1 - backward]
            state.short_of_findings = 1 if state.findings + 1 > most else 0
            if state.short_of_findings or not has_room(me, work):
                state.findings = begun
                return k
            _leaves(rows, segs, spoken, blocks, names, work, said, finds, state, i, me, other)
            _arrives(rows, segs, spoken, blocks, work, said, finds, i, me, other)
        settle_twins(rows, places, starts[k], starts[k + 1], senders, said, finds, state)
        if lost or _has_gap(senders[0], work) or _has_gap(senders[1], work):
            take_back(places, starts[k], starts[k + 1], said, finds)
    return last


def _has_gap(me, work):
    """Whether the other end acknowledged what this capture has not: so it lacks frames."""
    if me.has_nxt and me.una > me.nxt:
        return True
    return me.holes_from < me.holes_to and work[me.holes_at + me.holes_from].stop <= me.una


# --- it leaves


def _leaves(rows, segs, spoken, blocks, names, work, said, finds, state, i, me, other):
    """Judge a frame by what its sender has sent and heard before."""
    row = rows[i]
    options = spoken[i]
    now_ns = row.time_ns
    number = row.ip_id + 0
    if number:
        seen = work[me.at + IDS_AT + number % IDS]
        before = int(seen.row) if seen.marks == me.turns else -1
        seen.row = i
        seen.marks = me.turns
        if before >= 0 and is_same_packet(rows, spoken, blocks, i, before):
            find = _open_finding(finds, state)
            add_twin(rows, segs, names, work, i, before, me, state, find)
            _give(said, state, i)
            return
        step = 0 if me.last_id < 0 else (number - me.last_id) & 0xFFFF
        if step:
            me.ids_vary = 1
        if step < IDS:
            me.id_steps += 1
            me.last_id = number
        elif step < 0x10000 - IDS:  # not a little less: that would be one that was overtaken
            me.id_steps = 0
            me.last_id = number
    ts_val = stamp_of(options)
    if ts_val >= 0 and ts_val != me.ts_last:
        stamp(me, work, ts_val, now_ns)
    seq = segs[i].seq
    length = length_of(row)
    if not length:
        if me.has_nxt and seq < me.nxt:
            _probe(rows, segs, spoken, said, finds, state, i, me)
    elif not me.has_nxt or seq >= me.nxt:
        _new(rows, segs, spoken, work, said, finds, state, i, me, seq, length)
    else:
        _old(rows, segs, spoken, blocks, work, said, finds, state, i, me, other, seq, length)


def _open_finding(finds, state):
    find = finds[state.findings]
    find.wait_ns = 0
    find.one = 0
    find.two = 0
    find.three = 0
    find.four = 0
    find.vain_start = 0
    find.vain_stop = 0
    find.row_a = -1
    find.row_b = -1
    find.row_c = -1
    find.vain_row = -1
    find.verdict = 0
    find.reason = 0
    find.told = 0
    find.vain = 0
    find.vain_of = 0
    find.taken = 0
    find.marks = 0
    return find


def _give(said, state, i):
    said[i] = FINDINGS + state.findings
    state.findings += 1


def _probe(rows, segs, spoken, said, finds, state, i, me):
    find = _open_finding(finds, state)
    if not is_probe(me, rows, segs, spoken, i, rows[i].time_ns, find):
        return False
    _give(said, state, i)
    return True


def _new(rows, segs, spoken, work, said, finds, state, i, me, seq, length):
    row = rows[i]
    now_ns = row.time_ns
    payload = int(row.payload_len_bytes)
    if payload == 1 and me.window == 0 and _probe(rows, segs, spoken, said, finds, state, i, me):
        return
    if payload:
        if seq + payload <= me.una and me.una_row >= 0:
            find = _open_finding(finds, state)
            find.reason = ACKED_BEFORE
            find.row_a = me.una_row
            _give(said, state, i)
        elif me.has_nxt or me.syn_known:
            said[i] = NEW
        else:
            said[i] = FIRST
    is_near = me.near_ns > 0 and me.near_ns * 8 <= me.srtt_ns
    if now_ns - me.newest_ns >= LEAST_TIMER_NS and me.newest_ns and not is_near:
        # Away from the sender it may be what was lost before it came here, and timed out.
        me.recover = seq + max(me.window, me.flight_most)
        me.recover_kind = AFTER_ANY
        me.recover_ns = now_ns
        me.recover_row = i
    send_new(me, work, i, seq, seq + length, now_ns)
    if payload and me.una_row >= 0:
        me.flight_most = max(me.flight_most, me.nxt - me.una)


def _old(rows, segs, spoken, blocks, work, said, finds, state, i, me, other, seq, length):
    """Numbers that lie below the newest: late, sent again, or a packet that came twice."""
    row = rows[i]
    now_ns = row.time_ns
    flags = int(row.flags)
    stop = seq + length
    if flags & SYN:
        find = _open_finding(finds, state)
        syn_again(work, rows, i, me, other, find)
        _give(said, state, i)
        add_copy(me, work, i, seq, stop, now_ns, original(me, work, seq), 0)
        return
    if length == 1 and not flags & FIN and _probe(rows, segs, spoken, said, finds, state, i, me):
        return
    hole = hole_of(me, work, seq, min(stop, me.nxt))
    place = last_copy(me, work, seq)
    had = int(work[place].row) if place >= 0 else original(me, work, seq)
    find = _open_finding(finds, state)
    found = False
    if hole >= 0:
        found = fills_gap(rows, spoken, work, i, hole, me, seq, find)
    elif had >= 0:
        found = is_once_more(rows, segs, spoken, blocks, work, i, had, me, state, find)
    if me.holes_from < me.holes_to:
        fill(me, work, seq, stop)
    if not found:
        _again(rows, work, said, finds, i, me, had, seq, stop, find)
    _give(said, state, i)


def _again(rows, work, said, finds, i, me, had, start, stop, find):
    now_ns = rows[i].time_ns
    if had >= 0 and int(rows[had].flags) & SYN:
        find.reason = SYN_DATA
        find.row_a = had
    else:
        cause(me, rows, work, said, finds, i, start, min(stop, me.nxt), now_ns, find)
    kind = 0
    if find.verdict == V_RTO:
        if find.reason == TIMED:  # the timer itself, not the recovery after it
            kind = AFTER_TIMEOUT
    elif find.verdict == V_FAST and me.recover <= me.una:
        kind = AFTER_LOSS
    elif find.verdict == 0 and start <= me.una and me.recover_kind != AFTER_TIMEOUT:
        kind = AFTER_ANY
    if kind:
        me.recover = me.nxt
        me.recover_kind = kind
        me.recover_ns = now_ns
        me.recover_row = i
    if start <= me.una or find.verdict == V_TAIL_PROBE:
        me.timer_ns = now_ns
        me.timer_row = i
    add_copy(me, work, i, start, stop, now_ns, had, 0)
    if stop > me.nxt:
        send_new(me, work, i, start, stop, now_ns)


# --- it arrives


def _arrives(rows, segs, spoken, blocks, work, said, finds, i, me, other):
    """Tell the other end what came, and see what that proves."""
    now_ns = rows[i].time_ns
    if me.copies:
        copy = work[copy_at(me, me.copies - 1)]
        if copy.row == i and not copy.marks & (TWIN | SETTLED):
            had_it(rows, work, said, finds, copy, me)
    seg = segs[i]
    if not ack_of(seg):
        return
    options = spoken[i]
    if options.blocks:
        duplicate_told(rows, blocks, work, said, finds, i, int(options.blocks), seg.ack, other)
    echo = echo_of(options)
    if echo:
        if other.copies:
            echo_told(rows, spoken, work, said, finds, i, seg.ack, echo, other)
        if echo != other.ecr_last:
            echoed(other, work, echo, now_ns)
    count = other.rtt_count
    hear(other, rows, segs, spoken, blocks, work, i, now_ns)
    if other.rtt_count != count or not me.near_ns:
        nearest_ns = other.rtt_min_ns
        if not nearest_ns or 0 < other.ts_rtt_min_ns < nearest_ns:
            nearest_ns = other.ts_rtt_min_ns
        if nearest_ns:  # how long what the other sends is on its way from here to me and back
            me.near_ns = nearest_ns


LOADS = ()
KERNELS = (
    "group", "_has_gap", "_open_finding", "_give", "_probe", "_new", "_again", "_old", "_leaves",
    "_arrives", "judge_again",
)  # fmt: skip
