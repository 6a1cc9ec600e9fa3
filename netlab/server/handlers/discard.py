"""discard (RFC 863): reads everything and answers nothing.

Good for measuring how fast a client can send: the ladder shows one direction, and only bare ACKs in
the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netlab.server.handlers.settings import Settings
from netlab.server.terms import Client

if TYPE_CHECKING:
    from netlab.server.server import Server


def install(server: Server, settings: Settings) -> None:
    """Let the server swallow what it gets."""
    server.on("receive", receive)
    server.on("packet", packet)


def receive(server: Server, session: int, data: bytes) -> None:
    """Nothing."""


def packet(server: Server, data: bytes, client: Client) -> None:
    """Nothing."""
