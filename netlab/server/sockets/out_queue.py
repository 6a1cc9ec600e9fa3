"""Output that the kernel has not taken yet: bytes and file ranges in order, with their limits.

It knows no socket: `flush` is given the two calls that write and stops when they would block. The
watermarks count everything that waits; the limit counts what waits in memory, as a range of a file
costs none. Read first: man 2 send, man 2 sendfile, man 7 epoll (a short write means full).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from netlab.server.terms import Put

# A piece shorter than this is joined to the one before: a list of a million one-byte messages would
# take a hundred times the memory that the limit speaks of.
JOIN_BELOW_BYTES: Final = 4096
_JOINED_BYTES: Final = 1 << 16
FLUSH_BYTES: Final = 1 << 20  # in one flush; then others have their turn

Send = Callable[[memoryview], int]
SendFile = Callable[[int, int, int], int]  # descriptor, offset, count -> written; 0 at its end


class FileEnded(Exception):
    """A file was shorter than the range that was promised from it."""

    def __init__(self, missing_bytes: int) -> None:
        super().__init__(f"the file ended {missing_bytes} bytes before the range to send")
        self.missing_bytes = missing_bytes


class Flushed(Enum):
    """How a flush ended: is the queue empty, was the low watermark reached by it, may it go on."""

    BLOCKED = (False, False, False)
    BLOCKED_LOW = (False, True, False)
    MORE = (False, False, True)
    MORE_LOW = (False, True, True)
    DRAINED = (True, False, False)
    DRAINED_LOW = (True, True, False)

    def __init__(self, drained: bool, low: bool, more: bool) -> None:
        self.drained = drained
        self.low = low  # reached now, after the high one had been crossed
        self.more = more  # it stopped to be fair, not because the kernel is full


@dataclass(slots=True)
class FileRange:
    """What is left to send of a file; `done` is called once, when it is sent or dropped."""

    descriptor: int
    offset: int
    count: int
    done: Callable[[], None]


Piece = bytes | bytearray | memoryview | FileRange


class OutQueue:
    """The output of one connection."""

    __slots__ = (
        "_head_sent_bytes",
        "_pieces",
        "file_bytes",
        "full",
        "high_bytes",
        "limit_bytes",
        "low_bytes",
        "memory_bytes",
        "sealed",
    )

    def __init__(self, limit_bytes: int, high_bytes: int = 0, low_bytes: int = 0) -> None:
        """Take at most `limit_bytes` into memory; `high_bytes` 0 is no watermark."""
        self.limit_bytes = limit_bytes
        self.high_bytes = high_bytes
        self.low_bytes = low_bytes
        self.memory_bytes = 0
        self.file_bytes = 0
        self.full = False  # the high watermark was crossed, and the low one not reached since
        self.sealed = False  # nothing may follow: close when drained
        self._pieces: deque[Piece] = deque()
        self._head_sent_bytes = 0  # of the first piece, unless that is a file range

    @property
    def queued_bytes(self) -> int:
        """All that waits, in memory and in files."""
        return self.memory_bytes + self.file_bytes

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def __iter__(self) -> Iterator[memoryview | FileRange]:
        """What waits, in order, not copied; the views are valid until the queue changes."""
        skipped_bytes = self._head_sent_bytes
        for piece in self._pieces:
            if isinstance(piece, FileRange):
                yield piece
            else:
                yield memoryview(piece)[skipped_bytes:].toreadonly()
            skipped_bytes = 0

    def put(self, data: bytes | bytearray | memoryview) -> Put:
        """Add bytes; refused when sealed, or when they would not fit under the limit."""
        size = len(data)
        if self.sealed or self.memory_bytes + size > self.limit_bytes:
            return Put.REFUSED
        if size:
            self._append(data, size)
            self.memory_bytes += size
        return self._after_put()

    def put_file(self, descriptor: int, offset: int, count: int, done: Callable[[], None]) -> Put:
        """Add a range of a file, which stays open until `done` is called; not when refused."""
        if self.sealed:
            return Put.REFUSED
        if not count:
            done()
            return Put.QUEUED
        self._pieces.append(FileRange(descriptor, offset, count, done))
        self.file_bytes += count
        return self._after_put()

    def seal(self) -> None:
        """Take nothing more: what comes after the last byte is the end."""
        self.sealed = True

    def clear(self) -> int:
        """Drop all that waits, and say how many bytes were lost."""
        lost_bytes = self.queued_bytes
        pieces, self._pieces = self._pieces, deque()
        self._head_sent_bytes = self.memory_bytes = self.file_bytes = 0
        self.full = False
        for piece in pieces:
            if isinstance(piece, FileRange):
                piece.done()
        return lost_bytes

    def flush(self, send: Send, sendfile: SendFile, at_most_bytes: int = FLUSH_BYTES) -> Flushed:
        """Write until the kernel is full, all is written, or it was enough for one turn.

        A call that would block raises BlockingIOError or writes less than it was given. Other
        errors pass, as does FileEnded; what was written before is gone from the queue.
        """
        left_bytes = at_most_bytes
        more = False
        while self._pieces:
            if left_bytes <= 0:
                more = True
                break
            head = self._pieces[0]
            try:
                if isinstance(head, FileRange):
                    written, whole = self._send_range(head, sendfile, left_bytes)
                else:
                    written, whole = self._send_bytes(head, send)
            except BlockingIOError:
                break
            if not whole:
                break
            left_bytes -= written
        return self._after_flush(more)

    def _append(self, data: bytes | bytearray | memoryview, size: int) -> None:
        if size < JOIN_BELOW_BYTES:
            last = self._pieces[-1] if self._pieces else None
            if isinstance(last, bytearray) and len(last) < _JOINED_BYTES:
                last += data
            else:
                self._pieces.append(bytearray(data))
        elif isinstance(data, bytes) or (isinstance(data, memoryview) and data.readonly):
            self._pieces.append(data)
        else:  # its owner may write into it
            self._pieces.append(bytes(data))

    def _after_put(self) -> Put:
        if self.high_bytes and not self.full and self.queued_bytes > self.high_bytes:
            self.full = True
            return Put.FULL
        return Put.QUEUED

    def _after_flush(self, more: bool) -> Flushed:
        low = self.full and self.queued_bytes <= self.low_bytes
        if low:
            self.full = False
        if not self._pieces:
            return Flushed.DRAINED_LOW if low else Flushed.DRAINED
        if more:
            return Flushed.MORE_LOW if low else Flushed.MORE
        return Flushed.BLOCKED_LOW if low else Flushed.BLOCKED

    def _send_bytes(self, head: bytes | bytearray | memoryview, send: Send) -> tuple[int, bool]:
        with memoryview(head) as whole, whole[self._head_sent_bytes :] as view:
            asked = len(view)
            written = send(view)
        self.memory_bytes -= written
        if written < asked:
            self._head_sent_bytes += written
            return written, False
        self._pieces.popleft()
        self._head_sent_bytes = 0
        return written, True

    def _send_range(
        self, head: FileRange, sendfile: SendFile, at_most_bytes: int
    ) -> tuple[int, bool]:
        asked = min(head.count, at_most_bytes)
        written = sendfile(head.descriptor, head.offset, asked)
        self.file_bytes -= written
        head.offset += written
        head.count -= written
        if not written:
            missing_bytes = head.count
            self.file_bytes -= missing_bytes
            self._pieces.popleft()
            head.done()
            raise FileEnded(missing_bytes)
        if not head.count:
            self._pieces.popleft()
            head.done()
        return written, written == asked
