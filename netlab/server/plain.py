"""Sockets and pollers straight from the standard library: the server core when nobody watches."""

from __future__ import annotations

import select
import socket


class PlainProbe:
    """A `netlab.model.probe.Probe` that records nothing."""

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A new socket."""
        return socket.socket(family, kind, protocol)

    def epoll(self) -> select.epoll:
        """A new epoll descriptor."""
        return select.epoll()
