"""Bytes that are all there, read field by field, with the place where each field stands."""

from __future__ import annotations


class Short(Exception):
    """A field wants more bytes than its message has."""


class Body:
    """Reads in order; `here` is the offset of the next byte in the stream or the datagram."""

    __slots__ = ("at", "base", "data", "stop")

    def __init__(self, data: bytes, base: int = 0, at: int = 0, stop: int | None = None) -> None:
        self.data = data
        self.base = base  # offset of data[0]
        self.at = at
        self.stop = len(data) if stop is None else min(stop, len(data))

    @property
    def here(self) -> int:
        return self.base + self.at

    @property
    def left(self) -> int:
        return self.stop - self.at

    def take(self, count: int) -> bytes:
        """The next bytes. Raises Short where there are fewer."""
        if not 0 <= count <= self.left:
            raise Short(f"{count} bytes wanted at offset {self.here}, {self.left} are there")
        data = self.data[self.at : self.at + count]
        self.at += count
        return data

    def number(self, count: int) -> int:
        """An unsigned number in network order."""
        return int.from_bytes(self.take(count), "big")

    def signed(self, count: int) -> int:
        """A number in two's complement, in network order."""
        return int.from_bytes(self.take(count), "big", signed=True)

    def text(self) -> bytes:
        """What stands before the next zero byte, which is passed over."""
        end = self.data.find(b"\0", self.at, self.stop)
        if end < 0:
            raise Short(f"no zero byte ends the text at offset {self.here}")
        data = self.data[self.at : end]
        self.at = end + 1
        return data

    def part(self, count: int) -> Body:
        """The next bytes as a body of their own, in the same coordinates."""
        begun = self.at
        self.take(count)
        return Body(self.data, self.base, begun, self.at)
