"""Servers ready to start, each a file to be studied: `install(server, settings)` adds callbacks.

`HANDLERS` is the list of all. Read `echo` first, then `upper`, `daytime`, `slow`, `rpc`, `http`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from netlab.model.errors import UsageError
from netlab.server.handlers import (
    bad,
    chargen,
    chat,
    daytime,
    discard,
    echo,
    http,
    rpc,
    slow,
    stuck,
    upper,
    websocket,
)
from netlab.server.handlers.settings import Settings

if TYPE_CHECKING:
    from netlab.server.server import Server

__all__ = ["HANDLERS", "Handler", "Settings", "handler_named"]


@dataclass(frozen=True, slots=True)
class Handler:
    """One kind of server."""

    name: str
    teaches: str  # one line
    install: Callable[[Server, Settings], None]
    options: Mapping[str, Any] = field(default_factory=dict)  # of the server; users' count first
    datagrams: bool = False  # whether it answers UDP too


HANDLERS = {
    handler.name: handler
    for handler in (
        Handler("echo", "gives back every byte", echo.install, datagrams=True),
        Handler("discard", "reads all, answers nothing", discard.install, datagrams=True),
        Handler("chargen", "sends until a limit: backpressure", chargen.install, datagrams=True),
        Handler("daytime", "one line, and the server closes first", daytime.install,
                datagrams=True),
        Handler("upper", "answers in capitals", upper.install, datagrams=True),
        Handler("http", "files by sendfile, keep-alive", http.install, http.OPTIONS),
        Handler("websocket", "frames after an upgrade", websocket.install, websocket.OPTIONS),
        Handler("chat", "one client's line to all others", chat.install, chat.OPTIONS),
        Handler("rpc", "length-prefixed JSON, timers, tasks", rpc.install, rpc.OPTIONS),
        Handler("slow", "pieces with pauses: a stream has no messages", slow.install),
        Handler("stuck", "never reads: the window closes", stuck.install),
        Handler("bad", "closes on unread bytes: RST", bad.install),
    )
}  # fmt: skip


def handler_named(name: str) -> Handler:
    """The handler; UsageError where there is none of that name."""
    if name not in HANDLERS:
        raise UsageError(f"there is no handler {name!r}", f"there is {', '.join(HANDLERS)}")
    return HANDLERS[name]
