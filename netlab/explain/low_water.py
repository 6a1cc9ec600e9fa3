"""A read that wants more than a byte (SO_RCVLOWAT, MSG_WAITALL) -> the byte that let it return.

tcp_recvmsg takes what is there at once, and returns when it has as much as it wants: all that was
asked for with MSG_WAITALL, else no less than the low-water mark. Until then it sleeps, and what
comes wakes it only when as much as the mark lies in the queue *beside what it has taken out*
(tcp_data_ready): with a mark of 300, a read that found 100 sleeps until 400 have come, and one that
asks for 100 and finds nothing until 300 have. A look (MSG_PEEK) takes nothing out.

Measured with each of the two, both, and neither, on Linux 6.18. The end of the stream, a signal and
SO_RCVTIMEO end it sooner, and so does a window that is nearly shut, with what it has by then.
Read first: man 7 socket (SO_RCVLOWAT), man 2 recv, tcp_epollin_ready in Linux.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace

from netlab.correlate.arrivals import arrival_ns
from netlab.correlate.option_changes import option_between
from netlab.correlate.sockets import Socket
from netlab.explain.parts import Line, Part
from netlab.explain.path import Path
from netlab.explain.scene import Scene
from netlab.explain.wording import counted
from netlab.model.call import MSG_OOB, MSG_PEEK, MSG_WAITALL
from netlab.model.records import dataclass
from netlab.model.tables import Call, Side

_LOOKS_NS = 1_500_000  # a call looks what is there so long after its entry, where strace stops it


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a read waits for, and in whose name."""

    byte: int  # without which it would not have returned
    taken: int  # where it stands once that byte is there
    why: str = ""  # the option, and what it asks for; empty: any byte would have done
    since_ns: int = 0  # from when on bytes were here, and fewer than that

    def note(self, parts: list[Part]) -> list[Part]:
        """The parts, in which those say why that waited though bytes were here."""
        found: list[Part] = []
        for part in parts:
            noted = replace(part, text=f"{part.text} ({self.why})")
            if not part.text or part.stop_ns <= self.since_ns:
                found.append(part)
            elif part.start_ns >= self.since_ns:
                found.append(noted)
            else:
                found.append(replace(part, stop_ns=self.since_ns))
                found.append(replace(noted, start_ns=self.since_ns))
        return found

    def include(self, line: Line, told: Line) -> None:
        """What was told of the byte, with that said."""
        line.include(self.note(told.parts) if self.why else told.parts, told.at_ns)


def wanted_by(scene: Scene, path: Path, call: Call, start: int) -> Wanted:
    """What a read that stood at `start` waited for.

    When it looked is not known to the microsecond: of two that fit what it returned, the later.
    """
    mark = _mark(scene, scene.socket_of(call), call)
    whole = bool(scene.record(call.call).flags & MSG_WAITALL)
    asked = max(call.requested_bytes or 1, 1)
    if not whole and mark == 1:
        return Wanted(start, start)
    queue = _Queue(path, Side(call.side or Side.CLIENT), start, start + asked + mark)
    returned_ns = call.returned_by_ns or call.returned_ns
    found = [
        _slept(queue, call, mark, looked_ns, asked if whole else min(mark, asked), scene)
        for looked_ns in (call.entered_ns, call.entered_ns + _LOOKS_NS)
    ]
    if returned_ns is not None and call.result is not None:
        looks = scene.record(call.call).flags & MSG_PEEK
        fits = [
            one for one in found
            if (at_ns := queue.came_ns(one.byte)) is not None and at_ns <= returned_ns
            and (looks or one.taken - start <= call.result)
        ]  # fmt: skip
        found = fits or found
    return max(found, key=lambda one: one.byte)


def polled(scene: Scene, path: Path, call: Call, side: Side, byte: int) -> Wanted:
    """What a wait for a readable socket waited for, where `byte` made it that (man 2 poll)."""
    mark = _mark(scene, scene.ends.get((path.connection, side)), call)
    if mark == 1:
        return Wanted(byte, byte)
    until_ns = call.returned_ns or call.entered_ns
    start = unread(scene, path.connection, side, call.entered_ns, until_ns)
    if start is None:
        return Wanted(byte, byte)
    since_ns = _Queue(path, side, start, start + 1).came_ns(start) or until_ns
    return Wanted(byte, byte, f"SO_RCVLOWAT: {counted(mark, 'byte')}", since_ns)


def _mark(scene: Scene, socket: Socket | None, call: Call) -> int:
    """SO_RCVLOWAT of a socket; 1 where it is not known, or changed meanwhile."""
    if socket is None or not socket.lowat:
        return 1
    until_ns = call.returned_ns or call.entered_ns
    return option_between(socket.lowat, scene.records, call.entered_ns, until_ns, 1) or 1


def unread(scene: Scene, connection: int, side: Side, since_ns: int, until_ns: int) -> int | None:
    """The first byte that no read of this side had taken by then; None: one was at it meanwhile."""
    reads = scene.moves(connection, side, side.inbound).calls
    behind = bisect_left(reads, until_ns, key=lambda read: read.entered_ns)
    last = reads[behind - 1] if behind else None
    if last is None:
        return 0
    inside = last.returned_ns is None or last.returned_ns > since_ns
    return None if inside else last.stop or 0


def lying(path: Path, side: Side, start: int, time_ns: int) -> int:
    """How many bytes from `start` on could be read by this side at some time."""
    sent = path.senders[side.inbound].nxt(time_ns)
    return _Queue(path, side, start, sent).reaches(time_ns) - start if sent > start else 0


def peeked(scene: Scene, path: Path, call: Call) -> Wanted | None:
    """What a look at what is there waited for; None: it was no look, or another thread read."""
    flags = scene.record(call.call).flags
    if not flags & MSG_PEEK or flags & MSG_OOB or not call.result or call.connection is None:
        return None
    side = Side(call.side or Side.CLIENT)
    until_ns = call.returned_ns or call.entered_ns
    start = unread(scene, call.connection, side, call.entered_ns, until_ns)
    return wanted_by(scene, path, call, start) if start is not None else None


class _Queue:
    """What could be read when, of a stretch of the stream."""

    def __init__(self, path: Path, side: Side, start: int, stop: int) -> None:
        stream = path.senders[side.inbound].stream
        self.start = start
        self._pieces = [
            (stop, arrival_ns(path.scene.packets[frame]) if frame is not None else None)
            for _, stop, frame in stream.ready.overlaps(start, stop)
        ]

    def came_ns(self, byte: int) -> int | None:
        """When a byte could be read; None: it never could, or that is not known."""
        return next((ns for stop, ns in self._pieces if byte < stop), None)

    def reaches(self, time_ns: int) -> int:
        """Up to where the stream could be read then."""
        reached = self.start
        for stop, ns in self._pieces:
            if ns is None or ns > time_ns:
                break
            reached = stop
        return max(reached, self.start)


def _slept(
    queue: _Queue, call: Call, mark: int, looked_ns: int, least: int, scene: Scene
) -> Wanted:
    """What a read waits for that looks at `looked_ns`, and sleeps until it has `least` bytes."""
    start, asked = queue.start, max(call.requested_bytes or 1, 1)
    flags = scene.record(call.call).flags
    there = min(queue.reaches(looked_ns), start + asked)
    if there - start >= least:
        return Wanted(start + least - 1, there)
    taken = start if flags & MSG_PEEK else there
    why = f"MSG_WAITALL: all {counted(asked, 'byte')}" if flags & MSG_WAITALL else ""
    if mark > 1:
        why += ", " if why else ""
        why += f"SO_RCVLOWAT: {counted(mark, 'byte')}"
        if taken > start:
            why += f" beside the {taken - start:,} that it had taken out"
    since_ns = looked_ns if there > start else queue.came_ns(start) or looked_ns
    while True:
        byte = start + least - 1 if mark == 1 else taken + mark - 1
        at_ns = queue.came_ns(byte)
        if at_ns is None:
            return Wanted(byte, taken, why, since_ns)
        taken = min(queue.reaches(at_ns), start + asked)
        if taken - start >= least:
            return Wanted(byte, taken, why, since_ns)
