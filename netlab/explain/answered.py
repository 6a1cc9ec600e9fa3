"""A reset that answers a frame -> why that frame did not leave earlier: the half-open peer's wait.

An end that no longer has a connection says so only when it is asked (RFC 9293 3.5.1): by what the
other sends next, by what it sends again, or by a keep-alive probe. Up to that frame who waits
believes in a peer that is gone. Where the FIN or RST that told so was lost, the wait was for the
peer's program only until then.
Read first: RFC 9293 3.10.7.1.
"""

from __future__ import annotations

from netlab.correlate.arrivals import arrival_ns, may_have_reached, reached
from netlab.correlate.flows import RST
from netlab.correlate.segments import Row
from netlab.explain.accepting import tell_before
from netlab.explain.causes import Cause, Certainty
from netlab.explain.endings import tell_process_end
from netlab.explain.held import tell_held
from netlab.explain.moments import Holder
from netlab.explain.parts import Line
from netlab.explain.path import Path
from netlab.explain.recovery import tell_recovery
from netlab.explain.sender import Write
from netlab.explain.wording import fate_text, name_of
from netlab.model.tables import Packet, Role, Side

_PROMPT_NS = 5_000_000  # a stack answers at once; a busy machine takes its time


def asked_by(path: Path, side: Side, packet: Packet) -> Row | None:
    """The frame just before it that a RST has the form of an answer to: its ACK is the number."""
    way_ns = 0 if path.exact else path.vantage.away(side)
    return next(
        (row for row in reversed(path.track.rows)
         if row.direction is side.inbound and reached(row.packet)
         and row.packet.seg_ack == packet.seg_seq
         and 0 <= packet.time_ns - arrival_ns(row.packet) <= _PROMPT_NS + way_ns), None,
    )  # fmt: skip


def tell_question(line: Line, path: Path, asked: Row) -> None:
    """Until a frame left that its peer answered with a reset."""
    goodbye = _lost_goodbye(path, asked)
    _until_it_went(line, path, asked, goodbye)
    packet, start = asked.packet, asked.segment.start
    if path.is_keep_alive(asked):
        said = _never_came(goodbye) if goodbye is not None else "its peer was gone"
        frames = (goodbye.frame, packet.frame) if goodbye is not None else (packet.frame,)
        line.until(
            packet.time_ns, Cause.KEEPALIVE,
            Certainty.INFERRED if goodbye is None else Certainty.OBSERVED, frames, (),
            f"because {said}, until a keep-alive probe asked (frame {packet.frame})",
        )  # fmt: skip
        return
    sender = path.senders[asked.direction]
    writer = path.scene.writer(path.connection, asked.direction, start)
    if writer is not None and writer.entered_ns > line.at_ns:
        said = f"{_never_came(goodbye)}, " if goodbye is not None else ""
        line.until(
            writer.entered_ns, Cause.OTHER_EVENT, Certainty.INFERRED, (packet.frame,),
            (writer.call,), f"because {said}nothing asked its peer until {name_of(writer)}",
        )  # fmt: skip
    elif writer is not None and asked.segment.payload_len_bytes:
        first = sender.stream.carried.at(start)
        left = path.scene.packets[first] if first is not None else packet
        holder = Holder(path, sender, Write(writer, writer.stop or 0, False))
        tell_held(line, holder, sender.given_of(left))
        tell_recovery(line, path, sender, start, packet.time_ns)


def _lost_goodbye(path: Path, asked: Row) -> Packet | None:
    """The first FIN or RST of the peer, if it was lost, and none came before it was asked."""
    half = path.track.halves[asked.direction.reverse]
    said = [p for p in (*half.fins, *half.resets)
            if not p._made and p.time_ns < asked.packet.time_ns]  # fmt: skip
    first = min(said, key=lambda packet: packet.time_ns, default=None)
    if first is None or any(map(may_have_reached, said)) or not first._wired:
        return None
    return first


def _until_it_went(line: Line, path: Path, asked: Row, goodbye: Packet | None) -> None:
    """Up to the call, or the end of a process, that ended the peer's side, where that is known."""
    scene, back = path.scene, asked.direction.reverse
    if goodbye is None:
        call = scene.ender(path.connection, back.sender)
        if call is None or call.entered_ns > asked.packet.time_ns:
            return
    else:
        role = Role.RST if goodbye._flags & RST else Role.FIN
        call = scene.caller_of([goodbye], role, back)
    if call is not None:
        tell_before(line, scene, call, f"called {call.op} #{call.call}")
        if goodbye is not None:
            tell_process_end(line, call, goodbye.time_ns, (goodbye.frame,))


def _never_came(goodbye: Packet) -> str:
    what = "reset" if goodbye._flags & RST else "FIN"
    return f"the {what} of frame {goodbye.frame} {fate_text(goodbye) or 'was lost'}"
