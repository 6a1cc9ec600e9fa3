"""A wait of a call -> what to change, as far as its cause alone does not tell.

Room is given in another way by a pipe than by a TCP socket. And a time that was up is nobody's
fault: what to change is what kept that which was waited for, or who was to send it; where neither
is known, nothing is said. So it is with a wait for several, with a program that only sleeps, and
with one that was for room (`timed_out` tells what kept that of TCP).
Read first: man 7 socket (SO_SNDBUF, SO_RCVTIMEO, SO_SNDTIMEO), man 7 pipe (F_SETPIPE_SZ), man 7
unix (max_dgram_qlen), man 7 mq_overview, man 2 msgctl, man 2 poll, RFC 8085 3.3 (UDP: who sends
again).
"""

from __future__ import annotations

from netlab.correlate.arrivals import arrival_ns, came, may_have_reached, sent
from netlab.explain.causes import MECHANISMS, Cause
from netlab.explain.parts import Part, Sense
from netlab.explain.path import Path
from netlab.explain.scene import Scene
from netlab.explain.stopped import is_stop
from netlab.explain.timed_out import Owed, home_of_poll, timer_is_set
from netlab.explain.wording import lasting, name_of
from netlab.model.call import WAITING, is_inbound, is_outbound
from netlab.model.tables import Call, Direction, Side

_FULL_WITHOUT_IT = {Sense.FREES_BUFFER: Cause.SEND_BUFFER, Sense.FREES_CWND: Cause.CWND}
_ROOM = {
    "tcp": "Where a reader is slow, let it read sooner. Set a larger SO_SNDBUF. A socket without"
    " one has a buffer that the kernel adapts, up to the third value of net.ipv4.tcp_wmem: raise"
    " that.",
    "unix": "Let its reader read sooner, or set a larger SO_SNDBUF where it is written (no more"
    " than net.core.wmem_max).",
    "pipe": "Let its reader read sooner, or make the pipe larger with F_SETPIPE_SZ (no more than"
    " fs.pipe-max-size).",
    "mq": "Let its reader read sooner, or make the queue larger: mq_maxmsg as it is made (POSIX),"
    " msg_qbytes (System V).",
}
_SHARED = (
    "Let its reader read sooner, or let more wait there: net.unix.max_dgram_qlen, as its socket is"
    " made, and SO_SNDBUF where it is written."
)
_ASK_AGAIN = (
    "UDP sends nothing again: find out where datagrams are lost, and ask again after a time not"
    " much longer than an answer takes."
)
_LARGER_WINDOW = (
    "Give its socket a larger SO_RCVBUF, before connect or listen (or none: then the kernel adapts"
    " it)."
)
_WHO_STOPPED = "Find out who stopped the program that was to read, and let it go on (SIGCONT)."
_MORE_TIME = " was on its way: allow more time than that takes."
_OF_ONE_OBJECT = frozenset({"pipe", "mq", "ring"})  # at which end a poll looked, is not known


def advice_of(scene: Scene, call: Call, part: Part) -> str:
    """What to change, of a call whose longest wait this part is; empty: nothing is known."""
    cause: Cause = part.cause
    if part.sense is not None:
        cause = _FULL_WITHOUT_IT.get(part.sense, cause)
    if cause is Cause.PEER_WINDOW and any(is_stop(scene.call(number)) for number in part.calls):
        return _WHO_STOPPED
    if cause is Cause.PEER_WINDOW and part.sense is Sense.FULL:  # whose program reads
        return _LARGER_WINDOW
    if cause is Cause.TIMER:
        return _of_timer(scene, call, part)
    if cause is Cause.SEND_BUFFER:
        return _of_room(scene, call, part)
    return MECHANISMS[cause].advice


# --- room


def _of_room(scene: Scene, call: Call, part: Part) -> str:
    """How what was full gets more room."""
    writer = scene.call(part.inside) if part.inside is not None else call
    numbers = {writer.connection}
    if writer.connection is None:  # a wait for several: what it cites tells
        numbers = {scene.call(number).connection for number in part.calls}
        numbers |= {scene.packets[frame].connection for frame in part.frames}
    ways = {scene.tables.connections[n].protocol for n in numbers if n is not None}
    if len(ways) != 1:
        return MECHANISMS[Cause.SEND_BUFFER].advice
    (way,) = ways
    if way == "unix" and not _is_pair(scene, writer, part):
        socket = scene.socket_of(writer)
        if socket is None:
            return MECHANISMS[Cause.SEND_BUFFER].advice
        if socket.kind == "SOCK_DGRAM":
            return _SHARED
    return _ROOM.get(way, MECHANISMS[Cause.SEND_BUFFER].advice)


def _is_pair(scene: Scene, writer: Call, part: Part) -> bool:
    """Whether it was written to a socketpair: of whatever kind, its ends share no queue."""
    return writer._roleless or any(scene.call(number)._roleless for number in part.calls)


# --- time


def _of_timer(scene: Scene, call: Call, part: Part) -> str:
    if part.inside is not None:  # another's wait, of which only a lost datagram is told so
        return _ASK_AGAIN
    if call.returned_ns is None or call.errno not in (None, "EAGAIN", "ETIMEDOUT", "EINPROGRESS"):
        return ""
    if call.op == "connect":
        return _of_handshake(scene, call, part.frames, part.calls)
    owed = scene.owed.get(call.call)
    if owed is None:
        return _of_nothing(scene, call, part)
    if owed.calls and not owed.parts and scene.call(owed.calls[0]).op == "connect":
        return _of_handshake(scene, call, owed.frames, owed.calls[1:])
    return _of_owed(scene, call, part, owed)


def _of_handshake(scene: Scene, call: Call, frames: tuple[int, ...], calls: tuple[int, ...]) -> str:
    """Of a connect without an answer: a full queue (a call shows it), a loss, or a long way.

    An answer that came later was on its way, unless it answers a SYN that was sent after all.
    """
    if calls:
        return MECHANISMS[Cause.BACKLOG_FULL].advice
    path = scene.path(scene.packets[frames[-1]].connection) if frames else None
    if path is None or call.returned_ns is None:
        return ""
    last, halves = scene.packets[frames[-1]], path.track.halves
    if last._wired and not may_have_reached(last):
        return MECHANISMS[Cause.SYN_RETRY].advice
    back = halves[Direction.S2C]
    late = [p for p in came((*back.syns, *back.resets)) if arrival_ns(p) > call.returned_ns]
    if not late and not (last._wired and arrival_ns(last) > call.returned_ns):
        return MECHANISMS[Cause.SYN_RETRY].advice
    until_ns = late[0].time_ns if late else call.returned_ns
    again = (p for p in sent(halves[Direction.C2S].syns) if p.time_ns > call.returned_ns)
    if any(p.time_ns < until_ns for p in again):
        return ""
    asks = last.direction == Direction.C2S and last._wired and arrival_ns(last) > call.returned_ns
    return f"The {'SYN' if asks else 'answer'}{_MORE_TIME}"


def _of_owed(scene: Scene, call: Call, part: Part, owed: Owed) -> str:
    """What had been sent by then, or what had no room: that which kept it, if it took long."""
    longest = max(owed.parts, key=lambda one: one.length_ns, default=None)
    if longest is None:
        return ""
    if longest.cause is Cause.TIMER:
        return _ASK_AGAIN
    if longest.cause is Cause.NETWORK:
        answer = call.side == Side.CLIENT and is_inbound(call)
        return f"{'The answer' if answer else 'What it waited for'}{_MORE_TIME}"
    if 2 * longest.length_ns < part.length_ns or longest.cause is Cause.UNKNOWN:
        return ""
    return advice_of(scene, call, longest)


def _of_nothing(scene: Scene, call: Call, part: Part) -> str:
    """Of a wait for room that no frame tells of, or for what nobody had sent."""
    socket = scene.socket_of(call)
    if is_outbound(call):
        return _of_room(scene, call, part) if socket is not None and socket.is_local else ""
    return _of_silence(scene, call)


def _of_silence(scene: Scene, call: Call) -> str:
    """Of a read, or a wait for one readable socket, to which nobody had sent anything."""
    home = _reads_at(scene, call)
    if home is None or call.returned_ns is None:
        return ""
    connection, side = home
    other = side.inbound.sender
    if not scene.has_calls(connection, other):
        return ""
    writes = [
        one for one in scene.of_connection(connection)
        if one.side == other and is_outbound(one) and (one.errno is None or (one.result or 0) > 0)
    ]  # fmt: skip
    before = [one for one in writes if one.entered_ns < call.returned_ns]
    if not _all_read(scene, connection, side, before, call.returned_ns):
        return ""
    path = scene.path(connection)
    if path is not None and _more_was_sent(scene, path, side, call.returned_ns):
        return ""
    more = " more" if before else ""
    later = next((one for one in writes if one.entered_ns >= call.returned_ns), None)
    if later is None:
        return (
            f"Nothing{more} was sent to it by then, nor later in this recording: look at what the"
            " peer's program did instead."
        )
    if _asked_again(scene, connection, side, call.returned_ns, later):
        return f"Nothing{more} was sent to it by then: look at what the peer's program did instead."
    after = lasting(later.entered_ns - call.returned_ns)
    return (
        f"Nothing{more} was sent to it by then; {name_of(later)} was made {after} later: let that"
        f" be sent sooner, or allow more time{_given(scene, call)}."
    )


def _all_read(scene: Scene, connection: int, side: Side, writes: list[Call], until_ns: int) -> bool:
    """Whether this side had read by then all that these calls had written to it."""
    reads = [
        one for one in scene.of_connection(connection)
        if one.side == side and is_inbound(one) and one.result
        and one.returned_ns is not None and one.returned_ns <= until_ns
    ]  # fmt: skip
    if any(one.stop is None for one in (*reads, *writes)):
        return False
    written = max((one.stop or 0 for one in writes), default=0)
    return written <= max((one.stop or 0 for one in reads), default=0)


def _asked_again(scene: Scene, connection: int, side: Side, since_ns: int, later: Call) -> bool:
    """Whether this side sent something before the peer did: that may be what `later` answers."""
    return any(
        is_outbound(one) and one.side == side and since_ns <= one.entered_ns < later.entered_ns
        for one in scene.of_connection(connection)
    )


def _more_was_sent(scene: Scene, path: Path, side: Side, until_ns: int) -> bool:
    """Whether bytes had left for this side by then that it had not read."""
    reads = scene.moves(path.connection, side, side.inbound).calls
    taken = [one.stop or 0 for one in reads if one.entered_ns < until_ns]
    return path.senders[side.inbound].nxt(until_ns) > max(taken, default=0)


def _reads_at(scene: Scene, call: Call) -> tuple[int, Side] | None:
    """The end at which a call waited for something to read; None: it is not known, or for room.

    Of a poll the events are not known. What has nothing of its own unread at the other end has
    room, so it was not that: a wait for room would have been over at once.
    """
    if is_inbound(call):
        if call.connection is None or call.side is None:
            return None
        return call.connection, Side(call.side)
    home = home_of_poll(scene, call) if call.op in WAITING else None
    if home is None or scene.tables.connections[home[0]].protocol in _OF_ONE_OBJECT:
        return None
    mine = [
        one for one in scene.of_connection(home[0])
        if one.side == home[1] and is_outbound(one) and one.call < call.call and one.errno is None
    ]  # fmt: skip
    read = _all_read(scene, home[0], home[1].outbound.receiver, mine, call.returned_ns or 0)
    return home if read else None


def _given(scene: Scene, call: Call) -> str:
    """What gave it its time, where that is known."""
    if call.op in WAITING:
        return f" ({call.op}'s timeout)"
    return " (SO_RCVTIMEO)" if timer_is_set(scene, call, "SO_RCVTIMEO") else ""
