"""A wait for several that never returned -> the sockets that it may have waited for, and for what.

Of an epoll whose making the recording has, every socket in its set is known. The rest of what may
be in it (an event counter, a pipe, a timer, another epoll) has no calls, so where no socket is, it
waited for one of those, or for its time. Of a select or poll that never returned, and of an epoll
made before, it is only known which sockets its process held: what none of them had is told all the
same, and where something had come to one of them long before the end, it did not watch that one.
A wait with a time-out waits for its descriptors as well as one without: its time was not up.
Whether it had one is not known where strace is the witness of an epoll_wait (it prints that when it
returns), and which descriptors it had is not known of the others: nothing here is observed.
Read first: man 7 epoll, man 2 poll.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from enum import Enum, auto

from netlab.correlate.arrivals import arrival_ns, came
from netlab.correlate.sockets import Socket
from netlab.explain.causes import Cause, Certainty
from netlab.explain.endings import ended_ns
from netlab.explain.parts import Line
from netlab.explain.scene import Scene
from netlab.explain.sending import lacked_room
from netlab.explain.timed_out import LOOKED_AT, ONE
from netlab.model.call import CONNECT_GOES_ON, POLLIN, POLLOUT, POLLPRI, POLLRDHUP, is_outbound
from netlab.model.records import dataclass
from netlab.model.tables import Call, Direction

_TIMEOUT = re.compile(r"timeout=(\d+(?:\.\d+)?)")  # of select in s, of the others in ms
_NOTHING = re.compile(r"\bnfds=0\b|\breaders=0, writers=0, exceptional=0\b")
_SELECTED = re.compile(r"\breaders=(\d+), writers=(\d+), exceptional=(\d+)")
_INCOMING = POLLIN | POLLPRI | POLLRDHUP


class Goal(Enum):
    """What a wait may want of a socket."""

    CLIENT = auto()  # of a listener
    OPENING = auto()  # that the connect is over which it had begun
    ROOM = auto()  # its last send had found too little
    DATA = auto()
    NONE = auto()  # nothing can come to it


@dataclass(frozen=True, slots=True)
class Awaited:
    """A socket that a wait may have been for."""

    socket: Socket
    goal: Goal
    sure: bool  # it is known to be in the set
    reads: bool  # and that anything which comes to it would end the wait
    own: bool  # its other end is the same process's: what wakes an event loop from within


def awaited_by(scene: Scene, call: Call, line: Line) -> list[Awaited]:
    """Each socket that a wait may have been for in the time of a line."""
    if _NOTHING.search(call.args):
        return []
    known = scene.watching.of(call, line.at_ns, line.stop_ns)
    found: dict[int, tuple[Socket, int]] = {}
    for socket, events in known or ():
        _, before = found.get(id(socket), (socket, events))
        found[id(socket)] = socket, events | before if events and before else 0
    if known is None:
        events = _selected(call)
        own = _of_its_thread(scene, call, line.stop_ns)
        held = [own] if own is not None else _held_by(scene, call, line.stop_ns)
        found = {id(one): (one, events) for one in held}
    return [
        Awaited(
            socket, _goal(scene, call, line, socket, events), known is not None,
            known is not None and bool(events & _INCOMING), _is_own(scene, socket, call),
        )
        for socket, events in found.values()
    ]  # fmt: skip


def looks_once(call: Call) -> bool:
    """Whether a wait had no time to wait: it looked once, and waited for nothing."""
    asked = _TIMEOUT.search(call.args)
    return asked is not None and not float(asked[1])


def tell_without_sockets(line: Line, scene: Scene, call: Call, *, own: bool) -> None:
    """All of the line, where there was no socket, or but those of its own process (`own`)."""
    if _TIMEOUT.search(call.args):
        line.until(line.stop_ns, Cause.TIMER, Certainty.INFERRED, (), (),
                   "because its time was not up yet")  # fmt: skip
    elif _NOTHING.search(call.args):
        _for_a_signal(line, scene, call)
    elif scene.watching.of(call, line.at_ns, line.stop_ns) is not None:
        had = "but those that wake it from within were" if own else "of the recording was"
        line.until(
            line.stop_ns, Cause.OTHER_EVENT, Certainty.INFERRED, (), (),
            f"because nothing woke it: no socket {had} in its set, so it waited for something"
            " else (an event counter, a pipe, a timer)",
        )  # fmt: skip


def _for_a_signal(line: Line, scene: Scene, call: Call) -> None:
    """It was given no descriptor and no time: only a signal could end it (man 2 poll)."""
    left = scene.exits.get((call.host, call.pid))
    killed = left is not None and left.args.startswith("SIG")
    said = f": {left.args} ended its process" if left is not None and killed else ""
    line.until(
        line.stop_ns, Cause.SIGNAL, Certainty.OBSERVED if killed else Certainty.INFERRED, (),
        (left.call,) if left is not None and killed else (),
        f"because it was given nothing to wait for, so only a signal could end it{said}",
    )  # fmt: skip


# --- what for


def _goal(scene: Scene, call: Call, line: Line, socket: Socket, events: int) -> Goal:
    """What the wait wants of a socket, of which it asked for these events; 0: it is not known."""
    if socket.listens:
        return Goal.CLIENT
    outgoing = not events or bool(events & POLLOUT)
    incoming = not events or bool(events & _INCOMING)
    if socket.is_stream and not socket.is_local:
        opened = socket.connects or socket.accepted_by is not None or not socket.made
        if socket.failed or not opened:
            return Goal.NONE
        if outgoing and _goes_on(scene, socket, call, line):
            return Goal.OPENING
    if outgoing and _wants_room(scene, socket, call, line):
        return Goal.ROOM
    return Goal.DATA if incoming else Goal.NONE


def _goes_on(scene: Scene, socket: Socket, call: Call, line: Line) -> bool:
    """Whether a connect had been begun, and had no answer as the wait began."""
    begun = [number for number in socket.connects if number < call.call]
    if not begun or scene.call(begun[-1]).errno not in CONNECT_GOES_ON:
        return False
    home = scene.home(socket)
    path = scene.path(home[0]) if home is not None else None
    if path is None:
        return True
    back = path.track.halves[Direction.S2C]
    return not any(arrival_ns(p) <= line.at_ns for p in came((*back.syns, *back.resets)))


def _wants_room(scene: Scene, socket: Socket, call: Call, line: Line) -> bool:
    """Whether the last send before the wait found too little room, and there was none since."""
    for place in range(bisect_left(socket.calls, call.call) - 1, -1, -1):
        last = scene.call(socket.calls[place])
        if is_outbound(last):
            short = lacked_room(last)
            break
    else:
        return False
    home = scene.home(socket)
    path = scene.path(home[0]) if home is not None else None
    if not short or path is None or home is None:
        return short
    sender = path.senders[home[1].outbound]
    return sender.una(line.at_ns) < sender.written(line.at_ns)


def _is_own(scene: Scene, socket: Socket, call: Call) -> bool:
    """Whether both ends of a pair or pipe are in the hands of the same process alone."""
    if not socket.is_local or not socket.calls:
        return False
    other = scene.other_end(socket)
    ends = [socket] if other is None else [socket, other]
    made = scene.call(min(one.calls[0] for one in ends if one.calls))
    heirs = {
        item.pid for item in scene.raw.inheritances
        if item.parent_pid == call.pid and socket.inode in item.inodes
    }  # fmt: skip
    left = {scene.call(number).pid for one in ends for number in one.closes}
    users = {scene.call(n).pid for one in ends for n in one.calls if n not in one.closes}
    return made.op in _PAIRING and (heirs - left) | users == {call.pid}


_PAIRING = frozenset({"socketpair", "pipe"})


# --- a set of which nothing is known


def _selected(call: Call) -> int:
    """Which events a select can have asked for, of whichever socket; 0: that is not known."""
    asked = _SELECTED.search(call.args)
    if asked is None:
        return 0
    readers, writers, exceptional = (int(number) for number in asked.groups())
    return (
        (POLLIN if readers else 0) | (POLLOUT if writers else 0)
        | (POLLPRI if exceptional and not writers else 0)
    )  # fmt: skip


def _held_by(scene: Scene, call: Call, until_ns: int) -> Iterator[Socket]:
    """The sockets that the process of a call used, and had not closed by then."""
    for first, socket in scene.held_by(call.host, call.pid):
        if first < call.call and not _closed_by(scene, socket, call, until_ns):
            yield socket


def _of_its_thread(scene: Scene, call: Call, until_ns: int) -> Socket | None:
    """The one socket that the thread of a poll for one used before, and that is not closed."""
    if call.op not in _POLLS or not ONE.search(call.args):
        return None
    thread = scene.threads[call.host, call.pid, call.tid]
    place = bisect_left(thread, call.call, key=lambda one: one.call)
    before = map(scene.socket_of, thread[max(place - LOOKED_AT, 0) : place])
    used = {id(socket): socket for socket in before if socket is not None}
    own = next(iter(used.values())) if len(used) == 1 else None
    if own is None or own.listens or _closed_by(scene, own, call, until_ns):
        return None
    return own


_POLLS = frozenset({"poll", "ppoll"})


def _closed_by(scene: Scene, socket: Socket, call: Call, time_ns: int) -> bool:
    """Whether nobody held a socket any more by then: the end of its own process is the end."""
    if socket.last_close is None:
        return False
    close = scene.call(socket.last_close)
    own = close.op == "exit" and (close.host, close.pid) == (call.host, call.pid)
    return not own and ended_ns(close, scene.departures_ns(close)) < time_ns
