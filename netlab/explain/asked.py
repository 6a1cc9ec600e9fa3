"""Reads and waits that ended with nothing -> the client's end at which their thread had asked.

What a poll looks at is not known where it reports nothing. Yet a thread that has written a request,
and has not read since, waits for its answer, whatever else it looks at: its own wake-up descriptor,
a listener, clients that may say something. Where two answers are owed to it, nobody can say which
it waits for. What a server writes is an answer itself.
Read first: man 2 poll.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from weakref import WeakKeyDictionary

from netlab.correlate.sockets import OBJECT_PROTOCOLS, Socket
from netlab.explain.scene import Scene
from netlab.model.call import EPOLL_WAITING, WAITING, is_closing, is_inbound, is_outbound
from netlab.model.tables import Call, Side

HIGHEST = re.compile(r"\bnfds=(\d+)\b")  # of the system call select: one more than its highest

_Asked = dict[int, tuple[Socket, int]]  # by wait or read in vain: the socket, and what asked on it
_ASKED: WeakKeyDictionary[Scene, _Asked] = WeakKeyDictionary()


def is_vain(call: Call) -> bool:
    """Whether a select, poll or epoll reported nothing."""
    return (
        call.op in WAITING and not call.result and call.errno is None
        and call.returned_ns is not None
    )  # fmt: skip


def unanswered_request(scene: Scene, call: Call) -> tuple[int, Side] | None:
    """The client's end at which the thread of a read, or wait, in vain had asked without an answer.

    Of a wait: the only one of its thread that owes one, and only if it may have watched it.
    """
    if scene not in _ASKED:
        _ASKED[scene] = _all_asked(scene)
    found = _ASKED[scene].get(call.call)
    if found is None or not found[0].is_stream or found[0].is_local:
        return None
    socket, asked = found
    reads = scene.reads_of(socket)
    low, high = (bisect_left(reads, n, key=lambda one: one.call) for n in (asked, call.call))
    if any(one.errno is None for one in reads[low:high]):
        return None  # another thread has read the answer
    home = scene.home(socket)
    if home is None or home[1] is not Side.CLIENT:
        return None
    return home if call.op not in WAITING or _may_watch(scene, call, socket, asked) else None


def _may_watch(scene: Scene, call: Call, socket: Socket, asked: int) -> bool:
    if call.op in EPOLL_WAITING:
        watched = scene.watching.of(call, call.entered_ns, call.returned_ns or call.entered_ns)
        return watched is None or any(one is socket for one, _ in watched)
    highest = HIGHEST.search(call.args) if "select" in call.op else None
    fd = scene.record(asked).fd
    return highest is None or fd is None or fd < int(highest[1])


def _all_asked(scene: Scene) -> _Asked:
    found: _Asked = {}
    for calls in scene.threads.values():
        owing: dict[int, tuple[Socket, int]] = {}  # by id of the socket
        for call in calls:
            socket = scene.socket_of(call)
            if is_vain(call):
                if len(owing) == 1:
                    found[call.call] = next(iter(owing.values()))
            elif call.call in scene.sockets.reported:
                _open(scene, owing, call)
            elif socket is not None:
                _ask(scene, owing, call, socket, found)
    return found


def _ask(
    scene: Scene,
    owing: dict[int, tuple[Socket, int]],
    call: Call,
    socket: Socket,
    found: _Asked,
) -> None:
    """What a call on a socket changes about the answers that its thread waits for."""
    number = id(socket)
    if is_outbound(call):
        before = owing.get(number)
        anew = before is None or scene.call(before[1]).op == "connect"
        if anew and (call.result or 0) > 0 and _may_be_answered(scene, socket):
            owing[number] = socket, call.call
    elif is_inbound(call):
        if call.errno in ("EAGAIN", "ETIMEDOUT", "EINTR"):
            if number in owing:
                found[call.call] = owing[number]
        else:
            owing.pop(number, None)
    elif call.op == "connect" and call.errno == "EINPROGRESS":
        owing[number] = socket, call.call
    elif is_closing(call):
        owing.pop(number, None)


def _open(scene: Scene, owing: dict[int, tuple[Socket, int]], call: Call) -> None:
    """Connections that a wait reported owe no answer any more, but to what was written since."""
    for _, socket in scene.sockets.reported[call.call]:
        before = owing.get(id(socket))
        if before is not None and scene.call(before[1]).op == "connect":
            del owing[id(socket)]


def _may_be_answered(scene: Scene, socket: Socket) -> bool:
    """Not what a server writes, which is an answer, nor what goes one way only."""
    if socket.family in OBJECT_PROTOCOLS or socket.family == "eventfd":
        return False
    home = scene.home(socket)
    return home is None or home[1] is Side.CLIENT or scene.call(socket.calls[0])._roleless
