"""Findings from the waits of a connection's calls: what cost time, and whose doing it was."""

from __future__ import annotations

from collections.abc import Iterator

from netlab.correlate.arrivals import reached
from netlab.explain.causes import BUSY, MECHANISMS, Cause, Certainty
from netlab.explain.findings import listeners
from netlab.explain.findings.finding import Finding, Severity
from netlab.explain.opening import backlog_of, clipped_text
from netlab.explain.parts import Part
from netlab.explain.scene import Scene
from netlab.explain.wording import counted, lasting, more_such
from netlab.model.tables import Call, Connection, Side

_MS = 1_000_000
_SLOW_ACCEPT_NS = 10 * _MS
_STALL_NS = 10 * _MS
_CITED = 8
_NO_TROUBLE = BUSY | {Cause.PEER_APP, Cause.NETWORK}  # most parts: no rule here asks for them
_RECOVERIES = (Cause.RTO, Cause.TAIL_LOSS_PROBE, Cause.FAST_RETRANSMIT, Cause.HEAD_OF_LINE)


def _parts(scene: Scene, row: Connection, *causes: Cause) -> list[tuple[Call, Part]]:
    """The parts of calls of this connection that have one of these causes."""
    assert _NO_TROUBLE.isdisjoint(causes)
    if row.connection not in scene.troubles:
        scene.troubles[row.connection] = [
            (call, part)
            for call in scene.of_connection(row.connection)
            for part in scene.explained.get(call.call, ())
            if part.cause not in _NO_TROUBLE
        ]
    return [item for item in scene.troubles[row.connection] if item[1].cause in causes]


def _evidence(found: list[tuple[Call, Part]]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    frames = dict.fromkeys(frame for _, part in found for frame in part.frames)
    calls = dict.fromkeys(number for call, part in found for number in (call.call, *part.calls))
    return tuple(frames)[:_CITED], tuple(calls)[:_CITED]


def _once(found: list[tuple[Call, Part]]) -> int:
    """How long, each moment counted once though calls of both ends waited for it."""
    total, edge = 0, 0
    for _, part in sorted(found, key=lambda item: item[1].start_ns):
        total += max(part.stop_ns - max(part.start_ns, edge), 0)
        edge = max(edge, part.stop_ns)
    return total


def nagle_delayed_ack(scene: Scene, row: Connection) -> Iterator[Finding]:
    """A small segment waited for an ACK that the receiver delayed."""
    found = [item for item in _parts(scene, row, Cause.DELAYED_ACK) if "Nagle" in item[1].text]
    if not found:
        return
    held = {part.frames[-1] for _, part in found if part.frames}
    times = "once" if len(held) == 1 else f"{len(held)} times"
    frames, calls = _evidence(found)
    yield Finding(
        "nagle_delayed_ack", row.connection, Severity.HIGH,
        f"Nagle against delayed ACK: {times} a small write waited for an ACK that the receiver"
        f" sat on, {lasting(_once(found))} in all.",
        MECHANISMS[Cause.DELAYED_ACK].advice, MECHANISMS[Cause.DELAYED_ACK].source, frames, calls,
    )  # fmt: skip


def zero_window(scene: Scene, row: Connection) -> Iterator[Finding]:
    """A sender stalled because the reader's program did not read."""
    found = _parts(scene, row, Cause.PEER_WINDOW, Cause.WINDOW_PROBE)
    stalled_ns = _once(found)
    if stalled_ns < _STALL_NS:
        return
    longest = max((part for _, part in found), key=lambda part: part.length_ns)
    stops = len({part.text for _, part in found})
    frames, calls = _evidence(found)
    yield Finding(
        "zero_window", row.connection, Severity.HIGH,
        f"The sender stood still for {lasting(stalled_ns)}"
        f" {longest.text or 'because the window was closed'}"
        f"{more_such(stops)}.",
        MECHANISMS[Cause.PEER_WINDOW].advice, MECHANISMS[Cause.PEER_WINDOW].source, frames, calls,
    )  # fmt: skip


def send_buffer(scene: Scene, row: Connection) -> Iterator[Finding]:
    """A program that could not write on, with all that it had written sent."""
    found = _parts(scene, row, Cause.SEND_BUFFER)
    found += [item for item in _parts(scene, row, Cause.DELAYED_ACK) if "Nagle" not in item[1].text]
    stalled_ns = _once(found)
    if stalled_ns < _STALL_NS:
        return
    call, longest = max(found, key=lambda item: item[1].length_ns)
    path = scene.path(row.connection)
    if path is None:  # a pipe or a Unix socket
        stops = len({part.text for _, part in found})
        text = f"The writer stood still for {lasting(stalled_ns)} {longest.text}" \
               f"{more_such(stops)}."  # fmt: skip
    else:
        sender = path.senders[Side(call.side or Side.CLIENT).outbound]
        last_ns = longest.stop_ns - 1
        flight = sender.nxt(last_ns) - sender.una(last_ns)
        gone = counted(flight, "byte")
        text = (
            f"The send buffer of the {sender.direction.sender} was too small for the path: for"
            f" {lasting(stalled_ns)} its program could not write on, while {gone} were on their"
            " way or their ACK was"
        )
        if row.handshake_ns and row.handshake_ns >= _MS:
            rate = flight * 1_000_000_000 // row.handshake_ns
            text += (
                f"; with a round trip of {lasting(row.handshake_ns)} that is at most"
                f" {rate:,} bytes/s"
            )
        text += "."
    frames, calls = _evidence(found)
    yield Finding(
        "send_buffer", row.connection, Severity.MEDIUM, text,
        MECHANISMS[Cause.SEND_BUFFER].advice, MECHANISMS[Cause.SEND_BUFFER].source, frames, calls,
    )  # fmt: skip


def backlog_overflow(scene: Scene, row: Connection) -> Iterator[Finding]:
    """The listener's queue was full: a SYN that came had no answer."""
    found = _parts(scene, row, Cause.BACKLOG_FULL)
    if not found:  # no call waited for it to be sent again
        yield from listeners.overflow(scene, row)
        return
    frames, calls = _evidence(found)
    sure = any(part.certainty is Certainty.OBSERVED for _, part in found)
    word = "overflowed" if sure else "seems to have overflowed"
    listener = _listener(scene, row)
    backlog = ""
    if listener is not None and listener.args.strip().removeprefix("-").isdecimal():
        clipped = clipped_text(listener, backlog_of(scene, listener))
        backlog = f" (listen({listener.args}) #{listener.call}{clipped})"
    yield Finding(
        "backlog_overflow", row.connection, Severity.HIGH,
        f"The accept queue {word}{backlog}: the client waited {lasting(_once(found))} for the"
        " SYN to be sent again.",
        MECHANISMS[Cause.BACKLOG_FULL].advice, MECHANISMS[Cause.BACKLOG_FULL].source, frames, calls,
    )  # fmt: skip


def _listener(scene: Scene, row: Connection) -> Call | None:
    path = scene.path(row.connection)
    listener = scene.listener(path.track) if path is not None else None
    if listener is None or listener.listened_by is None:
        return None
    return scene.call(listener.listened_by)


def slow_accept(scene: Scene, row: Connection) -> Iterator[Finding]:
    """A connection that was complete stood in the queue, and nobody called accept."""
    found = [
        (call, part) for call, part in _parts(scene, row, Cause.ACCEPT_QUEUE)
        if part.length_ns >= _SLOW_ACCEPT_NS
    ]  # fmt: skip
    if not found:
        return
    frames, calls = _evidence(found)
    yield Finding(
        "slow_accept", row.connection, Severity.MEDIUM,
        f"The connection was complete, and for {lasting(_once(found))} nobody called accept while"
        " the client waited.",
        MECHANISMS[Cause.ACCEPT_QUEUE].advice, MECHANISMS[Cause.ACCEPT_QUEUE].source, frames, calls,
    )  # fmt: skip


def loss_recovery(scene: Scene, row: Connection) -> Iterator[Finding]:
    """Calls waited for what was lost to be sent again."""
    found = _parts(scene, row, *_RECOVERIES)
    if not found:
        return
    lost_ns = _once(found)
    longest = max((part for _, part in found), key=lambda part: part.length_ns)
    frames, calls = _evidence(found)
    what, advice = "Losses cost", MECHANISMS[Cause.RTO].advice
    if _lost_nothing(scene, row):
        what = "Nothing was lost, but what came late, or was thought to be lost, cost"
        advice = "Find out what holds segments up, or lets one overtake another."
    yield Finding(
        "loss_recovery", row.connection, Severity.HIGH if lost_ns > 100 * _MS else Severity.MEDIUM,
        f"{what} {lasting(lost_ns)} of waiting; the longest"
        f" {longest.text or MECHANISMS[longest.cause].says}.",
        advice, MECHANISMS[longest.cause].source, frames, calls,
    )  # fmt: skip


def _lost_nothing(scene: Scene, row: Connection) -> bool:
    """Whether a wire brought every frame of a connection to its other end."""
    path = scene.path(row.connection)
    return path is not None and all(
        one.packet._wired and reached(one.packet) for one in path.track.rows
    )
