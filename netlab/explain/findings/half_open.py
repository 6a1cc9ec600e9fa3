"""A connection that one end no longer has while the other believes in it: the half-open peer.

It comes about when the FIN or RST of the end that went is lost, or when its kernel gave up without
a word, as Linux does once its resends or TCP_USER_TIMEOUT are over (tcp_write_err). The other end
learns of it by the RST that answers what it sends next, a keep-alive probe too.
Read first: `answered`; RFC 9293 3.5.1 (half-open connections), 3.10.7.1.
"""

from __future__ import annotations

from netlab.correlate.arrivals import arrival_ns, may_have_reached, reached
from netlab.correlate.flows import ACK, FIN, SYN
from netlab.correlate.segments import Row
from netlab.explain.answered import asked_by
from netlab.explain.findings.reset_frames import Told
from netlab.explain.path import Path
from netlab.explain.scene import Scene
from netlab.explain.wording import counted, lasting, name_of, rule_text
from netlab.model.tables import Call, Connection, Packet, Role, Side

_LONG_NS = 100_000_000  # what nobody would have noticed sooner is not worth an advice
_NOTICE = "a time-out or keep-alives there find sooner that its peer is gone"


def heard_late(scene: Scene, path: Path, side: Side, packet: Packet) -> Told | None:
    """Of a RST that was lost: what its receiver believed in, and until when; None: it was not."""
    other = side.inbound.sender
    if not packet._wired or may_have_reached(packet):
        return None
    lost = f"; that RST was lost on the wire{rule_text(packet)}"
    later = next(
        (p for p in path.track.halves[side.outbound].resets
         if not p._made and reached(p) and p.time_ns > packet.time_ns), None,
    )  # fmt: skip
    if later is None:
        return Told(f"{lost}, and the {other} was not told by another")
    length = lasting(arrival_ns(later) - packet.time_ns)
    asked = asked_by(path, side, later)
    if asked is None:
        text = f"{lost}, and the {other} was told {length} later (frame {later.frame})"
        return Told(text, "", (later.frame,))
    what, calls = _asker(scene, path, side, asked)
    text = (
        f"{lost}, so the {other}'s end was half-open for {length}, until frame {later.frame}"
        f" answered {what}"
    )
    long = arrival_ns(later) - packet.time_ns >= _LONG_NS
    advice = f" At the {other}: {_NOTICE}." if long and not path.is_keep_alive(asked) else ""
    return Told(text, advice, (asked.segment.frame, later.frame), calls)


def no_longer_known(
    scene: Scene, row: Connection, path: Path, side: Side, packet: Packet
) -> Told | None:
    """Of a RST for a frame that came too late: who had ended the connection, and whether the other
    could know. None: it does not have that form, or how it ended is not seen."""
    asked = asked_by(path, side, packet)
    if asked is None or packet._flags & (ACK | SYN) or asked.packet._flags & SYN:
        return None
    what, calls = _asker(scene, path, side, asked)
    other = side.inbound.sender
    notice = "" if path.is_keep_alive(asked) else f" At the {other}: {_NOTICE}."
    told = _gave_up(scene, row, side, asked)
    if told is not None:
        return Told(
            f"it answered {what}, for a connection that it no longer had: {told.text}, and the"
            f" {other}'s end had been half-open since",
            f"Find out why the {other} was silent to it.{notice}",
            (asked.segment.frame,), (*told.calls, *calls),
        )  # fmt: skip
    fin = next(
        (one for one in path.track.rows
         if one.direction is side.outbound and not one.packet._made
         and one.packet in path.track.halves[side.outbound].fins
         and one.packet.time_ns <= asked.packet.time_ns), None,
    )  # fmt: skip
    if fin is None:
        return None
    closer = _closer(scene, row, side, fin, asked)
    who = name_of(closer) if closer is not None else "its program"
    frames = (fin.segment.frame, asked.segment.frame)
    calls = (*((closer.call,) if closer is not None else ()), *calls)
    if asked.segment.ack is not None and asked.segment.ack < fin.segment.seq + fin.segment.seg_len:
        return Told(
            f"it answered {what}, for a connection that {who} had closed; its FIN (frame"
            f" {fin.segment.frame}) had not come to the {other}, whose end was half-open",
            f"Find out what kept the FIN from the {other}.{notice}",
            frames, calls,
        )  # fmt: skip
    return Told(
        f"{who} had closed it (FIN of frame {fin.segment.frame}) before {what} came",
        "Stop sending once the peer has closed; look for the end of the stream first.",
        frames, calls,
    )  # fmt: skip


def _asker(scene: Scene, path: Path, side: Side, asked: Row) -> tuple[str, tuple[int, ...]]:
    """(the frame that was answered and what it was, its call)."""
    other = side.inbound.sender
    segment = asked.segment
    if path.is_keep_alive(asked):
        return f"the {other}'s keep-alive probe (frame {segment.frame})", ()
    if asked.packet._flags & FIN:
        return f"the {other}'s FIN (frame {segment.frame})", ()
    if not segment.payload_len_bytes or asked.probe:
        return f"frame {segment.frame}", ()
    size = counted(segment.payload_len_bytes, "byte")
    call = scene.writer(path.connection, side.inbound, segment.start)
    if call is None:
        return f"{size} of the {other} (frame {segment.frame})", ()
    return f"{size} of {name_of(call)} (frame {segment.frame})", (call.call,)


def _gave_up(scene: Scene, row: Connection, side: Side, asked: Row) -> Told | None:
    """That its kernel had given the peer up, where a call of this side had returned so by then."""
    failed = next(
        (call for call in scene.of_connection(row.connection)
         if call.side == side and call.errno == "ETIMEDOUT" and call.op != "connect"
         and call.returned_ns is not None and call.returned_ns <= arrival_ns(asked.packet)), None,
    )  # fmt: skip
    if failed is None or failed.returned_ns is None:
        return None
    timer = scene.option_at(row.connection, side, "TCP_USER_TIMEOUT", failed.returned_ns)
    by = "its kernel"
    calls: tuple[int, ...] = (failed.call,)
    if timer is not None and timer.on:
        by, calls = f"TCP_USER_TIMEOUT (call #{timer.call})", (timer.call, failed.call)
    return Told(f"{by} had given the peer up ({name_of(failed)}: ETIMEDOUT)", calls=calls)


def _closer(scene: Scene, row: Connection, side: Side, fin: Row, asked: Row) -> Call | None:
    """The close that nobody outlived, else the call that sent the FIN (the other end's, that read
    it, is none): after a shutdown for writing alone, what comes is taken until the close."""
    socket = scene.ends.get((row.connection, side))
    last = scene.call(socket.last_close) if socket is not None and socket.last_close else None
    if last is not None and last.entered_ns <= arrival_ns(asked.packet):
        return last
    calls = [scene.call(span.call) for span in scene.closers.get((Role.FIN, fin.segment.frame), ())]
    return next((call for call in calls if call.side != side.inbound.sender), None)
