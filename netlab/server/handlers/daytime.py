"""daytime (RFC 867): tells each client the time in one line, and closes.

The smallest server that closes first: the ladder ends with the server's FIN, and the server's end
is the one that goes through TIME-WAIT.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from netlab.server.handlers.settings import Settings
from netlab.server.terms import Client

if TYPE_CHECKING:
    from netlab.server.server import Server


def install(server: Server, settings: Settings) -> None:
    """Let the server tell the time."""
    server.on("connect", connect)
    server.on("receive", receive)
    server.on("packet", packet)


def line() -> bytes:
    """The time here, such as `2026-08-17 09:30:00 +0200`."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z\r\n").encode()


def connect(server: Server, session: int) -> None:
    """One line, and the end."""
    server.send(session, line())
    server.close(session)


def receive(server: Server, session: int, data: bytes) -> None:
    """Clients have nothing to say here."""


def packet(server: Server, data: bytes, client: Client) -> None:
    """Any datagram is a question."""
    server.sendto(client, line())
