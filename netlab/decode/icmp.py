"""ICMP and ICMPv6 headers -> columns of a packet, and what an error quotes -> a packet of its own.

Must not know who sent the quoted packet; `correlate` finds its connection by addresses and ports.
Read first: RFC 792, RFC 4443 section 2.4 (c), RFC 1812 4.3.2.3 (at least 8 bytes are quoted).
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from netlab.decode import faults
from netlab.decode.icmp_words import message_head
from netlab.decode.network import Reader, Transports, read_ipv4, read_ipv6
from netlab.decode.numbers import IP_ICMP, IP_ICMPV6, IP_TCP, IP_UDP
from netlab.decode.transport import read_tcp
from netlab.model.tables import Packet

# Unreachable, source quench, redirect, time exceeded, parameter problem.
ICMP_ERRORS = frozenset({3, 4, 5, 11, 12})
_PORT_UNREACHABLE = {4: (3, 3), 6: (1, 4)}  # type and code, by version of IP
# RFC 4443 section 2.1: types below 128 are errors; these four are assigned.
ICMPV6_ERRORS = frozenset({1, 2, 3, 4})

_HEAD = struct.Struct("!BBHI")  # type, code, checksum, and what they make of the rest
_PORTS_AND_NEXT = struct.Struct("!HHI")


def read_icmp(packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str) -> None:
    """Fill the columns of an ICMP message; an error's quote goes to `_quoted`."""
    if _read(packet, "ICMP", data, off, stop, bound) and data[off] in ICMP_ERRORS:
        packet._quoted = _quote(packet, read_ipv4, data, off + 8, stop)


def read_icmpv6(packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str) -> None:
    """Fill the columns of an ICMPv6 message; an error's quote goes to `_quoted`."""
    if _read(packet, "ICMPv6", data, off, stop, bound) and data[off] in ICMPV6_ERRORS:
        packet._quoted = _quote(packet, read_ipv6, data, off + 8, stop)


def _read(
    packet: Packet, layer: str, data: bytes | memoryview, off: int, stop: int, bound: str
) -> bool:
    captured = len(data)
    if off + 8 > stop or off + 8 > captured:
        faults.short(packet, layer, off, 8, captured, stop, bound)
        return False
    packet.protocol = layer
    packet.payload_off = off + 8
    packet.payload_len_bytes = stop - off - 8
    version = packet.ip_version or 0
    kind, code, _, rest = _HEAD.unpack_from(data, off)
    packet._icmp, packet._icmp_text = message_head(version, kind, code, rest)
    packet._port_unreachable = (kind, code) == _PORT_UNREACHABLE.get(version)
    return True


def _quote(
    outer: Packet,
    read: Callable[[Packet, bytes | memoryview, int, int, str, Transports], None],
    data: bytes | memoryview,
    off: int,
    stop: int,
) -> Packet | None:
    quoted = Packet(
        outer.frame, outer.time_ns, None, outer.fate, outer.interface, outer.link,
        outer.caplen_bytes, outer.origlen_bytes,
    )  # fmt: skip
    read(quoted, data, off, stop, faults.QUOTE, _QUOTED)
    return quoted if quoted.src is not None else None


def _quoted_tcp(packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str) -> None:
    """Ports and sequence number are in the 8 bytes that every error quotes; more may follow."""
    read_tcp(packet, data, off, stop, bound)
    if packet.sport is None and off + 8 <= min(stop, len(data)):
        packet.protocol = "TCP"
        packet.sport, packet.dport, packet.seg_seq = _PORTS_AND_NEXT.unpack_from(data, off)


def _quoted_udp(packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str) -> None:
    """The whole UDP header is quoted; its length counts bytes that are not here."""
    if off + 8 <= min(stop, len(data)):
        packet.protocol = "UDP"
        packet.sport, packet.dport, rest = _PORTS_AND_NEXT.unpack_from(data, off)
        packet.payload_off = off + 8
        packet.payload_len_bytes = max(0, (rest >> 16) - 8)


def _quoted_icmp(
    packet: Packet, _data: bytes | memoryview, _off: int, _stop: int, _bound: str
) -> None:
    packet.protocol = "ICMP" if packet.ip_version == 4 else "ICMPv6"


# Errors do not quote errors (RFC 1122 3.2.2), so quoted ICMP is named and left alone.
_QUOTED: dict[int, Reader] = {
    IP_TCP: _quoted_tcp,
    IP_UDP: _quoted_udp,
    IP_ICMP: _quoted_icmp,
    IP_ICMPV6: _quoted_icmp,
}
