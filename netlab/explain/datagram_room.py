"""A send of datagrams, or a wait for room for them -> that its buffer was full of what lay here.

What a socket has sent counts against SO_SNDBUF until it has left the host: it can fill only while
it lies in the queue of the host's own link. A blocked sender wakes when half of the buffer is free.
How much each datagram takes of it no call tells, so all of it is inferred.
Read first: sock_alloc_send_pskb and sock_def_write_space in Linux; man 7 socket, SO_SNDBUF.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from netlab.correlate.sockets import Socket
from netlab.explain.causes import Cause, Certainty
from netlab.explain.parts import Line
from netlab.explain.scene import Scene
from netlab.model.call import is_outbound
from netlab.model.tables import Call, Packet, Role, Side

_DEFAULT_BYTES = 212_992  # net.core.wmem_default
_MOST_BYTES_EACH = 1_280  # the overhead of a datagram in it, besides as much again as it has
_MOST_LOOKED_AT = 1_024  # sends back from the wait
_MOST_GONE = 8


def tell_datagram_room(line: Line, scene: Scene, call: Call, socket: Socket) -> int | None:
    """Until enough had left; returns when. None: nothing says that the buffer was full."""
    if call.connection is not None and call.side:
        home: tuple[int, Side] | None = (call.connection, Side(call.side))
    else:
        home = scene.home(socket)
    if home is None or not _can_be_full(scene, call, socket, home):
        return None
    left = _left_between(scene, home, line.at_ns, line.stop_ns)
    if not left:
        return None
    first, last = left[0].frame, left[-1].frame
    line.until(
        left[-1].time_ns, Cause.WIRE_QUEUE, Certainty.INFERRED, tuple(dict.fromkeys((first, last))),
        (),
        "with the send buffer full, because datagrams of the same socket lay in the queue of the"
        f" {home[1]}'s own link, until frame {last} left it",
    )  # fmt: skip
    return left[-1].time_ns


def _can_be_full(scene: Scene, call: Call, socket: Socket, home: tuple[int, Side]) -> bool:
    """Whether what had been sent and had not left then can have filled the buffer."""
    sizes = [
        option.value for option in scene.options(*home)
        if option.name in ("SO_SNDBUF", "SO_SNDBUFFORCE") and option.value is not None
        and option.call < call.call
    ]  # fmt: skip
    room = 2 * sizes[-1] if sizes else _DEFAULT_BYTES
    place = bisect_left(socket.calls, call.call)
    gone = 0
    for number in reversed(socket.calls[max(place - _MOST_LOOKED_AT, 0) : place]):
        earlier = scene.call(number)
        if not is_outbound(earlier) or earlier.errno is not None:
            continue
        if _left_later(scene, earlier, call.entered_ns):
            room -= 2 * (earlier.result or 0) + _MOST_BYTES_EACH
            gone = 0
        else:
            gone += 1
        if room <= 0 or gone > _MOST_GONE:  # they leave in order, but which is whose may be unsure
            break
    return room <= 0


def _left_later(scene: Scene, earlier: Call, time_ns: int) -> bool:
    """Whether a datagram of an earlier call left after that."""
    return any(
        span.role == Role.CARRIED and span.frame is not None
        and scene.packets[span.frame].time_ns > time_ns
        for span in scene.spans.get(earlier.call, ())
    )  # fmt: skip


def _left_between(
    scene: Scene, home: tuple[int, Side], since_ns: int, until_ns: int
) -> list[Packet]:
    """The frames of one end that left in between, in order."""
    every = scene.datagrams(home[0])
    low = bisect_right(every, since_ns, key=lambda one: one.time_ns)
    high = bisect_right(every, until_ns, key=lambda one: one.time_ns)
    return [
        packet for one in every[low:high] if one.direction is home[1].outbound
        for packet in one.packets if packet.time_ns <= until_ns and not packet._made
    ]  # fmt: skip
