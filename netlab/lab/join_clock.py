"""Puts the calls of one log on the clock of the frames, and says what is known of both clocks.

Nothing is added where the times can be right as they are. Else the midpoint of what fits; what is
known is the interval, and both are said. Two files of one machine need nothing: strace and the
packet ring stamp by one clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from netlab.capture.strace.by_hand import Log
from netlab.correlate.causality import Ways
from netlab.correlate.clock_difference import Difference
from netlab.correlate.clock_evidence import Clocks, Evidence
from netlab.correlate.missing import missing_frames
from netlab.correlate.segments import Track
from netlab.correlate.sockets import trace_sockets
from netlab.model.call import CallRecord
from netlab.model.errors import UsageError
from netlab.model.recording import RawRecording

_S = 1_000_000_000
# Two clocks that disagree by less, and not in one way, are one clock with late stamps.
_NOISE_NS = 1_000_000
_MOST_PLACES = 4


@dataclass(frozen=True, slots=True)
class Setting:
    """What was added to the times of a log."""

    log: Log  # as its calls stand now
    added: Difference | None  # None: nothing
    asked: bool = False  # the user said how much
    doubt: str = ""  # why it may be wrong


def set_clock(
    log: Log, raw: RawRecording, tracks: Sequence[Track], ways: Ways, offset_ns: int | None
) -> Setting:
    """The log with its calls on the clock of the frames.

    Raises UsageError when they do not overlap, or several differences would do.
    """
    calls = sorted(log.calls, key=lambda call: call.entered_ns)
    if offset_ns is not None:
        moved = _moved(log, lambda _: offset_ns)
        _check_overlap(moved, raw, None)
        return Setting(moved, None, asked=True)
    clocks = Clocks(
        trace_sockets(calls, log.inheritances).all, tracks, calls, ways,
        whole=not log.losses, ring_lost=missing_frames(raw) is not None,
    )  # fmt: skip
    evidence = clocks.evidence()
    _check_overlap(log, raw, evidence)
    found = evidence.found
    if found is None and evidence.places:
        raise _several(log, evidence)
    if found is None:
        return Setting(log, None, doubt="its times and the frames' contradict each other in many"
                       " places, and no difference of the clocks explains that")  # fmt: skip
    one = found.stretches[0]
    noise = found.amiss is not None and len(found.stretches) == 1
    if found.allows_zero or (noise and abs(one.middle_ns) < _NOISE_NS):
        return Setting(log, None)
    return Setting(_moved(log, found.added_ns), found)


def _moved(log: Log, added_ns: Callable[[int], int]) -> Log:
    """The log with this much added to its times; a call is moved as a whole."""

    def moved(call: CallRecord) -> CallRecord:
        more = added_ns(call.entered_ns)
        returned, by = call.returned_ns, call.returned_by_ns
        return replace(
            call,
            entered_ns=call.entered_ns + more,
            returned_ns=None if returned is None else returned + more,
            returned_by_ns=None if by is None else by + more,
        )

    return replace(
        log,
        calls=[moved(call) for call in log.calls],
        inheritances=[
            replace(one, time_ns=one.time_ns + added_ns(one.time_ns)) for one in log.inheritances
        ],
        losses=[
            one if one.since_ns is None
            else replace(one, since_ns=one.since_ns + added_ns(one.since_ns))
            for one in log.losses
        ],
    )  # fmt: skip


def _check_overlap(log: Log, raw: RawRecording, evidence: Evidence | None) -> None:
    frames = [frame.time_ns for frame in raw.frames]
    first, last = min(frames), max(frames)
    begun = min(call.entered_ns for call in log.calls)
    ended = max(
        max(call.entered_ns, call.returned_ns or 0, call.returned_by_ns or 0) for call in log.calls
    )
    if begun <= last and ended >= first:
        return
    if ended < first:
        apart = f"its last call is {_seconds(first - ended)} s before the first frame"
        fits_ns = first - begun
    else:
        apart = f"its first call is {_seconds(begun - last)} s after the last frame"
        fits_ns = first - begun
    hint = "if the clocks differ, say by how much with --clock-offset SECONDS"
    found = evidence.found if evidence is not None and evidence.sockets else None
    if found is not None and len(found.stretches) == 1:
        fits_ns = found.stretches[0].middle_ns
        hint += f" (its sockets would fit the frames with {_seconds(fits_ns)})"
    else:
        hint += f" ({_seconds(fits_ns)} would let both begin together)"
    raise UsageError(f"{log.name} and the capture do not overlap in time: {apart}", hint)


def _several(log: Log, evidence: Evidence) -> UsageError:
    places = [f"{_seconds((low + high) // 2)}" for low, high in evidence.places[:_MOST_PLACES]]
    more = len(evidence.places) - len(places)
    named = ", ".join(places) + (f" and {more} more" if more else "")
    return UsageError(
        f"{log.name} and the capture are on different clocks, and which way is not known",
        f"say it with --clock-offset SECONDS; these would fit: {named}",
    )


def clock_line(setting: Setting, evidence: Evidence, offset_ns: int | None) -> str:
    """What was added to the times of a log and what else fits: a line.

    `evidence` is that of the calls as they stand now, with the connections they were given.
    """
    name = setting.log.name
    if setting.doubt:
        return f"{name}: {setting.doubt}: nothing was added"
    left = evidence.found
    if setting.added is not None and setting.added.drift_ppb is not None:
        return f"{name}: {_drift_text(setting.added)}"
    if setting.added is not None and len(setting.added.stretches) > 1:
        return f"{name}: {_steps_text(setting.added)}"
    added_ns = setting.added.stretches[0].added_ns if setting.added is not None else 0
    if setting.asked:
        added_ns = offset_ns or 0
    if setting.asked:
        begin = f"{_seconds(added_ns)} s was added to its times, as asked"
    elif setting.added is not None:
        begin = f"{_seconds(added_ns)} s was added to its times"
    else:
        begin = "its times agree with the frames' as they are"
    if left is None:
        return f"{name}: {begin}; calls and frames contradict each other"
    if left.amiss is not None:
        low, high = left.amiss
        by = (low.offset_ns - high.offset_ns) / 1000
        return (
            f"{name}: {begin}; calls and frames contradict each other by {by:.3f} us or more: "
            f"{_call_time(low.at_ns)} came too early for its frame, "
            f"{_call_time(high.at_ns)} too late"
        )
    one = left.stretches[0]
    return f"{name}: {begin}{_room_text(one.low_ns, one.high_ns, added_ns, left.bounds)}"


def _room_text(low: int | None, high: int | None, added_ns: int, bounds: int) -> str:
    if low is None and high is None:
        return "; no call of its and no frame can be compared"
    least = "any less" if low is None else _seconds(added_ns + low)
    most = "any more" if high is None else _seconds(added_ns + high)
    return f"; what may be added is {least} to {most} s, by {bounds:,} pairs of call and frame"


def _drift_text(found: Difference) -> str:
    assert found.drift_ppb is not None
    used, least, most = (ppb / 1000 for ppb in found.drift_ppb)
    first = found.stretches[0]
    return (
        f"its clock and the frames' run apart by {used:.3f} ppm ({least:.3f} to {most:.3f}); "
        f"{_seconds(first.middle_ns)} s was added to its first call, and more or less later, by "
        f"{found.bounds:,} pairs of call and frame"
    )


def _steps_text(found: Difference) -> str:
    words = [f"{_seconds(found.stretches[0].added_ns)} s was added to its times"]
    for one in found.stretches[1:]:
        unsure = one.since_ns if one.unsure_ns is None else one.unsure_ns
        words.append(
            f"from {_call_time(one.since_ns)} on {_seconds(one.added_ns)} s: one of the clocks was"
            f" set between {_call_time(unsure)} and {_call_time(one.since_ns)}"
        )
    return "; ".join(words)


def _call_time(time_ns: int) -> str:
    """As the log has it."""
    return f"the call at {time_ns // _S}.{time_ns % _S:09d}"


def _seconds(ns: int) -> str:
    sign = "-" if ns < 0 else ""
    return f"{sign}{abs(ns) // _S}.{abs(ns) % _S:09d}"
