"""accept -> what it waited for, until a connection stood in its queue.

Until the client's SYN left nobody wanted anything (`no_client`); then the handshake as a connect
waits for it, and its last ACK: on the wire, or lost until another frame did its work (tcp_check_req
in Linux), or ignored, since the queue was full, or where TCP_DEFER_ACCEPT has accept wait for the
client's first data.

Who waits for the peer's program waits for its accept first, where its socket came out of a queue,
and an accept that defers waits for the client's program: so both are told here (`tell_before`).
Read first: `opening`, `queues`, `correlate.accept_queue`; man 7 tcp on TCP_DEFER_ACCEPT.
"""

from __future__ import annotations

from netlab.correlate.arrivals import arrival_ns, came, reached, sent
from netlab.correlate.sockets import Socket
from netlab.explain.causes import Cause, Certainty
from netlab.explain.flight import tell_flight
from netlab.explain.held import tell_held
from netlab.explain.local_queue import tell_local_standing
from netlab.explain.moments import Holder
from netlab.explain.opening import tell_handshake, tell_prompt
from netlab.explain.parts import Line
from netlab.explain.path import Path
from netlab.explain.peer import tell_thread
from netlab.explain.queues import complete, kept_out, tell_kept_out, tell_standing, went_well
from netlab.explain.scene import Scene
from netlab.explain.sender import Write
from netlab.explain.wording import fate_text, name_of
from netlab.model.tables import Call, Direction, Packet, Side


def tell_accept(line: Line, path: Path, listener: Socket | None) -> int | None:
    """Until the connection stood in the queue; returns when. None: it is not known."""
    queued = complete(path, listener)
    syns = sent(path.track.halves[Direction.C2S].syns)
    if queued is None or not syns:
        return None
    if queued[0] <= line.at_ns:
        return queued[0]
    until = Line(line.at_ns, min(queued[0], line.stop_ns))
    until.until(syns[0].time_ns, Cause.NO_CLIENT, Certainty.OBSERVED, (syns[0].frame,), (),
                "because there was no client to accept")  # fmt: skip
    tell_handshake(until, path)
    last = path.scene.packets[queued[1]]
    _until_complete(until, path, listener, last)
    tell_flight(until, last, None)
    line.include(until.finish(), queued[0])
    return queued[0]


def _until_complete(line: Line, path: Path, listener: Socket | None, last: Packet) -> None:
    """From the SYN-ACK at the client until the frame left that put the connection in its queue."""
    acks = [p for p in path.track.handshake_acks if not p._made and p.time_ns <= last.time_ns]
    first = next(iter(acks), last)
    turned = [one.packet for one, _ in kept_out(path)]
    heard = turned[0] if turned else last  # the first that came, whatever became of it
    if not path.exact:  # seen at one end: on which side of it the time went, nobody knows
        answer = next(iter(came(path.track.halves[Direction.S2C].syns)), None)
        if turned:
            tell_kept_out(line, path, last.time_ns)
        elif first is last and answer is not None:
            line.until(last.time_ns, Cause.NETWORK, Certainty.INFERRED,
                       (answer.frame, last.frame), (), "for the SYN-ACK and its ACK")  # fmt: skip
    elif first is heard:
        tell_prompt(line, heard)
    elif not reached(first):
        _ack_lost(line, path, [p for p in acks if not reached(p)], heard)
    elif (option := _deferring(path.scene, listener, arrival_ns(first))) is not None:
        tell_prompt(line, first)
        tell_flight(line, first, None)
        _first_word(line, path, option, last)
    if turned and path.exact:
        tell_flight(line, heard, None)
        tell_kept_out(line, path, last.time_ns)
    line.unknown(last.time_ns, f"before frame {last.frame}, for a reason that is not seen")


def _ack_lost(line: Line, path: Path, lost: list[Packet], last: Packet) -> None:
    """The ACK of the SYN-ACK did not come: the server had to wait for another frame.

    That is the answer to a SYN-ACK that its timer sent again, or what the client sent next, where
    that came earlier.
    """
    tell_prompt(line, lost[0])
    again = [
        packet for packet in came(path.track.halves[Direction.S2C].syns)
        if lost[0].time_ns < packet.time_ns and arrival_ns(packet) <= last.time_ns
    ]  # fmt: skip
    frames = (*(packet.frame for packet in lost), last.frame)
    fate = fate_text(lost[0]) or "was lost on the wire"
    text = f"because the ACK of frame {lost[0].frame} {fate}"
    if again and arrival_ns(again[-1]) >= lost[-1].time_ns:
        line.until(
            again[-1].time_ns, Cause.SYN_RETRY, Certainty.OBSERVED, (*frames, again[-1].frame), (),
            f"{text}, until the SYN-ACK was sent again (frame {again[-1].frame})",
        )  # fmt: skip
        tell_flight(line, again[-1], None)
        tell_prompt(line, last)
        return
    if _answers_with_cookies(path):
        text += ", SYN cookies have no timer to send the SYN-ACK again"
    line.until(last.time_ns, Cause.SYN_RETRY, Certainty.OBSERVED, frames, (),
               f"{text}, and the client sent nothing before frame {last.frame}")  # fmt: skip


def _answers_with_cookies(path: Path) -> bool:
    """Whether the server's host answers every SYN with a cookie (net.ipv4.tcp_syncookies 2)."""
    listener = path.scene.listener(path.track)
    hosts = path.scene.raw.description.hosts
    return listener is not None and any(
        host.name == listener.host and dict(host.sysctls).get("net.ipv4.tcp_syncookies") == "2"
        for host in hosts
    )


def _deferring(scene: Scene, listener: Socket | None, time_ns: int) -> Call | None:
    """The setsockopt(TCP_DEFER_ACCEPT) that was in force at the listener then."""
    changes = listener.defer_accept if listener is not None else ()
    earlier = [(n, on) for n, on in changes if (scene.call(n).returned_ns or time_ns) < time_ns]
    return scene.call(earlier[-1][0]) if earlier and earlier[-1][1] else None


def _first_word(line: Line, path: Path, option: Call, last: Packet) -> None:
    """TCP_DEFER_ACCEPT has accept wait for the client's first data: its program had not sent any.

    Its first write is told as a reader would have waited for it.
    """
    writer = path.scene.writer(path.connection, Direction.C2S, 0)
    why = f", for which TCP_DEFER_ACCEPT has accept wait ({name_of(option)})"
    told = Line(line.at_ns, min(last.time_ns, line.stop_ns))
    if not last.payload_len_bytes:
        return
    if writer is None:
        if not path.scene.has_calls(path.connection, Side.CLIENT):
            line.until(
                last.time_ns, Cause.PEER_APP, Certainty.INFERRED, (last.frame,), (option.call,),
                f"before the client sent data (frame {last.frame}){why}",
            )  # fmt: skip
        return
    tell_before(told, path.scene, writer, f"called {writer.op} #{writer.call}{why}")
    sender = path.senders[Direction.C2S]
    holder = Holder(path, sender, Write(writer, writer.stop or 0, False))
    tell_held(told, holder, last.time_ns)
    line.include(told.parts, told.at_ns)


# --- who waits for a server waits for somebody to call accept, too


def tell_before(line: Line, scene: Scene, call: Call, what: str) -> None:
    """Everything up to the entry of the peer's `call`; `what` it was to do: `called send #12`."""
    _accept_queue(line, scene, call)
    tell_thread(line, scene, call, what)


def _accept_queue(line: Line, scene: Scene, call: Call) -> None:
    """Until somebody called accept, where the peer's socket came out of one."""
    socket = scene.socket_of(call)
    if socket is None or socket.accepted_by is None or call.side != Side.SERVER:
        return
    accept = scene.call(socket.accepted_by)
    path = scene.path(accept.connection)
    if accept.entered_ns <= line.at_ns:
        return
    if path is None:
        tell_local_standing(line, scene, socket, accept)
        return
    queued = complete(path, socket.listener)
    if queued is None or (queued[0] >= accept.entered_ns and went_well(path)):
        return  # it waited for what is told of accept itself
    if not path.track.halves[Direction.C2S].syns[:1] or _syn_ns(path) > line.at_ns:
        return  # it had not begun
    tell_accept(line, path, socket.listener)
    tell_standing(line, path, queued[1], accept)


def _syn_ns(path: Path) -> int:
    return path.track.halves[Direction.C2S].syns[0].time_ns
