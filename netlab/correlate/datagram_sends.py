"""The calls that sent datagrams <-> the datagrams: spans, ranges, and sends without a frame.

Sends and frames are matched per port and destination, as several sockets may share a port: a frame
belongs to the send it left inside of, else to the first earlier send of its length still without a
frame; where each send of a thread has its frame in order, to that one. Where sends of several
threads would do, it is ambiguous. What datagrams the calls made stands in `datagram_outbox`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from itertools import islice

from netlab.correlate.addresses import Endpoint, is_wildcard
from netlab.correlate.call_moves import moved_bytes
from netlab.correlate.datagram_join import DatagramJoin, Placed
from netlab.correlate.datagram_links import place_call
from netlab.correlate.datagram_outbox import Send, outbox_of
from netlab.correlate.datagram_queue import Arrival
from netlab.correlate.datagrams import Datagram
from netlab.correlate.reasons import Reason, What
from netlab.correlate.sockets import Socket
from netlab.model.tables import Role, Span, Unmatched


class DatagramIndex:
    """Datagrams by their ends, with and without the address here (wildcard-bound sockets)."""

    def __init__(self, datagrams: Sequence[Datagram]) -> None:
        # Why a read on a socket whose ends nothing shows took nothing that is known.
        self.unnamed = Reason.UNNAMED if datagrams else Reason.NO_PACKET_WITNESS
        self._from_port: dict[tuple[int, Endpoint], list[Datagram]] = {}
        self._to: dict[Endpoint, list[Datagram]] = {}
        self._to_port: dict[int, list[Datagram]] = {}
        for d in datagrams:
            if d.copy_of is None:
                self._from_port.setdefault((d.src[1], d.dst), []).append(d)
            self._to.setdefault(d.dst, []).append(d)
            self._to_port.setdefault(d.dst[1], []).append(d)
        for lists in (self._to, self._to_port):
            for found in lists.values():
                found.sort(key=lambda d: d.arrived_ns)

    def sent(self, port: int, remote: Endpoint) -> list[Datagram]:
        return self._from_port.get((port, remote), [])

    def received(self, local: Endpoint) -> list[Datagram]:
        if is_wildcard(local):
            return self._to_port.get(local[1], [])
        return self._to.get(local, [])


def match_sends(join: DatagramJoin, index: DatagramIndex, sockets: Sequence[Socket]) -> None:
    """Match the sends of all sockets."""
    groups: dict[tuple[int, Endpoint], list[Send]] = {}
    for socket in sockets:
        outbox = outbox_of(socket, join.calls)
        for number in outbox.held:
            _list(join, number, moved_bytes(join.calls[number - 1], outbound=True), Reason.HELD)
        locals_seen: set[Endpoint] = set()
        for send in outbox.sends:
            if send.local is None or send.remote is None:
                reason = Reason.HIDDEN if socket.fits else join.missing(False)
                _list_send(join, send, reason)
                continue
            if send.local not in locals_seen:
                locals_seen.add(send.local)
                join.spoke.append((socket, send.local))
            groups.setdefault((send.local[1], send.remote), []).append(send)
    for (port, remote), sends in groups.items():
        sends.sort(key=lambda send: send.entered_ns)
        candidates = [d for d in index.sent(port, remote) if not d.sent_by]
        _pair(sends, candidates)
        _link(join, sends, candidates, remote)


def _link(
    join: DatagramJoin, sends: list[Send], candidates: list[Datagram], remote: Endpoint
) -> None:
    ambiguous = any(d.sent_unsure is not None for d in candidates)
    for send in sends:
        if send.matched:
            continue
        if send.segment_bytes and _cut(send, candidates):
            _list_send(join, send, Reason.SEGMENTED)
            continue
        _list_send(join, send, join.missing(bool(candidates)))
        if not ambiguous:
            join.unseen.setdefault(remote, []).append(_unseen(send))
    for d in candidates:
        if d.sent_by:
            _sent(join, d)


def _pair(sends: list[Send], datagrams: list[Datagram]) -> None:
    if _all_left_in_order(sends, datagrams):
        for send, d in zip(sends, datagrams, strict=True):
            _give(send, d)
        return
    entered = [send.entered_ns for send in sends]
    by_length: dict[int, deque[int]] = {}
    for place, send in enumerate(sends):
        by_length.setdefault(send.length, deque()).append(place)
    for d in datagrams:
        latest = bisect_right(entered, d.time_ns)
        found = [
            sends[place]
            for place in range(max(0, latest - 16), latest)
            if _fits(sends[place], d) and (sends[place].returned_ns or d.time_ns) >= d.time_ns
        ]
        if not found:  # it left after its send returned: a queue held it
            queue = by_length.get(d.length, deque())
            while queue and sends[queue[0]].matched:
                queue.popleft()
            earlier = (sends[place] for place in islice(queue, 16) if place < latest)
            found = [send for send in earlier if _fits(send, d)]
        if len({send.thread for send in found}) > 1:
            d.sent_unsure = Reason.SHARED  # two threads sent just this
        elif found:
            _give(found[0], d)


def _all_left_in_order(sends: list[Send], datagrams: list[Datagram]) -> bool:
    """Whether one thread's sends and the frames fit one by one: none was lost in between.

    Then a frame that leaves inside a later send of its length is not that one's: a queue of the
    sender's own link held it (tc), and kept the order.
    """
    return (
        len(sends) == len(datagrams)
        and len({send.thread for send in sends}) == 1
        and all(
            _fits(send, d) and send.entered_ns <= d.time_ns
            for send, d in zip(sends, datagrams, strict=True)
        )
    )


def _give(send: Send, d: Datagram) -> None:
    send.matched = True
    d.sent_by = send.numbers
    d.segment_bytes = send.segment_bytes


def _fits(send: Send, d: Datagram) -> bool:
    here = send.local is not None and (is_wildcard(send.local) or send.local == d.src)
    return here and not send.matched and send.length == d.length


def _cut(send: Send, candidates: list[Datagram]) -> bool:
    """Whether frames of its segments' sizes left instead: whose each is, is not said."""
    sizes = {send.segment_bytes, send.length % send.segment_bytes}
    found = [
        d for d in candidates
        if not d.sent_by and d.length in sizes and d.time_ns >= send.entered_ns
    ]  # fmt: skip
    for d in found:
        d.sent_unsure = Reason.SEGMENTED
    return bool(found)


def _list_send(join: DatagramJoin, send: Send, reason: Reason) -> None:
    if len(send.numbers) == 1:
        _list(join, send.numbers[0], send.length, reason)
        return
    for number in send.numbers:
        _list(join, number, moved_bytes(join.calls[number - 1], outbound=True), reason)


def _list(join: DatagramJoin, number: int, size: int, reason: Reason) -> None:
    if size:
        join.unmatched.append(
            Unmatched(None, None, None, None, size, What.SENT_NOT_CAPTURED, reason, number)
        )


def _unseen(send: Send) -> Arrival:
    queued = send.entered_ns if send.returned_ns is None else send.returned_ns
    return Arrival(send.entered_ns, queued, send.local or ("", 0), send.length, captured=False)


def _sent(join: DatagramJoin, d: Datagram) -> None:
    at = d.start
    for number in d.sent_by:
        alone = len(d.sent_by) == 1
        stop = at + (d.length if alone else moved_bytes(join.calls[number - 1], outbound=True))
        sender = d.direction.sender
        place_call(join, number, Placed(d.flow.connection, sender, d.direction, at, stop))
        for piece in d.pieces:
            a, b = max(at, piece.start), min(stop, piece.stop)
            if a < b or d.length == 0:
                join.spans.append(
                    Span(number, piece.frame, None, d.direction, a, b, Role.CARRIED)
                )  # fmt: skip
        at = stop
