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
from collections import defaultdict

from netlab.correlate.sockets import Socket
from netlab.explain.causes import Cause, Certainty
from netlab.explain.opening import tell_handshake
from netlab.explain.parts import Line
from netlab.explain.path import Path
from netlab.explain.scene import Scene
from netlab.explain.sending import lacked_room, reset_between, tell_room
from netlab.explain.wording import name_of
from netlab.model.call import CONNECT_GOES_ON, EPOLL_WAITING, EPOLLET, POLLOUT, is_outbound
from netlab.model.records import dataclass
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
    history = _history(scene)
    short = history.sends(scene, socket).short
    place = bisect_left(short, call.call, key=_number)
    since = short[place - 1].call if place else 0
    told, asked = history.told(call, socket), history.asked(call, socket)
    return max(since, _last_before(asked, call.call)) < _last_before(told, call.call)


def was_short(scene: Scene, socket: Socket, call: Call) -> bool:
    """Whether the last send before a wait found too little room, or the connect was under way."""
    last = _last(scene, socket, call)
    if last is None or last.op == "connect":
        return last is not None and last.errno in CONNECT_GOES_ON
    return lacked_room(last)


def _last(scene: Scene, socket: Socket, call: Call) -> Call | None:
    """The last send before a call, or the connect."""
    every = _history(scene).sends(scene, socket).every
    place = bisect_left(every, call.call, key=_number)
    return every[place - 1] if place else None


def _asked(scene: Scene, call: Call, socket: Socket, until_ns: int) -> Call | None:
    """The first epoll_ctl inside a wait that asked for room of which it would not have told."""
    asked = _history(scene).asked(call, socket)
    for place in range(bisect_right(asked, call.call), len(asked)):
        other = scene.call(asked[place])
        if other.entered_ns > until_ns:
            return None
        if other.errno is None and (_events(scene, other, socket) or 0) & POLLOUT:
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
    short = _history(scene).sends(scene, socket).short
    place = bisect_right(short, call.call, key=_number)
    if place == len(short) or short[place].entered_ns > until_ns:
        return None
    if socket not in scene.watching.edges(call, until_ns, POLLOUT):
        return None
    waited = was_short(scene, socket, call) and not was_told(scene, call, socket)
    return None if waited else short[place]


def _events(scene: Scene, control: Call, socket: Socket) -> int | None:
    """What an epoll_ctl asked for of a socket; None: it is about another."""
    ready = scene.record(control.call).ready
    return next((item.events for item in ready if item.inode == socket.inode), None)


# --- what is asked for again and again, in order of calls


@dataclass(frozen=True, slots=True)
class _Sends:
    every: list[Call]  # those of a socket, and its connects
    short: list[Call]  # the sends of them that found too little room


class RoomHistory:
    """By epoll and socket, the calls that asked and the waits that told of room; by socket, sends.

    An epoll is known by its process and descriptor; what an epoll_ctl is about, by the inode.
    """

    def __init__(self, scene: Scene) -> None:
        self._asked: dict[tuple[str, int, int | None, int | None], list[int]] = defaultdict(list)
        self._told: dict[tuple[str, int, int | None, int], list[int]] = defaultdict(list)
        self._sends: dict[int, _Sends] = {}
        for call in scene.calls:
            epoll = call.host, call.pid, call.fd
            if call.op == "epoll_ctl":
                for inode in {item.inode for item in scene.record(call.call).ready}:
                    self._asked[*epoll, inode].append(call.call)
            elif call.op in EPOLL_WAITING:
                reported = scene.sockets.reported.get(call.call, ())
                for told in {id(one) for item, one in reported if item.events & POLLOUT}:
                    self._told[*epoll, told].append(call.call)

    def asked(self, wait: Call, socket: Socket) -> list[int]:
        """The epoll_ctl calls on the epoll of a wait that are about this socket."""
        return self._asked.get((wait.host, wait.pid, wait.fd, socket.inode), [])

    def told(self, wait: Call, socket: Socket) -> list[int]:
        """The waits on the same epoll that reported this socket writable."""
        return self._told.get((wait.host, wait.pid, wait.fd, id(socket)), [])

    def sends(self, scene: Scene, socket: Socket) -> _Sends:
        """The sends of a socket."""
        key = id(socket)
        if key not in self._sends:
            every = [
                call for call in map(scene.call, socket.calls)
                if is_outbound(call) or call.op == "connect"
            ]  # fmt: skip
            short = [call for call in every if is_outbound(call) and lacked_room(call)]
            self._sends[key] = _Sends(every, short)
        return self._sends[key]


def _history(scene: Scene) -> RoomHistory:
    if scene.room_history is None:
        scene.room_history = RoomHistory(scene)
    return scene.room_history


def _number(call: Call) -> int:
    return call.call


def _last_before(numbers: list[int], number: int) -> int:
    place = bisect_left(numbers, number)
    return numbers[place - 1] if place else 0
