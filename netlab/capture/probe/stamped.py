"""Traced TCP sockets whose bytes the kernel stamps as they leave and are acknowledged.

Each is a traced socket with a look at its stamps behind the calls (and, where a time-out makes
CPython poll, instead of its polling). For the rule that decides when, see `stamps`.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from netlab.capture.probe import errqueue
from netlab.capture.probe.journal import Inside
from netlab.capture.probe.quick import QuickSocket, SampledSocket
from netlab.capture.probe.sockets import TracedSocket
from netlab.model.call import MSG_ERRQUEUE

if TYPE_CHECKING:
    from netlab.capture.probe.stamps import Stamps
    from netlab.capture.probe.writer import ThreadSpool

_WAITS_FOR = {
    "recv": select.POLLIN, "recv_into": select.POLLIN, "recvfrom": select.POLLIN,
    "recvfrom_into": select.POLLIN, "recvmsg": select.POLLIN, "recvmsg_into": select.POLLIN,
    "send": select.POLLOUT, "sendall": select.POLLOUT, "sendto": select.POLLOUT,
    "sendmsg": select.POLLOUT,
}  # fmt: skip


class StampedSocket(TracedSocket):
    """A TracedSocket that is stamped from its connection on."""

    __slots__ = ()

    @property
    def _stamps(self) -> Stamps:
        found = self._journal.stamps
        assert found is not None  # who makes such sockets has seen to that
        return found

    # -- from nothing to a connection, and back ----------------------------------------------------

    def _connect(self, op: str, address: Any, call: Callable[[Any, Any], Any]) -> Any:
        self._stamps.before_connect(self)
        try:
            return super()._connect(op, address, call)
        finally:
            self._stamps.begin(self)

    def accept(self) -> tuple[TracedSocket, Any]:
        """As socket.accept."""
        sock, address = super().accept()
        self._stamps.begin(sock)
        return sock, address

    def dup(self) -> StampedSocket:
        """As socket.dup."""
        sock = super().dup()
        assert isinstance(sock, StampedSocket)  # it makes its own kind
        self._stamps.follow(sock)
        return sock

    def detach(self) -> int:
        """As socket.detach."""
        self._stamps.let_go(self.fileno(), off=True)
        return super().detach()

    def _close(self, close: Callable[[], None], note: str) -> None:
        self._stamps.let_go(self.fileno())
        super()._close(close, note)

    def setsockopt(self, *arguments: Any) -> None:
        """As socket.setsockopt."""
        name = errqueue.OWN_USES.get(arguments[:2]) if len(arguments) > 2 else None
        if name is not None and arguments[2] not in (0, b"\0\0\0\0"):
            self._stamps.step_aside(self, name)
        super().setsockopt(*arguments)

    # -- bytes out ---------------------------------------------------------------------------------

    def send(self, data: Any, flags: int = 0, /) -> int:
        """As socket.send."""
        count = super().send(data, flags)
        self._stamps.take(self.fileno())
        return count

    def send_about(self, data: Any, about: int, /) -> int:
        """As socket.send."""
        count = super().send_about(data, about)
        self._stamps.take(self.fileno())
        return count

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """As socket.sendall."""
        super().sendall(data, flags)
        self._stamps.take(self.fileno())

    def sendto(self, data: Any, *rest: Any) -> int:
        """As socket.sendto."""
        count = super().sendto(data, *rest)
        self._stamps.take(self.fileno())
        return count

    def sendmsg(
        self, buffers: Any, ancdata: Any = (), flags: int = 0, address: Any = None, /
    ) -> int:
        """As socket.sendmsg."""
        count = super().sendmsg(buffers, ancdata, flags, address)
        self._stamps.take(self.fileno())
        return count

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """As socket.sendfile. With a time-out it is not stamped: the standard library polls."""
        fd = self.fileno()
        if self.gettimeout() and fd in self._stamps.on:
            with errqueue.unmarked(self):
                total = super().sendfile(file, offset, count)
        else:
            total = super().sendfile(file, offset, count)
        self._stamps.take(fd)
        return total

    def sendfile_once(self, file: int, offset: int, count: int) -> int:
        """As os.sendfile."""
        sent = super().sendfile_once(file, offset, count)
        self._stamps.take(self.fileno())
        return sent

    def _await_room(self, left_s: float) -> None:
        if left_s <= 0 or self.fileno() not in self._stamps.on:
            super()._await_room(left_s)
        else:
            self._stamps.wait(self.fileno(), select.POLLOUT, left_s)

    # -- bytes in ----------------------------------------------------------------------------------

    def _received(
        self, op: str, requested: object, function: Callable[..., Any], arguments: tuple[Any, ...],
        parts: Callable[[Any], tuple[int, int, Any]], about: int = 0,
    ) -> Any:  # fmt: skip
        flags = arguments[-1]
        if op in _READS and isinstance(flags, int) and flags & MSG_ERRQUEUE:
            self._stamps.step_aside(self, "MSG_ERRQUEUE")
        return super()._received(op, requested, function, arguments, parts, about)

    # -- the frame around every call ---------------------------------------------------------------

    def _be_patient(self, op: str) -> None:
        """Wait as CPython would do before the call, but not for stamps."""
        timeout = self.gettimeout()
        events = _WAITS_FOR.get(op)
        if timeout and events is not None and self.fileno() in self._stamps.on:
            self._stamps.wait(self.fileno(), events, timeout)

    def _fail(
        self, inside: Inside | None, error: BaseException, result: int | None = None,
        partial: bool = False, sample: bool = True, address: str | None = None,
    ) -> None:  # fmt: skip
        super()._fail(inside, error, result, partial, sample, address)
        self._stamps.take(self.fileno())


_READS = frozenset(op for op, events in _WAITS_FOR.items() if events == select.POLLIN)


class StampedQuickSocket(StampedSocket, QuickSocket):
    """The same in the usual way of recording; a time-out takes the longer way."""

    __slots__ = ()

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """As socket.recv."""
        if self.gettimeout() or flags:
            return TracedSocket.recv(self, bufsize, flags)
        return super().recv(bufsize, flags)

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """As socket.recv_into."""
        if self.gettimeout() or flags:
            return TracedSocket.recv_into(self, buffer, nbytes, flags)
        return super().recv_into(buffer, nbytes, flags)

    def send(self, data: Any, flags: int = 0, /) -> int:
        """As socket.send."""
        if self.gettimeout():
            count = TracedSocket.send(self, data, flags)
        else:
            count = super(StampedSocket, self).send(data, flags)
        self._stamps.take(self.fileno())
        return count

    def send_about(self, data: Any, about: int, /) -> int:
        """As socket.send."""
        if self.gettimeout():
            count = TracedSocket.send_about(self, data, about)
        else:
            count = super(StampedSocket, self).send_about(data, about)
        self._stamps.take(self.fileno())
        return count

    def _blocked(self, spool: ThreadSpool, order: int, error: BlockingIOError) -> None:
        super()._blocked(spool, order, error)
        self._stamps.take(self.fileno())


class StampedSampledSocket(StampedQuickSocket, SampledSocket):
    """The same with samples of the queues before and after each call."""

    __slots__ = ()
