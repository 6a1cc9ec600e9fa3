"""A call or a wait that its own side ended, by a shutdown in another thread or process.

shutdown(SHUT_RD) wakes who reads, though nothing came (RCV_SHUTDOWN in tcp_recvmsg and tcp_poll of
Linux); of a listener it ends the listening: who accepts fails with EINVAL, who polls hears of a
hang-up. Of a stream that is POLLHUP, which says that both directions are over: the last of the two
to end made it, whichever side that was.
Read first: man 2 shutdown, man 2 poll; inet_shutdown and tcp_poll in Linux.
"""

from __future__ import annotations

from bisect import bisect_right

from netlab.correlate.arrivals import arrival_ns, came
from netlab.correlate.sockets import Socket
from netlab.correlate.streams import fin_ready
from netlab.explain.causes import Cause, Certainty
from netlab.explain.parts import Line
from netlab.explain.scene import Scene
from netlab.explain.wording import name_of
from netlab.model.call import (
    EPOLL_WAITING,
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLRDHUP,
    Ready,
    is_inbound,
)
from netlab.model.tables import Call


def shut_reading(scene: Scene, socket: Socket, until_ns: int) -> Call | None:
    """The call by which a socket had been shut for reading by then.

    Of a stream the first; a listener may have listened again after that.
    """
    found = _entered_by(scene, socket.reading_shutdowns, until_ns)
    return found[-1 if socket.listens else 0] if found else None


def over_ns(scene: Scene, shut: Call) -> int:
    """When a shutdown had been done at the latest: it returned, or its FIN left."""
    returned_ns = shut.returned_ns if shut.returned_ns is not None else scene.end_ns
    return min([returned_ns, *scene.departures_ns(shut)])


def tell_shut(line: Line, shut: Call, certainty: Certainty = Certainty.OBSERVED) -> int:
    """Until that call was made; returns when."""
    line.until(shut.entered_ns, Cause.OTHER_EVENT, certainty, (), (shut.call,),
               f"until {name_of(shut)} of its own side ended it")  # fmt: skip
    return max(shut.entered_ns, line.at_ns)


def ended_here(
    scene: Scene, wait: Call, item: Ready, socket: Socket
) -> tuple[Call, Certainty] | None:
    """The shutdown that made a reported descriptor ready; None: none did, or it is not known."""
    if not socket.reading_shutdowns and not socket.shutdowns:
        return None
    if socket.is_local or not socket.is_stream or item.events & POLLERR:
        return None
    until_ns = wait.returned_by_ns or wait.returned_ns or wait.entered_ns
    shut = shut_reading(scene, socket, until_ns)
    if socket.listens:
        found = shut if item.events & POLLHUP else None
    else:
        found = _made_ready(scene, item, socket, shut, until_ns)
    if found is None:
        return None
    if over_ns(scene, found) <= wait.entered_ns and wait.op in EPOLL_WAITING:
        return None  # which may have told of it before, and tells once with EPOLLET
    if not item.events & POLLIN:
        return found, Certainty.OBSERVED
    place = bisect_right(socket.calls, wait.call)
    reads = (one for one in map(scene.call, socket.calls[place:]) if is_inbound(one))
    read = next(reads, None)
    if read is None:
        return found, Certainty.INFERRED
    return None if read.result or read.errno is not None else (found, Certainty.OBSERVED)


def _made_ready(
    scene: Scene, item: Ready, socket: Socket, shut: Call | None, until_ns: int
) -> Call | None:
    """Of a stream: its own shutdown, where the end that the peer made was not what it told of."""
    home = scene.home(socket)
    path = scene.path(home[0]) if home is not None else None
    if path is None or home is None:
        return None
    inbound = path.senders[home[1].inbound]
    fin = fin_ready(inbound.stream, scene.packets)
    ends = [*([fin] if fin is not None else []), *came(inbound.stream.half.resets)[:1]]
    far_ns = min((at for at in map(arrival_ns, ends) if at <= until_ns), default=None)
    if shut is not None and far_ns is not None and over_ns(scene, shut) > far_ns:
        shut = None  # the peer's end was first, or both came at once
    if shut is not None and item.events & (POLLIN | POLLRDHUP):
        return shut
    writing = next(iter(_entered_by(scene, socket.shutdowns, until_ns)), None)
    if not item.events & POLLHUP or writing is None:
        return None
    if shut is not None:
        return max(shut, writing, key=lambda call: call.entered_ns)
    return writing if far_ns is not None and far_ns <= writing.entered_ns else None


def _entered_by(scene: Scene, numbers: list[int], until_ns: int) -> list[Call]:
    return [one for one in map(scene.call, numbers) if one.entered_ns <= until_ns]
