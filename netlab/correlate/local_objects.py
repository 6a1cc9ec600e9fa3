"""Pipes, message queues and shared rings: calls that put <-> calls that take, with no frames.

Each goes one way: who writes is the client, who reads the server, and all bytes travel c>s. A pipe
and a ring carry a stream, whose bytes are laid end to end on both sides and overlap. A queue keeps
the borders of messages and their order (all have one priority), so the n-th that was put is the
n-th that was taken. Both ends of such an object have the number that the witness knows it by.
"""

from __future__ import annotations

from netlab.correlate.call_ranges import StreamFacts, place_calls
from netlab.correlate.local_spans import LocalJoin, direction_spans, gap
from netlab.correlate.reasons import Reason, What
from netlab.correlate.sockets import OBJECT_PROTOCOLS, STREAM_OBJECTS, Socket
from netlab.model.call import INBOUND, OUTBOUND
from netlab.model.tables import Connection, Direction, Role, Side, Span, Unmatched

_NUMBER_MASK = (1 << 48) - 1  # the witness lifts numbers of a kind above those of sockets
_NO_FRAMES = StreamFacts()


def join_object(join: LocalJoin, thing: Socket) -> None:
    """Match the calls of one pipe, queue or ring; a new row of `connections` if any moved bytes."""
    sends = [n for n in thing.calls if join.calls[n - 1].op in OUTBOUND]
    reads = [n for n in thing.calls if join.calls[n - 1].op in INBOUND]
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
        if record.op in OUTBOUND or record.op in INBOUND:
            side = Side.CLIENT if record.op in OUTBOUND else Side.SERVER
            join.of_call[number] = row.connection, side
    if family in STREAM_OBJECTS:
        _stream(join, thing, row)
    else:
        _queue(join, thing, row, sends, reads)


def _stream(join: LocalJoin, thing: Socket, row: Connection) -> None:
    sent, read = (
        place_calls(thing.calls, join.calls, outbound=outbound, born=thing.made, inline=True,
                    facts=_NO_FRAMES)
        for outbound in (True, False)
    )  # fmt: skip
    direction_spans(join, row, Direction.C2S, sent, read, thing)
    row.client_bytes = sent.stop


def _queue(
    join: LocalJoin, thing: Socket, row: Connection, sends: list[int], reads: list[int]
) -> None:
    """Messages in the order of their calls; overlapping calls of several processes have none."""
    put = [n for n in sends if _worked(join, n)]
    taken = [n for n in reads if _worked(join, n)]
    if not thing.made:  # what was in the queue before is not known
        _unplaced(join, row, put, taken, Reason.PROBE_LATE)
        return
    lengths = [join.calls[n - 1].result or 0 for n in put]
    agree = all(
        (join.calls[n - 1].result or 0) == length for n, length in zip(taken, lengths, strict=False)
    )
    if not agree or len(taken) > len(put) or _overlapping(join, put) or _overlapping(join, taken):
        _unplaced(join, row, put, taken, Reason.SHARED)
        return
    at = 0
    links = join.reads.setdefault(id(thing), [])
    for place, (call, length) in enumerate(zip(put, lengths, strict=True)):
        stop = at + length
        join.ranges[call] = Direction.C2S, at, stop
        if place < len(taken):
            reader = taken[place]
            join.ranges[reader] = Direction.C2S, at, stop
            join.spans.append(Span(call, None, reader, Direction.C2S, at, stop, Role.LOCAL))
            join.spans.append(Span(reader, None, call, Direction.C2S, at, stop, Role.LOCAL))
            links.append((reader, call))
        else:
            closed = thing.last_close is not None
            why = Reason.CLOSED_UNREAD if closed else Reason.STILL_QUEUED
            gap(join, row.connection, Direction.C2S, at, stop, call, why)
        at = stop
    row.client_bytes = at


def _worked(join: LocalJoin, number: int) -> bool:
    record = join.calls[number - 1]
    return record.errno is None and record.result is not None


def _overlapping(join: LocalJoin, numbers: list[int]) -> bool:
    latest = -1
    for number in numbers:
        record = join.calls[number - 1]
        if record.entered_ns < latest:
            return True
        latest = record.returned_ns or record.entered_ns
    return False


def _unplaced(
    join: LocalJoin, row: Connection, put: list[int], taken: list[int], why: Reason
) -> None:
    for numbers, what in ((put, What.SENT_NOT_PLACED), (taken, What.READ_NOT_PLACED)):
        for number in numbers:
            count = join.calls[number - 1].result or 0
            if count:
                join.unmatched.append(
                    Unmatched(row.connection, Direction.C2S, None, None, count, what, why, number)
                )
