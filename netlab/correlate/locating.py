"""Where the calls of a socket stand in the streams of a connection, and whether they can be its.

Puts together what `contents` and `queue_places` know, for sockets of witnesses that do not ask the
kernel for both ends: strace, the kernel's trace events. Where the two disagree, nothing is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from netlab.correlate.call_ranges import StreamFacts
from netlab.correlate.causality import Ways
from netlab.correlate.contents import (
    Moved,
    Place,
    first_wrong,
    moved_in_order,
    place_by_content,
)
from netlab.correlate.flows import URG
from netlab.correlate.payloads import Payloads, StreamBytes
from netlab.correlate.queue_places import place_by_queue
from netlab.correlate.reasons import Reason
from netlab.correlate.segments import Track
from netlab.correlate.sockets import Socket
from netlab.correlate.tcp_spans import TcpJoin
from netlab.model.call import MSG_OOB, CallRecord
from netlab.model.frame import Frame
from netlab.model.tables import Direction, Side


class Locator:
    """Knows calls and frames of one recording."""

    def __init__(self, calls: list[CallRecord], frames: Sequence[Frame]) -> None:
        self._calls, self._payloads = calls, Payloads(frames)
        times = [frame.time_ns for frame in frames] or [0]
        self._captured = min(times), max(times)
        self._ways = Ways()
        self._moved: dict[tuple[int, bool], list[Moved] | None] = {}

    def stream(self, track: Track, direction: Direction) -> StreamBytes:
        """The captured bytes of one direction."""
        return self._payloads.stream(track, direction)

    def facts(
        self, socket: Socket, track: Track, side: Side, out: StreamFacts, into: StreamFacts
    ) -> tuple[StreamFacts, StreamFacts]:
        """The facts of both directions, with the place of the calls if no birth tells it."""
        if not socket.calls or self._calls[socket.calls[0] - 1].witness == "probe":
            return out, into
        if not (socket.is_born and out.born_seen):
            out = replace(out, found_off=self._offset(socket, track, side, outbound=True))
        if not (socket.is_born and into.born_seen):
            into = replace(into, found_off=self._offset(socket, track, side, outbound=False))
        return out, into

    def check(self, join: TcpJoin) -> None:
        """Take back the places of calls that moved other bytes than the frames hold there."""
        if join.track.flow.to_itself:
            return
        for side, end in join.ends.items():
            for ranges, direction in ((end.outbound, side.outbound), (end.inbound, side.inbound)):
                stream, outbound = self.stream(join.track, direction), ranges is end.outbound
                wrong = first_wrong(ranges, stream, self._calls, outbound=outbound)
                if wrong is not None:
                    ranges.withdraw(wrong, Reason.CONTRADICTION)

    def _offset(self, socket: Socket, track: Track, side: Side, *, outbound: bool) -> int | None:
        """Of the first byte that the socket's calls moved, in the stream of that end."""
        if self._is_urgent(socket, track):
            return None
        moved = self._moves(socket, outbound=outbound)
        if not moved:
            return None
        direction = side.outbound if outbound else side.inbound
        shown = self._by_content(moved, track, direction, outbound=outbound)
        queued = place_by_queue(
            moved, socket.calls, track, direction, self._calls, outbound=outbound
        )
        if shown is None or queued is None or shown == queued:
            return queued if shown is None else shown
        return None

    def holds(self, socket: Socket, track: Track, side: Side) -> bool:
        """Whether the frames of that end hold no other bytes than its calls moved since birth."""
        for direction, outbound in ((side.outbound, True), (side.inbound, False)):
            if not track.halves[direction].syn_seen or self._is_urgent(socket, track):
                continue
            stream = self.stream(track, direction)
            for one in self._moves(socket, outbound=outbound) or ():
                if one.data and stream.compare(one.offset, one.data)[1] is not None:
                    return False
        return True

    def shows(self, socket: Socket, track: Track, side: Side) -> bool:
        """Whether what its calls moved has one place, and only one, in the streams of that end."""
        if self._is_urgent(socket, track):
            return False
        return any(
            self._by_content(moved, track, direction, outbound=outbound) is not None
            for direction, outbound in ((side.outbound, True), (side.inbound, False))
            if (moved := self._moves(socket, outbound=outbound))
        )

    def _by_content(
        self, moved: list[Moved], track: Track, direction: Direction, *, outbound: bool
    ) -> int | None:
        if not any(one.data for one in moved):
            return None
        ways = self._ways.left if outbound else self._ways.came
        place = Place(
            self.stream(track, direction), ways(track, direction), *self._captured,
            track.halves[direction].fin_off,
        )  # fmt: skip
        return place_by_content(moved, place, outbound=outbound)

    def _moves(self, socket: Socket, *, outbound: bool) -> list[Moved] | None:
        key = id(socket), outbound
        if key not in self._moved:
            self._moved[key] = moved_in_order(socket.calls, self._calls, outbound=outbound)
        return self._moved[key]

    def _is_urgent(self, socket: Socket, track: Track) -> bool:
        if any(self._calls[number - 1].flags & MSG_OOB for number in socket.calls):
            return True
        return any(row.packet._flags & URG for row in track.rows)
