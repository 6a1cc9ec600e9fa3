"""The traced socket: socket.socket whose calls are noted in a journal, and nothing else changed.

Arguments, results, exceptions, time-outs and blocking are those of the plain socket: each method
notes the entry, makes the plain call exactly once, and notes the return. Whatever goes wrong with
the notes stays inside the journal.

Read first: Lib/socket.py and Modules/socketmodule.c of CPython 3.11 (sock_call_ex, sock_sendall).
"""

from __future__ import annotations

import _socket
import errno
import select
import socket
from collections.abc import Callable
from time import monotonic, time_ns
from typing import Any, TypeVar

from netlab.capture.probe.addresses import (
    address_text,
    is_numeric,
    maybe_local,
    maybe_peer,
    maybe_unix_peer_inode,
)  # fmt: skip
from netlab.capture.probe.journal import Inside, Journal, SocketState
from netlab.capture.probe.layout import OP
from netlab.capture.probe.options import SHUTDOWN, setsockopt_text
from netlab.model.call import MSG_CTRUNC, MSG_TRUNC

T = TypeVar("T")
Plain = socket.socket
_UNSET = -1
_GIVE_UP: type[Exception] = socket._GiveupOnSendfile  # type: ignore[attr-defined]


class TracedSocket(socket.socket):
    """A socket whose calls go into `journal`."""

    __slots__ = ("_inode", "_journal", "_state")

    def __init__(
        self, journal: Journal, family: int = -1, kind: int = -1, protocol: int = -1,
        fileno: int | None = None,
    ) -> None:  # fmt: skip
        self._journal = journal
        self._state: SocketState | None = None
        self._inode = 0
        super().__init__(family, kind, protocol, fileno)

    # -- what is known of the socket -------------------------------------------------------------

    def watch(self, *, local: str | None = None, peer: str | None = None) -> None:
        """Begin to trace the descriptor that this object has been given."""
        journal = self._journal
        if journal.off:
            return
        try:
            fd = self.fileno()
            state = journal.state(fd, self.family, self.type, local, peer)
            self._inode = state.inode
            journal.detached.pop(fd, None)
            journal.held[fd] = state.inode
            self._become(state)
        except Exception as error:
            journal.fault(error)

    @property
    def state(self) -> SocketState | None:
        """What is known of the socket; None once it is closed, or when it is not traced."""
        return self._state

    @property
    def inode(self) -> int:
        """The socket's own number, whatever descriptors lead to it; 0 when not known."""
        return self._inode

    def _become(self, state: SocketState) -> None:
        self._state = state

    def _learn(self, *, peer: str | None = None) -> None:
        """Ask for the socket's own address anew, and keep the peer's when it is given."""
        state, journal = self._state, self._journal
        if state is None or journal.off:
            return
        try:
            local = maybe_local(self)
            if local is None:
                local = state.local
            if peer is None:
                peer = state.peer
            if (local, peer) != (state.local, state.peer):
                known = journal.state(
                    state.fd, self.family, self.type, local, peer, inode=state.inode
                )
                self._become(known)
        except Exception as error:
            journal.fault(error)

    def _forget(self, *, detached: bool = False) -> None:
        state = self._state
        if state is not None:
            self._state = None
            self._journal.held.pop(state.fd, None)
            if detached:
                self._journal.detached[state.fd] = state.inode

    # -- the frame around every call -------------------------------------------------------------

    def _enter(
        self, op: str, requested: object = None, flags: object = 0, *, args: str = "",
        address: str | None = None, sample: bool = True,
    ) -> Inside | None:  # fmt: skip
        state = self._state
        if state is None:  # closed or never watched: the plain call says what is wrong
            return None
        return self._journal.enter(
            OP[op], state, requested=requested, flags=flags, args=args, address=address,
            sample=sample and self._journal.sample_calls,
        )  # fmt: skip

    def _fail(
        self, inside: Inside | None, error: BaseException, result: int | None = None,
        sample: bool = True,
    ) -> None:  # fmt: skip
        if inside is not None:
            self._journal.fail(
                inside, self._state, error, timeout=self.gettimeout(), result=result, sample=sample
            )

    def _counted(
        self, op: str, requested: object, flags: object, call: Callable[[], T],
        count: Callable[[T], int],
    ) -> T:  # fmt: skip
        """A call that moves bytes and whose result says how many."""
        inside = self._enter(op, requested, flags)
        try:
            value = call()
        except BaseException as error:
            self._fail(inside, error)
            raise
        if inside is not None:
            journal, now_ns = self._journal, time_ns()
            journal.leave(
                inside, self._state, count(value), returned_ns=now_ns,
                sample=journal.sample_calls,
            )  # fmt: skip
        return value

    def _simple(self, op: str, call: Callable[[], T], args: str = "", sample: bool = False) -> T:
        """A call that returns 0 or fails."""
        inside = self._enter(op, args=args, sample=sample)
        try:
            value = call()
        except BaseException as error:
            self._fail(inside, error)
            raise
        if inside is not None:
            after = sample and self._journal.sample_calls
            self._journal.leave(inside, self._state, 0, sample=after)
        return value

    # -- from nothing to a connection ------------------------------------------------------------

    def connect(self, address: Any, /) -> None:
        """As socket.connect."""
        self._connect("connect", address, Plain.connect)

    def connect_ex(self, address: Any, /) -> int:
        """As socket.connect_ex: an errno instead of an exception."""
        return self._connect("connect", address, Plain.connect_ex)

    def _connect(self, op: str, address: Any, call: Callable[[Any, Any], T]) -> T:
        text = address_text(self.family, address)
        numeric = is_numeric(self.family, address)
        inside = self._enter(op, args=text, address=text if numeric else None)
        try:
            value = call(self, address)
        except BaseException as error:
            if inside is not None:
                refused = isinstance(error, OSError) and error.errno not in (None, *_UNDER_WAY)
                self._learn(peer=text if numeric and not refused else None)
                self._fail(inside, error)
            raise
        if inside is None:
            return value
        now_ns = time_ns()
        code = value if isinstance(value, int) else 0
        journal = self._journal
        if code:
            if code in _UNDER_WAY and numeric:
                self._learn(peer=text)
            journal.leave(inside, self._state, None, returned_ns=now_ns, code=code)
            return value
        peer = maybe_peer(self) or text
        self._learn(peer=peer)
        inodes = None
        if self.family == socket.AF_UNIX:
            inodes = (0, maybe_unix_peer_inode(self._inode) or 0)
        journal.leave(
            inside, self._state, 0, returned_ns=now_ns, inodes=inodes,
            address=None if numeric else peer, sample=journal.sample_calls,
        )  # fmt: skip
        return value

    def bind(self, address: Any, /) -> None:
        """As socket.bind."""
        text = address_text(self.family, address)
        inside = self._enter("bind", args=text, address=text, sample=False)
        try:
            Plain.bind(self, address)
        except BaseException as error:
            self._fail(inside, error)
            raise
        if inside is not None:
            now_ns = time_ns()
            self._learn()
            self._journal.leave(inside, self._state, 0, returned_ns=now_ns)

    def listen(self, *backlog: Any) -> None:
        """As socket.listen."""
        text = ", ".join(str(item) for item in backlog)
        self._simple("listen", lambda: Plain.listen(self, *backlog), text)

    def accept(self) -> tuple[TracedSocket, Any]:
        """As socket.accept; the new socket is traced as well."""
        inside = self._enter("accept", sample=False)
        try:
            fd, address = self._accept()  # type: ignore[attr-defined]
        except BaseException as error:
            self._fail(inside, error, sample=False)
            raise
        now_ns = time_ns()
        sock = type(self)(self._journal, self.family, self.type, self.proto, fileno=fd)
        if socket.getdefaulttimeout() is None and self.gettimeout():
            sock.setblocking(True)  # as socket.accept does
        if inside is not None:
            peer = address_text(self.family, address)
            sock.watch(local=maybe_local(sock), peer=peer)
            far = maybe_unix_peer_inode(sock._inode) if self.family == socket.AF_UNIX else None
            self._journal.leave(
                inside, self._state, fd, returned_ns=now_ns, address=peer,
                inodes=(sock._inode, far or 0),
            )  # fmt: skip
        return sock, address

    # -- bytes out -------------------------------------------------------------------------------

    def send(self, data: Any, flags: int = 0, /) -> int:
        """As socket.send."""
        return self._counted("send", _size(data), flags, lambda: Plain.send(self, data, flags), int)

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """As socket.sendall; its result in the journal is what the kernel took, even on failure."""
        inside = self._enter("sendall", _size(data), flags)
        if inside is None:
            return Plain.sendall(self, data, flags)
        sent = [0]
        try:
            self._send_all(data, flags, sent)
        except BaseException as error:
            self._fail(inside, error, result=sent[0])
            raise
        now_ns = time_ns()
        journal = self._journal
        journal.leave(
            inside, self._state, sent[0], returned_ns=now_ns, sample=journal.sample_calls
        )  # fmt: skip
        return None

    def _send_all(self, data: Any, flags: int, sent: list[int]) -> None:
        """sock_sendall of CPython: one deadline for all of it; zero bytes are one send."""
        try:
            view = memoryview(data).cast("B")
        except TypeError:
            Plain.sendall(self, data, flags)  # raises what it raises
            return
        timeout = self.gettimeout()
        deadline = monotonic() + timeout if timeout else None
        with view:
            total = len(view)
            sent[0] = Plain.send(self, view, flags)
            while sent[0] < total:
                if deadline is not None:
                    self._await_room(deadline - monotonic())
                with view[sent[0] :] as rest:
                    sent[0] += Plain.send(self, rest, flags)

    def _await_room(self, left_s: float) -> None:
        if left_s > 0:
            poller = select.poll()
            poller.register(self.fileno(), select.POLLOUT)
            if poller.poll(left_s * 1000):
                return
        raise TimeoutError("timed out")

    def sendto(self, data: Any, *rest: Any) -> int:
        """As socket.sendto: (data, address) or (data, flags, address)."""
        flags = rest[0] if len(rest) == 2 else 0
        to = rest[-1] if rest else None
        return self._addressed(
            "sendto", _size(data), flags, to, lambda: Plain.sendto(self, data, *rest)
        )

    def sendmsg(
        self, buffers: Any, ancdata: Any = (), flags: int = 0, address: Any = None, /
    ) -> int:
        """As socket.sendmsg."""
        if not isinstance(buffers, list | tuple) and hasattr(buffers, "__iter__"):
            buffers = list(buffers)
        return self._addressed(
            "sendmsg", _total(buffers), flags, address,
            lambda: Plain.sendmsg(self, buffers, ancdata, flags, address),
        )  # fmt: skip

    def _addressed(
        self, op: str, requested: int | None, flags: object, to: Any, call: Callable[[], int]
    ) -> int:
        text = None if to is None else address_text(self.family, to)
        inside = self._enter(op, requested, flags, args=text or "", address=text)
        try:
            count = call()
        except BaseException as error:
            self._fail(inside, error)
            raise
        if inside is not None:
            now_ns = time_ns()
            state, journal = self._state, self._journal
            if state is not None and state.local is None and to is not None:
                self._learn()  # the first datagram chose a port
            journal.leave(
                inside, self._state, count, returned_ns=now_ns, sample=journal.sample_calls
            )  # fmt: skip
        return count

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """As socket.sendfile: one call here for its many; plain sends where the file is none."""
        inside = self._enter("sendfile", count)
        try:
            total: int = self._sendfile_use_sendfile(file, offset, count)  # type: ignore[attr-defined]
        except _GIVE_UP:
            if inside is not None:
                self._journal.leave(inside, self._state, 0, note="not a regular file: sends follow")
            return self._sendfile_use_send(file, offset, count)  # type: ignore[attr-defined,no-any-return]
        except BaseException as error:
            if inside is not None:
                self._fail(inside, error, result=_moved(file, offset))
            raise
        if inside is not None:
            self._journal.leave(inside, self._state, total, sample=self._journal.sample_calls)
        return total

    # -- bytes in --------------------------------------------------------------------------------

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """As socket.recv."""
        return self._counted("recv", bufsize, flags, lambda: Plain.recv(self, bufsize, flags), len)

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """As socket.recv_into."""
        return self._counted(
            "recv_into", nbytes or _size(buffer), flags,
            lambda: Plain.recv_into(self, buffer, nbytes, flags), int,
        )  # fmt: skip

    def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, Any]:
        """As socket.recvfrom."""
        return self._received(
            "recvfrom", bufsize, flags, lambda: Plain.recvfrom(self, bufsize, flags),
            lambda value: (len(value[0]), 0, value[1]),
        )  # fmt: skip

    def recvfrom_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> tuple[int, Any]:
        """As socket.recvfrom_into."""
        return self._received(
            "recvfrom_into", nbytes or _size(buffer), flags,
            lambda: Plain.recvfrom_into(self, buffer, nbytes, flags),
            lambda value: (value[0], 0, value[1]),
        )  # fmt: skip

    def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[bytes, list[tuple[int, int, bytes]], int, Any]:
        """As socket.recvmsg."""
        return self._received(
            "recvmsg", bufsize, flags, lambda: Plain.recvmsg(self, bufsize, ancbufsize, flags),
            lambda value: (len(value[0]), value[2], value[3]),
        )  # fmt: skip

    def recvmsg_into(
        self, buffers: Any, ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[int, list[tuple[int, int, bytes]], int, Any]:
        """As socket.recvmsg_into."""
        if not isinstance(buffers, list | tuple) and hasattr(buffers, "__iter__"):
            buffers = list(buffers)
        return self._received(
            "recvmsg_into", _total(buffers), flags,
            lambda: Plain.recvmsg_into(self, buffers, ancbufsize, flags),
            lambda value: (value[0], value[2], value[3]),
        )  # fmt: skip

    def _received(
        self, op: str, requested: object, flags: object, call: Callable[[], T],
        parts: Callable[[T], tuple[int, int, Any]],
    ) -> T:  # fmt: skip
        """A call whose result holds a count, flags and the sender's address."""
        inside = self._enter(op, requested, flags)
        try:
            value = call()
        except BaseException as error:
            self._fail(inside, error)
            raise
        if inside is not None:
            now_ns = time_ns()
            count, reported, sender = parts(value)
            named = sender is not None and sender != ()
            journal = self._journal
            journal.leave(
                inside, self._state, count, returned_ns=now_ns,
                flags=reported & (MSG_TRUNC | MSG_CTRUNC),
                address=address_text(self.family, sender) if named else None,
                sample=journal.sample_calls,
            )  # fmt: skip
        return value

    # -- options and the end ---------------------------------------------------------------------

    def setsockopt(self, *arguments: Any) -> None:
        """As socket.setsockopt."""
        text = setsockopt_text(*arguments) if 3 <= len(arguments) <= 4 else ""
        self._simple("setsockopt", lambda: Plain.setsockopt(self, *arguments), text)

    def shutdown(self, how: int, /) -> None:
        """As socket.shutdown."""
        text = SHUTDOWN.get(how, str(how))
        self._simple("shutdown", lambda: Plain.shutdown(self, how), text, sample=True)

    def dup(self) -> TracedSocket:
        """As socket.dup; the new object is traced as well."""
        inside = self._enter("dup", sample=False)
        try:
            fd = _socket.dup(self.fileno())
        except BaseException as error:
            self._fail(inside, error)
            raise
        now_ns = time_ns()
        sock = type(self)(self._journal, self.family, self.type, self.proto, fileno=fd)
        sock.settimeout(self.gettimeout())
        state = self._state
        if inside is not None and state is not None:
            sock.watch(local=state.local, peer=state.peer)
            self._journal.leave(inside, state, fd, returned_ns=now_ns)
        return sock

    def detach(self) -> int:
        """As socket.detach: the descriptor lives on, no longer traced."""
        inside, state = self._enter("detach", sample=False), self._state
        fd = super().detach()
        self._forget(detached=True)
        if inside is not None:
            self._journal.leave(inside, state, fd)
        return fd

    def _real_close(self, _ss: Any = _socket.socket) -> None:
        self._close(lambda: _ss.close(self), "")

    def _close(self, close: Callable[[], None], note: str) -> None:
        state, journal = self._state, self._journal
        inside = None
        if state is not None:
            sampled = journal.sample_calls or journal.sample_events
            inside = journal.enter(OP["close"], state, args=note, sample=sampled)
            self._forget()
        try:
            close()
        except BaseException as error:
            if inside is not None:
                journal.fail(inside, state, error)
            raise
        if inside is not None:
            journal.leave(inside, state, 0, gone=True)

    def __del__(self) -> None:
        plain = super().__del__  # type: ignore[misc]
        if getattr(self, "_state", None) is None:
            plain()
            return
        self._close(plain, "garbage collected")


_UNDER_WAY = (errno.EINPROGRESS, errno.EALREADY, errno.EAGAIN)


def _size(data: object) -> int | None:
    """Bytes in a buffer; None when it is none (the plain call will say so)."""
    if type(data) is bytes:
        return len(data)
    try:
        with memoryview(data) as view:  # type: ignore[arg-type]
            return view.nbytes
    except TypeError:
        return None


def _total(buffers: object) -> int | None:
    if not isinstance(buffers, list | tuple):
        return None
    sizes = [_size(item) for item in buffers]
    return None if None in sizes else sum(size for size in sizes if size is not None)


def _moved(file: Any, offset: int) -> int | None:
    try:
        return max(0, int(file.tell()) - offset)
    except Exception:
        return None
