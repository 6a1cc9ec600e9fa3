"""A send that slept, or a wait for room -> what kept the buffer full, moment by moment.

The buffer is freed by ACKs, so a sender sleeps until one comes, and often: in a moment with bytes
unsent it is what holds those (`held`). With all sent it is the buffer itself that is too small for
the way there and back: more room, and the program would have written on (`send_buffer`), whether
the ACK is on the wire or its sender sits on it (`delayed_ack`). A send returns when its last byte
is in the buffer, so from when that left it waited for nothing.
Read first: sk_stream_wait_memory and sk_stream_write_space in Linux.
"""

from __future__ import annotations

from dataclasses import replace

from netlab.correlate.arrivals import arrival_ns, came
from netlab.explain.causes import Cause, Certainty
from netlab.explain.held import RULES, tell_full
from netlab.explain.moments import Holder, line_rest, moment_of
from netlab.explain.parts import Line
from netlab.explain.path import Path
from netlab.explain.scene import Scene
from netlab.explain.sender import Sender, Write
from netlab.explain.too_big import mtu_rule
from netlab.explain.wording import fate_text
from netlab.model.call import RESTARTING, is_outbound
from netlab.model.tables import Call, Fate, Side

_SMALLEST_BUFFER = 46_080  # tcp_sndbuf_expand in Linux: ten segments, twice, with overhead
_OVERHEAD_OF_A_WRITE = 2_304
_WITHOUT_ROOM = RESTARTING | {"EAGAIN", "EINTR"}  # a signal ends only a send that sleeps for room
_FROM_FILES = frozenset({"sendfile", "sendfile64", "splice"})
_PROMPT_NS = 2_000_000  # from an ACK to the return of who slept for it, on a busy machine


def tell_room(
    line: Line, path: Path, call: Call, side: Side | None = None, until_ns: int | None = None
) -> int | None:
    """Until there was room; returns when. None: no ACK came, so nothing is known.

    `until_ns`: when the ACK came that made room, if that is known.
    """
    side = side or Side(call.side or Side.CLIENT)
    sender = path.senders[side.outbound]
    if until_ns is None:
        acks = sender.acks_between(line.at_ns, line.stop_ns)
        came_ns = arrival_ns(acks[-1].packet) if acks else None
        late = came_ns is None or line.stop_ns - came_ns > _PROMPT_NS
        if late and sender.acks_between(line.stop_ns, call.returned_by_ns or line.stop_ns):
            came_ns = line.stop_ns  # it returned then or later, and those may have ended it
        elif late and not is_outbound(call):
            came_ns = _left_just_before(line, sender) or came_ns
        if came_ns is None:
            return None
        until_ns = came_ns
    if call.stop is not None and is_outbound(call) and not cut_short(call):
        last = sender.stream.carried.overlaps(call.stop - 1, call.stop)
        if last:
            until_ns = min(until_ns, path.scene.packets[last[0][2]].time_ns)
    full = _full_text(path, side)
    write = Write(call, call.stop, False) if call.stop is not None else None
    holder = Holder(path, sender, write or sender.last_write(line.at_ns))
    for stop_ns in [*sender.moments(line.at_ns, until_ns), until_ns]:
        if line.done or stop_ns <= line.at_ns:
            continue
        moment = moment_of(holder, line.at_ns, stop_ns)
        if call.returned_ns is None and is_outbound(call):  # how much it queued is not known
            moment = replace(moment, unsent=max(moment.unsent, call.requested_bytes or 1))
        kept = Line(line.at_ns, min(stop_ns, line.stop_ns))
        _tell_never_again(kept, holder)
        rule = next((rule for rule in RULES if rule.condition(moment)), None)
        tell = rule.tell if rule is not None else None
        if tell is None and moment.flight and not moment.unsent:
            tell = tell_full
        if tell is not None:
            tell(kept, holder, moment)
        for part in kept.parts:
            if tell is not tell_full:  # which says so itself
                part = replace(part, text=f"{full}, {part.text}")
            line.include([part], part.stop_ns)
        line_rest(line, holder, moment)
    return until_ns


def _left_just_before(line: Line, sender: Sender) -> int | None:
    """When a frame with new bytes left that can have ended a wait for room, with no ACK to do it.

    Linux looks whether there is room, or how much is not sent yet (TCP_NOTSENT_LOWAT), when new
    bytes leave as well (tcp_event_new_data_sent, since 5.18): a timer may have sent them.
    """
    left = sender.departures_between(max(line.stop_ns - _PROMPT_NS, line.at_ns), line.stop_ns)
    new = [row for row in left if (row.segment.start or 0) >= sender.nxt(line.at_ns)]
    return new[-1].packet.time_ns if new else None


def _full_text(path: Path, side: Side) -> str:
    options = path.scene.options(path.connection, side)
    if any(option.name == "TCP_NOTSENT_LOWAT" and option.value for option in options):
        return "with the send buffer full, or more not sent than TCP_NOTSENT_LOWAT allows"
    return "with the send buffer full"


def _tell_never_again(line: Line, holder: Holder) -> None:
    """All of the line, where the oldest byte in flight was lost and never sent again."""
    sender, packets = holder.sender, holder.path.scene.packets
    una = sender.una(line.at_ns)
    first = sender.stream.carried.at(una)
    if first is None or una >= sender.nxt(line.at_ns):
        return
    again = [one for one in sender.resends if one.start <= una < one.stop]
    packet = packets[again[-1].frame if again else first]
    if packet.time_ns > line.at_ns or not (packet.fate == Fate.DROPPED or packet._spoilt):
        return
    rule = mtu_rule(packet)
    what = fate_text(packet) or "was lost"
    if rule is not None:
        what = f"did not pass the wire ({rule[1]})"
    line.until(
        line.stop_ns, Cause.RTO if rule is None else Cause.PATH_MTU, Certainty.INFERRED,
        (packet.frame,), holder.calls,
        f"because frame {packet.frame} {what}, and by then it had not been sent again",
    )  # fmt: skip


def reset_between(path: Path, side: Side, since_ns: int, until_ns: int) -> int | None:
    """When the peer's first reset came after `since_ns` and by then: room is waited for no more."""
    resets = map(arrival_ns, came(path.track.halves[side.inbound].resets))
    return min((ns for ns in resets if since_ns < ns <= until_ns), default=None)


def lacked_room(call: Call) -> bool:
    """Whether a send that returned found too little: it took less than it was given.

    One that failed otherwise did not look for room, or has none to wait for any more.
    """
    if call.errno is not None:
        return call.errno in _WITHOUT_ROOM
    if call.op in _FROM_FILES and not call.result:
        return False  # the end of the file
    taken = _taken_bytes(call)
    return taken is not None and taken < (call.requested_bytes or 0)


def cut_short(call: Call) -> bool:
    """Whether a send took less than it was given: it was not room that ended it."""
    taken = _taken_bytes(call)
    return taken is not None and 0 < taken < (call.requested_bytes or 0)


def _taken_bytes(call: Call) -> int | None:
    return sum(call._messages) if call._messages else call.result


def stuck_since_ns(path: Path, call: Call) -> int:
    """Since when a send that took less than it was given got no more room; at least its entry."""
    sender = path.senders[Side(call.side or Side.CLIENT).outbound]
    una, since_ns = sender.una(call.entered_ns), call.entered_ns
    for row in sender.acks_between(call.entered_ns, call.returned_ns or call.entered_ns):
        if (row.segment.ack or 0) - 1 > una:
            una, since_ns = (row.segment.ack or 0) - 1, sender.heard_ns(row.packet)
    return since_ns


def can_be_full(scene: Scene, path: Path, call: Call) -> bool:
    """Whether what was queued can have filled the send buffer, all of its overhead counted."""
    side = Side(call.side or Side.CLIENT)
    sender = path.senders[side.outbound]
    queued = (call.stop or 0) - sender.una(call.entered_ns)
    writes = sender.writes_since(sender.una(call.entered_ns), call.entered_ns)
    sizes = [
        option.value for option in scene.options(path.connection, side)
        if option.name in ("SO_SNDBUF", "SO_SNDBUFFORCE") and option.value is not None
    ]  # fmt: skip
    least = min([_SMALLEST_BUFFER, *(2 * size for size in sizes)])
    return queued * 2 + writes * _OVERHEAD_OF_A_WRITE > least
