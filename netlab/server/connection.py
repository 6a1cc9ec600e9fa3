"""One accepted TCP connection that gives back what it gets.

Bytes that the kernel does not take at once wait in a queue, and the connection waits for EPOLLOUT
until the queue is empty. While more than `queue_limit_bytes` wait it does not read: the peer's
window closes, and the peer's send blocks. At end of file it sends what is queued, then closes.
Read first: RFC 9293 3.6 (closing), man 2 send.
"""

from __future__ import annotations

import errno
import socket
from collections import deque
from collections.abc import Callable

from netlab.server.reactor import HUNG, READ, WRITE, Reactor

RECV_BYTES = 1 << 16
QUEUE_LIMIT_BYTES = 1 << 20
# The peer, or the way to it, is gone: nothing that we could still do for it.
_PEER_GONE = frozenset(
    {errno.ECONNRESET, errno.EPIPE, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH}
)


class EchoConnection:
    """Reads, sends back, closes; calls `on_close` once when done."""

    def __init__(
        self,
        sock: socket.socket,
        reactor: Reactor,
        on_close: Callable[[EchoConnection], None],
        queue_limit_bytes: int = QUEUE_LIMIT_BYTES,
    ) -> None:
        self._socket = sock
        self._reactor = reactor
        self._on_close = on_close
        self._queue_limit_bytes = queue_limit_bytes
        self._queue: deque[memoryview] = deque()
        self._queued_bytes = 0
        self._peer_done = False
        self.closed = False
        self._events = READ
        sock.setblocking(False)
        reactor.register(sock.fileno(), self._events, self._on_ready)

    def stop(self) -> None:
        """Read no more; close as soon as the queue is sent."""
        self._peer_done = True
        self._settle()

    def abandon(self) -> None:
        """Close now; what is queued is lost."""
        self._queue.clear()
        self._close()

    def _on_ready(self, events: int) -> None:
        try:
            if events & WRITE and self._queue:
                self._send()
            if events & (READ | HUNG) and not self._peer_done:
                self._receive()
            elif events & HUNG:
                self._close()  # nothing more to read, and the connection is dead
                return
        except OSError as error:
            if error.errno not in _PEER_GONE:
                raise
            self._close()
            return
        self._settle()

    def _receive(self) -> None:
        try:
            data = self._socket.recv(RECV_BYTES)
        except BlockingIOError:  # woken for nothing: another cause, or a datagram gone bad
            return
        if not data:
            self._peer_done = True
            return
        self._queue.append(memoryview(data))
        self._queued_bytes += len(data)
        if len(self._queue) == 1:  # else EPOLLOUT is awaited, and order must hold
            self._send()

    def _send(self) -> None:
        while self._queue:
            try:
                taken = self._socket.send(self._queue[0])
            except BlockingIOError:
                return
            self._queued_bytes -= taken
            if taken < len(self._queue[0]):
                self._queue[0] = self._queue[0][taken:]
                return
            self._queue.popleft()

    def _settle(self) -> None:
        """Wait for what matters now, or close."""
        if self.closed:
            return
        if self._peer_done and not self._queue:
            self._close()
            return
        reading = not self._peer_done and self._queued_bytes <= self._queue_limit_bytes
        events = (READ if reading else 0) | (WRITE if self._queue else 0)
        if events != self._events:
            self._events = events
            self._reactor.modify(self._socket.fileno(), events)

    def _close(self) -> None:
        if not self.closed:
            self.closed = True
            self._reactor.unregister(self._socket.fileno())
            self._socket.close()
            self._on_close(self)
