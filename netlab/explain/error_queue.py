"""A wait that the error queue of a stream ended -> the acknowledgement of which that told.

Who sends without a copy is told when the memory is his again (MSG_ZEROCOPY), and who asks for the
stamp of acknowledgement when the last byte of each send was acknowledged (SO_TIMESTAMPING with
SOF_TIMESTAMPING_TX_ACK): a poll hears of both as POLLERR. What was acknowledged before the wait
had been told of before. Stamps of the way out may be asked for as well; they come as bytes leave.
Read first: Documentation/networking/timestamping and msg_zerocopy of Linux; tcp_ack_tstamp.
"""

from __future__ import annotations

import sys
from bisect import bisect_left

from netlab.correlate.socket_options import OptionSet
from netlab.correlate.sockets import Socket
from netlab.explain.arriving import tell_acked
from netlab.explain.parts import Line
from netlab.explain.path import Path
from netlab.explain.scene import Scene
from netlab.model.call import MSG_ZEROCOPY
from netlab.model.tables import Call, Side

_TX_ACK = 1 << 9  # linux/net_tstamp.h
_TX_OUT = 1 << 0 | 1 << 1 | 1 << 8  # by the hardware, by the driver, into the queue


def tell_told_acked(line: Line, scene: Scene, call: Call, socket: Socket) -> int | None:
    """Until what was sent was acknowledged, of which the error queue told; returns when.

    None: there was nothing that it could tell, or something else that it may have told.
    """
    home = scene.home(socket)
    path = scene.path(home[0]) if home is not None else None
    if path is None or home is None:
        return None
    outbound = home[1].outbound
    una = path.senders[outbound].una(call.entered_ns)
    first: int | None = None
    for number in reversed(socket.calls[: bisect_left(socket.calls, call.call)]):
        send = scene.call(number)
        if send.direction != outbound or send.stop is None:
            continue
        if send.stop <= una:
            break
        if _is_told(scene, path, home[1], call, send):
            first = send.stop
    return tell_acked(line, path, outbound, first - 1) if first is not None else None


def _is_told(scene: Scene, path: Path, side: Side, wait: Call, send: Call) -> bool:
    """Whether the error queue tells of the acknowledgement of a send, and of nothing else."""
    if scene.record(send.call).flags & MSG_ZEROCOPY:
        return True
    asked = [
        option for option in scene.options(path.connection, side)
        if option.name == "SO_TIMESTAMPING" and option.entered_ns < send.entered_ns
    ]  # fmt: skip
    flags = _flags(asked[-1]) if asked else 0
    if not flags & _TX_ACK:
        return False
    left = path.senders[side.outbound].stream.carried.at((send.stop or 1) - 1)
    left_ns = scene.packets[left].time_ns if left is not None else None
    return not flags & _TX_OUT or (left_ns is not None and left_ns < wait.entered_ns)


def _flags(option: OptionSet) -> int:
    """What was asked for; a structure begins with it (so_timestamping)."""
    return option.value or int.from_bytes(option.raw[:4], sys.byteorder)
