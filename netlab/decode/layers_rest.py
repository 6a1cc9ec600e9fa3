"""What the headers of a frame leave over -> a fault in its layer, the payload, the padding.

The last part of `layers`: names what could not be read as the row of `packets` names it.
"""

from __future__ import annotations

from netlab.decode.tunnels import CLOSED_TUNNELS
from netlab.decode.walk import FieldValue, Layer, Walk
from netlab.model.tables import Packet


def show_fault(walk: Walk, packet: Packet) -> None:
    """A field named "fault" in the layer that could not be read."""
    if packet.fault_layer is None or packet.fault_off is None:
        return
    if packet.fault_need is None:
        text = f"not IP at all: {packet.fault_limited_by}"
    else:
        text = (
            f"needs {packet.fault_need} bytes, has {packet.fault_have}: {packet.fault_limited_by}"
        )
    place = min(packet.fault_off, len(walk.data))
    value = FieldValue("fault", text, f"{packet.fault_layer} could not be read.", place, place, b"")
    owner = packet.fault_layer.removesuffix(" options")
    for layer in walk.layers:
        if layer.name in (packet.fault_layer, owner) and layer.start <= place:
            layer.fields.append(value)
            return
    walk.layers.append(Layer(packet.fault_layer, place, place, [value]))


def show_rest(walk: Walk, whole: int, packet: Packet) -> None:
    """What no header explains: payload, or an unread protocol; and what follows the packet."""
    name = packet.protocol or packet.link
    if packet.payload_off is not None:
        closed = CLOSED_TUNNELS.get(packet.dport or 0) if packet.protocol == "UDP" else None
        name = closed or "Payload"
    elif packet.fault_layer is not None:
        name = "Unread bytes"
    start = show_left(walk, name)
    captured, stop = len(walk.data), min(walk.stop, len(walk.data))
    if max(start, stop) < captured and walk.stop < whole:
        start = max(start, stop)
        rest = walk.data[start:]
        meaning = "Bytes after the end that the headers declare; Ethernet fills up to 60 bytes."
        value = FieldValue("bytes", f"{len(rest)} bytes", meaning, start, captured, rest)
        walk.layers.append(Layer("Padding", start, captured, [value]))


def show_left(walk: Walk, name: str) -> int:
    """Bytes that the last header carries, as a layer of this name; where that header ends."""
    captured = len(walk.data)
    start = max((layer.stop for layer in walk.layers), default=0)
    stop = min(walk.stop, captured)
    if start < stop:
        there = walk.stop - start
        text = f"{there} byte{'s' * (there != 1)}" + (
            f", {stop - start} captured" if stop - start < there else ""
        )
        value = FieldValue(
            "bytes", text, "What the headers carry.", start, stop, walk.data[start:stop]
        )
        walk.layers.append(Layer(name, start, stop, [value]))
    return start
