"""One accepted stream socket: bytes in become messages, output goes out in order, one end.

It tells `Events` what happens and is told what to do; it knows no callbacks, sessions tables or
other connections. Read first: RFC 9293 3.6 (closing), man 2 send, man 7 epoll.

The usual wake-up (readable only, nothing special asked, no output waiting) takes the short way
through `on_ready` and `send` (in outgoing.py): one recv, one event, one send. All that is not usual
sets `_unusual` or makes the queue, and takes the long way.

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
import select
import socket
from typing import TYPE_CHECKING

from netlab.server.loop.pollers import HUNG, READ, WRITE
from netlab.server.sockets import sockopts
from netlab.server.sockets.deadlines import missed, next_look_s
from netlab.server.sockets.framing import Framing, FramingError
from netlab.server.sockets.home import Home
from netlab.server.sockets.outgoing import BY_KERNEL, BY_USER, NO_ROOM, Outgoing
from netlab.server.terms import Closed, CloseReason, HalfClose, SocketAddress

if TYPE_CHECKING:
    from netlab.server.settings.option_table import Options

IN = select.EPOLLIN
HUP = select.EPOLLHUP
READS_A_TURN = 16  # edge-triggered: then others have their turn
RETRY_S = 0.05
PEER_GONE = frozenset({errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED, errno.ENOTCONN})


class Connection(Outgoing):
    """One conversation. Attributes without underscore may be read by anyone in this process."""

    __slots__ = (
        "_awaited", "_framing", "_paused", "_quickack", "_received", "_recv", "_recv_size",
        "_special", "_timer", "_unanswered", "_undelivered", "_unusual", "address",
        "connected_at_s", "entrance", "message_since_s", "messages", "protected", "read_from_s",
        "received_at_s", "received_bytes", "session", "uid",
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
        super().__init__(home, sock, options)
        reactor = self._reactor
        self._received = home.events.received
        self._recv = sock.recv
        self._recv_size = options.recv_size
        self._framing = framing
        self.session = session
        self.address = address
        self.entrance = entrance
        self.uid: int | None = None
        self.protected = False
        self.connected_at_s = self.read_from_s = reactor.now_s
        self.received_at_s = 0.0
        self.received_bytes = self.messages = 0
        self.message_since_s = 0.0  # since when the pending message has been incomplete
        self._paused = 0
        self._awaited = 0  # the events; -1: not in the poller
        self._undelivered: list[bytes] = []  # messages that came before a pause
        self._unanswered = 0
        self._timer = 0
        self._quickack = options.quickack and sock.family != socket.AF_UNIX
        self._special = self._quickack or reactor.edge or framing is not None
        self._unusual = self._special

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
        recv = self._recv  # first a name, then a call: CPython has no short way for both at once
        try:
            data = recv(self._recv_size)
        except BlockingIOError:
            return
        except OSError as error:
            self._failed(error)
            return
        if data:
            self.received_bytes += len(data)
            self.received_at_s = self._reactor.now_s
            self.messages += 1
            received = self._received
            received(self, data)
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

    @property
    def pending_bytes(self) -> int:
        """Input that is no complete message yet, or waits for a pause to end."""
        pending = sum(map(len, self._undelivered))
        return pending + (self._framing.pending_bytes if self._framing is not None else 0)

    @property
    def socket(self) -> socket.socket:
        """To be handed over; nobody else may use it."""
        return self._socket

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

    # -- the end ---------------------------------------------------------------------------------

    @property
    def _over(self) -> bool:
        return self.closed is not None or self.closing is not None

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
        if number in NO_ROOM:
            self._retry()
            return
        reason = CloseReason.PEER_RST if number in PEER_GONE else CloseReason.ERROR
        lost = self.queued_bytes
        self._finish(Closed(reason, number, f"{lost} bytes of output lost" if lost else ""))

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
