"""A row of `packets` and its frame -> the bytes that the transport carries, as far as captured."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netlab.model.tables import Packet


def payload_of(packet: Packet, data: bytes | memoryview) -> memoryview:
    """The payload; of a packet that came in fragments, all of it in the frame that completed it.

    `data` is the frame. Empty where there is none, or the headers could not be read.
    """
    if packet._whole is not None:
        return memoryview(packet._whole)
    if packet.payload_off is None or not packet.payload_len_bytes:
        return memoryview(b"")
    return memoryview(data)[packet.payload_off : packet.payload_off + packet.payload_len_bytes]
