"""What a field of a header is: where it lies, how it reads, what it means, who says so.

Turns bytes at a place into a number and a text. Bit 0 of a layer is the highest bit of its first
byte, as in the RFCs' drawings. The tables are in `fields` and `fields_link`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum

from netlab.decode.addresses import ipv4_text, ipv6_text, mac_text
from netlab.decode.numbers import ethertype_name, ip_protocol_name
from netlab.model.records import dataclass


class Kind(StrEnum):
    """How the bits of a field are read and shown."""

    NUMBER = "number"
    HEX = "hex"
    WORDS = "words"  # counts 4 bytes each
    EIGHTS = "eights"  # counts 8 bytes each
    FLAG = "flag"
    IPV4 = "ipv4"
    IPV6 = "ipv6"
    MAC = "mac"
    BYTES = "bytes"
    LITTLE = "little"  # a number of whole bytes in little-endian order
    ETHERTYPE = "ethertype"
    PROTOCOL = "protocol"


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a header. `column` names the column of `packets` that is this number, if any."""

    layer: str
    name: str
    bit: int  # of its first bit, from the layer's start
    bits: int  # 0: the bytes that are left
    kind: Kind
    meaning: str  # one plain sentence
    source: str  # document and section
    column: str = ""

    @property
    def first_byte(self) -> int:
        return self.bit // 8

    @property
    def end_byte(self) -> int:
        return (self.bit + self.bits + 7) // 8

    def of_bytes(self, count: int) -> Field:
        """The same with a width, for one that takes what is left."""
        return replace(self, bits=8 * count)

    def value(self, data: bytes, off: int) -> int | bytes:
        """The field of the layer at `off`: bytes for addresses and bytes, else a number."""
        part = data[off + self.first_byte : off + self.end_byte]
        if self.kind in (Kind.IPV4, Kind.IPV6, Kind.MAC, Kind.BYTES):
            return part
        if self.kind is Kind.LITTLE:
            return int.from_bytes(part, "little")
        below = self.end_byte * 8 - self.bit - self.bits
        return int.from_bytes(part, "big") >> below & ((1 << self.bits) - 1)

    def text(self, value: int | bytes) -> str:
        """The value as people read it."""
        if isinstance(value, bytes):
            return _BYTES_TEXT[self.kind](value)
        return _NUMBER_TEXT[self.kind](value, self.bits)


def bytes_text(value: bytes) -> str:
    """`0a0b 0c`: hex in pairs of bytes."""
    return value.hex(" ", -2)


def _hex_text(value: int, bits: int) -> str:
    return f"0x{value:0{(bits + 3) // 4}x}"


_BYTES_TEXT: dict[Kind, Callable[[bytes], str]] = {
    Kind.IPV4: ipv4_text,
    Kind.IPV6: ipv6_text,
    Kind.MAC: mac_text,
    Kind.BYTES: bytes_text,
}
_NUMBER_TEXT: dict[Kind, Callable[[int, int], str]] = {
    Kind.NUMBER: lambda value, _: str(value),
    Kind.HEX: _hex_text,
    Kind.LITTLE: lambda value, _: str(value),
    Kind.WORDS: lambda value, _: f"{value * 4} bytes ({value})",
    Kind.EIGHTS: lambda value, _: f"{value * 8} bytes ({value})",
    Kind.FLAG: lambda value, _: "set" if value else "not set",
    Kind.ETHERTYPE: lambda value, bits: f"{ethertype_name(value)} ({_hex_text(value, bits)})",
    Kind.PROTOCOL: lambda value, _: f"{ip_protocol_name(value)} ({value})",
}

# (name, bits, kind, meaning, column): each begins where the one before it ends.
Row = tuple[str, int, Kind, str, str]


def table(layer: str, source: str, *rows: Row) -> tuple[Field, ...]:
    """The fields of a layer, each beginning where the one before it ends."""
    fields = []
    bit = 0
    for name, bits, kind, meaning, column in rows:
        fields.append(Field(layer, name, bit, bits, kind, meaning, source, column))
        bit += bits
    return tuple(fields)
