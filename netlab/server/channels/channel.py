"""What every channel between two processes does, whatever carries it: the outbox and the pieces.

Two families: those that keep the borders of messages (`PieceChannel`: a kind tells how one piece is
put and got) and those that carry plain bytes (`ByteChannel`: how bytes are written and read).
Neither ever blocks. What cannot go now waits in the outbox; who owns the channel flushes it when
`write_fileno()` is writable. The end of the other end is news of its own, `ChannelClosed`, and
comes after all that it sent.

Read first: netlab.server.messages.envelope.
"""

from __future__ import annotations

import select
from abc import ABC, abstractmethod
from collections import deque
from typing import ClassVar, Protocol

from netlab.model.probe import Poll, Probe
from netlab.server.messages.envelope import (
    LAST,
    LENGTH_BYTES,
    MESSAGE_LIMIT_BYTES,
    ByteInbox,
    Inbox,
    pieces,
    with_length,
)

PIECES_AT_ONCE = 64  # then others have their turn; the descriptor is still readable
_OFTEN = 8
HUNG_UP = select.POLLHUP | select.POLLERR


class ChannelClosed(Exception):
    """The process at the other end is gone, or has closed its end."""


class MessageTooLarge(Exception):
    """The message is longer than any channel carries."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"{size_bytes} bytes; {MESSAGE_LIMIT_BYTES} are the most")


class Channel(Protocol):
    """One end of a line between two processes, for messages of any size up to 64 MiB.

    A `receive` may leave messages behind for the sake of others: with an edge-triggered poller
    go on until it returns none. Descriptors stay the same for the channel's life.
    """

    kind: ClassVar[str]

    @property
    def limit_bytes(self) -> int:
        """The longest piece that is put at once."""
        ...

    @property
    def queued_bytes(self) -> int:
        """What waits in the outbox."""
        ...

    def fileno(self) -> int:
        """Readable: something to receive, or the other end is gone."""
        ...

    def write_fileno(self) -> int:
        """Writable: there is room for what waits in the outbox."""
        ...

    def send(self, message: bytes, about: int = 0) -> None:
        """Send, or queue behind what waits; `about`: inode of the socket that it is about.

        Raises ChannelClosed, MessageTooLarge.
        """
        ...

    def flush(self) -> bool:
        """Send what waits, as far as there is room; True when nothing waits any more."""
        ...

    def receive(self) -> list[bytes]:
        """The whole messages that are here now. Raises ChannelClosed behind the last."""
        ...

    def wait(self, timeout_s: float) -> bool:
        """Block until there is something to receive, or the time is over (False)."""
        ...

    def handover(self) -> tuple[str, tuple[int, ...]]:
        """What `channel_from` needs to rebuild this end in another process: a description, and
        descriptors to pass. Do it before the first message, and close this end afterwards."""
        ...

    def close(self) -> None:
        """Close this end in this process. What waits in the outbox is lost."""
        ...


class _End(ABC):
    """What both families share."""

    kind: ClassVar[str]

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._poll: Poll | None = None

    @abstractmethod
    def fileno(self) -> int:
        """Readable: something to receive, or the other end is gone."""

    def wait(self, timeout_s: float) -> bool:
        """Block until there is something to receive, or the time is over (False)."""
        poll = self._poll
        if poll is None:
            poll = self._poll = self._probe.poll()
            poll.register(self.fileno(), select.POLLIN)
        return bool(poll.poll(max(0.0, timeout_s) * 1000))


class PieceChannel(_End):
    """A channel over something that keeps the borders of what is put into it.

    To look for another piece where there is none costs a call for nothing, so a receive takes as
    many as there have been of late, and tries for more now and then.
    """

    _least: ClassVar[int] = 1  # how many pieces a receive tries for at least

    def __init__(self, probe: Probe, limit_bytes: int) -> None:
        super().__init__(probe)
        self.limit_bytes = limit_bytes
        self.queued_bytes = 0
        self._outbox: deque[tuple[bytes, int]] = deque()
        self._inbox = Inbox()
        self._left_some = False  # the last receive may not have taken all
        self._expected, self._as_expected = self._least, 0

    def send(self, message: bytes, about: int = 0) -> None:
        """Send, or queue behind what waits. Raises ChannelClosed, MessageTooLarge."""
        size = len(message)
        if size < self.limit_bytes and not self._outbox:
            piece = LAST + message
            if not self._put(piece, about):
                self._outbox.append((piece, about))
                self.queued_bytes += len(piece)
            return
        if size > MESSAGE_LIMIT_BYTES:
            raise MessageTooLarge(size)
        for piece in pieces(message, self.limit_bytes):
            self._outbox.append((piece, about))
            self.queued_bytes += len(piece)
        self.flush()

    def flush(self) -> bool:
        """Send what waits, as far as there is room; True when nothing waits any more."""
        outbox = self._outbox
        while outbox:
            piece, about = outbox[0]
            if not self._put(piece, about):
                return False
            outbox.popleft()
            self.queued_bytes -= len(piece)
        return True

    def receive(self) -> list[bytes]:
        """The whole messages that are here now. Raises ChannelClosed behind the last."""
        get, join = self._get, self._inbox.join
        found: list[bytes] = []
        count, expected = 0, self._expected
        self._left_some = False
        while True:
            if count >= expected and found:
                self._left_some = True
                self._as_expected += 1
                if self._as_expected >= _OFTEN and expected < PIECES_AT_ONCE:
                    self._expected, self._as_expected = 2 * expected, 0
                break
            try:
                piece = get()
            except ChannelClosed:
                if found:
                    break
                raise
            if piece is None:
                self._expected, self._as_expected = max(self._least, min(count, expected)), 0
                break
            count += 1
            message = join(piece)
            if message is not None:
                found.append(message)
        return found

    @abstractmethod
    def _put(self, piece: bytes, about: int) -> bool:
        """Put one piece; False when there is no room now."""

    @abstractmethod
    def _get(self) -> bytes | None:
        """One piece; None when there is none now. Raises ChannelClosed at the end."""


class ByteChannel(_End):
    """A channel over a stream of bytes."""

    def __init__(self, probe: Probe, limit_bytes: int) -> None:
        super().__init__(probe)
        self.limit_bytes = limit_bytes
        self.queued_bytes = 0
        self._outbox: deque[tuple[bytes | memoryview, int]] = deque()
        self._inbox = ByteInbox()

    def send(self, message: bytes, about: int = 0) -> None:
        """Send, or queue behind what waits. Raises ChannelClosed, MessageTooLarge."""
        size = len(message)
        if size > MESSAGE_LIMIT_BYTES:
            raise MessageTooLarge(size)
        if self._outbox:
            self._outbox.append((with_length(message), about))
            self.queued_bytes += LENGTH_BYTES + size
            return
        data = with_length(message)
        taken = self._write(data, about)
        if taken < len(data):
            self._outbox.append((memoryview(data)[taken:], about))
            self.queued_bytes = len(data) - taken
            self.flush()

    def flush(self) -> bool:
        """Send what waits, as far as there is room; True when nothing waits any more."""
        outbox = self._outbox
        while outbox:
            data, about = outbox[0]
            taken = self._write(data, about)
            if not taken:
                return False
            self.queued_bytes -= taken
            if taken < len(data):
                outbox[0] = memoryview(data)[taken:], about
            else:
                outbox.popleft()
        return True

    def receive(self) -> list[bytes]:
        """The whole messages that are here now. Raises ChannelClosed behind the last."""
        found: list[bytes] = []
        count = 0
        while count < PIECES_AT_ONCE or not found:
            try:
                data = self._read(self.limit_bytes)
            except ChannelClosed:
                if found:
                    break
                raise
            if data is None:
                break
            count += 1
            found += self._inbox.join(data)
            if len(data) < self.limit_bytes // 2 and found:
                break  # that was all; what came since is told by the descriptor
        return found

    @abstractmethod
    def _write(self, data: bytes | memoryview, about: int) -> int:
        """How many bytes were taken; 0 when there is no room now."""

    @abstractmethod
    def _read(self, limit_bytes: int) -> bytes | None:
        """What is there; None when nothing is. Raises ChannelClosed at the end."""
