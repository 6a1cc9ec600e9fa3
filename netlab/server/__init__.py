"""The socket server core: reactor, connections, modes; watched or not.

`Server` is what programs use. Its rooms: `settings` (what it can be told), `loop` (waiting),
`sockets` (one process's connections), `shared` (what processes have in common), `channels` and
`messages` (how they talk), `family` (their roles), `pages` (what it shows of itself), `handlers`
(what it may do). Read `server` (the public face) and `single` (the simplest mode) first, then
`sockets.connection`, `loop.reactor`, and for several processes `family.roster`.
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
