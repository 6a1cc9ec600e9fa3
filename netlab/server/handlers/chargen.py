"""chargen (RFC 864): sends lines of rotating characters to whoever connects, up to a limit, closes.

A client that does not read shows backpressure: the server hands over what its output buffer takes,
is refused, and goes on when `buffer_empty` says that the client has read. In UDP the answer is
never longer than the question, else anyone could aim our answers at somebody else.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from netlab.server.handlers.settings import Settings
from netlab.server.terms import Client, SendError

if TYPE_CHECKING:
    from netlab.server.server import Server

LINE_LENGTH = 72
PIECE_BYTES = 1 << 16
_PRINTABLE = bytes(range(0x20, 0x7F))
_LINES = b"".join(
    (_PRINTABLE + _PRINTABLE)[first : first + LINE_LENGTH] + b"\r\n"
    for first in range(len(_PRINTABLE))
)


def characters(start: int, stop: int) -> bytes:
    """The bytes `start..stop` of the endless pattern."""
    first = start % len(_LINES)
    repeats = (first + stop - start) // len(_LINES) + 1
    return (_LINES * repeats)[first : first + stop - start]


def install(server: Server, settings: Settings) -> None:
    """Let the server generate characters."""
    sent: dict[int, int] = {}  # by session: how far it is
    server.on("connect", partial(go_on, sent, settings.limit_bytes))
    server.on("buffer_empty", partial(go_on, sent, settings.limit_bytes))
    server.on("close", lambda server, session, closed: sent.pop(session, None))
    server.on("receive", receive)
    server.on("packet", packet)


def go_on(sent: dict[int, int], limit_bytes: int, server: Server, session: int) -> None:
    """Send as much as is taken; at the end, close (which waits for the output)."""
    at = sent.setdefault(session, 0)
    while at < limit_bytes:
        stop = min(limit_bytes, at + PIECE_BYTES)
        if not server.send(session, characters(at, stop)):
            if server.last_error is not SendError.OUTPUT_BUFFER_OVERFLOW:
                server.close(session)
            return
        at = sent[session] = stop
    server.close(session)


def receive(server: Server, session: int, data: bytes) -> None:
    """What clients say is thrown away."""


def packet(server: Server, data: bytes, client: Client) -> None:
    """As many characters as the question had."""
    server.sendto(client, characters(0, len(data)))
