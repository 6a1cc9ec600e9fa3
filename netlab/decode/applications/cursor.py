"""Reading fixed and counted fields one behind the other, with their places.

A field that is longer than what holds it raises `TooShort`, which names it: a protocol's module
turns it into the message's fault.
"""

from __future__ import annotations

from netlab.decode.applications.message import Item

_NAMELESS = "the next field"


class Unreadable(Exception):
    """What follows cannot be read, and why."""

    def __init__(self, fault: str) -> None:
        super().__init__(fault)
        self.fault = fault


class TooShort(Unreadable):
    """A field does not fit into what holds it."""

    def __init__(self, name: str, need: int, have: int) -> None:
        super().__init__(f"{name} needs {need:,} byte{'s' * (need != 1)}, there are {have:,}")


class Cursor:
    """A place in some bytes; `base` is the offset of the first in its stream."""

    __slots__ = ("at", "base", "data", "end")

    def __init__(self, data: bytes, base: int = 0, at: int = 0, end: int | None = None) -> None:
        self.data = data
        self.base = base
        self.at = at
        self.end = len(data) if end is None else end

    @property
    def place(self) -> int:
        """The offset in the stream."""
        return self.base + self.at

    @property
    def left(self) -> int:
        return self.end - self.at

    def take(self, size: int, name: str = _NAMELESS) -> bytes:
        if not 0 <= size <= self.end - self.at:
            raise TooShort(name, size, self.end - self.at)
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, size: int, name: str = _NAMELESS) -> int:
        return int.from_bytes(self.take(size, name), "big")

    def signed(self, size: int, name: str = _NAMELESS) -> int:
        """A number in two's complement."""
        return int.from_bytes(self.take(size, name), "big", signed=True)

    def text(self, name: str = _NAMELESS) -> bytes:
        """What stands before the next zero byte, which is passed over."""
        stop = self.data.find(b"\0", self.at, self.end)
        if stop < 0:
            raise Unreadable(f"no zero byte ends {name} at offset {self.place:,}")
        start, self.at = self.at, stop + 1
        return self.data[start:stop]

    def inside(self, size: int, name: str = _NAMELESS) -> Cursor:
        """The next `size` bytes as a cursor of their own."""
        start = self.at
        self.take(size, name)
        return Cursor(self.data, self.base, start, self.at)

    def counted(self, size: int, name: str) -> Cursor:
        """A vector: its length in `size` bytes, then its bytes."""
        return self.inside(self.number(size, f"length of {name}"), name)

    def rest(self) -> bytes:
        return self.take(self.end - self.at, "")

    def item(self, name: str, text: str, start: int, meaning: str = "", source: str = "") -> Item:
        """An item from `start`, an earlier `place`, to here."""
        return Item(name, text, start, self.place, meaning, source)
