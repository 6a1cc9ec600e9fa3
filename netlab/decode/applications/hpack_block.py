"""HPACK header blocks -> header fields, each with the bytes that it took.

The static table and the Huffman code are the library's (hpack); the rest is read here, because what
is worth seeing is where a field stands and what it cost. Read first: RFC 7541 5 and 6.
"""

from __future__ import annotations

from collections import deque

from netlab.model.records import dataclass

_TABLE_BYTES = 4096  # RFC 9113 6.5.2: SETTINGS_HEADER_TABLE_SIZE's initial value
_ENTRY_BYTES = 32  # RFC 7541 4.1: what an entry counts beside its name and value
_LONGEST_INTEGER = 5  # bytes behind the prefix
_UNKNOWN = "(not known: the table's beginning was not captured)"


@dataclass(frozen=True, slots=True)
class HeaderField:
    """One representation of a block, and where it stands in it."""

    name: str
    value: str
    start: int
    stop: int
    how: str  # indexed, literal, ...


class BlockFault(Exception):
    """A block that cannot be read on: what was read, and why no more."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(slots=True)
class _Entry:
    name: str
    value: str
    name_size: int
    size: int = 0


class HpackReader:
    """Reads the header blocks of one direction, in order: they share a table that grows."""

    def __init__(self) -> None:
        from hpack.table import HeaderTable

        self._static = [
            _Entry(name.decode(), value.decode(), len(name))
            for name, value in HeaderTable.STATIC_TABLE
        ]
        self._dynamic: deque[_Entry] = deque()  # the newest first
        self._size = 0
        self._most = _TABLE_BYTES
        self._known = True

    def lose(self) -> None:
        """A block was missed: what the table holds is no longer known."""
        self._known = False
        self._dynamic.clear()
        self._size = 0

    def read(self, block: bytes) -> tuple[list[HeaderField], str]:
        """The fields of a whole block, and why the rest of it could not be read (or nothing)."""
        found: list[HeaderField] = []
        at = 0
        try:
            while at < len(block):
                field, at = self._one(block, at)
                if field is not None:
                    found.append(field)
        except BlockFault as fault:
            self.lose()
            return found, fault.why
        return found, ""

    def _one(self, block: bytes, at: int) -> tuple[HeaderField | None, int]:
        first, start = block[at], at
        if first & 0x80:  # 6.1
            index, at = _integer(block, at, 7)
            entry = self._entry(index)
            return HeaderField(entry.name, entry.value, start, at, "indexed"), at
        if first & 0xE0 == 0x20:  # 6.3
            self._most, at = _integer(block, at, 5)
            self._evict()
            text = f"{self._most:,} bytes"
            return HeaderField("(table size)", text, start, at, "table size update"), at
        adds = first & 0xC0 == 0x40
        index, at = _integer(block, at, 6 if adds else 4)
        if index:
            named = self._entry(index)
            name, size = named.name, named.name_size
        else:
            name, size, at = _string(block, at)
        value, value_size, at = _string(block, at)
        how = "literal, kept in the table" if adds else "literal"
        if not adds and first & 0x10:
            how = "literal, never to be kept"
        if adds:
            entry = _Entry(name, value, size, size + value_size + _ENTRY_BYTES)
            self._dynamic.appendleft(entry)
            self._size += entry.size
            self._evict()
        return HeaderField(name, value, start, at, how), at

    def _evict(self) -> None:
        while self._size > self._most and self._dynamic:
            self._size -= self._dynamic.pop().size

    def _entry(self, index: int) -> _Entry:
        if index == 0:
            raise BlockFault("index 0 names nothing")
        if index <= len(self._static):
            return self._static[index - 1]
        place = index - len(self._static) - 1
        if place < len(self._dynamic):
            return self._dynamic[place]
        if not self._known:
            return _Entry("(header)", _UNKNOWN, 0)
        raise BlockFault(f"index {index:,} is not in the table")


def _integer(block: bytes, at: int, prefix: int) -> tuple[int, int]:
    """RFC 7541 5.1."""
    full = (1 << prefix) - 1
    value = block[at] & full
    at += 1
    if value < full:
        return value, at
    for shift in range(0, 7 * _LONGEST_INTEGER, 7):
        if at >= len(block):
            raise BlockFault("a number goes on behind the block's end")
        byte = block[at]
        at += 1
        value += (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
    raise BlockFault("a number has no end")


def _string(block: bytes, at: int) -> tuple[str, int, int]:
    """RFC 7541 5.2: the text, its size in bytes, and the place behind it."""
    if at >= len(block):
        raise BlockFault("a text goes on behind the block's end")
    packed = bool(block[at] & 0x80)
    size, at = _integer(block, at, 7)
    if size > len(block) - at:
        raise BlockFault(f"a text of {size:,} bytes, {len(block) - at:,} are left")
    data = block[at : at + size]
    if packed:
        from hpack.exceptions import HPACKError
        from hpack.huffman_table import decode_huffman

        try:
            data = decode_huffman(data)
        except HPACKError:
            raise BlockFault("bits that are no Huffman code") from None
    return data.decode("utf-8", "backslashreplace"), len(data), at + size
