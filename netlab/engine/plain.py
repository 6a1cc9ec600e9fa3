"""The kernels as they stand: rows are slotted objects, memory is a bytearray. No other package.

A read past the data is an IndexError here, where compiled code would read whatever lies there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

from netlab.engine.layout import Fields, layout
from netlab.engine.units import UNITS


def _kernels(units: tuple[tuple[ModuleType, ...], ...]) -> dict[str, Callable[..., int]]:
    return {
        name: getattr(module, name) for unit in units for module in unit for name in module.KERNELS
    }


_KERNELS = _kernels(UNITS)


def record_class(fields: Fields) -> type[Any]:
    """A class of objects with these fields, each 0 at first."""
    names = [name for name, _ in fields]
    namespace: dict[str, Any] = {"__slots__": tuple(names)}
    lines = "".join(f"    self.{name} = 0\n" for name in names)
    made: dict[str, Any] = {}
    exec(f"def __init__(self):\n{lines}", made)
    namespace["__init__"] = made["__init__"]
    return type("Record", (), namespace)


class PlainTable:
    """Records of one kind, or (kind without fields) whole numbers of 32 bits."""

    def __init__(self, fields: Fields, count: int) -> None:
        self.layout = layout(fields) if fields else None
        self._make: Callable[[], Any] = record_class(fields) if fields else int
        self.items: list[Any] = []
        self.ensure(count)

    def ensure(self, count: int) -> None:
        make, missing = self._make, count - len(self.items)
        if missing > 0:
            self.items.extend([make() for _ in range(missing)])

    def expect(self, count: int) -> None:
        """So many are likely; they are made when they come."""

    def fill(self, value: int) -> None:
        self.items[:] = [value] * len(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def rows(self, count: int) -> Iterator[tuple[int, ...]]:
        """The first `count` records, as their numbers."""
        assert self.layout is not None
        names = self.layout.names
        for item in self.items[:count]:
            yield tuple([getattr(item, name) for name in names])

    def numbers(self, count: int, first: int = 0) -> list[int]:
        """So many whole numbers, from one on."""
        return list(self.items[first : first + count])

    def row(self, index: int) -> tuple[int, ...]:
        """A record, as its numbers."""
        assert self.layout is not None
        item = self.items[index]
        return tuple([getattr(item, name) for name in self.layout.names])

    def column(self, name: str, count: int) -> list[int]:
        """A field of the first `count` records."""
        return [getattr(item, name) for item in self.items[:count]]

    def get(self, index: int, name: str) -> int:
        return int(getattr(self.items[index], name))

    def put(self, index: int, **values: int) -> None:
        for name, value in values.items():
            setattr(self.items[index], name, value)

    def put_number(self, index: int, value: int) -> None:
        self.items[index] = value

    def put_numbers(self, values: Sequence[int]) -> None:
        """The first whole numbers."""
        self.items[: len(values)] = values

    def array(self, count: int) -> Any:
        """The first `count` as a NumPy array."""
        import numpy as np

        if self.layout is None:
            return np.array(self.items[:count], dtype=np.int32)
        return np.array(list(self.rows(count)), dtype=list(self.layout.fields))

    def close(self) -> None:
        self.items.clear()


class PlainPiece:
    """The bytes of a piece of the file."""

    def __init__(self, size_bytes: int) -> None:
        self.items = bytearray(size_bytes)

    @property
    def view(self) -> memoryview:
        return memoryview(self.items)

    def ensure(self, size_bytes: int) -> None:
        if size_bytes > len(self.items):
            self.items.extend(bytes(size_bytes - len(self.items)))


class Plain:
    """Runs kernels by name."""

    name = "plain"
    piece_bytes = 256 << 10
    flows = 1 << 8  # for which there is room at first

    def table(self, fields: Fields, count: int) -> PlainTable:
        return PlainTable(fields, count)

    def piece(self, size_bytes: int) -> PlainPiece:
        return PlainPiece(size_bytes)

    def run(self, kernel: str, *arguments: Any) -> int:
        if kernel not in _KERNELS:
            from netlab.engine import second_units

            _KERNELS.update(_kernels(second_units.UNITS))
        return int(_KERNELS[kernel](*[getattr(one, "items", one) for one in arguments]))
