"""One frame -> its layers with every field: bytes, text, meaning and source. For `--packet N`.

Walks the headers by the table in `fields`, apart from the fast path in `packets`; tests hold the
two to each other. What could not be read is named as the fast path names it, once. For one frame,
so it is not made fast.
Read first: `fields`, then `walk`.
"""

from __future__ import annotations

from dataclasses import replace

from netlab.decode import numbers
from netlab.decode.carried import DEEPEST
from netlab.decode.checksums import GOOD, NOT_FILLED_IN, PseudoHeader, checksum, ones_sum
from netlab.decode.field import Kind as FieldKind
from netlab.decode.field import bytes_text
from netlab.decode.fields import FIELDS, IPV4_OPTIONS, SOURCE_ROUTES
from netlab.decode.layers_link import (
    Kind,
    Next,
    show_erspan,
    show_gre,
    show_link,
    show_llc,
    show_mpls,
    show_ppp,
    show_pppoe,
)
from netlab.decode.layers_more import show_dccp, show_igmp, show_sctp, show_udp_lite
from netlab.decode.layers_over_udp import show_quic, show_tunnel
from netlab.decode.layers_rest import show_fault, show_left, show_rest
from netlab.decode.layers_transport import show_icmp, show_tcp, show_udp
from netlab.decode.links import COOKED_OTHER, FAMILIES_IPV6, FAMILY_IPV4, sent_here
from netlab.decode.packets import decode
from netlab.decode.tunnels import TUNNEL_NAMES
from netlab.decode.walk import FieldValue, Layer, Walk, number, packed
from netlab.model.frame import Frame, Interface
from netlab.model.recording import RawRecording

__all__ = ["FieldValue", "Layer", "layers", "whole_layers"]

_IS_FRAGMENT = "not verified: a fragment"
_TAGS = {
    numbers.ETHERTYPE_VLAN,
    numbers.ETHERTYPE_SERVICE_VLAN,
    numbers.ETHERTYPE_OLD_SERVICE_VLAN,
}
_EXTENSIONS = {
    numbers.IP_HOP_BY_HOP,
    numbers.IP_ROUTING,
    numbers.IP_DESTINATION_OPTIONS,
    numbers.IP_MOBILITY,
    numbers.IP_HIP,
    numbers.IP_SHIM6,
    numbers.IP_AUTHENTICATION,
}


def layers(frame: Frame, interface: Interface) -> list[Layer]:
    """The layers of one frame, outermost first; a last one for bytes that no header explains.

    A fault is a field named "fault" in the layer that could not be read.
    """
    walk = _walked(frame, interface)
    raw = RawRecording(frames=[replace(frame, interface=0)], interfaces=[interface])
    packet = decode(raw)[0]
    show_fault(walk, packet)
    show_rest(walk, max(len(frame.data), frame.origlen_bytes), packet)
    return walk.layers


def whole_layers(
    frame: Frame, interface: Interface, version: int, protocol: int, data: bytes
) -> list[Layer]:
    """The layers of what a packet carried that came in fragments, put together: `data`.

    `frame` is any of them; `protocol` is what its IPv4 header or IPv6 fragment header names.
    """
    outer = _walked(frame, interface)
    walk = Walk(data, len(data), frame.flags, outer.sent)
    reached = _extensions(walk, protocol, 0) if version == 6 else (protocol, 0)
    if reached is not None:
        number_, place = reached
        if outer.ends is not None:
            walk.ends = outer.ends
            walk.pseudo = PseudoHeader(*outer.ends, number_)
        _transport(walk, number_, place, version)
    show_left(walk, "Payload" if walk.layers else numbers.ip_protocol_name(protocol))
    return walk.layers


def _walked(frame: Frame, interface: Interface) -> Walk:
    data = bytes(frame.data)
    sent = sent_here(frame, interface.link)
    walk = Walk(data, max(len(data), frame.origlen_bytes), frame.flags, sent)
    _link(walk, interface.link)
    return walk


def _link(walk: Walk, link: int) -> None:
    name = numbers.link_name(link)
    if link == numbers.LINK_ETHERNET:
        _ethernet(walk, 0)
    elif link in (numbers.LINK_COOKED, numbers.LINK_COOKED_2):
        size = 16 if link == numbers.LINK_COOKED else 20
        values = walk.fixed(name, 0, size)
        if values is not None and number(values, "hardware type") not in COOKED_OTHER:
            _ethertype(walk, number(values, "type"), size)
    elif link in (numbers.LINK_NULL, numbers.LINK_LOOP):
        values = walk.fixed(name, 0, 4)
        if values is not None:
            _family(walk, packed(values, "family"), link)
    elif link == numbers.LINK_IPV4:
        _ipv4(walk, 0)
    elif link == numbers.LINK_IPV6:
        _ipv6(walk, 0)
    elif link in (numbers.LINK_RAW, numbers.LINK_RAW_BSD, numbers.LINK_RAW_OPENBSD):
        _raw(walk, 0)
    else:
        _follow(walk, show_link(walk, link))


def _follow(walk: Walk, following: Next | None) -> None:
    """Show what a header says that follows it."""
    while following is not None:
        kind, value, off = following
        following = None
        if kind is Kind.LLC:
            following = show_llc(walk, off)
        elif kind is Kind.PPP:
            following = show_ppp(walk, off)
        elif kind is Kind.ETHERNET:
            _ethernet(walk, off)
        elif kind is Kind.ETHERTYPE:
            _ethertype(walk, value, off)
        elif kind is Kind.IP:
            _raw(walk, off)
        elif value == FAMILY_IPV4:
            _ipv4(walk, off)
        elif value in FAMILIES_IPV6:
            _ipv6(walk, off)


def _ethernet(walk: Walk, off: int) -> None:
    values = walk.fixed("Ethernet", off, 14)
    if values is not None:
        _ethertype(walk, number(values, "type"), off + 14)


def _family(walk: Walk, family: bytes, link: int) -> None:
    value = int.from_bytes(family, "big")
    if link == numbers.LINK_NULL and int.from_bytes(family, "little") <= 0xFFFF:
        value = int.from_bytes(family, "little")
    if value == FAMILY_IPV4:
        _ipv4(walk, 4)
    elif value in FAMILIES_IPV6:
        _ipv6(walk, 4)


def _raw(walk: Walk, off: int) -> None:
    first = walk.u8(off)
    if first is not None and first >> 4 == 4:
        _ipv4(walk, off)
    elif first is not None and first >> 4 == 6:
        _ipv6(walk, off)


def _ethertype(walk: Walk, ethertype: int, off: int) -> None:
    while ethertype in _TAGS:
        values = walk.fixed(numbers.ethertype_name(ethertype), off, 4, "802.1Q")
        if values is None:
            return
        ethertype = number(values, "type")
        off += 4
    if ethertype == numbers.ETHERTYPE_IPV4:
        _ipv4(walk, off)
    elif ethertype == numbers.ETHERTYPE_IPV6:
        _ipv6(walk, off)
    elif ethertype == numbers.ETHERTYPE_ARP:
        _arp(walk, off)
    elif ethertype < numbers.ETHERTYPE_SMALLEST:
        walk.stop = min(walk.stop, off + ethertype)
        _follow(walk, show_llc(walk, off))
    elif ethertype == numbers.ETHERTYPE_BRIDGING:
        _ethernet(walk, off)
    elif (show := _SHOWN.get(ethertype)) is not None:
        _follow(walk, show(walk, off))


def _arp(walk: Walk, off: int) -> None:
    values = walk.fixed("ARP", off, 8)
    if values is None:
        return
    sizes = number(values, "hardware size"), number(values, "protocol size")
    end = off + 8 + 2 * sum(sizes)
    if end > min(walk.stop, len(walk.data)):
        return
    layer = walk.layers[-1]
    walk.layers[-1] = Layer(layer.name, layer.start, end, layer.fields)
    at = off + 8
    is_mac = number(values, "hardware type") in _MAC_HARDWARE and sizes[0] == 6
    is_ip = number(values, "protocol type") == numbers.ETHERTYPE_IPV4 and sizes[1] == 4
    for field in FIELDS["ARP addresses"]:
        size = sizes[field.kind is FieldKind.IPV4]
        whole = is_mac if field.kind is FieldKind.MAC else is_ip
        walk.part(layer, "ARP addresses", field.name, at, size, None if whole else FieldKind.BYTES)
        at += size
    walk.stop = end


def _ipv4(walk: Walk, off: int) -> None:
    first = walk.u8(off)
    if first is None:
        return
    size = (first & 15) * 4
    values = walk.fixed("IPv4", off, size)
    if values is None:
        return
    layer = walk.layers[-1]
    if number(values, "version") != 4 or size < 20:
        walk.end_at("version" if number(values, "version") != 4 else "header length")
        return
    total = number(values, "total length")
    if total == 0:
        total = walk.stop - off
        _annotate(layer, "total length", f"0: left to a device, here {total}", total)
    if total < size:
        walk.end_at("total length")
        return
    walk.stop = min(walk.stop, off + total)
    options = list(walk.options(layer, off + 20, off + size, IPV4_OPTIONS))
    if off + size > min(walk.stop, len(walk.data)):
        return
    _check_ipv4_header(walk, layer, walk.data[off : off + size])
    protocol = number(values, "protocol")
    walk.ends = packed(values, "source"), packed(values, "destination")
    walk.pseudo = PseudoHeader(*walk.ends, protocol)
    walk.unverifiable = ""
    if any(kind in SOURCE_ROUTES for kind, _, _ in options):
        walk.unverifiable = "not verified: a source route changes the destination"
    walk.fragment_off = number(values, "fragment offset") * 8
    if walk.fragment_off or number(values, "more fragments"):
        walk.unverifiable = _IS_FRAGMENT
    _transport(walk, protocol, off + size, 4)


def _check_ipv4_header(walk: Walk, layer: Layer, header: bytes) -> None:
    place, field = _find(layer, "header checksum")
    if walk.quote:
        return
    if ones_sum(header) == 0xFFFF:
        said = GOOD
    elif field.raw == 0:  # no sender computes that, and no router lets it pass
        said = NOT_FILLED_IN
    else:
        right = checksum(header[:10] + b"\0\0" + header[12:])
        said = f"bad, should be 0x{right:04x}"
    layer.fields[place] = replace(field, text=f"{field.text} {said}")


def _ipv6(walk: Walk, off: int) -> None:
    values = walk.fixed("IPv6", off, 40)
    if values is None:
        return
    if number(values, "version") != 6:
        walk.end_at("version")
        return
    length = number(values, "payload length")
    following = number(values, "next header")
    payload = off + 40
    if length == 0 and following != numbers.IP_NOTHING:
        jumbo = walk.data[payload + 2 : payload + 4] == b"\xc2\x04"
        if following == numbers.IP_HOP_BY_HOP and jumbo and payload + 8 <= len(walk.data):
            length = int.from_bytes(walk.data[payload + 4 : payload + 8], "big")
        length = length or walk.stop - payload
        text = f"0: too long for 16 bits or left to a device, here {length}"
        _annotate(walk.layers[-1], "payload length", text, length)
    walk.stop = min(walk.stop, payload + length)
    walk.unverifiable = ""
    walk.fragment_off = 0
    walk.ends = packed(values, "source"), packed(values, "destination")
    reached = _extensions(walk, following, payload)
    if reached is not None:
        protocol, place = reached
        walk.pseudo = PseudoHeader(*walk.ends, protocol)
        _transport(walk, protocol, place, 6)


def _extensions(walk: Walk, following: int, off: int) -> tuple[int, int] | None:
    """The protocol behind the extension headers and its place; None when one cannot be read."""
    while following in _EXTENSIONS or following == numbers.IP_FRAGMENT:
        name = numbers.ip_protocol_name(following)
        if following == numbers.IP_FRAGMENT:
            values = walk.fixed(name, off, 8)
            size = 8
        else:
            units = walk.u8(off + 1) or 0
            size = (units + 2) * 4 if following == numbers.IP_AUTHENTICATION else (units + 1) * 8
            values = walk.fixed(name, off, size, "IPv6 extension")
        end = min(walk.stop, len(walk.data))
        if values is None or off + max(size, 8) > end:
            return None
        if following == numbers.IP_FRAGMENT:
            walk.fragment_off = number(values, "fragment offset") * 8
            if walk.fragment_off or number(values, "more fragments"):
                walk.unverifiable = _IS_FRAGMENT
            if walk.fragment_off:
                return number(values, "next header"), off + 8
        else:
            content = walk.data[off + 2 : off + size]
            walk.layers[-1].fields.append(
                FieldValue("content", bytes_text(content), "Depends on the header.", off + 2,
                           off + size, content, "RFC 8200 4")
            )  # fmt: skip
            if following == numbers.IP_ROUTING and walk.data[off + 3]:
                _reroute(walk, walk.data[off : off + size])
        following = number(values, "next header")
        off += size
    return following, off


def _reroute(walk: Walk, header: bytes) -> None:
    """The address that the checksum was made with: the last on the way (RFC 8200 8.1)."""
    kind = header[2]
    final = header[-16:] if kind == 0 else header[8:24] if kind in (2, 4) else b""
    if len(final) < 16 or len(header) < 24 or walk.ends is None:
        walk.unverifiable = "not verified: a routing header changes the destination"
    else:  # type 4 lists its segments from the last to the first (RFC 8754 2)
        walk.ends = walk.ends[0], final


def _transport(walk: Walk, protocol: int, off: int, version: int) -> None:
    if walk.fragment_off:
        return
    if protocol == numbers.IP_TCP:
        show_tcp(walk, off)
    elif protocol == numbers.IP_UDP:
        ports = show_udp(walk, off, version)
        if ports is not None and not walk.quote:
            _over_udp(walk, ports, off + 8)
    elif protocol == numbers.IP_AUTHENTICATION and not walk.quote:
        reached = _extensions(walk, protocol, off)
        if reached is not None and walk.ends is not None:
            walk.pseudo = PseudoHeader(*walk.ends, reached[0])
            _transport(walk, *reached, version)
    elif protocol in _TUNNELS and not walk.quote:
        _tunnel(walk, protocol, off)
    elif protocol == (numbers.IP_ICMP if version == 4 else numbers.IP_ICMPV6):
        quoted = show_icmp(walk, off, version)
        if quoted is not None and not walk.quote and (walk.u8(quoted) or 0) >> 4 == version:
            stop = walk.stop
            walk.quote = True
            (_ipv4 if version == 4 else _ipv6)(walk, quoted)
            walk.stop = stop  # the quoted lengths count bytes that are not here
    elif (show := _RARE.get((version, protocol)) or _RARE.get((0, protocol))) is not None:
        show(walk, off)


def _over_udp(walk: Walk, ports: tuple[int, int], off: int) -> None:
    """A packet in a tunnel over UDP, or QUIC."""
    if ports[1] not in TUNNEL_NAMES:
        show_quic(walk, ports, off)
        return
    following = show_tunnel(walk, ports[1], off)
    walk.depth += following is not None
    if walk.depth <= DEEPEST and walk.unverifiable != _IS_FRAGMENT:
        _follow(walk, following)


def _tunnel(walk: Walk, protocol: int, off: int) -> None:
    """A packet inside a packet; as deep as the columns go."""
    walk.depth += 1
    if walk.depth > DEEPEST or walk.unverifiable == _IS_FRAGMENT:
        return
    if protocol == numbers.IP_GRE:
        _follow(walk, show_gre(walk, off))
    elif protocol == numbers.IP_ETHERNET:
        _ethernet(walk, off)
    elif protocol == numbers.IP_IPV4:
        _ipv4(walk, off)
    else:
        _ipv6(walk, off)


_MAC_HARDWARE = {1, 6}  # Ethernet, and IEEE 802 (IANA "ARP Parameters")
_TUNNELS = {numbers.IP_IPV4, numbers.IP_IPV6, numbers.IP_GRE, numbers.IP_ETHERNET}
_RARE = {  # by version of IP, 0 any
    (4, numbers.IP_IGMP): show_igmp,
    (0, numbers.IP_SCTP): show_sctp,
    (0, numbers.IP_DCCP): show_dccp,
    (0, numbers.IP_UDP_LITE): show_udp_lite,
}
_SHOWN = {
    numbers.ETHERTYPE_PPPOE_SESSION: show_pppoe,
    numbers.ETHERTYPE_MPLS: show_mpls,
    numbers.ETHERTYPE_MPLS_MULTICAST: show_mpls,
    numbers.ETHERTYPE_ERSPAN: show_erspan,
}


def _find(layer: Layer, name: str) -> tuple[int, FieldValue]:
    return next((i, field) for i, field in enumerate(layer.fields) if field.name == name)


def _annotate(layer: Layer, name: str, text: str, raw: int) -> None:
    """Show what a length of zero stands for."""
    place, field = _find(layer, name)
    layer.fields[place] = replace(field, text=text, raw=raw)
