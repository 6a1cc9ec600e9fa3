"""select, poll and epoll_wait -> the wait of the event that ended them.

The wakeup spans name the frame, or the call at the other end, that made a descriptor ready: the
wait is told as a recv, accept or send would have waited for it. So is a shutdown of its own side
(`own_end`). Without any of these it waited for a connect that failed (`attempt`), for what its
error queue told (`error_queue`), for a peer that its kernel gave up (`giving_up`), or for room:
after a short send, or once another thread had filled the socket (`room_anew`). Where it reported
several descriptors, and of one nothing is known, that one may have ended it: nothing is observed.
Read first: `correlate.wakeups`, man 2 poll, man 7 epoll.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from netlab.correlate.arrivals import arrival_ns
from netlab.correlate.flows import ACK, FIN, RST, SYN
from netlab.correlate.sockets import Socket
from netlab.explain.accepting import tell_accept, tell_before
from netlab.explain.arriving import tell_byte, tell_end, tell_reset
from netlab.explain.at_once import traced_ns
from netlab.explain.attempt import tell_attempt
from netlab.explain.causes import Cause, Certainty
from netlab.explain.datagram_room import tell_datagram_room
from netlab.explain.edges import tell_left_unread
from netlab.explain.error_queue import tell_told_acked
from netlab.explain.giving_up import tell_hopeless
from netlab.explain.local_room import tell_local_room
from netlab.explain.low_water import polled
from netlab.explain.opening import tell_handshake
from netlab.explain.own_end import ended_here, tell_shut
from netlab.explain.parts import Line
from netlab.explain.path import Path
from netlab.explain.room_anew import tell_room_anew, was_short, was_told
from netlab.explain.scene import Scene
from netlab.explain.sender import Sender
from netlab.explain.sending import reset_between, tell_room
from netlab.explain.timed_out import tell_timer
from netlab.explain.unframed import tell_unframed_poll
from netlab.explain.unstreamed import tell_error_of, tell_frame, tell_hang_up
from netlab.explain.unwoken import looks_once
from netlab.model.call import (
    POLLERR,
    POLLHUP,
    POLLOUT,
    POLLRDHUP,
    Ready,
)
from netlab.model.records import dataclass
from netlab.model.tables import Call, Direction, Packet, Role, Side

_PROMPT_NS = 2_000_000  # a wait for what is ready is no longer, on a busy machine


def tell_poll(line: Line, scene: Scene, call: Call) -> int | None:
    """Until a descriptor was ready; returns when. None: what it waited for is not known."""
    if call.errno is not None:
        return line.at_ns
    if looks_once(call):
        return line.at_ns
    if not call.result:
        tell_left_unread(line, scene, call, line.stop_ns)
        tell_timer(line, scene, call, Certainty.OBSERVED)
        return line.stop_ns
    events = _events(scene, call)
    if not events:
        return _without_moment(line, scene, call)
    first = min(events, key=lambda event: event.at_ns)
    if first.at_ns <= line.at_ns:  # so it did not wait, or for more
        ready_ns = _writable(line, scene, call, by_reset=True)
        return first.at_ns if ready_ns is None else ready_ns
    of = [event.item for event in events]
    silent = [item for item in scene.record(call.call).ready if item not in of]
    if not silent:
        return _tell_event(line, scene, call, first)
    told = Line(line.at_ns, line.stop_ns)
    ready_ns = _tell_event(told, scene, call, first)
    return _doubt(line, call, told, ready_ns, silent)


@dataclass(frozen=True, slots=True)
class _Event:
    """What made a reported descriptor ready, and when.

    A frame, a call at the other end, or a shutdown of its own side, with how sure that is.
    """

    at_ns: int
    item: Ready | None  # None: which of them, is not known
    packet: Packet | None = None
    other: Call | None = None
    own: tuple[Call, Certainty] | None = None


def _events(scene: Scene, call: Call) -> list[_Event]:
    """What the recording has of the descriptors that a wait reported."""
    found: list[_Event] = []
    for span in scene.spans.get(call.call, ()):
        if span.role != Role.WAKEUP:
            continue
        if span.frame is not None:
            packet = scene.packets[span.frame]
            mine = _items(scene, call, partial(_came_to, scene, packet))
            found += [_Event(arrival_ns(packet), item, packet=packet) for item in mine]
        elif span.peer_call is not None:
            other = scene.call(span.peer_call)
            mine = _items(scene, call, partial(_is_called_by, scene, other))
            found += [_Event(other.entered_ns, item, other=other) for item in mine]
    for item, socket in scene.sockets.reported.get(call.call, ()):
        own = ended_here(scene, call, item, socket)
        if own is not None:
            found.append(_Event(own[0].entered_ns, item, own=own))
    return found


def _items(scene: Scene, call: Call, belongs: Callable[[Socket], bool]) -> Sequence[Ready | None]:
    """Which of the reported descriptors something belongs to."""
    reported = scene.sockets.reported.get(call.call, ())
    if len(reported) == 1:
        return [reported[0][0]]
    return [item for item, socket in reported if belongs(socket)] or [None]


def _came_to(scene: Scene, packet: Packet, socket: Socket) -> bool:
    """Whether a frame that woke a wait came to this one of its sockets."""
    if socket.is_local or packet.connection is None or packet.direction is None:
        return False
    if not socket.is_stream:
        local = socket.local_endpoint
        if local is not None and local[1] != 0:
            return local[1] == packet.dport
        return any(scene.call(n).connection == packet.connection for n in socket.calls)
    if socket.listens:
        path = scene.path(packet.connection)
        server = scene.ends.get((packet.connection, Side.SERVER))
        if server is not None and server.listener is not None:
            return server.listener is socket
        return path is not None and scene.listener(path.track) is socket
    side = Side(Direction(packet.direction).receiver)
    if scene.ends.get((packet.connection, side)) is socket:
        return True
    return scene.home(socket) == (packet.connection, side)


def _is_called_by(scene: Scene, other: Call, socket: Socket) -> bool:
    """Whether a call that woke a wait was made at the other end of this one of its sockets."""
    if socket.listens:
        return any(made.accepted_by is not None
                   and scene.call(made.accepted_by).connection == other.connection
                   for made in socket.accepted)  # fmt: skip
    home = scene.home(socket)
    return socket.is_local and home is not None and home[0] == other.connection


def _tell_event(line: Line, scene: Scene, call: Call, event: _Event) -> int | None:
    if event.other is not None:
        other = event.other
        tell_before(line, scene, other, f"called {other.op} #{other.call}")
        return event.at_ns
    if event.own is not None:
        return tell_shut(line, *event.own)
    assert event.packet is not None
    return _woken(line, scene, call, event.packet)


def _without_moment(line: Line, scene: Scene, call: Call) -> int | None:
    """A wait of whose descriptors no frame and no call at the other end tells."""
    told = Line(line.at_ns, line.stop_ns)
    stories = (_other_event, _hang_up, tell_attempt, _errored, _writable)
    ready_ns = next((at for story in stories if (at := story(told, scene, call)) is not None), None)
    if ready_ns is None:
        tell_unframed_poll(told, scene, call)
    ready = scene.record(call.call).ready
    if len(ready) > 1 and any(item.inode is not None for item in ready):
        return _doubt(line, call, told, ready_ns, ready)
    line.include(told.parts, told.at_ns)
    return ready_ns


def _doubt(
    line: Line, call: Call, told: Line, ready_ns: int | None, silent: Sequence[Ready]
) -> int | None:
    """What is told of one of several descriptors, of which others may have been ready before."""
    if not told.parts or ready_ns is None:
        line.include(told.parts, told.at_ns)
        return ready_ns
    which = f"descriptor {silent[0].fd}" if len(silent) == 1 else "another descriptor"
    if line.stop_ns - ready_ns > _PROMPT_NS + traced_ns(call):
        line.unknown(
            told.at_ns,
            f"in which {which} may have been ready already: since when is not recorded, and once"
            " something else that it reported was ready, its thread did not run",
        )  # fmt: skip
        return ready_ns
    for part in told.parts:
        sure = part.certainty is Certainty.OBSERVED
        text = f"{part.text}, unless {which} was ready first" if part.text else part.text
        line.include(
            [replace(part, certainty=Certainty.INFERRED if sure else part.certainty, text=text)],
            part.stop_ns,
        )  # fmt: skip
    return ready_ns


def _other_event(line: Line, scene: Scene, call: Call) -> int | None:
    """A wait that reported nothing but descriptors of which the recording has no calls."""
    ready = scene.record(call.call).ready
    if not ready and scene.watching.of(call, line.at_ns, line.stop_ns) == []:
        line.until(
            line.stop_ns, Cause.OTHER_EVENT, Certainty.INFERRED, (), (),
            "until a descriptor was ready of which the recording does not tell, and no socket of"
            " the recording was in its set",
        )  # fmt: skip
        return line.stop_ns
    if not ready or any(item.inode is not None for item in ready):
        return None
    named = ", ".join(str(item.fd) for item in ready[:4])
    line.until(
        line.stop_ns, Cause.OTHER_EVENT, Certainty.OBSERVED, (), (),
        f"until descriptor {named} was ready, which is no socket of the recording",
    )  # fmt: skip
    return line.stop_ns


def _hang_up(line: Line, scene: Scene, call: Call) -> int | None:
    """A wait that the end of a Unix socket or pipe ended."""
    for item, socket in scene.sockets.reported.get(call.call, ()):
        if socket.is_local and item.events & (POLLHUP | POLLRDHUP):
            return tell_hang_up(line, scene, socket)
    return None


def _errored(line: Line, scene: Scene, call: Call) -> int | None:
    """A wait that an error ended without a frame of the stream.

    On a stream, after a send without a copy or one that asked for it, the error queue told what was
    acknowledged; else the kernel gave the peer up. Of datagrams an ICMP message told.
    """
    for item, socket in scene.sockets.reported.get(call.call, ()):
        if socket.is_local or socket.listens:
            continue
        if socket.is_stream:
            found = tell_told_acked(line, scene, call, socket) if item.events & POLLERR else None
            if found is None:
                found = tell_hopeless(line, scene, call, socket)
            if found is not None:
                return found
            continue
        if item.events & POLLERR:
            return tell_error_of(line, scene, call, socket)
    return None


def _writable(line: Line, scene: Scene, call: Call, *, by_reset: bool = False) -> int | None:
    """A wait for room, of a stream, datagrams or a local socket, where no span says what made it.

    `by_reset`: an ACK that made room came before it began; only a reset can have ended it then.
    """
    for item, socket in scene.sockets.reported.get(call.call, ()):
        if not item.events & POLLOUT or socket.listens:
            continue
        if by_reset and socket.is_local:
            continue
        if socket.is_local:
            if not was_short(scene, socket, call):
                return line.at_ns
            return tell_local_room(line, scene, call, socket)
        if not socket.is_stream:
            left_ns = None if by_reset else tell_datagram_room(line, scene, call, socket)
            if left_ns is None:
                continue
            return left_ns
        home = scene.home(socket)
        path = scene.path(home[0]) if home is not None else None
        if path is None or home is None:
            continue
        if by_reset and not _reset_while_full(line, scene, call, path, home[1]):
            continue
        ready_ns = None if by_reset else tell_room_anew(line, scene, call, socket, path, home[1])
        if ready_ns is not None:
            return ready_ns
        if not was_short(scene, socket, call) and _was_writable(
            path.senders[home[1].outbound], line
        ):
            if line.stop_ns - line.at_ns > _PROMPT_NS and was_told(scene, call, socket):
                return None  # so something else ended it
            return line.at_ns
        return _tell_room(line, path, call, home[1])
    return None


def _reset_while_full(line: Line, scene: Scene, call: Call, path: Path, side: Side) -> bool:
    """Whether a reset came long after a wait for room had begun."""
    reset_ns = reset_between(path, side, line.at_ns, call.returned_by_ns or line.stop_ns)
    late = reset_ns is not None and reset_ns - line.at_ns > _PROMPT_NS
    return late and _for_room(scene, call, path, side)


def _tell_room(
    line: Line, path: Path, call: Call, side: Side, freed_ns: int | None = None
) -> int | None:
    """Until an ACK made room, which came at `freed_ns` if that is known, or a reset came.

    A socket that is reset is writable (tcp_poll in Linux); of which of the two it was, select says
    nothing. An ACK long before it had freed less than a third of the buffer.
    """
    until_ns = call.returned_by_ns or line.stop_ns
    reset_ns = reset_between(path, side, line.at_ns, until_ns)
    if reset_ns is not None and (freed_ns is None or reset_ns - freed_ns > _PROMPT_NS):
        freed_ns = reset_ns
    return tell_room(line, path, call, side, freed_ns)


def _was_writable(sender: Sender, line: Line) -> bool:
    """Whether a socket was writable all along: it waited no longer than what is ready takes, or
    nothing that had been written was still in its buffer (Linux wants a third of that free)."""
    if line.stop_ns - line.at_ns <= _PROMPT_NS:
        return True
    return sender.una(line.at_ns) >= sender.written(line.at_ns)


def _for_room(scene: Scene, call: Call, path: Path, side: Side) -> bool:
    """Whether a wait looked for room at this end, where there had been too little."""
    socket = scene.ends.get((path.connection, side))
    asked = any(
        one is socket and item.events & POLLOUT
        for item, one in scene.sockets.reported.get(call.call, ())
    )
    return asked and socket is not None and was_short(scene, socket, call)


def _woken(line: Line, scene: Scene, call: Call, packet: Packet) -> int | None:
    """Until the frame came that made a descriptor ready: as the call would have waited for it."""
    if packet.protocol != "TCP":
        return tell_frame(line, scene, packet)
    path = scene.path(packet.connection)
    if path is None or packet.direction is None:
        return None
    direction = Direction(packet.direction)
    sender = path.senders[direction]
    if packet._flags & RST:
        failed_ns = tell_attempt(line, scene, call, path.connection)
        if failed_ns is None and _for_room(scene, call, path, Side(direction.receiver)):
            failed_ns = tell_room(line, path, call, Side(direction.receiver), arrival_ns(packet))
        return tell_reset(line, path, direction, packet) if failed_ns is None else failed_ns
    if packet._flags & (SYN | ACK) == SYN | ACK:
        return tell_handshake(line, path, Side(direction.receiver))
    first = sender.first_released(packet.frame)
    ready_ns = arrival_ns(packet)
    if (first is not None or packet._flags & FIN) and tell_left_unread(
        line, scene, call, ready_ns, packet.frame
    ):
        return ready_ns
    if direction is Direction.C2S:
        listener = _listening(scene, call, path)
        if listener is not None:
            return tell_accept(line, path, listener)
    if first is not None or packet._flags & FIN:
        told = Line(line.at_ns, line.stop_ns)
        if first is not None:
            read_ns = tell_byte(told, path, direction, first)
        else:  # the end wakes it however little lies there (tcp_stream_is_readable in Linux)
            read_ns = tell_end(told, path, direction)
            first = sender.stream.half.fin_off or 0
        polled(scene, path, call, Side(direction.receiver), first).include(line, told)
        return read_ns
    return _tell_room(line, path, call, Side(direction.receiver), ready_ns)


def _listening(scene: Scene, call: Call, path: Path) -> Socket | None:
    """The listener that this wait reported for this connection, which was accepted later, or never.

    None: it reported the connection's own socket.
    """
    server = scene.ends.get((path.connection, Side.SERVER))
    if server is not None:
        later = server.accepted_by is not None and server.accepted_by > call.call
        return server.listener if later else None
    listener = scene.listener(path.track)
    reported = [socket for _, socket in scene.sockets.reported.get(call.call, ())]
    return listener if any(socket is listener for socket in reported) else None
