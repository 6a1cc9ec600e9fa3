"""A call that never returned -> what it still waited for when its process or the recording ended.

Each story ends there, so nothing ended the wait: it says what had not come by then. Where it had
come, and the call was inside all the same, nobody knows why.

A wait for several is told as a recv, send, accept or connect would be that was made on the one
socket which it was for. Of several it is the one to which something was owed, bytes or room; where
that was none, none had said anything; where those were several of which each had another reason,
it is not known.
Read first: `stories` (the same of calls that returned), `unwoken` (which sockets those are),
reference on calls still inside.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace
from enum import Enum, auto

from netlab.correlate.arrivals import arrival_ns, came, reached, sent
from netlab.correlate.sockets import Socket
from netlab.correlate.streams import fin_ready
from netlab.explain.arriving import tell_byte, tell_end, tell_unarrived
from netlab.explain.causes import Cause, Certainty
from netlab.explain.edges import tell_left_unread
from netlab.explain.endings import ended_ns
from netlab.explain.local_queue import tell_no_local_accept
from netlab.explain.local_room import tell_no_local_room
from netlab.explain.low_water import wanted_by
from netlab.explain.nobody_came import (
    client_ns,
    message_times,
    no_client_came,
    no_datagram_left_for,
    tell_no_client,
    tell_no_message,
    tell_under_way,
)
from netlab.explain.opening import icmp_error, tell_connect, tell_unanswered
from netlab.explain.parts import Line, Part
from netlab.explain.path import Path
from netlab.explain.peer import tell_silent
from netlab.explain.queues import is_never_taken, tell_kept_out
from netlab.explain.scene import Scene
from netlab.explain.sending import tell_room
from netlab.explain.stopped import tell_stop
from netlab.explain.unwoken import (
    Awaited,
    Goal,
    awaited_by,
    looks_once,
    tell_without_sockets,
)
from netlab.explain.wording import name_of
from netlab.model.call import ACCEPTING, EPOLL_WAITING, STOP, WAITING, is_inbound, is_outbound
from netlab.model.tables import Call, Direction, Packet, Side

_PROMPT_NS = 2_000_000  # a wait that something ends returns by then, on a busy machine


def end_of(scene: Scene, call: Call) -> tuple[int, str]:
    """(until when the call was inside, whose end that was).

    Of a process that was killed only its parent knows the end, a moment later: that is the bound.
    What its kernel sent as it closed its sockets is a better one: what came afterwards may be the
    answer to that.
    """
    left = scene.exits.get((call.host, call.pid))
    if left is None:
        return max(scene.end_ns, call.entered_ns), "the recording"
    return max(ended_ns(left, scene.departures_ns(left)), call.entered_ns), "its process"


def parts_until_the_end(scene: Scene, call: Call) -> list[Part]:
    """The parts of a call that never returned: disjoint, in order, up to the end."""
    line = Line(call.entered_ns, end_of(scene, call)[0])
    if not line.done:
        _story(call)(line, scene, call)
        line.unknown(line.stop_ns, "for a reason that the recording does not show")
    return line.finish()


def _story(call: Call) -> Callable[[Line, Scene, Call], object]:
    if call.op in WAITING:
        return _wait
    if call.op in ACCEPTING:
        return _accept
    if call.op == "connect":
        return _connect
    if call.op == STOP:
        return tell_stop
    if is_outbound(call):
        return _send
    return _recv if is_inbound(call) else _other


def _other(line: Line, scene: Scene, call: Call) -> None:
    """What a call like this waits for is not known."""


# --- reading


def _recv(line: Line, scene: Scene, call: Call) -> None:
    socket = scene.socket_of(call)
    path = scene.path(call.connection)
    if socket is not None and (socket.is_local or not socket.is_stream):
        tell_no_message(line, scene, socket)
        return
    if path is None or call.side is None:
        return
    side = Side(call.side)
    sender = path.senders[side.inbound]
    wanted = wanted_by(scene, path, call, _next_byte(path, side))
    told = Line(line.at_ns, line.stop_ns)
    ready = sender.stream.ready.overlaps(wanted.byte, wanted.byte + 1)
    frame = ready[0][2] if ready else None
    if frame is not None and arrival_ns(scene.packets[frame]) <= line.stop_ns:
        tell_byte(told, path, side.inbound, wanted.byte)
    elif not tell_not_come(told, path, side, wanted.byte):
        _tell_end_sent(told, path, side)
    wanted.include(line, told)


def tell_not_come(line: Line, path: Path, side: Side, byte: int) -> bool:
    """Why a byte had not come by the end of the line; False where the end was sent instead."""
    if _was_written(path, side, byte, line.stop_ns):
        _tell_written(line, path, side, byte)
    elif _ended(path, side.inbound, line.stop_ns):
        return False
    else:
        _nothing_sent(line, path, side)
    return True


def _tell_written(line: Line, path: Path, side: Side, byte: int) -> None:
    """Why a byte had not come that had been written: it came later, or never."""
    ready = path.senders[side.inbound].stream.ready.overlaps(byte, byte + 1)
    if ready and ready[0][2] is not None:
        tell_byte(line, path, side.inbound, byte)
    else:
        tell_unarrived(line, path, side.inbound, byte)


def _tell_end_sent(line: Line, path: Path, side: Side) -> bool:
    """Until the end of the stream came that had been sent; False where it never did.

    That a call did not see an end which had come has a reason of its own.
    """
    fin = fin_ready(path.senders[side.inbound].stream, path.scene.packets)
    if fin is None or came(path.track.halves[side.inbound].resets):
        return False
    tell_end(line, path, side.inbound)
    return True


def _was_written(path: Path, side: Side, byte: int, until_ns: int) -> bool:
    """Whether the peer's program had written the byte by then, or a frame with it had left."""
    writer = path.scene.writer(path.connection, side.inbound, byte)
    if writer is not None:
        return writer.entered_ns <= until_ns
    carried = path.senders[side.inbound].stream.carried.overlaps(byte, byte + 1)
    return bool(carried) and path.scene.packets[carried[0][2]].time_ns <= until_ns


def _ended(path: Path, direction: Direction, until_ns: int) -> bool:
    """Whether a FIN of this direction had left by then, or a reset had come."""
    half = path.track.halves[direction]
    reset = any(reached(packet) and arrival_ns(packet) <= until_ns for packet in half.resets)
    return reset or any(packet.time_ns <= until_ns for packet in half.fins)


def _nothing_sent(line: Line, path: Path, side: Side) -> None:
    """The peer's program had sent nothing more: what it did instead, as far as that is known."""
    other = side.inbound.sender
    scene = path.scene
    if side is Side.CLIENT and is_never_taken(path):
        tell_kept_out(line, path, line.stop_ns)
    last = next(
        (call for call in reversed(scene.of_connection(path.connection))
         if call.side == other and call.entered_ns < line.stop_ns), None,
    )  # fmt: skip
    if last is None:
        line.until(
            line.stop_ns, Cause.PEER_APP, Certainty.INFERRED, (), (),
            f"because the {other} had sent nothing more by then",
        )  # fmt: skip
        return
    said = f"because the {other}'s program had sent nothing more by then"
    inside = last.returned_ns is None or last.returned_ns > line.stop_ns
    if inside and last.op != "exit":
        said += f": it was inside {name_of(last)} itself"
    tell_silent(line, scene, last, said)


# --- writing, beginnings


def _send(line: Line, scene: Scene, call: Call) -> None:
    socket = scene.socket_of(call)
    if socket is not None and socket.is_local:
        tell_no_local_room(line, scene, call)
        return
    path = scene.path(call.connection)
    if path is not None and call.side is not None:
        tell_room(line, path, call, until_ns=line.stop_ns)


def _connect(line: Line, scene: Scene, call: Call) -> None:
    socket = scene.socket_of(call)
    if socket is not None and socket.is_local:
        tell_no_local_accept(line, scene, call)
        return
    path = scene.path(call.connection)
    if path is not None and sent(path.track.halves[Direction.C2S].syns):
        tell_connect(line, path, call)
    elif call.connection is None and (attempt := _attempt(line, scene, call)) is not None:
        told = Line(line.at_ns, line.stop_ns)
        tell_connect(told, attempt, call)
        _include_less_sure(line, told)


def _attempt(line: Line, scene: Scene, call: Call) -> Path | None:
    """The one connection to the address of a connect that began inside it, and is nobody's else.

    The probe asks for the name of a socket when connect returns: until then its port is not known.
    """
    socket = scene.socket_of(call)
    to = socket.peer_endpoint if socket is not None else None
    found = [
        path for row in scene.tables.connections
        if to is not None and (row.server, row.server_port) == to
        and (row.connection, Side.CLIENT) not in scene.ends
        and row.first_ns is not None and line.at_ns <= row.first_ns <= line.stop_ns
        and (path := scene.path(row.connection)) is not None
        and sent(path.track.halves[Direction.C2S].syns)
    ]  # fmt: skip
    return found[0] if len(found) == 1 else None


def _accept(line: Line, scene: Scene, call: Call) -> None:
    socket = scene.socket_of(call)
    if socket is not None and socket.listens:
        known = socket.local_endpoint is not None
        if no_client_came(line, scene, socket):
            tell_no_client(line, Certainty.OBSERVED if known else Certainty.INFERRED)


# --- waits for several


class _Found(Enum):
    """What there was for a wait on one socket."""

    NOTHING = auto()  # nobody had said anything
    OWED = auto()  # bytes, room or an answer that had not come
    UNCLEAR = auto()


def _wait(line: Line, scene: Scene, call: Call) -> None:
    """None of its descriptors was ready up to the end of the line, or to what should have woken it.

    A select or poll did not watch for what came long before the end. An epoll may have told
    somebody else of that.
    """
    if looks_once(call) or tell_left_unread(line, scene, call, line.stop_ns):
        return
    every = awaited_by(scene, call, line)
    others = [one for one in every if not one.own]
    if not others:
        tell_without_sockets(line, scene, call, own=bool(every))
        return
    passed_ns = line.at_ns if call.op in EPOLL_WAITING else line.stop_ns - _PROMPT_NS
    came_ns = [_came_ns(line, scene, one) for one in others]
    awaited = [
        one for one, ns in zip(others, came_ns, strict=True)
        if one.goal is not Goal.NONE and (ns is None or ns >= passed_ns)
    ]  # fmt: skip
    woken = [(ns, place) for place, ns in enumerate(came_ns) if ns is not None and ns >= passed_ns]
    first_ns, place = min(woken, default=(line.stop_ns + 1, 0))
    if woken and others[place].sure:  # that is what it would have told of
        awaited = [others[place]]
    told = Line(line.at_ns, first_ns - 1)
    _tell_awaited(told, scene, call, awaited)
    _include_less_sure(line, told)


def _tell_awaited(line: Line, scene: Scene, call: Call, awaited: list[Awaited]) -> None:
    owed: list[Line] = []
    silent: list[Awaited] = []
    for one in awaited:
        own = Line(line.at_ns, line.stop_ns)
        what = _one(own, scene, call, one)
        if what is _Found.UNCLEAR:
            return
        if what is _Found.OWED:
            owed.append(own)
        else:
            silent.append(one)
    peers = [one for one in silent if one.goal is not Goal.CLIENT]
    if owed:
        if len(owed) == 1 or len({part.cause for own in owed for part in own.parts}) == 1:
            line.include(owed[0].parts, owed[0].at_ns)
    elif len(peers) == 1:
        _silent(line, scene, peers[0].socket)
    elif peers:
        named = f"any of its {len(peers)} connections"
        line.until(line.stop_ns, Cause.PEER_APP, Certainty.INFERRED, (), (),
                   f"because nothing had come on {named} by then")  # fmt: skip
    elif silent:
        tell_no_client(line, Certainty.INFERRED)


def _include_less_sure(line: Line, told: Line) -> None:
    """What was told of a socket of which it is not certain that it was the one."""
    observed = Certainty.OBSERVED
    parts = [
        replace(part, certainty=Certainty.INFERRED) if part.certainty is observed else part
        for part in told.parts
    ]
    line.include(parts, told.at_ns)


def _one(line: Line, scene: Scene, call: Call, one: Awaited) -> _Found:
    """What there was on one socket to which nothing came, and why what was owed did not."""
    socket, home = one.socket, scene.home(one.socket)
    if one.goal is Goal.CLIENT:  # those of a Unix socket have no frames
        return _Found.UNCLEAR if socket.is_local else _Found.NOTHING
    if socket.is_local or not socket.is_stream:
        return _one_message(line, scene, one)
    path = scene.path(home[0]) if home is not None else None
    if path is None or home is None:
        return _Found.UNCLEAR
    side = home[1]
    if one.goal is Goal.OPENING:
        syns = [p for p in sent(path.track.halves[Direction.C2S].syns) if p.time_ns <= line.stop_ns]
        if syns:
            tell_unanswered(line, path, syns)
        return _Found.OWED if line.parts else _Found.UNCLEAR
    if one.goal is Goal.ROOM:
        tell_room(line, path, call, side, line.stop_ns)
        return _Found.OWED if line.parts else _Found.UNCLEAR
    byte = _next_byte(path, side)
    if _was_written(path, side, byte, line.stop_ns):
        _tell_written(line, path, side, byte)
        return _Found.OWED
    if not _ended(path, side.inbound, line.stop_ns):
        return _Found.NOTHING
    return _Found.OWED if _tell_end_sent(line, path, side) else _Found.UNCLEAR


def _one_message(line: Line, scene: Scene, one: Awaited) -> _Found:
    socket = one.socket
    if one.goal is Goal.ROOM:
        return _Found.UNCLEAR  # whoever shares its queue, or its device's, may have filled that
    if socket.is_local:
        return _Found.UNCLEAR if scene.other_end(socket) is None else _Found.NOTHING
    if no_datagram_left_for(line, scene, socket):
        return _Found.NOTHING
    tell_under_way(line, scene, socket)
    return _Found.OWED if line.parts else _Found.UNCLEAR


# --- what came to one of them by the end


def _came_ns(line: Line, scene: Scene, one: Awaited) -> int | None:
    """When the first came of what the wait would have been told of."""
    if one.goal is Goal.CLIENT:
        return client_ns(line, scene, one.socket)
    if one.socket.is_local or not one.socket.is_stream:
        times = message_times(line, scene, one.socket)
        return min((ns for ns in times if line.at_ns <= ns <= line.stop_ns), default=None)
    home = scene.home(one.socket)
    path = scene.path(home[0]) if home is not None else None
    if path is None or home is None:
        return None
    half = path.track.halves[home[1].inbound]
    packets = [*half.resets]
    if one.goal is Goal.OPENING:
        error = icmp_error(path, line.stop_ns)
        packets += [*half.syns, *([error] if error is not None else [])]
    elif one.goal is Goal.DATA or one.reads:
        packets += [*half.fins, *_bytes_for(line, path, home[1])]
    times = [arrival_ns(packet) for packet in packets if reached(packet)]
    if one.goal is not Goal.DATA:  # what is older has been told of
        times = [ns for ns in times if ns >= line.at_ns]
    return min((ns for ns in times if ns <= line.stop_ns), default=None)


def _bytes_for(line: Line, path: Path, side: Side) -> list[Packet]:
    """The first frame with bytes since a wait began, and the one that lay there unread."""
    sender, byte = path.senders[side.inbound], _next_byte(path, side)
    ready = sender.stream.ready.overlaps(byte, byte + 1)
    frame = ready[0][2] if ready else None
    arrived = path.scene.arrived(path, side.inbound)
    place = bisect_left(arrived, line.at_ns, key=arrival_ns)
    new = arrived[place : place + 1]
    return new if frame is None else [path.scene.packets[frame], *new]


def _silent(line: Line, scene: Scene, socket: Socket) -> None:
    """The one socket to which nothing had been sent: all of the line."""
    home = scene.home(socket)
    path = scene.path(home[0]) if home is not None and not socket.is_local else None
    if path is not None and home is not None:
        _nothing_sent(line, path, home[1])
    else:
        tell_no_message(line, scene, socket)


def _next_byte(path: Path, side: Side) -> int:
    """Behind all that this side read."""
    return path.scene.read_to(path.connection, side)
