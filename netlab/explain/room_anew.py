"""A wait on an epoll that reported a socket writable -> its own program's call that made it do so.

With EPOLLET a socket that was found writable is not told of again, until a send has found too
little room and an ACK has then made some: up to that send, of another thread, the wait had nothing
to report. So has one up to the epoll_ctl by which another thread asks for room. That no other event
of the socket woke it is assumed, so all of it is inferred.
Read first: man 7 epoll (EPOLLET), sk_stream_write_space in Linux, which wakes nobody unless a send
or a poll had found no room (SOCK_NOSPACE).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from netlab.correlate.sockets import Socket
from netlab.explain.causes import Cause, Certainty
from netlab.explain.opening import tell_handshake
from netlab.explain.parts import Line
from netlab.explain.path import Path
from netlab.explain.scene import Scene
from netlab.explain.sending import lacked_room, reset_between, tell_room
from netlab.explain.wording import name_of
from netlab.model.call import EPOLLET, POLLOUT, is_outbound
from netlab.model.tables import Call, Side


def tell_room_anew(
    line: Line, scene: Scene, call: Call, socket: Socket, path: Path, side: Side
) -> int | None:
    """Until there was room, after a call that another thread made inside the wait; returns when.

    None: there is none, or no ACK came behind it.
    """
    told = Line(line.at_ns, line.stop_ns)
    began, why = _asked(scene, call, socket, line.stop_ns), "asked for room on the socket"
    if began is None:
        began = _filled(scene, call, socket, line.stop_ns)
        why = "found too little room: before, nothing that EPOLLET tells of had changed"
    if began is None:
        return None
    told.until(began.entered_ns, Cause.OTHER_EVENT, Certainty.INFERRED, (), (began.call,),
               f"until {name_of(began)} of its own program {why}")  # fmt: skip
    ready_ns: int | None = began.entered_ns
    last = _last(scene, socket, began)
    if is_outbound(began) or was_short(scene, socket, began):
        if last is not None and last.op == "connect" and not is_outbound(began):
            ready_ns = tell_handshake(told, path, side)
        else:
            reset_ns = reset_between(path, side, told.at_ns, line.stop_ns)
            ready_ns = tell_room(told, path, call, side, reset_ns)
    if ready_ns is None:
        return None
    line.include(told.parts, line.stop_ns)
    return max(ready_ns, began.entered_ns)


def was_told(scene: Scene, call: Call, socket: Socket) -> bool:
    """Whether a wait with EPOLLET comes after one that told of room: nothing was new at entry.

    A send that was short since, and an epoll_ctl, make it new.
    """
    if socket not in scene.watching.edges(call, call.entered_ns + 1, POLLOUT):
        return False
    before = map(scene.call, reversed(socket.calls[: bisect_left(socket.calls, call.call)]))
    since = next((send.call for send in before if is_outbound(send) and lacked_room(send)), 0)
    for number in range(call.call - 1, since, -1):
        other = scene.call(number)
        if not _on_the_same(other, call):
            continue
        if other.op == "epoll_ctl" and _events(scene, other, socket) is not None:
            return False
        reported = scene.sockets.reported.get(number, ())
        if any(one is socket and item.events & POLLOUT for item, one in reported):
            return True
    return False


def was_short(scene: Scene, socket: Socket, call: Call) -> bool:
    """Whether the last send before a wait found too little room, or the connect was under way."""
    last = _last(scene, socket, call)
    if last is None or last.op == "connect":
        return last is not None and last.errno == "EINPROGRESS"
    return lacked_room(last)


def _last(scene: Scene, socket: Socket, call: Call) -> Call | None:
    """The last send before a call, or the connect."""
    before = map(scene.call, reversed(socket.calls[: bisect_left(socket.calls, call.call)]))
    return next((one for one in before if is_outbound(one) or one.op == "connect"), None)


def _asked(scene: Scene, call: Call, socket: Socket, until_ns: int) -> Call | None:
    """The first epoll_ctl inside a wait that asked for room of which it would not have told."""
    for number in range(call.call + 1, len(scene.calls) + 1):
        other = scene.call(number)
        if other.entered_ns > until_ns:
            return None
        if other.op != "epoll_ctl" or other.errno is not None or not _on_the_same(other, call):
            continue
        if (_events(scene, other, socket) or 0) & POLLOUT:
            return None if _would_tell(scene, call, socket) else other
    return None


def _would_tell(scene: Scene, call: Call, socket: Socket) -> bool:
    """Whether a wait tells of room by what had been asked at its entry; so if that is not known."""
    watched = scene.watching.of(call, call.entered_ns, call.entered_ns + 1)
    if watched is None:
        return True
    for events in (asked for one, asked in watched if one is socket):
        if not events or (events & POLLOUT and not events & EPOLLET):
            return True
        if events & POLLOUT and was_short(scene, socket, call):
            return not was_told(scene, call, socket)
    return False


def _filled(scene: Scene, call: Call, socket: Socket, until_ns: int) -> Call | None:
    """The first send inside a wait with EPOLLET that found too little room, if none had before."""
    for number in socket.calls[bisect_right(socket.calls, call.call) :]:
        other = scene.call(number)
        if other.entered_ns > until_ns:
            return None
        if not (is_outbound(other) and lacked_room(other)):
            continue
        if socket not in scene.watching.edges(call, until_ns, POLLOUT):
            return None
        waited = was_short(scene, socket, call) and not was_told(scene, call, socket)
        return None if waited else other
    return None


def _on_the_same(call: Call, wait: Call) -> bool:
    """Whether a call is about the epoll of a wait."""
    return (call.host, call.pid, call.fd) == (wait.host, wait.pid, wait.fd)


def _events(scene: Scene, control: Call, socket: Socket) -> int | None:
    """What an epoll_ctl asked for of a socket; None: it is about another."""
    ready = scene.record(control.call).ready
    return next((item.events for item in ready if item.inode == socket.inode), None)
