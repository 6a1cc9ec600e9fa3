"""What the server core asks of whoever watches its calls: sockets, pollers, pipes, and notes.

The server never knows whether it is watched. `lab` hands it a `Probe`; alone it makes its own
from the standard library. The socket objects have the interface of `socket.socket`. For objects
that are neither sockets nor pipes (message queues, shared memory, event counters) the server makes
the call itself, through `Notes.call`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    import select as plain_select
    from socket import socket as Socket  # noqa: N812

T = TypeVar("T")
SendAbout = Callable[["bytes | memoryview", int], int]


class Poll(Protocol):
    """A poll object, as select.poll makes it."""

    def register(self, fd: Any, eventmask: int = ..., /) -> None:
        """Watch a descriptor."""
        ...

    def modify(self, fd: Any, eventmask: int, /) -> None:
        """Watch it for other events."""
        ...

    def unregister(self, fd: Any, /) -> None:
        """Watch it no more."""
        ...

    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]:
        """Wait, at most `timeout` milliseconds."""
        ...


class PipeEnd(Protocol):
    """One end of a pipe that does not block: os.read, os.write, os.close on its descriptor."""

    def fileno(self) -> int:
        """The descriptor; -1 once closed."""
        ...

    def read(self, size: int, /) -> bytes:
        """As os.read."""
        ...

    def write(self, data: bytes | memoryview, about: int = 0, /) -> int:
        """As os.write; `about` is the inode of the socket that the bytes are about, 0 for none."""
        ...

    def close(self) -> None:
        """As os.close; once."""
        ...


class Notes(Protocol):
    """Notes the calls made on one object that is no socket."""

    def call(self, op: str, requested: int | None, function: Callable[[], T], about: int = 0) -> T:
        """Make the call and note it. Its result is what a caller of the kernel would get: a number,
        or bytes whose length is that number, or None for 0; BlockingIOError, whoever raised it, is
        EAGAIN."""
        ...


class Probe(Protocol):
    """Makes the sockets, pollers and pipes that a program uses."""

    def socket(self, family: int, kind: int, protocol: int = 0) -> Socket:
        """A new socket, as `socket.socket` makes it."""
        ...

    def socketpair(self, family: int, kind: int, protocol: int = 0) -> tuple[Socket, Socket]:
        """Two sockets connected to each other, as `socket.socketpair` makes them."""
        ...

    def adopt(self, sock: Socket) -> Socket:
        """Take over a socket that came from elsewhere; `sock` is not to be used any more."""
        ...

    def maybe_send_about(self, sock: Socket) -> SendAbout | None:
        """`sock.send` that also notes what the bytes are about; None where nobody notes it."""
        ...

    def epoll(self) -> plain_select.epoll:
        """A new epoll descriptor, as `select.epoll` makes it."""
        ...

    def poll(self) -> Poll:
        """A new poll object, as `select.poll` makes it."""
        ...

    def select(
        self,
        readers: Iterable[Any],
        writers: Iterable[Any],
        exceptional: Iterable[Any],
        timeout: float | None = None,
    ) -> tuple[list[Any], list[Any], list[Any]]:
        """As `select.select`."""
        ...

    def sendfile(self, sock: Socket, file: int, offset: int, count: int, /) -> int:
        """One sendfile(2) from the descriptor `file` to a socket, as `os.sendfile`."""
        ...

    def pipe(self) -> tuple[PipeEnd, PipeEnd]:
        """A new pipe: the end to read from, the end to write to. Neither blocks."""
        ...

    def adopt_pipe(self, fd: int) -> PipeEnd:
        """An end of a pipe that came from elsewhere as a bare descriptor."""
        ...

    def notes(self, kind: str, identity: int, fd: int | None = None) -> Notes:
        """Where to note the calls on an object that is no socket: `kind` is mqueue, sysv, ring or
        eventfd, `identity` a number that both ends know it by (and no other object of its kind
        has), `fd` a descriptor that is readable when there is something to take from it."""
        ...

    def stand_in(self, fd: int, for_fd: int) -> None:
        """A poller that reports `fd` means what is behind `for_fd`; -1: `fd` is closed again."""
        ...

    def name_thread(self, actor: str) -> None:
        """The calling thread acts as this one from here on: `master/reactor-0`."""
        ...

    def leaving(self) -> None:
        """This process is about to end by os._exit, which runs nothing that could note it."""
        ...

    def name_child(self, actor: str) -> None:
        """The child of the next fork acts as this one: `worker-2`."""
        ...
