"""What a link, a tag or a tunnel carries, by the number that it gives: EtherTypes, LLC, PPP, MPLS,
GRE, IP in IP, and tunnels over UDP.

Of packets inside each other the innermost fills the columns: it is the one that programs speak.
Must not know which link a frame came from. Hostile frames nest without end: from `DEEPEST` on
what is inside is named and left closed.
Read first: IEEE 802.2, RFC 1042 (SNAP), RFC 1661 and 1662 (PPP), RFC 2516 (PPPoE), RFC 3032 (MPLS),
RFC 2784 and 2890 (GRE), RFC 2637 (PPTP's GRE), RFC 2003, RFC 4213.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from netlab.decode import faults
from netlab.decode.icmp import read_icmp, read_icmpv6
from netlab.decode.network import Reader, read_arp, read_behind, read_ipv4, read_ipv6
from netlab.decode.numbers import (
    ETHERTYPE_ARP,
    ETHERTYPE_BRIDGING,
    ETHERTYPE_ERSPAN,
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    ETHERTYPE_MPLS,
    ETHERTYPE_MPLS_MULTICAST,
    ETHERTYPE_OLD_SERVICE_VLAN,
    ETHERTYPE_PPP,
    ETHERTYPE_PPPOE_SESSION,
    ETHERTYPE_SERVICE_VLAN,
    ETHERTYPE_SMALLEST,
    ETHERTYPE_VLAN,
    IP_AUTHENTICATION,
    IP_DCCP,
    IP_ETHERNET,
    IP_GRE,
    IP_ICMP,
    IP_ICMPV6,
    IP_IPV4,
    IP_IPV6,
    IP_SCTP,
    IP_TCP,
    IP_UDP,
    IP_UDP_LITE,
    PPP_IPV4,
    PPP_IPV6,
    PPP_MPLS,
    PPP_MPLS_MULTICAST,
    ethertype_name,
    llc_name,
    ppp_name,
)
from netlab.decode.ports import read_dccp, read_sctp, read_udp_lite
from netlab.decode.transport import read_tcp, read_udp
from netlab.decode.tunnels import TUNNEL_NAMES, inside

if TYPE_CHECKING:
    from netlab.model.tables import Packet

VLAN_TAGS = frozenset({ETHERTYPE_VLAN, ETHERTYPE_SERVICE_VLAN, ETHERTYPE_OLD_SERVICE_VLAN})
SNAP_SAP = 0xAA
# SNAP's organisations under which an EtherType follows: RFC 1042, and IEEE 802.1H's bridge tunnel.
SNAP_ETHERTYPES = frozenset({b"\x00\x00\x00", b"\x00\x00\xf8"})
LLC_IP_SAP = 0x06
PPP_ADDRESS = 0xFF  # of HDLC, all stations: control follows, then the protocol (RFC 1662 3.1)
LLC_UNNUMBERED = 0x03  # the two low bits of control: then it is one byte long
DEEPEST = 8
_U16 = struct.Struct("!H")
_U32 = struct.Struct("!I")
_TAG = struct.Struct("!HH")
_PPPOE = struct.Struct("!BBHH")
GRE_CHECKSUM, GRE_ROUTING, GRE_KEY, GRE_SEQUENCE, GRE_ACK = 0x8000, 0x4000, 0x2000, 0x1000, 0x0080


def read_ethertype(
    packet: Packet, ethertype: int, data: bytes | memoryview, off: int, stop: int, bound: str
) -> None:
    """What an EtherType says follows at `off`; below 0x0600 it is the length of an LLC frame."""
    while ethertype in VLAN_TAGS:
        if off + 4 > len(data):
            faults.short(packet, ethertype_name(ethertype), off, 4, len(data), stop, bound)
            return
        tag, ethertype = _TAG.unpack_from(data, off)
        packet.vlan = tag & 0xFFF  # of several, the innermost: the one the host is in
        off += 4
    if ethertype == ETHERTYPE_IPV4:
        read_ipv4(packet, data, off, stop, bound, OVER_IPV4)
    elif ethertype == ETHERTYPE_IPV6:
        read_ipv6(packet, data, off, stop, bound, OVER_IPV6)
    elif ethertype == ETHERTYPE_ARP:
        read_arp(packet, data, off, stop, bound)
    elif ethertype < ETHERTYPE_SMALLEST:
        if off + ethertype < stop:
            stop, bound = off + ethertype, faults.LLC_LENGTH
        read_llc(packet, data, off, stop, bound)
    else:
        read = _ETHERTYPES.get(ethertype)
        packet.protocol = ethertype_name(ethertype)
        if read is not None:
            read(packet, data, off, stop, bound)


def read_ethernet(
    packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str
) -> None:
    """An Ethernet frame, on its link or in a tunnel."""
    if off + 14 > len(data):
        faults.short(packet, "Ethernet", off, 14, len(data), stop, bound)
        return
    packet.protocol = "Ethernet"
    (ethertype,) = _U16.unpack_from(data, off + 12)
    read_ethertype(packet, ethertype, data, off + 14, stop, bound)


def read_llc(packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str) -> None:
    """IEEE 802.2: service access points of both ends, and what they stand for."""
    packet.protocol = "LLC"
    captured = len(data)
    if off + 3 > stop or off + 3 > captured:
        faults.short(packet, "LLC", off, 3, captured, stop, bound)
        return
    target, source, control = data[off], data[off + 1], data[off + 2]
    if control & 3 != LLC_UNNUMBERED:
        return
    if target == source == SNAP_SAP:
        if off + 8 > stop or off + 8 > captured:
            faults.short(packet, "SNAP", off + 3, 5, captured, stop, bound)
            return
        (ethertype,) = _U16.unpack_from(data, off + 6)
        if bytes(data[off + 3 : off + 6]) not in SNAP_ETHERTYPES:
            packet.protocol = "SNAP"
        elif ethertype >= ETHERTYPE_SMALLEST:
            read_ethertype(packet, ethertype, data, off + 8, stop, bound)
    elif target == source == LLC_IP_SAP:
        read_ip(packet, data, off + 3, stop, bound)
    else:
        packet.protocol = llc_name(target)


def read_ip(packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str) -> None:
    """IPv4 or IPv6, as the first four bits say."""
    if off >= len(data):
        faults.short(packet, "IP", off, 1, len(data), stop, bound)
    elif data[off] >> 4 == 4:
        read_ipv4(packet, data, off, stop, bound, OVER_IPV4)
    elif data[off] >> 4 == 6:
        read_ipv6(packet, data, off, stop, bound, OVER_IPV6)
    else:
        faults.note(packet, "IP", off, None, None, faults.VERSION)


def read_ppp(packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str) -> None:
    """PPP from its protocol number on, which is one byte where the first is odd (RFC 1661 6.5)."""
    packet.protocol = "PPP"
    captured = min(stop, len(data))
    if off < captured and data[off] & 1:
        number, off = data[off], off + 1
    elif off + 2 <= captured:
        (number,) = _U16.unpack_from(data, off)
        off += 2
    else:
        faults.short(packet, "PPP", off, 2, len(data), stop, bound)
        return
    if number == PPP_IPV4:
        read_ipv4(packet, data, off, stop, bound, OVER_IPV4)
    elif number == PPP_IPV6:
        read_ipv6(packet, data, off, stop, bound, OVER_IPV6)
    else:
        packet.protocol = ppp_name(number)
        if number in (PPP_MPLS, PPP_MPLS_MULTICAST):  # RFC 3032 4.3
            read_mpls(packet, data, off, stop, bound)


def read_pppoe(packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str) -> None:
    """A PPPoE session's header, then PPP."""
    packet.protocol = "PPPoE session"
    if off + 6 > stop or off + 6 > len(data):
        faults.short(packet, "PPPoE session", off, 6, len(data), stop, bound)
        return
    _, code, _, length = _PPPOE.unpack_from(data, off)
    if off + 6 + length < stop:
        stop, bound = off + 6 + length, faults.PPPOE_LENGTH
    if code == 0:
        read_ppp(packet, data, off + 6, stop, bound)


def read_mpls(packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str) -> None:
    """Labels to the bottom of the stack; what is below has no number, only its first bits."""
    while True:
        if off + 4 > stop or off + 4 > len(data):
            faults.short(packet, "MPLS", off, 4, len(data), stop, bound)
            return
        (label,) = _U32.unpack_from(data, off)
        off += 4
        if label & 0x100:
            break
    if off < stop and (off >= len(data) or data[off] >> 4 in (4, 6)):
        read_ip(packet, data, off, stop, bound)


def read_gre(packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str) -> None:
    """GRE with its optional words, and what it carries."""
    packet.protocol = "GRE"
    if off + 4 > stop or off + 4 > len(data):
        faults.short(packet, "GRE", off, 4, len(data), stop, bound)
        return
    flags, ethertype = _TAG.unpack_from(data, off)
    if flags & GRE_ROUTING or not _goes_deeper(packet):
        return
    size = gre_size(flags)
    if off + size > stop or off + size > len(data):
        faults.short(packet, "GRE", off, size, len(data), stop, bound)
    elif ethertype == ETHERTYPE_ERSPAN and not flags & GRE_SEQUENCE:  # type I: no header of its own
        packet.protocol = "ERSPAN"
        read_ethernet(packet, data, off + size, stop, bound)
    elif off + size < stop:  # PPTP acknowledges with headers alone
        read_ethertype(packet, ethertype, data, off + size, stop, bound)


def gre_size(flags: int) -> int:
    """How long a GRE header is, by its first 16 bits."""
    words = (GRE_CHECKSUM, GRE_KEY, GRE_SEQUENCE, GRE_ACK)
    return 4 + 4 * sum(bool(flags & bit) for bit in words)


def _read_erspan(packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str) -> None:
    """ERSPAN type II: a mirrored Ethernet frame behind 8 bytes."""
    if off + 8 > stop or off + 8 > len(data):
        faults.short(packet, "ERSPAN", off, 8, len(data), stop, bound)
        return
    if data[off] >> 4 == 1:
        read_ethernet(packet, data, off + 8, stop, bound)


def _read_gre_ppp(
    packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str
) -> None:
    """PPTP: PPP with or without its address and control bytes (RFC 2637 4.1)."""
    if off < min(stop, len(data)) and data[off] == PPP_ADDRESS:
        off += 2
    read_ppp(packet, data, off, stop, bound)


def _read_udp(packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str) -> None:
    """UDP; a packet in a tunnel over it takes the columns if it can be read."""
    read_udp(packet, data, off, stop, bound)
    if packet.dport in TUNNEL_NAMES and packet.protocol == "UDP":
        _read_tunnel(packet, data, stop, bound)


def _read_tunnel(packet: Packet, data: bytes | memoryview, stop: int, bound: str) -> None:
    begin, length = packet.payload_off or 0, packet.payload_len_bytes or 0
    sport, dport = packet.sport or 0, packet.dport or 0
    if begin + length < stop:
        stop, bound = begin + length, faults.UDP_LENGTH
    found = inside(dport, data, begin, stop)
    if found is None or not _goes_deeper(packet):
        return
    ends = packet.src or "", sport, packet.dst or "", dport
    packet.protocol = found.tunnel
    packet.sport = packet.dport = packet.payload_off = packet.payload_len_bytes = None
    # First, so that the carriers stand from the outermost to the innermost.
    packet._carriers = (*packet._carriers, ends)
    if found.ethertype == ETHERTYPE_BRIDGING:
        read_ethernet(packet, data, found.off, stop, bound)
    else:
        read_ethertype(packet, found.ethertype, data, found.off, stop, bound)
    if packet.protocol == found.tunnel:  # nothing of it could be read
        packet.protocol, packet._carriers = "UDP", packet._carriers[:-1]
        packet.sport, packet.dport = sport, dport
        packet.payload_off, packet.payload_len_bytes = begin, length


def _read_ipv4_in_ip(
    packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str
) -> None:
    packet.protocol = "IPv4 in IP"
    if _goes_deeper(packet):
        read_ipv4(packet, data, off, stop, bound, OVER_IPV4)


def _read_ipv6_in_ip(
    packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str
) -> None:
    packet.protocol = "IPv6 in IP"
    if _goes_deeper(packet):
        read_ipv6(packet, data, off, stop, bound, OVER_IPV6)


def _read_ethernet_in_ip(
    packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str
) -> None:
    packet.protocol = "Ethernet in IP"
    if _goes_deeper(packet):
        read_ethernet(packet, data, off, stop, bound)


def _read_authentication(
    packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str
) -> None:
    """What the header vouches for follows it in the open (RFC 4302 section 2)."""
    packet.protocol = "AH"
    read_behind(packet, IP_AUTHENTICATION, data, off, stop, bound, OVER_IPV4)


def _goes_deeper(packet: Packet) -> bool:
    packet._depth += 1
    return packet._depth <= DEEPEST and packet.fragment is None


OVER_IPV4: dict[int, Reader] = {
    IP_TCP: read_tcp,
    IP_UDP: _read_udp,
    IP_ICMP: read_icmp,
    IP_IPV4: _read_ipv4_in_ip,
    IP_IPV6: _read_ipv6_in_ip,
    IP_GRE: read_gre,
    IP_ETHERNET: _read_ethernet_in_ip,
    IP_SCTP: read_sctp,
    IP_DCCP: read_dccp,
    IP_UDP_LITE: read_udp_lite,
    IP_AUTHENTICATION: _read_authentication,
}
OVER_IPV6: dict[int, Reader] = {
    IP_TCP: read_tcp,
    IP_UDP: _read_udp,
    IP_ICMPV6: read_icmpv6,
    IP_IPV4: _read_ipv4_in_ip,
    IP_IPV6: _read_ipv6_in_ip,
    IP_GRE: read_gre,
    IP_ETHERNET: _read_ethernet_in_ip,
    IP_SCTP: read_sctp,
    IP_DCCP: read_dccp,
    IP_UDP_LITE: read_udp_lite,
}
_ETHERTYPES: dict[int, Reader] = {
    ETHERTYPE_BRIDGING: read_ethernet,
    ETHERTYPE_ERSPAN: _read_erspan,
    ETHERTYPE_MPLS: read_mpls,
    ETHERTYPE_MPLS_MULTICAST: read_mpls,
    ETHERTYPE_PPP: _read_gre_ppp,
    ETHERTYPE_PPPOE_SESSION: read_pppoe,
}
