"""Why a sender sent numbers again: its timer, a probe, or what ACKs told it. Or: not known.

A sender resends for few reasons, and each leaves a pattern in what it had heard and how long it had
waited:
- told of a loss: bytes behind were selectively acknowledged (RFC 6675, 8985), or three ACKs came
  twice (RFC 5681), or an ACK inside a recovery stopped at the next gap (RFC 6582). It then leaves
  as that ACK comes, or within the reordering window of RACK, a fraction of a round trip;
- the retransmission timer: the first segment that is out, after nothing was heard for so long as no
  timer is shorter (Linux: 200 ms). Its time runs from the last ACK that acknowledged anything, or
  from the last time that segment was sent, whichever came later (RFC 6298 5.1, 5.3, 5.6);
- a tail loss probe (RFC 8985 7): the last segment that is out, after about two round trips;
- the recovery after a time-out: all that was out then, as ACKs make way.
With one segment out, first and last are the same, and both timers may end at one time (Linux: the
probe waits 2 srtt + 200 ms, but never longer than the other). A recording that has its sender's
settings tells: Linux arms the probe in place of the timer (tcp_schedule_loss_probe). Else what
follows does: the timer backs off (RFC 6298 5.5), and so a second resend after the same time says
that the first was a probe.
"""

from __future__ import annotations

from typing import NamedTuple

from netlab.correlate.segments import Row
from netlab.correlate.sender import FAST, OPEN, RTO, Copy, Sender
from netlab.correlate.verdict_words import byte_text, ms
from netlab.model.tables import Again, Doubt, Verdict

LEAST_TIMER_NS = 190_000_000  # Linux: 200 ms; a stamp may be late where the timer began
_CLOCKED_NS = 20_000_000  # from an ACK that comes to what it lets go, on a busy machine
_TICK_NS = 12_000_000
_ENOUGH_DUPLICATES = 3  # RFC 5681 3.2
TIMED_OUT = "time-out:"
IN_ITS_RECOVERY = "in the recovery that the time-out of frame"


class Finding(NamedTuple):
    """A verdict, or None with what is missing; the frames that prove it; how it was sent again."""

    verdict: Verdict | None
    reason: str
    frames: tuple[int, ...] = ()
    again: Again | None = None


def cause(me: Sender, row: Row, start: int, stop: int, now_ns: int) -> Finding:
    """Why start..stop was sent again. All it takes into account had come before `now_ns`."""
    copy, original = me.last_copy(start), me.original(start)
    sent_ns = copy.time_ns if copy else original.packet.time_ns if original else 0
    near_ns = me.near_ns or 0
    clocked = bool(me.heard_frame) and now_ns - me.heard_ns <= near_ns + _CLOCKED_NS
    begun_ns, begun_frame = me.timer_ns, me.timer_frame
    if sent_ns > begun_ns and start <= me.una:
        begun_ns, begun_frame = sent_ns, _frame_of(copy, original)
    waited_ns = now_ns - begun_ns
    recovering = me.recover > me.una and stop <= me.recover
    if recovering and me.recover_kind == RTO and sent_ns < me.recover_ns and clocked:
        return Finding(
            Verdict.RTO,
            f"{IN_ITS_RECOVERY} {me.recover_frame} began",
            _frames(me.recover_frame, me.heard_frame),
            Again(timeout_frame=me.recover_frame),
        )
    told = _told_of_loss(me, copy, start, stop)
    if told is not None and recovering and me.recover_kind == OPEN and sent_ns < me.recover_ns:
        return Finding(
            None,
            f"{told.reason}; or part of a recovery after frame {me.recover_frame}, of which it is"
            " not known whether it was a time-out, and still went on",
            _frames(*told.frames, me.recover_frame),
        )
    if told is not None:
        window_ns = (me.srtt_ns + near_ns) // 4 + _TICK_NS  # of reordering, and a timer's tick
        if (
            clocked
            or now_ns - me.heard_ns <= near_ns + window_ns
            or (me.srtt_ns and waited_ns < me.srtt_ns)
        ):
            return told
        return Finding(
            None,
            f"ACKs told of a loss, but this left {ms(now_ns - me.heard_ns)} after the last: what it"
            " waited for is not seen",
            told.frames,
        )
    if clocked and start <= me.una:
        return _unexplained(me, "ACKs came, and told of no loss")
    if start > me.una:
        return _tail(me, stop, now_ns)
    if waited_ns < LEAST_TIMER_NS <= now_ns - sent_ns and sent_ns:
        # Linux: where the timer of a probe stood when the ACK came, the retransmission timer counts
        # from when the segment was sent (tcp_rearm_rto).
        begun_frame, waited_ns = _frame_of(copy, original), now_ns - sent_ns
    if waited_ns < LEAST_TIMER_NS:
        if me.segments_out <= 1 or stop < (me.nxt or 0):
            return _unexplained(
                me, f"{ms(waited_ns)} after frame {begun_frame}: too soon for a timer of 200 ms"
            )
        return _tail(me, stop, now_ns)
    return _timer(me, row, stop, waited_ns, begun_frame, copy)


def _frame_of(copy: Copy | None, original: Row | None) -> int | None:
    row = copy.row if copy else original
    return row.segment.frame if row else None


def _frames(*numbers: int | None) -> tuple[int, ...]:
    return tuple(dict.fromkeys(n for n in numbers if n is not None))


def _unexplained(me: Sender, why: str) -> Finding:
    return Finding(
        None, f"sent again, why is not known: {why}", _frames(me.heard_frame),
        Again(doubt=Doubt.WHY),
    )  # fmt: skip


def _told_of_loss(me: Sender, copy: Copy | None, start: int, stop: int) -> Finding | None:
    """What ACKs said that makes these bytes lost to their sender."""
    if me.sack_top > stop and (copy is None or me.come_ns > copy.time_ns):
        lowest, highest = me.sacked.ends_within(stop, me.sack_top)
        if highest is not None and lowest is not None:
            low = me.sacked.stop_before(start)
            gap = byte_text(me.una if low is None else low, lowest[0])
            return Finding(
                Verdict.FAST_RETRANSMIT,
                f"SACK {byte_text(*highest)} showed the gap {gap}",
                _frames(me.sack_frame),
            )
    head = start <= me.una
    fresh = copy is None or copy.time_ns < me.una_ns
    if head and fresh and me.duplicate_acks >= _ENOUGH_DUPLICATES:
        return Finding(
            Verdict.FAST_RETRANSMIT,
            f"{me.duplicate_acks} duplicate ACKs asked for it",
            _frames(*me.duplicate_frames),
        )
    original = me.original(start)
    sent_ns = copy.time_ns if copy else original.packet.time_ns if original else me.come_ns
    if me.sack and me.come_ns > sent_ns and me.heard_frame is not None:
        return Finding(
            Verdict.FAST_RETRANSMIT,
            f"frame {me.come_frame} was sent after it and had come, by ACK {me.heard_frame}",
            _frames(me.come_frame, me.heard_frame),
        )
    partial = me.recover > me.una and me.recover_kind == FAST and me.una_ns > me.recover_ns
    if head and fresh and partial:
        return Finding(
            Verdict.FAST_RETRANSMIT,
            f"in the recovery that frame {me.recover_frame} began: an ACK stopped here",
            _frames(me.recover_frame, me.una_frame),
        )
    return None


def _tail(me: Sender, stop: int, now_ns: int) -> Finding:
    """Not the first that is out, or too early for it: the last may be a tail loss probe."""
    if stop != me.nxt or me.recover > me.una:
        return _unexplained(me, "no ACK told of a loss, and it is not the first that was out")
    since_ns, since = me.newest_ns, me.newest.segment.frame if me.newest else None
    if me.heard_ns > since_ns:
        since_ns, since = me.heard_ns, me.heard_frame
    if any(not c.twin and c.time_ns >= max(me.una_ns, me.newest_ns) for c in me.copies):
        return _unexplained(me, "the last that was out, and not the first sent again since")
    if not me.rtt_count or me.near_ns is None or not me.sack:
        return _unexplained(me, "the last that was out, and the round trip is not known")
    trip_ns = me.srtt_ns + me.near_ns
    waited_ns = now_ns - since_ns
    if waited_ns < 3 * trip_ns // 2:
        return _unexplained(me, f"{ms(waited_ns)} after frame {since}: too soon for a probe")
    return Finding(
        Verdict.TAIL_LOSS_PROBE,
        f"the last of {me.segments_out} segments out, {ms(waited_ns)} after frame {since}"
        f" (round trip {ms(trip_ns)})",
        _frames(since),
    )


def _timer(
    me: Sender, row: Row, stop: int, waited_ns: int, begun: int | None, copy: Copy | None
) -> Finding:
    """The first that is out, after a silence: the retransmission timer, or with one out a probe."""
    text = f"{ms(waited_ns)} after frame {begun}, and no ACK of it since"
    timed_out = Finding(Verdict.RTO, f"{TIMED_OUT} {text}", _frames(begun))
    probed = copy is not None  # a probe is sent once; then it is the timer's turn
    if copy is not None and me.lone is not None:
        _settle_lone(me, me.lone, waited_ns, row.segment.frame)
        me.lone = None
    if stop != me.nxt or me.segments_out > 1 or not me.sack or probed:
        return timed_out
    if me.probes_first:
        return Finding(
            Verdict.TAIL_LOSS_PROBE,
            f"the only segment out, {text}: its kernel sends a probe first (tcp_early_retrans)",
            _frames(begun),
        )
    least = me.srtt_ns + max(4 * me.rttvar_ns, 200_000_000)
    probe_ns = min(2 * me.srtt_ns + 200_000_000, least)
    if me.near_ns == 0 and me.rtt_count and waited_ns > probe_ns * 13 // 8 + _TICK_NS:
        return timed_out  # a probe would have left long ago
    me.lone = row, waited_ns
    return Finding(
        None, f"sent again by the retransmission timer or as a tail loss probe: {text},"
        " with one segment out both end alike", _frames(begun), Again(doubt=Doubt.TIMER_OR_PROBE),
    )  # fmt: skip


def _settle_lone(me: Sender, lone: tuple[Row, int], waited_ns: int, frame: int) -> None:
    """The second resend tells what the first was, by what a timer does when it backs off."""
    first, before_ns = lone
    segment = first.segment
    if segment.verdict is not None:  # known to have been in vain by now
        return
    said = f"{ms(before_ns)} without an ACK, then {ms(waited_ns)} up to frame {frame}"
    if before_ns * 4 // 5 - _TICK_NS <= waited_ns <= before_ns * 27 // 20 + _TICK_NS:
        segment.verdict = Verdict.TAIL_LOSS_PROBE
        segment.verdict_reason = f"{said}: a timer that had run out would have waited twice as long"
    elif waited_ns >= before_ns * 8 // 5 and me.rtt_count and me.near_ns == 0:
        least = me.srtt_ns + max(4 * me.rttvar_ns, 200_000_000)
        if least * 7 // 8 <= before_ns <= least * 5 // 4 + _TICK_NS:
            segment.verdict = Verdict.RTO
            segment.verdict_reason = f"{TIMED_OUT} {said}: the timer backed off"
    if segment.verdict is not None:
        segment.verdict_frames = (*(segment.verdict_frames or ()), frame)
        segment._again = None
