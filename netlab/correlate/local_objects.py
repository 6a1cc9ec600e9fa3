"""Pipes, message queues and shared rings: calls that put <-> calls that take, with no frames.

Each goes one way: who writes is the client, who reads the server, and all bytes travel c>s. A pipe
and a ring carry a stream, whose bytes are laid end to end on both sides and overlap. A queue keeps
the borders of messages and their order (all have one priority), so the n-th that was put is the
n-th that was taken; where that does not fit, nothing from there on has a known place. Both ends of
such an object have the number that the witness knows it by.
"""

from __future__ import annotations

from netlab.correlate.call_ranges import StreamFacts, place_calls
from netlab.correlate.local_join import LocalJoin, gap
from netlab.correlate.local_streams import direction_spans
from netlab.correlate.reasons import Reason, What
from netlab.correlate.sockets import OBJECT_PROTOCOLS, STREAM_OBJECTS, Socket
from netlab.model.call import is_inbound, is_moving, is_outbound
from netlab.model.tables import Connection, Direction, Role, Side, Span, Unmatched

_NUMBER_MASK = (1 << 48) - 1  # the witness lifts numbers of a kind above those of sockets
_NO_FRAMES = StreamFacts()


def join_object(join: LocalJoin, thing: Socket) -> None:
    """Match the calls of one pipe, queue or ring; a new row of `connections` if any moved bytes."""
    sends = [n for n in thing.calls if is_outbound(join.calls[n - 1])]
    reads = [n for n in thing.calls if is_inbound(join.calls[n - 1])]
    if not sends and not reads:
        return
    family = thing.family or ""
    name = f"{family}:[{thing.inode & _NUMBER_MASK}]"
    row = Connection(
        len(join.connections), None, OBJECT_PROTOCOLS[family], name, None, name, None, None, None
    )
    join.connections.append(row)
    thing.connection = row.connection  # no side: one object has both ends
    for number in thing.calls:
        record = join.calls[number - 1]
        if is_moving(record):
            side = Side.CLIENT if is_outbound(record) else Side.SERVER
            join.of_call[number] = row.connection, side
    if family in STREAM_OBJECTS:
        _stream(join, thing, row)
    else:
        _queue(join, thing, row, sends, reads)


def _stream(join: LocalJoin, thing: Socket, row: Connection) -> None:
    sent, read = (
        place_calls(thing.calls, join.calls, outbound=outbound, born=thing.made, inline=True,
                    facts=_NO_FRAMES, stopped=join.stop_of(thing))
        for outbound in (True, False)
    )  # fmt: skip
    direction_spans(join, row, Direction.C2S, sent, read, thing)
    row.client_bytes = sent.stop


def _queue(
    join: LocalJoin, thing: Socket, row: Connection, sends: list[int], reads: list[int]
) -> None:
    """Messages in the order of their calls, as far as that order is known."""
    put = [n for n in sends if _worked(join, n)]
    taken = [n for n in reads if _worked(join, n)]
    known, why = _known(join, thing, put, taken)
    links = join.reads.setdefault(id(thing), [])
    at = 0
    for place, call in enumerate(put):
        if place >= known and (place < len(taken) or why is not None):
            _unplaced(join, row, call, What.SENT_NOT_PLACED, why or Reason.CONTRADICTION)
            continue
        stop = at + (join.calls[call - 1].result or 0)
        join.ranges[call] = Direction.C2S, at, stop
        if place < known:
            reader = taken[place]
            join.ranges[reader] = Direction.C2S, at, stop
            join.spans.append(Span(call, None, reader, Direction.C2S, at, stop, Role.LOCAL))
            join.spans.append(Span(reader, None, call, Direction.C2S, at, stop, Role.LOCAL))
            links.append((reader, call))
        else:
            gap(join, row.connection, Direction.C2S, at, stop, call, _unread(join, thing, reads))
        at = stop
    row.client_bytes = at
    inside = any(_inside(join, n) for n in sends)
    for reader in taken[known:]:
        reason = why or (Reason.STILL_INSIDE if inside else Reason.CONTRADICTION)
        _unplaced(join, row, reader, What.READ_NOT_PLACED, reason)


def _known(
    join: LocalJoin, thing: Socket, put: list[int], taken: list[int]
) -> tuple[int, Reason | None]:
    """How many messages have a known sender and reader, and why the others have not (None: they
    are there on one side only)."""
    if not thing.made:  # what was in the queue before is not known
        return 0, Reason.PROBE_LATE
    latest = [-1, -1]
    for place, pair in enumerate(zip(put, taken, strict=False)):
        sent, read = (join.calls[number - 1] for number in pair)
        if sent.entered_ns < latest[0] or read.entered_ns < latest[1]:
            return max(0, place - 1), Reason.SHARED  # nor is the order of the one before known
        latest = [sent.returned_ns or sent.entered_ns, read.returned_ns or read.entered_ns]
        early = read.returned_ns is not None and read.returned_ns < sent.entered_ns
        if early or sent.result != read.result:
            return place, Reason.CONTRADICTION
    return min(len(put), len(taken)), None


def _unread(join: LocalJoin, thing: Socket, reads: list[int]) -> Reason:
    if any(_inside(join, number) for number in reads):
        return Reason.STILL_INSIDE
    return Reason.CLOSED_UNREAD if thing.last_close is not None else Reason.STILL_QUEUED


def _inside(join: LocalJoin, number: int) -> bool:
    return join.calls[number - 1].returned_ns is None


def _worked(join: LocalJoin, number: int) -> bool:
    record = join.calls[number - 1]
    return record.errno is None and record.result is not None


def _unplaced(join: LocalJoin, row: Connection, number: int, what: What, why: Reason) -> None:
    count = join.calls[number - 1].result or 0
    if count:
        join.unmatched.append(
            Unmatched(row.connection, Direction.C2S, None, None, count, what, why, number)
        )
