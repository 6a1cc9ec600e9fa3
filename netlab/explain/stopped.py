"""A thread that was stopped by a signal (SIGSTOP, SIGTSTP, ...) -> what is said of that time.

A tracer tells since when until when. Whoever waited for it meanwhile waited for that, not for what
its program did. Without one nothing is told of it: that the program had not called send is true of
one that was stopped as well.
Read first: man 7 signal; `capture.strace.stops`.
"""

from __future__ import annotations

from netlab.explain.causes import Cause, Certainty
from netlab.explain.parts import Line
from netlab.explain.scene import Scene
from netlab.explain.wording import name_of, who
from netlab.model.call import STOP
from netlab.model.tables import Call


def tell_stop(line: Line, scene: Scene, call: Call) -> int | None:
    """The whole time of a stop."""
    line.until(line.stop_ns, Cause.SIGNAL, Certainty.OBSERVED, (), (),
               f"in which {call.args} had stopped it")  # fmt: skip
    return line.stop_ns


def tell_stopped(line: Line, stop: Call) -> None:
    """The time in which somebody waited for a thread that was stopped."""
    if stop.returned_ns is not None:
        line.until(stop.returned_ns, Cause.SIGNAL, Certainty.OBSERVED, (), (stop.call,),
                   stop_text(stop))  # fmt: skip


def stop_text(stop: Call) -> str:
    """`in which SIGSTOP had stopped the client's process (client stop #12)`.

    Of a program that another one started: `had stopped the process client/python3-80 (stop #12)`.
    """
    if stop.side is None and "/" in stop.actor:
        return f"in which {stop.args} had stopped the process {stop.actor} (stop #{stop.call})"
    whose = f"the {who(stop)}'s process"
    return f"in which {stop.args} had stopped {whose} ({name_of(stop)})"


def stop_between(scene: Scene, call: Call, since_ns: int, until_ns: int) -> Call | None:
    """The longest stop of the process of `call` in that time."""
    found = [
        stop for stop in scene.stops
        if (stop.host, stop.pid) == (call.host, call.pid) and stop.entered_ns < until_ns
        and (stop.returned_ns is None or stop.returned_ns > since_ns)
    ]  # fmt: skip
    return max(found, key=lambda stop: (stop.returned_ns or until_ns) - stop.entered_ns,
               default=None)  # fmt: skip


def is_stop(call: Call) -> bool:
    """Whether it is no call, but a stop."""
    return call.op == STOP
