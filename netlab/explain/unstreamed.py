"""Reads and writes without a stream on a network: datagrams, Unix sockets, pipes and queues.

A datagram is read when its frame came; what a local reader waits for is the call at the other end.
Read first: reference on datagrams; man 7 udp, man 7 unix, man 7 pipe.
"""

from __future__ import annotations

from bisect import bisect_right

from netlab.correlate.arrivals import arrival_ns
from netlab.correlate.sockets import Socket
from netlab.explain.accepting import tell_before
from netlab.explain.causes import Cause, Certainty
from netlab.explain.endings import ended_ns, tell_process_end
from netlab.explain.flight import tell_flight
from netlab.explain.opening import says_no_way
from netlab.explain.parts import Line
from netlab.explain.scene import Scene
from netlab.explain.wording import name_of
from netlab.model.tables import Call, Packet, Role

_ERRORS = {
    "ECONNREFUSED": Cause.REFUSED,
    "EHOSTUNREACH": Cause.UNREACHABLE,
    "ENETUNREACH": Cause.UNREACHABLE,
}


def tell_datagram(line: Line, scene: Scene, call: Call) -> int | None:
    """Until the datagram was here that a read returned, or the error; returns when."""
    if call.errno is not None:
        return tell_error(line, scene, call)
    frames = [
        scene.packets[span.frame] for span in scene.spans.get(call.call, ())
        if span.role in (Role.DELIVERED, Role.RELEASED) and span.frame is not None
    ]  # fmt: skip
    if not frames:
        return None
    last = max(frames, key=arrival_ns)
    return tell_frame(line, scene, last)


def tell_error(line: Line, scene: Scene, call: Call) -> int | None:
    """Until the ICMP message came with which a call on a socket of datagrams failed."""
    cause = _ERRORS.get(call.errno or "")
    said = next((s.frame for s in scene.spans.get(call.call, ()) if s.role == Role.ICMP), None)
    if cause is None or said is None:
        return None
    came_ns = arrival_ns(scene.packets[said])
    if came_ns > line.stop_ns:
        return None
    line.until(came_ns, cause, Certainty.OBSERVED, (said,), (),
               f"until the ICMP message of frame {said} came ({call.errno})")  # fmt: skip
    return came_ns


def tell_error_of(line: Line, scene: Scene, call: Call, socket: Socket) -> int | None:
    """A wait that reported an error of a socket of datagrams: until an ICMP message came.

    The next call that fails has it; or the program asked for it (SO_ERROR, MSG_ERRQUEUE), and one
    came in the time of the wait that quotes what was sent.
    """
    until_ns = call.returned_by_ns or line.stop_ns
    errors = scene.errors_of(socket)
    told = [
        packet for packet in errors[bisect_right(errors, call.entered_ns, key=arrival_ns) :]
        if arrival_ns(packet) <= until_ns and says_no_way(packet)
    ]  # fmt: skip
    home = scene.home(socket)
    options = scene.options(*home) if home is not None else []
    stamped = any(one.name == "SO_TIMESTAMPING" and one.on for one in options)
    sure = len(told) == 1 and not stamped
    if not sure:
        places = range(bisect_right(socket.calls, call.call), len(socket.calls))
        later = (scene.call(socket.calls[place]) for place in places)
        failed = next((one for one in later if one.errno is not None), None)
        ready_ns = tell_error(line, scene, failed) if failed is not None else None
        if ready_ns is not None:
            return ready_ns
    if not told:
        return None
    first = told[0]
    cause = Cause.REFUSED if first._port_unreachable else Cause.UNREACHABLE
    name = first._icmp.name if first._icmp is not None else "ICMP"
    line.until(arrival_ns(first), cause, Certainty.OBSERVED if sure else Certainty.INFERRED,
               (first.frame,), (),
               f"until the ICMP message of frame {first.frame} came ({name})")  # fmt: skip
    return arrival_ns(first)


def tell_frame(line: Line, scene: Scene, packet: Packet) -> int:
    """Why a datagram did not come earlier: it had not been sent, then it was on the wire."""
    ready_ns = arrival_ns(packet)
    if ready_ns <= line.at_ns:
        return ready_ns
    until = Line(line.at_ns, min(ready_ns, line.stop_ns))
    writer = _carrier(scene, packet.frame)
    if writer is not None:
        tell_before(until, scene, writer, f"called {writer.op} #{writer.call}")
        until.until(packet.time_ns, Cause.COPY, Certainty.INFERRED, (packet.frame,),
                    (writer.call,), f"in which the stack sent {name_of(writer)}")  # fmt: skip
    else:
        until.until(
            packet.time_ns, Cause.PEER_APP, Certainty.INFERRED, (packet.frame,), (),
            f"before frame {packet.frame} was sent, by calls that were not recorded",
        )  # fmt: skip
    tell_flight(until, packet, None)
    line.include(until.finish(), ready_ns)
    return ready_ns


def _carrier(scene: Scene, frame: int) -> Call | None:
    number = scene.carriers.get(frame)
    return scene.call(number) if number is not None else None


def tell_local(line: Line, scene: Scene, call: Call) -> int | None:
    """A Unix socket, pipe or queue: until the call at its other end was made."""
    others = [
        scene.call(span.peer_call) for span in scene.spans.get(call.call, ())
        if span.role in (Role.LOCAL, Role.WAKEUP) and span.peer_call is not None
    ]  # fmt: skip
    if not others:
        socket = scene.socket_of(call)
        at_end = call.result == 0 and call.errno is None and call.requested_bytes != 0
        return tell_hang_up(line, scene, socket) if at_end and socket is not None else None
    first = min(others, key=lambda other: other.entered_ns)
    tell_before(line, scene, first, f"called {first.op} #{first.call}")
    return max(first.entered_ns, line.at_ns)


def tell_hang_up(line: Line, scene: Scene, socket: Socket) -> int | None:
    """Until the other end of a Unix socket or pipe was closed, or shut for writing; returns when.

    shutdown(SHUT_WR) there ends what is read here as close does (unix_shutdown in Linux).
    """
    other = scene.other_end(socket)
    if other is None:
        return None
    ends = [*other.shutdowns[:1], *([other.last_close] if other.last_close is not None else [])]
    if not ends:
        return None
    last = min(map(scene.call, ends), key=lambda call: call.entered_ns)
    if last.entered_ns > line.stop_ns:
        return None
    tell_before(line, scene, last, f"called {last.op} #{last.call}")
    tell_process_end(line, last)
    return max(ended_ns(last), line.at_ns)
