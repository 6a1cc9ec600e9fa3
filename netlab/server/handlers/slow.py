"""slow: answers each message with the message itself, cut into pieces, with a pause before each.

The pauses are timers: between two pieces the server sleeps in its poller and serves others. A
client sees its `recv` return a few bytes again and again, each time after the pause, and nothing
tells it how many times more: a stream has no messages.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from netlab.server.handlers.settings import Settings
from netlab.server.terms import Closed

if TYPE_CHECKING:
    from netlab.server.server import Server


def install(server: Server, settings: Settings) -> None:
    """Let the server take its time."""
    slow = _Slow(settings.pauses_s)
    server.on("receive", slow.receive)
    server.on("close", slow.close)


class _Slow:
    """The pieces that each session still has to get, and the pause before each.

    In threads a message comes in its connection's thread and a pause ends in the main one: what is
    in line is looked at and changed under a lock, which is never held while something is sent.
    """

    def __init__(self, pauses_s: tuple[float, ...]) -> None:
        self._pauses_s = pauses_s
        self._lock = threading.Lock()
        self._waiting: dict[int, deque[tuple[float, bytes]]] = {}

    def receive(self, server: Server, session: int, data: bytes) -> None:
        """Put the pieces in line, and begin if nobody is at it."""
        with self._lock:
            waiting = self._waiting.setdefault(session, deque())
            begin = not waiting
            waiting.extend(zip(self._pauses_s, pieces(data, len(self._pauses_s)), strict=False))
        if begin:
            self._pause(server, session)

    def close(self, server: Server, session: int, closed: Closed) -> None:
        """What has not been sent is forgotten."""
        with self._lock:
            self._waiting.pop(session, None)

    def _pause(self, server: Server, session: int) -> None:
        with self._lock:
            waiting = self._waiting.get(session)
            pause_s = waiting[0][0] if waiting else None
        if pause_s is not None:
            server.after(pause_s, lambda: self._send(server, session))

    def _send(self, server: Server, session: int) -> None:
        with self._lock:
            waiting = self._waiting.get(session)
            piece = waiting[0][1] if waiting else None
        if waiting is None or piece is None:
            return
        server.send(session, piece)
        with self._lock:  # until now it stood in line: a message that came found somebody at it
            waiting.popleft()
            go_on = bool(waiting)
        if go_on:
            self._pause(server, session)


def pieces(data: bytes, count: int) -> list[bytes]:
    """`data` in at most `count` pieces, none empty, as equal as can be."""
    size = -(-len(data) // count)
    return [data[at : at + size] for at in range(0, len(data), size)]
