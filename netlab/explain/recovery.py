"""A frame that carried bytes again -> which mechanism of its sender's stack sent it.

| mechanism | what the recording shows |
|---|---|
| backlog_full | the frame before it came to a listener whose queue was full |
| peer_window | what was sent before came, and its receiver had no room for it (`no_room`) |
| path_mtu | what was sent before was too big for the path (`too_big`), whatever sent it again |
| fast_retransmit, rto, tail_loss_probe | the verdict of correlate (`again`) says so; where it has \
none: |
| fast_retransmit | ACKs with SACK blocks above it, or duplicate ones, had come and it left within \
RACK's reordering time of one of them |
| tail_loss_probe | none had, both ends permit SACK, a round trip had passed, it is the last \
segment sent, and the first that a timer sent again since an ACK made progress |
| rto | none had, and it is not that: the n-th in a row, no sooner than any timer runs out |
| unknown | it is none of these |

A tail loss probe may send what is new (`new_probe`). So does an ACK, a duplicate one too (limited
transmit, RFC 3042), and a pacing clock: what follows either was no probe.

Timers fire late by a tick or an eighth of their length, never early; Linux arms the probe in the
place of the first timer when both ends permit SACK (tcp_early_retrans 3), and never later than the
timer would be.
Read first: RFC 6298, RFC 8985 (sections 6 and 7), tcp_schedule_loss_probe in Linux.
"""

from __future__ import annotations

from dataclasses import replace

from netlab.correlate.again import IN_ITS_RECOVERY, LEAST_TIMER_NS
from netlab.correlate.arrivals import reached
from netlab.correlate.in_vain import sent_by
from netlab.correlate.kernels_known import may_probe_first
from netlab.explain.causes import Cause, Certainty
from netlab.explain.no_room import had_no_room
from netlab.explain.parts import Line
from netlab.explain.path import Path
from netlab.explain.queues import full_text, kept_out
from netlab.explain.sender import Recovery, Resend, Sender
from netlab.explain.too_big import before_it, too_big
from netlab.explain.wording import lost_text
from netlab.model.tables import Direction, Fate, Segment, Verdict

# RACK waits a quarter of the round trip for a segment that may only be late, one tick more until
# the timer fires; a busy machine is later.
_PROMPT_NS = 8_000_000
_TIMES = {1: "once", 2: "twice"}
_LATE_NS = 5_000_000  # what leaves so long after its write, and after no ACK, a timer sent


def recovery_of(path: Path, sender: Sender, resend: Resend) -> Recovery:
    """The mechanism behind one frame."""
    known = sender.recoveries.get(resend.frame)
    if known is None:
        judged = _judged(path, sender, resend)
        found = _refused(path, sender, resend, _sized(path, sender, resend, judged))
        known = replace(found, lost=_was_lost(path, sender, resend))
        sender.recoveries[resend.frame] = known
    return known


def _sized(path: Path, sender: Sender, resend: Resend, judged: Recovery) -> Recovery:
    """What was too big was not lost as others are: who said so, or which mechanism tried again."""
    big = too_big(path, resend, before_it(sender, resend))
    if big is None:
        return judged
    if big.told_by is None:
        return replace(judged, cause=Cause.PATH_MTU)
    text = f"because {big.words}, until ICMP said so (frame {big.told_by}) and its bytes were" \
           f" sent again (frame {resend.frame})"  # fmt: skip
    sure = Certainty.OBSERVED if big.rule else Certainty.INFERRED
    return Recovery(Cause.PATH_MTU, sure, (*big.frames, resend.frame), text)


def _refused(path: Path, sender: Sender, resend: Resend, judged: Recovery) -> Recovery:
    """What came and found no room waited for the window, whatever sent it again."""
    before = before_it(sender, resend)
    full = had_no_room(path, sender, before) if before is not None else None
    if full is None or judged.cause is Cause.BACKLOG_FULL:
        return judged
    frames = (full.frame, full.ack, *(f for f in judged.frames if f not in (full.frame, full.ack)))
    if judged.cause is not Cause.UNKNOWN:
        return replace(judged, cause=Cause.PEER_WINDOW, frames=frames)
    text = f"because {full.words}, until it was sent again (frame {resend.frame})"
    return Recovery(Cause.PEER_WINDOW, Certainty.OBSERVED, frames, text)


def _judged(path: Path, sender: Sender, resend: Resend) -> Recovery:
    lost = _lost(path, sender, resend)
    full = _ignored(path, sender, resend, lost[0])
    if full is not None:
        return full
    verdict = _verdict(sender, resend)
    if verdict in (None, Verdict.FAST_RETRANSMIT):
        fast = _by_acks(path, sender, resend, lost)
        if fast is not None:
            return fast
    certainty = Certainty.OBSERVED if lost[2] else Certainty.INFERRED
    frames = (*lost[0], resend.frame)
    segment = _segment(sender, resend)
    timeout = _timeout_before(segment) if segment is not None else None
    if verdict is Verdict.RTO and segment is not None and timeout is not None:
        text = (
            f"because {lost[1]}, until it was sent again (frame {resend.frame}) {IN_ITS_RECOVERY}"
            f" {timeout} began"
        )
        return Recovery(Cause.RTO, certainty, (*frames, *(segment.verdict_frames or ())), text)
    nth = _nth_by_timer(path, sender, resend)
    waited_ns = _waited_ns(sender, resend)
    may_probe = verdict is None and waited_ns >= _rtt_ns(path) and _may_probe(path, sender, resend)
    if verdict is Verdict.TAIL_LOSS_PROBE or (nth == 1 and may_probe):
        text = (
            f"because {lost[1]} with nothing behind it, until a tail loss probe sent it again"
            f" (frame {resend.frame})"
        )
        return Recovery(Cause.TAIL_LOSS_PROBE, certainty, frames, text)
    if verdict is None and (waited_ns < LEAST_TIMER_NS or _with_an_ack(sender, resend)):
        of = f"frame {lost[0][0]}" if lost[0] else "a segment"
        text = f"before {of} was sent again (frame {resend.frame})"
        return Recovery(Cause.UNKNOWN, Certainty.UNKNOWN, frames, text)
    nth -= nth > 1 and _is_probe(path, sender, _first_of_run(sender, resend))
    doubled = _TIMES.get(nth - 1, f"{nth - 1:,} times")
    backoff = f", its time doubled {doubled}," if 1 < nth <= _MOST_BACKOFFS else ""
    text = (
        f"because {lost[1]}, until retransmission time-out {nth}{backoff}"
        f" sent it again (frame {resend.frame})"
    )
    return Recovery(Cause.RTO, certainty, frames, text)


def _by_acks(
    path: Path, sender: Sender, resend: Resend, lost: tuple[tuple[int, ...], str, bool]
) -> Recovery | None:
    """That ACKs had it sent again, as correlate says, or as one shows that came before it."""
    text = f"because {lost[1]}, and ACKs that showed the gap had it sent again" \
           f" (frame {resend.frame})"  # fmt: skip
    segment = _segment(sender, resend)
    if segment is not None and sent_by(segment) is Verdict.FAST_RETRANSMIT:
        told = (*lost[0], *(segment.verdict_frames or ()), resend.frame)
        return Recovery(Cause.FAST_RETRANSMIT, Certainty.OBSERVED, told, text)
    evidence = _evidence(sender, resend)
    if evidence is None:
        return None
    heard_ns = sender.heard_ns(path.scene.packets[evidence])
    prompt = resend.time_ns - heard_ns <= _PROMPT_NS + _rtt_ns(path) // 4
    if not prompt and (_first_by_timer(sender, resend) or _was_quiet(path, sender, resend)):
        return None
    certainty = Certainty.OBSERVED if prompt else Certainty.INFERRED
    return Recovery(Cause.FAST_RETRANSMIT, certainty, (*lost[0], evidence, resend.frame), text)


def tell_recovery(line: Line, path: Path, sender: Sender, byte: int, until_ns: int) -> None:
    """What happened up to `until_ns`, when the byte's frame left that was taken in the end."""
    for resend in sender.resends_between(line.at_ns, until_ns):
        if line.done:
            return
        mine = resend.start <= byte < resend.stop
        timer = recovery_of(path, sender, resend)
        if mine and timer.cause is Cause.FAST_RETRANSMIT:
            probe = new_probe(path, sender, line.at_ns, resend)
            if probe is not None:
                at_ns, by = probe
                line.until(at_ns, by.cause, by.certainty, by.frames, (), by.text)
        if mine or timer.cause is Cause.TAIL_LOSS_PROBE:
            line.until(resend.time_ns, timer.cause, timer.certainty, timer.frames, (), timer.text)


def new_probe(
    path: Path, sender: Sender, since_ns: int, resend: Resend
) -> tuple[int, Recovery] | None:
    """A tail loss probe that sent what is new, where something is (RFC 8985 7.3), and when.

    It leaves before the resend, long after it was written, with no ACK before it that covered more,
    no bare one just before it, and a round trip after anything else: each frame sets its timer
    anew.
    """
    if sender.paced or not _sack(path):
        return None
    for row in sender.departures_between(since_ns, resend.time_ns - 1):
        left_ns = row.packet.time_ns
        moved = sender.una(left_ns) > sender.una(since_ns)  # an ACK may have let it go
        write = sender.write_of(row.segment.start)
        if moved or write is None or left_ns - write.call.entered_ns < _LATE_NS:
            continue
        heard = sender.acks_between(left_ns - _LATE_NS, left_ns)
        if any(not ack.segment.payload_len_bytes for ack in heard):  # may be duplicates (RFC 3042)
            continue
        earlier = next(sender.departures_back_from(left_ns - 1), None)
        if earlier is not None and left_ns - earlier.packet.time_ns < _rtt_ns(path):
            continue
        frames, lost, known = _lost(path, sender, resend)
        certainty = Certainty.OBSERVED if known else Certainty.INFERRED
        text = (
            f"because {lost}, until a tail loss probe sent what was next (frame"
            f" {row.segment.frame})"
        )
        cited = (*frames, row.segment.frame)
        return left_ns, Recovery(Cause.TAIL_LOSS_PROBE, certainty, cited, text)
    return None


def _lost(path: Path, sender: Sender, resend: Resend) -> tuple[tuple[int, ...], str, bool]:
    """(the frame before it with these bytes, what became of it, whether that is known)."""
    before = before_it(sender, resend)
    if before is None:
        return (), "a segment was lost", False
    big = too_big(path, resend, before)
    if big is not None:
        return (before.frame,), big.words, bool(big.rule)
    lost = lost_text(before)
    if lost:
        return (before.frame,), lost, True
    if before._wired and before.arrived_ns is not None:
        if before.arrived_ns >= resend.time_ns:
            return (before.frame,), f"frame {before.frame} was still on its way", True
        full = had_no_room(path, sender, before)
        if full is not None:
            return (before.frame,), full.words, True
        return (before.frame,), f"the ACK of frame {before.frame} did not come", True
    return (before.frame,), f"frame {before.frame} was not acknowledged", False


def _ignored(
    path: Path, sender: Sender, resend: Resend, before: tuple[int, ...]
) -> Recovery | None:
    """What came while the listener's queue was full, and was sent again for that."""
    if sender.direction is not Direction.C2S:
        return None
    found = [item for item in kept_out(path) if item[0].packet.frame in before]
    if not found or found[0][1] is Certainty.UNKNOWN:
        return None
    met, certainty = found[0]
    said, _ = full_text(path, met)
    text = (
        f"because the listener ignored frame {met.packet.frame}: its queue {said},"
        f" until it was sent again (frame {resend.frame})"
    )
    return Recovery(Cause.BACKLOG_FULL, certainty, (*before, resend.frame), text)


def _was_lost(path: Path, sender: Sender, resend: Resend) -> bool:
    """Whether the frame before it, or every ACK of that, is known or may be thought to be lost.

    A frame that came and was not acknowledged, with no ACK lost, was not: its receiver was silent.
    Nor was one that is on its way and comes: its timer was too early for the wire.
    """
    frames, _, known = _lost(path, sender, resend)
    if not known or not frames:
        return True
    before = path.scene.packets[frames[0]]
    if before.fate == Fate.DROPPED or before._spoilt or before.arrived_ns is None:
        return True
    if before.arrived_ns >= resend.time_ns:
        return False
    back = sender.direction.reverse
    return any(
        row.direction is back and not reached(row.packet)
        and before.arrived_ns <= row.packet.time_ns <= resend.time_ns
        and (row.segment.ack or 0) - 1 >= resend.stop
        for row in path.track.rows
    )  # fmt: skip


def _evidence(sender: Sender, resend: Resend) -> int | None:
    """The latest ACK before it that told of bytes above a gap at these bytes."""
    for seen, row in enumerate(sender.acks_back_from(resend.time_ns), 1):
        ack = (row.segment.ack or 0) - 1
        if ack < resend.start and ack < sender.una(resend.time_ns):
            return None  # before there was a gap
        options = row.packet._options
        blocks = options.sack_blocks if options is not None else ()
        if blocks and ack <= resend.start:
            return row.segment.frame
        if row.segment.duplicate_ack:
            return row.segment.frame
        if seen > _MOST_ACKS or ack > resend.start:
            return None
    return None


_MOST_ACKS = 64
_MOST_BACKOFFS = 15  # tcp_retries2 of Linux, which gives up then


def _was_quiet(path: Path, sender: Sender, resend: Resend) -> bool:
    """Whether no ACK had come for so long that only a timer can have sent it again.

    In recovery each resend leaves with an ACK, or is paced over a round trip.
    """
    last = next(sender.acks_back_from(resend.time_ns), None)
    if last is None:
        return True
    return resend.time_ns - sender.heard_ns(last.packet) >= LEAST_TIMER_NS + _rtt_ns(path)


def _rtt_ns(path: Path) -> int:
    row = path.scene.tables.connections[path.connection]
    return row.handshake_ns or 0


def _run(sender: Sender, resend: Resend) -> list[Resend]:
    """The frames sent again since the ACK number last grew, up to and with this one."""
    una = sender.una(resend.time_ns)
    found: list[Resend] = []
    for other in sender.resends_back_from(resend.time_ns):
        if sender.una(other.time_ns) < una or len(found) > _MOST_ACKS:
            break
        found.append(other)
    return found[::-1]


def _nth_by_timer(path: Path, sender: Sender, resend: Resend) -> int:
    """How many of a run a timer sent; those that ACKs had asked for do not count."""
    return sum(one is resend or _by_timer(path, sender, one) for one in _run(sender, resend))


def _by_timer(path: Path, sender: Sender, resend: Resend) -> bool:
    segment = _segment(sender, resend)
    verdict = _verdict(sender, resend)
    if verdict is not None and segment is not None:
        return verdict is not Verdict.FAST_RETRANSMIT and _timeout_before(segment) is None
    return _evidence(sender, resend) is None or _was_quiet(path, sender, resend)


def _segment(sender: Sender, resend: Resend) -> Segment | None:
    left = sender.departures_between(resend.time_ns - 1, resend.time_ns)
    return next((row.segment for row in left if row.segment.frame == resend.frame), None)


def _verdict(sender: Sender, resend: Resend) -> Verdict | None:
    """What correlate says of how it was sent again."""
    segment = _segment(sender, resend)
    return sent_by(segment) if segment is not None else None


def _timeout_before(segment: Segment) -> int | None:
    """The frame whose time-out began the recovery that sent it; None: it was not a recovery."""
    return segment._again.timeout_frame if segment._again is not None else None


def _with_an_ack(sender: Sender, resend: Resend) -> bool:
    """Whether an ACK had just come that covered more: each starts the timer anew (RFC 6298 5.3)."""
    return sender.una(resend.time_ns) > sender.una(resend.time_ns - _PROMPT_NS)


def _waited_ns(sender: Sender, resend: Resend) -> int:
    """How long after the frame before it; no timer of it has run for longer than any is short."""
    before = before_it(sender, resend)
    return resend.time_ns - before.time_ns if before is not None else LEAST_TIMER_NS


def _first_of_run(sender: Sender, resend: Resend) -> Resend:
    return _run(sender, resend)[0]


def _first_by_timer(sender: Sender, resend: Resend) -> bool:
    """Whether nothing of what is in flight had been sent again before."""
    return len(_run(sender, resend)) == 1


def _is_probe(path: Path, sender: Sender, resend: Resend) -> bool:
    verdict = _verdict(sender, resend)
    if verdict is not None:
        return verdict is Verdict.TAIL_LOSS_PROBE
    return _may_probe(path, sender, resend)


def _may_probe(path: Path, sender: Sender, resend: Resend) -> bool:
    """Whether it is the last segment sent, both ends permitted SACK, and its kernel probes."""
    if not _sack(path) or resend.stop < sender.nxt(resend.time_ns):
        return False
    return may_probe_first(path.scene.raw.description.hosts, path.scene.packets[resend.frame])


def _sack(path: Path) -> bool:
    return all(half.sack for half in path.track.halves.values())
