"""upper: gives back what it gets in capitals (ASCII only, so that no byte is split or added).

Like echo, but an answer can be told from its question in a capture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netlab.server.handlers.settings import Settings
from netlab.server.terms import Client

if TYPE_CHECKING:
    from netlab.server.server import Server


def install(server: Server, settings: Settings) -> None:
    """Let the server shout."""
    server.on("receive", receive)
    server.on("packet", packet)


def receive(server: Server, session: int, data: bytes) -> None:
    """The same bytes, a..z as A..Z."""
    if not server.send(session, data.upper()):
        server.close(session, reset=True)


def packet(server: Server, data: bytes, client: Client) -> None:
    """The same for a datagram."""
    server.sendto(client, data.upper())
