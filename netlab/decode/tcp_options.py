"""One frame with a TCP header -> its options, each whole: those that no column has among them.

The columns say where the payload begins and how long the IP packet is: so the header is found
without reading the frame again where it lies as most do, which its ports and its length confirm;
`layers` finds any other. Read first: RFC 9293 3.1 and 3.2.
"""

from __future__ import annotations

from netlab.decode.transport import option_places
from netlab.model.frame import Frame, Interface
from netlab.model.tables import Packet

_LEAST = 20  # bytes of a TCP header


def tcp_options(packet: Packet, frame: Frame, interface: Interface) -> dict[int, bytes]:
    """Kind -> the option with its kind and length; of several of a kind the first."""
    data = frame.data
    off = _header(packet, data)
    if off is None:
        off = _header_by_reading(frame, interface)
    if off is None:
        return {}
    stop = off + (data[off + 12] >> 4) * 4
    nobody = Packet(0, 0, None, "", "", "", 0, 0)  # what is damaged has been noted where it counts
    found: dict[int, bytes] = {}
    for kind, place, length in option_places(nobody, data, off + _LEAST, stop):
        found.setdefault(kind, bytes(data[place : place + length]))
    return found


def _header(packet: Packet, data: bytes | memoryview) -> int | None:
    if packet.payload_off is None or packet.payload_len_bytes is None or packet.fragment:
        return None
    start = packet.payload_off + packet.payload_len_bytes - (packet.ip_len_bytes or 0)
    if not 0 <= start < len(data):
        return None
    off = start + ((data[start] & 15) * 4 if packet.ip_version == 4 else 40)
    if off + _LEAST > len(data):
        return None
    ports = data[off] << 8 | data[off + 1], data[off + 2] << 8 | data[off + 3]
    ends_there = off + (data[off + 12] >> 4) * 4 == packet.payload_off
    return off if ports == (packet.sport, packet.dport) and ends_there else None


def _header_by_reading(frame: Frame, interface: Interface) -> int | None:
    from netlab.decode.layers import layers

    headers = [layer for layer in layers(frame, interface) if layer.name == "TCP"]
    if not headers or headers[-1].start + _LEAST > len(frame.data):
        return None
    return headers[-1].start
