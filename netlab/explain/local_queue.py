"""A connect to a Unix socket, and who waits for one that nobody has accepted yet.

connect waits while the listener's queue holds more than its backlog: each accept makes room for one
(unix_stream_connect in Linux). Once it has returned, its connection stands in that queue, and what
the client sends lies there, until somebody calls accept.
Read first: `correlate.local_queues`; man 7 unix.
"""

from __future__ import annotations

from netlab.correlate.local_queues import LocalQueue
from netlab.correlate.sockets import Socket
from netlab.explain.causes import Cause, Certainty
from netlab.explain.parts import Line
from netlab.explain.queues import held_text
from netlab.explain.scene import Scene
from netlab.explain.wording import name_of
from netlab.model.tables import Call, Side

_PROMPT_NS = 2_000_000  # from an accept until the connect that it made room for, on a busy machine


def local_queue(scene: Scene, call: Call) -> LocalQueue | None:
    """The queue that a connect to a Unix socket was for, where its listener was recorded."""
    socket = scene.socket_of(call)
    return scene.local_queues.queue_of(socket, call.call) if socket is not None else None


def tell_local_connect(line: Line, scene: Scene, call: Call) -> int | None:
    """Until the queue had room; returns when. None: it is not known what it waited for."""
    queue = local_queue(scene, call)
    if queue is None:
        return None
    accepts = [scene.call(n) for n in queue.accepts_between(line.at_ns, line.stop_ns)]
    made_room = next((one for one in reversed(accepts) if queue.is_full(one.entered_ns)), None)
    if made_room is not None:
        sure = queue.is_full(line.at_ns)
        line.until(
            made_room.entered_ns, Cause.BACKLOG_FULL,
            Certainty.OBSERVED if sure else Certainty.INFERRED,
            (), (*_listen(queue), made_room.call),
            f"because the listener's queue {_held(queue, made_room.entered_ns)}, until"
            f" {name_of(made_room)} made room",
        )  # fmt: skip
        return max(made_room.entered_ns, line.at_ns)
    if queue.had_room(line.at_ns):
        return line.at_ns
    last = accepts[-1] if accepts else None
    if last is None or line.stop_ns - last.entered_ns > _PROMPT_NS:
        return None
    line.until(
        last.entered_ns, Cause.BACKLOG_FULL, Certainty.INFERRED, (),
        (*_listen(queue), last.call),
        f"because the listener's queue seems to have been full, until {name_of(last)} made room",
    )  # fmt: skip
    return max(last.entered_ns, line.at_ns)


def tell_no_local_accept(line: Line, scene: Scene, call: Call) -> None:
    """A connect that never returned: the queue was full to the end."""
    queue = local_queue(scene, call)
    if queue is not None and queue.is_full(line.at_ns) and queue.is_full(line.stop_ns):
        line.until(
            line.stop_ns, Cause.BACKLOG_FULL, Certainty.OBSERVED, (), _listen(queue),
            f"because the listener's queue {_held(queue, line.stop_ns)}",
        )  # fmt: skip


def full_by(scene: Scene, call: Call) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    """(what a connect that gave up had met, frames: none, calls), where the queue was full."""
    queue = local_queue(scene, call)
    until_ns = call.returned_ns or call.entered_ns
    if queue is None or not queue.is_full(until_ns):
        return "", (), ()
    return f": the listener's queue {_held(queue, until_ns)}", (), _listen(queue)


def tell_local_standing(line: Line, scene: Scene, made: Socket, accept: Call) -> None:
    """From when a connect had returned until the accept was called that returned its other end.

    Over TCP without frames the listener may have ignored the end of the handshake: no call says.
    """
    client = scene.ends.get((accept.connection, Side.CLIENT)) if accept.connection is not None \
        else None  # fmt: skip
    if client is None or not client.connects:
        return
    connect = scene.call(client.connects[-1])
    if connect.errno is not None or connect.returned_ns is None:
        return
    if connect.returned_ns > line.at_ns:
        return
    certainty = Certainty.OBSERVED if made.is_local else Certainty.INFERRED
    line.until(accept.entered_ns, Cause.ACCEPT_QUEUE, certainty, (), (connect.call, accept.call),
               f"in the accept queue, before {name_of(accept)} was called")  # fmt: skip


def tell_never_accepted(line: Line, scene: Scene, socket: Socket) -> None:
    """Of a client that waits: no accept that was recorded returned its connection."""
    if not socket.connects:
        return
    connect = scene.call(socket.connects[-1])
    queue = scene.local_queues.queue_of(socket, connect.call)
    home = scene.home(socket)
    accepted = home is not None and (home[0], Side.SERVER) in scene.ends
    if queue is None or accepted or connect.errno is not None or connect.returned_ns is None:
        return
    line.until(line.stop_ns, Cause.ACCEPT_QUEUE, Certainty.INFERRED, (),
               (connect.call, *_listen(queue)),
               "in the accept queue: nobody had called accept for it by then")  # fmt: skip


def _listen(queue: LocalQueue) -> tuple[int, ...]:
    number = queue.listener.listened_by
    return (number,) if number is not None else ()


def _held(queue: LocalQueue, time_ns: int) -> str:
    return held_text(queue.least(time_ns), queue.backlog or 0)
