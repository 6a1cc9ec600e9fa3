"""Turns the bytes of a pcapng file into blocks, options, interfaces and packets; decodes no packet.

Lengths are checked before anything is cut out, nothing is copied. Where the draft leaves a choice
(lengths that are no multiple of 4, sizes, what ends the reading) it does as Wireshark 4.0
(wiretap/pcapng.c), so that both number the same frames. Knows nothing of recordings.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from netlab.capture.damage import CUT_SHORT, Damaged, max_packet_bytes
from netlab.capture.pcapng import (
    ENHANCED_PACKET,
    EPB_PACKETID,
    IF_DESCRIPTION,
    IF_NAME,
    IF_TSOFFSET,
    IF_TSRESOL,
    MAX_BLOCK_BYTES,
    OBSOLETE_PACKET,
    SECTION_HEADER,
)
from netlab.model.records import dataclass

SECTION_HEADER_BYTES = b"\n\r\r\n"  # reads the same in both byte orders
_NS = 1_000_000_000
_LATEST_NS = (1 << 63) - 1
_LITTLE, _BIG = b"\x4d\x3c\x2b\x1a", b"\x1a\x2b\x3c\x4d"
_U32 = {order: Struct(order + "I") for order in "<>"}
_U64 = {order: Struct(order + "Q") for order in "<>"}
_I64 = {order: Struct(order + "q") for order in "<>"}
_TWO_U32 = {order: Struct(order + "II") for order in "<>"}
_IDB = {order: Struct(order + "HHI") for order in "<>"}
_EPB = {order: Struct(order + "IIIII") for order in "<>"}
_OLD = {order: Struct(order + "HHIIII") for order in "<>"}
_OPTION = {order: Struct(order + "HH") for order in "<>"}
_ID_ALONE = {order: _OPTION[order].pack(EPB_PACKETID, 8) for order in "<>"}
_FLAGS_ALONE = {order: _OPTION[order].pack(2, 4) for order in "<>"}

# draft-ietf-opsawg-pcapng 4.7 and the registry of its secrets types.
_SECRETS = {
    0x544C534B: "TLS key log",
    0x5353484B: "SSH key log",
    0x57474B4C: "WireGuard key log",
    0x5A4E574B: "ZigBee network key",
    0x5A415053: "ZigBee APS key",
}

Block = tuple[int, int, int, str]  # type, start and stop of the body, byte order


def blocks(data: bytes, order: str = "<") -> Iterator[Block]:
    """Each whole block. Raises Damaged at the first that is none; what came before it stands.

    `order` is the byte order of the section that the first of them is in.
    """
    size, at = len(data), 0
    two, one = _TWO_U32[order].unpack_from, _U32[order].unpack_from
    while at < size:
        if size - at < 12:
            raise Damaged(f"{CUT_SHORT}block, at byte {at}")
        if data[at : at + 4] == SECTION_HEADER_BYTES:
            order = _section_order(data, at)
            two, one = _TWO_U32[order].unpack_from, _U32[order].unpack_from
        kind, length = two(data, at)
        length = length + 3 & ~3
        if not 12 <= length <= MAX_BLOCK_BYTES:
            raise Damaged(f"a block at byte {at} claims to be {length} bytes long")
        end = at + length
        if end > size:
            raise Damaged(f"{CUT_SHORT}block, at byte {at}")
        if (one(data, end - 4)[0] + 3 & ~3) != length:
            raise Damaged(f"the two lengths of the block at byte {at} do not agree")
        yield kind, at + 8, end - 4, order
        at = end


def _section_order(data: bytes, at: int) -> str:
    magic = data[at + 8 : at + 12]
    if magic == _LITTLE:
        return "<"
    if magic == _BIG:
        return ">"
    raise Damaged(f"the section header at byte {at} has no byte order")


def options(data: bytes, start: int, stop: int, order: str) -> list[tuple[int, bytes]]:
    """(code, value) of each option. Raises Damaged when one runs over the end."""
    found = []
    unpack = _OPTION[order].unpack_from
    at = start
    while at < stop:
        if at + 4 > stop:
            raise Damaged(f"an option at byte {at} runs over the end of its block")
        code, length = unpack(data, at)
        at += 4
        if at + (length + 3 & ~3) > stop:
            raise Damaged(f"an option at byte {at - 4} claims {length} bytes: more than its block")
        if code == 0:
            break
        found.append((code, data[at : at + length]))
        at += length + 3 & ~3
    return found


def check_section(data: bytes, start: int, stop: int, order: str) -> None:
    """Raise Damaged for a section header of a version that is not 1.0 (or 1.2)."""
    if stop - start < 16:
        raise Damaged(f"the section header at byte {start - 8} is too short")
    major, minor = _OPTION[order].unpack_from(data, start + 4)
    if major != 1 or minor not in (0, 2):
        raise Damaged(f"pcapng version {major}.{minor} is not known")


def section_comments(data: bytes, start: int, stop: int, order: str) -> list[str]:
    """The comments of a section header. Raises Damaged when an option runs over its end."""
    return [
        value.decode("utf-8", "replace")
        for code, value in options(data, start + 16, stop, order)
        if code == 1
    ]


@dataclass(frozen=True, slots=True)
class InterfaceDescription:
    """An interface of one section, and how its stamps count."""

    name: str
    link: int
    snaplen_bytes: int
    units_per_second: int
    offset_s: int

    def time_ns(self, ticks: int) -> int:
        """A stamp as nanoseconds since the epoch, held within 64 bits."""
        if self.units_per_second == _NS and not self.offset_s:
            return ticks if ticks <= _LATEST_NS else _LATEST_NS
        time_ns = ticks * _NS // self.units_per_second + self.offset_s * _NS
        return min(max(time_ns, -_LATEST_NS), _LATEST_NS)


def interface(data: bytes, start: int, stop: int, order: str) -> InterfaceDescription:
    """The interface that a description block describes."""
    if stop - start < 8:
        raise Damaged(f"the interface description at byte {start - 8} is too short")
    link, _, snaplen = _IDB[order].unpack_from(data, start)
    name = description = ""
    units, offset_s = 1_000_000, 0
    for code, value in options(data, start + 8, stop, order):
        if code == IF_NAME:
            name = value.decode("utf-8", "replace")
        elif code == IF_DESCRIPTION:
            description = value.decode("utf-8", "replace")
        elif code == IF_TSRESOL and len(value) == 1:
            units = 1 << (value[0] & 0x7F) if value[0] & 0x80 else 10 ** value[0]
        elif code == IF_TSOFFSET and len(value) == 8:
            (offset_s,) = _I64[order].unpack(value)
    return InterfaceDescription(name or description, link, snaplen, units, offset_s)


def packet(
    data: bytes, kind: int, start: int, stop: int, order: str
) -> tuple[int, int, int, int, int, int, int | None]:
    """(interface, ticks, start, stop, origlen_bytes, flags, packet id or None) of a packet block.

    The interface counts from the first of its section. Raises Damaged when the data do not fit.
    """
    if stop - start < 20:
        raise Damaged(f"the packet block at byte {start - 8} is too short")
    if kind == ENHANCED_PACKET:
        number, high, low, caplen, origlen = _EPB[order].unpack_from(data, start)
    else:
        number, _, high, low, caplen, origlen = _OLD[order].unpack_from(data, start)
    begin = start + 20
    end = begin + caplen
    after = begin + (caplen + 3 & ~3)
    if after > stop:
        raise Damaged(f"the packet at byte {start - 8} claims {caplen} bytes: more than its block")
    flags, packet_id = 0, None
    if stop - after == 12 and data[after : after + 4] == _FLAGS_ALONE[order]:
        (flags,) = _U32[order].unpack_from(data, after + 4)  # as netlab and tcpdump write them
    elif stop - after == 16 and data[after : after + 4] == _ID_ALONE[order]:
        (packet_id,) = _U64[order].unpack_from(data, after + 4)  # as a wire's frames while live
    elif after < stop:
        for code, value in options(data, after, stop, order):
            if code == EPB_PACKETID and kind == ENHANCED_PACKET and len(value) == 8:
                (packet_id,) = _U64[order].unpack(value)
            if code == 2:  # epb_flags, and pack_flags alike
                if len(value) != 4:
                    raise Damaged(f"the packet at byte {start - 8} has flags of {len(value)} bytes")
                (flags,) = _U32[order].unpack(value)
    return number, high << 32 | low, begin, end, origlen, flags, packet_id


def secrets_name(data: bytes, start: int, stop: int, order: str) -> str:
    """What keys a Decryption Secrets Block holds: `TLS key log`."""
    if stop - start < 8:
        raise Damaged(f"the block of secrets at byte {start - 8} is too short")
    (kind,) = _U32[order].unpack_from(data, start)
    return _SECRETS.get(kind, f"secrets of type 0x{kind:08x}")


def packet_flags(data: bytes | memoryview, at: int, caplen_bytes: int) -> int:
    """The flags of the packet whose bytes begin at `at`; 0 where its block has none.

    `data` hold the whole block, which has been read before: nothing is checked again.
    """
    start = at - 20
    for order in "<>" if start >= 8 else "":
        kind, length = _TWO_U32[order].unpack_from(data, start - 8)
        (caplen,) = _U32[order].unpack_from(data, start + 12)
        stop = start - 12 + (length + 3 & ~3)
        if kind not in (ENHANCED_PACKET, OBSOLETE_PACKET) or caplen != caplen_bytes:
            continue  # the other byte order, or a simple packet block
        if at + caplen <= stop and stop + 4 <= len(data):
            return packet(bytes(data[start:stop]), kind, 0, stop - start, order)[5]
    return 0


def simple_packet(
    data: bytes, start: int, stop: int, order: str, snaplen_bytes: int
) -> tuple[int, int, int]:
    """(start, stop, origlen_bytes) of a Simple Packet Block: it has no stamp and no options."""
    if stop - start < 4:
        raise Damaged(f"the packet block at byte {start - 8} is too short")
    (origlen,) = _U32[order].unpack_from(data, start)
    caplen = min(origlen, snaplen_bytes or origlen)
    if start + 4 + caplen > stop:
        raise Damaged(f"the packet at byte {start - 8} claims {caplen} bytes: more than its block")
    return start + 4, start + 4 + caplen, origlen


def statistics(data: bytes, start: int, stop: int, order: str) -> tuple[int, dict[int, int]]:
    """(interface, {option: value}) of an Interface Statistics Block; stamps are still ticks."""
    if stop - start < 12:
        raise Damaged(f"the statistics block at byte {start - 8} is too short")
    (number,) = _U32[order].unpack_from(data, start)
    found = {}
    for code, value in options(data, start + 12, stop, order):
        if len(value) != 8:
            continue
        if code in (2, 3):
            high, low = _TWO_U32[order].unpack(value)
            found[code] = high << 32 | low
        elif 4 <= code <= 8:
            (found[code],) = _U64[order].unpack(value)
    return number, found


__all__ = [
    "OBSOLETE_PACKET",
    "SECTION_HEADER",
    "Block",
    "InterfaceDescription",
    "blocks",
    "check_section",
    "interface",
    "max_packet_bytes",
    "options",
    "packet",
    "packet_flags",
    "secrets_name",
    "section_comments",
    "simple_packet",
    "statistics",
]
