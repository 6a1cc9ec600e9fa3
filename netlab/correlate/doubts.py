"""Whether the calls on a socket are all there, and in which order -> from where on to doubt them.

- `stop_of`: a process whose recording stopped may go on using its sockets. Where it shares one with
  other processes, what they moved afterwards has no known place. A loss does not name its process:
  it is one of the loss's actor that was not seen to enter a call any more. And the order of entry
  is the order of a clock: where that was set back, it is not known (man 2 clock_settime).
  And what detach() handed out is used unseen.
- `first_impossible`: bytes that left before their call, or came after it, belong to another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

from netlab.correlate.call_moves import bound_ns
from netlab.correlate.call_ranges import CallRanges, Stop
from netlab.correlate.reasons import Reason
from netlab.correlate.sockets import Socket
from netlab.model.call import DUPLICATING, CallRecord, is_closing
from netlab.model.clock import ClockPair, clock_steps
from netlab.model.ranges import RangeMap
from netlab.model.recording import Loss, RawRecording

# A thread that was just noting a call may finish that after the loss: some turns of the interpreter
# lock (5 ms each).
_LATE_ENTRY_NS = 50_000_000


def clock_windows(pairs: Sequence[ClockPair]) -> list[tuple[int, int]]:
    """Stretches of real time, by either reading of the clock, in which it was stepped."""
    found = []
    for before, after in pairwise(pairs):
        for _, step_ns in clock_steps([before, after]):
            times = (before.realtime_ns, after.realtime_ns)
            low = min(*times, before.realtime_ns + step_ns)
            found.append((low, max(*times, after.realtime_ns - step_ns)))
    return found


def stop_of(
    socket: Socket,
    calls: list[CallRecord],
    raw: RawRecording,
    last_entry: Mapping[int, int],
    steps: Sequence[tuple[int, int]],
) -> Stop | None:
    """The earliest reason not to trust later calls on the socket; `last_entry`: by process."""
    stops = [
        Stop(
            loss.since_ns if loss.since_ns is not None else -1,
            Reason.PROBE_GAP if loss.since_ns is None or loss.pid is not None else Reason.LIMIT,
        )
        for loss in raw.losses
        if loss.what == "calls"
        and loss.witness != "packets"
        and _concerns(loss, socket, calls, raw, last_entry)
    ]
    stops += _kernel_stops(socket, calls, raw)
    for low, high in steps:
        records = (calls[n - 1] for n in socket.calls)
        if any(r.entered_ns <= high and (r.returned_ns or high) >= low for r in records):
            stops.append(Stop(low, Reason.CLOCK_STEP))
    for number in socket.calls:
        record = calls[number - 1]
        if record.op == "detach" and record.errno is None:  # what it handed out, nobody watches
            stops.append(Stop(record.entered_ns, Reason.PROBE_GAP))
            break
    return min(stops, key=lambda stop: stop.time_ns, default=None)


def _is_told_by(actor: str, loss: Loss) -> bool:
    """Whether a loss is one of this actor: strace watches a program's descendants, too."""
    if loss.witness == "strace" and actor.startswith(f"{loss.actor}/"):
        return True
    return actor == loss.actor


def _kernel_stops(socket: Socket, calls: list[CallRecord], raw: RawRecording) -> Iterator[Stop]:
    """Where the kernel's events about calls on this socket may be missing.

    A buffer that ran over may have lost any. A call that was entered before its process was watched
    is of some socket that the process had then.
    """
    mine = [calls[n - 1] for n in socket.calls if calls[n - 1].witness == "kernel"]
    for loss in raw.losses if mine else ():
        if loss.witness != "kernel" or loss.since_ns is None:
            continue
        if loss.what == "events of calls":
            yield Stop(loss.since_ns, Reason.EVENTS_LOST)
        elif loss.what == "calls" and any(call.pid == loss.pid for call in mine):
            had_it = not socket.made or mine[0].entered_ns < loss.since_ns
            if had_it:
                yield Stop(-1, Reason.PROBE_GAP)


def _concerns(
    loss: Loss,
    socket: Socket,
    calls: list[CallRecord],
    raw: RawRecording,
    last_entry: Mapping[int, int],
) -> bool:
    """Whether a process that may have stopped recording held the socket then."""
    for pid, actor in _holders(socket, calls, raw):
        if loss.pid is not None and pid != loss.pid:
            continue
        if loss.actor and actor is not None and not _is_told_by(actor, loss):
            continue
        if loss.since_ns is None:
            return True
        # A loss that names its process is one of single calls: that others follow says nothing.
        seen_later = last_entry.get(pid, 0) > loss.since_ns + _LATE_ENTRY_NS and loss.pid is None
        if not seen_later and not _let_go(pid, socket, calls, loss.since_ns):
            return True
    return False


def _holders(
    socket: Socket, calls: list[CallRecord], raw: RawRecording
) -> Iterator[tuple[int, str | None]]:
    """The processes that ever held the socket, and their actors where a call tells them."""
    actors = {calls[n - 1].pid: calls[n - 1].actor for n in socket.calls}
    yield from actors.items()
    for item in raw.inheritances:
        if socket.inode in item.inodes and item.pid not in actors:
            yield item.pid, None


def _let_go(pid: int, socket: Socket, calls: list[CallRecord], time_ns: int) -> bool:
    """Whether the process had closed its only descriptor of the socket by then."""
    mine = [calls[n - 1] for n in socket.calls if calls[n - 1].pid == pid]
    if any(record.op in DUPLICATING for record in mine):
        return False
    return any(is_closing(record) and record.entered_ns < time_ns for record in mine)


def first_impossible(
    ranges: CallRanges,
    frames: Sequence[RangeMap[int]],
    time_of: Callable[[int], int],
    calls: list[CallRecord],
    *,
    outbound: bool,
    unsure: Sequence[tuple[int, int]] = (),
) -> int | None:
    """The first call whose bytes left before it was entered, or came after it had returned.

    That proves that an earlier call was not seen. `unsure`: stretches of time, around steps of the
    clock, across which times do not compare.
    """
    found: int | None = None
    for start, stop, number in ranges.owners:
        record = calls[number - 1]
        if outbound:
            limit: int | None = record.entered_ns
        else:
            limit = bound_ns(record)
        if limit is None or (found is not None and number > found):
            continue
        for held in frames:
            for _, _, frame in held.overlaps(start, stop):
                time_ns = time_of(frame)
                low, high = (time_ns, limit) if outbound else (limit, time_ns)
                if low < high and not any(a <= high and low <= b for a, b in unsure):
                    found = number
    return found
