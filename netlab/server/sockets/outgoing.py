"""What leaves a connection: straight into the kernel, or by way of a queue, in order.

The lower half of `connection.Connection`, which owns the state that both halves use. The usual send
is one call: nothing waits, the kernel takes all. What it does not take waits in an OutQueue, which
lives only that long, while the reactor waits for the socket to be writable.

Read first: man 2 send, man 2 sendfile, man 7 tcp (TCP_CORK), out_queue.py.
"""

from __future__ import annotations

import errno
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable

from netlab.server.loop.pollers import WRITE
from netlab.server.loop.reactor import Reactor
from netlab.server.settings.option_table import Options
from netlab.server.sockets.home import Home
from netlab.server.sockets.out_queue import FileEnded, Flushed, OutQueue
from netlab.server.terms import Closed, CloseReason, Overflow, Put, SendError

Bytes = bytes | bytearray | memoryview

NO_ROOM = frozenset({errno.ENOBUFS, errno.ENOMEM})  # of the machine: the socket stays ready
# Why a connection is not read, as bits: each cause is lifted by itself.
BY_USER, BY_OUTPUT, BY_INPUT, BY_KERNEL = 1, 2, 4, 8


class Outgoing(ABC):
    """The sending half."""

    __slots__ = (
        "_cork", "_ending", "_fault", "_home", "_limit_bytes", "_out", "_reactor", "_send",
        "_socket", "_write_shut", "closed", "closing", "descriptor", "options", "peer_finished",
        "progress_at_s", "responses", "sent_at_s", "sent_bytes",
    )  # fmt: skip

    def __init__(self, home: Home, sock: socket.socket, options: Options) -> None:
        self._home = home
        self._reactor: Reactor = home.reactor
        self._socket = sock
        self.descriptor = sock.fileno()
        self.options = options
        self._send: Callable[[Bytes], int] = sock.send
        self._limit_bytes = options.output_buffer
        self._out: OutQueue | None = None  # while output waits
        self._cork = options.cork and sock.family != socket.AF_UNIX
        if self._cork:
            self._send = self._send_corked
        self._ending = False  # no more output is taken: closing, closed or shut down
        self._write_shut = False  # our FIN is sent
        self._fault = ""  # the detail of how it will end
        self.peer_finished = False  # its FIN is here
        self.closing: CloseReason | None = None  # when the output is sent
        self.closed: Closed | None = None
        self.progress_at_s = self._reactor.now_s  # when waiting output last moved
        self.sent_at_s = 0.0
        self.sent_bytes = self.responses = 0

    # -- what the other half does ----------------------------------------------------------------

    @abstractmethod
    def pause(self, cause: int = BY_USER) -> None:
        """Read no more until every cause is lifted."""

    @abstractmethod
    def resume(self, cause: int = BY_USER) -> None:
        """Lift a cause."""

    @abstractmethod
    def end(self, reason: CloseReason, detail: str = "", *, reset: bool = False) -> bool:
        """Close when the output is sent, or reset at once."""

    @abstractmethod
    def _await(self) -> None: ...

    @abstractmethod
    def _failed(self, error: OSError) -> None: ...

    @abstractmethod
    def _finish(self, closed: Closed, *, reset: bool = False) -> None: ...

    # -- sending ---------------------------------------------------------------------------------

    def send(self, data: Bytes) -> SendError | None:
        """Send or queue all of it; None when taken, else nothing of it is."""
        size = len(data)
        if self._out is not None or self._ending or size > self._limit_bytes:
            return self._queue(data)
        send = self._send  # first a name, see connection.on_ready
        try:
            taken = send(data)
        except BlockingIOError:
            taken = 0
        except OSError as error:
            if error.errno not in NO_ROOM:
                self._failed(error)
                return SendError.SESSION_CLOSED
            taken = 0
        self.sent_bytes += taken
        self.responses += 1
        if taken != size:
            self._wait_with(memoryview(data)[taken:])
        else:
            self.sent_at_s = self._reactor.now_s
        return None

    def sendfile(
        self, descriptor: int, offset: int, count: int, done: Callable[[], None]
    ) -> SendError | None:
        """Send a range of an open file after what waits; `done` once it is sent or dropped."""
        if self._ending:
            done()
            return SendError.SESSION_CLOSED
        self.responses += 1
        first = self._out is None
        put = self._queue_made().put_file(descriptor, offset, count, done)
        self._after_put(put)
        if first:
            self._flush()
        return None

    @property
    def has_output(self) -> bool:
        """Whether any output waits."""
        return self._out is not None

    @property
    def is_full(self) -> bool:
        """Whether the high watermark was crossed, and the low one not reached since."""
        return self._out is not None and self._out.full

    @property
    def queued_bytes(self) -> int:
        """Output that the kernel has not taken."""
        return self._out.queued_bytes if self._out is not None else 0

    def _queue(self, data: Bytes) -> SendError | None:
        if self._ending:
            return SendError.SESSION_CLOSED
        if len(data) > self._limit_bytes:
            return SendError.MESSAGE_TOO_LARGE
        put = self._queue_made().put(data)
        if put is Put.REFUSED:
            if self.options.overflow is Overflow.CLOSE:
                self.end(CloseReason.OVERFLOW, reset=True)
            return SendError.OUTPUT_BUFFER_OVERFLOW
        self.responses += 1
        self._after_put(put)
        return None

    def _wait_with(self, rest: memoryview) -> None:
        """The kernel is full."""
        self.progress_at_s = self.sent_at_s = self._reactor.now_s
        self._after_put(self._queue_made().put(rest))
        self._await()

    def _queue_made(self) -> OutQueue:
        if self._out is None:
            options = self.options
            self._out = OutQueue(
                options.output_buffer, options.high_watermark, options.low_watermark
            )
        return self._out

    def _after_put(self, put: Put) -> None:
        if put is Put.FULL:
            self._reactor.defer(lambda: self._home.events.buffer_full(self))
            if self.options.overflow is Overflow.PAUSE:
                self.pause(BY_OUTPUT)

    def _flush(self) -> None:
        out = self._out
        if out is None:
            return
        before_bytes = out.queued_bytes
        failure: FileEnded | OSError | None = None
        flushed = Flushed.BLOCKED
        try:
            flushed = out.flush(self._send, self._send_range)
        except (FileEnded, OSError) as error:
            failure = error
        written = before_bytes - out.queued_bytes
        if written > 0:
            self.sent_bytes += written
            self.sent_at_s = self.progress_at_s = self._reactor.now_s
        if isinstance(failure, FileEnded):
            self._finish(Closed(CloseReason.ERROR, 0, str(failure)), reset=True)
        elif failure is not None:
            self._failed(failure)
        else:
            self._flushed(flushed)

    def _flushed(self, flushed: Flushed) -> None:
        if flushed.drained:
            self._out = None
        elif flushed.more and self._reactor.edge:
            self._reactor.again(self.descriptor, WRITE)
        if flushed.low:
            self._reactor.defer(lambda: self._home.events.buffer_empty(self))
            self.resume(BY_OUTPUT)
        if flushed.drained:
            self._drained()
        self._await()

    def _drained(self) -> None:
        if self.closing is not None:
            self._finish(Closed(self.closing, 0, self._fault))
        elif self._ending:
            self._shut()

    def _send_range(self, descriptor: int, offset: int, count: int) -> int:
        return self._home.sendfile_call(self._socket, descriptor, offset, count)

    def _send_corked(self, data: Bytes) -> int:
        """Between the first send of a turn and its end the kernel sends full segments only."""
        if self._cork:
            self._cork = False
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
            self._reactor.defer(self._uncork)
        return self._socket.send(data)

    def _uncork(self) -> None:
        if self.closed is None:
            self._cork = True
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)

    def half_close(self) -> bool:
        """Send a FIN after what is queued, and go on reading."""
        if self._ending:
            return False
        self._ending = True
        if self._out is None:
            self._shut()
        return True

    def _shut(self) -> None:
        if self._write_shut or self.closed is not None:
            return
        self._write_shut = True
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            self._failed(error)
            return
        if self.peer_finished:
            self._finish(Closed(CloseReason.LOCAL))
