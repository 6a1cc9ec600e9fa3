"""The bytes of one side that are not yet read, with their place in the side's stream."""

from __future__ import annotations

import re


class Unread:
    """Bytes that were handed over, in order; a protocol takes them off the front.

    `start` is the offset of the first, `stop` that behind the last. Taking from the front is cheap.
    """

    __slots__ = ("_held", "start")

    def __init__(self) -> None:
        self._held = bytearray()
        self.start = 0

    @property
    def stop(self) -> int:
        return self.start + len(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def add(self, data: bytes, start: int) -> None:
        """Bytes that follow, or after a gap the first ones (what was held is then forgotten)."""
        if start != self.stop:
            self._held.clear()
            self.start = start
        self._held += data

    def peek(self, count: int, skip: int = 0) -> bytes:
        """The next `count` bytes behind `skip`, or as many as there are, without taking them."""
        return bytes(self._held[skip : skip + count])

    def take(self, count: int) -> bytes:
        """The next `count` bytes, or as many as there are."""
        data = bytes(self._held[:count])
        self.drop(count)
        return data

    def drop(self, count: int) -> int:
        """Forget the next `count` bytes, or as many as there are; how many."""
        count = min(count, len(self._held))
        del self._held[:count]
        self.start += count
        return count

    def find(self, what: bytes, skip: int = 0, within: int | None = None) -> int:
        """How many bytes stand before `what`, looked for behind `skip` bytes; -1: not there."""
        end = len(self._held) if within is None else within
        return self._held.find(what, skip, end)

    def search(self, pattern: re.Pattern[bytes], skip: int = 0) -> int:
        """How many bytes stand before the first match behind `skip` bytes; -1: there is none."""
        match = pattern.search(self._held, skip)
        return -1 if match is None else match.start()

    def jump(self, start: int) -> None:
        """Forget all that is held; the next byte is at `start`."""
        self._held.clear()
        self.start = start
