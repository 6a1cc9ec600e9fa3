"""Why a connection without calls was silent, where something was lost.

A capture sees what was lost behind it, as bytes sent again; of what was lost before it came there
it sees what skipped it, or the number that its sender gave it and nothing has.
Read first: `recovery`; RFC 6298, RFC 8985.
"""

from __future__ import annotations

from bisect import bisect_right

from netlab.correlate.again import LEAST_TIMER_NS
from netlab.correlate.flows import FIN, RST
from netlab.explain.causes import Cause
from netlab.explain.recovery import recovery_of
from netlab.explain.silence.gaps import Gap, Told
from netlab.explain.wording import counted
from netlab.model.tables import Verdict

_USUAL_RTO_NS = 250_000_000  # that of a short way, with what timers are late
_MECHANISMS = {
    Verdict.RTO: (Cause.RTO, "the retransmission time-out sent it again"),
    Verdict.TAIL_LOSS_PROBE: (Cause.TAIL_LOSS_PROBE, "a tail loss probe sent it again"),
    Verdict.FAST_RETRANSMIT: (
        Cause.FAST_RETRANSMIT, "ACKs that showed the gap had it sent again"
    ),
}  # fmt: skip


def sent_again(gap: Gap) -> Told | None:
    """Bytes were sent again: by which mechanism; in vain, where it shows that nothing was lost."""
    if gap.resend is None:
        return None
    sender = gap.path.senders[gap.after.direction]
    found = recovery_of(gap.path, sender, gap.resend)
    segment, text, cause = gap.after.segment, found.text, found.cause
    in_vain = segment.verdict == Verdict.SPURIOUS
    if in_vain and cause is Cause.FAST_RETRANSMIT and gap.is_a_round_trip:
        return None  # nobody waited for it: it is as late as what had asked for it is old
    if cause is Cause.TAIL_LOSS_PROBE and _came_after_others(gap):
        cause = Cause.RTO
        text = (
            f"because frame {found.frames[0]} was not acknowledged, until a retransmission time-out"
            f" sent it again (frame {gap.frame}), after others that did not come here"
        )
    if in_vain:
        text += f"; in vain: {(segment.verdict_reason or '').partition(';')[0]}"
    return Told(cause, found.frames, text)


def _came_after_others(gap: Gap) -> bool:
    """Whether what a far end sent again is not the first: others are missing, or it is so late."""
    if gap.sees_all or gap.resend is None:
        return False
    missing, since_ns = _missing(gap)
    late_ns = gap.after.packet.time_ns - since_ns - gap.away_ns
    return bool(missing) or late_ns > _timer_ns(gap)


def filled(gap: Gap) -> Told | None:
    """Bytes came that others had overtaken: sent again, or only late."""
    segment = gap.after.segment
    sender = gap.path.senders[gap.after.direction]
    nxt = sender.nxt(gap.after.packet.time_ns - 1)
    if not segment.payload_len_bytes or segment.stop > nxt or gap.resend is not None:
        return None
    above = next(
        (row.segment.frame for row in sender.departures_back_from(gap.after.packet.time_ns - 1)
         if row.segment.start >= segment.stop), None,
    )  # fmt: skip
    frames = () if above is None else (above,)
    overtaken = "" if above is None else f" (frame {above} came before them)"
    size = counted(segment.payload_len_bytes, "byte")
    if segment.verdict == Verdict.REORDERED:
        return Told(
            Cause.NETWORK, frames,
            f"because frame {gap.frame} was overtaken on its way{overtaken}",
        )  # fmt: skip
    known = _MECHANISMS.get(Verdict(segment.verdict)) if segment.verdict else None
    if known is None:
        return Told(
            Cause.UNKNOWN, frames,
            f"before {size} came that were late or lost{overtaken}",
        )  # fmt: skip
    cause, how = known
    return Told(
        cause, frames,
        f"because {size} of the {gap.side} were lost before they came here{overtaken}, until {how}"
        f" (frame {gap.frame})",
    )  # fmt: skip


def fin_again(gap: Gap) -> Told | None:
    """The end of a stream was sent again: it had no answer."""
    after, half = gap.after, gap.path.track.halves[gap.after.direction]
    if not after.packet._flags & FIN or after.segment.payload_len_bytes:
        return None
    earlier = [p for p in half.fins if p.time_ns < after.packet.time_ns and not p._made]
    if not earlier:
        return None
    probe = len(earlier) == 1 and _sack(gap)
    how = "a tail loss probe" if probe else f"retransmission time-out {len(earlier)}"
    return Told(
        Cause.TAIL_LOSS_PROBE if probe else Cause.RTO, (earlier[-1].frame,),
        f"because the FIN of frame {earlier[-1].frame} was not acknowledged, until {how} sent it"
        f" again (frame {gap.frame})",
    )  # fmt: skip


def skipping(gap: Gap) -> Told | None:
    """Bytes came with others missing before them: more was lost than those, so they came again.

    A time-out sends the first again that is not acknowledged; only a probe sends the last
    (RFC 8985 7.3).
    """
    after, sender = gap.after, gap.path.senders[gap.after.direction]
    hole = after.segment.start - sender.nxt(after.packet.time_ns - 1)
    if gap.sees_all or not after.segment.payload_len_bytes or hole <= 0:
        return None
    missing = gap.vantage.missing.get(gap.frame)
    lost = f"{counted(hole, 'byte')} before frame {gap.frame} were lost before they came here"
    if missing is None or missing <= -(-hole // sender.mss) or not _sack(gap):
        return Told(Cause.UNKNOWN, (), f"in which {lost}")
    return Told(
        Cause.TAIL_LOSS_PROBE, (),
        f"because {lost}, and so was frame {gap.frame} itself, by the numbers of the"
        f" {gap.side}'s packets, until a tail loss probe sent it again",
    )  # fmt: skip


def given_up(gap: Gap) -> Told | None:
    """A far end reset the connection after as long as a time-out: who knows what it had sent."""
    if not gap.after.packet._flags & RST or gap.sees_all:
        return None
    if gap.length_ns - gap.away_ns < LEAST_TIMER_NS:
        return None
    return Told(
        Cause.UNKNOWN, (),
        f"before the {gap.side} reset the connection (frame {gap.frame}): its program did, or its"
        " kernel gave up on what did not come here",
    )  # fmt: skip


def unseen(gap: Gap) -> Told | None:
    """Whether what a far end sent in a silence as long as a time-out was lost before it came."""
    after = gap.after
    content = after.segment.payload_len_bytes or after.packet._flags & FIN
    if gap.sees_all or not content or gap.length_ns - gap.away_ns < LEAST_TIMER_NS:
        return None
    missing, since_ns = _missing(gap)
    if missing == 0:
        return None
    if missing is None:
        return Told(
            Cause.UNKNOWN, (),
            f"before frame {gap.frame} of the {gap.side} came: its program was silent, or what it"
            " sent was lost before it came here, and sent again",
        )  # fmt: skip
    shown = (
        f"{counted(missing, 'frame')} of the {gap.side} did not come here, by the numbers of its"
        " packets"
    )
    late_ns = after.packet.time_ns - since_ns - gap.away_ns
    if late_ns > _timer_ns(gap) * ((1 << missing) - 1):
        return Told(
            Cause.UNKNOWN, (),
            f"before frame {gap.frame} came: {shown}, and that does not explain all of it",
        )  # fmt: skip
    probe = missing == 1 and _sack(gap)
    how = "a tail loss probe" if probe else "a retransmission time-out"
    return Told(
        Cause.TAIL_LOSS_PROBE if probe else Cause.RTO, (),
        f"because {shown}, until {how} sent it again (frame {gap.frame})",
    )  # fmt: skip


def _missing(gap: Gap) -> tuple[int | None, int]:
    """(how many frames its end sent that did not come, since when) after its last content.

    Of its first number nothing was left out that matters: by the end of a timer it came again.
    """
    total: int | None = 0
    long = gap.length_ns - gap.away_ns > _timer_ns(gap)
    rows = gap.path.track.rows
    place = bisect_right(rows, gap.after.packet.time_ns, key=lambda row: row.packet.time_ns)
    while place:
        place -= 1
        row = rows[place]
        if row.direction is not gap.after.direction or row.packet._made:
            continue
        if row is not gap.after and row.segment.seg_len:
            return total, row.packet.time_ns
        number = gap.vantage.missing.get(row.packet.frame)
        if number is None and long and row is not gap.after:
            number = 0
        total = None if number is None or total is None else total + number
    return total, gap.before.packet.time_ns


def _timer_ns(gap: Gap) -> int:
    """As long as the first of its timers may be."""
    return _USUAL_RTO_NS + 3 * gap.rtt_ns


def _sack(gap: Gap) -> bool:
    return all(half.sack for half in gap.path.track.halves.values())
