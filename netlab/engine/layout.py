"""The kernels' records as they lie in memory: sizes, and rows taken out as tuples of numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import Struct
from typing import NamedTuple

Fields = list[tuple[str, str]]

_CODES = {
    "i8": "q", "u8": "Q", "i4": "i", "u4": "I", "i2": "h", "u2": "H", "i1": "b", "u1": "B",
}  # fmt: skip


class Layout(NamedTuple):
    """A record: its fields, one behind the other without gaps."""

    fields: tuple[tuple[str, str], ...]
    struct: Struct

    @property
    def size_bytes(self) -> int:
        return self.struct.size

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.fields]

    def place(self, name: str) -> int:
        """Which of a row's numbers a field is."""
        return self.names.index(name)

    def rows(self, data: memoryview | bytes, count: int) -> Iterator[tuple[int, ...]]:
        return self.struct.iter_unpack(memoryview(data)[: count * self.struct.size])


def layout(fields: Iterable[tuple[str, str]]) -> Layout:
    """The record of these fields, in the machine's byte order."""
    listed = tuple(fields)
    return Layout(listed, Struct("=" + "".join(_CODES[kind] for _, kind in listed)))
