"""A connection that its program had closed, held open by a process that inherited a copy of it.

The last holder's close, or its end, sends the FIN (man 2 close). A child that serves its client is
no accident: only who did nothing with the socket is named.
Read first: man 2 fork, man 2 shutdown.
"""

from __future__ import annotations

from collections.abc import Iterator

from netlab.correlate.arrivals import sent
from netlab.explain.endings import ended_ns
from netlab.explain.findings.finding import Finding, Severity
from netlab.explain.scene import Scene
from netlab.explain.wording import lasting, name_of, process_text
from netlab.model.tables import Call, Connection, Role, Side

_LEAST_NS = 100_000_000


def inherited_copy(scene: Scene, row: Connection) -> Iterator[Finding]:
    """A FIN left long after the close, as another process held the socket without using it."""
    path = scene.path(row.connection)
    if path is None:
        return
    for side in Side:
        socket = scene.ends.get((row.connection, side))
        fins = sent(path.track.halves[side.outbound].fins)
        if socket is None or socket.last_close is None or not fins or len(socket.closes) < 2:
            continue
        last = scene.call(socket.last_close)
        spans = scene.closers.get((Role.FIN, fins[0].frame), ())
        if not any(s.call == last.call and s.direction == side.outbound for s in spans):
            continue
        used = {_process(scene.call(number)) for number in socket.calls if number != last.call
                and number not in socket.closes}  # fmt: skip
        closed = [
            call for call in map(scene.call, socket.closes)
            if _process(call) in used and call.entered_ns < last.entered_ns
        ]  # fmt: skip
        if _process(last) in used or not closed:
            continue
        until_ns = min(ended_ns(last, [fins[0].time_ns]), fins[0].time_ns)
        late_ns = until_ns - closed[-1].entered_ns
        if late_ns < _LEAST_NS:
            continue
        how = "the end of that process" if last.op == "exit" else "its close"
        made = [scene.call(number) for number in (socket.accepted_by, *socket.connects) if number]
        held = f"held a copy of the {side}'s socket that it had inherited and did not use for"
        who = "Close in a child what it does not need (or mark it close-on-exec)"
        if any(_process(call) == _process(last) for call in made):
            held = f"kept its copy of the {side}'s socket, which it had left to a child, unused for"
            who = "Close in the parent, after fork, what the child serves"
        yield Finding(
            "inherited_copy", row.connection, Severity.MEDIUM,
            f"{process_text(last)} {held}"
            f" {lasting(late_ns)} after {name_of(closed[-1])},"
            f" until {how} ({last.op} #{last.call}): the FIN (frame {fins[0].frame}) could leave"
            " only then.",
            f"{who}, or call shutdown before close: that ends the stream for every holder.",
            "man 2 fork; man 2 shutdown", (fins[0].frame,), (closed[-1].call, last.call),
        )  # fmt: skip


def _process(call: Call) -> tuple[str, int]:
    return call.host, call.pid
