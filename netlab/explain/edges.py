"""A wait with EPOLLET while bytes lay unread -> that its own program had left them there.

An edge-triggered wait tells once of what came. Who waits again before he has read all of it sleeps
until something new comes, though there is something to read. Told only where one thread reads and
waits, and nobody read meanwhile: else another thread may have been about to.
Read first: man 7 epoll (edge-triggered), ep_send_events in Linux.
"""

from __future__ import annotations

from netlab.correlate.sockets import Socket
from netlab.explain.causes import Cause, Certainty
from netlab.explain.low_water import lying, unread
from netlab.explain.parts import Line
from netlab.explain.scene import Scene
from netlab.explain.wording import counted
from netlab.model.call import POLLIN
from netlab.model.tables import Call


def tell_left_unread(
    line: Line, scene: Scene, call: Call, until_ns: int, frame: int | None = None
) -> bool:
    """Everything up to `until_ns`, if bytes lay unread all along.

    `frame`: with this one something new came, which ended it: of its connection alone.
    """
    number = scene.packets[frame].connection if frame is not None else None
    end = f", as frame {frame} was" if frame is not None else ""
    for socket in scene.watching.edges(call, until_ns, POLLIN):
        count = left_unread(scene, call, socket, until_ns)
        home = scene.home(socket)
        if not count or home is None or number not in (None, home[0]):
            continue
        where = "" if call.connection == home[0] else f" on connection {home[0]}"
        line.until(
            until_ns, Cause.LEFT_UNREAD, Certainty.OBSERVED,
            (frame,) if frame is not None else (), (),
            f"because {counted(count, 'byte')} lay unread at the {home[1]}{where}, and EPOLLET"
            f" tells only of what is new{end}",
        )  # fmt: skip
        scene.left_lying[home[0]].append(call)
        return True
    return False


def left_unread(scene: Scene, call: Call, socket: Socket, until_ns: int) -> int:
    """How many bytes lay unread in a stream all the time of a wait, up to `until_ns`.

    0 as well where that is not known, or where another thread reads.
    """
    home = scene.home(socket)
    streams = socket.is_stream and not socket.is_local
    path = scene.path(home[0]) if home is not None and streams else None
    if path is None or home is None:
        return 0
    connection, side = home
    start = unread(scene, connection, side, call.entered_ns, until_ns)
    before = [
        read for read in scene.moves(connection, side, side.inbound).calls
        if read.entered_ns < call.entered_ns
    ]  # fmt: skip
    if not start or not before or _thread(before[-1]) != _thread(call):
        return 0
    return lying(path, side, start, call.entered_ns)


def _thread(call: Call) -> tuple[str, int, int]:
    return call.host, call.pid, call.tid
