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
from netlab.model.call import MSG_DONTWAIT, POLLERR, is_moving
from netlab.model.tables import Call, Side

# Where ICMP had said that there is no way, the timer ends with that (tcp_write_err in Linux).
GAVE_UP = frozenset({"ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH"})
_NONE: tuple[str, tuple[int, ...], tuple[int, ...]] = ("", (), ())


def gave_up(
    line: Line, call: Call, scene: Scene, said: tuple[str, tuple[int, ...], tuple[int, ...]] = _NONE
) -> bool:
    """A call that failed because its time was up, or that did not wait at all.

    `said`: what had not come by then, with the frames and calls that show it.
    """
    if call.errno not in ("EAGAIN", "ETIMEDOUT", "EINPROGRESS"):
        return False
    if line.stop_ns - line.at_ns > NO_WAIT_NS + traced_ns(call) and not _may_not_wait(scene, call):
        text, frames, calls = said
        if not text:
            tell_timer(line, scene, call, Certainty.INFERRED)
        line.until(line.stop_ns, Cause.TIMER, Certainty.INFERRED, frames, calls,
                   f"until its time was up{text}")  # fmt: skip
    return True


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

    What its next call on it returned shows that. Where none was made (the program asked SO_ERROR),
    it was in error, nothing that came had put it there, and the kernel had tried in vain.
    """
    home = scene.home(socket)
    path = scene.path(home[0]) if home is not None else None
    later = map(scene.call, socket.calls[bisect_left(socket.calls, call.call) :])
    moved = next((one for one in later if one.op == "connect" or is_moving(one)), None)
    if path is None or home is None:
        return None
    if moved is not None:
        hopeless = moved.errno in GAVE_UP
    else:
        reported = scene.sockets.reported.get(call.call, ())
        hopeless = any(one is socket and item.events & POLLERR for item, one in reported)
    if not hopeless or came(path.track.halves[home[1].inbound].resets):
        return None
    certainty = Certainty.OBSERVED if moved is not None else Certainty.INFERRED
    return kernel_gave_up(line, scene, path, home[1], certainty)


def kernel_gave_up(
    line: Line, scene: Scene, path: Path, side: Side, certainty: Certainty = Certainty.OBSERVED
) -> int | None:
    """TCP_USER_TIMEOUT, keep-alive, or the retransmission timer gave the peer up."""
    options = {o.name: o for o in scene.options(path.connection, side) if o.on}
    heard = [
        arrival_ns(row.packet) for row in path.track.rows
        if row.direction is side.inbound and reached(row.packet)
        and arrival_ns(row.packet) <= line.stop_ns
    ]  # fmt: skip
    since_ns = max(heard, default=line.at_ns)
    sender = path.senders[side.outbound]
    unacked = sender.nxt(line.stop_ns) > sender.una(line.stop_ns)
    probes = tuple(
        row.segment.frame for row in path.track.rows
        if row.direction is side.outbound and path.is_keep_alive(row)
        and row.packet.time_ns >= since_ns
    )  # fmt: skip
    resends = tuple(r.frame for r in sender.resends_between(since_ns, line.stop_ns))
    if certainty is not Certainty.OBSERVED and not probes and not resends:
        return None  # nothing shows that it was tried
    if "TCP_USER_TIMEOUT" in options:
        cause, frames = Cause.USER_TIMEOUT, probes
        text = "until TCP_USER_TIMEOUT gave the silent peer up"
    elif probes and not unacked:
        cause, frames = Cause.KEEPALIVE, probes
        text = f"until {counted(len(probes), 'keep-alive probe')} had no answer"
    elif unacked:
        cause, frames = Cause.RTO, resends
        text = f"until {counted(len(resends), 'resend')} had no answer"
    else:
        return None
    calls = (options["TCP_USER_TIMEOUT"].call,) if cause is Cause.USER_TIMEOUT else ()
    line.until(since_ns, Cause.PEER_APP, Certainty.INFERRED, (), (),
               "before the last sign of life of the peer")  # fmt: skip
    line.until(line.stop_ns, cause, certainty, frames[:8], calls, text)
    return line.stop_ns
