"""bad: says goodbye and closes while the client's bytes are still unread.

The kernel then sends RST, not FIN (RFC 2525, 2.17): the client learns that its bytes were lost, and
may lose the goodbye with them. A client that sent nothing gets an ordinary FIN. What to do instead:
half-close, read to the end, then close.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netlab.server.handlers.settings import Settings

if TYPE_CHECKING:
    from netlab.server.server import Server

GOODBYE = b"goodbye\r\n"
PATIENCE_S = 0.2  # for the client's first bytes to arrive unread


def install(server: Server, settings: Settings) -> None:
    """Let the server have no manners."""
    server.on("connect", connect)
    server.on("receive", receive)


def connect(server: Server, session: int) -> None:
    """Read nothing; a little later talk and leave."""

    def leave() -> None:
        server.send(session, GOODBYE)
        server.close(session)

    server.pause(session)
    server.after(PATIENCE_S, leave)


def receive(server: Server, session: int, data: bytes) -> None:
    """What came before the pause took hold."""
