"""A channel that lives in a reactor: what comes is handed on, what cannot go yet goes when it can.

Both ends of every channel between the server's processes are lines: the hub's and the child's.
Knows no envelopes and no roles. Read first: channels/channel.py, reactor.py.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from netlab.server.channels import Channel, ChannelClosed
from netlab.server.reactor import READ, WRITE, Reactor

OnMessages = Callable[[list[bytes]], None]
Action = Callable[[], None]


def _nothing() -> None:
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
    ) -> None:
        """`on_end` comes once, behind the last message; `on_drained` when the outbox is empty."""
        self.channel = channel
        self.closed = False
        self._reactor = reactor
        self._on_messages = on_messages
        self._on_end = on_end
        self._on_drained = on_drained
        self._send = channel.send
        self._receive = channel.receive
        self._read_fd = channel.fileno()
        self._write_fd = channel.write_fileno()
        self._awaits_room = False
        reactor.register(self._read_fd, READ, self.ready)

    @property
    def queued_bytes(self) -> int:
        """What waits in the outbox."""
        return self.channel.queued_bytes

    def send(self, message: bytes, about: int = 0) -> None:
        """Send, or queue. Raises ChannelClosed, MessageTooLarge."""
        self._send(message, about)
        if self.channel.queued_bytes and not self._awaits_room:
            self._await_room(True)

    def read(self) -> list[bytes]:
        """What is here now, past the loop. Raises ChannelClosed behind the last."""
        return self._receive()

    def drain(self, timeout_s: float) -> bool:
        """Block until the outbox is empty: for who is about to go. False: time is over."""
        from select import POLLOUT, poll

        deadline_s = monotonic() + timeout_s
        waiting = poll()
        waiting.register(self._write_fd, POLLOUT)
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
            self._on_messages(messages)

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
        self._on_end()

    def _await_room(self, wanted: bool) -> None:
        self._awaits_room = wanted
        if self._write_fd == self._read_fd:
            self._reactor.modify(self._read_fd, READ | WRITE if wanted else READ)
        elif wanted:
            self._reactor.register(self._write_fd, WRITE, self._room)
        else:
            self._reactor.unregister(self._write_fd)
