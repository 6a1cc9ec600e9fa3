"""echo (RFC 862): gives back what it gets, byte for byte, in TCP and in UDP.

An answer that the server refuses (the client does not read, and its output buffer is full) would
leave a hole in the echo, so the connection is reset instead: a client must never take a part of an
echo for the whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netlab.server.handlers.settings import Settings
from netlab.server.terms import Client

if TYPE_CHECKING:
    from netlab.server.server import Server


def install(server: Server, settings: Settings) -> None:
    """Let the server be an echo server."""
    server.on("receive", receive)
    server.on("packet", packet)


def receive(server: Server, session: int, data: bytes) -> None:
    """Send it back."""
    if not server.send(session, data):
        server.close(session, reset=True)


def packet(server: Server, data: bytes, client: Client) -> None:
    """Send it back; what the send buffer has no room for is lost, as datagrams are."""
    server.sendto(client, data)
