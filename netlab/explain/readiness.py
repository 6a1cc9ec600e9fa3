"""select, poll and epoll_wait -> the wait of the event that ended them.

The wakeup spans name the frame, or the call at the other end, that made a descriptor ready: the
wait is told as a recv, accept or send would have waited for it. Without one, a socket reported
writable after a short send waited for room.
Read first: `correlate.wakeups`, man 2 poll, man 7 epoll.
"""

from __future__ import annotations

import re
from bisect import bisect_left

from netlab.correlate.arrivals import arrival_ns
from netlab.correlate.flows import ACK, FIN, RST, SYN
from netlab.correlate.sockets import Socket
from netlab.explain.accepting import tell_accept, tell_before
from netlab.explain.arriving import tell_acked, tell_byte, tell_end, tell_reset
from netlab.explain.attempt import tell_attempt
from netlab.explain.causes import Cause, Certainty
from netlab.explain.edges import tell_left_unread
from netlab.explain.giving_up import tell_hopeless
from netlab.explain.local_room import tell_local_room
from netlab.explain.low_water import polled
from netlab.explain.opening import tell_handshake
from netlab.explain.parts import Line
from netlab.explain.path import Path
from netlab.explain.room_anew import tell_room_anew, was_short, was_told
from netlab.explain.scene import Scene
from netlab.explain.sender import Sender
from netlab.explain.sending import tell_room
from netlab.explain.timed_out import tell_timer
from netlab.explain.unframed import tell_unframed_poll
from netlab.explain.unstreamed import tell_error, tell_frame, tell_hang_up
from netlab.model.call import MSG_ZEROCOPY, POLLERR, POLLHUP, POLLOUT, POLLRDHUP
from netlab.model.tables import Call, Direction, Packet, Role, Side

_PROMPT_NS = 2_000_000  # a wait for what is ready is no longer, on a busy machine
_TIMEOUT = re.compile(r"timeout=(-?\d+(?:\.\d+)?)")  # of select in s, of the others in ms


def tell_poll(line: Line, scene: Scene, call: Call) -> int | None:
    """Until a descriptor was ready; returns when. None: what it waited for is not known."""
    if call.errno is not None:
        return line.at_ns
    asked = _TIMEOUT.search(call.args)
    if asked is not None and float(asked[1]) == 0:
        return line.at_ns  # it looks once, and waits for nothing
    if not call.result:
        tell_left_unread(line, scene, call, line.stop_ns)
        tell_timer(line, scene, call, Certainty.OBSERVED)
        return line.stop_ns
    spans = [s for s in scene.spans.get(call.call, ()) if s.role == Role.WAKEUP]
    found: list[tuple[int, int, int]] = []
    for place, span in enumerate(spans):
        if span.frame is not None:
            found.append((arrival_ns(scene.packets[span.frame]), 0, place))
        elif span.peer_call is not None:
            found.append((scene.call(span.peer_call).entered_ns, 1, place))
    if not found:
        told = (_other_event, _hang_up, tell_attempt, _errored, _writable)
        ready = next((at for story in told if (at := story(line, scene, call)) is not None), None)
        if ready is None:
            tell_unframed_poll(line, scene, call)
        return ready
    at_ns, local, place = min(found)
    if at_ns <= line.at_ns:
        return at_ns
    span = spans[place]
    if local and span.peer_call is not None:
        other = scene.call(span.peer_call)
        tell_before(line, scene, other, f"called {other.op} #{other.call}")
        return at_ns
    return _woken(line, scene, call, scene.packets[span.frame or 0])


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

    On a stream, after a send without a copy, the error queue told that all was acknowledged; else
    the kernel gave the peer up. Of datagrams an ICMP message told: the next call that fails has it.
    """
    for item, socket in scene.sockets.reported.get(call.call, ()):
        if socket.is_local or socket.listens:
            continue
        if socket.is_stream:
            told = (_given_back if item.events & POLLERR else None, tell_hopeless)
            ready = (story(line, scene, call, socket) for story in told if story is not None)
            found = next((at for at in ready if at is not None), None)
            if found is not None:
                return found
            continue
        if not item.events & POLLERR:
            continue
        later = map(scene.call, socket.calls[bisect_left(socket.calls, call.call) :])
        failed = next((one for one in later if one.errno is not None), None)
        if failed is not None and failed.call != call.call:
            return tell_error(line, scene, failed)
    return None


def _given_back(line: Line, scene: Scene, call: Call, socket: Socket) -> int | None:
    """Until memory that was sent without a copy is the program's again: all is acknowledged."""
    home = scene.home(socket)
    path = scene.path(home[0]) if home is not None else None
    before = socket.calls[: bisect_left(socket.calls, call.call)]
    lent = [n for n in before if scene.record(n).flags & MSG_ZEROCOPY and scene.call(n).stop]
    if path is None or home is None or not lent:
        return None
    return tell_acked(line, path, home[1].outbound, (scene.call(lent[-1]).stop or 1) - 1)


def _writable(line: Line, scene: Scene, call: Call) -> int | None:
    """A wait that several ACKs ended: which of them woke it no frame tells, but all freed room."""
    for item, socket in scene.sockets.reported.get(call.call, ()):
        if not item.events & POLLOUT or socket.listens:
            continue
        if socket.is_local:
            if not was_short(scene, socket, call):
                return line.at_ns
            return tell_local_room(line, scene, call, socket)
        if not socket.is_stream:
            continue
        home = scene.home(socket)
        path = scene.path(home[0]) if home is not None else None
        if path is None or home is None:
            continue
        ready_ns = tell_room_anew(line, scene, call, socket, path, home[1])
        if ready_ns is not None:
            return ready_ns
        if not was_short(scene, socket, call) and _was_writable(
            path.senders[home[1].outbound], line
        ):
            if line.stop_ns - line.at_ns > _PROMPT_NS and was_told(scene, call, socket):
                return None  # so something else ended it
            return line.at_ns
        return tell_room(line, path, call, home[1])
    return None


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
        made = _listening(scene, call, path)
        if made is not None:
            return tell_accept(line, path, made)
    if first is not None or packet._flags & FIN:
        told = Line(line.at_ns, line.stop_ns)
        if first is not None:
            read_ns = tell_byte(told, path, direction, first)
        else:  # the end wakes it however little lies there (tcp_stream_is_readable in Linux)
            read_ns = tell_end(told, path, direction)
            first = sender.stream.half.fin_off or 0
        polled(scene, path, call, Side(direction.receiver), first).include(line, told)
        return read_ns
    return tell_room(line, path, call, Side(direction.receiver), ready_ns)


def _listening(scene: Scene, call: Call, path: Path) -> Socket | None:
    """The socket that was accepted after this wait had reported its listener; None: another."""
    server = scene.ends.get((path.connection, Side.SERVER))
    if server is None or server.accepted_by is None or server.accepted_by < call.call:
        return None
    return server
