"""The checksum of a header in one frame -> what it is worth, said behind its value.

A sum is called wrong only where nothing speaks for its device: a sender leaves it to that, and the
capture is older. Must not know which protocol it is. Read first: `checksums`.
"""

from __future__ import annotations

from dataclasses import replace

from netlab.decode.checksums import NOT_FILLED_IN, verdict
from netlab.decode.walk import Layer, Walk
from netlab.model.frame import CHECKSUM_NOT_READY


def show_checksum(walk: Walk, layer: Layer, off: int, place: int, covered: int = 0) -> None:
    """Verify the field "checksum" at `place` of the header at `off`, up to the packet's end.

    `covered`: how many bytes are summed, where that is less than the packet.
    """
    there = walk.stop - off
    segment = walk.data[off : walk.stop]
    if walk.quote:
        return
    left = bool(walk.flags & CHECKSUM_NOT_READY)
    if walk.unverifiable:
        said = walk.unverifiable
    elif len(segment) < (covered or there):
        said = NOT_FILLED_IN if left else f"not verified: {len(segment)} of {there} bytes captured"
    else:
        said = verdict(segment[: covered or there], place, walk.pseudo, left, there)
        if said.startswith("bad") and walk.sent:
            said = "not verified: sent from here, the device may fill it in"
    say(layer, said)


def say(layer: Layer, said: str) -> None:
    """Put what a checksum is worth behind its value."""
    index = next(i for i, field in enumerate(layer.fields) if field.name == "checksum")
    field = layer.fields[index]
    layer.fields[index] = replace(field, text=f"{field.text} {said}")
