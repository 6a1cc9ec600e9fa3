"""A port that nobody listens at, and that nobody else is given meanwhile."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def held_port() -> Iterator[int]:
    """A TCP port of 127.0.0.1: connecting to it is refused, until a server listens there.

    A socket that is bound and does not listen keeps others from it, but not who asks for that very
    port with SO_REUSEADDR, as a server does (man 7 socket).
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])
