"""A read of a stream -> what it waited for: as many bytes as it wanted, the end, or a reset.

Read first: `low_water` (how many it wanted), `arriving`; man 2 recv.
"""

from __future__ import annotations

from netlab.correlate.arrivals import arrival_ns, came
from netlab.correlate.streams import fin_ready
from netlab.explain.arriving import tell_byte, tell_end, tell_reset
from netlab.explain.causes import Cause, Certainty
from netlab.explain.giving_up import GAVE_UP, gave_up, kernel_gave_up
from netlab.explain.low_water import Wanted, peeked, wanted_by
from netlab.explain.own_end import over_ns, shut_reading, tell_shut
from netlab.explain.parts import Line
from netlab.explain.path import Path
from netlab.explain.scene import Scene
from netlab.explain.timed_out import timer_is_set
from netlab.explain.unframed import tell_unframed
from netlab.explain.unreturned import tell_not_come
from netlab.explain.unstreamed import tell_datagram, tell_local
from netlab.model.tables import Call, Direction, Side

_SOON_NS = 8_000_000  # a read that can return does by then, on a busy machine, traced or not


def tell_recv(line: Line, scene: Scene, call: Call) -> int | None:
    """Until it could return; returns when. None: it is not known."""
    if call.errno == "EAGAIN":
        gave_up(line, call, scene)
        return line.at_ns
    socket = scene.socket_of(call)
    if socket is not None and socket.is_local:
        return tell_local(line, scene, call)
    if socket is not None and not socket.is_stream:
        return tell_datagram(line, scene, call)
    path = scene.path(call.connection)
    if path is None or call.side is None:
        tell_unframed(line, scene, call)
        return None
    inbound = Side(call.side).inbound
    if call.errno in GAVE_UP:
        return kernel_gave_up(line, scene, path, Side(call.side), call.errno)
    if call.errno is not None:
        return _reset(line, path, call, inbound)
    if call.start is None or call.stop is None:
        at_end = call.result == 0 and call.requested_bytes != 0
        if at_end:
            return _end(line, scene, path, call)
        wanted = peeked(scene, path, call)
        return _enough(line, scene, path, call, wanted) if wanted is not None else None
    if call.start == call.stop:
        return line.at_ns
    return _enough(line, scene, path, call, wanted_by(scene, path, call, call.start))


def _enough(line: Line, scene: Scene, path: Path, call: Call, wanted: Wanted) -> int | None:
    """Until as much was there as a read wanted, or what it had was to be all that it got."""
    side = Side(call.side or Side.CLIENT)
    told = Line(line.at_ns, line.stop_ns)
    ready_ns = tell_byte(told, path, side.inbound, wanted.byte)
    if ready_ns is None or ready_ns > (call.returned_by_ns or line.stop_ns):
        told = Line(line.at_ns, line.stop_ns)
        ready_ns = _less(told, scene, path, call, wanted)
    wanted.include(line, told)
    return ready_ns


def _less(line: Line, scene: Scene, path: Path, call: Call, wanted: Wanted) -> int | None:
    """A read that returned with less than it wanted: the end of the stream, its timer, or a signal.

    Or, soon after the last byte that it returned, a window that was nearly shut.
    """
    side = Side(call.side or Side.CLIENT)
    last = (call.stop or 1) - 1
    came_ns = tell_byte(line, path, side.inbound, last)
    returned_ns = call.returned_by_ns or line.stop_ns
    if came_ns is None or not wanted.why or line.stop_ns - line.at_ns <= _SOON_NS:
        return came_ns
    fin = fin_ready(path.senders[side.inbound].stream, path.scene.packets)
    if fin is not None and (not path.exact or arrival_ns(fin) <= returned_ns):
        return tell_end(line, path, side.inbound)
    if timer_is_set(scene, call, "SO_RCVTIMEO"):
        line.until(line.stop_ns, Cause.TIMER, Certainty.INFERRED, (), (), "until its time was up")
        return line.stop_ns
    if not tell_not_come(line, path, side, wanted.byte) and fin is not None:
        tell_end(line, path, side.inbound)  # which it did not see any more
    return line.at_ns


def _end(line: Line, scene: Scene, path: Path, call: Call) -> int | None:
    """A read that returned nothing: its own side shut it down, or the peer ended the stream.

    None: the FIN came after the read had returned, so something else ended it; or both came at
    once.
    """
    inbound = Side(call.side or Side.CLIENT).inbound
    returned_ns = call.returned_by_ns or line.stop_ns
    fin = fin_ready(path.senders[inbound].stream, path.scene.packets)
    in_time = fin is not None and (not path.exact or arrival_ns(fin) <= returned_ns)
    socket = scene.socket_of(call)
    shut = shut_reading(scene, socket, returned_ns) if socket is not None else None
    if shut is None or (fin is not None and in_time and arrival_ns(fin) <= shut.entered_ns):
        return tell_end(line, path, inbound) if in_time or fin is None else None
    if fin is not None and in_time and arrival_ns(fin) < over_ns(scene, shut):
        return None
    return tell_shut(line, shut)


def _reset(line: Line, path: Path, call: Call, inbound: Direction) -> int | None:
    resets = came(path.track.halves[inbound].resets)
    before = [p for p in resets if arrival_ns(p) <= line.stop_ns]
    return tell_reset(line, path, inbound, before[0]) if before else None
