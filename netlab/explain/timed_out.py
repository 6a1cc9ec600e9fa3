"""A wait that its timer ended -> what had been sent to it by then and had not come, and why.

The timer ended the call, so that is its cause. Yet where bytes were on their way to it, or lost,
the wait was for those: whoever waits for its program meanwhile waits for them as well, and `peer`
asks here. So it is with a send, or a wait behind one that found too little room: the buffer was
full for a reason. Where nothing had been sent there is nothing to say: so a program looks round.

Of a select or poll only the number of its descriptors is known once it reports none: of one with a
single descriptor it is taken to be the socket of the calls before and behind it, if that is one and
the same. Of a poll with several, and of an epoll whose set is known, it is the one socket among
those that it may have watched to which something was owed. Where nothing was, a wait in vain is for
the one answer that its thread still waits for, if that is one: a client that has asked, and has not
read since, looks at its own wake-up descriptor as well. Of a program that sends again when its
time is up (UDP), a lost datagram is what it waited for, whichever way that went; where a rule of
the wire says that it did not fit, `datagram_too_big` is the cause, and else `timer`.
Read first: man 7 socket (SO_RCVTIMEO), man 2 poll; `arriving`.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import replace

from netlab.correlate.arrivals import arrival_ns
from netlab.correlate.datagrams import Datagram
from netlab.correlate.sockets import Socket
from netlab.explain.arriving import tell_byte, tell_unarrived
from netlab.explain.asked import HIGHEST, is_vain, unanswered_request
from netlab.explain.causes import Cause, Certainty
from netlab.explain.flight import tell_flight
from netlab.explain.low_water import unread
from netlab.explain.opening import unanswered
from netlab.explain.parts import Line, Part
from netlab.explain.path import Path
from netlab.explain.queues import complete, tell_standing
from netlab.explain.scene import Scene
from netlab.explain.sending import cut_short, lacked_room, stuck_since_ns, tell_room
from netlab.explain.too_big import mtu_rule
from netlab.explain.wording import lost_text, name_of
from netlab.model.call import CONNECT_GOES_ON, EPOLL_WAITING, POLLIN, WAITING, is_outbound
from netlab.model.records import dataclass
from netlab.model.tables import Call, Packet, Side

ONE = re.compile(r"\bnfds=1\b|\breaders=1, writers=0, exceptional=0\b")
_SEVERAL = re.compile(r"\bnfds=(?!0\b|1\b)\d")
_KEEPS_FULL = frozenset({
    Cause.PEER_WINDOW, Cause.WINDOW_PROBE, Cause.CWND, Cause.SEND_BUFFER, Cause.DELAYED_ACK,
    Cause.RTO, Cause.TAIL_LOSS_PROBE, Cause.FAST_RETRANSMIT, Cause.PATH_MTU, Cause.PACING,
})  # fmt: skip
LOOKED_AT = 32  # calls of a thread, or on its socket, before and behind a wait


@dataclass(frozen=True, slots=True)
class Owed:
    """What was sent to a wait that its timer ended, and had not come."""

    connection: int
    text: str  # behind `until its time was up`
    frames: tuple[int, ...]
    calls: tuple[int, ...]
    parts: tuple[Part, ...]  # what that was doing meanwhile


def owed_to(scene: Scene, call: Call) -> Owed | None:
    """What had not come to a read or a wait, or had no room, when its time was up."""
    if call.returned_ns is None:
        return None
    known = scene.socket_of(call)
    if known is not None:
        return _owed_on(scene, call, known, for_room=is_outbound(call))
    unopened = _unopened(scene, call)
    if unopened is not None:
        return unopened
    socket, for_room = _polled(scene, call)
    if socket is not None:
        owed = _owed_on(scene, call, socket, for_room=for_room)
    else:
        several = (_owed_on(scene, call, one, for_room=False) for one in _among(scene, call))
        found = [one for one in several if one is not None]
        owed = found[0] if len(found) == 1 else None
    return owed if owed is None else _less_sure(owed)


def _owed_on(scene: Scene, call: Call, socket: Socket, *, for_room: bool) -> Owed | None:
    home = scene.home(socket) if not socket.listens else None
    if home is None or socket.is_local:
        return None
    if not socket.is_stream:
        return _datagrams(scene, call, socket, *home) if not for_room else None
    path = scene.path(home[0])
    if path is None or not (path.exact or (for_room and is_outbound(call))):
        return None
    if for_room:
        return _room(scene, call, path, home[1])
    owed = _bytes(scene, call, path, home[1])
    return owed if owed is not None or home[1] is Side.SERVER else _accept(scene, call, path)


def _unopened(scene: Scene, call: Call) -> Owed | None:
    """A handshake that was not answered: the thread had begun to connect, and then it waited."""
    connect = _connecting(scene, call)
    path = scene.path(connect.connection) if connect is not None else None
    if path is None or connect is None or call.returned_ns is None:
        return None
    text, frames, cited = unanswered(path, call.returned_ns)
    if not text:
        return None
    return Owed(path.connection, text, frames, (connect.call, *cited), ())


# --- which socket a wait was for


def _connecting(scene: Scene, call: Call) -> Call | None:
    """The connect that went on as a thread began to wait: its last call on a socket began it."""
    if call.op not in WAITING or call.op in EPOLL_WAITING:
        return None
    thread = scene.threads[call.host, call.pid, call.tid]
    place = bisect_left(thread, call.call, key=lambda one: one.call)
    before = _nearest(scene, thread[max(place - LOOKED_AT, 0) : place][::-1])
    begun = [n for n in before[0].connects if n < call.call] if before is not None else []
    connect = scene.call(begun[-1]) if begun else None
    return connect if connect is not None and connect.errno in CONNECT_GOES_ON else None


def home_of_poll(scene: Scene, call: Call) -> tuple[int, Side] | None:
    """The connection, and the side of it, that a select or poll in vain was for; None: not known.

    That is the one of the calls around it, where it looked at a single descriptor, the one that its
    thread had begun to open, or else the one that owes its thread an answer.
    """
    if not is_vain(call):
        return None
    socket, _ = _polled(scene, call)
    if socket is None and _unopened(scene, call) is not None:
        connect = _connecting(scene, call)
        socket = scene.socket_of(connect) if connect is not None else None
    if socket is not None:
        return scene.home(socket) if not socket.listens else None
    return unanswered_request(scene, call) if _may_look_at_several(call) else None


def _may_look_at_several(call: Call) -> bool:
    if call.op in EPOLL_WAITING:
        return True
    if "select" in call.op:
        return not ONE.search(call.args)
    return bool(_SEVERAL.search(call.args))


def _polled(scene: Scene, call: Call) -> tuple[Socket | None, bool]:
    """(the one socket that a select or poll looked at, whether for room); None: it is not known."""
    unknown = None, False
    if call.op not in WAITING or call.op in EPOLL_WAITING:
        return unknown
    highest = HIGHEST.search(call.args) if "select" in call.op else None
    if highest is None and not ONE.search(call.args):
        return unknown
    thread = scene.threads[call.host, call.pid, call.tid]
    place = bisect_left(thread, call.call, key=lambda one: one.call)
    before = _nearest(scene, thread[max(place - LOOKED_AT, 0) : place][::-1])
    behind = _nearest(scene, thread[place + 1 : place + 1 + LOOKED_AT])
    if before is None or behind is None or before[0] is not behind[0]:
        return unknown
    socket, fd, last = before
    if highest is not None and fd is not None and fd + 1 != int(highest[1]):
        return unknown
    if last.op == "connect" and last.errno in CONNECT_GOES_ON:
        return unknown  # for the handshake
    return socket, is_outbound(last) and lacked_room(last)


def _among(scene: Scene, call: Call) -> list[Socket]:
    """The sockets that a wait for several may have watched: its epoll's, or those in use around it.

    None of a loop with many: which of them it waited for, nobody could say.
    """
    if call.op in EPOLL_WAITING:
        until_ns = call.returned_ns or call.entered_ns
        watched = scene.watching.of(call, call.entered_ns, until_ns) or []
        read = [one for one, events in watched if not events or events & POLLIN]
        return read if len(read) <= LOOKED_AT else []
    if "poll" not in call.op or not _SEVERAL.search(call.args):
        return []
    thread = scene.threads[call.host, call.pid, call.tid]
    place = bisect_left(thread, call.call, key=lambda one: one.call)
    before = thread[max(place - LOOKED_AT, 0) : place]
    behind = thread[place + 1 : place + 1 + LOOKED_AT]
    used = [{id(one): one for one in _sockets(scene, calls)} for calls in (before, behind)]
    return [socket for number, socket in used[0].items() if number in used[1]]


def _sockets(scene: Scene, calls: Iterable[Call]) -> Iterator[Socket]:
    """The sockets that these calls were made on, or told of."""
    for call in calls:
        socket = scene.socket_of(call)
        if socket is not None:
            yield socket
        yield from (one for _, one in scene.sockets.reported.get(call.call, ()))


def _nearest(scene: Scene, calls: Iterable[Call]) -> tuple[Socket, int | None, Call] | None:
    """(the socket of the first of these calls that has one, its descriptor, that call)."""
    for other in calls:
        socket = scene.socket_of(other)
        if socket is not None:
            return socket, scene.record(other.call).fd, other
        reported = scene.sockets.reported.get(other.call, [])
        if reported:
            item, found = reported[0]
            return (found, item.fd, other) if len(reported) == 1 else None
    return None


def _less_sure(owed: Owed) -> Owed:
    """The same of a wait whose socket the calls around it tell."""
    return replace(owed, parts=tuple(
        replace(part, certainty=Certainty.INFERRED)
        if part.certainty is Certainty.OBSERVED
        else part
        for part in owed.parts
    ))  # fmt: skip


# --- what had not come


def _bytes(scene: Scene, call: Call, path: Path, side: Side) -> Owed | None:
    """Bytes that the peer's program had written."""
    until_ns = call.returned_ns or call.entered_ns
    byte = unread(scene, path.connection, side, call.entered_ns, until_ns)
    writer = scene.writer(path.connection, side.inbound, byte) if byte is not None else None
    if byte is None or writer is None or writer.entered_ns >= until_ns:
        return None
    stream = path.senders[side.inbound].stream
    ready = stream.ready.overlaps(byte, byte + 1)
    line = Line(max(call.entered_ns, writer.entered_ns), until_ns)
    if ready and ready[0][2] is not None:
        if arrival_ns(scene.packets[ready[0][2]]) <= until_ns:
            return None  # it was there, so it was not that
        tell_byte(line, path, side.inbound, byte)
    else:
        tell_unarrived(line, path, side.inbound, byte)
    carried = stream.carried.overlaps(byte, byte + 1)
    first = scene.packets[carried[0][2]] if carried else None
    frames = (first.frame,) if first is not None and first.time_ns <= until_ns else ()
    text = f": what {name_of(writer)} wrote had not come by then"
    if first is not None and frames:
        text += f" ({_fate(first) or f'frame {first.frame}'})"
    return Owed(path.connection, text, frames, (writer.call,), tuple(line.parts))


def _accept(scene: Scene, call: Call, path: Path) -> Owed | None:
    """Somebody who takes the connection from the queue of its listener."""
    server = scene.ends.get((path.connection, Side.SERVER))
    if server is None or server.accepted_by is None or server.listener is None:
        return None
    accept = scene.call(server.accepted_by)
    queued = complete(path, server.listener)
    until_ns = call.returned_ns or call.entered_ns
    if queued is None or queued[0] >= until_ns or accept.entered_ns < until_ns:
        return None
    line = Line(max(call.entered_ns, queued[0]), until_ns)
    tell_standing(line, path, queued[1], accept)
    text = f": the connection stood in the accept queue, before {name_of(accept)} was called"
    stops = [part for part in line.parts if part.cause is Cause.SIGNAL]
    if stops:
        text += f", {stops[0].text}"
    calls = tuple(dict.fromkeys((accept.call, *(n for part in stops for n in part.calls))))
    return Owed(path.connection, text, (queued[1],), calls, tuple(line.parts))


def _room(scene: Scene, call: Call, path: Path, side: Side) -> Owed | None:
    """Room in the send buffer."""
    until_ns = call.returned_ns or call.entered_ns
    partial = is_outbound(call) and cut_short(call)
    line = Line(stuck_since_ns(path, call) if partial else call.entered_ns, until_ns)
    tell_room(line, path, call, side, until_ns)
    parts = tuple(part for part in line.parts if part.cause in _KEEPS_FULL)
    if not parts:
        return None
    longest = max(parts, key=lambda part: part.length_ns)
    return Owed(path.connection, f": {longest.text}", longest.frames, longest.calls, parts)


def _datagrams(
    scene: Scene, call: Call, socket: Socket, connection: int, side: Side
) -> Owed | None:
    """A datagram that this end had sent last, or one that was sent to it since."""
    until_ns = call.returned_ns or call.entered_ns
    place = bisect_left(socket.calls, call.call)
    mine = [scene.call(number) for number in socket.calls[max(place - LOOKED_AT, 0) : place]]
    if any(one.connection not in (None, connection) for one in mine):
        return None  # it has several peers
    asked = next((one for one in reversed(mine) if is_outbound(one) and one.errno is None), None)
    if asked is None or asked.returned_ns is None:
        return None
    sent = scene.datagrams(connection)
    low = bisect_left(sent, asked.entered_ns, key=lambda one: one.time_ns)
    high = bisect_left(sent, until_ns, key=lambda one: one.time_ns)
    every = [one for one in sent[low:high] if one.copy_of is None]
    question = next(
        (one for one in every if one.direction is side.outbound
         and scene.carriers.get(one.packets[0].frame) == asked.call), None,
    )  # fmt: skip
    answers = [one for one in every if one.direction is side.inbound]
    if any(not one.lost and one.arrived_ns <= until_ns for one in answers):
        return None  # one was there
    for one in [question, *answers]:
        lost = _lost(one) if one is not None else None
        if lost is not None:
            return _lost_one(call, connection, lost)
    held = next((one for one in [question, *answers] if one is not None and not one.lost
                 and one.arrived_ns > until_ns), None)  # fmt: skip
    if held is None:
        return None
    line = Line(max(call.entered_ns, held.time_ns), until_ns)
    packet = scene.packets[held.completed_by]
    tell_flight(line, packet, None)
    text = f": frame {packet.frame} was still on its way"
    return Owed(connection, text, (packet.frame,), (), tuple(line.parts))


def _lost(one: Datagram) -> Packet | None:
    """The frame of a datagram that did not come, if it is known what became of it."""
    return next((packet for packet in one.packets if _fate(packet)), None) if one.lost else None


def _lost_one(call: Call, connection: int, lost: Packet) -> Owed:
    """Nobody sends a datagram again but a program whose time is up."""
    line = Line(max(call.entered_ns, lost.time_ns), call.returned_ns or call.entered_ns)
    cause = Cause.TIMER if mtu_rule(lost) is None else Cause.DATAGRAM_TOO_BIG
    line.until(line.stop_ns, cause, Certainty.INFERRED, (lost.frame,), (),
               f"because {_fate(lost)}, until its time was up")  # fmt: skip
    return Owed(connection, f": {_fate(lost)}", (lost.frame,), (), tuple(line.parts))


def _fate(packet: Packet) -> str:
    """What kept a frame from coming; empty: nothing that the wire knows of."""
    rule = mtu_rule(packet)
    if rule is not None:
        return f"frame {packet.frame} did not pass the wire ({rule[1]})"
    return lost_text(packet)


def timer_is_set(scene: Scene, call: Call, name: str) -> bool:
    """Whether SO_RCVTIMEO or SO_SNDTIMEO was set last, to a time or to what is not shown."""
    if call.connection is None or call.side is None:
        return False
    option = scene.option_at(call.connection, Side(call.side), name, call.entered_ns)
    return option is not None and option.on and (not option.raw or any(option.raw))


def tell_timer(line: Line, scene: Scene, call: Call, certainty: Certainty) -> None:
    """Until its time was up, and what had not come by then."""
    owed = owed_to(scene, call)
    if owed is None:
        line.until(line.stop_ns, Cause.TIMER, certainty, (), (), "until its time was up")
        return
    scene.owed[call.call] = owed
    scene.owed_on[owed.connection].append(call.call)
    line.until(line.stop_ns, Cause.TIMER, certainty, owed.frames, owed.calls,
               f"until its time was up{owed.text}")  # fmt: skip
