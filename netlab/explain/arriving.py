"""One byte of a stream, or its end -> why it could be read when it could, and not before.

Told forward from where the line stands: until the peer's program wrote it (`peer`), until its stack
sent it (`held`), until the copy that was taken left (`recovery`), on the wire, and behind a gap.
Read first: reference on the meaning of `carried`, `delivered` and `released`.
"""

from __future__ import annotations

from netlab.correlate.arrivals import arrival_ns, came
from netlab.correlate.streams import fin_ready
from netlab.explain.accepting import tell_before
from netlab.explain.answered import asked_by, tell_question
from netlab.explain.causes import Cause, Certainty
from netlab.explain.endings import tell_process_end
from netlab.explain.flight import LATE, Gap, on_wire, tell_flight
from netlab.explain.held import DELAYED_AT_LEAST_NS, tell_held, tell_own_queue
from netlab.explain.moments import Holder
from netlab.explain.no_room import is_thrown_away
from netlab.explain.parts import Line
from netlab.explain.path import Path
from netlab.explain.peer import tell_inside
from netlab.explain.queues import is_never_taken, tell_kept_out
from netlab.explain.recovery import tell_recovery
from netlab.explain.sender import Sender, Write
from netlab.explain.too_big import before_it, mtu_rule, too_big
from netlab.explain.wording import fate_text, name_of
from netlab.model.tables import Call, Direction, Fate, Packet, Role

_PROMPT_NS = 2_000_000  # the stack's own work, on a busy machine


def tell_byte(line: Line, path: Path, direction: Direction, byte: int) -> int | None:
    """Why byte `byte` was not readable earlier; returns when it was. None: it is not known."""
    sender = path.senders[direction]
    frame = sender.stream.ready.at(byte)
    if frame is None:
        return None
    packets = path.scene.packets
    ready_ns = arrival_ns(packets[frame])
    if ready_ns <= line.at_ns:
        return ready_ns
    until = Line(line.at_ns, min(ready_ns, line.stop_ns))
    carried = sender.stream.carried.at(byte)
    accepted = sender.stream.accepted.at(byte)
    if carried is None:
        return None
    first = packets[carried]
    taken = packets[accepted] if accepted is not None else first
    if not path.exact and path.scene.has_calls(path.connection, direction.sender):
        _two_clocks(line, path, direction, byte)
        return None
    writer = path.scene.writer(path.connection, direction, byte)
    behind_ns = _later_here(sender, first, byte, ready_ns)
    _leaves(until, path, sender, writer, byte, first)
    _sent_again(until, path, sender, byte, taken, behind_ns)
    tell_flight(until, taken, behind_ns, _missing(path, sender, taken))
    _behind_gap(until, sender, byte, ready_ns, frame)
    line.include(until.finish(), ready_ns)
    return ready_ns


def tell_unarrived(line: Line, path: Path, direction: Direction, byte: int) -> None:
    """Why a byte that was written had not come by the end of the line."""
    sender = path.senders[direction]
    carried = sender.stream.carried.at(byte)
    first = path.scene.packets[carried] if carried is not None else None
    writer = path.scene.writer(path.connection, direction, byte)
    if first is None:
        if writer is not None:
            tell_before(line, path.scene, writer, f"called {_plain(writer)}")
            tell_held(line, Holder(path, sender, Write(writer, writer.stop or 0, False)),
                      line.stop_ns)  # fmt: skip
        return
    _leaves(line, path, sender, writer, byte, first)
    tell_recovery(line, path, sender, byte, line.stop_ns)
    again = (r for r in sender.resends_back_from(line.stop_ns) if r.start <= byte < r.stop)
    last = next(again, None)
    packet = path.scene.packets[last.frame] if last is not None else first
    if packet.fate == Fate.DROPPED or packet._spoilt:
        rule = mtu_rule(packet)
        what = fate_text(packet) or "was lost"
        if rule is not None:
            what = f"did not pass the wire ({rule[1]})"
        line.until(
            line.stop_ns, Cause.RTO if rule is None else Cause.PATH_MTU, Certainty.INFERRED,
            (packet.frame,), (),
            f"because frame {packet.frame} {what}, and by then it had not been sent again",
        )  # fmt: skip
    elif packet._wired and packet.arrived_ns is None:
        line.until(line.stop_ns, Cause.NETWORK, Certainty.OBSERVED, (packet.frame,), (),
                   on_wire(packet))  # fmt: skip


def tell_acked(line: Line, path: Path, direction: Direction, byte: int) -> int | None:
    """Why the sender did not know earlier that byte `byte` was there; returns when it did."""
    sender = path.senders[direction]
    awaited = sender.ack_of(byte + 1, line.at_ns)
    carried = sender.stream.carried.at(byte)
    accepted = sender.stream.accepted.at(byte)
    if awaited is None or carried is None or accepted is None:
        return None
    ack = awaited.packet
    known_ns = arrival_ns(ack)
    if known_ns > line.stop_ns:
        return None
    first, taken = path.scene.packets[carried], path.scene.packets[accepted]
    until = Line(line.at_ns, known_ns)
    _leaves(until, path, sender, path.scene.writer(path.connection, direction, byte), byte, first)
    _sent_again(until, path, sender, byte, taken, None)
    tell_flight(until, taken, None)
    if ack.time_ns - until.at_ns >= DELAYED_AT_LEAST_NS:
        until.until(
            ack.time_ns, Cause.DELAYED_ACK, Certainty.INFERRED, (taken.frame, ack.frame), (),
            f"because the {direction.receiver} delayed its ACK (frame {ack.frame})",
        )  # fmt: skip
    until.until(ack.time_ns, Cause.COPY, Certainty.INFERRED, (ack.frame,), (),
                f"in which the {direction.receiver}'s stack acknowledged it")  # fmt: skip
    tell_flight(until, ack, None)
    line.include(until.finish(), known_ns)
    return known_ns


def _two_clocks(line: Line, path: Path, direction: Direction, byte: int) -> None:
    """Calls of both ends, and a capture at one: on whose side a frame waited, nobody knows."""
    writer = path.scene.writer(path.connection, direction, byte)
    if writer is not None:
        tell_before(line, path.scene, writer, f"called {_plain(writer)}")


def tell_end(line: Line, path: Path, direction: Direction) -> int | None:
    """Why the end of the stream was not readable earlier: the FIN, or what it waited for."""
    sender = path.senders[direction]
    fin = fin_ready(sender.stream, path.scene.packets)
    if fin is None:
        return None
    ready_ns = arrival_ns(fin)
    length = sender.stream.half.fin_off or 0
    if ready_ns <= line.at_ns:
        return ready_ns
    fins = [packet for packet in sender.stream.half.fins if not packet._made]
    cause = path.scene.caller_of(fins, Role.FIN, direction) or _ender(path, sender, fins)
    until = Line(line.at_ns, min(ready_ns, line.stop_ns))
    if cause is not None:
        tell_before(until, path.scene, cause, f"called {_plain(cause)}")
        if fins and sender.nxt(fins[0].time_ns - 1) >= length:
            tell_process_end(until, cause, fins[0].time_ns, (fins[0].frame,))
        if fins:
            _kept_open(until, path, cause, fins[0])
        write = sender.last_write(cause.entered_ns)
        if fins and write is not None and sender.una(cause.entered_ns) < length:
            tell_held(until, Holder(path, sender, write), sender.given_of(fins[0]))
    elif fins:
        _not_seen(until, path, sender, fins[0])
    if fins:
        _fin_leaves(until, sender, fins[0])
    taken = next(iter(came(fins)), None)
    if taken is not None and fins and taken is not fins[0]:
        until.until(
            taken.time_ns, Cause.RTO, Certainty.INFERRED, (fins[0].frame, taken.frame), (),
            f"because the FIN of frame {fins[0].frame} {fate_text(fins[0]) or 'was lost'}, until it"
            f" was sent again (frame {taken.frame})",
        )  # fmt: skip
    if taken is not None:
        tell_flight(until, taken, None)
    _behind_gap(until, sender, length, ready_ns, fin.frame)
    line.include(until.finish(), ready_ns)
    return ready_ns


def _kept_open(line: Line, path: Path, close: Call, fin: Packet) -> None:
    """A close while another thread was inside a call on the same socket: its FIN waits for that.

    close takes the descriptor away and ends no call; who is inside holds the socket until it
    returns, and the last to let go of it sends the FIN (fdget and fput in Linux; man 2 close).
    """
    scene = path.scene
    socket = scene.socket_of(close) if close.op == "close" and path.exact else None
    inside = [
        call for call in map(scene.call, socket.calls if socket is not None else ())
        if call.entered_ns < close.entered_ns
        and call.returned_ns is not None and call.returned_ns >= fin.time_ns
        and call.call in scene.explained
    ]  # fmt: skip
    if inside:
        left = Line(line.at_ns, min(fin.time_ns, line.stop_ns))
        text = f"before {name_of(inside[-1])} returned, which {_plain(close)} did not end"
        tell_inside(left, scene, inside[-1], text)
        line.include(left.parts, fin.time_ns)


def _fin_leaves(line: Line, sender: Sender, fin: Packet) -> None:
    """From the call that ended the stream to its FIN, with all bytes before it sent."""
    frames = (fin.frame,)
    given_ns = sender.given_of(fin)
    if given_ns - line.at_ns <= _PROMPT_NS:
        line.until(given_ns, Cause.COPY, Certainty.INFERRED, frames, (),
                   "in which the stack sent the FIN")  # fmt: skip
        tell_own_queue(line, sender, fin)
    elif sender.paced:
        line.until(
            fin.time_ns, Cause.PACING, Certainty.INFERRED, frames, (),
            f"because the {sender.direction.sender} spread its segments out (pacing)",
        )  # fmt: skip
    line.unknown(fin.time_ns, f"before the FIN of frame {fin.frame}, for a reason that is not seen")


def _ender(path: Path, sender: Sender, fins: list[Packet]) -> Call | None:
    """The call after which this side could say no more, where what held its FIN is not known."""
    call = path.scene.ender(path.connection, sender.direction.sender)
    return call if call is not None and fins and call.entered_ns <= fins[0].time_ns else None


def tell_reset(line: Line, path: Path, direction: Direction, packet: Packet) -> int:
    """Why the peer's reset did not come earlier."""
    ready_ns = arrival_ns(packet)
    until = Line(line.at_ns, min(ready_ns, line.stop_ns))
    cause = path.scene.caller_of([packet], Role.RST, direction)
    asked = asked_by(path, direction.sender, packet) if cause is None and path.exact else None
    answered = asked.packet if asked is not None else None
    if cause is not None:
        tell_before(until, path.scene, cause, f"called {_plain(cause)}")
        tell_process_end(until, cause, packet.time_ns, (packet.frame,))
    else:
        if is_never_taken(path):
            tell_kept_out(until, path, answered.time_ns if answered else packet.time_ns)
        if asked is not None:
            tell_question(until, path, asked)
        if answered is not None:
            until.unknown(answered.time_ns, f"before frame {answered.frame}, which was answered")
            tell_flight(until, answered, None)
        else:
            _not_seen(until, path, path.senders[direction], packet)
    if packet.time_ns - until.at_ns <= _PROMPT_NS:
        until.until(packet.time_ns, Cause.COPY, Certainty.INFERRED, (packet.frame,), (),
                    "in which the stack sent a reset")  # fmt: skip
    until.unknown(packet.time_ns, f"before the reset of frame {packet.frame}, for a reason that"
                  " is not seen")  # fmt: skip
    tell_flight(until, packet, None)
    line.include(until.finish(), ready_ns)
    return ready_ns


def _plain(call: Call) -> str:
    return f"{call.op} #{call.call}"


def _leaves(
    line: Line, path: Path, sender: Sender, writer: Call | None, byte: int, first: Packet
) -> None:
    """Until the first frame with the byte left."""
    if writer is None:
        _not_seen(line, path, sender, first)
        return
    tell_before(line, path.scene, writer, f"called {_plain(writer)}")
    holder = Holder(path, sender, Write(writer, writer.stop or 0, False))
    tell_held(line, holder, sender.given_of(first))
    tell_own_queue(line, sender, first)


def _not_seen(line: Line, path: Path, sender: Sender, packet: Packet) -> None:
    """The peer's calls were not recorded: what its frames alone say of the time before one left."""
    side = sender.direction.sender
    if path.scene.has_calls(path.connection, side):
        line.unknown(
            packet.time_ns, f"before frame {packet.frame}, which no recorded call explains"
        )
        return
    asked = _last_question(path, sender, packet)
    if path.exact:
        if asked is not None:
            _asked(line, path, sender.direction.reverse, asked)
            tell_flight(line, asked, None)
        line.until(
            packet.time_ns, Cause.PEER_APP, Certainty.INFERRED, (packet.frame,), (),
            f"before the {side} sent frame {packet.frame}, whose calls were not recorded",
        )  # fmt: skip
        return
    rtt_ns = path.scene.tables.connections[path.connection].handshake_ns
    if asked is None or rtt_ns is None:
        line.unknown(packet.time_ns, f"before frame {packet.frame} of the {side} was seen")
        return
    came_ns = max(packet.time_ns - rtt_ns, asked.time_ns)
    frames = (asked.frame, packet.frame)
    line.until(
        came_ns, Cause.PEER_APP, Certainty.INFERRED, frames, (),
        f"before the {side} answered frame {asked.frame}, whose calls were not recorded",
    )  # fmt: skip
    line.until(
        packet.time_ns, Cause.NETWORK, Certainty.INFERRED, frames, (),
        "on the wire, as long as the handshake took",
    )  # fmt: skip


def _asked(line: Line, path: Path, direction: Direction, asked: Packet) -> None:
    """Why the frame that was answered did not leave earlier."""
    byte = path.scene.start_of(asked)
    writer = path.scene.writer(path.connection, direction, byte) if byte is not None else None
    if writer is not None and writer.entered_ns <= line.at_ns < asked.time_ns:
        sender = path.senders[direction]
        holder = Holder(path, sender, Write(writer, writer.stop or 0, False))
        tell_held(line, holder, sender.given_of(asked))


def _last_question(path: Path, sender: Sender, packet: Packet) -> Packet | None:
    """The last frame with payload of the other end that can have led to this one."""
    other = path.senders[sender.direction.reverse]
    for row in other.departures_back_from(packet.time_ns):
        came_ns = arrival_ns(row.packet) if path.exact else row.packet.time_ns
        if came_ns <= packet.time_ns:
            return row.packet
    return None


def _sent_again(
    line: Line, path: Path, sender: Sender, byte: int, taken: Packet, behind_ns: int | None
) -> None:
    """Until the copy left that was taken; behind a gap of its own from when later bytes came."""
    if line.at_ns >= taken.time_ns:
        return
    repaired = Line(line.at_ns, min(taken.time_ns, line.stop_ns))
    tell_recovery(repaired, path, sender, byte, taken.time_ns)
    repaired.until(
        taken.time_ns, Cause.RTO, Certainty.INFERRED, (taken.frame,), (),
        f"until frame {taken.frame} sent again what was lost",
    )  # fmt: skip
    for part in repaired.finish():
        if behind_ns is not None and part.stop_ns > behind_ns:
            alone, behind = part.text, f"with later bytes here, {part.text}"
            if behind_ns > line.at_ns:  # both have one reason: the shorter does not say it again
                what = f"frame {part.frames[0]}" if part.frames else "a segment"
                if part.stop_ns - behind_ns < behind_ns - line.at_ns:
                    behind = f"with later bytes here, until {what} was sent again"
                else:
                    alone = f"in which nothing that was sent after {what} had come yet"
            line.until(behind_ns, part.cause, part.certainty, part.frames, part.calls, alone)
            cause = Cause.PATH_MTU if part.cause is Cause.PATH_MTU else Cause.HEAD_OF_LINE
            line.until(part.stop_ns, cause, part.certainty, part.frames, part.calls, behind)
        else:
            line.include([part], part.stop_ns)


def _missing(path: Path, sender: Sender, taken: Packet) -> Gap:
    """What became of the frame that had brought the same bytes before."""
    if not sender.resends:
        return LATE
    mine = next(
        (r for r in sender.resends_back_from(taken.time_ns) if r.frame == taken.frame), None
    )
    before = before_it(sender, mine) if mine is not None else None
    if mine is None or before is None:
        return LATE
    big = too_big(path, mine, before)
    if big is not None:
        return Gap(Cause.PATH_MTU, (big.frame,), f" with bytes of {big.which}")
    if before.fate == Fate.DROPPED or before._spoilt:
        text = f" in place of frame {before.frame}, which was lost"
        return Gap(Cause.HEAD_OF_LINE, (before.frame,), text)
    return LATE


def _later_here(sender: Sender, first: Packet, byte: int, ready_ns: int) -> int | None:
    """When a byte behind this one came and was taken, while this one was not readable."""
    stream = sender.stream
    if stream.all_accepted and not stream.resent and not len(stream.released):
        return None
    here = [
        arrival_ns(row.packet)
        for row in sender.departures_between(first.time_ns - 1, ready_ns)
        if row.segment.start > byte and _arrived(row.packet) and not is_thrown_away(sender, row)
    ]
    soonest = min(here, default=ready_ns)
    return soonest if soonest < ready_ns else None


def _arrived(packet: Packet) -> bool:
    return packet.arrived_ns is not None and not packet._spoilt if packet._wired else True


def _behind_gap(line: Line, sender: Sender, byte: int, ready_ns: int, frame: int) -> None:
    """The byte was here and an earlier one was not."""
    line.until(
        ready_ns, Cause.HEAD_OF_LINE, Certainty.OBSERVED, (frame,), (),
        f"behind a gap that frame {frame} filled",
    )  # fmt: skip
