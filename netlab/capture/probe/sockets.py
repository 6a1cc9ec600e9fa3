"""The traced socket: socket.socket whose calls are noted in a journal, and nothing else changed.

Arguments, results, exceptions, time-outs and blocking are those of the plain socket: each method
notes the entry, makes the plain call exactly once, and notes the return. Whatever goes wrong with
the notes stays inside the journal.

Read first: Lib/socket.py and Modules/socketmodule.c of CPython 3.11 (sock_call_ex, sock_sendall).
"""

from __future__ import annotations

import _socket
import errno
import os
import select
import socket
from collections.abc import Callable
from itertools import starmap
from time import monotonic, time_ns
from typing import Any, TypeVar

from netlab.capture.probe.addresses import (
    address_text,
    is_numeric,
    looked_up,
    maybe_local,
    maybe_peer,
    maybe_unix_peer_inode,
    maybe_unix_peer_pid,
)  # fmt: skip
from netlab.capture.probe.amounts import moved_in, size_of, total_of
from netlab.capture.probe.framed import FramedSocket
from netlab.capture.probe.layout import OP
from netlab.capture.probe.options import SHUTDOWN, segment_text, setsockopt_text

T = TypeVar("T")
Plain = socket.socket

_GIVE_UP: type[Exception] = socket._GiveupOnSendfile  # type: ignore[attr-defined]


class TracedSocket(FramedSocket):
    """A socket whose calls go into `journal`."""

    __slots__ = ()

    # -- from nothing to a connection ------------------------------------------------------------

    def connect(self, address: Any, /) -> None:
        """As socket.connect."""
        self._connect("connect", address, Plain.connect)

    def connect_ex(self, address: Any, /) -> int:
        """As socket.connect_ex: an errno instead of an exception."""
        return self._connect("connect", address, Plain.connect_ex)

    def _connect(self, op: str, address: Any, call: Callable[[Any, Any], T]) -> T:
        text = address_text(self.family, address)
        known = text if is_numeric(self.family, address) else None
        inside = self._enter(op, args=text, address=known)
        found = None  # where the name leads to, if it is one
        try:
            if inside is not None and known is None:
                address, found = self._look_up(address)
            value = call(self, address)
        except BaseException as error:
            if inside is not None:
                refused = isinstance(error, OSError) and error.errno not in (None, *_UNDER_WAY)
                self._learn(peer=None if refused else known or found)
                self._fail(inside, error, address=found)
            raise
        if inside is None:
            return value
        now_ns = time_ns()
        code = value if isinstance(value, int) else 0
        journal = self._journal
        if code:
            if code in _UNDER_WAY and (known or found):
                self._learn(peer=known or found)
            journal.leave(inside, self._state, None, returned_ns=now_ns, code=code, address=found)
            return value
        peer = maybe_peer(self) or found or text
        self._learn(peer=peer)
        inodes = None
        if self.family == socket.AF_UNIX:
            inodes = (0, maybe_unix_peer_inode(self._inode) or 0)
        journal.leave(
            inside, self._state, 0, returned_ns=now_ns, inodes=inodes,
            address=peer if known is None else None, sample=journal.sample_calls,
        )  # fmt: skip
        return value

    def _look_up(self, address: Any) -> tuple[Any, str | None]:
        """The address with a number for its host's name, and as text; None where it has no number.

        Raises what the plain call raises for a name that nobody knows.
        """
        address = looked_up(self.family, address)
        numeric = is_numeric(self.family, address)
        return address, address_text(self.family, address) if numeric else None

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
        results: list[tuple[int, Any]] = []
        try:
            results.extend(map(Plain._accept, (self,)))  # type: ignore[attr-defined]
            now_ns = time_ns()
        except BaseException as error:
            self._fail(inside, error, results[0][0] if results else None, sample=False)
            raise
        fd, address = results[0]
        sock = type(self)(self._journal, self.family, self.type, self.proto, fileno=fd)
        if socket.getdefaulttimeout() is None and self.gettimeout():
            sock.setblocking(True)  # as socket.accept does
        if inside is not None:
            peer = address_text(self.family, address)
            sock.watch(local=maybe_local(sock), peer=peer)
            far, note = None, ""
            if self.family == socket.AF_UNIX:
                far = maybe_unix_peer_inode(sock._inode)
                if far is None:  # it was closed meanwhile
                    note = f"peer pid {maybe_unix_peer_pid(sock) or 'unknown'}"
            self._journal.leave(
                inside, self._state, fd, returned_ns=now_ns, address=peer,
                inodes=(sock._inode, far or 0), note=note,
            )  # fmt: skip
        return sock, address

    # -- bytes out -------------------------------------------------------------------------------

    def send(self, data: Any, flags: int = 0, /) -> int:
        """As socket.send."""
        return self._counted("send", size_of(data), Plain.send, (data, flags), int)

    def send_about(self, data: Any, about: int, /) -> int:
        """As socket.send; the bytes are about the socket with this inode."""
        return self._counted("send", size_of(data), Plain.send, (data, 0), int, about)

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """As socket.sendall; its result in the journal is what the kernel took, even on failure."""
        inside = self._enter("sendall", size_of(data), flags)
        if inside is None:
            return Plain.sendall(self, data, flags)
        sent = [0]
        try:
            self._send_all(data, flags, sent)
        except BaseException as error:
            self._fail(inside, error, sent[0], partial=True)
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
        self._be_patient("sendall")
        with view:
            total = len(view)
            for count in map(Plain.send, (self,), (view,), (flags,)):
                sent[0] = count
                break
            while sent[0] < total:
                if deadline is not None:
                    self._await_room(deadline - monotonic())
                with view[sent[0] :] as rest:
                    for count in map(Plain.send, (self,), (rest,), (flags,)):  # see _received
                        sent[0] += count
                        break

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
        size = size_of(data)
        return self._addressed(
            "sendto", size, flags, to, Plain.sendto, (data, *rest[:-1]), rest[-1:]
        )

    def sendmsg(
        self, buffers: Any, ancdata: Any = (), flags: int = 0, address: Any = None, /
    ) -> int:
        """As socket.sendmsg."""
        if not isinstance(buffers, list | tuple) and hasattr(buffers, "__iter__"):
            buffers = list(buffers)
        note = segment_text(ancdata) if ancdata else ""
        return self._addressed(
            "sendmsg", total_of(buffers), flags, address, Plain.sendmsg, (buffers, ancdata, flags),
            (address,), note,
        )  # fmt: skip

    def _addressed(
        self, op: str, requested: int | None, flags: object, to: Any,
        function: Callable[..., int], arguments: tuple[Any, ...], last: tuple[Any, ...],
        note: str = "",
    ) -> int:  # fmt: skip
        """`last`: the address once more, as an argument; empty where none was given."""
        text = None if to is None else address_text(self.family, to)
        args = ", ".join(part for part in (text, note) if part)
        named = to is not None and not is_numeric(self.family, to)
        inside = self._enter(op, requested, flags, args=args, address=None if named else text)
        results: list[int] = []
        found = None  # where a name leads to
        try:
            # Wrong data or flags are found wrong before a name is looked up.
            if named and inside is not None and requested is not None and isinstance(flags, int):
                to, found = self._look_up(to)
                last = (to,)
            self._be_patient(op)
            results.extend(starmap(function, ((self, *arguments, *last),)))  # see _received
            now_ns = time_ns()
        except BaseException as error:
            self._fail(inside, error, results[0] if results else None, address=found)
            raise
        if inside is not None:
            state, journal = self._state, self._journal
            if state is not None and state.local is None and to is not None:
                self._learn()  # the first datagram chose a port
            journal.leave(
                inside, self._state, results[0], returned_ns=now_ns, address=found,
                sample=journal.sample_calls,
            )  # fmt: skip
        return results[0]

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
                self._fail(inside, error, moved_in(file, offset), partial=True)
            raise
        if inside is not None:
            self._journal.leave(inside, self._state, total, sample=self._journal.sample_calls)
        return total

    def sendfile_once(self, file: int, offset: int, count: int) -> int:
        """As os.sendfile from the descriptor `file` to this socket."""
        return self._counted("sendfile", count, _sendfile, (file, offset, count, 0), int)

    # -- bytes in --------------------------------------------------------------------------------

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """As socket.recv."""
        return self._counted("recv", bufsize, Plain.recv, (bufsize, flags), len)

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """As socket.recv_into."""
        requested = nbytes or size_of(buffer)
        return self._counted("recv_into", requested, Plain.recv_into, (buffer, nbytes, flags), int)

    def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, Any]:
        """As socket.recvfrom."""
        return self._received(
            "recvfrom", bufsize, Plain.recvfrom, (bufsize, flags),
            lambda value: (len(value[0]), 0, value[1]),
        )  # fmt: skip

    def recvfrom_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> tuple[int, Any]:
        """As socket.recvfrom_into."""
        return self._received(
            "recvfrom_into", nbytes or size_of(buffer), Plain.recvfrom_into,
            (buffer, nbytes, flags), lambda value: (value[0], 0, value[1]),
        )  # fmt: skip

    def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[bytes, list[tuple[int, int, bytes]], int, Any]:
        """As socket.recvmsg."""
        return self._received(
            "recvmsg", bufsize, Plain.recvmsg, (bufsize, ancbufsize, flags),
            lambda value: (len(value[0]), value[2], value[3]),
        )  # fmt: skip

    def recvmsg_into(
        self, buffers: Any, ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[int, list[tuple[int, int, bytes]], int, Any]:
        """As socket.recvmsg_into."""
        if not isinstance(buffers, list | tuple) and hasattr(buffers, "__iter__"):
            buffers = list(buffers)
        return self._received(
            "recvmsg_into", total_of(buffers), Plain.recvmsg_into, (buffers, ancbufsize, flags),
            lambda value: (value[0], value[2], value[3]),
        )  # fmt: skip

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
            if inside is not None:  # close(2) lets go of the descriptor even when it fails
                journal.fail(inside, state, error, result=0 if self.fileno() < 0 else None)
            raise
        if inside is not None:
            journal.leave(inside, state, 0, gone=True)

    def __del__(self) -> None:
        plain = super().__del__  # type: ignore[misc]
        if getattr(self, "_state", None) is None:
            plain()
            return
        self._close(plain, "garbage collected")


def _sendfile(sock: socket.socket, file: int, offset: int, count: int, flags: int) -> int:
    return os.sendfile(sock.fileno(), file, offset, count)


_UNDER_WAY = (errno.EINPROGRESS, errno.EALREADY, errno.EAGAIN)
