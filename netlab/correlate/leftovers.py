"""What the spans of a TCP connection leave over -> rows of the byte ledger, each with its reason.

Four questions per direction: which bytes of a send have no frame, which bytes of a recv have none,
which bytes of the frames have no send, which have no recv. Answered only when calls were recorded
at all: a capture from elsewhere has no ledger.

Before that, two questions of whether the calls are all there:
- `stop_of`: a process whose recording stopped may go on using its sockets. Where it shares one with
  other processes, what they moved afterwards has no known place. A loss does not name its process:
  it is one of the loss's actor that was not seen to enter a call any more. And the order of entry
  is the order of a clock: where that was set back, it is not known (man 2 clock_settime).
- `first_impossible`: bytes that left before their call, or came after it, belong to another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from netlab.correlate.call_ranges import CallRanges, Stop
from netlab.correlate.reasons import Reason, What
from netlab.correlate.sockets import Socket
from netlab.correlate.streams import Stream
from netlab.correlate.tcp_spans import End, TcpJoin
from netlab.model.call import CallRecord
from netlab.model.clock import ClockPair, clock_steps
from netlab.model.ranges import RangeMap, RangeSet
from netlab.model.recording import Loss, RawRecording
from netlab.model.tables import Direction, Unmatched

# A thread that was just noting a call may finish that after the loss: some turns of the interpreter
# lock (5 ms each).
_LATE_ENTRY_NS = 50_000_000


def leftover_bytes(join: TcpJoin, *, ring_lost: bool) -> list[Unmatched]:
    """The ledger rows of a connection; `ring_lost`: the ring reported frames lost."""
    rows: list[Unmatched] = []
    missing = Reason.RING_DROP if ring_lost else Reason.GAP
    for direction, stream in join.streams.items():
        sender, receiver = join.ends.get(direction.sender), join.ends.get(direction.receiver)
        add = _Adder(rows, join.connection, direction)
        if sender is not None:
            known = max(stream.end, stream.acked_stop, stream.half.fin_off or 0)
            if receiver is not None:  # what was read had left, whether a frame shows it or not
                known = max(known, receiver.inbound.stop)
            _sent_not_captured(add, sender.outbound, stream, known, missing, ring_lost)
        if receiver is not None:
            _read_not_captured(add, receiver.inbound, stream, missing)
        unseen = Reason.TWINS if join.track.twins else Reason.NO_CALL_WITNESS
        _not_sent(add, sender, stream, unseen)
        _not_read(add, receiver, stream, ring_lost, unseen)
    return rows


class _Adder:
    def __init__(
        self, rows: list[Unmatched], connection: int | None, direction: Direction | None
    ) -> None:
        self.rows, self.connection, self.direction = rows, connection, direction

    def part(
        self, start: int, stop: int, what: What, reason: Reason, call: int | None = None
    ) -> None:
        if start < stop:
            self.rows.append(
                Unmatched(
                    self.connection, self.direction, start, stop, stop - start, what, reason, call
                )
            )

    def unplaced(self, ranges: CallRanges, what: What) -> None:
        for item in ranges.unplaced:
            self.rows.append(
                Unmatched(
                    self.connection,
                    self.direction,
                    item.start,
                    item.stop,
                    item.bytes,
                    what,
                    item.reason,
                    item.call,
                )
            )


def uncaptured(
    ranges: CallRanges, connection: int, direction: Direction, reason: Reason, *, outbound: bool
) -> list[Unmatched]:
    """Rows for all that one side's calls moved on a connection without frames."""
    rows: list[Unmatched] = []
    add = _Adder(rows, connection, direction)
    add.unplaced(ranges, What.SENT_NOT_PLACED if outbound else What.READ_NOT_PLACED)
    what = What.SENT_NOT_CAPTURED if outbound else What.READ_NOT_CAPTURED
    for start, stop, call in ranges.owners:
        add.part(start, stop, what, reason, call)
    return rows


def _gaps(frames: RangeMap[int], start: int, stop: int) -> Iterable[tuple[int, int]]:
    at = start
    for a, b, _ in frames.overlaps(start, stop):
        if a > at:
            yield at, a
        at = b
    if at < stop:
        yield at, stop


def _sent_not_captured(
    add: _Adder, sent: CallRanges, stream: Stream, known: int, missing: Reason, ring_lost: bool
) -> None:
    """`known`: the offset up to which the bytes had certainly left."""
    add.unplaced(sent, What.SENT_NOT_PLACED)
    unsent = Reason.RESET if stream.has_reset else Reason.STILL_QUEUED
    if ring_lost:  # they may as well have been in the frames that were lost
        unsent = Reason.RING_LOST
    for start, stop, call in sent.owners:
        for a, b in _gaps(stream.carried, start, stop):
            add.part(a, min(b, known), What.SENT_NOT_CAPTURED, missing, call)
            add.part(max(a, known), b, What.SENT_NOT_CAPTURED, unsent, call)


def _read_not_captured(add: _Adder, read: CallRanges, stream: Stream, missing: Reason) -> None:
    add.unplaced(read, What.READ_NOT_PLACED)
    for start, stop, call in read.owners:
        for a, b in _gaps(stream.accepted, start, stop):
            add.part(a, b, What.READ_NOT_CAPTURED, missing, call)


def _merged(frames: RangeMap[int]) -> RangeSet:
    return RangeSet((start, stop) for start, stop, _ in frames)


def _split(
    add: _Adder,
    start: int,
    stop: int,
    groups: RangeSet,
    what: What,
    otherwise: Reason,
) -> None:
    for a, b in groups.overlaps(start, stop):
        add.part(a, b, what, Reason.SHARED)
    for a, b in groups.gaps(start, stop):
        add.part(a, b, what, otherwise)


def _not_sent(add: _Adder, sender: End | None, stream: Stream, unseen: Reason) -> None:
    """`unseen`: why the calls of an end are not known."""
    claimed = RangeSet()
    groups = RangeSet()
    reason = unseen
    if sender is not None:
        claimed = _merged(sender.outbound.owners)
        groups = RangeSet(sender.outbound.groups)
        # otherwise a holder of the socket that no witness watched
        reason = sender.outbound.left or Reason.NO_CALL_WITNESS
    for start, stop in stream.half.bytes_seen:
        for a, b in claimed.gaps(start, stop):
            _split(add, a, b, groups, What.CARRIED_NOT_SENT, reason)


def _not_read(
    add: _Adder, receiver: End | None, stream: Stream, ring_lost: bool, unseen: Reason
) -> None:
    carried = stream.half.bytes_seen
    if receiver is None:
        for start, stop in carried:
            add.part(start, stop, What.CARRIED_NOT_READ, unseen)
        return
    claimed = _merged(receiver.inbound.owners)
    groups = RangeSet(receiver.inbound.groups)
    accepted = carried if stream.all_accepted else _merged(stream.accepted)
    holes = RangeSet((hole, hole + 1) for hole in receiver.inbound.holes)
    left = _why_not_read(receiver, stream, ring_lost)
    lost = Reason.RESET if stream.has_reset else Reason.NOT_ACCEPTED
    if ring_lost:  # what opened the window may have been
        lost = Reason.RING_LOST
    for start, stop in carried:
        for a, b in accepted.gaps(start, stop):
            add.part(a, b, What.CARRIED_NOT_READ, lost)
        for a, b in accepted.overlaps(start, stop):
            for c, d in claimed.gaps(a, b):
                for e, f in holes.overlaps(c, d):
                    add.part(e, f, What.CARRIED_NOT_READ, Reason.URGENT)
                for e, f in holes.gaps(c, d):
                    _split(add, e, f, groups, What.CARRIED_NOT_READ, left)


def _why_not_read(receiver: End, stream: Stream, ring_lost: bool) -> Reason:
    if receiver.inbound.left is not None:
        return receiver.inbound.left
    if stream.has_reset:
        return Reason.RESET
    if receiver.socket.last_close is not None:
        return Reason.CLOSED_UNREAD
    return Reason.RING_LOST if ring_lost else Reason.STILL_QUEUED  # a reset may have been lost


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
            Reason.LIMIT if loss.since_ns is not None else Reason.PROBE_GAP,
        )
        for loss in raw.losses
        if loss.witness == "probe" and _concerns(loss, socket, calls, raw, last_entry)
    ]
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


def _concerns(
    loss: Loss,
    socket: Socket,
    calls: list[CallRecord],
    raw: RawRecording,
    last_entry: Mapping[int, int],
) -> bool:
    """Whether a process that may have stopped recording held the socket then."""
    for pid, actor in _holders(socket, calls, raw):
        if loss.actor and actor is not None and actor != loss.actor:
            continue
        if loss.since_ns is None:
            return True
        seen_later = last_entry.get(pid, 0) > loss.since_ns + _LATE_ENTRY_NS
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
    if any(record.op == "dup" for record in mine):
        return False
    return any(record.op == "close" and record.entered_ns < time_ns for record in mine)


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
            limit = record.returned_ns if record.returned_by_ns is None else record.returned_by_ns
        if limit is None or (found is not None and number > found):
            continue
        for held in frames:
            for _, _, frame in held.overlaps(start, stop):
                time_ns = time_of(frame)
                low, high = (time_ns, limit) if outbound else (limit, time_ns)
                if low < high and not any(a <= high and low <= b for a, b in unsure):
                    found = number
    return found
