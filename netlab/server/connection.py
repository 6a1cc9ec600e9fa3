"""One accepted stream socket: bytes in become messages, output goes out in order, one end.

It tells `Events` what happens and is told what to do; it knows no callbacks, sessions tables or
other connections. Read first: RFC 9293 3.6 (closing), man 2 send, man 7 epoll.

The usual wake-up (readable only, nothing special asked, no output waiting) takes the short way
through `on_ready` and `send`: one recv, one event, one send. All that is not usual sets `_unusual`
or makes the queue, and takes the long way.

How it ends: `_finish` runs once, whoever calls it first: the socket is closed there and then, so
that its descriptor is free, and `closed` is told at the end of the loop's turn, when no callback
of this connection is under way. A close with output queued waits for it (`closing`).

What follows from the kernel:
- A descriptor's number is given away as soon as it is closed, so an event may be an earlier
  owner's. An event is a hint: recv says what is true, or SO_ERROR where we do not read.
- EPOLLHUP and EPOLLERR are reported whatever is awaited. A paused connection that is told so again
  and again leaves the poller until it is resumed.
- A TCP socket in error is readable; after a FIN, recv hides a reset that follows: ask SO_ERROR.
- ENOBUFS and ENOMEM concern the machine: the socket stays ready, so try again a little later.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol

from netlab.server import sockopts
from netlab.server.deadlines import missed, next_look_s
from netlab.server.framing import Framing, FramingError
from netlab.server.handover import Baggage, FilePart
from netlab.server.out_queue import FileEnded, FileRange, OutQueue
from netlab.server.pollers import HUNG, READ, WRITE
from netlab.server.reactor import Reactor
from netlab.server.terms import (
    Closed,
    CloseReason,
    HalfClose,
    Overflow,
    Put,
    SendError,
    SocketAddress,
)

if TYPE_CHECKING:
    from netlab.server.option_table import Options

IN = select.EPOLLIN
HUP = select.EPOLLHUP
READS_A_TURN = 16  # edge-triggered: then others have their turn
RETRY_S = 0.05
_NO_ROOM = frozenset({errno.ENOBUFS, errno.ENOMEM})
PEER_GONE = frozenset({errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED, errno.ENOTCONN})

# Why a connection is not read, as bits: each cause is lifted by itself.
BY_USER, BY_OUTPUT, BY_INPUT, BY_KERNEL = 1, 2, 4, 8

SendFile = Callable[[socket.socket, int, int, int], int]


class Events(Protocol):
    """Who hears of connections and datagrams."""

    def connected(self, connection: Connection) -> None: ...
    def received(self, connection: Connection, message: bytes) -> None: ...
    def half_closed(self, connection: Connection) -> None: ...
    def closed(self, connection: Connection, closed: Closed) -> None: ...
    def buffer_full(self, connection: Connection) -> None: ...
    def buffer_empty(self, connection: Connection) -> None: ...


class Home(Protocol):
    """What a connection needs of the engine that it belongs to."""

    keeps_half_open: bool  # a peer that has finished is closed by the user's callback

    @property
    def reactor(self) -> Reactor: ...
    @property
    def events(self) -> Events: ...
    @property
    def sendfile_call(self) -> SendFile: ...

    def forget(self, connection: Connection) -> None: ...


class Connection:
    """One conversation. Attributes without underscore may be read by anyone in this process."""

    __slots__ = (
        "_awaited", "_cork", "_ending", "_fault", "_framing", "_home", "_limit_bytes", "_out",
        "_paused", "_quickack", "_reactor", "_received", "_recv", "_recv_size", "_send", "_socket",
        "_special", "_timer", "_unanswered", "_undelivered", "_unusual", "_write_shut", "address",
        "closed", "closing", "connected_at_s", "descriptor", "entrance", "message_since_s",
        "messages", "options", "peer_finished", "progress_at_s", "protected", "read_from_s",
        "received_at_s", "received_bytes", "responses", "sent_at_s", "sent_bytes", "session", "uid",
    )  # fmt: skip

    def __init__(
        self,
        home: Home,
        sock: socket.socket,
        session: int,
        address: SocketAddress,
        entrance: int,
        options: Options,
        framing: Framing | None,
    ) -> None:
        self._home = home
        self._reactor = reactor = home.reactor
        self._received = home.events.received
        self._socket = sock
        self.descriptor = sock.fileno()
        self._recv = sock.recv
        self._send: Callable[[bytes | bytearray | memoryview], int] = sock.send
        self._recv_size = options.recv_size
        self._limit_bytes = options.output_buffer
        self._framing = framing
        self.session = session
        self.address = address
        self.entrance = entrance
        self.options = options
        self.uid: int | None = None
        self.protected = False
        self.connected_at_s = self.read_from_s = self.progress_at_s = reactor.now_s
        self.received_at_s = self.sent_at_s = 0.0
        self.received_bytes = self.sent_bytes = self.messages = self.responses = 0
        self._out: OutQueue | None = None  # while output waits
        self._paused = 0
        self._awaited = 0
        self._undelivered: list[bytes] = []  # messages that came before a pause
        self._fault = ""  # what the framing objects to, told after those
        self.message_since_s = 0.0  # since when the pending message has been incomplete
        self._unanswered = 0
        self.peer_finished = False
        self._write_shut = False
        self.closing: CloseReason | None = None  # when the output is sent
        self.closed: Closed | None = None
        self._ending = False  # no more output is taken: closing, closed or shut down
        self._cork = options.cork and sock.family != socket.AF_UNIX
        self._timer = 0
        self._quickack = options.quickack and sock.family != socket.AF_UNIX
        self._special = self._quickack or reactor.edge or framing is not None
        self._unusual = self._special
        if self._cork:
            self._send = self._send_corked

    def open(self) -> None:
        """Begin to read. Raises DescriptorTooHigh when the poller cannot take it."""
        self._awaited = READ
        self._reactor.register(self.descriptor, READ, self.on_ready)
        self._arm()

    # -- reading ---------------------------------------------------------------------------------

    def on_ready(self, events: int) -> None:
        """The descriptor is ready, or was a moment ago."""
        if events != IN or self._unusual:
            self._on_unusual(events)
            return
        try:
            data = self._recv(self._recv_size)
        except BlockingIOError:
            return
        except OSError as error:
            self._failed(error)
            return
        if data:
            self.received_bytes += len(data)
            self.received_at_s = self._reactor.now_s
            self.messages += 1
            self._received(self, data)
        else:
            self._on_fin()

    def _on_unusual(self, events: int) -> None:
        if events & WRITE and self._out is not None:
            self._flush()
        if self.closed is not None:
            return
        if self.reading:
            if events & ~WRITE:
                self._read(events)
        elif events & HUNG:
            self._hung_unread(events)

    @property
    def reading(self) -> bool:
        """True while its bytes are wanted."""
        return not (self._paused or self.peer_finished or self.closing or self.closed)

    def _read(self, events: int) -> None:
        """Once; edge-triggered until there is no more, since it is not told again."""
        for _ in range(READS_A_TURN if self._reactor.edge else 1):
            try:
                data = self._recv(self._recv_size)
            except BlockingIOError:
                return
            except OSError as error:
                self._failed(error)
                return
            if not data:
                self._on_fin()
                return
            self._take(data)
            if not self.reading:
                return
            if len(data) < self._recv_size and events == IN:  # man 7 epoll: that was all
                return
        if self._reactor.edge:
            self._reactor.again(self.descriptor, events)

    def _take(self, data: bytes) -> None:
        self.received_bytes += len(data)
        self.received_at_s = now_s = self._reactor.now_s
        if self._quickack:
            # The kernel falls back to delayed ACKs by itself (man 7 tcp): ask again each time.
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        framing = self._framing
        if framing is None:
            self.messages += 1
            self._received(self, data)
            return
        try:
            messages = framing.feed(data)
        except FramingError as error:
            messages, self._fault = error.messages, str(error)
        if not framing.pending_bytes:
            self.message_since_s = 0.0
        elif messages or not self.message_since_s:
            self.message_since_s = now_s
        self._deliver(messages)

    def _deliver(self, messages: list[bytes]) -> None:
        for index, message in enumerate(messages):
            if not self.reading:
                if not self._over:
                    self._undelivered = messages[index:]
                return
            self.messages += 1
            self._received(self, message)
        if self._fault and self.reading:
            self.end(CloseReason.FRAMING, self._fault)

    def _on_fin(self) -> None:
        """The peer has sent its last byte. It may still read."""
        self.peer_finished = True
        if self._write_shut:
            self._finish(Closed(CloseReason.LOCAL))
        elif self.options.half_close is HalfClose.CLOSE:
            self._finish(Closed(CloseReason.PEER_FIN, 0, self._cut_short()))
        else:
            self._home.events.half_closed(self)
            self._end_after_fin()

    def _end_after_fin(self) -> None:
        """The peer has finished: end with the last answer, unless the user wants to decide."""
        if self._over:
            return
        if self._unanswered or self._home.keeps_half_open:
            self._await()
        else:
            self.end(CloseReason.PEER_FIN, self._cut_short())

    def _cut_short(self) -> str:
        pending = self._framing.pending_bytes if self._framing is not None else 0
        return f"{pending} bytes of a message that was not complete" if pending else ""

    def _hung_unread(self, events: int) -> None:
        """The peer may be gone, while we do not read."""
        number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self._failed(OSError(number, ""))
        elif events & HUP and self.peer_finished:
            self._finish(Closed(self.closing or CloseReason.PEER_FIN))
        elif events & HUNG and self._awaited >= 0 and not self._reactor.edge:
            self._reactor.unregister(self.descriptor)  # until it is resumed
            self._awaited = -1

    # -- pausing ---------------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """True when it is not read, for whatever cause."""
        return self._paused != 0

    def pause(self, cause: int = BY_USER) -> None:
        """Read no more until every cause is lifted: the peer's window closes."""
        self._paused |= cause
        self._unusual = True
        self._await()

    def resume(self, cause: int = BY_USER) -> None:
        """Lift a cause; messages that wait are delivered at the end of this turn."""
        if self._paused & cause:
            self._paused &= ~cause
            self.read_from_s = self._reactor.now_s
            if not self._paused:
                self._reactor.defer(self._resumed)

    def _resumed(self) -> None:
        if self._paused or self._over:
            return
        messages, self._undelivered = self._undelivered, []
        self._deliver(messages)
        self._await()

    def _await(self) -> None:
        """Wait for what matters now."""
        if self.closed is not None:
            return
        waiting = self._out is not None
        self._unusual = self._special or waiting or self._paused != 0 or self.peer_finished
        reading = self.reading and not self._undelivered
        events = (READ if reading else 0) | (WRITE if waiting else 0)
        if events == self._awaited:
            return
        if self._awaited >= 0:
            self._reactor.modify(self.descriptor, events)
        elif events:
            self._reactor.register(self.descriptor, events, self.on_ready)
        else:
            return
        self._awaited = events

    # -- writing ---------------------------------------------------------------------------------

    def send(self, data: bytes | bytearray | memoryview) -> SendError | None:
        """Send or queue all of it; None when taken, else nothing of it is."""
        size = len(data)
        if self._out is not None or self._ending or size > self._limit_bytes:
            return self._queue(data)
        try:
            taken = self._send(data)
        except BlockingIOError:
            taken = 0
        except OSError as error:
            if error.errno not in _NO_ROOM:
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
    def queued_bytes(self) -> int:
        """Output that the kernel has not taken."""
        return self._out.queued_bytes if self._out is not None else 0

    @property
    def pending_bytes(self) -> int:
        """Input that is no complete message yet, or waits for a pause to end."""
        pending = sum(map(len, self._undelivered))
        return pending + (self._framing.pending_bytes if self._framing is not None else 0)

    def _queue(self, data: bytes | bytearray | memoryview) -> SendError | None:
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
        try:
            flushed = out.flush(self._send, self._send_range)
        except FileEnded as error:
            self._finish(Closed(CloseReason.ERROR, 0, str(error)), reset=True)
            return
        except OSError as error:
            if error.errno in _NO_ROOM:
                self._retry()
            else:
                self._failed(error)
            return
        finally:
            written = before_bytes - out.queued_bytes
            if written > 0:
                self.sent_bytes += written
                self.sent_at_s = self.progress_at_s = self._reactor.now_s
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

    def _retry(self) -> None:
        """The machine has no memory for us now, and the descriptor stays ready: look away."""
        if self._paused & BY_KERNEL:
            return
        if self._awaited >= 0:
            self._reactor.unregister(self.descriptor)
            self._awaited = -1
        self._paused |= BY_KERNEL
        self._reactor.after(RETRY_S, self._retried)

    def _retried(self) -> None:
        if self.closed is None:
            self.resume(BY_KERNEL)
            self._flush()
            self._await()

    def _send_range(self, descriptor: int, offset: int, count: int) -> int:
        return self._home.sendfile_call(self._socket, descriptor, offset, count)

    def _send_corked(self, data: bytes | bytearray | memoryview) -> int:
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

    # -- the end ---------------------------------------------------------------------------------

    @property
    def _over(self) -> bool:
        return self.closed is not None or self.closing is not None

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

    def end(self, reason: CloseReason, detail: str = "", *, reset: bool = False) -> bool:
        """Close when the output is sent, or reset at once; False when it was ending already."""
        if self.closed is not None or (self.closing is not None and not reset):
            return False
        self._ending = True
        if reset or self._out is None:
            self._finish(Closed(reason, 0, detail), reset=reset)
            return True
        self.closing = reason
        self._fault = detail
        self._undelivered = []
        self._out.seal()
        self.progress_at_s = self._reactor.now_s
        self._await()
        self._arm()
        return True

    def dispatched(self) -> None:
        """A message is in another's hands: a peer that has finished is not closed before
        `answered`."""
        self._unanswered += 1

    def answered(self) -> None:
        """One that was dispatched is dealt with."""
        self._unanswered -= 1
        if not self._unanswered and self.peer_finished:
            self._end_after_fin()

    def _failed(self, error: OSError) -> None:
        """A call on the socket says that there is nobody, or no way, any more."""
        number = error.errno or 0
        if number in _NO_ROOM:
            self._retry()
            return
        reason = CloseReason.PEER_RST if number in PEER_GONE else CloseReason.ERROR
        lost = self.queued_bytes
        self._finish(Closed(reason, number, f"{lost} bytes of output lost" if lost else ""))

    def _finish(self, closed: Closed, *, reset: bool = False) -> None:
        if self.closed is not None:
            return
        if closed.reason is CloseReason.LOCAL and not self.peer_finished:
            closed = self._with_unread(closed)
        self.closed = closed
        self._ending = True
        self._undelivered = []
        reactor = self._reactor
        if self._timer:
            reactor.clear(self._timer)
        if self._awaited >= 0:
            reactor.unregister(self.descriptor)
        if self._out is not None:
            self._out.clear()
            self._out = None
        if reset:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, sockopts.RESET)
        self._socket.close()
        reactor.defer(self._tell_closed)

    def _with_unread(self, closed: Closed) -> Closed:
        unread = sockopts.unread_bytes(self.descriptor)
        if not unread:
            return closed
        detail = f"{unread} bytes unread: the kernel sends RST instead of FIN"
        return Closed(closed.reason, closed.errno, detail)

    def _tell_closed(self) -> None:
        assert self.closed is not None
        try:
            self._home.events.closed(self, self.closed)
        finally:
            self._home.forget(self)

    # -- to another process ----------------------------------------------------------------------

    def baggage(self) -> Baggage:
        """All that is to be known of it elsewhere."""
        output: list[bytes | FilePart] = []
        for piece in self._out or ():
            if isinstance(piece, FileRange):
                output.append(FilePart(piece.descriptor, piece.offset, piece.count))
            else:
                output.append(bytes(piece))
        framing = self._framing
        return Baggage(
            session=self.session,
            entrance=self.entrance,
            address=self.address,
            uid=self.uid,
            protected=self.protected,
            paused=bool(self._paused & BY_USER),
            connected_at_s=self.connected_at_s,
            received_at_s=self.received_at_s,
            sent_at_s=self.sent_at_s,
            message_since_s=self.message_since_s,
            received_bytes=self.received_bytes,
            sent_bytes=self.sent_bytes,
            messages=self.messages,
            responses=self.responses,
            peer_finished=self.peer_finished,
            write_shut=self._write_shut,
            ending=self._ending,
            closing=self.closing,
            fault=self._fault,
            pending=bytes(framing.pending) if framing is not None else b"",
            undelivered=tuple(self._undelivered),
            output=tuple(output),
        )

    @property
    def socket(self) -> socket.socket:
        """To be handed over; nobody else may use it."""
        return self._socket

    def depart(self) -> None:
        """It lives on in another process: leave the loop here, and tell nobody."""
        self.closed = Closed(CloseReason.LOCAL)
        self._ending = True
        if self._timer:
            self._reactor.clear(self._timer)
        if self._awaited >= 0:
            self._reactor.unregister(self.descriptor)
        if self._out is not None:
            self._out.clear()
            self._out = None
        self._socket.close()

    def arrive(self, baggage: Baggage) -> None:
        """Go on where another process left off; instead of `open`."""
        self.uid = baggage.uid
        self.protected = baggage.protected
        self.connected_at_s = baggage.connected_at_s
        self.received_at_s = baggage.received_at_s
        self.sent_at_s = baggage.sent_at_s
        self.message_since_s = baggage.message_since_s
        self.received_bytes = baggage.received_bytes
        self.sent_bytes = baggage.sent_bytes
        self.messages = baggage.messages
        self.responses = baggage.responses
        self.peer_finished = baggage.peer_finished
        self._write_shut = baggage.write_shut
        self._ending = baggage.ending
        self.closing = baggage.closing
        self._fault = baggage.fault
        if self._framing is not None and baggage.pending:
            self._framing.restore(baggage.pending)
        self._undelivered = list(baggage.undelivered)
        for part in baggage.output:
            out = self._queue_made()
            if isinstance(part, FilePart):
                out.put_file(
                    part.descriptor, part.offset, part.count,
                    partial(os.close, part.descriptor),
                )  # fmt: skip
            else:
                out.put(part)
        if self.closing is not None and self._out is not None:
            self._out.seal()
        self._paused = BY_USER if baggage.paused else 0
        if self._out is not None and self._out.full and self.options.overflow is Overflow.PAUSE:
            self._paused |= BY_OUTPUT
        self._reactor.register(self.descriptor, READ, self.on_ready)
        self._awaited = READ
        self._await()
        self._arm()
        self._reactor.defer(self._resumed)

    # -- time-outs -------------------------------------------------------------------------------

    def _arm(self) -> None:
        """Look at the clock when the next time-out may be over: never a timer a message."""
        if self._timer:
            self._reactor.clear(self._timer)
            self._timer = 0
        if self.closed is not None:
            return
        delay_s = next_look_s(self, self._reactor.now_s)
        if delay_s is not None:
            self._timer = self._reactor.after(delay_s, self._on_time)

    def _on_time(self) -> None:
        self._timer = 0
        if self.closed is not None:
            return
        reason = missed(self, self._reactor.now_s)
        if reason is None:
            self._arm()
        elif self.closing is not None:
            detail = f"{self.queued_bytes} bytes of output could not be sent"
            self._finish(Closed(self.closing, 0, detail), reset=True)
        else:
            self.end(reason, reset=reason is CloseReason.WRITE_TIMEOUT)
