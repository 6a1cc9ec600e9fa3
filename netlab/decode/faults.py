"""What could not be read -> the five fault columns of the packet. The first fault is the one kept.

Read first: the columns' meaning in `model.tables.Packet`. `off` and `stop` are places in the frame;
`stop` is where the enclosing layer says that it ends, which may lie past the captured bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netlab.model.tables import Packet

# Why there were no more bytes: what fault_limited_by says.
SNAPLEN = "snaplen"  # the capture kept less than was on the wire
FRAME_END = "frame end"
IP_LENGTH = "ip total length"  # IPv4's total length, IPv6's payload length
FRAGMENT = "fragment"  # the rest is in another fragment
HEADER_LENGTH = "header length"  # a length field inside the header says too little
OPTION_LENGTH = "option length"
UDP_LENGTH = "udp length"
LLC_LENGTH = "802.3 length"
PPPOE_LENGTH = "pppoe length"
VERSION = "ip version"  # not a question of bytes: need and have are null
QUOTE = "quote"  # an ICMP error quotes only the beginning


def note(
    packet: Packet, layer: str, off: int, need: int | None, have: int | None, limited_by: str
) -> None:
    """Fill the fault columns, unless an earlier fault stands there."""
    if packet.fault_layer is None:
        packet.fault_layer = layer
        packet.fault_off = off
        packet.fault_need = need
        packet.fault_have = have
        packet.fault_limited_by = limited_by


def short(
    packet: Packet, layer: str, off: int, need: int, captured: int, stop: int, bound: str
) -> None:
    """Note that `layer` needs `need` bytes at `off`, of which the frame does not hold all.

    `bound` says what set `stop`. The snap length is to blame only where the bytes were on the wire.
    """
    have = max(0, min(stop, captured) - off)
    note(packet, layer, off, need, have, bound if off + need > stop else SNAPLEN)
