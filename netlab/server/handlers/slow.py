"""slow: answers each message with the message itself, cut into pieces, with a pause before each.

The pauses are timers: between two pieces the server sleeps in its poller and serves others. A
client sees its `recv` return a few bytes again and again, each time after the pause, and nothing
tells it how many times more: a stream has no messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from netlab.server.handlers.settings import Settings

if TYPE_CHECKING:
    from netlab.server.server import Server


def install(server: Server, settings: Settings) -> None:
    """Let the server take its time."""

    def receive(server: Server, session: int, data: bytes) -> None:
        due_s = 0.0
        for pause_s, piece in zip(settings.pauses_s, pieces(data, len(settings.pauses_s))):
            due_s += pause_s
            server.after(due_s, lambda piece=piece: server.send(session, piece))  # type: ignore[misc]

    server.on("receive", receive)


def pieces(data: bytes, count: int) -> Iterator[bytes]:
    """`data` in at most `count` pieces, none empty, as equal as can be."""
    size = -(-len(data) // count)
    return (data[at : at + size] for at in range(0, len(data), size))
