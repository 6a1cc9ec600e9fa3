"""IEEE 802.11 frames, and the headers that capturing cards put before them -> what they carry.

Radiotap, Prism, AVS and PPI say how long they are and whether the frame ends with a check sequence;
of the 802.11 header only what leads to the LLC behind it is read. Encrypted frames stay closed.
Read first: IEEE 802.11 9.2 and 9.3, radiotap.org, the PPI header's description by CACE.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from netlab.decode import faults
from netlab.decode.carried import read_ethernet, read_llc
from netlab.decode.numbers import LINK_ETHERNET, LINK_WIRELESS

if TYPE_CHECKING:
    from netlab.model.tables import Packet

MANAGEMENT, CONTROL, DATA = range(3)
SUBTYPES = {
    (MANAGEMENT, 0): "association request",
    (MANAGEMENT, 1): "association response",
    (MANAGEMENT, 2): "reassociation request",
    (MANAGEMENT, 3): "reassociation response",
    (MANAGEMENT, 4): "probe request",
    (MANAGEMENT, 5): "probe response",
    (MANAGEMENT, 8): "beacon",
    (MANAGEMENT, 9): "ATIM",
    (MANAGEMENT, 10): "disassociation",
    (MANAGEMENT, 11): "authentication",
    (MANAGEMENT, 12): "deauthentication",
    (MANAGEMENT, 13): "action",
    (CONTROL, 8): "block ACK request",
    (CONTROL, 9): "block ACK",
    (CONTROL, 10): "PS-Poll",
    (CONTROL, 11): "RTS",
    (CONTROL, 12): "CTS",
    (CONTROL, 13): "ACK",
    (CONTROL, 14): "CF-End",
}
TO_DS, FROM_DS, PROTECTED, ORDER = 0x01, 0x02, 0x40, 0x80  # of the second byte
QOS, NO_DATA = 8, 4  # bits of a data frame's subtype
_AGGREGATE = 0x80  # of the QoS byte: several frames in one (A-MSDU)
_FCS_BYTES = 4
_RADIOTAP_FCS, _RADIOTAP_PADDED = 0x10, 0x20
_U16_LITTLE, _U32_LITTLE, _U32 = struct.Struct("<H"), struct.Struct("<I"), struct.Struct("!I")
_PPI = struct.Struct("<BBHI")
_PPI_FIELD = struct.Struct("<HH")
_PPI_COMMON, _PPI_FCS = 2, 0x0001


def read_wireless(
    packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str, align: int = 1
) -> None:
    """An 802.11 frame; `align`: what its header's length was filled up to a multiple of."""
    packet.protocol = "802.11"
    captured = min(stop, len(data))
    if off + 2 > captured:
        faults.short(packet, "802.11", off, 2, len(data), stop, bound)
        return
    first, flags = data[off], data[off + 1]
    kind, subtype = first >> 2 & 3, first >> 4
    if kind != DATA:
        name = SUBTYPES.get((kind, subtype))
        packet.protocol = f"802.11 {name}" if name else "802.11"
        return
    size = -(-header_bytes(subtype, flags) // align) * align
    if off + size > captured:
        faults.short(packet, "802.11", off, size, len(data), stop, bound)
        return
    if subtype & NO_DATA:
        packet.protocol = "802.11 no data"
    elif flags & PROTECTED:
        packet.protocol = "802.11 encrypted"
    elif subtype & QOS and data[off + quality_off(flags)] & _AGGREGATE:
        packet.protocol = "802.11 A-MSDU"
    else:
        read_llc(packet, data, off + size, stop, bound)


def header_bytes(subtype: int, flags: int) -> int:
    """How long the header of a data frame is."""
    size = quality_off(flags)
    if subtype & QOS:
        size += 2 + (4 if flags & ORDER else 0)
    return size


def quality_off(flags: int) -> int:
    """Where in a data frame the QoS bytes stand: behind a fourth address if there is one."""
    return 30 if flags & TO_DS and flags & FROM_DS else 24


def read_radiotap(
    packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str
) -> None:
    """Radiotap, then an 802.11 frame."""
    packet.protocol = packet.link
    if off + 8 > len(data):
        faults.short(packet, packet.link, off, 8, len(data), stop, bound)
        return
    (size,) = _U16_LITTLE.unpack_from(data, off + 2)
    if off + size > len(data):
        faults.short(packet, packet.link, off, size, len(data), stop, bound)
        return
    flags = radiotap_flags(data, off, size)
    if flags & _RADIOTAP_FCS:
        stop -= _FCS_BYTES
    align = 4 if flags & _RADIOTAP_PADDED else 1
    read_wireless(packet, data, off + size, stop, bound, align)


def radiotap_flags(data: bytes | memoryview, off: int, size: int) -> int:
    """The field "flags": behind all words that say which fields there are, and TSFT if present."""
    (present,) = _U32_LITTLE.unpack_from(data, off + 4)
    at, word = 8, present
    while word & 1 << 31 and at + 4 <= size:
        (word,) = _U32_LITTLE.unpack_from(data, off + at)
        at += 4
    if not present & 2:
        return 0
    if present & 1:
        at = (at + 7 & ~7) + 8
    return data[off + at] if at < size else 0


def read_prism(packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str) -> None:
    """Prism's or AVS's header, then an 802.11 frame. Both may stand under Prism's link type."""
    packet.protocol = packet.link
    if off + 8 > len(data):
        faults.short(packet, packet.link, off, 8, len(data), stop, bound)
        return
    (magic,) = _U32.unpack_from(data, off)
    if magic >> 12 == 0x80211:
        (size,) = _U32.unpack_from(data, off + 4)
    else:  # in the byte order of the machine that captured; little in all that there are
        (size,) = _U32_LITTLE.unpack_from(data, off + 4)
    if off + size > len(data):
        faults.short(packet, packet.link, off, size, len(data), stop, bound)
    else:
        read_wireless(packet, data, off + size, stop, bound)


def read_ppi(packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str) -> None:
    """PPI's header and fields, then a frame of the link type that it names."""
    packet.protocol = packet.link
    if off + 8 > len(data):
        faults.short(packet, packet.link, off, 8, len(data), stop, bound)
        return
    _, _, size, link = _PPI.unpack_from(data, off)
    if off + size > len(data):
        faults.short(packet, packet.link, off, size, len(data), stop, bound)
    elif link == LINK_WIRELESS:
        stop -= _FCS_BYTES if _ppi_has_fcs(data, off, size) else 0
        read_wireless(packet, data, off + size, stop, bound)
    elif link == LINK_ETHERNET:
        read_ethernet(packet, data, off + size, stop, bound)


def _ppi_has_fcs(data: bytes | memoryview, off: int, size: int) -> bool:
    at, end = off + 8, off + size
    while at + 4 <= end:
        kind, length = _PPI_FIELD.unpack_from(data, at)
        if kind == _PPI_COMMON and length >= 20 and at + 14 <= end:
            (flags,) = _U16_LITTLE.unpack_from(data, at + 12)  # behind a TSF timer of 8 bytes
            return bool(flags & _PPI_FCS)
        at += 4 + length
    return False
