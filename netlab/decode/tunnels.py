"""Tunnels in UDP: the payload of a datagram to a tunnel's port -> what packet begins where in it.

Only the destination port tells: these protocols send both ways to the well-known one, and the
other names a flow. Must not know the datagram around it, nor how what is inside is read.
Read first: RFC 7348 5 (VXLAN), draft-ietf-nvo3-vxlan-gpe 3 (with other than Ethernet inside),
RFC 8926 3 (Geneve), RFC 7510 3 (MPLS), 3GPP TS 29.281 5 (GTP-U).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import NamedTuple

from netlab.decode.numbers import (
    ETHERTYPE_BRIDGING,
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    ETHERTYPE_MPLS,
)

PORT_GTP_U, PORT_VXLAN, PORT_VXLAN_GPE, PORT_GENEVE, PORT_MPLS = 2152, 4789, 4790, 6081, 6635

_U16 = struct.Struct("!H")
_GPE_PROTOCOLS = {1: ETHERTYPE_IPV4, 2: ETHERTYPE_IPV6, 3: ETHERTYPE_BRIDGING, 5: ETHERTYPE_MPLS}
_GTP_EXTENDED = 0x07  # an extension header, a sequence number or an N-PDU number: all three fields
_GTP_EXTENSION = 0x04
GTP_PACKET = 255  # G-PDU: the message that carries a packet


class Inside(NamedTuple):
    """What a tunnel's header says that follows it."""

    tunnel: str
    ethertype: int  # ETHERTYPE_BRIDGING: an Ethernet frame
    off: int


def inside(dport: int, data: bytes | memoryview, off: int, stop: int) -> Inside | None:
    """The packet in the tunnel, None when the payload at `off`..`stop` is no such tunnel's."""
    read = _TUNNELS.get(dport)
    return read(data, off, min(stop, len(data))) if read is not None else None


def _vxlan(data: bytes | memoryview, off: int, stop: int) -> Inside | None:
    if off + 8 > stop or not data[off] & 0x08:  # I: there is a network identifier
        return None
    return Inside("VXLAN", ETHERTYPE_BRIDGING, off + 8)


def _vxlan_gpe(data: bytes | memoryview, off: int, stop: int) -> Inside | None:
    if off + 8 > stop or data[off] & 0x0C != 0x0C:  # I, and P: the last reserved byte is a number
        return None
    ethertype = _GPE_PROTOCOLS.get(data[off + 3])
    return None if ethertype is None else Inside("VXLAN-GPE", ethertype, off + 8)


def _mpls(data: bytes | memoryview, off: int, stop: int) -> Inside | None:
    return Inside("MPLS in UDP", ETHERTYPE_MPLS, off) if off + 4 <= stop else None


def _geneve(data: bytes | memoryview, off: int, stop: int) -> Inside | None:
    if off + 8 > stop or data[off] >> 6 or data[off + 1] & 0x80:  # version 0, no control packet
        return None
    (ethertype,) = _U16.unpack_from(data, off + 2)
    begin = off + 8 + (data[off] & 0x3F) * 4
    return Inside("Geneve", ethertype, begin) if begin <= stop else None


def _gtp(data: bytes | memoryview, off: int, stop: int) -> Inside | None:
    if off + 8 > stop or data[off] >> 4 != 0x3 or data[off + 1] != GTP_PACKET:  # version 1, GTP
        return None
    begin = gtp_header_stop(data, off, stop)
    if begin is None or begin >= stop or data[begin] >> 4 not in (4, 6):
        return None
    ethertype = ETHERTYPE_IPV4 if data[begin] >> 4 == 4 else ETHERTYPE_IPV6
    return Inside("GTP-U", ethertype, begin)


def gtp_header_stop(data: bytes | memoryview, off: int, stop: int) -> int | None:
    """Where a GTP-U header with its extension headers ends; None when that is not there."""
    flags = data[off]
    at = off + 8
    if not flags & _GTP_EXTENDED:
        return at
    at += 4
    if at > stop:
        return None
    following = data[at - 1] if flags & _GTP_EXTENSION else 0
    while following:  # each: its length in words of 4 bytes, its content, the type of the next
        if at >= stop or not data[at] or at + data[at] * 4 > stop:
            return None
        at += data[at] * 4
        following = data[at - 1]
    return at


TUNNEL_NAMES: Mapping[int, str] = {
    PORT_GTP_U: "GTP-U",
    PORT_VXLAN: "VXLAN",
    PORT_VXLAN_GPE: "VXLAN-GPE",
    PORT_GENEVE: "Geneve",
    PORT_MPLS: "MPLS in UDP",
}
# Tunnels that stay closed: encrypted, or not met here. By port, as IANA's registry has them.
CLOSED_TUNNELS: Mapping[int, str] = {
    1701: "L2TP",
    2268: "AMT",
    3544: "Teredo",
    4341: "LISP",
    4500: "ESP or IKE in UDP",
    4754: "GRE in UDP",
    5247: "CAPWAP",
    6080: "GUE",
    8472: "OTV or old VXLAN",
    51820: "WireGuard",
}
_TUNNELS: dict[int, Callable[[bytes | memoryview, int, int], Inside | None]] = {
    PORT_GTP_U: _gtp,
    PORT_VXLAN: _vxlan,
    PORT_VXLAN_GPE: _vxlan_gpe,
    PORT_GENEVE: _geneve,
    PORT_MPLS: _mpls,
}
