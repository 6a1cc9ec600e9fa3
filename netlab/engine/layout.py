"""The kernels' records as they lie in memory: sizes, and rows taken out as tuples of numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import Struct

Fields = list[tuple[str, str]]

_CODES = {
    "i8": "q", "u8": "Q", "i4": "i", "u4": "I", "i2": "h", "u2": "H", "i1": "b", "u1": "B",
}  # fmt: skip
_PARTS = {kind: Struct(f"={code}") for kind, code in _CODES.items()}


class Layout:
    """A record: its fields, one behind the other without gaps."""

    __slots__ = ("_places", "fields", "names", "parts", "size_bytes", "struct")

    def __init__(self, fields: Iterable[tuple[str, str]]) -> None:
        self.fields = tuple(fields)
        self.struct = Struct("=" + "".join(_CODES[kind] for _, kind in self.fields))
        self.size_bytes = self.struct.size
        self.names = [name for name, _ in self.fields]
        self._places = {name: place for place, name in enumerate(self.names)}
        self.parts: dict[str, tuple[Struct, int]] = {}  # of each field, and where it begins
        offset = 0
        for name, kind in self.fields:
            part = _PARTS[kind]
            self.parts[name] = part, offset
            offset += part.size

    def place(self, name: str) -> int:
        """Which of a row's numbers a field is."""
        return self._places[name]

    def rows(self, data: memoryview | bytes, count: int) -> Iterator[tuple[int, ...]]:
        """The first `count` records."""
        return self.struct.iter_unpack(memoryview(data)[: count * self.size_bytes])


def layout(fields: Iterable[tuple[str, str]]) -> Layout:
    """The record of these fields, in the machine's byte order."""
    return Layout(fields)
