"""A call -> its parts: what it waited for, and what its kernel and thread did then.

One story a kind of call. Each begins where the call was entered, says when what it waited for was
there, and leaves the rest to `tell_return`.
Read first: reference on splitting the time of a call; man 2 recv, send, poll, close.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence

from netlab.explain.accepting import tell_accept
from netlab.explain.at_once import COPY_NS_PER_BYTE, NO_WAIT_NS, traced_ns
from netlab.explain.causes import Cause, Certainty
from netlab.explain.datagram_room import tell_datagram_room
from netlab.explain.giving_up import GAVE_UP, gave_up, kernel_gave_up
from netlab.explain.lingering import tell_linger
from netlab.explain.local_queue import full_by, tell_local_connect
from netlab.explain.local_room import tell_local_room
from netlab.explain.opening import tell_connect, unanswered
from netlab.explain.own_end import shut_reading, tell_shut
from netlab.explain.parts import Line, Part
from netlab.explain.path import Path
from netlab.explain.readiness import tell_poll
from netlab.explain.reading import tell_recv
from netlab.explain.scene import Scene
from netlab.explain.sending import (
    can_be_full,
    cut_short,
    reset_between,
    stuck_since_ns,
    tell_room,
)
from netlab.explain.stopped import tell_stop
from netlab.explain.timed_out import owed_to, tell_timer, timer_is_set
from netlab.explain.unframed import tell_unframed_accept
from netlab.model.call import (
    ACCEPTING,
    MSG_DONTWAIT,
    RESTARTING,
    STOP,
    WAITING,
    is_closing,
    is_inbound,
    is_outbound,
)
from netlab.model.tables import Call, Role, Side

_COPY_NS = 20_000  # a recv or send of little
_AT_ONCE_NS = 20_000_000  # from a call that a signal ended to the end of its process
_NEAR = 32  # calls on the same socket, before and behind one
_SIGNALS = RESTARTING | {"EINTR"}
_BY_THE_KERNEL = frozenset({"execve", "execveat", "fork", "vfork", "clone", "clone3"})


def parts_of(scene: Scene, call: Call) -> list[Part]:
    """The parts of a call that returned: disjoint, in order, covering it."""
    assert call.returned_ns is not None
    line = Line(call.entered_ns, call.returned_ns)
    if not line.done:
        ready_ns = _story(call)(line, scene, call)
        tell_return(line, call, ready_ns)
    return line.finish()


def tell_return(line: Line, call: Call, ready_ns: int | None) -> None:
    """From when it could return until it did. None: what it waited for is not known."""
    if line.done:
        return
    left_ns = line.stop_ns - line.at_ns
    moved = call.result or 0
    work_ns = _COPY_NS + COPY_NS_PER_BYTE * max(moved, 0)
    stops_ns = traced_ns(call)
    if ready_ns is None and left_ns > max(work_ns, NO_WAIT_NS + stops_ns):
        line.unknown(line.stop_ns, "for a reason that the recording does not show")
        return
    if stops_ns:
        rest_ns = left_ns - stops_ns
        if rest_ns > 0:
            _not_running(line, line.at_ns + rest_ns, rest_ns)
        line.until(line.stop_ns, Cause.WITNESS, Certainty.INFERRED, (), (),
                   f"stopped by {call.witness.split('+')[0]}")  # fmt: skip
        return
    rest_ns = left_ns - work_ns
    if rest_ns > NO_WAIT_NS:
        _not_running(line, line.stop_ns - work_ns, rest_ns)
    line.until(line.stop_ns, Cause.COPY, Certainty.INFERRED)


def _not_running(line: Line, until_ns: int, rest_ns: int) -> None:
    line.until(until_ns, Cause.SCHEDULER, Certainty.INFERRED, (), (),
               "in which its thread could run and did not")  # fmt: skip


Story = Callable[[Line, Scene, Call], "int | None"]


def _story(call: Call) -> Story:
    if call.errno in _SIGNALS:
        return _interrupted
    if call.op in WAITING:
        return tell_poll
    if call.op == STOP:
        return tell_stop
    if is_outbound(call):
        return _send
    if is_inbound(call):
        return tell_recv
    if call.op in ACCEPTING:
        return _accept
    if call.op == "connect":
        return _connect
    if call.op in _BY_THE_KERNEL:
        return _kernel_works
    if is_closing(call):
        return _close
    return _no_wait


def _no_wait(line: Line, scene: Scene, call: Call) -> int | None:
    return line.at_ns


def _kernel_works(line: Line, scene: Scene, call: Call) -> int | None:
    """A program is loaded, or a process made: whether its thread ran then, the call does not show.

    It reads files and copies page tables: that takes milliseconds, and it waits for no socket.
    """
    line.until(line.stop_ns, Cause.COPY, Certainty.INFERRED)
    return line.stop_ns


def _interrupted(line: Line, scene: Scene, call: Call) -> int | None:
    """What had not come by then is said as of a wait whose time was up."""
    if call.op == "connect":
        said, frames, calls = unanswered(scene.path(call.connection), line.stop_ns)
    else:
        owed = owed_to(scene, call)
        said, frames, calls = (owed.text, owed.frames, owed.calls) if owed else ("", (), ())
    line.until(line.stop_ns, Cause.SIGNAL, Certainty.OBSERVED, frames, calls,
               f"until a signal interrupted it{said}")  # fmt: skip
    return line.stop_ns


# --- writing


def _send(line: Line, scene: Scene, call: Call) -> int | None:
    socket = scene.socket_of(call)
    moved = call.result or 0
    usual_ns = NO_WAIT_NS + 2 * COPY_NS_PER_BYTE * max(moved, 0) + traced_ns(call)
    if line.stop_ns - line.at_ns <= usual_ns:
        return line.at_ns
    if call.errno == "EAGAIN":
        gave_up(line, call, scene)
        return line.at_ns
    if socket is not None and socket.is_local:
        return _send_locally(line, scene, call)
    if socket is not None and not socket.is_stream:
        left_ns = tell_datagram_room(line, scene, call, socket)
        return line.at_ns if left_ns is None else left_ns
    path = scene.path(call.connection)
    if path is None or call.side is None:
        return None
    if socket is not None and socket.connects[:1] == [call.call]:
        return tell_connect(line, path, call)  # it opened the connection: Fast Open (RFC 7413)
    if call.errno in GAVE_UP:
        return kernel_gave_up(line, scene, path, Side(call.side), call.errno)
    if _does_not_wait(scene, call):
        return line.at_ns
    reset_ns = _reset_inside(path, call)
    if reset_ns is not None:  # what it had taken it returns, else the error
        tell_room(line, path, call, until_ns=reset_ns)
        return reset_ns
    if cut_short(call):
        return _until_its_timer(line, scene, path, call)
    if not can_be_full(scene, path, call):
        return line.at_ns
    return tell_room(line, path, call)


def _send_locally(line: Line, scene: Scene, call: Call) -> int | None:
    """Until its reader had made room. One that took less than it was given was ended by SO_SNDTIMEO
    where that was set (each piece of it has that time); by what else, is not known."""
    ready_ns = tell_local_room(line, scene, call)
    if not cut_short(call) or scene.record(call.call).flags & MSG_DONTWAIT:
        return ready_ns
    if not timer_is_set(scene, call, "SO_SNDTIMEO"):
        return None
    tell_timer(line, scene, call, Certainty.INFERRED)
    return line.stop_ns


def _reset_inside(path: Path, call: Call) -> int | None:
    """When the peer's reset came that ended a send, if one came in its time."""
    if call.errno not in (None, "ECONNRESET", "EPIPE") or not (call.errno or cut_short(call)):
        return None
    until_ns = call.returned_by_ns or call.returned_ns or call.entered_ns
    return reset_between(path, Side(call.side or Side.CLIENT), call.entered_ns, until_ns)


def _until_its_timer(line: Line, scene: Scene, path: Path, call: Call) -> int | None:
    """A send that took less than it was given: SO_SNDTIMEO ended it (man 7 socket), if it was set,
    or the signal that killed its process.

    The timer ended the wait for what had made no more room by then, as it does where nothing was
    taken. None: another signal did, or an error, and since when it waited for that is not known.
    """
    timed = timer_is_set(scene, call, "SO_SNDTIMEO")
    if timed:
        tell_room(line, path, call, until_ns=stuck_since_ns(path, call))
        tell_timer(line, scene, call, Certainty.INFERRED)
        return line.stop_ns
    killed = _killed_inside(scene, call)
    tell_room(line, path, call, until_ns=line.stop_ns if killed else None)
    return line.stop_ns if killed else None


def _does_not_wait(scene: Scene, call: Call) -> bool:
    """Whether a send was told not to wait, or took a part of what it had on a socket that is known
    not to: the send before or behind it found no room and returned at once."""
    if scene.record(call.call).flags & MSG_DONTWAIT:
        return True
    socket = scene.socket_of(call)
    if socket is None or not cut_short(call):
        return False
    place = bisect_left(socket.calls, call.call)
    return any(
        _found_no_room(scene, numbers)
        for numbers in (
            socket.calls[place + 1 : place + 1 + _NEAR],
            socket.calls[max(place - _NEAR, 0) : place][::-1],
        )
    )


def _found_no_room(scene: Scene, numbers: Sequence[int]) -> bool:
    """Whether the first send of these that was not cut short as well failed at once."""
    sends = (one for one in map(scene.call, numbers) if is_outbound(one) and not cut_short(one))
    first = next(sends, None)
    if first is None or first.errno != "EAGAIN" or first.returned_ns is None:
        return False
    return first.returned_ns - first.entered_ns <= NO_WAIT_NS + traced_ns(first)


def _killed_inside(scene: Scene, call: Call) -> bool:
    """Whether a call was the last of its process, which a signal ended just as it returned."""
    left = scene.exits.get((call.host, call.pid))
    thread = scene.threads[call.host, call.pid, call.tid]
    last = next((one for one in reversed(thread) if one.op != "exit"), None)
    returned_ns = call.returned_ns or call.entered_ns
    return (
        left is not None
        and left.args.startswith("SIG")
        and last is call
        and left.entered_ns - returned_ns <= _AT_ONCE_NS
    )


# --- beginnings and ends


def _connect(line: Line, scene: Scene, call: Call) -> int | None:
    socket = scene.socket_of(call)
    local = socket is not None and socket.is_local and socket.kind != "SOCK_DGRAM"
    if call.errno in ("EINPROGRESS", "EAGAIN"):
        said = full_by(scene, call) if local else \
            unanswered(scene.path(call.connection), line.stop_ns)  # fmt: skip
        gave_up(line, call, scene, said)
        return line.at_ns
    if local and call.errno is None:
        return tell_local_connect(line, scene, call)
    if socket is not None and (socket.is_local or not socket.is_stream):
        return line.at_ns
    path = scene.path(call.connection)
    if call.errno in ("EHOSTUNREACH", "ENETUNREACH", "EHOSTDOWN"):
        frames = tuple(s.frame for s in scene.spans.get(call.call, ()) if s.role == Role.ICMP
                       and s.frame is not None)  # fmt: skip
        if path is None and not frames and call.errno == "ENETUNREACH":
            return line.at_ns  # a host without a route says so at once
        line.until(line.stop_ns, Cause.UNREACHABLE, Certainty.OBSERVED, frames, (),
                   f"until it was known that there is no way ({call.errno})")  # fmt: skip
        return line.stop_ns
    return tell_connect(line, path, call) if path is not None else None


def _accept(line: Line, scene: Scene, call: Call) -> int | None:
    if call.errno == "EINVAL":  # nobody listens on it (any more)
        socket = scene.socket_of(call)
        returned_ns = call.returned_by_ns or line.stop_ns
        shut = shut_reading(scene, socket, returned_ns) if socket is not None else None
        return tell_shut(line, shut) if shut is not None else None
    if call.errno is not None:
        gave_up(line, call, scene)
        return line.at_ns
    made = scene.accepted_by(call)
    path = scene.path(call.connection)
    if path is None:
        tell_unframed_accept(line, scene, call)
        return None
    if made is None:
        return None
    return tell_accept(line, path, made.listener)


def _close(line: Line, scene: Scene, call: Call) -> int | None:
    if line.stop_ns - line.at_ns <= NO_WAIT_NS + traced_ns(call):
        return line.at_ns
    return tell_linger(line, scene, call)
