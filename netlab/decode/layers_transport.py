"""TCP, UDP and ICMP headers of one frame -> layers, options spelled out, checksums verified.

The part of `layers` behind IP. Must not know the link. Read first: `walk`, `checksums`.
"""

from __future__ import annotations

from dataclasses import replace

from netlab.decode.checksums import NOT_FILLED_IN, verdict
from netlab.decode.fields import FIELDS, TCP_OPTIONS
from netlab.decode.icmp import ICMP_ERRORS, ICMPV6_ERRORS
from netlab.decode.icmp_words import (
    ICMP_TYPES,
    ICMP_UNREACHABLE,
    ICMPV6_TYPES,
    ICMPV6_UNREACHABLE,
)
from netlab.decode.transport import (
    OPTION_MSS,
    OPTION_SACK,
    OPTION_TIMESTAMPS,
    OPTION_WSCALE,
    flags_text,
)
from netlab.decode.walk import FieldValue, Layer, Walk, number
from netlab.model.frame import CHECKSUM_NOT_READY

_OPTION_LENGTHS = {OPTION_MSS: 4, OPTION_WSCALE: 3, OPTION_TIMESTAMPS: 10}


def show_tcp(walk: Walk, off: int) -> None:
    """Add the TCP layer at `off`."""
    size = ((walk.u8(off + 12) or 0) >> 4) * 4
    values = walk.fixed("TCP", off, size)
    if values is None:
        return
    layer = walk.layers[-1]
    if size < 20 or off + size > walk.stop:
        return
    _flags(layer)
    for kind, place, length in walk.options(layer, off + 20, off + size, TCP_OPTIONS):
        if _OPTION_LENGTHS.get(kind) == length:
            walk.extend(layer, FIELDS[f"TCP option {kind}"][2:], place)
        elif kind == OPTION_SACK and length % 8 == 2:
            _sack_blocks(walk, layer, place + 2, place + length)
    _checksum(walk, layer, off, 16)


def _flags(layer: Layer) -> None:
    """One line for all flags, before the line of each."""
    names = [field.name for field in layer.fields]
    first, last = names.index("reserved"), names.index("FIN")
    bits = 0
    for field in layer.fields[first : last + 1]:
        width = 3 if field.name == "reserved" else 1
        assert isinstance(field.raw, int)
        bits = bits << width | field.raw
    place = layer.fields[first].start
    text = f"{flags_text(bits) or 'none'} (0x{bits:03x})"
    meaning = "The control bits, all in one."
    whole = FieldValue("flags", text, meaning, place, place + 2, bits, "RFC 9293 3.1", "_flags")
    layer.fields.insert(first, whole)


def _sack_blocks(walk: Walk, layer: Layer, off: int, stop: int) -> None:
    for place in range(off, stop, 8):
        raw = walk.data[place : place + 8]
        left, right = int.from_bytes(raw[:4], "big"), int.from_bytes(raw[4:], "big")
        meaning = "These bytes arrived, though earlier ones are missing."
        layer.fields.append(
            FieldValue("SACK block", f"{left}..{right}", meaning, place, place + 8, raw,
                       "RFC 2018 3", "sack_blocks")
        )  # fmt: skip


def show_udp(walk: Walk, off: int, version: int) -> None:
    """Add the UDP layer at `off`."""
    values = walk.fixed("UDP", off, 8)
    if values is None:
        return
    layer = walk.layers[-1]
    length = number(values, "length")
    if length == 0:
        length = walk.stop - off
    if length < 8:
        return
    walk.stop = min(walk.stop, off + length)
    if number(values, "checksum") == 0:
        said = "none was made" if version == 4 else "none: allowed in tunnels only (RFC 6935)"
        _say(layer, said)
    else:
        _checksum(walk, layer, off, 6)


def show_icmp(walk: Walk, off: int, version: int) -> int | None:
    """Add the ICMP layer at `off`; give the place of the packet that an error quotes."""
    name = "ICMP" if version == 4 else "ICMPv6"
    values = walk.fixed(name, off, 8)
    if values is None:
        return None
    layer = walk.layers[-1]
    kind, code = number(values, "type"), number(values, "code")
    known = (ICMP_TYPES if version == 4 else ICMPV6_TYPES).get(kind)
    if known:
        layer.fields[0] = replace(layer.fields[0], text=f"{known} ({kind})")
    if kind == (3 if version == 4 else 1):
        reason = (ICMP_UNREACHABLE if version == 4 else ICMPV6_UNREACHABLE).get(code)
        if reason:
            layer.fields[1] = replace(layer.fields[1], text=f"{reason} ({code})")
    if version == 4:
        walk.pseudo = None  # ICMP sums its own bytes alone
    _checksum(walk, layer, off, 2)
    return off + 8 if kind in (ICMP_ERRORS if version == 4 else ICMPV6_ERRORS) else None


def _checksum(walk: Walk, layer: Layer, off: int, place: int) -> None:
    """Say after the checksum what it is worth."""
    segment = walk.data[off : walk.stop]
    there = walk.stop - off
    if walk.quote:
        return
    left = bool(walk.flags & CHECKSUM_NOT_READY)
    if walk.unverifiable:
        said = walk.unverifiable
    elif len(segment) < there:
        said = NOT_FILLED_IN if left else f"not verified: {len(segment)} of {there} bytes captured"
    else:
        said = verdict(segment, place, walk.pseudo, left)
    _say(layer, said)


def _say(layer: Layer, said: str) -> None:
    index = next(i for i, field in enumerate(layer.fields) if field.name == "checksum")
    field = layer.fields[index]
    layer.fields[index] = replace(field, text=f"{field.text} {said}")
