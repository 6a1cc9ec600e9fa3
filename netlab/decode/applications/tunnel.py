"""What is spoken inside another protocol's tunnel, by its first bytes: TLS behind HTTP's CONNECT.

Bytes that no protocol is sure of are one message a side, counted.
"""

from __future__ import annotations

from netlab.decode.applications.message import Conversation, Said
from netlab.model.records import dataclass
from netlab.model.tables import Side

_ENOUGH = 4096  # bytes from which a protocol is told, if ever


@dataclass(slots=True)
class _Piece:
    side: Side
    data: bytes
    start: int


class Tunnel:
    """A conversation that finds out what it is."""

    def __init__(self) -> None:
        self._first: list[_Piece] = []
        self._held = 0
        self._opaque = False
        self._ranges: dict[Side, tuple[int, int]] = {}
        self._ready: dict[Side, list[Said]] = {}  # what the other side's bytes released
        self._next: Conversation | None = None

    def feed(self, side: Side, data: bytes, start: int) -> list[Said]:
        """See `Conversation`."""
        ready = self._ready.pop(side, [])
        if self._next is not None:
            return ready + self._next.feed(side, data, start)
        begin = self._ranges.get(side, (start, start))[0]
        self._ranges[side] = begin, start + len(data)
        if self._opaque:
            return []
        self._first.append(_Piece(side, data, start))
        self._held += len(data)
        self._guess()
        return self._ready.pop(side, [])

    def _guess(self) -> None:
        from netlab.decode.applications.registry import guess_stream

        first = {
            side: b"".join(piece.data for piece in self._first if piece.side is side)
            for side in Side
        }
        found = guess_stream(first[Side.CLIENT], first[Side.SERVER], None)
        if found is None or found.application.conversation is None:
            if self._held > _ENOUGH:
                self._opaque = True
                self._first.clear()
            return
        self._next = found.application.conversation()
        for piece in self._first:
            said = self._next.feed(piece.side, piece.data, piece.start)
            self._ready.setdefault(piece.side, []).extend(said)
        self._first.clear()

    def gap(self, side: Side, start: int, stop: int) -> list[Said]:
        """See `Conversation`."""
        ready = self._ready.pop(side, [])
        if self._next is not None:
            return ready + self._next.gap(side, start, stop)
        self._opaque = True
        self._first.clear()
        begin = self._ranges.get(side, (start, start))[0]
        self._ranges[side] = begin, stop
        return []

    def end(self, side: Side) -> list[Said]:
        """See `Conversation`."""
        ready = self._ready.pop(side, [])
        if self._next is not None:
            return ready + self._next.end(side)
        if side not in self._ranges:
            return []
        start, stop = self._ranges.pop(side)
        return [Said("tunnel", start, stop, f"{stop - start:,} bytes of an unknown protocol")]
