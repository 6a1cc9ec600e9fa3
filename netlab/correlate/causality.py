"""One socket, taken to be one end of a connection -> what that says of the clocks of both files.

No frame leaves before the call that sent its bytes was entered, and no call returns bytes before
the frame came that brought them: each such pair bounds what must be added to the times of the calls
to have them on the clock of the frames. Where bytes do not add up, whatever the clocks, the socket
is not that end.

Counted in sums, which hold in whatever order several threads called: all that was sent by calls
entered by then is at least what had left by then, all that had been returned by then is at most
what had come. `returned_by_ns` counts, where the witness knows only a bound of the return.
Read first: reference on the order of calls in `call_ranges`; RFC 9293 3.5 and 3.6.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import field
from typing import NamedTuple

from netlab.correlate.accept_queue import queued_ns
from netlab.correlate.arrivals import arrival_ns, came, reached
from netlab.correlate.call_moves import bound_ns, moved_bytes
from netlab.correlate.flows import URG
from netlab.correlate.segments import Row, Track
from netlab.correlate.sockets import MSG_FASTOPEN, Socket
from netlab.model.call import (
    MSG_ERRQUEUE,
    MSG_OOB,
    MSG_PEEK,
    CallRecord,
    is_inbound,
    is_outbound,
)
from netlab.model.records import dataclass
from netlab.model.tables import Direction, Side

_NEVER = 1 << 62


class Bound(NamedTuple):
    """What one call and one frame say of the difference of the clocks: frame's less call's."""

    at_ns: int  # when the call was, on its own clock
    offset_ns: int
    upper: bool  # the difference is at most this; else at least
    call: int
    frame: int


class Step(NamedTuple):
    """A stream got as far as `stop` with this frame."""

    stop: int
    time_ns: int
    frame: int


@dataclass(slots=True)
class Moves:
    """What the calls on one socket moved: (when, bytes up to and with it, call)."""

    sent: list[tuple[int, int, int]] = field(default_factory=list)  # by entry
    read: list[tuple[int, int, int]] = field(default_factory=list)  # by the bound of the return
    unsure_ns: int | None = None  # entry of the first send that never returned
    cut_off: bool = False  # a read never returned
    ended: tuple[int, int] | None = None  # entry and number of the first call that ended sending
    read_end: bool = False  # a read met the end of the stream
    urgent: bool = False


def moves_of(socket: Socket, calls: list[CallRecord]) -> Moves:
    """Add up the calls of a socket."""
    moves = Moves()
    sent, total = [], 0
    read: list[tuple[int, int, int]] = []
    shut = False
    for number in socket.calls:
        record = calls[number - 1]
        if record.flags & MSG_OOB:
            moves.urgent = True
        if record.op == "shutdown" and record.errno is None:
            if "SHUT_WR" in record.args or "SHUT_RDWR" in record.args:
                moves.ended = moves.ended or (record.entered_ns, number)
            shut = shut or "SHUT_RD" in record.args
        outbound = is_outbound(record)
        if record.returned_ns is None:
            if outbound and moves.unsure_ns is None:
                moves.unsure_ns = record.entered_ns
            moves.cut_off = moves.cut_off or is_inbound(record)
            continue
        count = moved_bytes(record, outbound)
        if not count:
            plain = not record.flags & (MSG_PEEK | MSG_ERRQUEUE | MSG_OOB)
            if is_inbound(record) and record.result == 0 and record.errno is None and plain:
                moves.read_end = moves.read_end or (record.requested_bytes != 0 and not shut)
            continue
        if outbound:
            total += count
            sent.append((record.entered_ns, total, number))
        else:
            returned = bound_ns(record)
            read.append((_NEVER if returned is None else returned, count, number))
    moves.sent = sent
    total = 0
    for at_ns, count, number in sorted(read):
        total += count
        moves.read.append((at_ns, total, number))
    closers = [n for n in socket.closes if calls[n - 1].errno != "EBADF"]
    if closers and (moves.ended is None or calls[closers[0] - 1].entered_ns < moves.ended[0]):
        moves.ended = calls[closers[0] - 1].entered_ns, closers[0]
    return moves


class Ways:
    """The streams of all connections as steps, made once each."""

    def __init__(self) -> None:
        self._left: dict[tuple[int, Direction], list[Step]] = {}
        self._came: dict[tuple[int, Direction], list[Step]] = {}

    def left(self, track: Track, direction: Direction) -> list[Step]:
        """How far the stream had left, by when."""
        key = track.flow.connection, direction
        if key not in self._left:
            self._left[key] = _steps(
                (row.segment.stop, row.packet.time_ns, row.segment.frame)
                for row in track.rows
                if row.direction is direction and _has_bytes(row) and not row.packet._made
            )
        return self._left[key]

    def came(self, track: Track, direction: Direction) -> list[Step]:
        """How far the stream had come at the latest known, by when."""
        key = track.flow.connection, direction
        if key not in self._came:
            self._came[key] = _steps(
                (row.segment.stop, arrival_ns(row.packet), row.segment.frame)
                for row in track.rows
                if row.direction is direction and _has_bytes(row) and reached(row.packet)
            )
        return self._came[key]


def _has_bytes(row: Row) -> bool:
    return row.segment.stop > row.segment.start and not row.probe


def _steps(found: Iterable[tuple[int, int, int]]) -> list[Step]:
    steps: list[Step] = []
    edge = 0
    for stop, time_ns, frame in sorted(found, key=lambda one: one[1]):
        if stop > edge:
            steps.append(Step(stop, time_ns, frame))
            edge = stop
    return steps


def bounds_of_end(
    socket: Socket,
    moves: Moves,
    track: Track,
    side: Side,
    ways: Ways,
    calls: list[CallRecord],
    *,
    whole: bool,
    ring_lost: bool = False,
) -> list[Bound] | None:
    """What the socket being this end of the connection says of the clocks; None: it cannot be.

    For sockets whose birth was witnessed. `whole`: no call that moved bytes can be missing.
    """
    found = _handshake(socket, moves, track, side, calls, ring_lost=ring_lost)
    if found is None:
        return None
    urgent = moves.urgent or any(row.packet._flags & URG for row in track.rows)
    out, into = track.halves[side.outbound], track.halves[side.inbound]
    if out.syn_seen:
        if whole and not _adds_up(moves, out.fin_off, urgent=urgent):
            return None
        left = _left_after(moves, ways.left(track, side.outbound), whole=whole)
        if left is None:
            return None
        found += left
    if into.syn_seen:
        total = moves.read[-1][1] if moves.read else 0
        if into.fin_off is not None and not urgent:
            short = whole and moves.read_end and not moves.cut_off and total < into.fin_off
            if total > into.fin_off or short:
                return None
        if not ring_lost:
            found += _came_before(moves, ways.came(track, side.inbound))
    fins = [packet for packet in out.fins if not packet._made]
    if fins and whole and moves.ended is not None:
        first = min(fins, key=lambda packet: packet.time_ns)
        at_ns, number = moves.ended
        found.append(Bound(at_ns, first.time_ns - at_ns, True, number, first.frame))
    return found


def _adds_up(moves: Moves, fin_off: int | None, *, urgent: bool) -> bool:
    """Whether what was sent can be the whole stream, where the FIN tells how long that is."""
    if fin_off is None or moves.unsure_ns is not None or moves.ended is None or urgent:
        return True
    return (moves.sent[-1][1] if moves.sent else 0) == fin_off


def _left_after(moves: Moves, left: Sequence[Step], *, whole: bool) -> list[Bound] | None:
    found: list[Bound] = []
    at, named = 0, -1
    for step in left:
        while at < len(moves.sent) and moves.sent[at][1] < step.stop:
            at += 1
        if at < len(moves.sent):
            entered, _, number = moves.sent[at]
            if at != named:
                found.append(Bound(entered, step.time_ns - entered, True, number, step.frame))
                named = at
        elif moves.unsure_ns is not None or not whole:
            break
        else:
            return None  # it carries more than was sent
    return found


def _came_before(moves: Moves, came: Sequence[Step]) -> list[Bound]:
    found = []
    at = 0
    for bound, total, number in moves.read:
        while at < len(came) and came[at].stop < total:
            at += 1
        if at == len(came) or bound == _NEVER:
            break
        found.append(Bound(bound, came[at].time_ns - bound, False, number, came[at].frame))
    return found


def _handshake(
    socket: Socket,
    moves: Moves,
    track: Track,
    side: Side,
    calls: list[CallRecord],
    *,
    ring_lost: bool,
) -> list[Bound] | None:
    syns = track.halves[Direction.C2S].syns
    if not syns:
        return None
    if side is Side.SERVER:
        if socket.accepted_by is None:
            return None
        at_ns = queued_ns(track, socket.listener, calls, ring_lost=ring_lost)
        if at_ns is None:
            return None
        accept = socket.accepted_by
        returned = bound_ns(calls[accept - 1])
        if returned is None:
            return []
        frame = min(
            (row.packet for row in track.rows if arrival_ns(row.packet) == at_ns),
            key=lambda packet: packet.frame, default=syns[0],
        ).frame  # fmt: skip
        return [Bound(returned, at_ns - returned, False, accept, frame)]
    if not socket.connects:
        return None
    first = calls[socket.connects[0] - 1]
    syn = min(syns, key=lambda packet: packet.time_ns)
    found = [
        Bound(first.entered_ns, syn.time_ns - first.entered_ns, True, socket.connects[0], syn.frame)
    ]
    answers = came(track.halves[Direction.S2C].syns)
    refusals = came(track.halves[Direction.S2C].resets)
    last = calls[socket.connects[-1] - 1]
    if socket.failed and last.errno == "ECONNREFUSED":
        if not refusals or answers:
            return None
        _at_least(found, socket.connects[-1], arrival_ns(refusals[0]), refusals[0].frame, calls)
        return found
    if socket.failed:
        return None if last.errno == "ETIMEDOUT" and answers else found
    proof = _established(socket, moves, calls)
    if proof is None:
        _at_least(found, socket.calls[-1], syn.time_ns, syn.frame, calls)
    elif answers:
        _at_least(found, proof, arrival_ns(answers[0]), answers[0].frame, calls)
    elif not ring_lost:
        return None
    return found


def _established(socket: Socket, moves: Moves, calls: list[CallRecord]) -> int | None:
    """The first call that could only return once the connection stood.

    With Fast Open neither connect() nor a send waits for that (man 7 tcp).
    """
    records = [calls[number - 1] for number in socket.calls]
    fast = any(
        r.flags & MSG_FASTOPEN or (r.op == "setsockopt" and "TCP_FASTOPEN" in r.args)
        for r in records
    )
    proofs = [number for _, _, number in moves.read[:1]]
    if not fast:
        proofs += [n for n in socket.connects if calls[n - 1].errno is None]
        proofs += [number for _, _, number in moves.sent[:1]]
    return min(proofs, default=None)


def _at_least(
    found: list[Bound], number: int, time_ns: int, frame: int, calls: list[CallRecord]
) -> None:
    returned = bound_ns(calls[number - 1])
    if returned is not None:
        found.append(Bound(returned, time_ns - returned, False, number, frame))


def interval(bounds: Sequence[Bound]) -> tuple[int | None, int | None]:
    """The least and the greatest difference that all of these allow; None: no limit."""
    low = max((b.offset_ns for b in bounds if not b.upper), default=None)
    high = min((b.offset_ns for b in bounds if b.upper), default=None)
    return low, high


def allow(bounds: Sequence[Bound], offset_ns: int) -> bool:
    """Whether all of these can hold with that difference."""
    low, high = interval(bounds)
    return (low is None or low <= offset_ns) and (high is None or offset_ns <= high)
