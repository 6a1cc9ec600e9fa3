"""Findings about silence: a close after it, like a timer's, and keep-alives that never came.

What a program meant no recording shows. A close right after a wait of its thread whose time was up,
or a whole number of five seconds after the last byte, is told as what it looks like.
Read first: man 7 tcp (TCP_KEEPIDLE), man 2 poll.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from netlab.correlate.arrivals import arrival_ns, reached, sent
from netlab.correlate.flows import ACK, RST
from netlab.explain.causes import Cause
from netlab.explain.findings.finding import Finding, Severity
from netlab.explain.path import Path
from netlab.explain.scene import Scene
from netlab.explain.wording import lasting, name_of
from netlab.model.call import is_closing, is_outbound
from netlab.model.tables import Call, Connection, Packet, Role, Side

_S = 1_000_000_000
_SILENCE_NS = _S
_BEHIND_TIMER_NS = 50_000_000  # a program on a busy machine closes so long after its wait
_ROUND_NS = 5 * _S  # what people write into a configuration: 5, 10, 15, 30, 60 seconds
_NEAR = 2  # a silence of half the time up to the first probe may be longer the next time
_KEEP_IDLE_S = 7_200  # net.ipv4.tcp_keepalive_time, where nobody changed it


def idle_timeout(scene: Scene, row: Connection) -> Iterator[Finding]:
    """One side ended the connection after a long silence, as a timer does."""
    path = scene.path(row.connection)
    if path is None and row.protocol == "tcp" and (told := _by_calls(scene, row)) is not None:
        yield told
    if path is None or row.handshake_ns is None:
        return
    end = _first_end(path)
    if end is None:
        return
    side, packet = end
    again = {resend.frame for resend in path.senders[side.outbound].resends}
    before = [
        r.packet for r in path.track.rows
        if r.segment.payload_len_bytes and not r.probe and r.packet.time_ns <= packet.time_ns
        and (reached(r.packet) if r.direction is side.inbound else r.segment.frame not in again)
    ]  # fmt: skip
    if not before:
        return
    last = max(before, key=arrival_ns)
    silent_ns = packet.time_ns - arrival_ns(last)
    if silent_ns < _SILENCE_NS:
        return
    timer = _timer_before(scene, row, side, packet)
    late_ns = silent_ns % _ROUND_NS
    is_round = silent_ns >= _ROUND_NS and late_ns < _BEHIND_TIMER_NS
    if timer is None and not is_round:
        return
    gave_up = timer is not None and is_closing(timer[1])
    asked = gave_up and last.direction == side.outbound
    late = _late(path, side, packet)
    yield _timed_out(
        row, side, silent_ns, timer, asked=asked, closed=f" (frame {packet.frame})",
        late=f"frame {late.frame}" if late is not None else "",
        frames=(last.frame, packet.frame, *((late.frame,) if late is not None else ())),
        calls=tuple(call.call for call in timer) if timer is not None else (),
    )  # fmt: skip


def _late(path: Path, side: Side, end: Packet) -> Packet | None:
    """What the other side sent after this end of a stream and a RST answered; who only ended his
    own stream (shutdown) still reads."""
    refused_ns = [p.time_ns for p in path.track.halves[side.outbound].resets if not p._made]
    return next(
        (r.packet for r in path.track.rows
         if r.direction is side.inbound and r.segment.payload_len_bytes and not r.probe
         and r.packet.time_ns > end.time_ns and reached(r.packet)
         and any(ns >= arrival_ns(r.packet) for ns in refused_ns)), None,
    )  # fmt: skip


def _by_calls(scene: Scene, row: Connection) -> Finding | None:
    """The same of a connection whose frames nobody captured: by its calls, behind a wait in vain
    alone."""
    ends = [(call, side) for side in Side if (call := scene.ender(row.connection, side))]
    if not ends:
        return None
    close, side = min(ends, key=lambda end: end[0].entered_ns)
    moved = [call for call in scene.of_connection(row.connection)
             if call.start is not None and call.stop != call.start]  # fmt: skip
    before = [call for call in moved if call.entered_ns <= close.entered_ns]
    if close.op == "exit" or not before:
        return None
    last = max(before, key=lambda call: call.returned_ns or call.entered_ns)
    silent_ns = close.entered_ns - (last.returned_ns or last.entered_ns)
    wait = _in_vain_before(scene, close)
    if silent_ns < _SILENCE_NS or wait is None:
        return None
    writes = [call for call in before if is_outbound(call)]
    asked = bool(writes) and is_closing(close) and writes[-1].side == side
    late = next(
        (call for call in moved if call.entered_ns > close.entered_ns and is_closing(close)
         and call.side == side.inbound.sender and is_outbound(call)), None,
    )  # fmt: skip
    return _timed_out(
        row, side, silent_ns, (wait, close), asked=asked, closed=f" ({close.op} #{close.call})",
        late=name_of(late) if late is not None else "",
        calls=(last.call, wait.call, close.call, *((late.call,) if late is not None else ())),
    )  # fmt: skip


def _timed_out(
    row: Connection,
    side: Side,
    silent_ns: int,
    timer: tuple[Call, Call] | None,
    *,
    asked: bool,
    closed: str,
    late: str,
    frames: tuple[int, ...] = (),
    calls: tuple[int, ...] = (),
) -> Finding:
    """In words. `asked`: its own bytes were the last; `late`: what came when it had closed.

    A server's own bytes may be the last of what it was asked; of a client's, the answer was to
    come.
    """
    other = side.inbound.sender
    only = timer is not None and not is_closing(timer[1])  # it may still read
    what = "ended its stream" if only else "closed the connection"
    shown = f", right after {name_of(timer[0])} had waited in vain" if timer is not None else ""
    how = ", as an idle time-out does"
    advice = (
        "Where the other side still wanted it: a longer time-out here, or a shorter one there, so"
        " that who sends is the one who closes."
    )
    severity = Severity.LOW
    if asked and side is Side.CLIENT:
        severity = Severity.MEDIUM
        how = f", as who gives up does: the {other} had not answered its last bytes"
        advice = f"Find out what kept the {other} from answering, or wait longer."
    if late:
        severity = Severity.HIGH
        how += f". What the {other} sent came too late ({late})"
    return Finding(
        "idle_timeout", row.connection, severity,
        f"The {side} {what}{closed} after {lasting(silent_ns)} without a byte"
        f"{shown}{how}.",
        advice, "man 2 poll", frames, calls,
    )  # fmt: skip


def _first_end(path: Path) -> tuple[Side, Packet] | None:
    """Which side ended the connection first, and with which frame."""
    found = [
        (packet.time_ns, side, packet)
        for side in Side
        for packet in sent((
            *path.track.halves[side.outbound].fins, *path.track.halves[side.outbound].resets,
        ))
    ]  # fmt: skip
    if not found:
        return None
    _, side, packet = min(found, key=lambda item: item[0])
    return side, packet


def _timer_before(
    scene: Scene, row: Connection, side: Side, packet: Packet
) -> tuple[Call, Call] | None:
    """(a wait whose time was up, the close that the same thread made right after it)."""
    for role in (Role.FIN, Role.RST):
        for span in scene.closers.get((role, packet.frame), ()):
            close = scene.call(span.call)
            if close.connection != row.connection or close.side != side:
                continue
            wait = _in_vain_before(scene, close)
            if wait is not None:
                return wait, close
    return None


def _in_vain_before(scene: Scene, close: Call) -> Call | None:
    """The wait of the same thread just before a close whose time was up."""
    for wait in reversed(scene.before(close, close.entered_ns - _BEHIND_TIMER_NS)):
        if any(part.cause is Cause.TIMER for part in scene.explained.get(wait.call, ())):
            return wait
    return None


def keep_alive_unused(scene: Scene, row: Connection) -> Iterator[Finding]:
    """SO_KEEPALIVE is on, and a silence that was near that was too short for a first probe, or a
    peer was gone meanwhile: a conversation that goes on needs none."""
    path = scene.path(row.connection)
    if path is None or row.handshake_ns is None:
        return
    for side in Side:
        switch = scene.option_at(row.connection, side, "SO_KEEPALIVE", scene.end_ns)
        if switch is None or not switch.value:
            continue
        rows = path.track.rows
        if any(path.is_keep_alive(r) for r in rows if r.direction is side.outbound):
            continue
        silent_ns, frame = _longest_silence(path, side)
        idle_s, said = _keep_idle(scene, row, side)
        if not _SILENCE_NS <= silent_ns < idle_s * _S:
            continue
        if silent_ns * _NEAR < idle_s * _S and not _gone(path, side, frame):
            continue
        yield Finding(
            "keep_alive_unused", row.connection, Severity.LOW,
            f"Keep-alives of the {side} did nothing: the first probe goes out after {idle_s:,} s of"
            f" silence ({said}), and the longest was {lasting(silent_ns)} (from frame {frame}).",
            "A shorter TCP_KEEPIDLE, where a dead peer is to be found sooner.",
            "man 7 tcp", (frame,), (switch.call,),
        )  # fmt: skip


def _gone(path: Path, side: Side, frame: int) -> bool:
    """Whether the peer said no more behind this frame, whatever this side sent, or that it has no
    such connection (a RST without ACK: RFC 9293 3.10.7.1)."""
    packet = path.scene.packets[frame]
    later = [r for r in path.track.rows if arrival_ns(r.packet) > arrival_ns(packet)]
    heard = [r.packet for r in later if r.direction is side.inbound and reached(r.packet)]
    if not heard:
        return any(r.direction is side.outbound for r in later)
    return heard[0]._flags & (RST | ACK) == RST


def _longest_silence(path: Path, side: Side) -> tuple[int, int]:
    """(how long no frame left this side or came to it, the frame before it)."""
    seen = sorted(
        (row.packet.time_ns if row.direction is side.outbound else arrival_ns(row.packet),
         row.packet.frame)
        for row in path.track.rows if row.direction is side.outbound or reached(row.packet)
    )  # fmt: skip
    gaps = [(after - first, frame) for (first, frame), (after, _) in pairwise(seen)]
    return max(gaps, default=(0, 0))


def _keep_idle(scene: Scene, row: Connection, side: Side) -> tuple[int, str]:
    """(seconds of silence before the first probe, who says so)."""
    option = scene.option_at(row.connection, side, "TCP_KEEPIDLE", scene.end_ns)
    if option is not None and option.value is not None:
        return option.value, f"TCP_KEEPIDLE, call #{option.call}"
    socket = scene.ends.get((row.connection, side))
    for host in scene.raw.description.hosts:
        value = dict(host.sysctls).get("net.ipv4.tcp_keepalive_time", "")
        if socket is not None and host.name == socket.host and value.isdecimal():
            return int(value), "net.ipv4.tcp_keepalive_time"
    return _KEEP_IDLE_S, "the default of net.ipv4.tcp_keepalive_time"
