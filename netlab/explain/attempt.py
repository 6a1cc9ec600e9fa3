"""A wait for a connect that goes on -> what a connect that blocks would have waited for.

connect on a socket that does not block leaves with EINPROGRESS. The wait behind it reports the
socket once the handshake is over, whichever way that went: answered, refused, told by ICMP that
there is no way, or given up by the kernel (man 2 connect, EINPROGRESS). Which of them it was the
program asks of SO_ERROR, so that no call says it: the frames do. Where nothing of all that came,
and it is in error or every frame is known, the kernel had given up.
Read first: `opening`; tcp_poll and tcp_v4_err in Linux.
"""

from __future__ import annotations

from netlab.correlate.arrivals import arrival_ns, came, reached, sent
from netlab.correlate.flows import FIN, RST, SYN
from netlab.correlate.segments import Row
from netlab.correlate.sockets import Socket
from netlab.explain.opening import icmp_error, tell_icmp, tell_refusal, tell_unanswered
from netlab.explain.parts import Line
from netlab.explain.path import Path
from netlab.explain.scene import Scene
from netlab.model.call import CONNECT_GOES_ON, POLLERR, POLLHUP
from netlab.model.tables import Call, Direction


def tell_attempt(line: Line, scene: Scene, call: Call, connection: int | None = None) -> int | None:
    """Until a connect failed that one of its descriptors had begun; returns when.

    `connection`: that alone. None: it waited for no connect, or for one that was answered.
    """
    for item, socket in scene.sockets.reported.get(call.call, ()):
        home = scene.home(socket)
        if home is None or connection not in (None, home[0]):
            continue
        path = scene.path(home[0])
        if path is None or not _goes_on(scene, call, socket, path):
            continue
        sure = bool(item.events & (POLLERR | POLLHUP)) or (path.exact and not scene.lost_frames)
        return _tell_failure(line, path, _known_ns(call), sure=sure)
    return None


def _goes_on(scene: Scene, call: Call, socket: Socket, path: Path) -> bool:
    """Whether a connect was not over when a wait began, and not answered when that ended."""
    begun = [number for number in socket.connects if number < call.call]
    if not begun or scene.call(begun[-1]).errno not in CONNECT_GOES_ON:
        return False
    halves = path.track.halves
    refused = any(arrival_ns(p) <= call.entered_ns for p in came(halves[Direction.S2C].resets))
    begun_here = bool(sent(halves[Direction.C2S].syns))
    return begun_here and not refused and not _answered(path, _known_ns(call))


def _answered(path: Path, until_ns: int) -> bool:
    """Whether the client had its answer by then: it came, or what the client sent or got shows it.

    A capture may lack the SYN-ACK.
    """
    for row in path.track.rows:
        packet = row.packet
        if packet._flags & RST:
            continue
        heard = row.direction is Direction.S2C and reached(packet)
        if heard and arrival_ns(packet) <= until_ns and _is_of_it(row):
            return True
        said = row.direction is Direction.C2S and packet.time_ns <= until_ns
        if said and not packet._flags & SYN and not packet._made:
            return True
    return False


def _is_of_it(row: Row) -> bool:
    """Whether a frame of the server is of this connection: the end of an old one acknowledges
    another number (RFC 5961 4.2)."""
    says_more = row.packet._flags & (SYN | FIN) or row.segment.seg_len
    return bool(says_more) or row.segment.ack == 1


def _tell_failure(line: Line, path: Path, until_ns: int, *, sure: bool) -> int | None:
    """`sure`: it is known that it failed, if by nothing that came."""
    syns = sent(path.track.halves[Direction.C2S].syns)
    refusals = came(path.track.halves[Direction.S2C].resets)
    if refusals and arrival_ns(refusals[0]) <= until_ns:
        return tell_refusal(line, path, syns, refusals[0])
    error = icmp_error(path, until_ns)
    if error is not None:
        return tell_icmp(line, path, syns, error)
    if not sure:
        return None
    tell_unanswered(line, path, syns)
    return line.stop_ns


def _known_ns(call: Call) -> int:
    """When a wait had returned at the latest: what came by then may have ended it."""
    return call.returned_by_ns or call.returned_ns or call.entered_ns
