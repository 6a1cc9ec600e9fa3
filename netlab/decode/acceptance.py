"""The bytes of a frame that a wire changed -> whether its receiver took it for what had left.

A kernel throws away, without a word, what is not addressed to it, what it cannot parse, and what a
checksum disproves. What passes all of that and yet says something else than the frame that left is
not accepted either: nobody sent it. Only changed frames come here, so nothing is tuned.
Read first: RFC 1071 section 1, RFC 9293 3.1, RFC 768 (a sum of 0 is none), RFC 8200 8.1.
"""

from __future__ import annotations

from netlab.decode.checksums import PseudoHeader, ones_sum
from netlab.decode.numbers import IP_ICMP, IP_ICMPV6, IP_TCP, IP_UDP
from netlab.model.tables import Packet

_ETHERNET = 14
_SUMMED = frozenset({IP_TCP, IP_UDP, IP_ICMP, IP_ICMPV6})
# What makes a packet the one it is to its receiver; addresses of the link are compared as bytes.
_MEANING = (
    "ip_version", "src", "dst", "fragment", "protocol", "sport", "dport", "tcp_flags", "seg_seq",
    "seg_ack", "seg_wnd_raw", "payload_len_bytes", "fault_layer", "_options", "_ip_protocol",
)  # fmt: skip


def accepted(left: bytes, arrived: bytes, as_left: Packet, as_arrived: Packet) -> bool:
    """Whether the receiver took the Ethernet frame `arrived` for what `left` was.

    The packets are the rows that decoding gives for each.
    """
    if arrived[:6] != left[:6] or as_arrived.fault_layer is not None:
        return False
    if any(getattr(as_left, name) != getattr(as_arrived, name) for name in _MEANING):
        return False
    if as_arrived.ip_version is None:
        return False  # ARP and the like have no checksum: what the receiver made of it, who knows
    return _sums_are_right(left, arrived, as_arrived)


def _sums_are_right(left: bytes, arrived: bytes, packet: Packet) -> bool:
    if packet.ip_version == 4:
        transport = _ETHERNET + (arrived[_ETHERNET] & 15) * 4
        if ones_sum(arrived[_ETHERNET:transport]) != 0xFFFF:
            return False
        addresses = arrived[_ETHERNET + 12 : _ETHERNET + 16], arrived[_ETHERNET + 16 : 34]
    else:
        transport = _ETHERNET + 40
        addresses = arrived[_ETHERNET + 8 : _ETHERNET + 24], arrived[_ETHERNET + 24 : transport]
        if arrived[_ETHERNET + 6] != packet._ip_protocol:  # extension headers: not followed
            return arrived[transport:] == left[transport:]
    if packet.fragment is not None:  # the sum is that of the whole, which is put together later
        return arrived[transport:] == left[transport:]
    number = packet._ip_protocol
    if number not in _SUMMED or packet.ip_len_bytes is None:
        return arrived[transport:] == left[transport:]
    segment = arrived[transport : _ETHERNET + packet.ip_len_bytes]
    if number == IP_UDP and segment[6:8] == b"\0\0":
        return packet.ip_version == 4
    pseudo = b""
    if number != IP_ICMP:
        pseudo = PseudoHeader(*addresses, number).packed(len(segment))
    return ones_sum(pseudo + segment) == 0xFFFF
