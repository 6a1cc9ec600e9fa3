"""Findings from the waits of a connection's calls: what cost time, and whose doing it was."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from netlab.correlate.arrivals import arrival_ns, may_have_reached, reached
from netlab.explain.causes import BUSY, MECHANISMS, Cause, Certainty
from netlab.explain.findings import listeners
from netlab.explain.findings.finding import CITED, Finding, Severity
from netlab.explain.local_queue import local_queue
from netlab.explain.parts import Part, Sense
from netlab.explain.path import Path
from netlab.explain.queues import listen_text, turned_away_text
from netlab.explain.scene import Scene
from netlab.explain.silence.silences import silences_of
from netlab.explain.stopped import is_stop
from netlab.explain.wording import counted, lasting, more_such
from netlab.model.tables import Call, Connection, Direction, Side

_MS = 1_000_000
_ALL = 1 << 62  # bytes
_SLOW_ACCEPT_NS = 10 * _MS
_STALL_NS = 10 * _MS
WHO_STOPPED = "Find out who stopped it: a debugger, job control, a supervisor."
GRAVE_NS = 100 * _MS  # what cost more is grave
_NO_TROUBLE = BUSY | {Cause.PEER_APP, Cause.NETWORK}  # most parts: no rule here asks for them


def parts_of(scene: Scene, row: Connection, *causes: Cause) -> list[tuple[Call | None, Part]]:
    """The parts of calls of this connection, or its silences, that have one of these causes."""
    assert _NO_TROUBLE.isdisjoint(causes)
    if row.connection not in scene.troubles:
        waits: list[tuple[Call | None, Part]] = [
            (call, part)
            for call in scene.of_connection(row.connection)
            for part in scene.explained.get(call.call, ())
        ]
        waits += [(None, part) for part in silences_of(scene, row.connection)]
        scene.troubles[row.connection] = [
            item
            for item in waits
            if item[1].cause not in _NO_TROUBLE and not _elsewhere(scene, row, item[1])
        ]
    return [item for item in scene.troubles[row.connection] if item[1].cause in causes]


def _elsewhere(scene: Scene, row: Connection, part: Part) -> bool:
    """Whether it was another connection that waited: its peer's program was inside that."""
    frames = [scene.packets[frame].connection for frame in part.frames]
    return bool(frames) and None not in frames and row.connection not in frames


def given_up(scene: Scene, row: Connection, *causes: Cause) -> list[tuple[Call | None, Part]]:
    """What waits on this connection that their timer ended had waited for, of these causes."""
    return [
        (scene.call(number), part)
        for number in scene.owed_on.get(row.connection, ())
        for part in scene.owed[number].parts
        if part.cause in causes
    ]


def evidence(found: list[tuple[Call | None, Part]]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The frames and calls that show it, not too many."""
    frames = dict.fromkeys(frame for _, part in found for frame in part.frames)
    calls = dict.fromkeys(
        number for call, part in found
        for number in ((call.call,) if call is not None else ()) + part.calls
    )  # fmt: skip
    return tuple(frames)[:CITED], tuple(calls)[:CITED]


def once(found: list[tuple[Call | None, Part]]) -> int:
    """How long, each moment counted once though calls of both ends waited for it."""
    total, edge = 0, 0
    for _, part in sorted(found, key=lambda item: item[1].start_ns):
        total += max(part.stop_ns - max(part.start_ns, edge), 0)
        edge = max(edge, part.stop_ns)
    return total


def _in_sense(
    found: list[tuple[Call | None, Part]], sense: Sense
) -> list[tuple[Call | None, Part]]:
    return [item for item in found if item[1].sense is sense]


def nagle_delayed_ack(scene: Scene, row: Connection) -> Iterator[Finding]:
    """A small segment waited for an ACK that the receiver delayed."""
    found = _in_sense(parts_of(scene, row, Cause.DELAYED_ACK), Sense.FREES_NAGLE)
    if not found:
        return
    held = {part.frames[-1] for _, part in found if part.frames}
    times = "once" if len(held) == 1 else f"{len(held)} times"
    frames, calls = evidence(found)
    told = "Nagle against delayed ACK: " if calls else \
           "Nagle against delayed ACK, by the times of the frames: "  # fmt: skip
    what = "write" if calls else "segment"
    yield Finding(
        "nagle_delayed_ack", row.connection, Severity.HIGH,
        f"{told}{times} a small {what} waited for an ACK that the receiver sat on,"
        f" {lasting(once(found))} in all.",
        MECHANISMS[Cause.DELAYED_ACK].advice, MECHANISMS[Cause.DELAYED_ACK].source, frames, calls,
    )  # fmt: skip


def zero_window(scene: Scene, row: Connection) -> Iterator[Finding]:
    """A sender stalled because the reader's program did not read."""
    causes = Cause.PEER_WINDOW, Cause.WINDOW_PROBE
    found = parts_of(scene, row, *causes) + given_up(scene, row, *causes)
    innocent = _reads_at_once(scene, row, [part for _, part in found])
    found = [  # another tells of the rest
        item for item in found if item[1].sense is not Sense.FULL and id(item[1]) not in innocent
    ]
    stalled_ns = once(found)
    if stalled_ns < _STALL_NS:
        return
    longest = max((part for _, part in found), key=lambda part: part.length_ns)
    stops = len({part.text for _, part in found})
    frames, calls = evidence(found)
    advice = MECHANISMS[Cause.PEER_WINDOW].advice
    if any(is_stop(scene.call(number)) for number in longest.calls):
        advice = WHO_STOPPED
    elif any(not may_have_reached(scene.packets[frame]) for frame in longest.frames):
        advice = MECHANISMS[Cause.RTO].advice  # what opened it was lost
    yield Finding(
        "zero_window", row.connection,
        Severity.HIGH if stalled_ns > GRAVE_NS else Severity.MEDIUM,
        f"The sender stood still for {lasting(stalled_ns)}"
        f" {longest.text or 'because the window was closed'}"
        f"{more_such(stops)}.",
        advice, MECHANISMS[Cause.PEER_WINDOW].source, frames, calls,
    )  # fmt: skip


def _reads_at_once(scene: Scene, row: Connection, found: list[Part]) -> set[int]:
    """Which of these (by id) had a reader that let nothing lie: what was in flight filled the
    window, and who waits for more, in a read or in a poll, is not why."""
    path = scene.path(row.connection)
    if path is None or not path.exact:
        return set()
    lay: dict[Direction, list[tuple[int, int]]] = {}
    innocent = set()
    for part in found:
        said = scene.packets[part.frames[0]] if part.frames else None
        if said is None or said.direction is None or part.cause is not Cause.PEER_WINDOW:
            continue
        if not said.seg_wnd_raw:
            continue  # it was closed, and not only full
        stream = Direction(said.direction).reverse  # a window is said by who reads
        if not scene.has_calls(row.connection, stream.receiver):
            continue
        if stream not in lay:
            lay[stream] = lying(scene, path, stream)
        place = bisect_left(lay[stream], (part.stop_ns, 0)) - 1
        if place < 0 or lay[stream][place][1] + _STALL_NS <= part.start_ns:
            innocent.add(id(part))
    return innocent


def lying(scene: Scene, path: Path, stream: Direction) -> list[tuple[int, int]]:
    """When bytes that had come lay unread for long, in order."""
    calls = scene.moves(path.connection, stream.receiver, stream).calls
    came = [(arrival_ns(one.packet), one.segment.stop, 0) for one in path.senders[stream].departed
            if reached(one.packet)]  # fmt: skip
    taken = [(call.entered_ns, 0, call.stop or 0) for call in calls]
    found, here, read, since_ns = [], 0, 0, None
    for ns, here_stop, read_stop in sorted([*came, *taken, (scene.end_ns, 0, _ALL)]):
        here, read = max(here, here_stop), max(read, read_stop)
        if here > read and since_ns is None:
            since_ns = ns
        elif here <= read and since_ns is not None:
            if ns - since_ns >= _STALL_NS:
                found.append((since_ns, ns))
            since_ns = None
    return found


def send_buffer(scene: Scene, row: Connection) -> Iterator[Finding]:
    """A program that could not write on, with all that it had written sent."""
    found = parts_of(scene, row, Cause.SEND_BUFFER)
    found += _in_sense(parts_of(scene, row, Cause.DELAYED_ACK), Sense.FREES_BUFFER)
    stalled_ns = once(found)
    if stalled_ns < _STALL_NS:
        return
    call, longest = max(found, key=lambda item: item[1].length_ns)
    path = scene.path(row.connection)
    advice = MECHANISMS[Cause.SEND_BUFFER].advice
    if path is None:  # a pipe or a Unix socket
        stops = len({part.text for _, part in found})
        text = f"The writer stood still for {lasting(stalled_ns)} {longest.text}" \
               f"{more_such(stops)}."  # fmt: skip
    else:
        assert call is not None  # of a capture without calls nobody knows what was written
        side = Side(call.side or Side.CLIENT)
        sender = path.senders[side.outbound]
        advice = _room_advice(scene, row, side)
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
    frames, calls = evidence(found)
    yield Finding(
        "send_buffer", row.connection, Severity.MEDIUM, text,
        advice, MECHANISMS[Cause.SEND_BUFFER].source, frames, calls,
    )  # fmt: skip


def _room_advice(scene: Scene, row: Connection, side: Side) -> str:
    """How a TCP socket gets a larger send buffer: one that was set stays as it is."""
    options = (option.name for option in scene.options(row.connection, side))
    if any(name in ("SO_SNDBUF", "SO_SNDBUFFORCE") for name in options):
        return "Set a larger SO_SNDBUF, or none: then the kernel adapts it."
    return (
        "No SO_SNDBUF was seen to be set, so the kernel adapts the buffer, up to the third value of"
        " net.ipv4.tcp_wmem: raise that, or set a larger SO_SNDBUF before connect or listen (it"
        " gets no more than net.core.wmem_max)."
    )


def backlog_overflow(scene: Scene, row: Connection) -> Iterator[Finding]:
    """The listener's queue was full: it ignored a SYN, or the last ACK and what came after it, or a
    connect to a Unix socket waited."""
    found = parts_of(scene, row, Cause.BACKLOG_FULL)
    if not found:  # no call waited for it to be sent again
        yield from listeners.overflow(scene, row)
        return
    frames, calls = evidence(found)
    sure = any(part.certainty is Certainty.OBSERVED for _, part in found)
    word = "overflowed" if sure else "seems to have overflowed"
    listener = _listener(scene, row)
    named = f" ({listen_text(scene, listener)})" if listener is not None else ""
    path = scene.path(row.connection)
    waited = lasting(once(found))
    again = "the SYN to be sent again" if path is not None else "an accept"
    text = f"the client waited {waited} for {again}"
    if path is not None and (said := turned_away_text(path)):
        text = f"{said}; that cost {waited} of waiting"
    yield Finding(
        "backlog_overflow", row.connection, Severity.HIGH,
        f"The accept queue {word}{named}: {text}.",
        MECHANISMS[Cause.BACKLOG_FULL].advice, MECHANISMS[Cause.BACKLOG_FULL].source, frames, calls,
    )  # fmt: skip


def _listener(scene: Scene, row: Connection) -> Call | None:
    path = scene.path(row.connection)
    if path is None:
        calls = scene.of_connection(row.connection)
        queues = [local_queue(scene, call) for call in calls if call.op == "connect"]
        listener = next((queue.listener for queue in queues if queue is not None), None)
    else:
        listener = scene.listener(path.track)
    if listener is None or listener.listened_by is None:
        return None
    return scene.call(listener.listened_by)


def slow_accept(scene: Scene, row: Connection) -> Iterator[Finding]:
    """A connection that was complete stood in the queue, and nobody called accept."""
    found = [
        (call, part) for call, part in parts_of(scene, row, Cause.ACCEPT_QUEUE)
        if part.length_ns >= _SLOW_ACCEPT_NS
    ]  # fmt: skip
    if not found:
        return
    frames, calls = evidence(found)
    yield Finding(
        "slow_accept", row.connection, Severity.MEDIUM,
        f"The connection was complete, and for {lasting(once(found))} nobody called accept"
        f"{'' if calls else ', as it seems,'} while the client waited.",
        MECHANISMS[Cause.ACCEPT_QUEUE].advice, MECHANISMS[Cause.ACCEPT_QUEUE].source, frames, calls,
    )  # fmt: skip
