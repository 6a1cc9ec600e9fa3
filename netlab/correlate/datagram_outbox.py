"""The sends of a UDP socket -> the datagrams that they made, before any frame is looked at.

- Sends with MSG_MORE, or under UDP_CORK, are gathered and leave with the next one without, or when
  the cork is drawn (man 7 udp). A send that fails drops what was gathered (Linux udp_sendmsg).
- Under UDP_SEGMENT (Linux 4.18) one send is cut into datagrams of that size; until a device or the
  receiver cuts it, it is one frame.
Read first: man 7 udp, Linux udp_sendmsg.
"""

from __future__ import annotations

import re

from netlab.correlate.addresses import Endpoint, maybe_endpoint
from netlab.correlate.call_moves import moved_bytes
from netlab.correlate.socket_options import maybe_option
from netlab.correlate.sockets import Socket
from netlab.model.call import MSG_MORE, CallRecord, is_outbound
from netlab.model.records import dataclass

_SEGMENT = re.compile(r"\bUDP_SEGMENT=(\d+)")  # of one sendmsg, as the witness notes it


@dataclass(slots=True)
class Send:
    """One datagram, or one run of segments, as the calls made it."""

    numbers: list[int]
    length: int
    entered_ns: int
    returned_ns: int | None
    thread: tuple[int, int]
    local: Endpoint | None
    remote: Endpoint | None
    segment_bytes: int = 0  # 0: one datagram
    matched: bool = False


@dataclass(slots=True)
class Outbox:
    """What one socket sent, in order."""

    sends: list[Send]
    held: list[int]  # calls whose bytes were gathered and did not leave, as far as is known


def outbox_of(socket: Socket, calls: list[CallRecord]) -> Outbox:
    """Go through the calls of one socket."""
    box = Outbox([], [])
    gathered: list[int] = []
    corked = False
    segment_bytes = 0
    for number in socket.calls:
        record = calls[number - 1]
        option = None
        if record.op == "setsockopt" and record.errno is None:
            option = maybe_option(number, record)
        if option is not None and option.name == "UDP_SEGMENT":
            segment_bytes = max(0, option.value or 0)
        if option is not None and option.name == "UDP_CORK":
            corked = option.on
            if not corked and gathered:
                box.sends.append(_send(socket, calls, gathered, record, segment_bytes))
                gathered = []
        if not is_outbound(record):
            continue
        if record.errno is not None:
            box.held += gathered
            gathered = []
        elif record.result is not None:
            gathered.append(number)
            if record.message_bytes and gathered == [number] and not corked:
                box.sends += _messages(socket, calls, number)
                gathered = []
            elif not corked and not record.flags & MSG_MORE:
                box.sends.append(_send(socket, calls, gathered, record, segment_bytes))
                gathered = []
    box.held += gathered
    return box


def _messages(socket: Socket, calls: list[CallRecord], number: int) -> list[Send]:
    """The datagrams of one sendmmsg, each with its own destination."""
    record = calls[number - 1]
    found = []
    for place, size in enumerate(record.message_bytes):
        send = _send(socket, calls, [number], record, 0)
        send.length = size
        if record.message_addresses:
            send.remote = maybe_endpoint(record.message_addresses[place]) or send.remote
        found.append(send)
    return found


def _send(
    socket: Socket, calls: list[CallRecord], numbers: list[int], last: CallRecord, segment: int
) -> Send:
    """The datagram that leaves inside of `last`."""
    local = maybe_endpoint(last.local) or socket.local_endpoint
    if local is None or local[1] == 0:
        local = socket.local_endpoint
    first = calls[numbers[0] - 1]
    remote = (
        maybe_endpoint(first.address)
        or (maybe_endpoint(last.address) if is_outbound(last) else None)
        or maybe_endpoint(first.peer)
        or socket.peer_endpoint
    )
    length = sum(moved_bytes(calls[n - 1], outbound=True) for n in numbers)
    told = _SEGMENT.search(first.args) or _SEGMENT.search(last.args)
    if told is not None:
        segment = int(told[1])
    return Send(
        numbers, length, last.entered_ns, last.returned_ns, (last.pid, last.tid), local, remote,
        segment if segment < length else 0,
    )  # fmt: skip
