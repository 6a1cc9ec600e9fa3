"""The time before the peer's call that was waited for -> what the peer was waiting for itself.

`peer_app` is only what remains: the parts in which the peer's thread was inside a call are what
that call waited for. Calls are told in order of their return, so all that a thread returned from
before are told already: there are no cycles, and nothing is told twice.

A proxy, or a server of several clients, may wait for a third party meanwhile. That is named where
nothing of the waiting side was still on its way to it: else it would have waited for that as well.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import replace

from netlab.correlate.arrivals import arrival_ns
from netlab.explain.causes import BUSY, Cause, Certainty
from netlab.explain.endings import end_text
from netlab.explain.parts import Line, Part
from netlab.explain.scene import Scene
from netlab.explain.stopped import is_stop, tell_stopped
from netlab.explain.wording import name_of, who
from netlab.model.call import WAITING, is_inbound, is_outbound
from netlab.model.tables import Call, Side

# A peer that waits for a client, a time or a signal does what its program wants.
_OWN_WILL = BUSY | {Cause.NO_CLIENT, Cause.TIMER, Cause.SIGNAL, Cause.OTHER_EVENT, Cause.PEER_APP}
_STOPS_NS = 10_000_000  # stops by strace between two calls, on a busy machine
_ROLES = frozenset(Side)
_LOOKED_AT = 256  # calls of a thread before a wait, among which its question is
_SHORT_NS = 1_000_000  # a thread that did not run for less is a program at work


def tell_thread(line: Line, scene: Scene, call: Call, what: str) -> None:
    """What the peer's thread did up to its `call`; `what` that was to do: `called send #12`."""
    text = f"before {_program_of(call)} {what}"
    if call.op == "exit":
        text = end_text(call)
    _walk(line, scene, scene.before(call, line.at_ns), call, call.entered_ns, text)


def tell_silent(line: Line, scene: Scene, last: Call, text: str) -> None:
    """Everything up to the end, in which the thread of the peer's `last` call sent nothing."""
    earlier = [
        call for call in (*scene.before(last, line.at_ns), last)
        if call.returned_ns is not None and call.returned_ns <= line.stop_ns
    ]  # fmt: skip
    _walk(line, scene, earlier, last, line.stop_ns, text)


def tell_inside(line: Line, scene: Scene, call: Call, text: str) -> None:
    """Everything up to the end, in which the peer's `call` was inside: what it waited for."""
    _walk(line, scene, [call], call, line.stop_ns, text)


def _walk(
    line: Line, scene: Scene, earlier_calls: list[Call], call: Call, until_ns: int, text: str
) -> None:
    """The waits of the peer's earlier calls, and between them the peer's program."""
    before: Call | None = None
    for earlier in earlier_calls:
        if line.done:
            return
        if earlier.entered_ns > line.at_ns:
            _program(line, earlier.entered_ns, call, text + _busy(line, before, earlier, call))
        before = earlier
        if is_stop(earlier):
            tell_stopped(line, earlier)
            continue
        for part, owed in _parts(scene, earlier):
            if part.stop_ns <= line.at_ns:
                continue
            third = _third_party(scene, part, call, earlier)
            own = (part.cause in _OWN_WILL and not owed) or (
                part.cause is Cause.SCHEDULER and part.length_ns < _SHORT_NS
            )
            meant = _asked_instead(scene, part, call, earlier) if third is None else None
            if meant is not None:
                _for_another(line, min(part.stop_ns, until_ns), meant, earlier)
                _program(line, min(part.stop_ns, until_ns), call, text)
            elif third is not None:
                _program(line, min(third[1], until_ns), call, text)
                line.include([_inside(_naming(part, third[0]), earlier)], until_ns)
            elif own:
                _program(line, min(part.stop_ns, until_ns), call, text)
            else:
                line.include([_inside(part, earlier)], until_ns)
    _program(line, until_ns, call, text)


def _parts(scene: Scene, call: Call) -> Iterator[tuple[Part, bool]]:
    """The parts of a peer's call, and whether that was none of its own will.

    Of one that its timer ended, what it waited for is what the bytes did that it wanted.
    """
    owed = scene.owed.get(call.call)
    for part in scene.explained.get(call.call, ()):
        told = [one for one in owed.parts if one.start_ns < part.stop_ns] if owed else []
        if part.cause is not Cause.TIMER or not told:
            yield part, False
            continue
        if told[0].start_ns > part.start_ns:
            yield replace(part, stop_ns=told[0].start_ns), False
        for one in told:
            yield one, one.cause is Cause.TIMER


def _third_party(scene: Scene, part: Part, call: Call, inside: Call) -> tuple[int, int] | None:
    """(the connection of the program for which the peer waited, since when that mattered).

    None, where that was the one that waits for it, or what that sent came only afterwards; or where
    a loop was woken by a third party that it had asked nothing since it read the question.
    """
    if part.cause is not Cause.PEER_APP or not part.calls:
        return None
    about = scene.call(part.calls[-1]).connection
    if about is None or call.connection is None or about == call.connection:
        return None
    since_ns = part.start_ns
    path = scene.path(call.connection)
    if path is not None and call.side is not None:
        asked = next(path.senders[Side(call.side).inbound].departures_back_from(part.stop_ns), None)
        came_ns = arrival_ns(asked.packet) if asked is not None else since_ns
        if came_ns >= part.stop_ns:
            return None
        since_ns = max(since_ns, came_ns)
    asked_of = _asked_of(scene, call, inside) if inside.op in WAITING else None
    if asked_of is not None and about not in asked_of:
        return None
    return about, since_ns


def _asked_of(scene: Scene, call: Call, inside: Call) -> dict[int, Call] | None:
    """The other connections on which a thread wrote between reading the question that its `call`
    answers and a wait, with the first such write; None: it read no question.
    """
    thread = scene.threads[call.host, call.pid, call.tid]
    place = bisect_left(thread, inside.call, key=lambda one: one.call)
    asked: dict[int, Call] = {}
    for one in reversed(thread[max(place - _LOOKED_AT, 0) : place]):
        if one.connection is None or one.errno is not None:
            continue
        if one.connection == call.connection and is_inbound(one):
            return asked
        if is_outbound(one) and one.connection != call.connection:
            asked[one.connection] = one
    return None


def _asked_instead(scene: Scene, part: Part, call: Call, inside: Call) -> Call | None:
    """What a loop had to wait for on behalf of `call`, where another connection woke it.

    That is the first answer of the only one that it had asked since it read the question, from
    its beginning on; None: it asked several or none, or that answer came before.
    """
    if inside.op not in WAITING or part.cause is not Cause.PEER_APP or not part.calls:
        return None
    about = scene.call(part.calls[-1]).connection
    asked_of = _asked_of(scene, call, inside)
    if not asked_of or len(asked_of) != 1 or about is None or about in asked_of:
        return None
    (write,) = asked_of.values()
    if about == call.connection or write.connection is None or write.side is None:
        return None
    side = Side(write.side)
    first = scene.first_move(write.connection, side, side.inbound, write.entered_ns)
    if first is None or first.start is None:
        return None
    writer = scene.writer(write.connection, side.inbound, first.start)
    return writer if writer is not None and writer.entered_ns > part.start_ns else None


def _for_another(line: Line, until_ns: int, writer: Call, inside: Call) -> None:
    """Until somebody else answered what a loop had asked for whom it serves."""
    text = (
        f"before {_program_of(writer)} called {writer.op} #{writer.call} on connection"
        f" {writer.connection}"
    )
    told = Line(line.at_ns, min(writer.entered_ns, until_ns, line.stop_ns))
    told.until(told.stop_ns, Cause.PEER_APP, Certainty.INFERRED, (), (writer.call,), text)
    line.include(
        [replace(_inside(part, inside), third=writer.connection) for part in told.parts],
        told.stop_ns,
    )  # fmt: skip


def _naming(part: Part, third: int) -> Part:
    """The part, whose text says on which connection the third party was."""
    if part.third == third:
        return part
    return replace(part, text=f"{part.text} on connection {third}", third=third)


def _busy(line: Line, before: Call | None, after: Call, call: Call) -> str:
    """Says of a time between two calls of another connection which they are."""
    number = after.connection
    if before is None or number is None or number != before.connection:
        return ""
    if number == call.connection or after.entered_ns - line.at_ns < _SHORT_NS:
        return ""
    return f" (between {before.op} #{before.call} and {after.op} #{after.call} on connection" \
           f" {number})"  # fmt: skip


def _program(line: Line, until_ns: int, call: Call, text: str) -> None:
    """The peer's program, up to then: of what strace traced, a short time may be strace's own."""
    traced = call.witness.startswith("strace") and until_ns - line.at_ns <= _STOPS_NS
    certainty = Certainty.INFERRED if traced else Certainty.OBSERVED
    line.until(until_ns, Cause.PEER_APP, certainty, (), (call.call,), text)


def _inside(part: Part, call: Call) -> Part:
    """A part of another call, which says so: of several, one inside the other, the innermost."""
    if part.inside is not None:
        return part
    calls = tuple(dict.fromkeys((call.call, *part.calls)))
    text = f"{part.text} (inside {name_of(call)})"
    return replace(part, calls=calls, text=text, inside=call.call)


def _program_of(call: Call) -> str:
    """`the server's program`; where an actor made it, that is a program: `worker-1`."""
    name = who(call)
    return f"the {name}'s program" if name in _ROLES else name
