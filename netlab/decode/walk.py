"""One frame on its way through the header tables: the layers found so far, and how to add one.

Turns the fields of `fields` at a place into shown values; must not know which layer follows which.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field, replace

from netlab.decode.checksums import PseudoHeader
from netlab.decode.field import Field, Kind, bytes_text
from netlab.decode.fields import FIELDS
from netlab.decode.fields_tcp import OptionName
from netlab.model.records import dataclass


@dataclass(frozen=True, slots=True)
class FieldValue:
    """A field as it stands in one frame. `start`..`stop` are the bytes it lies in."""

    name: str
    text: str
    meaning: str
    start: int
    stop: int
    raw: int | bytes
    source: str = ""  # document and section that define it
    column: str = ""  # the column of `packets` that it is, if any
    bit: int = -1  # where its first bit stands, from the start of the frame; -1: at its first byte
    bits: int = 0  # how many it has; 0: all of its bytes

    @property
    def bit_range(self) -> tuple[int, int]:
        """The bits it lies in, from the start of the frame: first, and one past the last."""
        if self.bit < 0:
            return self.start * 8, self.stop * 8
        return self.bit, self.bit + self.bits


@dataclass(frozen=True, slots=True)
class Layer:
    """A header, or the bytes after the last one; `start`..`stop` in the frame."""

    name: str
    start: int
    stop: int
    fields: list[FieldValue]


Values = dict[str, int | bytes]


@dataclass(slots=True)
class Walk:
    """The frame, how far it may be read, and the layers that were."""

    data: bytes
    stop: int  # where the present layer's content ends; may lie past the captured bytes
    flags: int  # epb_flags
    sent: bool = False  # by the machine that captured it, as the file says
    layers: list[Layer] = field(default_factory=list)
    ends: tuple[bytes, bytes] | None = None  # the packed addresses of the innermost IP header
    pseudo: PseudoHeader | None = None
    unverifiable: str = ""  # why a transport's checksum cannot be checked
    fragment_off: int = 0
    depth: int = 0  # how many packets it is in
    quote: bool = False  # inside what an ICMP error quotes

    def add(self, name: str, start: int, stop: int) -> Layer:
        """A new layer without fields; its end is cut to what there is."""
        name = f"quoted {name}" if self.quote else name
        layer = Layer(name, start, max(start, min(stop, self.stop, len(self.data))), [])
        self.layers.append(layer)
        return layer

    def fixed(self, name: str, off: int, size: int, table: str = "") -> Values | None:
        """Add the layer at `off` with those fields of its table that were captured.

        `size` is how far the layer reaches where it says so itself, at least its table.
        None when the frame ends inside the table: then what follows cannot be known.
        """
        fields = FIELDS[table or name]
        end = off + fields[-1].end_byte
        layer = self.add(name, off, max(off + size, end))
        values = self.extend(layer, fields, off)
        if end <= min(self.stop, len(self.data)):
            return values
        if not layer.fields:
            self.layers.pop()
        return None

    def extend(
        self, layer: Layer, fields: tuple[Field, ...], off: int, stop: int | None = None
    ) -> Values:
        """Append to `layer` the fields at `off` that lie in the frame, and give their values.

        A field of no width fills what is left until `stop`, and is left out where that is nothing.
        """
        values: Values = {}
        end = min(self.stop, len(self.data))
        for item in fields:
            if not item.bits:
                if stop is None or stop <= off + item.first_byte:
                    continue
                item = item.of_bytes(stop - off - item.first_byte)
            if off + item.end_byte > end:
                break
            value = item.value(self.data, off)
            values[item.name] = value
            layer.fields.append(
                FieldValue(item.name, item.text(value), item.meaning, off + item.first_byte,
                           off + item.end_byte, value, item.source, item.column,
                           off * 8 + item.bit, item.bits)
            )  # fmt: skip
        return values

    def part(
        self, layer: Layer, table: str, name: str, off: int, size: int, kind: Kind | None = None
    ) -> int | bytes | None:
        """Append one field of a table, at a place and with a width that other fields told.

        Gives its value; None, and nothing is appended, when not all of it was captured.
        """
        if off + size > min(self.stop, len(self.data)):
            return None
        item = next(field for field in FIELDS[table] if field.name == name)
        item = replace(item, bit=0, bits=8 * size, kind=kind or item.kind)
        return self.extend(layer, (item,), off)[name] if size else b""

    def end_at(self, name: str) -> None:
        """Leave out of the last layer what follows a field: with that, nothing can be known."""
        fields = self.layers[-1].fields
        place = next((at for at, one in enumerate(fields) if one.name == name), len(fields))
        del fields[place + 1 :]

    def grow(self, stop: int) -> Layer:
        """Let the last layer reach up to `stop`, as far as that was captured."""
        last = self.layers[-1]
        end = max(last.start, min(stop, self.stop, len(self.data)))
        self.layers[-1] = layer = Layer(last.name, last.start, end, last.fields)
        return layer

    def u8(self, off: int) -> int | None:
        """The byte at `off`, None past the end."""
        return self.data[off] if off < min(self.stop, len(self.data)) else None

    def options(
        self, layer: Layer, off: int, stop: int, names: dict[int, OptionName]
    ) -> Iterator[tuple[int, int, int]]:
        """Append the options at `off`..`stop`, padding too; unknown and broken ones as bytes.

        Yields (kind, place, length) after each, for the caller to append what it holds.
        """
        end = min(stop, self.stop, len(self.data))
        while off < end:
            kind = self.data[off]
            length = 1 if kind < 2 else (self.data[off + 1] if off + 1 < end else 0)
            if kind == 0:
                length = end - off  # the rest is padding, whatever it holds
            if length < 1 or (kind > 1 and length < 2) or off + length > end:
                raw = self.data[off:end]
                meaning = "Its length cannot be right, so the rest cannot be read."
                layer.fields.append(
                    FieldValue("broken option", bytes_text(raw), meaning, off, end, raw)
                )
                break
            raw = self.data[off : off + length]
            known = names.get(kind, OptionName(f"option {kind}", "Not known to netlab.", ""))
            text = bytes_text(raw)
            layer.fields.append(
                FieldValue(known.name, text, known.meaning, off, off + length, raw, known.source)
            )
            yield kind, off, length
            off += length


def number(values: Values, name: str) -> int:
    """A numeric field's value."""
    value = values[name]
    assert isinstance(value, int)
    return value


def packed(values: Values, name: str) -> bytes:
    """An address field's value."""
    value = values[name]
    assert isinstance(value, bytes)
    return value
