"""A line of limited speed, and who waits before it: when a frame is through, or that it is lost.

Must not know rules or frames, only sizes. All times are those it is told.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

_NS_PER_S = 1_000_000_000
DEFAULT_PACKETS = 1_000  # as netem's `limit`


@dataclass(slots=True)
class Room:
    """Room for some who wait: at most so many packets, or bytes; None is no limit."""

    packets: int | None = None
    size_bytes: int | None = None
    _waiting: deque[tuple[int, int]] = field(default_factory=deque)  # (begins_ns, bytes)
    _waiting_bytes: int = 0

    def has_room(self, now_ns: int, size_bytes: int) -> bool:
        """Whether one more can wait; those whose turn has come wait no more."""
        waiting = self._waiting
        while waiting and waiting[0][0] <= now_ns:
            self._waiting_bytes -= waiting.popleft()[1]
        if self.packets is not None and len(waiting) >= self.packets:
            return False
        return self.size_bytes is None or self._waiting_bytes + size_bytes <= self.size_bytes

    def enter(self, begins_ns: int, size_bytes: int) -> None:
        """One more waits, until then."""
        self._waiting.append((begins_ns, size_bytes))
        self._waiting_bytes += size_bytes


class Pipe:
    """Sends one frame after the other, in the order in which they come."""

    def __init__(self, bits_per_s: int) -> None:
        self.free_ns = 0  # when the last one is through
        self.own_room = Room(DEFAULT_PACKETS)  # for those for whom nobody said another
        self._bits_per_s = bits_per_s

    def send(self, now_ns: int, size_bytes: int) -> int:
        """When the last bit of this frame is through."""
        begins_ns = max(now_ns, self.free_ns)
        self.free_ns = begins_ns - (-size_bytes * 8 * _NS_PER_S // self._bits_per_s)
        return self.free_ns
