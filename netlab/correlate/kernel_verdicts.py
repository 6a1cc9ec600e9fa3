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
from netlab.model.tables import FrameNote, State, Verdict

_EITHER = ("sent again by the retransmission timer or as a tail loss probe", "sent again, why")
_UNSURE = ("late, or sent again", "sent again, or frame")
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
            if segment.verdict is not None or segment.verdict_reason is None:
                continue
            note = resent.get(segment.frame)
            if note is not None and segment.verdict_reason.startswith(_UNSURE):
                segment.verdict_reason = (
                    f"sent again, why is not known: the kernel of {note.host} told of it"
                    " (tcp_retransmit_skb)"
                )
            looks = sampled.get((track.flow.connection, row.direction.sender), [])
            open_cause = segment.verdict_reason.startswith(_EITHER)
            if looks and open_cause and _settle(track, row, looks):
                changed[track.flow.connection] = track
    return list(changed.values())


def _settle(track: Track, row: Row, looks: Sequence[State]) -> bool:
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
    before = segment.verdict_reason or ""
    verdict = _SETTLES.get(look.ca_state or "")
    if verdict is None and before.startswith(_EITHER[0]) and look.ca_state in ("open", "disorder"):
        verdict = Verdict.TAIL_LOSS_PROBE
    if verdict is None or (verdict is Verdict.FAST_RETRANSMIT and before.startswith(_EITHER[0])):
        return False
    segment.verdict = verdict
    segment.verdict_reason = f"its kernel's congestion control was in {look.ca_state}; {before}"
    return True
