"""Captured frames -> those whose checksums are wrong, and how many were never filled in.

IPv4's header, TCP, UDP, ICMP and ICMPv6, over whole captures; `layers` says the same of one frame,
field by field. Checked is what can be: whole packets that are no fragments and whose headers lie as
most do. A sum that was left to the device is no error (`checksums`), nor is one of a frame that the
capturing machine sent: its device may yet fill it in.
Read first: `checksums`, RFC 9293 3.1, RFC 768, RFC 8200 8.1.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from netlab.decode import checksums
from netlab.decode.checksums import PseudoHeader, ones_sum
from netlab.decode.links import sent_here
from netlab.decode.numbers import IP_ICMP, IP_ICMPV6, IP_TCP, IP_UDP
from netlab.model.frame import CHECKSUM_NOT_READY
from netlab.model.records import dataclass

if TYPE_CHECKING:
    from netlab.model.recording import RawRecording
    from netlab.model.tables import Packet

# Where each has its sum, and how long its header is at least.
_PLACES = {IP_TCP: (16, 20), IP_UDP: (6, 8), IP_ICMP: (2, 8), IP_ICMPV6: (2, 8)}
_NAMES = {IP_TCP: "TCP", IP_UDP: "UDP", IP_ICMP: "ICMP", IP_ICMPV6: "ICMPv6"}


@dataclass(slots=True)
class Sums:
    """What the checksums of a capture are worth."""

    frames: int = 0  # looked at
    wrong: dict[str, list[int]] = field(default_factory=dict)  # protocol -> frames
    not_filled_in: int = 0

    def _note(self, protocol: str, frame: int) -> None:
        self.wrong.setdefault(protocol, []).append(frame)


def check_sums(raw: RawRecording, packets: list[Packet], most: int) -> Sums:
    """Check the checksums of the first `most` frames."""
    found = Sums()
    for frame, packet in zip(raw.frames[:most], packets, strict=False):
        found.frames += 1
        if packet.ip_version is None or packet.fault_layer is not None or packet.fragment:
            continue
        if packet.payload_off is None or packet.payload_len_bytes is None:
            continue
        link = raw.interfaces[frame.interface].link  # it was read, so there is one
        left = bool(frame.flags & CHECKSUM_NOT_READY) or sent_here(frame, link)
        _check(found, packet, frame.data, left)
    return found


def _check(found: Sums, packet: Packet, data: bytes | memoryview, left_to_device: bool) -> None:
    assert packet.payload_off is not None
    assert packet.payload_len_bytes is not None
    stop = packet.payload_off + packet.payload_len_bytes
    start = stop - (packet.ip_len_bytes or 0)
    number = packet._ip_protocol or 0
    if start < 0 or stop > len(data) or number not in _PLACES:
        return
    size = _header_bytes(packet, data, start)
    if size is None:
        return
    transport = start + size
    if packet.ip_version == 4:
        header = bytes(data[start:transport])
        if ones_sum(header) != 0xFFFF:
            if left_to_device or header[10:12] == b"\0\0":
                found.not_filled_in += 1
            else:
                found._note("IPv4", packet.frame)
    place, least = _PLACES[number]
    segment = bytes(data[transport:stop])
    if len(segment) < least or (number == IP_UDP and segment[6:8] == b"\0\0"):
        return
    pseudo = None
    if number != IP_ICMP:
        at = start + (12 if packet.ip_version == 4 else 8)
        width = 4 if packet.ip_version == 4 else 16
        addresses = bytes(data[at : at + width]), bytes(data[at + width : at + 2 * width])
        pseudo = PseudoHeader(*addresses, number)
    said = checksums.worth(segment, place, pseudo, left_to_device, len(segment))
    if said == checksums.NOT_FILLED_IN:
        found.not_filled_in += 1
    elif said != checksums.GOOD:
        found._note(_NAMES[number], packet.frame)


def _header_bytes(packet: Packet, data: bytes | memoryview, start: int) -> int | None:
    """How long the IP header at `start` is; None where it is not there, or has more before TCP."""
    version = data[start] >> 4
    if version != packet.ip_version:
        return None
    if version == 4:
        if data[start + 2] << 8 | data[start + 3] not in (packet.ip_len_bytes, 0):
            return None
        # Options are left alone: a source route changes the destination that was summed.
        return 20 if data[start] & 15 == 5 else None
    return 40 if data[start + 6] == packet._ip_protocol else None
