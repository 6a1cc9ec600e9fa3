"""What a frame begins with, by its link type -> the reader of what it carries.

Fills the columns of one packet; a link that has no reader here is named and left closed.
Read first: the LINKTYPE_ pages of tcpdump.org (LINUX_SLL, LINUX_SLL2, NULL, RAW, NFLOG, PFLOG,
FDDI, PPP, C_HDLC).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from netlab.decode import faults
from netlab.decode.carried import (
    OVER_IPV4,
    OVER_IPV6,
    PPP_ADDRESS,
    read_ethernet,
    read_ethertype,
    read_ip,
    read_llc,
    read_ppp,
    read_pppoe,
)
from netlab.decode.network import Reader, read_ipv4, read_ipv6
from netlab.decode.numbers import (
    LINK_AVS,
    LINK_COOKED,
    LINK_COOKED_2,
    LINK_ETHERNET,
    LINK_FDDI,
    LINK_HDLC,
    LINK_IPV4,
    LINK_IPV6,
    LINK_LOOP,
    LINK_NFLOG,
    LINK_NULL,
    LINK_PFLOG,
    LINK_PPI,
    LINK_PPP,
    LINK_PPP_SERIAL,
    LINK_PPPOE,
    LINK_PRISM,
    LINK_RADIOTAP,
    LINK_RAW,
    LINK_RAW_BSD,
    LINK_RAW_OPENBSD,
    LINK_TOKEN_RING,
    LINK_WIRELESS,
)
from netlab.decode.wireless import read_ppi, read_prism, read_radiotap, read_wireless
from netlab.model.frame import DIRECTION_IN, DIRECTION_OUT

if TYPE_CHECKING:
    from netlab.model.frame import Frame
    from netlab.model.tables import Packet

_U16 = struct.Struct("!H")
_LITTLE = struct.Struct("<I")
_BIG = struct.Struct(">I")
_TLV = struct.Struct("<HH")
# Address families of the BSDs, macOS, Windows and Linux (man 4 bpf; LINKTYPE_NULL's page).
FAMILY_IPV4 = 2
FAMILIES_IPV6 = frozenset({23, 24, 28, 30})
NFLOG_FAMILIES = {2: 2, 10: 24}  # Linux's numbers, and the BSDs'; to those, 10 is CCITT
# Hardware types whose cooked "protocol" is not an EtherType (LINKTYPE_LINUX_SLL's page).
# A GRE device's (778) is GRE's, which is an EtherType.
COOKED_OTHER = {802: "802.11 radiotap", 803: "802.11 radiotap", 824: "netlink"}
# Where a cooked header has its packet type, and the one that means sent by this machine.
_COOKED_TYPES = {LINK_COOKED: (0, 2, b"\0\x04"), LINK_COOKED_2: (10, 11, b"\x04")}
HDLC_ADDRESSES = frozenset({0x0F, 0x8F})  # Cisco's: one receiver, all
NFLOG_PAYLOAD = 9


def _read_cooked(packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str) -> None:
    if off + 16 > len(data):
        faults.short(packet, packet.link, off, 16, len(data), stop, bound)
        return
    (hardware,) = _U16.unpack_from(data, off + 2)
    (ethertype,) = _U16.unpack_from(data, off + 14)
    _read_cooked_content(packet, hardware, ethertype, data, off + 16, stop, bound)


def _read_cooked_2(
    packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str
) -> None:
    if off + 20 > len(data):
        faults.short(packet, packet.link, off, 20, len(data), stop, bound)
        return
    (ethertype,) = _U16.unpack_from(data, off)
    (hardware,) = _U16.unpack_from(data, off + 8)
    _read_cooked_content(packet, hardware, ethertype, data, off + 20, stop, bound)


def _read_cooked_content(
    packet: Packet,
    hardware: int,
    ethertype: int,
    data: bytes | memoryview,
    off: int,
    stop: int,
    bound: str,
) -> None:
    packet.protocol = COOKED_OTHER.get(hardware, packet.link)
    if hardware not in COOKED_OTHER:
        read_ethertype(packet, ethertype, data, off, stop, bound)


def _read_null(packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str) -> None:
    """The address family in the byte order of the machine that captured."""
    if off + 4 > len(data):
        faults.short(packet, packet.link, off, 4, len(data), stop, bound)
        return
    (family,) = _LITTLE.unpack_from(data, off)
    if family > 0xFFFF:  # families are small numbers: then it was the other order
        (family,) = _BIG.unpack_from(data, off)
    _read_family(packet, family, data, off + 4, stop, bound)


def _read_loop(packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str) -> None:
    """OpenBSD's: the address family in network byte order."""
    if off + 4 > len(data):
        faults.short(packet, packet.link, off, 4, len(data), stop, bound)
        return
    (family,) = _BIG.unpack_from(data, off)
    _read_family(packet, family, data, off + 4, stop, bound)


def _read_family(
    packet: Packet, family: int, data: bytes | memoryview, off: int, stop: int, bound: str
) -> None:
    if family == FAMILY_IPV4:
        packet.protocol = packet.link
        read_ipv4(packet, data, off, stop, bound, OVER_IPV4)
    elif family in FAMILIES_IPV6:
        packet.protocol = packet.link
        read_ipv6(packet, data, off, stop, bound, OVER_IPV6)
    else:
        packet.protocol = f"address family {family}"


def _read_raw_ipv4(
    packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str
) -> None:
    read_ipv4(packet, data, off, stop, bound, OVER_IPV4)


def _read_raw_ipv6(
    packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str
) -> None:
    read_ipv6(packet, data, off, stop, bound, OVER_IPV6)


def _read_fddi(packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str) -> None:
    """Frame control and two addresses; LLC where the control says so."""
    packet.protocol = "FDDI"
    if off + 13 > len(data):
        faults.short(packet, "FDDI", off, 13, len(data), stop, bound)
    elif data[off] & 0xF0 == 0x50:
        read_llc(packet, data, off + 13, stop, bound)


def _read_token_ring(
    packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str
) -> None:
    """Access and frame control, two addresses, and a route where the source says that there is."""
    packet.protocol = "Token Ring"
    captured = len(data)
    size = 14
    if off + 16 <= captured and data[off + 8] & 0x80:
        size += data[off + 14] & 0x1F
    if off + size > captured:
        faults.short(packet, "Token Ring", off, size, captured, stop, bound)
    elif data[off + 1] & 0xC0 == 0x40:
        read_llc(packet, data, off + size, stop, bound)


def _read_hdlc(packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str) -> None:
    """Cisco's: an address, a zero, an EtherType."""
    packet.protocol = packet.link
    if off + 4 > len(data):
        faults.short(packet, packet.link, off, 4, len(data), stop, bound)
        return
    (ethertype,) = _U16.unpack_from(data, off + 2)
    if ethertype >= 0x0600:
        read_ethertype(packet, ethertype, data, off + 4, stop, bound)


def _read_ppp_link(
    packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str
) -> None:
    """PPP with or without address and control, or Cisco's HDLC, as the first byte says."""
    first = data[off] if off < len(data) else 0
    if first in HDLC_ADDRESSES:
        _read_hdlc(packet, data, off, stop, bound)
        return
    if first == PPP_ADDRESS:
        if off + 2 > len(data):
            faults.short(packet, packet.link, off, 2, len(data), stop, bound)
            return
        off += 2
    read_ppp(packet, data, off, stop, bound)


def _read_nflog(packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str) -> None:
    """The kernel's log: fields of which one is the packet, of the family that the header names."""
    packet.protocol = "NFLOG"
    if off + 4 > len(data):
        faults.short(packet, "NFLOG", off, 4, len(data), stop, bound)
        return
    family, at = NFLOG_FAMILIES.get(data[off], 0), off + 4
    while at < stop:
        if at + 4 > len(data):
            faults.short(packet, "NFLOG", at, 4, len(data), stop, bound)
            return
        length, kind = _TLV.unpack_from(data, at)  # in the byte order of the machine
        if length < 4:
            faults.note(packet, "NFLOG", at, 4, length, faults.HEADER_LENGTH)
            return
        if kind & 0x7FFF == NFLOG_PAYLOAD:
            _read_family(packet, family, data, at + 4, min(stop, at + length), bound)
            return
        if at + length > len(data):
            faults.short(packet, "NFLOG", at, length, len(data), stop, bound)
            return
        at += length + 3 & ~3


def _read_pflog(packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str) -> None:
    """OpenBSD's: a header that begins with its own length, and the address family."""
    packet.protocol = "pflog"
    size = (data[off] + 3 & ~3) if off < len(data) else 4
    if off + max(size, 2) > len(data):
        faults.short(packet, "pflog", off, size, len(data), stop, bound)
    elif size >= 4:
        _read_family(packet, data[off + 1], data, off + size, stop, bound)


def read_opaque(
    packet: Packet, _data: bytes | memoryview, _off: int, _stop: int, _bound: str
) -> None:
    """A link without a reader: its name is all."""
    packet.protocol = packet.link


def sent_here(frame: Frame, link: int) -> bool:
    """Whether the file says that the machine which captured the frame sent it."""
    if frame.flags & (DIRECTION_IN | DIRECTION_OUT):
        return frame.flags & (DIRECTION_IN | DIRECTION_OUT) == DIRECTION_OUT
    place = _COOKED_TYPES.get(link)
    return place is not None and bytes(frame.data[place[0] : place[1]]) == place[2]


LINKS: dict[int, Reader] = {
    LINK_NULL: _read_null,
    LINK_ETHERNET: read_ethernet,
    LINK_TOKEN_RING: _read_token_ring,
    LINK_PPP: _read_ppp_link,
    LINK_FDDI: _read_fddi,
    LINK_RAW_BSD: read_ip,
    LINK_RAW_OPENBSD: read_ip,
    LINK_PPP_SERIAL: _read_ppp_link,
    LINK_PPPOE: read_pppoe,
    LINK_RAW: read_ip,
    LINK_HDLC: _read_hdlc,
    LINK_WIRELESS: read_wireless,
    LINK_LOOP: _read_loop,
    LINK_COOKED: _read_cooked,
    LINK_PFLOG: _read_pflog,
    LINK_PRISM: read_prism,
    LINK_RADIOTAP: read_radiotap,
    LINK_AVS: read_prism,
    LINK_PPI: read_ppi,
    LINK_IPV4: _read_raw_ipv4,
    LINK_IPV6: _read_raw_ipv6,
    LINK_NFLOG: _read_nflog,
    LINK_COOKED_2: _read_cooked_2,
}
