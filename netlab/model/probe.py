"""What the server core asks of whoever watches its socket calls: sockets and pollers to call.

The server never knows whether it is watched. `lab` hands it a `Probe`; alone it makes its own
from the standard library. The socket objects have the interface of `socket.socket`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import select
    import socket
    from socket import socket as Socket  # noqa: N812


class Probe(Protocol):
    """Makes the sockets and pollers that a program uses."""

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A new socket, as `socket.socket` makes it."""
        ...

    def epoll(self) -> select.epoll:
        """A new epoll descriptor, as `select.epoll` makes it."""
        ...

    def poll(self) -> Any:
        """A new poll object, as `select.poll` makes it."""
        ...

    def select(
        self, readers: Iterable[Any], writers: Iterable[Any], exceptional: Iterable[Any],
        timeout: float | None = None,
    ) -> tuple[list[Any], list[Any], list[Any]]:  # fmt: skip
        """As `select.select`."""
        ...

    def sendfile(self, sock: Socket, file: int, offset: int, count: int, /) -> int:
        """One sendfile(2) from the descriptor `file` to a socket, as `os.sendfile`."""
        ...
