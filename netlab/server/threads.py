"""The mode `threads`: one process, a thread for each connection, blocking calls.

The main thread accepts, receives datagrams, keeps the time and hears signals; a connection's thread
receives, calls back and sends, and is the only one that closes its socket. Nothing is queued: a
send returns when the kernel has all of it, so a client that does not read holds up who sends to it,
and buffer_full is never called. Callbacks of different connections run at the same time, as far as
the interpreter lets them; those of one connection one after the other.

What follows from the kernel: nothing wakes a thread out of recv or send but the socket itself.
`shutdown(SHUT_RD)` ends a recv, `shutdown(SHUT_RDWR)` a send as well (at the price of a FIN); that
is how time-outs and other threads end a connection. Read first: man 2 shutdown, man 2 recv.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from netlab.server.single import serve
from netlab.server.sockets import sockopts
from netlab.server.sockets.connection import PEER_GONE, Connection
from netlab.server.sockets.engine import Engine
from netlab.server.sockets.framing import FramingError
from netlab.server.sockets.listener import Listener
from netlab.server.sockets.outgoing import BY_USER
from netlab.server.terms import Closed, CloseReason, HalfClose, Mode, SendError, SocketAddress

if TYPE_CHECKING:
    from netlab.server.server import Server

SEND_BYTES = 1 << 18  # in one call: between two the clock sees that there is progress


def run(server: Server) -> int:
    """Serve until stopped; 0 after an orderly stop, 1 when output or connections were dropped."""
    return serve(server, Mode.THREADS, ThreadEngine)


class ThreadEngine(Engine):
    """An engine whose connections have a thread each; its verbs may be called by any of them."""

    _threads: list[threading.Thread]
    _errors: threading.local

    def start(self) -> None:
        self._threads = []
        self._errors = threading.local()
        super().start()

    @property
    def last_error(self) -> SendError | None:
        """Why this thread's last verb returned False."""
        return getattr(self._errors, "last", None)

    def finish(self, within_s: float) -> bool:
        """Wait for the threads; False when one is still inside a callback."""
        until_s = monotonic() + within_s
        for thread in self._threads:
            thread.join(max(0.0, until_s - monotonic()) if within_s else None)
        return not any(thread.is_alive() for thread in self._threads)

    def forget(self, connection: Connection) -> None:
        forget = super().forget
        self.reactor.post(lambda: forget(connection))

    def _refuse(self, error: SendError) -> bool:
        self._errors.last = error
        return False

    def _connection(
        self, sock: socket.socket, session: int, address: SocketAddress, listener: Listener
    ) -> Connection:
        sock.setblocking(True)
        sockopts.on_connection(sock, listener.options)
        framing = listener.make_framing() if listener.make_framing is not None else None
        return ThreadConnection(
            self, sock, session, address, listener.number, listener.options, framing
        )

    def _begin(self, connection: Connection) -> None:
        assert isinstance(connection, ThreadConnection)
        connection.arm()
        thread = threading.Thread(
            target=self._live, args=(connection,), name=f"session-{connection.session}", daemon=True
        )
        self._threads = [other for other in self._threads if other.is_alive()]
        self._threads.append(thread)
        try:
            thread.start()
        except RuntimeError:  # no more threads: clone said EAGAIN
            connection.end(CloseReason.MAX_CONNECTIONS)
            connection.settle()

    def _live(self, connection: ThreadConnection) -> None:
        try:
            connection.live()
        except BaseException as error:  # SystemExit, MemoryError, our own faults: the process's end
            self.reactor.post(_raiser(error))
            connection.settle()


def _raiser(error: BaseException) -> Callable[[], None]:
    def again() -> None:
        raise error

    return again


class ThreadConnection(Connection):
    """One conversation, lived by its own thread in blocking calls."""

    __slots__ = ("_in_send_bytes", "_may_read", "_over_now", "_sending")

    def arm(self) -> None:
        """Before the thread begins."""
        self._sending = threading.Lock()
        self._may_read = threading.Event()
        self._may_read.set()
        self._over_now = threading.Event()
        self._in_send_bytes = 0
        self._arm()

    # -- the thread's own ------------------------------------------------------------------------

    def live(self) -> None:
        """From the connect callback to the close callback."""
        self._home.events.connected(self)
        while self._wants_more():
            try:
                data = self._recv(self._recv_size)
            except InterruptedError:
                continue
            except OSError as error:
                self._failed(error)
                break
            if not self._wants_more():  # paused or ended while it waited: not delivered before
                break
            if not data:
                self._on_fin()
                break
            self._take(data)
        self.settle()

    def _wants_more(self) -> bool:
        """Wait while paused; False when there is nothing more to read."""
        self._may_read.wait()
        return not (self.peer_finished or self.closing or self.closed)

    def settle(self) -> None:
        """Close the socket and tell it, once."""
        if self._socket.fileno() < 0:
            return
        closed = self.closed or Closed(self.closing or CloseReason.LOCAL, 0, self._fault)
        with self._sending:  # another thread's send comes to its end first
            self.closed = closed
            self._socket.close()
        timer, self._timer = self._timer, 0
        self._reactor.post(lambda: self._reactor.clear(timer))
        self._tell_closed()

    def _take(self, data: bytes) -> None:
        self.received_bytes += len(data)
        self.received_at_s = monotonic()
        if self._quickack:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        framing = self._framing
        if framing is None:
            self.messages += 1
            self._received(self, data)
            return
        fault = ""
        try:
            messages = framing.feed(data)
        except FramingError as error:
            messages, fault = error.messages, str(error)
        if not framing.pending_bytes:
            self.message_since_s = 0.0
        elif messages or not self.message_since_s:
            self.message_since_s = self.received_at_s
        for message in messages:
            if not self._wants_more():
                return
            self.messages += 1
            self._received(self, message)
        if fault:
            self.end(CloseReason.FRAMING, fault)

    def _on_fin(self) -> None:
        self.peer_finished = True
        if self._write_shut:
            self.end(CloseReason.LOCAL)
        elif self.options.half_close is HalfClose.CLOSE:
            self.end(CloseReason.PEER_FIN, self._cut_short())
        else:
            self._home.events.half_closed(self)
            if self._home.keeps_half_open:
                self._over_now.wait()
            else:
                self.end(CloseReason.PEER_FIN, self._cut_short())

    def _failed(self, error: OSError) -> None:
        if self.closed is None and self.closing is None:
            number = error.errno or 0
            reason = CloseReason.PEER_RST if number in PEER_GONE else CloseReason.ERROR
            self._finish(Closed(reason, number))

    # -- verbs, from any thread ------------------------------------------------------------------

    @property
    def queued_bytes(self) -> int:
        """What a send that is under way has not given to the kernel yet."""
        return self._in_send_bytes

    def send(self, data: bytes | bytearray | memoryview) -> SendError | None:
        """Send all of it; returns when the kernel has it."""
        if len(data) > self._limit_bytes:
            return SendError.MESSAGE_TOO_LARGE
        with memoryview(data) as whole, self._sending:
            return self._moved(len(data), lambda at: self._send(whole[at : at + SEND_BYTES]))

    def sendfile(
        self, descriptor: int, offset: int, count: int, done: Callable[[], None]
    ) -> SendError | None:
        """Send a range of an open file; returns when the kernel has it."""
        try:
            with self._sending:
                return self._moved(
                    count,
                    lambda at: self._send_range(
                        descriptor, offset + at, min(SEND_BYTES, count - at)
                    ),
                )
        finally:
            done()

    def _moved(self, count: int, move: Callable[[int], int]) -> SendError | None:
        """Call `move` with how much is done until all is. The lock is held."""
        if self._ending or self._write_shut:
            return SendError.SESSION_CLOSED
        done = 0
        self.progress_at_s = monotonic()
        self.responses += 1
        try:
            while True:
                self._in_send_bytes = count - done
                moved = move(done)
                done += moved
                self.sent_bytes += moved
                self.sent_at_s = self.progress_at_s = monotonic()
                if done >= count:
                    return None
                if not moved:
                    raise OSError(errno.ENODATA, "the file ended before the range to send")
        except OSError as error:
            self._failed(error)
            return SendError.SESSION_CLOSED
        finally:
            self._in_send_bytes = 0

    def half_close(self) -> bool:
        with self._sending:
            if self._ending:
                return False
            self._ending = self._write_shut = True
            with contextlib.suppress(OSError):  # reset meanwhile: recv says so
                self._socket.shutdown(socket.SHUT_WR)
        if self.peer_finished:
            self._finish(Closed(CloseReason.LOCAL))
        return True

    def end(self, reason: CloseReason, detail: str = "", *, reset: bool = False) -> bool:
        """Let the thread close after what is being sent; with `reset` that is dropped."""
        if self.closed is not None or (self.closing is not None and not reset):
            return False
        self._ending = True
        if reset:
            self._finish(Closed(reason, 0, detail), reset=True)
        else:
            self._fault = detail
            self.closing = reason
            self.progress_at_s = monotonic()
            self._wake(socket.SHUT_RD)
            if self._sending.locked():
                self._reactor.post(self._arm)
        return True

    def _finish(self, closed: Closed, *, reset: bool = False) -> None:
        self._ending = True
        self.closed = closed
        if reset:
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, sockopts.RESET)
        self._wake(socket.SHUT_RDWR if self._sending.locked() else socket.SHUT_RD)

    def _wake(self, how: int) -> None:
        """Let the thread find out."""
        self._may_read.set()
        self._over_now.set()
        if threading.current_thread().name != f"session-{self.session}":
            with contextlib.suppress(OSError):  # it is not connected any more: recv knows
                self._socket.shutdown(how)

    def pause(self, cause: int = BY_USER) -> None:
        if not self._over:
            self._paused |= cause
            self._may_read.clear()

    def resume(self, cause: int = BY_USER) -> None:
        self._paused &= ~cause
        if not self._paused:
            self.read_from_s = monotonic()
            self._may_read.set()
