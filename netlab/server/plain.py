"""Sockets and pollers straight from the standard library: the server core when nobody watches."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterable
from socket import socket as Socket  # noqa: N812
from typing import Any


class PlainProbe:
    """A `netlab.model.probe.Probe` that records nothing."""

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A new socket."""
        return socket.socket(family, kind, protocol)

    def epoll(self) -> select.epoll:
        """A new epoll descriptor."""
        return select.epoll()

    def poll(self) -> Any:
        """A new poll object."""
        return select.poll()

    def select(
        self, readers: Iterable[Any], writers: Iterable[Any], exceptional: Iterable[Any],
        timeout: float | None = None,
    ) -> tuple[list[Any], list[Any], list[Any]]:  # fmt: skip
        """As `select.select`."""
        return select.select(readers, writers, exceptional, timeout)

    def sendfile(self, sock: Socket, file: int, offset: int, count: int, /) -> int:
        """As `os.sendfile`."""
        return os.sendfile(sock.fileno(), file, offset, count)
