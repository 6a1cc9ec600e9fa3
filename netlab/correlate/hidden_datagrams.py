"""UDP sockets of which a witness did not show the own port <-> the ports that datagrams came from.

A socket without bind() gets its port from the kernel, and no argument of strace's shows it. It may
be any port from which its datagrams left: to each destination as many as it sent there, each as
long, with the same first bytes where those were shown, none before its call. It gets the port if
the pair is certain (`only_ways`). Two sockets on one port are not thought of: the kernel gives none
out twice.
"""

from __future__ import annotations

from collections.abc import Sequence

from netlab.correlate.addresses import Endpoint, is_wildcard
from netlab.correlate.datagram_outbox import Send, outbox_of
from netlab.correlate.datagrams import Datagram
from netlab.correlate.only_ways import certain_pairs
from netlab.correlate.sockets import Socket
from netlab.decode.payload import payload_of
from netlab.model.call import CallRecord
from netlab.model.frame import Frame
from netlab.model.tables import Direction, Side

_Sent = dict[Endpoint, list[Datagram]]  # by destination, in order


def name_hidden(
    sockets: Sequence[Socket],
    datagrams: Sequence[Datagram],
    calls: list[CallRecord],
    frames: Sequence[Frame],
) -> None:
    """Fill in the local addresses of `sockets` (Internet, SOCK_DGRAM), `fits` where several fit."""
    hidden = [socket for socket in sockets if _is_hidden(socket, calls)]
    if not hidden:
        return
    by_number = {frame.number: frame for frame in frames}
    named = {socket.local_endpoint for socket in sockets if not _is_hidden(socket, calls)}
    sent_from: dict[Endpoint, _Sent] = {}
    for datagram in datagrams:
        if datagram.copy_of is None and datagram.src not in named:
            sent_from.setdefault(datagram.src, {}).setdefault(datagram.dst, []).append(datagram)
    fits: dict[int, list[Endpoint]] = {}
    for place, socket in enumerate(hidden):
        sends = _sends_of(socket, calls)
        if sends is not None:
            fits[place] = [
                source for source, sent in sent_from.items()
                if _may_be(socket, source) and _all_left(sends, sent, calls, by_number)
            ]  # fmt: skip
    for place, (host, port) in certain_pairs(fits):
        hidden[place].local = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        del fits[place]
    for place, sources in fits.items():
        ends = {
            (d.flow.connection, Side.CLIENT if d.direction is Direction.C2S else Side.SERVER)
            for source in sources
            for found in sent_from[source].values()
            for d in found
        }
        hidden[place].fits = sorted(ends)


def _is_hidden(socket: Socket, calls: list[CallRecord]) -> bool:
    local = socket.local_endpoint
    if not socket.calls or calls[socket.calls[0] - 1].witness == "probe" or not socket.made:
        return False
    return local is None or not local[1]


def _may_be(socket: Socket, source: Endpoint) -> bool:
    local = socket.local_endpoint
    return local is None or is_wildcard(local) or local[0] == source[0]


def _sends_of(socket: Socket, calls: list[CallRecord]) -> dict[Endpoint, list[Send]] | None:
    """What it sent, by destination; None where that cannot be compared."""
    box = outbox_of(socket, calls)
    if not box.sends or any(send.remote is None or send.segment_bytes for send in box.sends):
        return None
    found: dict[Endpoint, list[Send]] = {}
    for send in box.sends:
        if send.remote is not None:
            found.setdefault(send.remote, []).append(send)
    return found


def _all_left(
    sends: dict[Endpoint, list[Send]],
    sent: _Sent,
    calls: list[CallRecord],
    frames: dict[int, Frame],
) -> bool:
    """Whether these datagrams are just what was sent."""
    if sends.keys() != sent.keys():
        return False
    for remote, mine in sends.items():
        theirs = sent[remote]
        if len(mine) != len(theirs):
            return False
        for send, datagram in zip(mine, theirs, strict=True):
            if send.length != datagram.length or datagram.time_ns < send.entered_ns:
                return False
            if not _holds(datagram, calls[send.numbers[0] - 1].data, frames):
                return False
    return True


def _holds(datagram: Datagram, data: bytes | None, frames: dict[int, Frame]) -> bool:
    """Whether the datagram begins with these bytes, as far as both are known."""
    first = next((p for p in datagram.packets if not p._fragment_off), None)
    frame = frames.get(first.frame) if first is not None else None
    if not data or first is None or frame is None:
        return True
    held = bytes(payload_of(first, frame.data)[: min(len(data), datagram.length)])
    return data.startswith(held) or held.startswith(data)
