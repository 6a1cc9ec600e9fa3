"""What can be done with sessions of this process: each verb finds its connection, or says why not.

The half of `engine.Engine` that callbacks use; it has the state that the verbs need. A verb returns
False when it does not take effect, and `last_error` says why. Read first: connection.py.
"""

from __future__ import annotations

import os
import stat
import time

from netlab.server.shared.sessions import SessionTable
from netlab.server.sockets.connection import Connection
from netlab.server.sockets.datagrams import Datagrams
from netlab.server.sockets.entrance import Entrance
from netlab.server.terms import Client, ClientInfo, CloseReason, SendError


class Verbs:
    """Connections by session, and entrances by number."""

    def __init__(self, sessions: SessionTable, name: str) -> None:
        self.name = name
        self.worker: int | None = None  # the number of this process, where it is a worker's
        self.sessions = sessions
        self.connections: dict[int, Connection] = {}
        self.entrances: list[Entrance] = []
        self.door: Verbs = self  # who accepts for us
        self._last_error: SendError | None = None

    @property
    def last_error(self) -> SendError | None:
        """Why the last verb returned False."""
        return self._last_error

    def send(self, session: int, data: bytes | bytearray | memoryview) -> bool:
        """Send or queue all of it, or nothing: then False, and `last_error` says why."""
        connection = self.connections.get(session)
        error = self._unknown(session) if connection is None else connection.send(data)
        if error is None:
            return True
        return self._refuse(error)

    def sendfile(
        self, session: int, path: str | os.PathLike[str], offset: int = 0, count: int | None = None
    ) -> bool:
        """Send a file, or a range of it, after what is queued."""
        connection = self.connections.get(session)
        if connection is None:
            return self._refuse(self._unknown(session))
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return self._refuse(SendError.NO_SUCH_FILE)
        found = os.fstat(descriptor)
        here = found.st_size - offset
        count = here if count is None else count
        if not stat.S_ISREG(found.st_mode) or offset < 0 or not 0 <= count <= here:
            os.close(descriptor)
            return self._refuse(SendError.NO_SUCH_FILE)
        error = connection.sendfile(descriptor, offset, count, lambda: os.close(descriptor))
        return error is None or self._refuse(error)

    def sendto(self, client: Client, data: bytes) -> bool:
        """Send a datagram from the entrance that the client wrote to."""
        entrances = self.entrances
        entrance = entrances[client.entrance] if client.entrance < len(entrances) else None
        if not isinstance(entrance, Datagrams) or entrance.closed:
            return self._refuse(SendError.NO_SUCH_CLIENT)
        error = entrance.send(data, client.address)
        return error is None or self._refuse(error)

    def close(self, session: int, reset: bool = False) -> bool:
        """Close after the output that is queued, or reset now and drop it."""
        connection = self.connections.get(session)
        if connection is None:
            return self._refuse(self._unknown(session))
        reason = CloseReason.LOCAL_RESET if reset else CloseReason.LOCAL
        return connection.end(reason, reset=reset) or self._refuse(SendError.SESSION_CLOSED)

    def half_close(self, session: int) -> bool:
        """Send no more after what is queued, but go on reading."""
        connection = self._open(session)
        return connection is not None and (
            connection.half_close() or self._refuse(SendError.SESSION_CLOSED)
        )

    def pause(self, session: int) -> bool:
        """Read no more from this client until `resume`."""
        connection = self._open(session)
        if connection is not None:
            connection.pause()
        return connection is not None

    def resume(self, session: int) -> bool:
        """Read again from this client."""
        connection = self._open(session)
        if connection is not None:
            connection.resume()
        return connection is not None

    def protect(self, session: int, on: bool = True) -> bool:
        """Let no time-out close this session, but that of its output."""
        connection = self._open(session)
        if connection is not None:
            connection.protected = on
        return connection is not None

    def bind(self, session: int, uid: int) -> bool:
        """Give the session a number of the user's own, which dispatch may go by."""
        connection = self._open(session)
        if connection is not None:
            connection.uid = uid
        return connection is not None

    def exists(self, session: int) -> bool:
        """Whether the session is there and not closed."""
        connection = self.connections.get(session)
        return connection is not None and connection.closed is None

    def client_info(self, session: int) -> ClientInfo | None:
        """What is known of a session; still there in its close callback."""
        connection = self.connections.get(session)
        if connection is None:
            self._refuse(self._unknown(session))
            return None
        since_s = time.time() - time.monotonic()

        def moment(at_s: float) -> float:
            return since_s + at_s if at_s else 0.0

        return ClientInfo(
            session=session,
            entrance=connection.entrance,
            client=connection.address,
            server=self.door.entrances[connection.entrance].address,
            owner=self.name,
            worker=self.worker,
            uid=connection.uid,
            connected_at_s=moment(connection.connected_at_s),
            received_at_s=moment(connection.received_at_s),
            sent_at_s=moment(connection.sent_at_s),
            received_bytes=connection.received_bytes,
            sent_bytes=connection.sent_bytes,
            messages=connection.messages,
            pending_bytes=connection.pending_bytes,
            queued_bytes=connection.queued_bytes,
            paused=connection.paused,
            protected=connection.protected,
            peer_finished=connection.peer_finished,
            closing=connection.closing is not None,
        )

    def clients(self) -> list[int]:
        """The sessions that are open."""
        return [c.session for c in self.connections.values() if c.closed is None]

    def _open(self, session: int) -> Connection | None:
        connection = self.connections.get(session)
        if connection is None or connection.closed is not None:
            self._refuse(self._unknown(session))
            return None
        return connection

    def _unknown(self, session: int) -> SendError:
        was = self.sessions.was(session)
        return SendError.SESSION_CLOSED if was else SendError.SESSION_NOT_EXIST

    def _refuse(self, error: SendError) -> bool:
        self._last_error = error
        return False
