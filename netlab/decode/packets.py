"""Captured frames -> rows of the `packets` table.

The way in to this room: `links` reads what the frame begins with, then `carried`, `network`, and
`transport` or `icmp`, each filling its columns of the one row that was made for the frame; then
`reassembly` joins the fragments of IP packets, and nothing else is joined here. Malformed input is
fault columns, never an exception. Plain Python that avoids work per packet: precompiled structs, no
slices, address texts looked up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netlab.decode import faults
from netlab.decode.arrivals import note_arrivals
from netlab.decode.links import LINKS, read_opaque
from netlab.decode.numbers import link_name
from netlab.decode.reassembly import put_together
from netlab.decode.transport import flags_text
from netlab.model.progress import SILENT, Progress
from netlab.model.tables import Fate, Packet

if TYPE_CHECKING:
    from netlab.model.frame import Frame, Interface
    from netlab.model.recording import RawRecording

__all__ = ["decode", "flags_text"]


def decode(raw: RawRecording, progress: Progress = SILENT) -> list[Packet]:
    """One row per frame, in the frames' order; connection and direction are left to `correlate`."""
    known = [(i.name, link_name(i.link), LINKS.get(i.link, read_opaque)) for i in raw.interfaces]
    unknown = (
        "",
        "unknown",
        read_opaque,
    )  # a damaged file may name an interface it never declared
    fate = Fate.UNKNOWN.value
    packets = []
    fragments: list[tuple[Packet, bytes | memoryview]] = []
    for frame in progress.over("decoding", raw.frames):
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
        if packet.fragment is not None:
            fragments.append((packet, data))
        packets.append(packet)
    if fragments:
        put_together(fragments)
    if raw.wired:
        note_arrivals(raw, packets, _decode_one)
    return packets


def _decode_one(frame: Frame, interface: Interface) -> Packet:
    """The row of a frame by itself."""
    read = LINKS.get(interface.link, read_opaque)
    packet = Packet(
        frame.number, frame.time_ns, None, Fate.UNKNOWN.value, interface.name,
        link_name(interface.link), len(frame.data), frame.origlen_bytes,
    )  # fmt: skip
    read(packet, frame.data, 0, len(frame.data), faults.FRAME_END)
    return packet
