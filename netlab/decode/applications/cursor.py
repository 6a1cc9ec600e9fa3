"""Reading fixed and counted fields one behind the other, with their places.

A field that is longer than what holds it raises `TooShort`, which names it: a protocol's module
turns it into the message's fault.
"""

from __future__ import annotations

from netlab.decode.applications.message import Item


class TooShort(Exception):
    """A field does not fit into what holds it."""

    def __init__(self, name: str, need: int, have: int) -> None:
        super().__init__(name)
        self.fault = f"{name} needs {need:,} byte{'s' * (need != 1)}, there are {have:,}"


class Cursor:
    """A place in some bytes; `base` is the offset of the first in its stream."""

    __slots__ = ("at", "base", "data", "end")

    def __init__(self, data: bytes, base: int, at: int = 0, end: int | None = None) -> None:
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

    def take(self, size: int, name: str) -> bytes:
        if size > self.end - self.at:
            raise TooShort(name, size, self.end - self.at)
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, size: int, name: str) -> int:
        return int.from_bytes(self.take(size, name), "big")

    def inside(self, size: int, name: str) -> Cursor:
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
