"""A close that took its time -> what SO_LINGER had it wait for.

It returns when the peer has acknowledged all, the FIN with it, or when the time of the option is
up; what is left is sent then, too.
Read first: man 7 socket (SO_LINGER), tcp_close and sk_stream_wait_close in Linux.
"""

from __future__ import annotations

import re
from struct import Struct

from netlab.correlate.arrivals import arrival_ns
from netlab.correlate.socket_options import OptionSet
from netlab.explain.causes import Cause, Certainty
from netlab.explain.parts import Line
from netlab.explain.scene import Scene
from netlab.model.tables import Call, Side

_SHOWN = re.compile(r"onoff=(-?\d+), linger=(-?\d+)")
_TWO_INTS = Struct("=ii")  # struct linger


def linger_values(scene: Scene, option: OptionSet) -> tuple[int, int] | None:
    """(whether SO_LINGER was switched on, for how many s); None: the witness does not show it."""
    if len(option.raw) == _TWO_INTS.size:
        on, seconds = _TWO_INTS.unpack(option.raw)
        return on, seconds
    shown = _SHOWN.search(scene.call(option.call).args)
    return (int(shown[1]), int(shown[2])) if shown is not None else None


def tell_linger(line: Line, scene: Scene, call: Call) -> int:
    """Until the last ACK came, or all of it; returns when. Without the option: nothing was."""
    if call.connection is None or call.side is None:
        return line.at_ns
    linger = scene.option_at(call.connection, Side(call.side), "SO_LINGER", call.entered_ns)
    values = linger_values(scene, linger) if linger is not None else None
    if linger is None or (values is not None and not values[0]):
        return line.at_ns
    cited = (linger.call,)
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
