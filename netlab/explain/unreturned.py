"""A call that never returned -> what it still waited for when its process or the recording ended.

Each story ends there, so nothing ended the wait: it says what had not come by then. Where it had
come, and the call was inside all the same, nobody knows why.
Read first: `stories` (the same of calls that returned), reference on calls still inside.
"""

from __future__ import annotations

from collections.abc import Callable

from netlab.correlate.arrivals import arrival_ns, on_its_way, reached, sent
from netlab.correlate.sockets import Socket
from netlab.explain.arriving import tell_byte, tell_unarrived
from netlab.explain.causes import Cause, Certainty
from netlab.explain.flight import on_wire
from netlab.explain.local_queue import tell_never_accepted, tell_no_local_accept
from netlab.explain.local_room import tell_no_local_room
from netlab.explain.low_water import wanted_by
from netlab.explain.opening import tell_connect
from netlab.explain.parts import Line, Part
from netlab.explain.path import Path
from netlab.explain.peer import tell_silent
from netlab.explain.queues import is_never_taken, tell_kept_out
from netlab.explain.scene import Scene
from netlab.explain.sending import tell_room
from netlab.explain.stopped import tell_stop
from netlab.explain.unwoken import (
    no_client_came,
    no_datagram_left_for,
    tell_no_client,
    tell_unwoken,
)
from netlab.explain.wording import name_of
from netlab.model.call import ACCEPTING, STOP, WAITING, is_inbound, is_outbound
from netlab.model.tables import Call, Direction, Packet, Side


def end_of(scene: Scene, call: Call) -> tuple[int, str]:
    """(until when the call was inside, whose end that was).

    Of a process that was killed only its parent knows the end, a moment later: that is the bound.
    """
    left = scene.exits.get((call.host, call.pid))
    if left is None:
        return max(scene.end_ns, call.entered_ns), "the recording"
    return max(left.returned_by_ns or left.entered_ns, call.entered_ns), "its process"


def parts_until_the_end(scene: Scene, call: Call) -> list[Part]:
    """The parts of a call that never returned: disjoint, in order, up to the end."""
    line = Line(call.entered_ns, end_of(scene, call)[0])
    if not line.done:
        _story(call)(line, scene, call)
        line.unknown(line.stop_ns, "for a reason that the recording does not show")
    return line.finish()


def _story(call: Call) -> Callable[[Line, Scene, Call], object]:
    if call.op in WAITING:
        return tell_unwoken
    if call.op in ACCEPTING:
        return _accept
    if call.op == "connect":
        return _connect
    if call.op == STOP:
        return tell_stop
    if is_outbound(call):
        return _send
    return _recv if is_inbound(call) else _other


def _other(line: Line, scene: Scene, call: Call) -> None:
    """What a call like this waits for is not known."""


# --- reading


def _recv(line: Line, scene: Scene, call: Call) -> None:
    socket = scene.socket_of(call)
    path = scene.path(call.connection)
    if socket is not None and (socket.is_local or not socket.is_stream):
        _message(line, scene, socket)
        return
    if path is None or call.side is None:
        return
    side = Side(call.side)
    sender = path.senders[side.inbound]
    moves = scene.moves(path.connection, side, side.inbound)
    first = max((other.stop or 0 for other in moves.calls), default=0)
    wanted = wanted_by(scene, path, call, first)
    told = Line(line.at_ns, line.stop_ns)
    ready = sender.stream.ready.overlaps(wanted.byte, wanted.byte + 1)
    frame = ready[0][2] if ready else None
    if frame is not None and arrival_ns(scene.packets[frame]) <= line.stop_ns:
        tell_byte(told, path, side.inbound, wanted.byte)
    else:  # where its end was sent: that the recv did not see it has a reason of its own
        tell_not_come(told, path, side, wanted.byte)
    wanted.include(line, told)


def tell_not_come(line: Line, path: Path, side: Side, byte: int) -> bool:
    """Why a byte had not come by the end of the line; False where the end was sent instead."""
    if _was_written(path, side, byte, line.stop_ns):
        tell_unarrived(line, path, side.inbound, byte)
    elif _ended(path, side.inbound, line.stop_ns):
        return False
    else:
        _nothing_sent(line, path, side)
    return True


def _was_written(path: Path, side: Side, byte: int, until_ns: int) -> bool:
    """Whether the peer's program had written the byte by then, or a frame with it had left."""
    writer = path.scene.writer(path.connection, side.inbound, byte)
    if writer is not None:
        return writer.entered_ns <= until_ns
    carried = path.senders[side.inbound].stream.carried.overlaps(byte, byte + 1)
    return bool(carried) and path.scene.packets[carried[0][2]].time_ns <= until_ns


def _ended(path: Path, direction: Direction, until_ns: int) -> bool:
    """Whether a FIN of this direction had left by then, or a reset had come."""
    half = path.track.halves[direction]
    came = any(reached(packet) and arrival_ns(packet) <= until_ns for packet in half.resets)
    return came or any(packet.time_ns <= until_ns for packet in half.fins)


def _nothing_sent(line: Line, path: Path, side: Side) -> None:
    """The peer's program had sent nothing more: what it did instead, as far as that is known."""
    other = side.inbound.sender
    scene = path.scene
    if side is Side.CLIENT and is_never_taken(path):
        tell_kept_out(line, path, line.stop_ns)
    last = next(
        (call for call in reversed(scene.of_connection(path.connection))
         if call.side == other and call.entered_ns < line.stop_ns), None,
    )  # fmt: skip
    if last is None:
        line.until(
            line.stop_ns, Cause.PEER_APP, Certainty.INFERRED, (), (),
            f"because the {other} had sent nothing more by then",
        )  # fmt: skip
        return
    said = f"because the {other}'s program had sent nothing more by then"
    inside = last.returned_ns is None or last.returned_ns > line.stop_ns
    if inside and last.op != "exit":
        said += f": it was inside {name_of(last)} itself"
    tell_silent(line, scene, last, said)


def _message(line: Line, scene: Scene, socket: Socket) -> None:
    """A datagram socket, a Unix socket, a pipe: nothing came."""
    home = scene.home(socket)
    if socket.is_local:
        other = scene.ends.get((home[0], home[1].inbound.sender)) if home is not None else None
        if other is None:
            tell_never_accepted(line, scene, socket)
        sure = other is not None and bool(other.calls)
        line.until(
            line.stop_ns, Cause.PEER_APP, Certainty.OBSERVED if sure else Certainty.INFERRED,
            (), (), "because nothing had been written at the other end by then",
        )  # fmt: skip
        return
    if not no_datagram_left_for(line, scene, socket):
        _under_way(line, scene, socket)  # where one went that came or was lost is not told here
        return
    line.until(line.stop_ns, Cause.PEER_APP, Certainty.INFERRED, (), (),
               "because no datagram had been sent to it by then")  # fmt: skip


def _under_way(line: Line, scene: Scene, socket: Socket) -> None:
    """Nothing had been sent to a socket until a datagram left, and that had not come by the end."""
    local = socket.local_endpoint
    sent = [
        packet for packet in scene.tables.packets
        if local is not None and packet.dport == local[1]
        and line.at_ns <= packet.time_ns <= line.stop_ns
    ]  # fmt: skip
    if not sent or not all(_comes_after(packet, line.stop_ns) for packet in sent):
        return
    first = min(sent, key=lambda packet: packet.time_ns)
    line.until(first.time_ns, Cause.PEER_APP, Certainty.INFERRED, (), (),
               "because no datagram had been sent to it by then")  # fmt: skip
    line.until(line.stop_ns, Cause.NETWORK, Certainty.INFERRED, (first.frame,), (),
               on_wire(first))  # fmt: skip


def _comes_after(packet: Packet, time_ns: int) -> bool:
    """Whether a datagram that had left was still on the wire at that time."""
    late = packet._wired and reached(packet) and arrival_ns(packet) > time_ns
    return packet.protocol == "UDP" and (late or on_its_way(packet))


# --- writing, beginnings, waits for several


def _send(line: Line, scene: Scene, call: Call) -> None:
    socket = scene.socket_of(call)
    if socket is not None and socket.is_local:
        tell_no_local_room(line, scene, call)
        return
    path = scene.path(call.connection)
    if path is not None and call.side is not None:
        tell_room(line, path, call, until_ns=line.stop_ns)


def _connect(line: Line, scene: Scene, call: Call) -> None:
    socket = scene.socket_of(call)
    if socket is not None and socket.is_local:
        tell_no_local_accept(line, scene, call)
        return
    path = scene.path(call.connection)
    if path is not None and sent(path.track.halves[Direction.C2S].syns):
        tell_connect(line, path, call)


def _accept(line: Line, scene: Scene, call: Call) -> None:
    socket = scene.socket_of(call)
    if socket is not None and socket.listens:
        known = socket.local_endpoint is not None
        if no_client_came(line, scene, [socket]):
            tell_no_client(line, Certainty.OBSERVED if known else Certainty.INFERRED)
