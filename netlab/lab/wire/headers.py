"""An Ethernet frame -> where its headers stand, and of TCP the fields that rules ask for.

Frames are hostile: one that is cut off, or whose lengths cannot be, keeps what was read before the
fault, and never raises. Must not know conversations.
Read first: RFC 791 3.1, RFC 8200 sections 3 and 4, RFC 9293 3.1.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from netlab.decode.numbers import (
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    ETHERTYPE_OLD_SERVICE_VLAN,
    ETHERTYPE_SERVICE_VLAN,
    ETHERTYPE_VLAN,
    IP_AUTHENTICATION,
    IP_DESTINATION_OPTIONS,
    IP_FRAGMENT,
    IP_HIP,
    IP_HOP_BY_HOP,
    IP_ICMP,
    IP_ICMPV6,
    IP_MOBILITY,
    IP_ROUTING,
    IP_SHIM6,
    IP_TCP,
    IP_UDP,
)

UNKNOWN = -1  # the protocol of a packet whose headers cannot be read to their end
ETHERNET_BYTES = 14
IP_IGMP = 2

_TAGS = frozenset({ETHERTYPE_VLAN, ETHERTYPE_SERVICE_VLAN, ETHERTYPE_OLD_SERVICE_VLAN})
_EXTENSIONS = frozenset(
    {IP_HOP_BY_HOP, IP_ROUTING, IP_DESTINATION_OPTIONS, IP_MOBILITY, IP_HIP, IP_SHIM6,
     IP_AUTHENTICATION}
)  # fmt: skip
_NEIGHBOURS_AND_GROUPS = frozenset({130, 131, 132, 133, 134, 135, 136, 137, 143})  # ICMPv6 types

_CHECKSUM_LOW_BYTE = {IP_ICMP: 3, IP_TCP: 17, IP_UDP: 7, IP_ICMPV6: 3}

_IPV4 = struct.Struct("!BxH2xHxB2x4s4s")
_TCP = struct.Struct("!HHIIBB")
_PORTS = struct.Struct("!HH")


@dataclass(slots=True)
class Headers:
    """Where an IP packet's headers are in its frame; offsets count from the frame's first byte."""

    version: int
    ip_off: int
    stop: int  # where the packet ends, by its own length; never behind the frame's end
    protocol: int = UNKNOWN
    src: bytes = b""
    dst: bytes = b""
    dont_fragment: bool = True  # IPv6: always
    fragment_off: int = 0  # of its payload's first byte in the whole packet
    more_fragments: bool = False
    transport_off: int = 0
    payload_off: int = 0  # behind the last header that could be read
    ports: tuple[int, int] | None = None  # TCP and UDP whose header was read
    flags: int = 0
    seq: int = 0
    ack: int = 0

    @property
    def packet_bytes(self) -> int:
        return self.stop - self.ip_off

    @property
    def payload_bytes(self) -> int:
        return self.stop - self.payload_off


NOT_READ = Headers(0, 0, 0)  # of a frame that nobody needs to know more of
_IPV4_TYPE, _IPV6_TYPE = b"\x08\x00", b"\x86\xdd"
_NEVER_HOUSEKEEPING = frozenset({IP_TCP, IP_UDP})


def is_counted(frame: bytes) -> bool:
    """Whether `maybe_headers` has any for this frame; quick for TCP and UDP."""
    ethertype = frame[12:14]
    if len(frame) > 23 and (
        (ethertype == _IPV4_TYPE and frame[23] in _NEVER_HOUSEKEEPING)
        or (ethertype == _IPV6_TYPE and frame[20] in _NEVER_HOUSEKEEPING)
    ):
        return True
    return maybe_headers(frame) is not None


def ip_offset(frame: bytes) -> tuple[int, int]:
    """Where the network header begins, and the ethertype that says what it is; 0 for none."""
    off = 12
    while off + 2 <= len(frame):
        ethertype = frame[off] << 8 | frame[off + 1]
        if ethertype not in _TAGS:
            return off + 2, ethertype
        off += 4
    return len(frame), 0


def maybe_headers(frame: bytes) -> Headers | None:
    """The headers of an IP packet; None for what rules do not touch: no IP, or housekeeping of it.

    Housekeeping is neighbour discovery and group membership (RFC 4861, RFC 3810, RFC 3376): when a
    host says such things is chance, and no rule may depend on it.
    """
    off, ethertype = ip_offset(frame)
    if ethertype == ETHERTYPE_IPV4:
        headers = _ipv4(frame, off)
        return headers if headers.protocol != IP_IGMP else None
    if ethertype != ETHERTYPE_IPV6:
        return None
    headers = Headers(6, off, len(frame), payload_off=off)
    _read_ipv6(frame, headers)
    housekeeping = (
        headers.protocol == IP_ICMPV6
        and headers.transport_off < headers.stop
        and not headers.fragment_off
        and frame[headers.transport_off] in _NEIGHBOURS_AND_GROUPS
    )
    return None if housekeeping else headers


def _ipv4(frame: bytes, off: int) -> Headers:
    if off + 20 > len(frame):
        return Headers(4, off, len(frame), payload_off=off)
    first, total, fragment, protocol, src, dst = _IPV4.unpack_from(frame, off)
    size = (first & 15) * 4
    if first >> 4 != 4 or size < 20 or total < size or off + size > len(frame):
        return Headers(4, off, len(frame), payload_off=off)
    headers = Headers(
        4, off, min(off + total, len(frame)), protocol, src, dst, bool(fragment & 0x4000),
        (fragment & 0x1FFF) * 8, bool(fragment & 0x2000), off + size, off + size,
    )  # fmt: skip
    _read_transport(frame, headers)
    return headers


def _read_ipv6(frame: bytes, headers: Headers) -> None:
    off = headers.ip_off
    if off + 40 > len(frame) or frame[off] >> 4 != 6:
        return
    length, protocol = frame[off + 4] << 8 | frame[off + 5], frame[off + 6]
    headers.src, headers.dst = frame[off + 8 : off + 24], frame[off + 24 : off + 40]
    headers.stop = min(off + 40 + length, len(frame))
    off += 40
    headers.payload_off = off
    while protocol in _EXTENSIONS or protocol == IP_FRAGMENT:
        if off + 8 > headers.stop:
            return
        size = (frame[off + 1] + 1) * 8
        if protocol == IP_FRAGMENT:
            size = 8
            place = frame[off + 2] << 8 | frame[off + 3]
            headers.fragment_off = place & 0xFFF8
            headers.more_fragments = bool(place & 1)
        elif protocol == IP_AUTHENTICATION:
            size = (frame[off + 1] + 2) * 4
        protocol = frame[off]
        off += size
        if off > headers.stop:
            return
        headers.payload_off = off
        if headers.fragment_off:
            break  # what follows the fragment header was in the first fragment
    headers.protocol = protocol
    headers.transport_off = off
    _read_transport(frame, headers)


def _read_transport(frame: bytes, headers: Headers) -> None:
    """Ports, and of TCP what rules ask for; `payload_off` moves behind the header."""
    off, stop = headers.transport_off, headers.stop
    if headers.fragment_off:
        return
    if headers.protocol == IP_TCP and off + 20 <= stop:
        sport, dport, seq, ack, words, flags = _TCP.unpack_from(frame, off)
        size = (words >> 4) * 4
        if size >= 20 and off + size <= stop:
            headers.ports = sport, dport
            headers.flags, headers.seq, headers.ack = flags, seq, ack
            headers.payload_off = off + size
    elif headers.protocol == IP_UDP and off + 8 <= stop:
        headers.ports = _PORTS.unpack_from(frame, off)
        headers.payload_off = off + 8
    elif headers.protocol in (IP_ICMP, IP_ICMPV6) and off + 4 <= stop:
        headers.payload_off = min(off + 8, stop)


def with_a_bit_flipped(frame: bytes, headers: Headers, bit: int) -> bytes:
    """The frame with one bit other than it was: of its last payload byte, else of its checksum."""
    place = headers.stop - 1
    if headers.payload_bytes <= 0:
        place = headers.transport_off + _CHECKSUM_LOW_BYTE.get(headers.protocol, 0)
    place = min(place, len(frame) - 1)
    return frame[:place] + bytes((frame[place] ^ 1 << bit,)) + frame[place + 1 :]
