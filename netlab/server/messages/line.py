"""A channel that lives in a reactor: what comes is handed on, what cannot go yet goes when it can.

Both ends of every channel between the server's processes are lines: the hub's and the child's. What
is sent in one turn of the loop leaves at its end, since a wake-up of the other side costs more than
the bytes: a few messages one by one, many as one bundle. A bundle begins with a byte that no
message begins with, the number of its messages, and their lengths. In a recording a lone message
says which connection it is about; a bundle does so if all of it is about the same one.

Knows no envelopes and no roles. Read first: channels/channel.py, reactor.py.
"""

from __future__ import annotations

import select
import struct
from collections.abc import Callable
from time import monotonic

from netlab.server.channels import Channel, ChannelClosed
from netlab.server.loop.reactor import READ, WRITE, Reactor

BUNDLE = 0xFF
BUNDLE_FROM = 8  # messages; fewer go one by one
AT_ONCE = 64  # messages that wait for the end of the turn, at most
AT_ONCE_BYTES = 48 * 1024
ALONE_FROM_BYTES = 8 * 1024

Waiting = list[tuple[bytes, int]]  # messages, and the inode that each is about
OnMessages = Callable[[list[bytes]], None]
Action = Callable[[], None]


def _nothing() -> None:
    pass


def _drop(unsent: Waiting) -> None:
    pass


class Line:
    """One end of a channel, read by the loop; closes itself when the other end is gone."""

    def __init__(
        self,
        channel: Channel,
        reactor: Reactor,
        on_messages: OnMessages,
        on_end: Action,
        on_drained: Action = _nothing,
        on_unsent: Callable[[Waiting], None] = _drop,
    ) -> None:
        """`on_end` comes once, behind the last message; `on_drained` when the outbox is empty;
        `on_unsent` gets what was sent here when the other end was gone already."""
        self.channel = channel
        self.closed = False
        self.batch_bytes = 0  # that wait for the end of the turn
        self._batch: Waiting = []
        self._flush_due = False
        self._reactor = reactor
        self._defer = reactor.defer
        self._on_messages = on_messages
        self._on_end = on_end
        self._on_drained = on_drained
        self._on_unsent = on_unsent
        self._receive = channel.receive
        self._read_fd = channel.fileno()
        self._write_fd = channel.write_fileno()
        self._awaits_room = False
        reactor.register(self._read_fd, READ, self.ready)

    @property
    def queued_bytes(self) -> int:
        """What waits here."""
        return self.channel.queued_bytes + self.batch_bytes

    def send(self, message: bytes, about: int = 0) -> None:
        """Send at the end of this turn, or when there is room. Raises MessageTooLarge."""
        size = len(message)
        if size >= ALONE_FROM_BYTES:
            self._send_alone(message, about)
            return
        self._batch.append((message, about))
        self.batch_bytes += size
        if not self._flush_due:
            self._flush_due = True
            self._defer(self._flush_deferred)
        elif len(self._batch) >= AT_ONCE or self.batch_bytes >= AT_ONCE_BYTES:
            self.flush()

    def flush(self) -> None:
        """Send now what waits for the end of the turn."""
        batch = self._batch
        if not batch:
            return
        self._batch = []
        self.batch_bytes = 0
        try:
            if len(batch) >= BUNDLE_FROM:
                self._put(*bundle_from(batch))
                return
            while batch:
                self._put(*batch[0])
                del batch[0]
        except ChannelClosed:
            self._on_unsent(batch)

    def read(self) -> list[bytes]:
        """What is here now, past the loop. Raises ChannelClosed behind the last."""
        return messages_from(self._receive())

    def drain(self, timeout_s: float) -> bool:
        """Block until nothing waits here: for who waits for an answer, or goes. False: too late."""
        self.flush()
        if not self.channel.queued_bytes:
            return True
        deadline_s = monotonic() + timeout_s
        waiting = select.poll()
        waiting.register(self._write_fd, select.POLLOUT)
        try:
            while not self.channel.flush():
                left_s = deadline_s - monotonic()
                if left_s <= 0:
                    return False
                waiting.poll(left_s * 1000)
        except ChannelClosed:
            return False
        return True

    def close(self) -> None:
        """Take it out of the loop and close this end."""
        if not self.closed:
            self.closed = True
            if self._awaits_room:
                self._await_room(False)
            self._reactor.unregister(self._read_fd)
            self.channel.close()

    def let_go(self) -> None:
        """Close this end in a child that has it only because of the fork.

        The poller is the parent's as well: to take the descriptor out here would take it out there.
        """
        self.closed = True
        self.channel.close()

    def ready(self, events: int) -> None:
        """The channel is readable, or was a moment ago; called by the loop, or by who waits."""
        if events & WRITE and self._write_fd == self._read_fd:
            self._room(events)
            if self.closed or not events & ~WRITE:
                return
        try:
            messages = self._receive()
        except ChannelClosed:
            self._end()
            return
        if messages:
            if self._reactor.edge:
                self._reactor.again(self._read_fd, READ)
            self._on_messages(messages_from(messages))

    def _send_alone(self, message: bytes, about: int) -> None:
        self.flush()
        try:
            self._put(message, about)
        except ChannelClosed:
            self._on_unsent([(message, about)])

    def _put(self, message: bytes, about: int) -> None:
        if self.closed:
            raise ChannelClosed
        channel = self.channel
        channel.send(message, about)
        if channel.queued_bytes and not self._awaits_room:
            self._await_room(True)

    def _flush_deferred(self) -> None:
        self._flush_due = False
        self.flush()

    def _room(self, events: int) -> None:
        try:
            empty = self.channel.flush()
        except ChannelClosed:
            if self._awaits_room:
                self._await_room(False)  # the end itself is read behind the last message
            return
        if empty and self._awaits_room:
            self._await_room(False)
            self._on_drained()

    def _end(self) -> None:
        self.close()
        self.flush()
        self._on_end()

    def _await_room(self, wanted: bool) -> None:
        self._awaits_room = wanted
        if self._write_fd == self._read_fd:
            self._reactor.modify(self._read_fd, READ | WRITE if wanted else READ)
        elif wanted:
            self._reactor.register(self._write_fd, WRITE, self._room)
        else:
            self._reactor.unregister(self._write_fd)


def bundle_from(batch: Waiting) -> tuple[bytes, int]:
    """Up to 255 messages as one, and the inode that all are about, or 0."""
    messages = [message for message, _ in batch]
    abouts = {about for _, about in batch}
    head = struct.pack(f"<BB{len(messages)}I", BUNDLE, len(messages), *map(len, messages))
    return head + b"".join(messages), abouts.pop() if len(abouts) == 1 else 0


def messages_from(received: list[bytes]) -> list[bytes]:
    """The messages, those in bundles in their places."""
    found: list[bytes] = []
    for message in received:
        if message[0] != BUNDLE:
            found.append(message)
            continue
        count = message[1]
        at = 2 + 4 * count
        for length in struct.unpack_from(f"<{count}I", message, 2):
            found.append(message[at : at + length])
            at += length
    return found
