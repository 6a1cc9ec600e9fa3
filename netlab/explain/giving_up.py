"""A call that failed as time was up -> whose time: its own, or that of its kernel.

Read first: man 7 socket (SO_RCVTIMEO), man 7 tcp (TCP_USER_TIMEOUT, keep-alive), RFC 5482.
"""

from __future__ import annotations

from bisect import bisect_left

from netlab.correlate.arrivals import arrival_ns, came, reached
from netlab.correlate.sockets import Socket
from netlab.explain.at_once import NO_WAIT_NS, traced_ns
from netlab.explain.causes import Cause, Certainty
from netlab.explain.parts import Line
from netlab.explain.path import Path
from netlab.explain.scene import Scene
from netlab.explain.timed_out import tell_timer, timer_is_set
from netlab.explain.wording import counted
from netlab.model.call import MSG_DONTWAIT, POLLERR, POLLHUP, POLLIN, POLLOUT, is_moving
from netlab.model.tables import Call, Side, Verdict

# Where ICMP had said that there is no way, the timer ends with that (tcp_write_err in Linux).
GAVE_UP = frozenset({"ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH"})
_AT_ONCE_NS = 5_000_000  # from an ICMP message to the call that it fails, on a busy machine
_NONE: tuple[str, tuple[int, ...], tuple[int, ...]] = ("", (), ())


def gave_up(
    line: Line, call: Call, scene: Scene, said: tuple[str, tuple[int, ...], tuple[int, ...]] = _NONE
) -> None:
    """A call that failed because its time was up, or that did not wait at all.

    `said`: what had not come by then, with the frames and calls that show it.
    """
    if call.errno not in ("EAGAIN", "ETIMEDOUT", "EINPROGRESS"):
        return
    if line.stop_ns - line.at_ns > NO_WAIT_NS + traced_ns(call) and not _may_not_wait(scene, call):
        text, frames, calls = said
        if not text:
            tell_timer(line, scene, call, Certainty.INFERRED)
        line.until(line.stop_ns, Cause.TIMER, Certainty.INFERRED, frames, calls,
                   f"until its time was up{text}")  # fmt: skip


def _may_not_wait(scene: Scene, call: Call) -> bool:
    """Whether it asked not to wait, or is on a socket that does not and has no time-out.

    What the probe records is Python's call, whose settimeout() waits inside (it never says
    EINPROGRESS then); a call of the system waits for no longer than SO_RCVTIMEO and SO_SNDTIMEO say
    (man 7 socket), else for ever.
    """
    if scene.record(call.call).flags & MSG_DONTWAIT:
        return True
    socket = scene.socket_of(call)
    pythons = call.witness.startswith("probe") and call.errno != "EINPROGRESS"
    if pythons or socket is None or not socket.is_born:
        return False
    return not any(timer_is_set(scene, call, name) for name in ("SO_RCVTIMEO", "SO_SNDTIMEO"))


def tell_hopeless(line: Line, scene: Scene, call: Call, socket: Socket) -> int | None:
    """A wait that reported a stream in error, or readable, without a frame: its kernel gave up.

    What its next call on it returned shows that, where nothing of the peer came in between. Where
    none was made (the program asked SO_ERROR), it was in error, and nothing that came put it there.
    """
    home = scene.home(socket)
    path = scene.path(home[0]) if home is not None else None
    reported = scene.sockets.reported.get(call.call, ())
    events = next((item.events for item, one in reported if one is socket), 0)
    # A select for writing hears of an error as of room (fs/select.c: POLLOUT_SET has POLLERR).
    told = POLLIN | POLLERR | POLLHUP | (POLLOUT if "select" in call.op else 0)
    if path is None or home is None or not events & told:
        return None
    moved = _next_move(scene, call, socket)
    hopeless = moved.errno in GAVE_UP if moved is not None else bool(events & POLLERR)
    until_ns = moved.entered_ns if moved is not None else line.stop_ns
    if not hopeless or _heard_ns(path, home[1], until_ns) > line.stop_ns:
        return None
    if came(path.track.halves[home[1].inbound].resets):
        return None
    errno = moved.errno if moved is not None else None
    return kernel_gave_up(line, scene, path, home[1], errno)


def _next_move(scene: Scene, call: Call, socket: Socket) -> Call | None:
    """The first call behind a wait that moves bytes on a socket, or opens it."""
    for place in range(bisect_left(socket.calls, call.call), len(socket.calls)):
        one = scene.call(socket.calls[place])
        if one.op == "connect" or is_moving(one):
            return one
    return None


def _heard_ns(path: Path, side: Side, until_ns: int) -> int:
    """When the last sign of life of the peer came to this side, by then; 0: none did."""
    return max(
        (arrival_ns(row.packet) for row in path.track.rows
         if row.direction is side.inbound and reached(row.packet)
         and arrival_ns(row.packet) <= until_ns), default=0,
    )  # fmt: skip


def kernel_gave_up(
    line: Line, scene: Scene, path: Path, side: Side, errno: str | None
) -> int | None:
    """TCP_USER_TIMEOUT, keep-alive, or the retransmission timer gave the peer up.

    `errno`: with which a call failed; None: that is not known. ETIMEDOUT comes of these timers
    alone. What ICMP says fails calls as well, at once with IP_RECVERR (man 7 ip): so of another
    error, or none, frames must show that the peer had been asked in vain.
    """
    since_ns = _heard_ns(path, side, line.stop_ns) or line.at_ns
    sender = path.senders[side.outbound]
    unacked = sender.nxt(line.stop_ns) > sender.una(line.stop_ns)
    rows = [
        row for row in path.track.rows
        if row.direction is side.outbound and since_ns <= row.packet.time_ns <= line.stop_ns
    ]  # fmt: skip
    probes = tuple(row.segment.frame for row in rows if path.is_keep_alive(row))
    resends = tuple(r.frame for r in sender.resends_between(since_ns, line.stop_ns))
    closed = tuple(
        row.segment.frame for row in rows if row.segment.verdict == Verdict.ZERO_WINDOW_PROBE
    )
    asked = (*probes, *resends, *closed, *(row.segment.frame for row in rows if row.probe))
    if errno != "ETIMEDOUT" and (not asked or _told_by_icmp(scene, path, side, line)):
        return None
    timer = scene.option_at(path.connection, side, "TCP_USER_TIMEOUT", line.stop_ns)
    calls: tuple[int, ...] = ()
    if timer is not None and timer.on:
        cause, frames, calls = Cause.USER_TIMEOUT, tuple(dict.fromkeys(asked)), (timer.call,)
        text = "until TCP_USER_TIMEOUT gave the silent peer up"
    elif probes and not unacked:
        cause, frames = Cause.KEEPALIVE, probes
        text = f"until {counted(len(probes), 'keep-alive probe')} had no answer"
    elif closed:
        cause, frames = Cause.RTO, closed
        text = f"until {counted(len(closed), 'zero-window probe')} had no answer"
    elif unacked and resends:
        cause, frames = Cause.RTO, resends
        text = f"until {counted(len(resends), 'resend')} had no answer"
    else:
        return None
    certainty = Certainty.OBSERVED if errno is not None and asked else Certainty.INFERRED
    line.until(since_ns, Cause.PEER_APP, Certainty.INFERRED, (), (),
               "before the last sign of life of the peer")  # fmt: skip
    line.until(line.stop_ns, cause, certainty, frames[:8], calls, text)
    return line.stop_ns


def _told_by_icmp(scene: Scene, path: Path, side: Side, line: Line) -> bool:
    """Whether an ICMP message of what this side sent may have failed its call at once.

    It does with IP_RECVERR (man 7 ip); whether that is on, only the first calls of a socket tell.
    """
    flow = path.track.flow
    came_ns = [
        arrival_ns(packet) for packet, forward in flow.errors
        if flow.direction(forward) is side.outbound and reached(packet)
        and line.at_ns <= arrival_ns(packet) <= line.stop_ns
    ]  # fmt: skip
    names = ("IP_RECVERR", "IPV6_RECVERR")
    options = [scene.option_at(path.connection, side, name, line.stop_ns) for name in names]
    if any(option is not None and option.on for option in options):
        return bool(came_ns)
    socket = scene.ends.get((path.connection, side))
    known = socket is not None and socket.is_born
    return not known and any(line.stop_ns - ns <= _AT_ONCE_NS for ns in came_ns)
