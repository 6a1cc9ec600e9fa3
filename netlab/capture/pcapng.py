"""Turns blocks into the bytes of a pcapng file: what netlab writes, little-endian, stamps in ns.

Knows the layout of blocks and options and nothing of what a recording is; `pcapng_reader` is the
way back. Read draft-ietf-opsawg-pcapng first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import Struct

SECTION_HEADER = 0x0A0D0D0A
INTERFACE_DESCRIPTION = 1
OBSOLETE_PACKET = 2
SIMPLE_PACKET = 3
INTERFACE_STATISTICS = 5
ENHANCED_PACKET = 6
JOURNAL_EXPORT = 9
DECRYPTION_SECRETS = 10
SYSDIG_EVENTS = frozenset({0x204, 0x216, 0x221})
CUSTOM = frozenset({0x0BAD, 0x40000BAD})
NETLAB_LOCAL = 0x80004E4C  # bit 31: for local use; "NL"

# Wireshark 4.0 and libpcap refuse a file with a longer block.
MAX_BLOCK_BYTES = 16 << 20

COMMENT = 1
SHB_HARDWARE, SHB_OS, SHB_USERAPPL = 2, 3, 4
IF_NAME, IF_DESCRIPTION, IF_TSRESOL, IF_OS, IF_TSOFFSET = 2, 3, 9, 12, 14
ISB_START, ISB_END, ISB_RECEIVED, ISB_DROPPED = 2, 3, 4, 5
EPB_FLAGS, EPB_PACKETID, EPB_PROCESS_THREAD = 2, 5, 8

Option = tuple[int, bytes]

_BLOCK_HEAD = Struct("<II")
_U32 = Struct("<I")
_U64 = Struct("<Q")
_TWO_U32 = Struct("<II")
_OPTION_HEAD = Struct("<HH")
_SHB = Struct("<IHHq")
_IDB = Struct("<HHI")
_ISB = Struct("<III")
_EPB_HEAD = Struct("<IIIIIII")
_ID_TAIL = Struct("<HHQII")  # the packet's id, the end of its options, the block's length
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")  # by length modulo 4
_END_OF_OPTIONS = b"\0\0\0\0"
_LOW32 = 0xFFFFFFFF


def block(kind: int, body: bytes) -> bytes:
    """A whole block; the body is padded to 32 bits."""
    padding = _PADDING[len(body) & 3]
    total = 12 + len(body) + len(padding)
    if total > MAX_BLOCK_BYTES:
        raise ValueError(f"a block of {total} bytes: no reader would go on behind it")
    return b"".join((_BLOCK_HEAD.pack(kind, total), body, padding, _U32.pack(total)))


def options(items: Iterable[Option]) -> bytes:
    """The options of a block, ended; nothing when there are none."""
    parts: list[bytes] = []
    for code, value in items:
        parts += (_OPTION_HEAD.pack(code, len(value)), value, _PADDING[len(value) & 3])
    return b"".join((*parts, _END_OF_OPTIONS)) if parts else b""


def text_option(code: int, text: str) -> Option:
    """An option that holds text, cut to what its 16-bit length can say."""
    value = text.encode("utf-8", "backslashreplace")
    if len(value) > 0xFFFF:
        value = value[:0xFFFF].decode("utf-8", "ignore").encode()
    return code, value


def section_header(items: Iterable[Option]) -> bytes:
    """Begins a section of unknown length."""
    return block(SECTION_HEADER, _SHB.pack(0x1A2B3C4D, 1, 0, -1) + options(items))


def interface_description(link: int, snaplen_bytes: int, items: Iterable[Option]) -> bytes:
    """Describes the next interface; its stamps are nanoseconds."""
    every = [*items, (IF_TSRESOL, b"\x09")]
    return block(INTERFACE_DESCRIPTION, _IDB.pack(link, 0, snaplen_bytes) + options(every))


def interface_statistics(
    interface: int,
    time_ns: int,
    *,
    received: int | None,
    dropped: int | None,
    start_ns: int | None,
    end_ns: int | None,
) -> bytes:
    """Counters of an interface, taken at `time_ns`; None: not known."""
    items: list[Option] = []
    for code, stamp_ns in ((ISB_START, start_ns), (ISB_END, end_ns)):
        if stamp_ns is not None:
            items.append((code, _TWO_U32.pack(stamp_ns >> 32 & _LOW32, stamp_ns & _LOW32)))
    for code, count in ((ISB_RECEIVED, received), (ISB_DROPPED, dropped)):
        if count is not None:
            items.append((code, _U64.pack(count)))
    body = _ISB.pack(interface, time_ns >> 32 & _LOW32, time_ns & _LOW32)
    return block(INTERFACE_STATISTICS, body + options(items))


def packet(
    interface: int,
    time_ns: int,
    data: bytes | memoryview,
    origlen_bytes: int,
    flags: int,
    comments: Sequence[str] = (),
    thread: tuple[int, int] | None = None,
    packet_id: int | None = None,
) -> bytes:
    """One packet with its options: direction and offload, comments, (process, thread), its id."""
    items = [text_option(COMMENT, text) for text in comments]
    if flags:
        items.append((EPB_FLAGS, _U32.pack(flags & _LOW32)))
    if packet_id is not None:
        items.append((EPB_PACKETID, _U64.pack(packet_id)))
    if thread is not None:
        items.append((EPB_PROCESS_THREAD, _TWO_U32.pack(thread[0] & _LOW32, thread[1] & _LOW32)))
    tail = _PADDING[len(data) & 3] + options(items)
    total = 32 + len(data) + len(tail)
    head = _EPB_HEAD.pack(
        ENHANCED_PACKET, total, interface, time_ns >> 32 & _LOW32, time_ns & _LOW32,
        len(data), origlen_bytes,
    )  # fmt: skip
    return b"".join((head, data, tail, _U32.pack(total)))


class PacketBatches:
    """Packets as the ring hands them over, many at a time: the fast way into a file."""

    def __init__(self) -> None:
        # All that follows the data depends on its length and the flags alone, and a capture has
        # few of those: remembered, a packet costs one pack and one look-up.
        self._tails: dict[tuple[int, int], tuple[int, bytes]] = {}

    def encode(self, interface: int, frames: Iterable[tuple[int, bytes, int, int]]) -> bytes:
        """The blocks of (time_ns, data, origlen_bytes, flags), in their order."""
        parts: list[bytes] = []
        pack, tails = _EPB_HEAD.pack, self._tails
        for time_ns, data, origlen_bytes, flags in frames:
            caplen = len(data)
            known = tails.get((caplen, flags))
            total, tail = known if known is not None else self._tail(caplen, flags)
            parts += (
                pack(6, total, interface, time_ns >> 32, time_ns & 0xFFFFFFFF,
                     caplen, origlen_bytes),
                data,
                tail,
            )  # fmt: skip
        return b"".join(parts)

    def encode_numbered(self, frames: Iterable[tuple[int, int, int, bytes]]) -> bytes:
        """The blocks of a wire's whole frames (packet id, interface, time_ns, data), in order."""
        parts: list[bytes] = []
        pack, tail = _EPB_HEAD.pack, _ID_TAIL.pack
        for packet_id, interface, time_ns, data in frames:
            caplen = len(data)
            padding = _PADDING[caplen & 3]
            total = 48 + caplen + len(padding)
            parts += (
                pack(6, total, interface, time_ns >> 32, time_ns & 0xFFFFFFFF, caplen, caplen),
                data,
                padding,
                tail(EPB_PACKETID, 8, packet_id, 0, total),
            )
        return b"".join(parts)

    def _tail(self, caplen: int, flags: int) -> tuple[int, bytes]:
        before = _PADDING[caplen & 3]
        if flags:
            before += options([(EPB_FLAGS, _U32.pack(flags))])
        total = 32 + caplen + len(before)
        if len(self._tails) > 8192:
            self._tails.clear()
        found = self._tails[caplen, flags] = (total, before + _U32.pack(total))
        return found


def length_from_end(last: bytes) -> int:
    """The length of a whole block from its last four bytes."""
    (total,) = _U32.unpack(last)
    return int(total)


def whole_blocks_bytes(data: bytes, limit: int) -> int:
    """How many of the first `limit` bytes of these blocks belong to whole blocks."""
    at = 0
    while at + 12 <= limit:
        (total,) = _U32.unpack_from(data, at + 4)
        if at + total > limit:
            break
        at += total
    return at
