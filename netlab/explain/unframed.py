"""Calls of a TCP connection of which no frame was captured: what the calls of its other end say.

A program and its neighbour on one host speak over the loopback, which a wire between hosts does
not see. That the other end had not yet connected, written or closed its calls show all the same;
what came between that call and the return is told only where nothing is left to tell.
"""

from __future__ import annotations

from bisect import bisect_right

from netlab.explain.accepting import tell_before
from netlab.explain.causes import Cause, Certainty
from netlab.explain.endings import tell_process_end
from netlab.explain.parts import Line
from netlab.explain.scene import Scene
from netlab.explain.wording import name_of
from netlab.model.call import POLLIN, is_inbound
from netlab.model.tables import Call, Direction, Side


def tell_unframed(line: Line, scene: Scene, call: Call) -> None:
    """A read: until the peer wrote the first byte that it returned, or ended its stream."""
    if call.connection is None or call.side is None or call.errno is not None:
        return
    inbound = Side(call.side).inbound
    if call.start is not None:
        _before_byte(line, scene, call.connection, inbound, call.start)
    elif call.result == 0 and call.requested_bytes != 0:
        _before_end(line, scene, call.connection, inbound)


def tell_unframed_accept(line: Line, scene: Scene, call: Call) -> None:
    """An accept: until the client called connect."""
    if call.connection is None:
        return
    client = scene.ends.get((call.connection, Side.CLIENT))
    if client is None or not client.connects:
        return
    connect = scene.call(client.connects[0])  # before it there was none, whatever came of it
    line.until(connect.entered_ns, Cause.NO_CLIENT, Certainty.OBSERVED, (), (connect.call,),
               f"because there was no client to accept, until {name_of(connect)}")  # fmt: skip


def tell_unframed_poll(line: Line, scene: Scene, call: Call) -> None:
    """A wait that one descriptor ended: until the peer's call that made it readable.

    With several descriptors reported none of them says which it was.
    """
    reported = scene.sockets.reported.get(call.call, ())
    if len(reported) != 1 or len(scene.record(call.call).ready) != 1:
        return
    item, socket = reported[0]
    if not item.events & POLLIN or socket.is_local or not socket.is_stream:
        return
    place = bisect_right(socket.accepts if socket.listens else socket.calls, call.call)
    if socket.listens:
        if place < len(socket.accepts):
            accept = scene.call(socket.accepts[place])
            if accept.connection is not None and scene.path(accept.connection) is None:
                tell_unframed_accept(line, scene, accept)
        return
    for number in socket.calls[place:]:
        read = scene.call(number)
        if is_inbound(read):
            if scene.path(read.connection) is None:
                tell_unframed(line, scene, read)
            return


def _before_byte(
    line: Line, scene: Scene, connection: int, direction: Direction, byte: int
) -> None:
    writer = scene.writer(connection, direction, byte)
    if writer is not None:
        tell_before(line, scene, writer, f"called {writer.op} #{writer.call}")


def _before_end(line: Line, scene: Scene, connection: int, direction: Direction) -> None:
    ender = scene.ender(connection, direction.sender)
    if ender is not None:
        tell_before(line, scene, ender, f"called {ender.op} #{ender.call}")
        tell_process_end(line, ender)
