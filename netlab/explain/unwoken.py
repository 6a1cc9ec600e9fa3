"""A wait for several that never returned -> what had not come on any of what it watches.

Of an epoll whose making the recording has, every socket in its set is known. The rest of what may
be in it (an event counter, a pipe, a timer, another epoll) has no calls, so where no socket is, it
waited for one of those. Of a select or poll that never returned, and of an epoll made before, it is
only known which sockets its process held. Whether it had a time-out is not known either where
strace is the witness (it prints that of an epoll_wait when it returns): nothing here is observed.
Read first: man 7 epoll, man 2 poll.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from netlab.correlate.arrivals import arrival_ns, reached
from netlab.correlate.sockets import Socket
from netlab.explain.causes import Cause, Certainty
from netlab.explain.edges import tell_left_unread
from netlab.explain.parts import Line
from netlab.explain.path import Path
from netlab.explain.scene import Scene
from netlab.model.call import POLLIN, POLLPRI, POLLRDHUP, is_outbound
from netlab.model.tables import Call, Direction, Side

_TIMEOUT = re.compile(r"timeout=(\d+(?:\.\d+)?)")
_NOTHING = re.compile(r"\bnfds=0\b|\breaders=0, writers=0, exceptional=0\b")
_INCOMING = POLLIN | POLLPRI | POLLRDHUP


def tell_unwoken(line: Line, scene: Scene, call: Call) -> None:
    """None of its descriptors was ready up to the end of the line."""
    if tell_left_unread(line, scene, call, line.stop_ns):
        return
    if _TIMEOUT.search(call.args):
        line.until(line.stop_ns, Cause.TIMER, Certainty.INFERRED, (), (),
                   "because its time was not up yet")  # fmt: skip
    elif _NOTHING.search(call.args):
        _for_a_signal(line, scene, call)
    elif (watched := scene.watching.of(call, line.at_ns, line.stop_ns)) is not None:
        _for_all_of(line, scene, watched)
    else:
        _for_some_of(line, scene, list(_held_by(scene, call, line.stop_ns)))


def no_client_came(line: Line, scene: Scene, listeners: list[Socket]) -> bool:
    """Whether no client's first segment reached one of these in the time of a line."""
    ends = [one.local_endpoint for one in listeners]
    ports = {end[1] for end in ends if end is not None}
    for row in scene.tables.connections:
        path = scene.path(row.connection) if row.server_port in ports else None
        syns = path.track.halves[Direction.C2S].syns if path is not None else ()
        if any(reached(p) and line.at_ns <= arrival_ns(p) <= line.stop_ns for p in syns):
            return False
    return True


def tell_no_client(line: Line, certainty: Certainty) -> None:
    """All of the line: nobody came."""
    line.until(
        line.stop_ns, Cause.NO_CLIENT, certainty, (), (), "because no client had come by then"
    )


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


# --- a set of which all sockets are known


def _for_all_of(line: Line, scene: Scene, watched: list[tuple[Socket, int]]) -> None:
    sockets = list({id(socket): socket for socket, _ in watched}.values())
    if not sockets:
        line.until(
            line.stop_ns, Cause.OTHER_EVENT, Certainty.INFERRED, (), (),
            "because nothing woke it: no socket of the recording was in its set, so it waited for"
            " something else (an event counter, a pipe, a timer)",
        )  # fmt: skip
        return
    if any(events and not events & _INCOMING for _, events in watched):
        return  # for room: why there was none is not told here
    listeners = [one for one in sockets if one.listens]
    others = [one for one in sockets if not one.listens]
    if not no_client_came(line, scene, listeners):
        return
    if not all(_nothing_came(line, scene, one) for one in others):
        return
    if others:
        named = "its connection" if len(others) == 1 else f"any of its {len(others)} connections"
        line.until(line.stop_ns, Cause.PEER_APP, Certainty.INFERRED, (), (),
                   f"because nothing had come on {named} by then")  # fmt: skip
    else:
        tell_no_client(line, Certainty.INFERRED)


def _nothing_came(line: Line, scene: Scene, socket: Socket) -> bool:
    """Whether it is known that nothing came to a socket in the time of a line."""
    home = scene.home(socket)
    if home is None:
        return False
    if socket.is_local:
        other = scene.ends.get((home[0], home[1].inbound.sender))
        return other is not None and not any(
            (is_outbound(one) and one.errno is None) or one.call in other.closes
            for one in map(scene.call, {*other.calls, *other.closes})
            if line.at_ns <= one.entered_ns <= line.stop_ns
        )
    if socket.is_stream:
        path = scene.path(home[0])
        return path is not None and not _came(path, home[1], line)
    return no_datagram_left_for(line, scene, socket)


def no_datagram_left_for(line: Line, scene: Scene, socket: Socket) -> bool:
    """Whether no datagram for the port of a socket was sent in the time of a line."""
    local = socket.local_endpoint
    return local is not None and not any(
        packet.dport == local[1] and line.at_ns <= packet.time_ns <= line.stop_ns
        for packet in scene.tables.packets
    )


# --- a set of which nothing is known


def _for_some_of(line: Line, scene: Scene, held: list[Socket]) -> None:
    """Of several that its process holds, none had anything: whichever it waited for."""
    streams = [one for one in held if not one.listens and not one.is_local and one.is_stream]
    for home in map(scene.home, streams):
        path = scene.path(home[0]) if home is not None else None
        if path is None or home is None or _came(path, home[1], line):
            return
    if streams:
        named = "its connection" if len(streams) == 1 else f"its {len(streams)} connections"
        line.until(line.stop_ns, Cause.PEER_APP, Certainty.INFERRED, (), (),
                   f"because nothing had come on {named} by then")  # fmt: skip
        return
    listeners = [one for one in held if one.listens]
    if listeners and no_client_came(line, scene, listeners):
        tell_no_client(line, Certainty.INFERRED)


def _held_by(scene: Scene, call: Call, until_ns: int) -> Iterator[Socket]:
    """The sockets that the process of a call used, and had not closed by then."""
    for socket in scene.sockets.all:
        if socket.host != call.host or _closed_by(scene, socket, until_ns):
            continue
        numbers = [*socket.calls, *([socket.accepted_by] if socket.accepted_by else [])]
        if any(scene.call(n).pid == call.pid and n < call.call for n in numbers):
            yield socket


def _closed_by(scene: Scene, socket: Socket, time_ns: int) -> bool:
    """Whether nobody held a socket any more by then."""
    return socket.last_close is not None and scene.call(socket.last_close).entered_ns < time_ns


def _came(path: Path, side: Side, line: Line) -> bool:
    """Whether bytes, an end or a reset came to this side in the time of a line."""
    half = path.track.halves[side.inbound]
    packets = [row.packet for row in path.senders[side.inbound].departed]
    return any(
        reached(p) and line.at_ns <= arrival_ns(p) <= line.stop_ns
        for p in (*packets, *half.fins, *half.resets)
    )  # fmt: skip
