"""Fragments of IP packets -> the packet, in the columns of the frame that completed it.

As Linux does: a fragment that holds nothing new is passed over, one that overlaps others in part
ends the packet, for no honest sender makes one. So does one that contradicts where the packet ends.
A fragment that was cut, or whose header's sum is wrong, completes nothing. Memory is bounded by the
fragments themselves: those that wait are views of their frames.
Read first: RFC 791 3.2, RFC 815, RFC 8200 4.5, RFC 5722 (overlaps), net/ipv4/inet_fragment.c.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import field
from typing import TYPE_CHECKING

from netlab.decode import faults
from netlab.decode.carried import OVER_IPV4, OVER_IPV6
from netlab.decode.network import read_reassembled
from netlab.model.records import dataclass

if TYPE_CHECKING:
    from netlab.model.tables import Packet, Piece

# How long a receiver waits for the rest: net.ipv4.ipfrag_time, and RFC 8200 4.5.
_PATIENCE_NS = {4: 30 * 10**9, 6: 60 * 10**9}
_LARGEST_BYTES = 65_535

_Name = tuple[str | None, str | None, int | None, int | None]


class _Contradiction(Exception):
    """A fragment that cannot belong to the packet as it is known: all of it is thrown away."""


@dataclass(slots=True)
class _Queue:
    """What came of one packet so far."""

    first_ns: int
    # Runs of bytes, sorted. A fragment lengthens the last run or makes one of its own, as in Linux:
    # what is a copy and what overlaps depends on it.
    starts: list[int] = field(default_factory=list)
    stops: list[int] = field(default_factory=list)
    pieces: list[tuple[int, Packet, bytes | memoryview]] = field(default_factory=list)
    number: int = 0  # the protocol that the first fragment names (RFC 8200 4.5)
    have_bytes: int = 0
    whole_bytes: int = 0  # as far as is known
    last_seen: bool = False

    def add(self, start: int, stop: int, more: bool) -> bool:
        """Whether these bytes are new. Raises _Contradiction."""
        if stop <= start:
            raise _Contradiction
        if more:
            if stop > self.whole_bytes and self.last_seen:
                raise _Contradiction
            self.whole_bytes = max(self.whole_bytes, stop)
        else:
            if stop < self.whole_bytes or (self.last_seen and stop != self.whole_bytes):
                raise _Contradiction
            self.last_seen = True
            self.whole_bytes = stop
        return self._claim(start, stop)

    def _claim(self, start: int, stop: int) -> bool:
        starts, stops = self.starts, self.stops
        at = bisect_right(starts, start)
        if at and start < stops[at - 1]:  # begins inside a run
            if stop <= stops[at - 1]:
                return False
            raise _Contradiction
        if at < len(starts) and starts[at] < stop:
            raise _Contradiction
        if at and at == len(starts) and stops[-1] == start:
            stops[-1] = stop
        else:
            starts.insert(at, start)
            stops.insert(at, stop)
        return True

    @property
    def complete(self) -> bool:
        return self.last_seen and not self.starts[0] and self.have_bytes == self.whole_bytes


def put_together(fragments: Sequence[tuple[Packet, bytes | memoryview]]) -> None:
    """Fill the columns of each fragment that completes its packet.

    Each comes with the bytes that it stands in; they are in the order of their frames.
    """
    waiting: dict[_Name, _Queue] = {}
    for packet, data in fragments:
        if packet._piece is not None:
            _add(waiting, packet, packet._piece, data)


def _add(
    waiting: dict[_Name, _Queue], packet: Packet, piece: Piece, data: bytes | memoryview
) -> None:
    off, stop, number = piece
    version = packet.ip_version or 0
    # IPv6 names a packet without the protocol, in which its fragments may differ.
    name = packet.src, packet.dst, packet.ip_id, number if version == 4 else None
    queue = waiting.get(name)
    if queue is None or packet.time_ns - queue.first_ns > _PATIENCE_NS[version]:
        queue = waiting[name] = _Queue(packet.time_ns)
    start = packet._fragment_off
    end = start + stop - off
    if packet._fragment_more and end & 7:
        if version == 6:  # its sender is told, and that is all (RFC 8200 4.5)
            return
        end &= ~7
    if version == 6 and end > _LARGEST_BYTES:
        return
    try:
        if not queue.add(start, end, packet._fragment_more):
            return
    except _Contradiction:
        del waiting[name]
        return
    queue.have_bytes += end - start
    queue.pieces.append((start, packet, data[off : off + end - start]))
    if start == 0:
        queue.number = number
    if queue.complete:
        del waiting[name]
        _complete(queue, packet)


def _complete(queue: _Queue, packet: Packet) -> None:
    queue.pieces.sort(key=_offset)
    for _, one, _ in queue.pieces:
        one._whole_in = packet.frame
    packet._parts = tuple(one.frame for _, one, _ in queue.pieces)
    _read(packet, queue.number, b"".join(part for _, _, part in queue.pieces))


def _offset(piece: tuple[int, Packet, bytes | memoryview]) -> int:
    return piece[0]


def _read(packet: Packet, number: int, whole: bytes) -> None:
    """Read what the packet carries as if it had come in one; the fragment stays what it is."""
    mine = packet.fragment, packet._fragment_off, packet._fragment_more, packet._piece
    packet.fragment, packet._fragment_off, packet._fragment_more = None, 0, False
    packet.payload_off = packet.payload_len_bytes = None
    if packet.fault_limited_by == faults.FRAGMENT:  # the first one, alone, was too short
        packet.fault_layer = packet.fault_off = packet.fault_need = packet.fault_have = None
        packet.fault_limited_by = None
    read_reassembled(packet, number, whole, OVER_IPV4 if packet.ip_version == 4 else OVER_IPV6)
    if packet.payload_off is not None:
        stop = packet.payload_off + (packet.payload_len_bytes or 0)
        packet._whole = whole[packet.payload_off : stop]
        packet.payload_off = None
    packet.fragment, packet._fragment_off, packet._fragment_more, packet._piece = mine


def whole_payload(parts: Sequence[tuple[Packet, bytes | memoryview]]) -> tuple[int, bytes]:
    """Protocol and payload of a packet once more, from the fragments that made it, by offset."""
    number, data = 0, b""
    for packet, frame in parts:
        if packet._piece is not None:
            start, stop, carried = packet._piece
            data = data[: packet._fragment_off] + bytes(frame[start:stop])
            number = number if packet._fragment_off else carried
    return number, data
