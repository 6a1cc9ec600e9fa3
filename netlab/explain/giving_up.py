"""A call that failed as time was up -> whose time: its own, or that of its kernel.

Read first: man 7 socket (SO_RCVTIMEO), man 7 tcp (TCP_USER_TIMEOUT, keep-alive), RFC 5482.
"""

from __future__ import annotations

from netlab.correlate.arrivals import arrival_ns, reached
from netlab.explain.at_once import NO_WAIT_NS, traced_ns
from netlab.explain.causes import Cause, Certainty
from netlab.explain.parts import Line
from netlab.explain.path import Path
from netlab.explain.scene import Scene
from netlab.explain.timed_out import tell_timer
from netlab.model.call import MSG_DONTWAIT
from netlab.model.tables import Call, Side

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
    return bool(scene.record(call.call).flags & MSG_DONTWAIT)


def kernel_gave_up(line: Line, scene: Scene, call: Call, path: Path) -> int | None:
    """ETIMEDOUT: TCP_USER_TIMEOUT, keep-alive, or the retransmission timer gave up."""
    side = Side(call.side or Side.CLIENT)
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
    line.until(since_ns, Cause.PEER_APP, Certainty.INFERRED, (), (),
               "before the last sign of life of the peer")  # fmt: skip
    if "TCP_USER_TIMEOUT" in options:
        line.until(line.stop_ns, Cause.USER_TIMEOUT, Certainty.OBSERVED, probes[:8],
                   (options["TCP_USER_TIMEOUT"].call,),
                   "until TCP_USER_TIMEOUT gave the silent peer up")  # fmt: skip
    elif probes and not unacked:
        line.until(line.stop_ns, Cause.KEEPALIVE, Certainty.OBSERVED, probes[:8], (),
                   f"until {len(probes)} keep-alive probes had no answer")  # fmt: skip
    elif unacked:
        frames = tuple(r.frame for r in sender.resends_between(since_ns, line.stop_ns))
        line.until(line.stop_ns, Cause.RTO, Certainty.OBSERVED, frames[:8], (),
                   f"until {len(frames)} resends had no answer")  # fmt: skip
    else:
        return None
    return line.stop_ns
