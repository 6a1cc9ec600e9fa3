"""Sockets, pollers and pipes straight from the system: the server core when nobody watches."""

from __future__ import annotations

import os
import select as plain_select
import socket as plain
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


class PlainPipeEnd:
    """One end of a pipe."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        """The descriptor; -1 once closed."""
        return self._fd

    def read(self, size: int, /) -> bytes:
        """As os.read."""
        return os.read(self._fd, size)

    def write(self, data: bytes | memoryview, about: int = 0, /) -> int:
        """As os.write."""
        return os.write(self._fd, data)

    def close(self) -> None:
        """As os.close; once."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class _NoNotes:
    """Makes the calls and notes nothing."""

    __slots__ = ()

    def call(
        self, op: str, requested: int | None, function: Callable[[], T], about: int = 0
    ) -> T:  # fmt: skip
        """Make the call."""
        return function()


class PlainProbe:
    """A `netlab.model.probe.Probe` that records nothing."""

    def socket(self, family: int, kind: int, protocol: int = 0) -> plain.socket:
        """A new socket."""
        return plain.socket(family, kind, protocol)

    def socketpair(
        self, family: int, kind: int, protocol: int = 0
    ) -> tuple[plain.socket, plain.socket]:
        """Two sockets connected to each other."""
        return plain.socketpair(family, kind, protocol)

    def adopt(self, sock: plain.socket) -> plain.socket:
        """The socket as it is."""
        return sock

    def maybe_send_about(self, sock: plain.socket) -> None:
        """Nobody notes what bytes are about."""

    def epoll(self) -> plain_select.epoll:
        """A new epoll descriptor."""
        return plain_select.epoll()

    def poll(self) -> plain_select.poll:
        """A new poll object."""
        return plain_select.poll()

    def select(
        self,
        readers: Iterable[Any],
        writers: Iterable[Any],
        exceptional: Iterable[Any],
        timeout: float | None = None,
    ) -> tuple[list[Any], list[Any], list[Any]]:
        """As select.select."""
        return plain_select.select(readers, writers, exceptional, timeout)

    def sendfile(self, sock: plain.socket, file: int, offset: int, count: int, /) -> int:
        """As os.sendfile."""
        return os.sendfile(sock.fileno(), file, offset, count)

    def pipe(self) -> tuple[PlainPipeEnd, PlainPipeEnd]:
        """A new pipe: the end to read from, the end to write to."""
        reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        return PlainPipeEnd(reader), PlainPipeEnd(writer)

    def adopt_pipe(self, fd: int) -> PlainPipeEnd:
        """An end of a pipe that came from elsewhere."""
        return PlainPipeEnd(fd)

    def notes(self, kind: str, identity: int, fd: int | None = None) -> _NoNotes:
        """Makes the calls and notes nothing."""
        return _NoNotes()

    def stand_in(self, fd: int, for_fd: int) -> None:
        """Matters to a recording only."""

    def name_thread(self, actor: str) -> None:
        """Names matter to a recording only."""

    def name_child(self, actor: str) -> None:
        """Names matter to a recording only."""
