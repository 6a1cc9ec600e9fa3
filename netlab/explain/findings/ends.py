"""Findings about how a connection ended: who reset it, and what was never read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from netlab.correlate.arrivals import arrival_ns, came, reached
from netlab.correlate.flows import ACK, RST, SYN
from netlab.correlate.reasons import Reason
from netlab.correlate.socket_options import OptionSet
from netlab.explain.causes import MECHANISMS, Cause
from netlab.explain.endings import ended_ns
from netlab.explain.findings.finding import CITED, Finding, Severity
from netlab.explain.findings.half_open import heard_late, no_longer_known
from netlab.explain.findings.reset_frames import Told, answering, ending, silent_peer
from netlab.explain.lingering import linger_values
from netlab.explain.path import Path
from netlab.explain.queues import held_text, queue_at
from netlab.explain.scene import Scene
from netlab.explain.wording import counted, name_of
from netlab.model.call import is_closing, is_outbound
from netlab.model.tables import Call, Connection, Direction, Packet, Role, Side, Unmatched

_ENDING_NS = 500_000_000  # an interpreter under strace ends
_CRASHES = ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGTRAP", "SIGSYS")


def resets(scene: Scene, row: Connection) -> Iterator[Finding]:
    """The first RST of each side, with whose doing it was."""
    path = scene.path(row.connection)
    if path is None:
        return
    for side in Side:
        sent = [
            p for p in path.track.halves[side.outbound].resets
            if not p._made and not _outlived(path, side, p)
        ]  # fmt: skip
        if sent:
            yield _reset(scene, row, path, side, sent[0])


def _outlived(path: Path, side: Side, packet: Packet) -> bool:
    """Whether a RST ended nothing, for its number is not the next: its sender went on.

    The map of states says so (RFC 5961 3.2): after it, its sender was what it had been.
    """
    own = [row for row in path.track.rows if row.direction is side.outbound]
    state = next((r.segment.sender_state for r in own if r.packet is packet), None)
    return state in ("ESTABLISHED", "CLOSE-WAIT") and any(
        not row.packet._flags & (RST | SYN) and row.packet.time_ns > packet.time_ns for row in own
    )


def _reset(scene: Scene, row: Connection, path: Path, side: Side, packet: Packet) -> Finding:
    blamed = [
        scene.call(span.call) for span in scene.closers.get((Role.RST, packet.frame), ())
        if span.direction == side.outbound
    ]  # fmt: skip
    own = next((c for c in blamed if c.side == side or c.op in ("exit", "close")), None)
    other = next((c for c in blamed if c.side != side), None)
    if not blamed and not packet._flags & (ACK | SYN) and _lived_on(path, side, packet):
        return Finding(
            "reset", row.connection, Severity.MEDIUM,
            f"A reset in the name of the {side} came (frame {packet.frame}): no call did it, and"
            f" the {side} sent on afterwards, so something else made it.",
            "Look for what resets connections: a firewall, a load balancer, an attack.",
            "RFC 5961 3", (packet.frame,),
        )  # fmt: skip
    told = None
    if own is None and side is Side.SERVER and not packet._flags & ACK:
        told = _not_let_in(scene, path, packet)
    if own is None and told is None:
        told = (_silent(scene, row, path, side, packet) if packet._flags & ACK else
                no_longer_known(scene, row, path, side, packet))  # fmt: skip
    if told is None:
        told = _defendant(scene, row, path, side, packet, own, other)
    answered = (other.call,) if other is not None else ()
    calls, frames = (*told.calls, *answered), (packet.frame, *told.frames)
    text, advice = told.text, told.advice
    late = heard_late(scene, path, side, packet)
    if late is not None:
        text, advice = f"{text}{late.text}", f"{advice}{late.advice}"
        calls, frames = (*calls, *late.calls), (*frames, *late.frames)
    return Finding(
        "reset", row.connection, Severity.HIGH if own is not None else Severity.MEDIUM,
        f"The {side} reset the connection (frame {packet.frame}): {text}.",
        advice, "RFC 9293 3.10.7; RFC 2525 2.17",
        tuple(dict.fromkeys(frames)), tuple(dict.fromkeys(calls)),
    )  # fmt: skip


def _defendant(
    scene: Scene,
    row: Connection,
    path: Path,
    side: Side,
    packet: Packet,
    own: Call | None,
    other: Call | None,
) -> Told:
    """Whose doing a RST was: a call of its sender, one of the other end, or what frames say."""
    syn = any(p.time_ns <= packet.time_ns for p in path.track.halves[side.inbound].syns)
    answered = path.track.halves[side.outbound].syns
    if side is Side.SERVER and not answered and syn:
        return Told("nobody listens at that port", "Start the server first, or correct the port.")
    if own is not None:
        return _own_doing(scene, row, path, side, packet, own)
    asked = other is not None and is_outbound(other) and not packet._flags & ACK
    if other is not None and asked and _had_closed(scene, row, side, packet):
        return Told(
            f"{name_of(other)} sent to an end that was closed already",
            "Stop sending once the peer has closed; look for the end of the stream first.",
        )
    if not packet._flags & (ACK | SYN):
        return answering(path, side, packet)
    if not scene.has_calls(row.connection, side):
        return ending(path, side, packet)
    return Told(
        "which call did it, the recording does not show",
        f"Record the calls of the {side}, too: netlab lab, netlab trace.",
    )


def _own_doing(
    scene: Scene, row: Connection, path: Path, side: Side, packet: Packet, own: Call
) -> Told:
    """Of a RST that a call of its sender caused, or the end of its process."""
    calls = (own.call,)
    closed = scene.socket_of(own)
    if closed is not None and closed.listens:
        return Told(
            f"{name_of(own)} closed its listener before anybody had accepted it",
            "Accept what stands in the queue, or stop new clients, before closing a listener.",
            calls=calls,
        )
    unread = _unread(path, side, packet)
    if own.op == "exit" and own.args.startswith("SIG"):
        left = f" with {counted(unread, 'byte')} unread" if unread else ""
        return Told(
            f"its process was killed ({own.args}, {name_of(own)}){left}",
            "Find out why it crashed." if own.args.startswith(_CRASHES) else
            "Find out who sent that signal: a supervisor, a user, the out-of-memory killer.",
            calls=calls,
        )  # fmt: skip
    if unread and own.op == "exit" and not own.args:
        return Told(
            f"its process ended ({name_of(own)}) with {counted(unread, 'byte')} unread, by a signal"
            " or of its own will",
            "Find out how it ended: killed, crashed, or done before it had read all.",
            calls=calls,
        )
    if unread:
        return Told(
            f"{name_of(own)} left {counted(unread, 'byte')} unread",
            "Read to the end before close, or shut down writing first.",
            calls=calls,
        )
    linger = _linger(scene, row, side, packet.time_ns)
    if linger is not None:
        return Told(
            f"{name_of(own)} with SO_LINGER (call #{linger.call})",
            "Leave SO_LINGER out unless a reset is meant.",
            calls=(linger.call, own.call),
        )
    if own.op == "exit":
        return Told(f"{name_of(own)} ended the process that held it", "Close before the end.",
                    calls=calls)  # fmt: skip
    return Told(
        f"{name_of(own)} did it",
        "Look whether bytes were left unread, or SO_LINGER was on.",
        calls=calls,
    )


def _silent(scene: Scene, row: Connection, path: Path, side: Side, packet: Packet) -> Told | None:
    """Of a RST behind keep-alive probes: it ends them, by TCP_USER_TIMEOUT where that is set, else
    by their number (tcp_keepalive_timer)."""
    said = silent_peer(path, side, packet)
    if said is None:
        return None
    timer = scene.option_at(row.connection, side, "TCP_USER_TIMEOUT", packet.time_ns)
    if timer is None or not timer.on:
        return said
    return Told(
        f"{said.text}, and TCP_USER_TIMEOUT (call #{timer.call}) gave the peer up",
        "Find out why the peer was silent, or set a longer TCP_USER_TIMEOUT.",
        calls=(timer.call,),
    )


def _linger(scene: Scene, row: Connection, side: Side, time_ns: int) -> OptionSet | None:
    """The SO_LINGER in force at a time, where it makes a close abort: on, and for 0 s.

    With another time a close sends a FIN. A value that is not shown may be that one.
    """
    last = scene.option_at(row.connection, side, "SO_LINGER", time_ns)
    if last is None:
        return None
    values = linger_values(scene, last)
    return last if values is None or (values[0] and not values[1]) else None


def _had_closed(scene: Scene, row: Connection, side: Side, packet: Packet) -> bool:
    """Whether the last close of a side's socket was seen by then."""
    socket = scene.ends.get((row.connection, side))
    if socket is None or socket.last_close is None:
        return False
    return scene.call(socket.last_close).entered_ns <= packet.time_ns


def _not_let_in(scene: Scene, path: Path, reset: Packet) -> Told | None:
    """Of a RST that answers the last ACK of a handshake; None: the server was not opening yet.

    With tcp_abort_on_overflow Linux answers so where the accept queue is full (tcp_check_req).
    """
    before = [
        row for row in path.track.rows
        if row.direction is Direction.C2S and row.packet in came([row.packet])
        and arrival_ns(row.packet) <= reset.time_ns
    ]  # fmt: skip
    if not before or before[-1].segment.receiver_state != "SYN-RECEIVED":
        return None
    frames = (before[-1].segment.frame,)
    listener, queue = scene.listener(path.track), queue_at(path, reset.time_ns)
    closed = scene.call(listener.last_close) if listener and listener.last_close else None
    if closed is not None and closed.entered_ns <= reset.time_ns:
        return Told(
            f"{name_of(closed)} had closed its listener before the last ACK of the handshake came",
            "Stop new clients before closing a listener, or start it again sooner.",
            frames, (closed.call,),
        )  # fmt: skip
    advice = MECHANISMS[Cause.BACKLOG_FULL].advice
    if queue is not None and queue[1] > queue[2]:
        listen, waiting, backlog = queue
        return Told(
            f"the accept queue of {name_of(listen)} {held_text(waiting, backlog)} when the last ACK"
            " of the handshake came, and tcp_abort_on_overflow answers that by a reset",
            advice, frames, (listen.call,),
        )  # fmt: skip
    admitted = scene.admissions.queue_at(path.track.flow.server)
    most = admitted.waiting(reset.time_ns)[1] if admitted is not None else 0
    may = []
    if listener is None:
        may.append("where nobody listens any more")
    if admitted is None or admitted.broken or not admitted.has_room(most):
        may.append("where the accept queue is full under tcp_abort_on_overflow")
    why = "though its listener was open and its queue had room"
    if may:
        why = f"as Linux does {', or '.join(may)}; whether so, the recording does not show"
    return Told(
        f"it answered the last ACK of the handshake, {why}",
        "Look whether the server ended just then; if not, call accept sooner." if may else
        "Record the kernel's own reason: netlab lab --witness both, as root.", frames,
    )  # fmt: skip


def _lived_on(path: Path, side: Side, packet: Packet) -> bool:
    """Whether this side's connection was alive: it sent on afterwards, and nothing had ended it."""
    socket = path.scene.ends.get((path.connection, side))
    told = [p for p in came(path.track.halves[side.inbound].resets)
            if arrival_ns(p) <= packet.time_ns]  # fmt: skip
    if socket is None or told:
        return False
    calls = [path.scene.call(n) for n in socket.calls]
    if any(call.errno == "ETIMEDOUT" and call.entered_ns <= packet.time_ns for call in calls):
        return False
    return any(
        is_outbound(call) and call.errno is None and call.entered_ns > packet.time_ns
        for call in calls
    )


def _unread(path: Path, side: Side, packet: Packet) -> int:
    """Bytes that had come to this side by then and no call had returned."""
    sender = path.senders[side.inbound]
    moves = path.scene.moves(path.connection, side, side.inbound)
    if not path.scene.has_calls(path.connection, side):
        return 0
    read = max((call.stop or 0 for call in moves.calls), default=0)
    here = [
        row.segment.stop for row in sender.departed
        if row.packet in came([row.packet]) and arrival_ns(row.packet) <= packet.time_ns
    ]  # fmt: skip
    return max(max(here, default=0) - read, 0)


def is_pair(calls: Iterable[Call]) -> bool:
    """Whether these are of a socketpair, whose ends are neither a client nor a server."""
    return any(call.op == "socketpair" for call in calls)


def _wakes_itself(scene: Scene, row: Connection) -> bool:
    """Whether one process has both ends: a pair with which a thread wakes another, or its loop."""
    return len({(call.host, call.pid) for call in scene.of_connection(row.connection)}) == 1


def never_read(scene: Scene, row: Connection) -> Iterator[Finding]:
    """Bytes whose send succeeded, that the peer's program never read."""
    reasons = (Reason.CLOSED_UNREAD, Reason.STILL_QUEUED, Reason.RESET)
    rows = [item for item in scene.unread.get(row.connection, ()) if item.reason in reasons]
    if rows and row.protocol == "unix" and _wakes_itself(scene, row):
        return
    for side in Side:
        mine = [item for item in rows if item.direction == side.outbound]
        if not mine or not scene.has_calls(row.connection, side.outbound.receiver):
            continue
        total = sum(item.bytes for item in mine)
        writers = [
            scene.writer(row.connection, side.outbound, item.start) for item in mine
            if item.start is not None
        ]  # fmt: skip
        known = [call for call in writers if call is not None]
        if not known:
            continue
        if is_pair(scene.of_connection(row.connection)):
            if not _reader_was_ending(scene, row, side, known):
                yield _never_read_of_a_pair(row, known, total, mine[0].reason)
            continue
        why, frames, calls = _fate(scene, row, side, mine)
        yield Finding(
            "never_read", row.connection, Severity.HIGH,
            f"{name_of(known[0])} succeeded, and the {side.outbound.receiver} never read"
            f" {counted(total, 'byte')}: {why}.",
            "A send that succeeds only means that the kernel took it: let the peer's program"
            " answer.",
            "man 2 send", frames, tuple(dict.fromkeys((*(c.call for c in known[:CITED]), *calls))),
        )  # fmt: skip


def _fate(
    scene: Scene, row: Connection, side: Side, unread: Sequence[Unmatched]
) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    """(why they were not read, the frames that brought them, the calls that show it).

    What lay in the queue as its reader closed was thrown away by that; a reset came of it.
    """
    path = scene.path(row.connection)
    said = str(unread[0].reason)
    if path is None:
        return said, (), ()
    brought = [
        one for one in path.senders[side.outbound].departed
        if reached(one.packet) and any(
            item.start is not None and item.stop is not None
            and one.segment.start < item.stop and item.start < one.segment.stop
            for item in unread
        )
    ]  # fmt: skip
    frames = tuple(one.segment.frame for one in brought[:CITED])
    socket = scene.ends.get((row.connection, side.outbound.receiver))
    if socket is None or socket.last_close is None:
        return said, frames, ()
    close = scene.call(socket.last_close)
    if any(item.reason == Reason.STILL_QUEUED or item.start is None for item in unread):
        return said, frames, ()
    half = path.track.halves[side.inbound]
    departures = [p.time_ns for p in (*half.fins, *half.resets) if not p._made]
    over_ns = ended_ns(close, () if socket.shutdowns else departures)
    edge_ns = over_ns if over_ns in departures else close.entered_ns
    ended = [p.time_ns for p in half.resets if not p._made and p.time_ns < close.entered_ns]
    ended += [arrival_ns(p) for p in came(path.track.halves[side.outbound].resets)
              if arrival_ns(p) <= edge_ns]  # fmt: skip
    if ended:  # the connection was over before that close
        return said, frames, ()
    times = [
        min((arrival_ns(one.packet) for one in brought
             if one.segment.start <= byte < one.segment.stop), default=None)
        for item in unread for byte in (item.start, (item.stop or 0) - 1) if byte is not None
    ]  # fmt: skip
    early = [ns for ns in times if ns is not None and ns <= edge_ns]
    late = [ns for ns in times if ns is not None and ns > max(over_ns, edge_ns)]
    if len(early) + len(late) < len(times):
        return said, frames, ()
    one = sum(item.bytes for item in unread) == 1
    they, them = ("it", "it") if one else ("they", "them")
    why = f"{they} had come when {name_of(close)} threw {them} away"
    if late:
        why = f"{they} came after {name_of(close)}"
    if early and late:
        why = f"some had come when {name_of(close)} threw them away, the others came after it"
    return why, frames, (close.call,)


def _reader_was_ending(scene: Scene, row: Connection, side: Side, writers: Sequence[Call]) -> bool:
    """Whether every process that read at the other end of a pair had ended by then, or did soon:
    who tells the others so as he ends himself asks for no answer."""
    mine = {(call.host, call.pid) for call in writers}
    readers = {
        (call.host, call.pid) for call in scene.of_connection(row.connection)
        if call.side == side.outbound.receiver and not is_closing(call)
    } - mine  # fmt: skip
    ends = [scene.exits.get(reader) for reader in readers]
    last_ns = max(call.entered_ns for call in writers)
    return bool(ends) and all(
        end is not None and end.entered_ns <= last_ns + _ENDING_NS for end in ends
    )


def _never_read_of_a_pair(
    row: Connection, writers: Sequence[Call], size: int, reason: str
) -> Finding:
    """Processes of one program tell each other things so, the last of them as they end."""
    first = writers[0]
    return Finding(
        "never_read", row.connection, Severity.LOW,
        f"{first.actor} {first.op} #{first.call} succeeded, and at the other end of the socketpair"
        f" nobody read {counted(size, 'byte')}: {reason}.",
        "Where a program ends that is nothing; else let the other end answer before it is closed.",
        "man 2 socketpair; man 2 send", (), tuple(call.call for call in writers[:CITED]),
    )  # fmt: skip
