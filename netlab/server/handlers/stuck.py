"""stuck: accepts, and never reads.

The client's bytes fill the receive buffer here, the window that the server advertises shrinks to
0, the client's send buffer fills, and its `send` blocks: flow control, end to end. The server
cannot see that a client has gone, either: the FIN waits behind bytes that nobody reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netlab.server.handlers.settings import Settings

if TYPE_CHECKING:
    from netlab.server.server import Server


def install(server: Server, settings: Settings) -> None:
    """Let the server be deaf."""
    server.on("connect", connect)
    server.on("receive", receive)


def connect(server: Server, session: int) -> None:
    """Stop listening to this client before its first byte."""
    server.pause(session)


def receive(server: Server, session: int, data: bytes) -> None:
    """What came before the pause took hold."""
