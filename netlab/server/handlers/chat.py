"""chat: a line from one client goes to all the others, whichever worker serves them.

`server.clients()` and `server.send` know the sessions of all processes: a send to another worker's
session travels as a message between the processes (in `process` mode every send does). Names are
the session numbers: nothing is kept here, so a worker can be replaced at any time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netlab.server.handlers.settings import Settings
from netlab.server.terms import Closed

if TYPE_CHECKING:
    from netlab.server.server import Server

OPTIONS = {"framing": "terminator", "terminator": b"\n", "max_message": 4096}


def install(server: Server, settings: Settings) -> None:
    """Let the server be a chat room."""
    server.on("connect", connect)
    server.on("receive", receive)
    server.on("close", close)


def connect(server: Server, session: int) -> None:
    """Greet the new one, tell the others."""
    there = others(server, session)
    names = b":" + b"".join(b" %d" % other for other in there) if there else b""
    server.send(session, b"* you are %d, with %d others%s\n" % (session, len(there), names))
    tell_others(server, session, b"* %d is here\n" % session)


def receive(server: Server, session: int, data: bytes) -> None:
    """One line for everybody else."""
    tell_others(server, session, b"%d: %s\n" % (session, data.rstrip(b"\r\n")))


def close(server: Server, session: int, closed: Closed) -> None:
    """Say who left."""
    tell_others(server, session, b"* %d has left\n" % session)


def others(server: Server, session: int) -> list[int]:
    """All sessions but one."""
    return [other for other in server.clients() if other != session]


def tell_others(server: Server, session: int, line: bytes) -> None:
    """One who does not read misses lines once its output buffer is full; the others do not."""
    for other in others(server, session):
        server.send(other, line)
