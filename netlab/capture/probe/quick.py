"""The traced sockets of the usual ways of recording, with send and recv made short.

The plain head of a record is written here without a method call in between; whatever is not the
usual case (flags, another thread's first call, a full segment, an exception) takes TracedSocket's
way. Figures are in tests/bench/test_probe_cost.py.

What this module relies on, see writer.py: CPython runs signal handlers after calls, so
- between reading `spool.at` and pack_into nothing is called;
- a handler that raises just after a send would take its result with it (a Ctrl-C in a busy program
  often falls there, and the bytes are on their way). So the plain methods stand as operators of
  the class, `self << data` is the call, and its result is stored before any handler runs: an
  operator is no call to CPython. (map's iterator does it too, and costs 200 ns.)
"""

from __future__ import annotations

from _thread import get_ident
from errno import EAGAIN
from fcntl import ioctl
from time import time_ns
from typing import Any

from netlab.capture.probe import layout
from netlab.capture.probe.journal import Journal, SocketState
from netlab.capture.probe.layout import HEAD_BYTES, NONE, OP
from netlab.capture.probe.samples import FOUR, SIOCINQ, SIOCOUTQ
from netlab.capture.probe.sockets import Plain, TracedSocket
from netlab.capture.probe.writer import ThreadSpool

_pack = layout.QUICK_HEAD.pack_into
_pack_return = layout.STATELESS_HEAD.pack_into
_RECV = layout.quick_marker(layout.ENTRY, OP["recv"], HEAD_BYTES)
_RECV_INTO = layout.quick_marker(layout.ENTRY, OP["recv_into"], HEAD_BYTES)
_SEND = layout.quick_marker(layout.ENTRY, OP["send"], HEAD_BYTES)
_RETURN = layout.quick_marker(layout.RETURN, 0, HEAD_BYTES)
_ABOUT_BYTES = HEAD_BYTES + layout.ABOUT.size
_SEND_ABOUT = layout.quick_marker(layout.ENTRY, OP["send"], _ABOUT_BYTES)
_pack_about = layout.ABOUT.pack_into
_SIZE_LIMIT = 1 << 40
_UNKNOWN = b"\xff" * 4  # a sample that was not taken
_UNSET: Any = None


class _Nobody:
    """Stands where a socket is not known to any thread's spool yet."""

    thread = 0


NOBODY: Any = _Nobody()


class QuickSocket(TracedSocket):
    """A TracedSocket that keeps at hand which spool knows its state, and under which number."""

    __slots__ = ("_number", "_spool")

    __lshift__ = Plain.send
    __rshift__ = Plain.recv
    __matmul__ = Plain.recv_into

    def __init__(
        self, journal: Journal, family: int = -1, kind: int = -1, protocol: int = -1,
        fileno: int | None = None,
    ) -> None:  # fmt: skip
        self._spool: ThreadSpool = NOBODY
        self._number = 0
        super().__init__(journal, family, kind, protocol, fileno)

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """As socket.recv."""
        spool = self._spool
        if (
            flags
            or spool.thread != get_ident()
            or type(bufsize) is not int
            or bufsize > _SIZE_LIMIT
        ):
            self._settle()
            return TracedSocket.recv(self, bufsize, flags)
        now_ns = time_ns()
        at = spool.at
        end = at + HEAD_BYTES
        if end > spool.end:
            return TracedSocket.recv(self, bufsize, flags)
        spool.at = end
        spool.order = order = spool.order + 1
        _pack(spool.view, at, now_ns, bufsize, order, self._number, _RECV)
        data: bytes = _UNSET
        try:
            data = self >> bufsize
            now_ns = time_ns()
            count = len(data)
        except BlockingIOError as error:
            self._blocked(spool, order, error)
            raise
        except BaseException as error:
            self._fail((spool, order), error, None if data is _UNSET else len(data))
            raise
        at = spool.at
        end = at + HEAD_BYTES
        if end > spool.end:
            self._late(spool, order, count, now_ns)
            return data
        spool.at = end
        _pack_return(spool.view, at, now_ns, count, order, _RETURN)
        return data

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """As socket.recv_into."""
        spool = self._spool
        if flags or spool.thread != get_ident() or type(buffer) is not bytearray or nbytes:
            self._settle()
            return TracedSocket.recv_into(self, buffer, nbytes, flags)
        requested = len(buffer)
        now_ns = time_ns()
        at = spool.at
        end = at + HEAD_BYTES
        if end > spool.end:
            return TracedSocket.recv_into(self, buffer)
        spool.at = end
        spool.order = order = spool.order + 1
        _pack(spool.view, at, now_ns, requested, order, self._number, _RECV_INTO)
        count: int = -1
        try:
            count = self @ buffer
            now_ns = time_ns()
        except BlockingIOError as error:
            self._blocked(spool, order, error)
            raise
        except BaseException as error:
            self._fail((spool, order), error, None if count < 0 else count)
            raise
        at = spool.at
        end = at + HEAD_BYTES
        if end > spool.end:
            self._late(spool, order, count, now_ns)
            return count
        spool.at = end
        _pack_return(spool.view, at, now_ns, count, order, _RETURN)
        return count

    def send(self, data: Any, flags: int = 0, /) -> int:
        """As socket.send."""
        spool = self._spool
        if flags or spool.thread != get_ident() or type(data) not in _BYTES:
            self._settle()
            return TracedSocket.send(self, data, flags)
        requested = len(data)
        now_ns = time_ns()
        at = spool.at
        end = at + HEAD_BYTES
        if end > spool.end:
            return TracedSocket.send(self, data, flags)
        spool.at = end
        spool.order = order = spool.order + 1
        _pack(spool.view, at, now_ns, requested, order, self._number, _SEND)
        count: int = -1
        try:
            count = self << data
            now_ns = time_ns()
        except BlockingIOError as error:
            self._blocked(spool, order, error)
            raise
        except BaseException as error:
            self._fail((spool, order), error, None if count < 0 else count)
            raise
        at = spool.at
        end = at + HEAD_BYTES
        if end > spool.end:
            self._late(spool, order, count, now_ns)
            return count
        spool.at = end
        _pack_return(spool.view, at, now_ns, count, order, _RETURN)
        return count

    def send_about(self, data: Any, about: int, /) -> int:
        """As socket.send; the bytes are about the socket with this inode."""
        spool = self._spool
        if spool.thread != get_ident() or type(data) not in _BYTES:
            self._settle()
            return TracedSocket.send_about(self, data, about)
        requested = len(data)
        now_ns = time_ns()
        at = spool.at
        end = at + _ABOUT_BYTES
        if end > spool.end:
            return TracedSocket.send_about(self, data, about)
        spool.at = end
        spool.order = order = spool.order + 1
        view = spool.view
        _pack_about(view, at + HEAD_BYTES, layout.TAG_ABOUT, 0, layout.ABOUT_LENGTH, about)
        _pack(view, at, now_ns, requested, order, self._number, _SEND_ABOUT)
        count: int = -1
        try:
            count = self << data
            now_ns = time_ns()
        except BlockingIOError as error:
            self._blocked(spool, order, error)
            raise
        except BaseException as error:
            self._fail((spool, order), error, None if count < 0 else count)
            raise
        at = spool.at
        end = at + HEAD_BYTES
        if end > spool.end:
            self._late(spool, order, count, now_ns)
            return count
        spool.at = end
        _pack_return(spool.view, at, now_ns, count, order, _RETURN)
        return count

    def _blocked(self, spool: ThreadSpool, order: int, error: BlockingIOError) -> None:
        """The return of a call that found nothing to take, or no room."""
        now_ns = time_ns()
        state, journal, trace = self._state, self._journal, error.__traceback__
        if state is None or trace is None or trace.tb_next is not None:  # of a signal handler
            self._fail((spool, order), error)
            return
        inq = outq = _UNKNOWN
        if journal.sample_events:
            try:
                inq, outq = ioctl(state.fd, SIOCINQ, FOUR), ioctl(state.fd, SIOCOUTQ, FOUR)
            except OSError:
                inq = outq = _UNKNOWN
        at = spool.at
        end = at + _SAMPLED_BYTES
        if end > spool.end:
            journal.leave((spool, order), state, None, returned_ns=now_ns, code=EAGAIN)
            return
        spool.at = end
        view = spool.view
        _pack_sample(
            view, at + HEAD_BYTES, layout.TAG_DETAIL, 0, _DETAIL_BYTES, 0, inq, outq, EAGAIN
        )
        _pack(view, at, now_ns, NONE, order, 0, _RETURN_SAMPLED)

    def _late(self, spool: ThreadSpool, order: int, count: int, returned_ns: int) -> None:
        """The return that did not fit into the segment of its entry."""
        self._journal.leave((spool, order), self._state, count, returned_ns=returned_ns)

    def _become(self, state: SocketState) -> None:
        self._state = state
        self._spool = NOBODY
        self._number = state.number

    def _forget(self, *, detached: bool = False) -> None:
        self._spool = NOBODY
        super()._forget(detached=detached)

    def _settle(self) -> None:
        """Make the calling thread's spool know the socket, so that the next call is short."""
        state, journal = self._state, self._journal
        if state is None or journal.off:
            return
        try:
            spool = journal.spool()
            if spool is not None and self._spool is not spool:
                journal.announce(state, spool)
                self._spool = spool
        except Exception as error:
            journal.fault(error)


class SampledSocket(QuickSocket):
    """A QuickSocket that samples its queues before and after each call."""

    __slots__ = ()

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """As socket.recv."""
        spool = self._spool
        usual = not flags and type(bufsize) is int and bufsize <= _SIZE_LIMIT
        order = self._begin(spool, bufsize, _RECV_SAMPLED) if usual else 0
        if not order:
            self._settle()
            return TracedSocket.recv(self, bufsize, flags)
        data: bytes = _UNSET
        try:
            data = self >> bufsize
            now_ns = time_ns()
            count = len(data)
        except BaseException as error:
            self._fail((spool, order), error, None if data is _UNSET else len(data))
            raise
        self._end(spool, order, count, now_ns)
        return data

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """As socket.recv_into."""
        spool = self._spool
        usual = not flags and not nbytes and type(buffer) is bytearray
        order = self._begin(spool, len(buffer), _RECV_INTO_SAMPLED) if usual else 0
        if not order:
            self._settle()
            return TracedSocket.recv_into(self, buffer, nbytes, flags)
        count: int = -1
        try:
            count = self @ buffer
            now_ns = time_ns()
        except BaseException as error:
            self._fail((spool, order), error, None if count < 0 else count)
            raise
        self._end(spool, order, count, now_ns)
        return count

    def send(self, data: Any, flags: int = 0, /) -> int:
        """As socket.send."""
        spool = self._spool
        usual = not flags and type(data) in _BYTES
        order = self._begin(spool, len(data), _SEND_SAMPLED) if usual else 0
        if not order:
            self._settle()
            return TracedSocket.send(self, data, flags)
        count: int = -1
        try:
            count = self << data
            now_ns = time_ns()
        except BaseException as error:
            self._fail((spool, order), error, None if count < 0 else count)
            raise
        self._end(spool, order, count, now_ns)
        return count

    def send_about(self, data: Any, about: int, /) -> int:
        """As socket.send; the bytes are about the socket with this inode."""
        self._settle()
        return TracedSocket.send_about(self, data, about)

    def _begin(self, spool: ThreadSpool, requested: int, word: bytes) -> int:
        """Write an entry with samples and return its order; 0 when it takes the longer way."""
        state = self._state
        if state is None or spool.thread != get_ident():
            return 0
        try:
            inq, outq = ioctl(state.fd, SIOCINQ, FOUR), ioctl(state.fd, SIOCOUTQ, FOUR)
        except OSError:
            return 0
        now_ns = time_ns()
        at = spool.at
        end = at + _SAMPLED_BYTES
        if end > spool.end:
            return 0
        spool.at = end
        spool.order = order = spool.order + 1
        view = spool.view
        _pack_sample(view, at + HEAD_BYTES, layout.TAG_DETAIL, 0, _DETAIL_BYTES, 0, inq, outq, 0)
        _pack(view, at, now_ns, requested, order, self._number, word)
        return order

    def _end(self, spool: ThreadSpool, order: int, count: int, now_ns: int) -> None:
        state = self._state
        if state is None:  # closed meanwhile, by a signal handler or another thread
            self._late(spool, order, count, now_ns)
            return
        try:
            inq, outq = ioctl(state.fd, SIOCINQ, FOUR), ioctl(state.fd, SIOCOUTQ, FOUR)
        except OSError:
            self._late(spool, order, count, now_ns)
            return
        at = spool.at
        end = at + _SAMPLED_BYTES
        if end > spool.end:
            self._late(spool, order, count, now_ns)
            return
        spool.at = end
        view = spool.view
        _pack_sample(view, at + HEAD_BYTES, layout.TAG_DETAIL, 0, _DETAIL_BYTES, 0, inq, outq, 0)
        _pack_return(view, at, now_ns, count, order, _RETURN_SAMPLED)

    def _late(self, spool: ThreadSpool, order: int, count: int, returned_ns: int) -> None:
        state = self._state
        self._journal.leave(
            (spool, order), state, count, returned_ns=returned_ns, sample=state is not None
        )


_BYTES = frozenset({bytes, bytearray})
_DETAIL_BYTES = layout.DETAIL.size
_SAMPLED_BYTES = HEAD_BYTES + layout.SAMPLE.size
_pack_sample = layout.SAMPLE.pack_into
_RECV_SAMPLED = layout.quick_marker(layout.ENTRY, OP["recv"], _SAMPLED_BYTES)
_RECV_INTO_SAMPLED = layout.quick_marker(layout.ENTRY, OP["recv_into"], _SAMPLED_BYTES)
_SEND_SAMPLED = layout.quick_marker(layout.ENTRY, OP["send"], _SAMPLED_BYTES)
_RETURN_SAMPLED = layout.quick_marker(layout.RETURN, 0, _SAMPLED_BYTES)
