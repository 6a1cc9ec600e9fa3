"""Headers between the wire and IP of one frame -> layers, and what follows them.

The part of `layers` for links and tunnels that `carried`, `links` and `wireless` read for the
columns. Each function adds its header and says what comes next, or None when that cannot be known.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from netlab.decode import numbers
from netlab.decode.carried import (
    LLC_IP_SAP,
    LLC_UNNUMBERED,
    PPP_ADDRESS,
    SNAP_ETHERTYPES,
    SNAP_SAP,
    gre_size,
)
from netlab.decode.field import bytes_text
from netlab.decode.fields import FIELDS
from netlab.decode.links import HDLC_ADDRESSES, NFLOG_FAMILIES, NFLOG_PAYLOAD
from netlab.decode.walk import FieldValue, Layer, Walk, number
from netlab.decode.wireless import (
    DATA,
    NO_DATA,
    PROTECTED,
    QOS,
    header_bytes,
    quality_off,
    radiotap_flags,
)


class Kind(StrEnum):
    """What follows a header."""

    ETHERTYPE = "ethertype"
    ETHERNET = "ethernet"
    LLC = "llc"
    PPP = "ppp"
    IP = "ip"  # of either version
    FAMILY = "family"  # of addresses
    WIRELESS = "wireless"


class Next(NamedTuple):
    """What follows, its number if the kind has one, and where."""

    kind: Kind
    number: int
    off: int


def show_link(walk: Walk, link: int) -> Next | None:
    """The header of a link of the less usual ones."""
    first = walk.u8(0)
    if link in (numbers.LINK_PPP, numbers.LINK_PPP_SERIAL):
        if first in HDLC_ADDRESSES:
            return _hdlc(walk, 0)
        return Next(Kind.PPP, 0, 0)
    show = _LINKS.get(link)
    return show(walk, 0) if show is not None else None


def show_llc(walk: Walk, off: int) -> Next | None:
    """LLC, and SNAP behind it."""
    values = walk.fixed("LLC", off, 3)
    if values is None or number(values, "control") & 3 != LLC_UNNUMBERED:
        return None
    target, source = number(values, "destination SAP"), number(values, "source SAP")
    if target == source == LLC_IP_SAP:
        return Next(Kind.IP, 0, off + 3)
    if not target == source == SNAP_SAP:
        return None
    values = walk.fixed("SNAP", off + 3, 5)
    if values is None:
        return None
    organisation = number(values, "organisation").to_bytes(3, "big")
    ethertype = number(values, "type")
    if organisation not in SNAP_ETHERTYPES or ethertype < numbers.ETHERTYPE_SMALLEST:
        return None
    return Next(Kind.ETHERTYPE, ethertype, off + 8)


def show_ppp(walk: Walk, off: int) -> Next | None:
    """PPP: address and control where they stand, which is not in PPPoE, then the protocol."""
    end = min(walk.stop, len(walk.data))
    start = off
    in_pppoe = bool(walk.layers) and walk.layers[-1].name == "PPPoE session"
    if walk.u8(off) == PPP_ADDRESS and not in_pppoe:
        off += 2
    first = walk.u8(off)
    size = 1 if first is not None and first & 1 else 2
    if first is None or off + size > end:
        return None
    layer = walk.add("PPP", start, off + size)
    if off > start:
        raw = walk.data[start:off]
        meaning = "Address and control of HDLC, usually ff 03."
        layer.fields.append(
            FieldValue("address, control", bytes_text(raw), meaning, start, off, raw, "RFC 1662 3")
        )
    value = int.from_bytes(walk.data[off : off + size], "big")
    text = f"{numbers.ppp_name(value)} (0x{value:04x})"
    field = FIELDS["PPP"][0]
    layer.fields.append(
        FieldValue(field.name, text, field.meaning, off, off + size, value, field.source)
    )
    if value == numbers.PPP_IPV4:
        return Next(Kind.ETHERTYPE, numbers.ETHERTYPE_IPV4, off + size)
    if value == numbers.PPP_IPV6:
        return Next(Kind.ETHERTYPE, numbers.ETHERTYPE_IPV6, off + size)
    if value in (numbers.PPP_MPLS, numbers.PPP_MPLS_MULTICAST):
        return Next(Kind.ETHERTYPE, numbers.ETHERTYPE_MPLS, off + size)
    return None


def show_pppoe(walk: Walk, off: int) -> Next | None:
    """A PPPoE session's header."""
    values = walk.fixed("PPPoE session", off, 6)
    if values is None or number(values, "code"):
        return None
    walk.stop = min(walk.stop, off + 6 + number(values, "length"))
    return Next(Kind.PPP, 0, off + 6)


def show_mpls(walk: Walk, off: int) -> Next | None:
    """MPLS labels to the bottom of the stack."""
    while True:
        values = walk.fixed("MPLS", off, 4)
        if values is None:
            return None
        off += 4
        if number(values, "bottom of stack"):
            break
    below = walk.u8(off)
    return Next(Kind.IP, 0, off) if below is not None and below >> 4 in (4, 6) else None


def show_gre(walk: Walk, off: int) -> Next | None:
    """GRE with its optional words."""
    values = walk.fixed("GRE", off, 4)
    if values is None or number(values, "routing present"):
        return None
    layer = walk.layers[-1]
    size = gre_size(int.from_bytes(walk.data[off : off + 2], "big"))
    walk.layers[-1] = layer = Layer(layer.name, off, min(off + size, len(walk.data)), layer.fields)
    at = off + 4
    for flag, name, meaning in _GRE_WORDS:
        if number(values, flag):
            if at + 4 > min(walk.stop, len(walk.data)):
                return None
            raw = walk.data[at : at + 4]
            if name == "key" and number(values, "version") == 1:
                layer.fields.extend(_of_pptp(raw, at))
            else:
                text = bytes_text(raw) if name == "checksum" else str(int.from_bytes(raw, "big"))
                clause = "RFC 2637 4.1" if name == "acknowledgment number" else "RFC 2890 2"
                layer.fields.append(FieldValue(name, text, meaning, at, at + 4, raw, clause))
            at += 4
    ethertype = number(values, "type")
    if at >= walk.stop:
        return None
    if ethertype == numbers.ETHERTYPE_PPP:
        return Next(Kind.PPP, 0, at)
    if ethertype == numbers.ETHERTYPE_ERSPAN and not number(values, "sequence present"):
        return Next(Kind.ETHERNET, 0, at)  # type I has no header of its own
    return Next(Kind.ETHERTYPE, ethertype, at)


_GRE_WORDS = (
    ("checksum present", "checksum", "Guards header and payload; the second half is reserved."),
    ("key present", "key", "Names a flow within the tunnel."),
    ("sequence present", "sequence number", "Counts the packets of the tunnel."),
    ("ACK present", "acknowledgment number", "The last packet that arrived."),
)
# What version 1 has in the place of the key.
_PPTP_HALVES = (
    ("payload length", "Bytes that follow this header."),
    ("call ID", "Names the receiver's session."),
)


def _of_pptp(raw: bytes, at: int) -> list[FieldValue]:
    return [
        FieldValue(
            name, str(int.from_bytes(raw[place : place + 2], "big")), meaning, at + place,
            at + place + 2, raw[place : place + 2], "RFC 2637 4.1",
        )
        for place, (name, meaning) in zip((0, 2), _PPTP_HALVES, strict=True)
    ]  # fmt: skip


def show_erspan(walk: Walk, off: int) -> Next | None:
    """ERSPAN type II."""
    values = walk.fixed("ERSPAN", off, 8)
    if values is None or number(values, "version") != 1:
        return None
    return Next(Kind.ETHERNET, 0, off + 8)


def show_wireless(walk: Walk, off: int, align: int = 1) -> Next | None:
    """An 802.11 frame's header."""
    values = walk.fixed("802.11", off, 2)
    if values is None or number(values, "type") != DATA:
        return None
    subtype, flags = number(values, "subtype"), walk.data[off + 1]
    size = -(-header_bytes(subtype, flags) // align) * align
    if off + size > min(walk.stop, len(walk.data)):
        return None
    layer = walk.layers[-1]
    walk.layers[-1] = layer = Layer(layer.name, off, off + size, layer.fields)
    walk.extend(layer, FIELDS["802.11 addresses"], off + 2)
    rest = walk.data[off + 24 : off + size]
    if rest:
        meaning = "A fourth address, QoS and HT control, and what fills it up."
        layer.fields.append(
            FieldValue("rest", bytes_text(rest), meaning, off + 24, off + size, rest)
        )
    aggregate = subtype & QOS and walk.data[off + quality_off(flags)] & 0x80
    if subtype & NO_DATA or flags & PROTECTED or aggregate:
        return None
    return Next(Kind.LLC, 0, off + size)


def _radiotap(walk: Walk, off: int) -> Next | None:
    values = walk.fixed("802.11 radiotap", off, 8)
    if values is None:
        return None
    size = number(values, "length")
    if not _grow(walk, off, 8, size, "fields"):
        return None
    flags = radiotap_flags(walk.data, off, size)
    walk.stop -= 4 if flags & 0x10 else 0
    return show_wireless(walk, off + size, 4 if flags & 0x20 else 1)


def _ppi(walk: Walk, off: int) -> Next | None:
    values = walk.fixed("PPI", off, 8)
    if values is None or not _grow(walk, off, 8, number(values, "length"), "fields"):
        return None
    place, link = off + number(values, "length"), number(values, "link type")
    if link == numbers.LINK_WIRELESS:
        return show_wireless(walk, place)
    return Next(Kind.ETHERNET, 0, place) if link == numbers.LINK_ETHERNET else None


def _prism(walk: Walk, off: int) -> Next | None:
    if len(walk.data) < 8:
        return None
    avs = int.from_bytes(walk.data[:4], "big") >> 12 == 0x80211
    size = int.from_bytes(walk.data[4:8], "big" if avs else "little")
    if not 8 <= size <= len(walk.data):
        return None
    layer = walk.add("802.11 AVS" if avs else "802.11 Prism", off, size)
    raw = walk.data[off:size]
    meaning = "What the card measured."
    layer.fields.append(FieldValue("measurements", bytes_text(raw), meaning, off, size, raw))
    return show_wireless(walk, size)


def _nflog(walk: Walk, off: int) -> Next | None:
    values = walk.fixed("NFLOG", off, 4)
    if values is None:
        return None
    layer = walk.layers[-1]
    at = off + 4
    while at + 4 <= min(walk.stop, len(walk.data)):
        length = int.from_bytes(walk.data[at : at + 2], "little")
        kind = int.from_bytes(walk.data[at + 2 : at + 4], "little") & 0x7FFF
        if length < 4 or (kind != NFLOG_PAYLOAD and at + length > len(walk.data)):
            return None
        end = at + (4 if kind == NFLOG_PAYLOAD else length + 3 & ~3)
        raw = walk.data[at:end]
        meaning = "A field: its length, its kind and what it says."
        layer.fields.append(
            FieldValue(f"field {kind}", bytes_text(raw), meaning, at, at + len(raw), raw)
        )
        walk.layers[-1] = layer = Layer(layer.name, off, min(end, len(walk.data)), layer.fields)
        if kind == NFLOG_PAYLOAD:
            walk.stop = min(walk.stop, at + length)
            return Next(Kind.FAMILY, NFLOG_FAMILIES.get(number(values, "family"), 0), end)
        at = end
    return None


def _pflog(walk: Walk, off: int) -> Next | None:
    size = (walk.u8(off) or 0) + 3 & ~3
    values = walk.fixed("pflog", off, 4)
    if values is None or not _grow(walk, off, 4, size, "rule"):
        return None
    return Next(Kind.FAMILY, number(values, "family"), off + size)


def _grow(walk: Walk, off: int, known: int, size: int, name: str) -> bool:
    """Make the last layer `size` bytes long; whether they are there."""
    if size < known or off + size > len(walk.data):
        return False
    layer = walk.layers[-1]
    walk.layers[-1] = layer = Layer(layer.name, off, off + size, layer.fields)
    raw = walk.data[off + known : off + size]
    if raw:
        meaning = "What else the header says."
        layer.fields.append(
            FieldValue(name, bytes_text(raw), meaning, off + known, off + size, raw)
        )
    return True


def _hdlc(walk: Walk, off: int) -> Next | None:
    values = walk.fixed("Cisco HDLC", off, 4)
    if values is None or number(values, "type") < numbers.ETHERTYPE_SMALLEST:
        return None
    return Next(Kind.ETHERTYPE, number(values, "type"), off + 4)


def _fddi(walk: Walk, off: int) -> Next | None:
    values = walk.fixed("FDDI", off, 13)
    if values is None or number(values, "frame control") & 0xF0 != 0x50:
        return None
    return Next(Kind.LLC, 0, off + 13)


def _token_ring(walk: Walk, off: int) -> Next | None:
    values = walk.fixed("Token Ring", off, 14)
    if values is None:
        return None
    size = 14
    if walk.data[off + 8] & 0x80 and len(walk.data) >= off + 16:
        size += walk.data[off + 14] & 0x1F
    if not _grow(walk, off, 14, size, "route"):
        return None
    is_llc = number(values, "frame control") & 0xC0 == 0x40
    return Next(Kind.LLC, 0, off + size) if is_llc else None


_LINKS = {
    numbers.LINK_FDDI: _fddi,
    numbers.LINK_TOKEN_RING: _token_ring,
    numbers.LINK_HDLC: _hdlc,
    numbers.LINK_PPPOE: show_pppoe,
    numbers.LINK_WIRELESS: show_wireless,
    numbers.LINK_PRISM: _prism,
    numbers.LINK_AVS: _prism,
    numbers.LINK_RADIOTAP: _radiotap,
    numbers.LINK_PPI: _ppi,
    numbers.LINK_NFLOG: _nflog,
    numbers.LINK_PFLOG: _pflog,
}
