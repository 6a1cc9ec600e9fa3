"""Reads and waits that ended with nothing -> the client's end at which their thread had asked.

What a poll looks at is not known where it reports nothing. Yet a thread that has written a request,
and has not read since, waits for its answer, whatever else it looks at: its own wake-up descriptor,
a listener, clients that may say something. Where two answers are owed to it, nobody can say which
it waits for. What a server writes is an answer itself. And who writes on after such a wait, with
nothing read, had made a pause.
Read first: man 2 poll.
"""

from __future__ import annotations

import re
from collections import defaultdict
from itertools import islice

from netlab.correlate.sockets import OBJECT_PROTOCOLS, Socket
from netlab.explain.scene import Scene, Thread
from netlab.model.call import (
    CONNECT_GOES_ON,
    EPOLL_WAITING,
    WAITING,
    is_closing,
    is_inbound,
    is_outbound,
)
from netlab.model.tables import Call, Side

HIGHEST = re.compile(r"\bnfds=(\d+)\b")  # of the system call select: one more than its highest

_LOOKED_AT = 32  # sockets, in one wait, whether they were read meanwhile
_ONE_WAY = 2  # waits in vain behind which a program wrote on: it waits for no answers
_IN_VAIN = frozenset({"EAGAIN", "ETIMEDOUT", "EINTR"})
_Owing = tuple[Socket, int]  # the call that asked on it last


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
    if scene.requests is None:
        scene.requests = _Asking(scene).found
    found = scene.requests.get(call.call)
    if found is None or not found[0].is_stream or found[0].is_local:
        return None
    socket, asked = found
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


class _Asking:
    """One pass over all calls: what those in vain can have been for."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._threads: dict[Thread, dict[int, _Owing]] = defaultdict(dict)  # by id of the socket
        self._read_ns: dict[int, int] = {}  # by id of the socket, when its last read ended
        self._waits: dict[int, list[int]] = defaultdict(list)  # the same, in vain since it asked
        self._went_on: dict[int, int] = defaultdict(int)  # the same, how often it asked again
        self.found: dict[int, _Owing] = {}  # by wait or read in vain
        for call in scene.calls:
            self._take(call)

    def _take(self, call: Call) -> None:
        owing = self._threads[call.host, call.pid, call.tid]
        socket = self._scene.socket_of(call)
        if is_vain(call):
            self._wait(call, self._only(owing))
        elif call.call in self._scene.sockets.reported:
            self._open(owing, call)
        elif socket is not None and is_inbound(call):
            if call.errno not in _IN_VAIN:
                self._read(call, id(socket))
            elif id(socket) in owing and not self._is_read(owing[id(socket)]):
                self._wait(call, owing[id(socket)])
        elif socket is not None and is_outbound(call):
            if (call.result or 0) > 0 and _may_be_answered(self._scene, socket):
                self._write(owing, call, socket)
        elif socket is not None and call.op == "connect" and call.errno in CONNECT_GOES_ON:
            owing[id(socket)] = socket, call.call
        elif socket is not None and is_closing(call):
            owing.pop(id(socket), None)

    def _wait(self, call: Call, one: _Owing | None) -> None:
        if one is not None:
            self.found[call.call] = one
            self._waits[id(one[0])].append(call.call)

    def _read(self, call: Call, number: int) -> None:
        ended_ns = self._scene.end_ns if call.returned_ns is None else call.returned_ns
        self._read_ns[number] = max(ended_ns, self._read_ns.get(number, 0))
        self._waits.pop(number, None)

    def _write(self, owing: dict[int, _Owing], call: Call, socket: Socket) -> None:
        """Who writes more without an answer had not waited for one."""
        number = id(socket)
        before = self._waits.pop(number, [])
        for wait in before:
            if self._scene.call(self.found[wait][1]).op != "connect":
                del self.found[wait]
                self._went_on[number] += 1
        if self._went_on[number] < _ONE_WAY:
            owing[number] = socket, call.call
        else:
            owing.pop(number, None)

    def _only(self, owing: dict[int, _Owing]) -> _Owing | None:
        """The one answer that is owed; None: there are none, or several."""
        for number in list(islice(owing, _LOOKED_AT)):
            if self._is_read(owing[number]):
                del owing[number]
        return next(iter(owing.values())) if len(owing) == 1 else None

    def _is_read(self, one: _Owing) -> bool:
        """Whether a read has ended since it was asked, or another thread is inside one."""
        socket, asked = one
        return self._read_ns.get(id(socket), 0) > self._scene.call(asked).entered_ns

    def _open(self, owing: dict[int, _Owing], call: Call) -> None:
        """Connections that a wait reported owe nothing more, but to what was written since."""
        for _, socket in self._scene.sockets.reported[call.call]:
            before = owing.get(id(socket))
            if before is not None and self._scene.call(before[1]).op == "connect":
                del owing[id(socket)]


def _may_be_answered(scene: Scene, socket: Socket) -> bool:
    """Not what a server writes, which is an answer, nor what goes one way only."""
    if socket.family in OBJECT_PROTOCOLS or socket.family == "eventfd":
        return False
    home = scene.home(socket)
    return home is None or home[1] is Side.CLIENT or scene.call(socket.calls[0])._roleless
