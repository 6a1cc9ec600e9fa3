"""What the server core asks of whoever watches its socket calls: sockets and pollers to call.

The server never knows whether it is watched. `lab` hands it a `Probe`; alone it makes its own
from the standard library. The socket objects have the interface of `socket.socket`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import select
    import socket


class Probe(Protocol):
    """Makes the sockets and pollers that a program uses."""

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A new socket, as `socket.socket` makes it."""
        ...

    def epoll(self) -> select.epoll:
        """A new epoll descriptor, as `select.epoll` makes it."""
        ...
