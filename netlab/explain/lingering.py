"""A close that took its time -> what SO_LINGER had it wait for.

It returns when the peer has acknowledged all, the FIN with it, or when the time of the option is
up; what is left is sent then, too.
Read first: man 7 socket (SO_LINGER), tcp_close and sk_stream_wait_close in Linux.
"""

from __future__ import annotations

from netlab.correlate.arrivals import arrival_ns
from netlab.explain.causes import Cause, Certainty
from netlab.explain.parts import Line
from netlab.explain.scene import Scene
from netlab.model.tables import Call, Side


def tell_linger(line: Line, scene: Scene, call: Call) -> int:
    """Until the last ACK came, or all of it; returns when. Without the option: nothing was."""
    if call.connection is None or call.side is None:
        return line.at_ns
    lingers = [o for o in scene.options(call.connection, Side(call.side)) if o.name == "SO_LINGER"]
    if not lingers:
        return line.at_ns
    cited = (lingers[-1].call,)
    path = scene.path(call.connection)
    sender = path.senders[Side(call.side).outbound] if path is not None else None
    acks = sender.acks_between(line.at_ns, line.stop_ns) if sender is not None else ()
    if sender is not None and sender.una(line.stop_ns) <= sender.written(line.stop_ns):
        line.until(
            line.stop_ns, Cause.LINGER, Certainty.INFERRED,
            tuple(row.segment.frame for row in acks[-1:]), cited,
            "because SO_LINGER had it wait, for as long as that says: the peer had not acknowledged"
            " all by then",
        )  # fmt: skip
        return line.stop_ns
    if acks:
        end_ns = arrival_ns(acks[-1].packet)
        line.until(end_ns, Cause.LINGER, Certainty.OBSERVED, (acks[-1].segment.frame,), cited,
                   "because SO_LINGER had it wait until the peer acknowledged all")  # fmt: skip
        return end_ns
    line.until(line.stop_ns, Cause.LINGER, Certainty.INFERRED, (), cited,
               "because SO_LINGER had it wait, for as long as that says")  # fmt: skip
    return line.stop_ns
