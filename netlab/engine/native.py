"""The kernels compiled: their tables are memory, their entries are called by address.

numba compiles them once, with the C calling convention; the object code lies in our own cache
(`objects`), from which `linked` loads it in later processes: importing numba takes longer
than reading a million packets. While an entry runs, other threads may.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

from netlab.engine.compiled import entries, entry_addresses
from netlab.engine.layout import Fields, layout
from netlab.engine.memory import Memory

_I4 = [("number", "i4")]


class NativeTable:
    """Records of one kind, or (kind without fields) whole numbers of 32 bits."""

    def __init__(self, fields: Fields, count: int) -> None:
        self.layout = layout(fields or _I4)
        self._plain_numbers = not fields
        self._memory = Memory(count * self.layout.size_bytes)
        self.address = self._memory.address

    @property
    def size_bytes(self) -> int:
        return self._memory.size_bytes

    @property
    def is_spilt(self) -> bool:
        return self._memory.is_spilt

    def ensure(self, count: int) -> None:
        self._memory.ensure(count * self.layout.size_bytes)
        self.address = self._memory.address

    def expect(self, count: int) -> None:
        """So many are likely: growing by and by would move them often, and split large pages."""
        self.ensure(count)

    def fill(self, value: int) -> None:
        assert value == -1, "every byte gets the same"
        ctypes.memset(self._memory.address, 255, self._memory.size_bytes)

    def __len__(self) -> int:
        return self._memory.size_bytes // self.layout.size_bytes

    def rows(self, count: int) -> Iterator[tuple[int, ...]]:
        return self.layout.rows(self._memory.view, count)

    def numbers(self, count: int, first: int = 0) -> list[int]:
        """So many whole numbers, from one on."""
        found: list[int] = self._memory.view[4 * first : 4 * (first + count)].cast("i").tolist()
        return found

    def row(self, index: int) -> tuple[int, ...]:
        """A record, as its numbers."""
        return self.layout.struct.unpack_from(self._memory.view, index * self.layout.size_bytes)

    def column(self, name: str, count: int) -> list[int]:
        """A field of 64 bits of the first `count` records."""
        place, off_bytes = self.layout.place(name), self.layout.parts[name][1]
        step, left = divmod(self.layout.size_bytes, 8)
        if left or off_bytes % 8:
            return [row[place] for row in self.rows(count)]
        words = self._memory.view[: count * self.layout.size_bytes].cast("q")
        return words[off_bytes // 8 :: step].tolist() if count else []

    def get(self, index: int, name: str) -> int:
        part, offset = self.layout.parts[name]
        found: int = part.unpack_from(self._memory.map, index * self.layout.size_bytes + offset)[0]
        return found

    def put(self, index: int, **values: int) -> None:
        for name, value in values.items():
            part, offset = self.layout.parts[name]
            part.pack_into(self._memory.map, index * self.layout.size_bytes + offset, value)

    def put_number(self, index: int, value: int) -> None:
        self.layout.struct.pack_into(self._memory.view, index * self.layout.size_bytes, value)

    def put_numbers(self, values: Sequence[int]) -> None:
        """The first whole numbers."""
        data = array("i", values)
        self._memory.view[: 4 * len(data)].cast("i")[:] = data

    def array(self, count: int) -> Any:
        """The first `count` as a NumPy array, not copied: it must not outlive a growth."""
        import numpy as np

        dtype = np.dtype("i4") if self._plain_numbers else np.dtype(list(self.layout.fields))
        return np.frombuffer(self._memory.view, dtype, count)

    def close(self) -> None:
        self._memory.close()


class NativePiece:
    """The bytes of a piece of the file."""

    def __init__(self, size_bytes: int) -> None:
        self._memory = Memory(size_bytes)
        self.address = self._memory.address

    @property
    def view(self) -> memoryview:
        return self._memory.view

    def ensure(self, size_bytes: int) -> None:
        self._memory.ensure(size_bytes)
        self.address = self._memory.address


class Native:
    """Runs kernels by name."""

    name = "native"
    piece_bytes = 2 << 20  # one large page; half of it costs a large capture 5 % more, twice 30 %
    flows = 1 << 16  # for which there is room at first: memory is taken when it is used

    def __init__(self) -> None:
        self._entries: dict[str, Any] = {}
        self._add(second=False)

    def _add(self, *, second: bool) -> None:
        arguments = entries(second=second)
        for name, address in entry_addresses(second=second).items():
            kinds = [ctypes.c_int64] * len(arguments[name])
            self._entries[name] = ctypes.CFUNCTYPE(ctypes.c_int64, *kinds)(address)

    def table(self, fields: Fields, count: int) -> NativeTable:
        return NativeTable(fields, count)

    def piece(self, size_bytes: int) -> NativePiece:
        return NativePiece(size_bytes)

    def run(self, kernel: str, *arguments: Any) -> int:
        if kernel not in self._entries:
            self._add(second=True)
        found: int = self._entries[kernel](
            *[one if type(one) is int else one.address for one in arguments]
        )
        return found
