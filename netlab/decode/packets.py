"""Captured frames -> rows of the `packets` table.

The way in to this room: link headers are read here, then `network`, then `transport` or `icmp`,
each filling its columns of the one row that was made for the frame. Nothing here joins packets with
each other. Malformed input is fault columns, never an exception. Plain Python that avoids work per
packet: precompiled structs, no slices, address texts looked up.
Read first: the LINKTYPE_ pages of tcpdump.org (LINUX_SLL, LINUX_SLL2, NULL, RAW), IEEE 802.1Q.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from netlab.decode import faults
from netlab.decode.arrivals import note_arrivals
from netlab.decode.icmp import read_icmp, read_icmpv6
from netlab.decode.network import Reader, read_arp, read_ipv4, read_ipv6
from netlab.decode.numbers import (
    ETHERTYPE_ARP,
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    ETHERTYPE_OLD_SERVICE_VLAN,
    ETHERTYPE_SERVICE_VLAN,
    ETHERTYPE_VLAN,
    IP_ICMP,
    IP_ICMPV6,
    IP_TCP,
    IP_UDP,
    LINK_COOKED,
    LINK_COOKED_2,
    LINK_ETHERNET,
    LINK_IPV4,
    LINK_IPV6,
    LINK_LOOP,
    LINK_NULL,
    LINK_RAW,
    LINK_RAW_BSD,
    LINK_RAW_OPENBSD,
    ethertype_name,
    link_name,
)
from netlab.decode.transport import flags_text, read_tcp, read_udp
from netlab.model.tables import Fate, Packet

if TYPE_CHECKING:
    from netlab.model.frame import Frame, Interface
    from netlab.model.recording import RawRecording

__all__ = ["decode", "flags_text"]

_VLAN_TAGS = frozenset({ETHERTYPE_VLAN, ETHERTYPE_SERVICE_VLAN, ETHERTYPE_OLD_SERVICE_VLAN})
_U16 = struct.Struct("!H")
_TAG = struct.Struct("!HH")
_LITTLE = struct.Struct("<I")
_BIG = struct.Struct(">I")
# Address families of the BSDs, macOS, Windows and Linux (man 4 bpf; LINKTYPE_NULL's page).
FAMILY_IPV4 = 2
FAMILIES_IPV6 = frozenset({10, 23, 24, 28, 30})
# Hardware types whose cooked "protocol" is not an EtherType (LINKTYPE_LINUX_SLL's page).
COOKED_OTHER = {778: "GRE", 802: "802.11 radiotap", 803: "802.11 radiotap", 824: "netlink"}

_OVER_IPV4: dict[int, Reader] = {IP_TCP: read_tcp, IP_UDP: read_udp, IP_ICMP: read_icmp}
_OVER_IPV6: dict[int, Reader] = {IP_TCP: read_tcp, IP_UDP: read_udp, IP_ICMPV6: read_icmpv6}


def decode(raw: RawRecording) -> list[Packet]:
    """One row per frame, in the frames' order; connection and direction are left to `correlate`."""
    known = [(i.name, link_name(i.link), _LINKS.get(i.link, _read_opaque)) for i in raw.interfaces]
    unknown = (
        "",
        "unknown",
        _read_opaque,
    )  # a damaged file may name an interface it never declared
    fate = Fate.UNKNOWN.value
    packets = []
    for frame in raw.frames:
        index = frame.interface
        name, link, read = known[index] if 0 <= index < len(known) else unknown
        data = frame.data
        captured = len(data)
        packet = Packet(
            frame.number, frame.time_ns, None, fate, name, link, captured, frame.origlen_bytes
        )
        packet._offload = frame.flags
        # Some writers give an original length below the captured one: the bytes are there.
        read(packet, data, 0, max(captured, frame.origlen_bytes), faults.FRAME_END)
        packets.append(packet)
    if raw.wired:
        note_arrivals(raw, packets, _decode_one)
    return packets


def _decode_one(frame: Frame, interface: Interface) -> Packet:
    """The row of a frame by itself."""
    read = _LINKS.get(interface.link, _read_opaque)
    packet = Packet(
        frame.number, frame.time_ns, None, Fate.UNKNOWN.value, interface.name,
        link_name(interface.link), len(frame.data), frame.origlen_bytes,
    )  # fmt: skip
    read(packet, frame.data, 0, len(frame.data), faults.FRAME_END)
    return packet


def _read_ethernet(
    packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str
) -> None:
    if off + 14 > len(data):
        faults.short(packet, "Ethernet", off, 14, len(data), stop, bound)
        return
    packet.protocol = "Ethernet"
    (ethertype,) = _U16.unpack_from(data, off + 12)
    _read_ethertype(packet, ethertype, data, off + 14, stop, bound)


def _read_ethertype(
    packet: Packet, ethertype: int, data: bytes | memoryview, off: int, stop: int, bound: str
) -> None:
    while ethertype in _VLAN_TAGS:
        if off + 4 > len(data):
            faults.short(packet, ethertype_name(ethertype), off, 4, len(data), stop, bound)
            return
        tag, ethertype = _TAG.unpack_from(data, off)
        packet.vlan = tag & 0xFFF  # of several, the innermost: the one the host is in
        off += 4
    if ethertype == ETHERTYPE_IPV4:
        read_ipv4(packet, data, off, stop, bound, _OVER_IPV4)
    elif ethertype == ETHERTYPE_IPV6:
        read_ipv6(packet, data, off, stop, bound, _OVER_IPV6)
    elif ethertype == ETHERTYPE_ARP:
        read_arp(packet, data, off, stop, bound)
    else:
        packet.protocol = ethertype_name(ethertype)


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
        _read_ethertype(packet, ethertype, data, off, stop, bound)


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
        read_ipv4(packet, data, off, stop, bound, _OVER_IPV4)
    elif family in FAMILIES_IPV6:
        packet.protocol = packet.link
        read_ipv6(packet, data, off, stop, bound, _OVER_IPV6)
    else:
        packet.protocol = f"address family {family}"


def _read_raw(packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str) -> None:
    """IPv4 or IPv6, as the first four bits say."""
    if off >= len(data):
        faults.short(packet, "IP", off, 1, len(data), stop, bound)
    elif data[off] >> 4 == 4:
        read_ipv4(packet, data, off, stop, bound, _OVER_IPV4)
    elif data[off] >> 4 == 6:
        read_ipv6(packet, data, off, stop, bound, _OVER_IPV6)
    else:
        faults.note(packet, "IP", off, None, None, faults.VERSION)


def _read_raw_ipv4(
    packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str
) -> None:
    read_ipv4(packet, data, off, stop, bound, _OVER_IPV4)


def _read_raw_ipv6(
    packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str
) -> None:
    read_ipv6(packet, data, off, stop, bound, _OVER_IPV6)


def _read_opaque(
    packet: Packet, _data: bytes | memoryview, _off: int, _stop: int, _bound: str
) -> None:
    packet.protocol = packet.link


_LINKS: dict[int, Reader] = {
    LINK_NULL: _read_null,
    LINK_ETHERNET: _read_ethernet,
    LINK_RAW_BSD: _read_raw,
    LINK_RAW_OPENBSD: _read_raw,
    LINK_RAW: _read_raw,
    LINK_LOOP: _read_loop,
    LINK_COOKED: _read_cooked,
    LINK_IPV4: _read_raw_ipv4,
    LINK_IPV6: _read_raw_ipv6,
    LINK_COOKED_2: _read_cooked_2,
}
