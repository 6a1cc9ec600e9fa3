"""What a sender's kernel said of itself -> verdicts that frames alone leave open.

A resend whose cause is not certain is settled by the state of congestion control that was sampled
of its socket after it left and before anything else came to it: "loss" is where a time-out leads,
"recovery" where ACKs do, and a tail loss probe changes neither "open" nor "disorder". That the
kernel told of a retransmission (its tracepoint) says that a frame is one, whatever doubled it.
Read first: include/net/tcp.h (tcp_ca_state), tcp_enter_loss and tcp_enter_recovery in Linux.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence

from netlab.correlate.arrivals import arrival_ns, reached
from netlab.correlate.segments import Row, Track
from netlab.model.kernel_event import Tracepoint
from netlab.model.tables import Again, Doubt, FrameNote, State, Verdict

_SETTLES = {"loss": Verdict.RTO, "recovery": Verdict.FAST_RETRANSMIT}


def settle_by_kernel(
    tracks: Iterable[Track], states: Iterable[State], notes: Iterable[FrameNote]
) -> list[Track]:
    """Give a verdict, or another reason, to segments that have none; the tracks that changed."""
    sampled: dict[tuple[int, str], list[State]] = defaultdict(list)
    for state in states:
        if state.connection is not None and state.side is not None and state.ca_state is not None:
            sampled[state.connection, state.side].append(state)
    resent = {note.frame: note for note in notes if note.what == Tracepoint.RETRANSMIT}
    changed: dict[int, Track] = {}
    if not sampled and not resent:
        return []
    for track in tracks:
        for row in track.rows:
            segment = row.segment
            doubt = segment._again.doubt if segment._again is not None else None
            if segment.verdict is not None or doubt is None:
                continue
            if doubt is Doubt.WHETHER:
                note = resent.get(segment.frame)
                if note is None:
                    continue
                segment.verdict_reason = (
                    f"sent again, why is not known: the kernel of {note.host} told of it"
                    " (tcp_retransmit_skb)"
                )
                doubt, segment._again = Doubt.WHY, Again(doubt=Doubt.WHY)
            looks = sampled.get((track.flow.connection, row.direction.sender), [])
            if looks and _settle(track, row, looks, doubt):
                changed[track.flow.connection] = track
    return list(changed.values())


def _settle(track: Track, row: Row, looks: Sequence[State], doubt: Doubt) -> bool:
    """By the first look at the socket before anything else came to it, or left it."""
    left_ns = row.packet.time_ns
    mine = row.direction
    until = [
        r.packet.time_ns for r in track.rows if r.direction is mine and r.packet.time_ns > left_ns
    ]
    until += [
        arrival_ns(r.packet) for r in track.rows
        if r.direction is not mine and reached(r.packet) and arrival_ns(r.packet) > left_ns
    ]  # fmt: skip
    at = bisect_left(looks, left_ns + 1, key=lambda state: state.time_ns)
    if at == len(looks) or looks[at].time_ns >= min(until, default=looks[at].time_ns + 1):
        return False
    segment, look = row.segment, looks[at]
    verdict = _SETTLES.get(look.ca_state or "")
    either = doubt is Doubt.TIMER_OR_PROBE
    if verdict is None and either and look.ca_state in ("open", "disorder"):
        verdict = Verdict.TAIL_LOSS_PROBE
    if verdict is None or (verdict is Verdict.FAST_RETRANSMIT and either):
        return False
    told = f"its kernel's congestion control was in {look.ca_state}; {segment.verdict_reason}"
    segment.verdict, segment.verdict_reason, segment._again = verdict, told, None
    return True
