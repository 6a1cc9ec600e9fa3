"""The calls on both ends of a stream without frames -> spans from call to call, by their bytes.

Both sides' calls are laid end to end and overlap. What one end tells of the other:
- A reader that met the end of the stream has read all that was sent, less the urgent bytes that it
  skipped; and nobody reads more than was sent, or before it was sent. Where that does not hold,
  calls were made unseen, nobody knows where, and none has a known place.
- Urgent data of Unix sockets (MSG_OOB, Linux 5.15): the last byte of the send. A read stops before
  it, one that begins at it skips it, recv(MSG_OOB) takes it out (Linux af_unix.c, manage_oob).
"""

from __future__ import annotations

from collections.abc import Iterator

from netlab.correlate.call_layout import UrgentMark
from netlab.correlate.call_ranges import CallRanges, Stop, StreamFacts, place_calls
from netlab.correlate.local_join import LocalJoin, gap
from netlab.correlate.reasons import Reason, What
from netlab.correlate.sockets import Socket
from netlab.model.call import MSG_OOB, CallRecord
from netlab.model.ranges import RangeSet
from netlab.model.tables import Connection, Direction, Side, Unmatched


def stream_pair(
    join: LocalJoin, client: Socket | None, server: Socket | None, unknown: Reason
) -> None:
    """Match the calls of two ends; of one alone, `unknown` says why the other is not there."""
    one = client or server
    if one is None:
        return
    row = join.new_connection(
        client.local if client is not None else one.peer,
        server.local if server is not None else one.peer,
    )
    ends = {Side.CLIENT: client, Side.SERVER: server}
    for side, socket in ends.items():
        if socket is not None:
            socket.connection, socket.side = row.connection, side
            for number in socket.calls:
                join.of_call[number] = row.connection, side
    for sender, receiver in ((Side.CLIENT, Side.SERVER), (Side.SERVER, Side.CLIENT)):
        sent = _sent(join, ends[sender])
        read = _read(join, ends[receiver], ends[sender], sent)
        direction_spans(join, row, sender.outbound, sent, read, ends[receiver], unknown)
        total = sent.stop if sent is not None else 0
        if sender is Side.CLIENT:
            row.client_bytes = total
        else:
            row.server_bytes = total


def _born(socket: Socket) -> bool:
    return socket.made or bool(socket.connects)


def _sent(join: LocalJoin, sender: Socket | None) -> CallRanges | None:
    if sender is None:
        return None
    return place_calls(
        sender.calls, join.calls, outbound=True, born=_born(sender), inline=True,
        facts=StreamFacts(), stopped=join.stop_of(sender),
    )  # fmt: skip


def _read(
    join: LocalJoin, reader: Socket | None, sender: Socket | None, sent: CallRanges | None
) -> CallRanges | None:
    if reader is None:
        return None
    stopped = join.stop_of(reader)
    facts = StreamFacts()
    if sender is not None and sent is not None:
        marks, lost_ns = _urgent(sender, sent, join.calls)
        facts = StreamFacts(fin_off=sent.stop if sent.left is None else None, urgent=marks)
        if lost_ns is not None and (stopped is None or lost_ns < stopped.time_ns):
            stopped = Stop(lost_ns, Reason.URGENT_ORDER)
    return place_calls(
        reader.calls, join.calls, outbound=False, born=_born(reader), inline=False,
        inlines=reader.oob_inline, facts=facts, stopped=stopped,
    )  # fmt: skip


def _urgent(
    sender: Socket, sent: CallRanges, calls: list[CallRecord]
) -> tuple[tuple[UrgentMark, ...], int | None]:
    """The urgent bytes, and when the first was sent whose offset is not known."""
    marks = []
    for number in sender.calls:
        record = calls[number - 1]
        if not record.flags & MSG_OOB or not record.result:
            continue
        if number in sent.ranges:
            marks.append(UrgentMark(sent.ranges[number][1] - 1, record.entered_ns))
        elif any(item.call == number for item in sent.unplaced):
            return tuple(marks), record.entered_ns
    return tuple(marks), None


def direction_spans(
    join: LocalJoin,
    row: Connection,
    direction: Direction,
    sent: CallRanges | None,
    read: CallRanges | None,
    reader: Socket | None,
    unknown: Reason = Reason.NO_PEER,
) -> None:
    """Link the calls of one direction of a stream by the bytes they have in common."""
    number = row.connection
    if sent is not None and read is not None:
        _doubt(join.calls, sent, read)
    for ranges, what in ((sent, What.SENT_NOT_PLACED), (read, What.READ_NOT_PLACED)):
        for item in ranges.unplaced if ranges is not None else ():
            join.unmatched.append(
                Unmatched(number, direction, item.start, item.stop, item.bytes, what,
                          item.reason, item.call)
            )  # fmt: skip
        if ranges is not None:
            for call, (start, stop) in ranges.ranges.items():
                join.ranges[call] = direction, start, stop
    links = join.reads.setdefault(id(reader), []) if reader is not None else []
    for start, stop, call in sent.owners if sent is not None else ():
        at = start
        for a, b, peer in read.owners.overlaps(start, stop) if read is not None else ():
            _unread(join, number, direction, at, a, call, read, reader, unknown)
            join.link(call, peer, direction, a, b)
            links.append((peer, call))
            at = b
        _unread(join, number, direction, at, stop, call, read, reader, unknown)
    for start, stop, call in read.owners if read is not None else ():
        for a, b, why in _unsent(sent, start, stop, unknown):
            join.unmatched.append(
                Unmatched(number, direction, a, b, b - a, What.READ_NOT_CAPTURED, why, call)
            )


def _doubt(calls: list[CallRecord], sent: CallRanges, read: CallRanges) -> None:
    """Take back all places where more was read than sent, or something before it was sent."""
    moved = sum(b - a for a, b in read.ranges.values()) + sum(u.bytes for u in read.unplaced)
    too_much = sent.left is None and moved > sent.stop
    early = any(
        _before(calls[reader - 1], calls[sender - 1])
        for start, stop, sender in sent.owners
        for _, _, reader in read.owners.overlaps(start, stop)
    )
    if too_much or early:
        sent.withdraw(0, Reason.CONTRADICTION)
        read.withdraw(0, Reason.CONTRADICTION)


def _before(read: CallRecord, sent: CallRecord) -> bool:
    return read.returned_ns is not None and read.returned_ns < sent.entered_ns


def _unread(
    join: LocalJoin,
    number: int,
    way: Direction,
    start: int,
    stop: int,
    call: int,
    read: CallRanges | None,
    reader: Socket | None,
    unknown: Reason,
) -> None:
    """List what was sent and not read, each part with its reason."""
    if start >= stop:
        return
    if read is None or reader is None:
        gap(join, number, way, start, stop, call, unknown)
        return
    rest = Reason.CLOSED_UNREAD if reader.last_close is not None else Reason.STILL_QUEUED
    holes = RangeSet((hole, hole + 1) for hole in read.holes)
    for a, b in holes.overlaps(start, stop):
        gap(join, number, way, a, b, call, Reason.URGENT)
    groups = RangeSet(read.groups)
    for a, b in holes.gaps(start, stop):
        for c, d in groups.overlaps(a, b):
            gap(join, number, way, c, d, call, Reason.SHARED)
        for c, d in groups.gaps(a, b):
            gap(join, number, way, c, d, call, read.left or rest)


def _unsent(
    sent: CallRanges | None, start: int, stop: int, unknown: Reason
) -> Iterator[tuple[int, int, Reason]]:
    """The parts of what was read that no known send has, each with its reason."""
    if sent is None:
        yield start, stop, unknown
        return
    at = start
    for a, b, _ in [*sent.owners.overlaps(start, stop), (stop, stop, 0)]:
        if at < a:
            groups = RangeSet(sent.groups)
            for c, d in groups.overlaps(at, a):
                yield c, d, Reason.SHARED
            for c, d in groups.gaps(at, a):
                yield c, d, sent.left or Reason.CONTRADICTION
        at = b
