"""A tracepoint's format file -> a reader of its bytes, and the names that its numbers have.

events/SYSTEM/NAME/format lists the fields of an event with their offsets, which differ between
kernels, and a print format that names the values of some of them (states, drop reasons). Fields
that this kernel does not have read None. Knows no event in particular; read
Documentation/trace/events.rst first.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from typing import Any

from netlab.model.records import dataclass

_LINE = re.compile(
    r"^\s*field:(?P<declared>[^;]+);\s*offset:(?P<off>\d+);\s*size:(?P<size>\d+);"
    r"(?:\s*signed:(?P<signed>[01]);)?",
    re.MULTILINE,
)
_ID = re.compile(r"^ID:\s*(\d+)", re.MULTILINE)
_NAME = re.compile(r"^name:\s*(\S+)", re.MULTILINE)
_DECLARED = re.compile(r"^(?P<type>.*?)\s*\b(?P<name>\w+)\s*(?P<array>\[[^\]]*\])?$")
_SYMBOL = re.compile(r'\{\s*(0x[0-9a-fA-F]+|\d+)\s*,\s*"([^"]*)"\s*\}')
_CODES = {1: "bB", 2: "hH", 4: "iI", 8: "qQ"}

# Of a field: int, bytes, str, or None where this kernel has no such field.
Values = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an event."""

    name: str
    type: str  # as the kernel declares it: `unsigned int`, `struct sockaddr *`
    off: int
    size: int
    signed: bool
    array: bool
    dynamic: bool  # its bytes stand elsewhere in the event (__data_loc)

    @property
    def is_pointer(self) -> bool:
        return "*" in self.type


@dataclass(frozen=True, slots=True)
class EventFormat:
    """What a format file says."""

    name: str
    id: int
    fields: tuple[Field, ...]
    print_format: str

    def field(self, name: str) -> Field | None:
        return next((field for field in self.fields if field.name == name), None)

    def symbols(self, name: str) -> dict[int, str]:
        """What the print format calls the values of a field; empty where it names none by number.

        States of TCP have their C names there instead of numbers, and are part of the kernel's ABI.
        """
        start = self.print_format.find(f"__print_symbolic(REC->{name},")
        if start < 0:
            return {}
        stop = self.print_format.find("})", start)
        listed = self.print_format[start : stop + 1 if stop >= 0 else None]
        return {int(number, 0): text for number, text in _SYMBOL.findall(listed)}

    def reader(self, names: Sequence[str]) -> Callable[[bytes], Values]:
        """Reads these fields of an event's bytes, in this order; raises struct.error when too few.

        Numbers as int, arrays as bytes, strings of varying length as str.
        """
        fields = [self.field(name) for name in names]
        present = sorted((field for field in fields if field is not None), key=lambda f: f.off)
        code, at = "=", 0
        for field in present:
            if field.off < at:
                return _slow_reader(fields)
            code += f"{field.off - at}x{_code(field)}"
            at = field.off + field.size
        unpack_from = struct.Struct(code).unpack_from
        if fields == present and not any(field.dynamic for field in present):
            return unpack_from
        places = [None if field is None else present.index(field) for field in fields]
        dynamic = [field is not None and field.dynamic for field in fields]

        def read(data: bytes) -> Values:
            values = unpack_from(data)
            return tuple(
                None if place is None else _text(data, values[place]) if moved else values[place]
                for place, moved in zip(places, dynamic, strict=True)
            )

        return read


def _slow_reader(fields: Sequence[Field | None]) -> Callable[[bytes], Values]:
    """For fields that lie over one another."""
    readers = [
        None if field is None else (struct.Struct(f"={_code(field)}"), field) for field in fields
    ]

    def read(data: bytes) -> Values:
        values: list[Any] = []
        for item in readers:
            if item is None:
                values.append(None)
                continue
            packed, field = item
            (value,) = packed.unpack_from(data, field.off)
            values.append(_text(data, value) if field.dynamic else value)
        return tuple(values)

    return read


def _code(field: Field) -> str:
    if field.dynamic:
        return "I"
    if field.array or field.size not in _CODES:
        return f"{field.size}s"
    return _CODES[field.size][0 if field.signed else 1]


def _text(data: bytes, place: int) -> str:
    off, length = place & 0xFFFF, place >> 16
    return data[off : off + length].split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def event_format(text: str) -> EventFormat:
    """The format that a format file describes; raises ValueError when it describes none."""
    head, _, printed = text.partition("print fmt:")
    name, number = _NAME.search(head), _ID.search(head)
    if name is None or number is None:
        raise ValueError("not a tracepoint's format")
    fields = []
    for line in _LINE.finditer(head):
        declared = _DECLARED.match(line["declared"].strip())
        if declared is None:
            raise ValueError(f"a field of {name[1]} is not readable: {line['declared'][:40]}")
        kind = declared["type"].strip()
        dynamic = kind.startswith("__data_loc")
        fields.append(
            Field(
                declared["name"],
                kind,
                int(line["off"]),
                int(line["size"]),
                line["signed"] == "1",
                declared["array"] is not None and not dynamic,
                dynamic,
            )
        )
    return EventFormat(name[1], int(number[1]), tuple(fields), printed.strip())
