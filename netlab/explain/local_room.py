"""A write into a full pipe, queue or Unix socket -> which reads at its other end it waited for.

Whoever reads makes room, whatever he reads: what stands in the queue is older than the message
that waits, and may be another sender's (all who send to a Unix datagram socket share its queue, of
net.unix.max_dgram_qlen messages; the ends of a pair have but their send buffers). How full it was
no call tells, so all of it is inferred.
Read first: unix_dgram_sendmsg and unix_write_space in Linux (a stream's sender wakes when three
quarters of its buffer are free); man 7 pipe.
"""

from __future__ import annotations

from bisect import bisect_left

from netlab.correlate.sockets import Socket
from netlab.explain.causes import Cause, Certainty
from netlab.explain.endings import ended_ns
from netlab.explain.parts import Line
from netlab.explain.scene import Scene
from netlab.explain.wording import name_of
from netlab.model.tables import Call, Role, Side

_FITS_BYTES = 4096  # a pipe has room for a page at the least, and so has a Unix socket


def tell_local_room(
    line: Line, scene: Scene, call: Call, socket: Socket | None = None
) -> int | None:
    """Until there was room; returns when. None: the other end is not known, or said nothing.

    `socket`: which of those that a wait reported writable was full; by default the call's own.
    """
    found = _other_end(scene, call, socket)
    if found is None:
        return None
    reads, other, what = found
    ended = other.last_close if call.errno is not None else None
    if ended is not None:
        close = scene.call(ended)
        line.until(ended_ns(close), Cause.SEND_BUFFER, Certainty.INFERRED, (), (close.call,),
                   f"because {what}, until {name_of(close)}")  # fmt: skip
        return max(ended_ns(close), line.at_ns)
    inside = _inside(reads, line)
    inside = [read for read in inside if _made_room(scene, call, read)]
    if not inside:
        return line.at_ns  # nobody made room, so it was not that
    first, last = inside[0], inside[-1]
    idle, cited = _not_reading(reads, first)
    line.until(first.entered_ns, Cause.SEND_BUFFER, Certainty.INFERRED, (), cited,
               f"because {what}: {idle}")  # fmt: skip
    line.until(last.entered_ns, Cause.SEND_BUFFER, Certainty.INFERRED, (), (first.call, last.call),
               f"because {what}, until {name_of(last)} had made enough room")  # fmt: skip
    return max(last.entered_ns, line.at_ns)


def tell_no_local_room(line: Line, scene: Scene, call: Call) -> None:
    """A write that never returned: nobody read for so long."""
    found = _other_end(scene, call, None)
    if found is None:
        return
    reads, _, what = found
    if any(read.returned_ns is None or read.returned_ns > line.at_ns for read in reads):
        return
    last = reads[-1] if reads else None
    idle = f"its reader read no more after {name_of(last)}" if last else "nobody read from it"
    line.until(line.stop_ns, Cause.SEND_BUFFER, Certainty.INFERRED, (),
               (last.call,) if last else (), f"because {what}: {idle}")  # fmt: skip


def _other_end(
    scene: Scene, call: Call, socket: Socket | None
) -> tuple[list[Call], Socket, str] | None:
    """(all that was read at the other end, in order, its socket, what was full, in words)."""
    mine = socket if socket is not None else scene.socket_of(call)
    home = (call.connection, Side(call.side)) if call.connection is not None and call.side else None
    if mine is None or (home is None and (home := scene.home(mine)) is None):
        return None
    side = home[1].outbound.receiver
    other = scene.ends.get((home[0], side)) or _bound(scene, mine, home[0], side)
    if other is None:
        return None
    what = "its send buffer was full"
    if not mine.is_stream and other.peer_inode != mine.inode:
        what = "there was no room behind what had not been read"
    if mine.is_object:
        what = "the pipe was full" if mine.family == "pipe" else "the queue was full"
    return [read for read in scene.reads_of(other) if read.errno is None], other, what


def _bound(scene: Scene, mine: Socket, connection: int, side: Side) -> Socket | None:
    """The one socket with the other end's name: of what it read, not all has a known sender."""
    row = scene.tables.connections[connection]
    name = row.server if side is Side.SERVER else row.client
    found = [one for one in scene.sockets.all if one.host == mine.host and one.local == name]
    return found[0] if len(found) == 1 and name.startswith(("unix:/", "unix:@")) else None


def _inside(reads: list[Call], line: Line) -> list[Call]:
    """The reads in the time of a line."""
    found = []
    for place in range(bisect_left(reads, line.stop_ns, key=_entered_ns) - 1, -1, -1):
        read = reads[place]
        if read.returned_ns is not None and read.returned_ns <= line.at_ns:
            break
        found.append(read)
    return found[::-1]


def _entered_ns(call: Call) -> int:
    return call.entered_ns


def _made_room(scene: Scene, call: Call, read: Call) -> bool:
    """Whether a read took what stood there before a write, or a part of a large one."""
    writes = [
        scene.call(span.peer_call) for span in scene.spans.get(read.call, ())
        if span.role == Role.LOCAL and span.peer_call is not None
    ]  # fmt: skip
    if not writes:
        return True  # what it took has no known place
    large = (call.result or 0) > _FITS_BYTES
    return any(w.entered_ns < call.entered_ns or (large and w.call == call.call) for w in writes)


def _not_reading(reads: list[Call], first: Call) -> tuple[str, tuple[int, ...]]:
    """Since when the other end's program had not read, in words, and the calls that show it."""
    place = bisect_left(reads, first.entered_ns, key=_entered_ns)
    if not place:
        return f"its reader first read with {name_of(first)}", (first.call,)
    before = reads[place - 1]
    return (
        f"its reader did not read between {name_of(before)} and {name_of(first)}",
        (before.call, first.call),
    )
