"""What a datagram carries of netlab's own business -> layers: tunnels' headers, QUIC's headers.

Tunnels are told by the destination's port as in `tunnels`, QUIC by its bits and its port. Nothing
is decrypted: of QUIC that is all but the header, and of that the packet number too.
Read first: `tunnels`; RFC 9000 section 17, RFC 9369 section 3.2 (version 2), RFC 8999.
"""

from __future__ import annotations

from dataclasses import replace

from netlab.decode.fields import FIELDS
from netlab.decode.layers_link import Kind, Next
from netlab.decode.tunnels import (
    PORT_GENEVE,
    PORT_GTP_U,
    PORT_VXLAN,
    PORT_VXLAN_GPE,
    TUNNEL_NAMES,
    gtp_header_stop,
    inside,
)
from netlab.decode.walk import Layer, Walk, number

QUIC_VERSIONS = {0x00000001: "QUIC 1", 0x6B3343CF: "QUIC 2"}
_QUIC_PORTS = frozenset({443, 853, 8443, 4433})
_KINDS = ("Initial", "0-RTT", "Handshake", "Retry")
_LONGEST_ID = 20  # RFC 9000 17.2; a list of versions may have longer ones (RFC 8999 5.1)
_TAG_BYTES = 16  # RFC 9000 17.2.5


def show_tunnel(walk: Walk, dport: int, off: int) -> Next | None:
    """The header of a tunnel, and what follows it; None when it is none, or stays closed."""
    end = min(walk.stop, len(walk.data))
    if dport in (PORT_VXLAN, PORT_VXLAN_GPE):
        walk.fixed(TUNNEL_NAMES[dport], off, 8)
    elif dport == PORT_GENEVE:
        values = walk.fixed("Geneve", off, 8)
        if values is not None:
            stop = off + 8 + number(values, "options length") * 4
            layer = walk.grow(stop)
            walk.extend(layer, FIELDS["Geneve"][-1:], off, layer.stop)
    elif dport == PORT_GTP_U:
        values = walk.fixed("GTP-U", off, 8)
        at = gtp_header_stop(walk.data, off, end) if values is not None else None
        if at is not None and at > off + 8:
            walk.extend(walk.grow(at), FIELDS["GTP-U optional"], off + 8, at)
    found = inside(dport, walk.data, off, walk.stop)
    if found is None:
        return None
    return Next(Kind.ETHERTYPE, found.ethertype, found.off)


def show_quic(walk: Walk, ports: tuple[int, int], off: int) -> None:
    """QUIC's headers, where this is certainly QUIC; several packets may share a datagram."""
    end = min(walk.stop, len(walk.data))
    data, first = walk.data, off
    while off < end:
        # What shares the datagram but has another destination is no packet of it (RFC 9000 12.2).
        if off > first and data[off + 5 : off + 6 + data[first + 5]] != _destination(data, first):
            return
        reached = _long(walk, off, end) if data[off] & 0x80 else _short(walk, ports, off, end)
        if reached is None:
            return
        off = reached


def _destination(data: bytes, off: int) -> bytes:
    """The length of the destination's connection id, and the id."""
    return data[off + 5 : off + 6 + data[off + 5]]


def _short(walk: Walk, ports: tuple[int, int], off: int, end: int) -> int | None:
    behind_long = walk.layers[-1].name == "QUIC long header"
    at_port = not _QUIC_PORTS.isdisjoint(ports)
    # 21 bytes are the least that a receiver answers to; less is no packet of QUIC (RFC 9000 10.3).
    if walk.data[off] & 0x40 and (behind_long or at_port) and end - off >= 21:
        walk.fixed("QUIC short header", off, 1)
        if not behind_long:
            fields = walk.layers[-1].fields
            text = f"{fields[0].text}; taken for QUIC by its port and the next bit alone"
            fields[0] = replace(fields[0], text=text)
    return None


def _long(walk: Walk, off: int, end: int) -> int | None:
    """One packet with a long header; where the next begins, None when it is the last."""
    data = walk.data
    if off + 7 > end:
        return None
    version = int.from_bytes(data[off + 1 : off + 5], "big")
    if not _plausible(data, off, end, version):
        return None
    walk.fixed("QUIC long header", off, 5)
    layer = walk.layers[-1]
    kind = _kind(data[off], version)
    place = next(i for i, field in enumerate(layer.fields) if field.name == "packet type")
    layer.fields[place] = replace(layer.fields[place], text=f"{kind} ({data[off] >> 4 & 3})")
    known = QUIC_VERSIONS.get(version)
    if known:
        layer.fields[-1] = replace(layer.fields[-1], text=f"{known} (0x{version:08x})")
    at = off + 5
    for name in ("destination", "source"):
        size = data[at]
        walk.part(layer, "QUIC connection ids", f"{name} id length", at, 1)
        walk.part(layer, "QUIC connection ids", f"{name} connection id", at + 1, size)
        at += 1 + size
    stop = _long_rest(walk, layer, kind, version, at, end)
    walk.grow(stop)
    return stop if known and stop < end and kind in _KINDS[:3] else None


def _plausible(data: bytes, off: int, end: int, version: int) -> bool:
    """Whether the ids fit: of a known version, or of a list of versions."""
    known = version in QUIC_VERSIONS or version >> 8 == 0xFF0000  # drafts
    reserved = version & 0x0F0F0F0F == 0x0A0A0A0A  # asks for a list of versions (RFC 9000 15)
    if version and not known and not reserved:
        return False
    if version and not data[off] & 0x40:
        return False
    at = off + 5
    for _ in range(2):
        if at >= end or (version and data[at] > _LONGEST_ID):
            return False
        at += 1 + data[at]
    return at <= end and (bool(version) or (end > at and (end - at) % 4 == 0))


def _kind(first: int, version: int) -> str:
    if not version:
        return "version negotiation"
    number_ = first >> 4 & 3
    return _KINDS[number_ - 1 & 3] if version == 0x6B3343CF else _KINDS[number_]


def _long_rest(walk: Walk, layer: Layer, kind: str, version: int, at: int, end: int) -> int:
    """The fields behind the connection ids; where the packet ends."""
    table = "QUIC fields"
    if not version:
        while at + 4 <= end:
            walk.part(layer, table, "supported version", at, 4)
            at += 4
        return at
    if kind == "Retry":
        size = end - at - _TAG_BYTES
        if size >= 0:
            walk.part(layer, table, "retry token", at, size)
            walk.part(layer, table, "integrity tag", at + size, _TAG_BYTES)
        return end
    if kind == "Initial":
        token = _length(walk, layer, "token length", at, end)
        if token is None:
            return at
        at, size = token
        walk.part(layer, table, "token", at, min(size, end - at))
        at += size
    rest = _length(walk, layer, "length", at, end)
    if rest is None:
        return min(at, end)
    at, size = rest
    size = min(size, end - at)
    walk.part(layer, table, "encrypted", at, size)
    return at + size


def _length(walk: Walk, layer: Layer, name: str, at: int, end: int) -> tuple[int, int] | None:
    """A variable-length integer (RFC 9000 16): where it ends, and its value."""
    if at >= end:
        return None
    width = 1 << (walk.data[at] >> 6)
    if at + width > end:
        return None
    value = int.from_bytes(walk.data[at : at + width], "big") & (1 << width * 8 - 2) - 1
    walk.part(layer, "QUIC fields", name, at, width)
    layer.fields[-1] = replace(layer.fields[-1], text=str(value), raw=value)
    return at + width, value
