"""IPv4, IPv6 and ARP headers -> their columns of a packet, and the transport's reader called.

Must not know the link. `stop` is where the frame ended on the wire, `bound` what set it,
`transports` the readers by protocol number. Lengths are those the header declares, so a snap
length changes nothing; where the header says 0 because segmentation was left to a device, all
that the frame held counts, as in Wireshark.
Read first: RFC 791 section 3.1, RFC 8200 sections 3 and 4, RFC 2675, RFC 6946, RFC 826.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from netlab.decode import faults
from netlab.decode.addresses import AddressTexts, ipv4_text
from netlab.decode.checksums import ones_sum
from netlab.decode.numbers import (
    ETHERTYPE_IPV4,
    IP_AUTHENTICATION,
    IP_DESTINATION_OPTIONS,
    IP_FRAGMENT,
    IP_HIP,
    IP_HOP_BY_HOP,
    IP_MOBILITY,
    IP_NOTHING,
    IP_ROUTING,
    IP_SHIM6,
    ip_protocol_name,
)
from netlab.decode.transport import option_places

if TYPE_CHECKING:
    from netlab.model.tables import Packet

Reader: TypeAlias = "Callable[[Packet, bytes | memoryview, int, int, str], None]"
Transports: TypeAlias = Mapping[int, Reader]

_IPV4 = struct.Struct("!BBHHHBBH4s4s")
_IPV6 = struct.Struct("!IHBB16s16s")
_FRAGMENT_HEADER = struct.Struct("!BBHI")
_ARP = struct.Struct("!HHBBH")
_U32 = struct.Struct("!I")
_MORE_FRAGMENTS = 0x2000
_JUMBO_OPTION = 0xC2

# Extension headers that carry their length: in units of 8 bytes, not counting the first 8; the
# authentication header in units of 4, not counting the first 8 (RFC 8200 section 4, RFC 4302 2.2).
_EXTENSIONS = frozenset(
    {IP_HOP_BY_HOP, IP_ROUTING, IP_DESTINATION_OPTIONS, IP_MOBILITY, IP_HIP, IP_SHIM6,
     IP_AUTHENTICATION}
)  # fmt: skip

_texts = AddressTexts()


def read_ipv4(
    packet: Packet,
    data: bytes | memoryview,
    off: int,
    stop: int,
    bound: str,
    transports: Transports,
) -> None:
    """Fill the IPv4 columns and go on to the transport."""
    captured = len(data)
    if off + 20 > stop or off + 20 > captured:
        faults.short(packet, "IPv4", off, 20, captured, stop, bound)
        return
    first, _, total, ident, frag, ttl, number, _, src, dst = _IPV4.unpack_from(data, off)
    if first >> 4 != 4:
        faults.note(packet, "IPv4", off, None, None, faults.VERSION)
        return
    header = (first & 15) * 4
    if header < 20:
        faults.note(packet, "IPv4", off, 20, header, faults.HEADER_LENGTH)
        return
    if total == 0:  # segmentation left to a device, or more than 65,535 bytes (BIG TCP)
        total = stop - off
    if total < header:
        faults.note(packet, "IPv4", off, header, total, faults.IP_LENGTH)
        return
    packet.protocol = "IPv4"
    packet.ip_version = 4
    packet.src = _texts[src]
    packet.dst = _texts[dst]
    packet.ttl = ttl
    packet.ip_id = ident
    packet.ip_len_bytes = total
    packet._ip_protocol = number
    if off + total > stop:
        faults.note(packet, "IPv4", off, total, stop - off, bound)
    else:
        stop = off + total
        bound = faults.IP_LENGTH
    payload = off + header
    if header > 20:
        option_places(packet, data, off + 20, min(payload, stop), "IPv4 options")
        if payload > stop or payload > captured:
            faults.short(packet, "IPv4 options", off + 20, header - 20, captured, stop, bound)
            return
    if frag & 0x3FFF:
        _fragment(packet, (frag & 0x1FFF) * 8, bool(frag & _MORE_FRAGMENTS), stop - payload)
        # No receiver keeps a fragment whose header's sum is wrong; of a cut one, not all is here.
        if stop <= captured and ones_sum(bytes(data[off:payload])) == 0xFFFF:
            packet._piece = payload, stop, number
        bound = faults.FRAGMENT
    _transport(packet, number, data, payload, stop, bound, transports)


def read_ipv6(
    packet: Packet,
    data: bytes | memoryview,
    off: int,
    stop: int,
    bound: str,
    transports: Transports,
) -> None:
    """Fill the IPv6 columns, pass over extension headers, and go on to the transport."""
    captured = len(data)
    if off + 40 > stop or off + 40 > captured:
        faults.short(packet, "IPv6", off, 40, captured, stop, bound)
        return
    first, length, number, ttl, src, dst = _IPV6.unpack_from(data, off)
    if first >> 28 != 6:
        faults.note(packet, "IPv6", off, None, None, faults.VERSION)
        return
    packet.protocol = "IPv6"
    packet.ip_version = 6
    packet.src = _texts[src]
    packet.dst = _texts[dst]
    packet.ttl = ttl
    payload = off + 40
    if length == 0 and number != IP_NOTHING:  # left to a device, or more than 65,535 bytes
        length = _jumbo_length(data, payload, number) or stop - payload
    packet.ip_len_bytes = 40 + length
    if payload + length > stop:
        faults.note(packet, "IPv6", off, 40 + length, stop - off, bound)
    else:
        stop = payload + length
        bound = faults.IP_LENGTH
    if number in _EXTENSIONS or number == IP_FRAGMENT:
        read_behind(packet, number, data, payload, stop, bound, transports)
        return
    packet._ip_protocol = number
    _transport(packet, number, data, payload, stop, bound, transports)


def read_behind(
    packet: Packet,
    number: int,
    data: bytes | memoryview,
    off: int,
    stop: int,
    bound: str,
    transports: Transports,
) -> None:
    """Pass over the extension headers at `off`, the first of which is `number`, if any."""
    captured = len(data)
    while number in _EXTENSIONS or number == IP_FRAGMENT:
        layer = ip_protocol_name(number)
        if off + 8 > stop or off + 8 > captured:
            faults.short(packet, layer, off, 8, captured, stop, bound)
            return
        if number == IP_FRAGMENT:
            number, _, place, packet.ip_id = _FRAGMENT_HEADER.unpack_from(data, off)
            off += 8
            if place & 0xFFF9:  # both parts zero: an atomic fragment, whole (RFC 6946)
                _fragment(packet, place & 0xFFF8, bool(place & 1), stop - off)
                packet._piece = (off, stop, number) if stop <= captured else None
                bound = faults.FRAGMENT
                if packet._fragment_off:
                    break
            continue
        size = (data[off + 1] + 2) * 4 if number == IP_AUTHENTICATION else (data[off + 1] + 1) * 8
        if off + size > stop or off + size > captured:
            faults.short(packet, layer, off, size, captured, stop, bound)
            return
        number = data[off]
        off += size
    packet._ip_protocol = number
    _transport(packet, number, data, off, stop, bound, transports)


def _jumbo_length(data: bytes | memoryview, off: int, number: int) -> int | None:
    """The payload length of a hop-by-hop Jumbo Payload option at its usual place, the first.

    RFC 2675 section 2; Linux writes exactly this header in front of its BIG TCP packets.
    """
    if number != IP_HOP_BY_HOP or off + 8 > len(data) or data[off + 2] != _JUMBO_OPTION:
        return None
    (length,) = _U32.unpack_from(data, off + 4)
    return int(length) if data[off + 3] == 4 else None


def _fragment(packet: Packet, start: int, more: bool, length: int) -> None:
    packet.fragment = f"{start}+{length} {'more' if more else 'last'}"
    packet._fragment_off = start
    packet._fragment_more = more


def _transport(
    packet: Packet,
    number: int,
    data: bytes | memoryview,
    off: int,
    stop: int,
    bound: str,
    transports: Transports,
) -> None:
    if packet._fragment_off:  # the transport's header went with the first fragment
        packet.payload_off = off
        packet.payload_len_bytes = stop - off
        return
    read = transports.get(number)
    if read is not None:
        read(packet, data, off, stop, bound)
    else:
        packet.protocol = ip_protocol_name(number)


def read_reassembled(packet: Packet, number: int, data: bytes, transports: Transports) -> None:
    """Go on with what the fragments carried: `data` is the IP payload, put together."""
    read_behind(packet, number, data, 0, len(data), faults.IP_LENGTH, transports)


def read_arp(packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str) -> None:
    """Fill src and dst with the protocol addresses of sender and target."""
    captured = len(data)
    if off + 8 > stop or off + 8 > captured:
        faults.short(packet, "ARP", off, 8, captured, stop, bound)
        return
    _, ethertype, hardware_size, protocol_size, _ = _ARP.unpack_from(data, off)
    size = 8 + 2 * (hardware_size + protocol_size)
    if off + size > stop or off + size > captured:
        faults.short(packet, "ARP", off, size, captured, stop, bound)
        return
    packet.protocol = "ARP"
    if ethertype == ETHERTYPE_IPV4 and protocol_size == 4:
        sender = off + 8 + hardware_size
        target = sender + 4 + hardware_size
        packet.src = ipv4_text(bytes(data[sender : sender + 4]))
        packet.dst = ipv4_text(bytes(data[target : target + 4]))
