"""SCTP, DCCP and UDP-Lite headers -> their ports; the rest of them is for `layers` alone.

Nothing joins them to connections. Must not know what carried them.
Read first: RFC 9260 section 3.1, RFC 4340 section 5.1, RFC 3828 section 3.1.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from netlab.decode import faults

if TYPE_CHECKING:
    from netlab.model.tables import Packet

_PORTS = struct.Struct("!HH")


def read_sctp(packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str) -> None:
    """Ports of the common header."""
    _read(packet, "SCTP", 12, data, off, stop, bound)


def read_dccp(packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str) -> None:
    """Ports of the generic header, in its shorter form."""
    _read(packet, "DCCP", 12, data, off, stop, bound)


def read_udp_lite(
    packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str
) -> None:
    """UDP's header, with a coverage in place of the length."""
    if _read(packet, "UDP-Lite", 8, data, off, stop, bound):
        packet.payload_off = off + 8
        packet.payload_len_bytes = stop - off - 8


def _read(
    packet: Packet,
    layer: str,
    size: int,
    data: bytes | memoryview,
    off: int,
    stop: int,
    bound: str,
) -> bool:
    packet.protocol = layer
    if off + size > stop or off + size > len(data):
        faults.short(packet, layer, off, size, len(data), stop, bound)
        return False
    packet.sport, packet.dport = _PORTS.unpack_from(data, off)
    return True
