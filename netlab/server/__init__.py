"""The socket server core: reactor, connections, modes; watched or not.

`Server` is what programs use. Read on from `server` (the public face), `single` (the simplest
mode), `engine` (sockets by session), `connection` (one conversation), `reactor` (the loop). For
several processes: `roster` (who is on duty), `manager`, `switchboard`, `base`, `master`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netlab.server.server import Server as Server

__all__ = ["Server"]


def __getattr__(name: str) -> Any:
    """Import the server when it is asked for: its rooms are of use without it."""
    if name == "Server":
        from netlab.server.server import Server

        return Server
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
