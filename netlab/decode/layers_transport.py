"""TCP, UDP and ICMP headers of one frame -> layers, options spelled out, checksums verified.

The part of `layers` behind IP. Must not know the link. Read first: `walk`, `checksums`.
"""

from __future__ import annotations

from dataclasses import replace

from netlab.decode.fields import FIELDS
from netlab.decode.fields_tcp import EXPERIMENTS, MPTCP_SUBTYPES, TCP_OPTIONS, option_tables
from netlab.decode.icmp import ICMP_ERRORS, ICMPV6_ERRORS
from netlab.decode.icmp_words import (
    ICMP_TYPES,
    ICMP_UNREACHABLE,
    ICMPV6_TYPES,
    ICMPV6_UNREACHABLE,
)
from netlab.decode.layers_sums import say, show_checksum
from netlab.decode.transport import (
    OPTION_MPTCP,
    OPTION_MSS,
    OPTION_SACK,
    OPTION_TIMESTAMPS,
    OPTION_WSCALE,
    flags_text,
    udp_length_is_open,
)
from netlab.decode.walk import FieldValue, Layer, Walk, number

_EXPERIMENTAL = frozenset({253, 254})
_USUAL = frozenset({OPTION_MSS, OPTION_WSCALE, OPTION_TIMESTAMPS})


def show_tcp(walk: Walk, off: int) -> None:
    """Add the TCP layer at `off`."""
    size = ((walk.u8(off + 12) or 0) >> 4) * 4
    values = walk.fixed("TCP", off, size)
    if values is None:
        _flags_of_cut(walk, off)
        return
    layer = walk.layers[-1]
    _flags(layer)
    for kind, place, length in walk.options(layer, off + 20, off + size, TCP_OPTIONS):
        if kind == OPTION_SACK and length % 8 == 2:
            _sack_blocks(walk, layer, place + 2, place + length)
        else:
            _option(walk, layer, place, length)
    show_checksum(walk, layer, off, 16)


def _flags_of_cut(walk: Walk, off: int) -> None:
    """The same line where the header ends behind the flags."""
    layer = walk.layers[-1] if walk.layers else None
    if layer is not None and layer.start == off and layer.fields[-1].start > off + 12:
        _flags(layer)


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


def _option(walk: Walk, layer: Layer, off: int, length: int) -> None:
    """Say which of its kind an option is, and append its fields."""
    raw = walk.data[off : off + length]
    kind = raw[0]
    whole = layer.fields[-1]
    if kind == OPTION_MPTCP and length > 2:
        subtype = raw[2] >> 4
        name = MPTCP_SUBTYPES.get(subtype, f"subtype {subtype}")
        layer.fields[-1] = replace(whole, name=f"MPTCP {name}")
    elif kind in _EXPERIMENTAL and length >= 4:
        known = EXPERIMENTS.get(int.from_bytes(raw[2:4], "big"))
        if known is not None:
            layer.fields[-1] = replace(
                whole, name=f"{known.name}, {whole.name}", meaning=known.meaning,
                source=known.source,
            )  # fmt: skip
    # Of the usual ones, kind and length are the option's own line; others are drawn in full.
    at, skipped = off, 2 if kind in _USUAL else 0
    for table in option_tables(raw):
        fields = FIELDS[table]
        walk.extend(layer, fields[skipped:], at, off + length)
        at, skipped = at + fields[-1].end_byte, 0


def _sack_blocks(walk: Walk, layer: Layer, off: int, stop: int) -> None:
    for place in range(off, stop, 8):
        raw = walk.data[place : place + 8]
        left, right = int.from_bytes(raw[:4], "big"), int.from_bytes(raw[4:], "big")
        meaning = "These bytes arrived, though earlier ones are missing."
        layer.fields.append(
            FieldValue("SACK block", f"{left}..{right}", meaning, place, place + 8, raw,
                       "RFC 2018 3", "sack_blocks")
        )  # fmt: skip


def show_udp(walk: Walk, off: int, version: int) -> tuple[int, int] | None:
    """Add the UDP layer at `off`; give the ports where what it carries can be looked at."""
    values = walk.fixed("UDP", off, 8)
    if values is None:
        return None
    layer = walk.layers[-1]
    length = number(values, "length")
    if length == 0 and udp_length_is_open(version, walk.stop - off):
        length = walk.stop - off
    if length < 8:
        return None
    there = walk.stop - off
    walk.stop = min(walk.stop, off + length)
    if length > there and not walk.unverifiable and number(values, "checksum"):
        say(layer, f"not verified: {there} of {length} bytes are there")
    elif number(values, "checksum") == 0:
        said = "none was made" if version == 4 else "none: allowed in tunnels only (RFC 6935)"
        say(layer, said)
    else:
        show_checksum(walk, layer, off, 6)
    return number(values, "source port"), number(values, "destination port")


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
    show_checksum(walk, layer, off, 2)
    return off + 8 if kind in (ICMP_ERRORS if version == 4 else ICMPV6_ERRORS) else None
