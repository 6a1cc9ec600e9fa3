"""What the spans of a TCP connection leave over -> rows of the byte ledger, each with its reason.

Four questions per direction: which bytes of a send have no frame, which bytes of a recv have none,
which bytes of the frames have no send, which have no recv. Answered only when calls were recorded
at all: a capture from elsewhere has no ledger.
"""

from __future__ import annotations

from collections.abc import Iterable

from netlab.correlate.arrivals import arrival_ns, on_its_way, sent
from netlab.correlate.call_ranges import CallRanges
from netlab.correlate.missing import CUT, Missing
from netlab.correlate.reasons import Reason, What
from netlab.correlate.segments import Track
from netlab.correlate.streams import Stream
from netlab.correlate.tcp_spans import End, TcpJoin
from netlab.model.ranges import RangeMap, RangeSet
from netlab.model.tables import Direction, Side, Unmatched


def leftover_bytes(
    join: TcpJoin, *, missing: Missing | None, queued: bool, unwatched: Reason | None = None
) -> list[Unmatched]:
    """The ledger rows of a connection.

    `missing`: why the recording lacks frames; `queued`: no accept() ever took the connection out of
    its listener's queue; `unwatched`: why the server's calls are not known, where that is known.
    """
    rows: list[Unmatched] = []
    for direction, stream in join.streams.items():
        sender, receiver = join.ends.get(direction.sender), join.ends.get(direction.receiver)
        add = _Adder(rows, join.connection, direction)
        if sender is not None:
            known = max(stream.end, stream.acked_stop, stream.half.fin_off or 0)
            if receiver is not None:  # what was read had left, whether a frame shows it or not
                known = max(known, receiver.inbound.stop)
            _sent_not_captured(add, sender.outbound, stream, known, missing)
        if receiver is not None:
            reason = missing.captured if missing else Reason.GAP
            _read_not_captured(add, receiver.inbound, stream, reason)
        nobody = CUT.unsure if missing is CUT else Reason.NO_CALL_WITNESS
        at_sender = unwatched if direction.sender is Side.SERVER else None
        unseen = at_sender or _why_no_call(join.track, direction.sender, nobody)
        _not_sent(add, sender, stream, unseen, nobody)
        at_receiver = unwatched if direction.receiver is Side.SERVER else None
        unseen = at_receiver or _why_no_call(join.track, direction.receiver, nobody)
        if queued and direction.receiver is Side.SERVER:
            unseen = _why_in_queue(join, stream)
        gone = _unreadable(join, direction)
        astray = _lost_on_the_way(join, direction)
        _not_read(add, receiver, stream, missing, unseen, gone, astray)
    return rows


def _why_no_call(track: Track, side: Side, unwatched: Reason) -> Reason:
    if track.twins:
        return Reason.TWINS
    return Reason.HIDDEN if side in track.contested else unwatched


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
    add: _Adder, sent: CallRanges, stream: Stream, known: int, missing: Missing | None
) -> None:
    """`known`: the offset up to which the bytes had certainly left."""
    add.unplaced(sent, What.SENT_NOT_PLACED)
    unsent = Reason.RESET if stream.has_reset else Reason.STILL_QUEUED
    reason = Reason.GAP
    if missing is not None:  # they may as well have been in the frames that were lost
        reason, unsent = missing.captured, missing.unsure
    for start, stop, call in sent.owners:
        for a, b in _gaps(stream.carried, start, stop):
            add.part(a, min(b, known), What.SENT_NOT_CAPTURED, reason, call)
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


def _not_sent(
    add: _Adder, sender: End | None, stream: Stream, unseen: Reason, unwatched: Reason
) -> None:
    """`unseen`: why the calls of an end are not known; `unwatched`: why some of them are not."""
    claimed = RangeSet()
    groups = RangeSet()
    reason = unseen
    if sender is not None:
        claimed = _merged(sender.outbound.owners)
        groups = RangeSet(sender.outbound.groups)
        # otherwise a holder of the socket that no witness watched
        reason = sender.outbound.left or unwatched
    for start, stop in stream.half.bytes_seen:
        for a, b in claimed.gaps(start, stop):
            _split(add, a, b, groups, What.CARRIED_NOT_SENT, reason)


def _not_read(
    add: _Adder,
    receiver: End | None,
    stream: Stream,
    missing: Missing | None,
    unseen: Reason,
    gone: RangeSet,
    astray: RangeMap[Reason],
) -> None:
    """`gone`: bytes that came when nobody could read them any more; `astray`: that never came."""
    carried = stream.half.bytes_seen
    if receiver is None:
        for start, stop in carried:
            add.part(start, stop, What.CARRIED_NOT_READ, unseen)
        return
    claimed = _merged(receiver.inbound.owners)
    groups = RangeSet(receiver.inbound.groups)
    accepted = carried if stream.all_accepted else _merged(stream.accepted)
    holes = RangeSet((hole, hole + 1) for hole in receiver.inbound.holes)
    left = _why_not_read(receiver, stream, missing)
    lost = Reason.RESET if stream.has_reset else Reason.NOT_ACCEPTED
    if missing is not None:  # what opened the window may have been
        lost = missing.unsure
    for start, stop in carried:
        for a, b in accepted.gaps(start, stop):
            at = a
            for c, d, reason in astray.overlaps(a, b) if missing is None else ():
                add.part(at, c, What.CARRIED_NOT_READ, lost)
                add.part(c, d, What.CARRIED_NOT_READ, reason)
                at = d
            add.part(at, b, What.CARRIED_NOT_READ, lost)
        for a, b in accepted.overlaps(start, stop):
            for c, d in claimed.gaps(a, b):
                for e, f in holes.overlaps(c, d):
                    add.part(e, f, What.CARRIED_NOT_READ, Reason.URGENT)
                for e, f in holes.gaps(c, d):
                    for g, h in gone.overlaps(e, f):
                        reason = Reason.RESET if stream.has_reset else Reason.CLOSED_UNREAD
                        add.part(g, h, What.CARRIED_NOT_READ, reason)
                    for g, h in gone.gaps(e, f):
                        _split(add, g, h, groups, What.CARRIED_NOT_READ, left)


def _unreadable(join: TcpJoin, direction: Direction) -> RangeSet:
    """Bytes that came when the receiver's last holder had closed, as its FIN or RST shows."""
    receiver = join.ends.get(direction.receiver)
    if receiver is None or receiver.inbound.left is not Reason.STILL_INSIDE:
        return RangeSet()
    last = receiver.socket.last_close
    back = join.track.halves[direction.reverse]
    left_ns = [packet.time_ns for packet in sent(back.fins + back.resets)]
    if last is None or receiver.socket.shutdowns or not left_ns:
        return RangeSet()
    late = {
        row.segment.frame for row in join.track.rows
        if row.direction is direction and arrival_ns(row.packet) > min(left_ns)
    }  # fmt: skip
    accepted = join.streams[direction].accepted
    return RangeSet((start, stop) for start, stop, frame in accepted if frame in late)


def _lost_on_the_way(join: TcpJoin, direction: Direction) -> RangeMap[Reason]:
    """The bytes of which no copy came to the receiver, and what the wire knows of them."""
    found: RangeMap[Reason] = RangeMap()
    rows = [r for r in join.track.rows if r.direction is direction and not r.probe]
    if not any(row.packet._wired for row in rows):
        return found
    came = RangeSet(
        (r.segment.start, r.segment.stop) for r in rows if r.packet.arrived_ns is not None
    )
    for unsure, reason in ((True, Reason.ON_ITS_WAY), (False, Reason.LOST)):
        for row in rows:
            if on_its_way(row.packet) is unsure and row.packet.arrived_ns is None:
                for start, stop in came.gaps(row.segment.start, row.segment.stop):
                    found.claim(start, stop, reason)
    return found


def _why_in_queue(join: TcpJoin, stream: Stream) -> Reason:
    if stream.has_reset:
        return Reason.RESET
    closed = all(listener.last_close is not None for listener in join.track.listeners)
    return Reason.CLOSED_UNREAD if closed else Reason.STILL_QUEUED


def _why_not_read(receiver: End, stream: Stream, missing: Missing | None) -> Reason:
    if receiver.inbound.left is not None:
        return receiver.inbound.left
    if stream.has_reset:
        return Reason.RESET
    if receiver.socket.last_close is not None:
        return Reason.CLOSED_UNREAD
    return missing.unsure if missing else Reason.STILL_QUEUED  # a reset may have been lost
