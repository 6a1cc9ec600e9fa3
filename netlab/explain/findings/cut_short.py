"""A process that ended inside a send: how much of it had gone, and what its peer takes it for.

The kernel sends what it had taken, and a FIN behind it, as if that were all: only a reset (unread
bytes, SO_LINGER 0) would tell the peer. Silent where the end of the process or the FIN is not seen.
Read first: RFC 9293 3.6, man 2 exit.
"""

from __future__ import annotations

from collections.abc import Iterator

from netlab.correlate.arrivals import arrival_ns, came
from netlab.explain.findings.finding import Finding, Severity
from netlab.explain.scene import Scene
from netlab.explain.wording import counted, name_of
from netlab.model.call import is_inbound, is_outbound
from netlab.model.tables import Call, Connection, Side


def cut_short(scene: Scene, row: Connection) -> Iterator[Finding]:
    """A send that never returned, as its process ended, and whose stream has a clean end."""
    path = scene.path(row.connection)
    if path is None or row.protocol != "tcp":
        return
    for side in Side:
        half = path.track.halves[side.outbound]
        fins = came(half.fins)
        inside = [
            call for call in scene.of_connection(row.connection)
            if call.side == side and is_outbound(call) and call.returned_ns is None
        ]  # fmt: skip
        if len(inside) != 1 or not fins or half.fin_off is None or half.resets:
            continue
        (send,) = inside
        end = scene.exits.get((send.host, send.pid))
        before = max((call.stop or 0 for call in _others(scene, row, side, send)), default=0)
        went = half.fin_off - before
        if end is None or send.requested_bytes is None or not 0 <= went < send.requested_bytes:
            continue
        other = side.inbound.sender
        how = f"was killed ({end.args})" if end.args.startswith("SIG") else "ended"
        seen = _saw_the_end(scene, row, other, arrival_ns(fins[0]))
        size = counted(send.requested_bytes, "byte")
        read = f", as {name_of(seen)} returned 0" if seen is not None else ""
        yield Finding(
            "cut_short", row.connection, Severity.HIGH,
            f"{name_of(send)} was to send {size}: its process {how}"
            f" inside it (exit #{end.call}), after {went:,} of them. A FIN followed those (frame"
            f" {fins[0].frame}){read}: to the {other} that is a clean end.",
            "Say in the stream how long it is, or mark its end: then who reads sees that some of it"
            " is missing.",
            "RFC 9293 3.6; man 2 exit", (fins[0].frame,),
            (send.call, end.call, *((seen.call,) if seen is not None else ())),
        )  # fmt: skip


def _others(scene: Scene, row: Connection, side: Side, send: Call) -> list[Call]:
    calls = scene.moves(row.connection, side, side.outbound).calls
    return [call for call in calls if call.call != send.call and is_outbound(call)]


def _saw_the_end(scene: Scene, row: Connection, side: Side, since_ns: int) -> Call | None:
    """The read that told this side's program that there was no more."""
    return next(
        (call for call in scene.of_connection(row.connection)
         if call.side == side and is_inbound(call) and call.result == 0 and call.errno is None
         and call.requested_bytes and (call.returned_ns or 0) >= since_ns), None,
    )  # fmt: skip
