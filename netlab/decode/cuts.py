"""Packets that a wire cut into fragments -> whether all of them arrived, and when the last did.

The first fragment is what the packet's own arrival tells; the others are frames that the wire made.
Read first: RFC 791 3.2 (which fragments belong together), RFC 815.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from netlab.decode.checksums import ones_sum
from netlab.model.records import dataclass

if TYPE_CHECKING:
    from netlab.model.frame import Frame
    from netlab.model.tables import Packet

_ETHERNET = 14


@dataclass(frozen=True, slots=True)
class Cut:
    """A packet that left whole, and its first fragment."""

    packet: Packet
    left: bytes
    first: bytes
    first_packet: Packet


def put_together(cuts: Sequence[Cut], frames: Sequence[Frame], packets: Sequence[Packet]) -> None:
    """Fill _spoilt and _whole_ns of the packets that were cut, and _copy_of of the fragments."""
    made: dict[tuple[object, ...], list[tuple[Packet, bytes]]] = {}
    for frame, packet in zip(frames, packets, strict=True):
        if packet._made and packet._fragment_off:
            made.setdefault(_name(packet), []).append((packet, bytes(frame.data)))
    for cut in cuts:
        pieces = {cut.first_packet._fragment_off: _payload(cut.first)}
        times = [cut.packet.arrived_ns or 0]
        start = cut.packet._fragment_off
        payload = _payload(cut.left)
        for packet, data in made.get(_name(cut.packet), ()):
            if not start < packet._fragment_off < start + len(payload):
                continue
            packet._copy_of = cut.packet.frame
            if packet.arrived_ns is not None:
                pieces[packet._fragment_off] = _payload(data)
                times.append(packet.arrived_ns)
        whole = b"".join(pieces[at] for at in sorted(pieces))
        cut.packet._spoilt = whole != payload
        if whole == payload:
            cut.packet._whole_ns = max(times)


def _name(packet: Packet) -> tuple[object, ...]:
    return packet.src, packet.dst, packet._ip_protocol, packet.ip_id


def _payload(data: bytes) -> bytes:
    """What an IPv4 header has behind it; nothing where its checksum is wrong."""
    start = _ETHERNET + (data[_ETHERNET] & 15) * 4
    stop = _ETHERNET + int.from_bytes(data[_ETHERNET + 2 : _ETHERNET + 4], "big")
    return data[start:stop] if ones_sum(data[_ETHERNET:start]) == 0xFFFF else b""
