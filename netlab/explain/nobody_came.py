"""A listener, a datagram socket, a Unix socket or pipe -> that nobody came, or nothing was sent.

Of calls that never returned: the line ends with their process, or with the recording.
Read first: `unreturned`, which tells the same of streams.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from netlab.correlate.arrivals import arrival_ns, on_its_way, reached
from netlab.correlate.sockets import Socket
from netlab.explain.causes import Cause, Certainty
from netlab.explain.endings import ended_ns
from netlab.explain.flight import on_wire
from netlab.explain.local_queue import tell_never_accepted
from netlab.explain.parts import Line
from netlab.explain.scene import Scene
from netlab.explain.wording import name_of
from netlab.model.call import is_outbound
from netlab.model.tables import Call, Packet


def no_client_came(line: Line, scene: Scene, listener: Socket) -> bool:
    """Whether no client's first segment reached a listener in the time of a line."""
    return client_ns(line, scene, listener) is None


def client_ns(line: Line, scene: Scene, listener: Socket) -> int | None:
    """When the first one did."""
    port = listener.local_endpoint[1] if listener.local_endpoint is not None else None
    times = scene.clients_ns(port)
    place = bisect_left(times, line.at_ns)
    return times[place] if place < len(times) and times[place] <= line.stop_ns else None


def tell_no_client(line: Line, certainty: Certainty) -> None:
    """All of the line: nobody came."""
    line.until(
        line.stop_ns, Cause.NO_CLIENT, certainty, (), (), "because no client had come by then"
    )


def tell_no_message(line: Line, scene: Scene, socket: Socket) -> None:
    """A datagram socket, a Unix socket, a pipe: nothing came."""
    if socket.is_local:
        other = scene.other_end(socket)
        if other is None:
            tell_never_accepted(line, scene, socket)
        if any(
            write.entered_ns <= line.stop_ns
            and (write.returned_ns is None or write.returned_ns >= line.at_ns)
            for write in _writes_to(scene, socket)
        ):  # fmt: skip
            _tell_taken(line, scene, socket)
            return
        sure = other is not None and bool(other.calls)
        line.until(
            line.stop_ns, Cause.PEER_APP, Certainty.OBSERVED if sure else Certainty.INFERRED,
            (), (), "because nothing had been written at the other end by then",
        )  # fmt: skip
        return
    if not no_datagram_left_for(line, scene, socket):
        tell_under_way(line, scene, socket)  # where one went that came or was lost is not told here
        return
    line.until(line.stop_ns, Cause.PEER_APP, Certainty.INFERRED, (), (),
               "because no datagram had been sent to it by then")  # fmt: skip


def _tell_taken(line: Line, scene: Scene, socket: Socket) -> None:
    """What was written had others read who share the socket; where some was left, it is unknown."""
    taken = [
        read for read in scene.reads_of(socket)
        if read.result and read.returned_ns is not None
        and line.at_ns <= read.returned_ns <= line.stop_ns
    ]  # fmt: skip
    home = scene.home(socket)
    way = home[1].inbound if home is not None else None
    left = scene.unread.get(home[0], []) if home is not None else []
    if not taken or any(item.direction in (None, way) for item in left):
        return
    last = max(taken, key=lambda read: read.returned_ns or 0)
    line.until(
        line.stop_ns, Cause.PEER_APP, Certainty.INFERRED, (), (last.call,),
        "because other calls had read all that had been written at the other end by then"
        f" ({name_of(last)} was the last)",
    )  # fmt: skip


def tell_under_way(line: Line, scene: Scene, socket: Socket) -> None:
    """Nothing had been sent to a socket until a datagram left, and that had not come by the end."""
    left = datagrams_left_for(line, scene, socket)
    if not left or not all(_comes_after(packet, line.stop_ns) for packet in left):
        return
    first = min(left, key=lambda packet: packet.time_ns)
    line.until(first.time_ns, Cause.PEER_APP, Certainty.INFERRED, (), (),
               "because no datagram had been sent to it by then")  # fmt: skip
    line.until(line.stop_ns, Cause.NETWORK, Certainty.INFERRED, (first.frame,), (),
               on_wire(first))  # fmt: skip


def no_datagram_left_for(line: Line, scene: Scene, socket: Socket) -> bool:
    """Whether no datagram for the port of a socket was sent in the time of a line."""
    return socket.local_endpoint is not None and not datagrams_left_for(line, scene, socket)


def datagrams_left_for(line: Line, scene: Scene, socket: Socket) -> list[Packet]:
    """Those: whatever became of them."""
    local = socket.local_endpoint
    sent = scene.datagrams_to(local[1]) if local is not None else []
    first = bisect_left(sent, line.at_ns, key=_left_ns)
    return sent[first : bisect_right(sent, line.stop_ns, key=_left_ns)]


def _left_ns(packet: Packet) -> int:
    return packet.time_ns


def message_times(line: Line, scene: Scene, socket: Socket) -> list[int]:
    """When something was written at the other end of a local socket; when datagrams came."""
    if not socket.is_local:
        left = datagrams_left_for(line, scene, socket)
        return [arrival_ns(packet) for packet in left if reached(packet)]
    other = scene.other_end(socket)
    closes = map(scene.call, other.closes) if other is not None else ()
    return [ended_ns(call) for call in (*_writes_to(scene, socket), *closes)]


def _writes_to(scene: Scene, socket: Socket) -> list[Call]:
    """The calls that wrote at the other end of a local socket, or still were to."""
    other = scene.other_end(socket)
    calls = map(scene.call, other.calls) if other is not None else ()
    return [call for call in calls if is_outbound(call) and call.errno is None]


def _comes_after(packet: Packet, time_ns: int) -> bool:
    """Whether a datagram that had left was still on the wire at that time."""
    late = packet._wired and reached(packet) and arrival_ns(packet) > time_ns
    return late or on_its_way(packet)
