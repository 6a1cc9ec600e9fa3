"""Verbs on sessions whose sockets another process has: the same words, as envelopes.

What can be known here is said at once: the shared session table tells whether a session lives, one
shared byte a slot whether its output is full. What cannot (a reset under way) is found by who
owns the socket, and the verb has no effect. Read first: sessions.py, engine.py (the same verbs).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import Any

from netlab.server.channels import MessageTooLarge
from netlab.server.family.engines import BY_CALLBACK, ORDERLY, RESET
from netlab.server.messages.envelope import (
    MESSAGE_LIMIT_BYTES,
    Envelope,
    Kind,
    address_from_name,
    bytes_from_envelope,
    head_bytes,
)
from netlab.server.messages.messenger import Messenger, Refused
from netlab.server.messages.parcel import parcel_from
from netlab.server.shared.estate import Estate
from netlab.server.shared.sessions import SLOT_MASK
from netlab.server.terms import Client, ClientInfo, SendError

_MOST_REMEMBERED = 1024
LONGEST_UDP_BYTES = 65_507  # over IPv4; what is too long for IPv6 alone the kernel finds out
LINE_BYTES = 4 << 20  # that may wait on the way to the owner, for all sessions together
_SEND = int(Kind.SEND)

Send = Callable[[bytes, int], None]  # an envelope's bytes, the inode that they are about


class RemoteEngine:
    """The verbs of an engine, without the sockets."""

    def __init__(
        self,
        name: str,
        send: Send,
        queued_bytes: Callable[[], int],
        estate: Estate,
        messenger: Messenger,
    ) -> None:
        self._name = name
        self._address = address_from_name(name)
        self._send = send
        self._queued_bytes = queued_bytes
        self._estate = estate
        self._sessions = estate.sessions
        self._exists = estate.sessions.exists
        self._full = estate.full
        self._limits = estate.limits
        self._messenger = messenger
        self._closing: dict[int, None] = {}  # closed from here, in order; not yet gone
        self.refused_here: dict[int, None] = {}  # the way to the owner is full, not its queue
        self.last_error: SendError | None = None
        self.about_session = self.about = 0  # the session that is served now, and its socket

    def send(self, session: int, data: bytes | bytearray | memoryview) -> bool:
        """Send or queue all of it, or nothing: then False, and `last_error` says why."""
        if not self._exists(session) or session in self._closing:
            return self._refuse(self._unknown(session))
        slot = session & SLOT_MASK
        if self._full[slot]:
            return self._refuse(SendError.OUTPUT_BUFFER_OVERFLOW)
        limit_bytes = self._limits[slot]
        if len(data) > limit_bytes:
            return self._refuse(SendError.MESSAGE_TOO_LARGE)
        if self._queued_bytes() > max(limit_bytes, LINE_BYTES):
            self.refused_here[session] = None
            return self._refuse(SendError.OUTPUT_BUFFER_OVERFLOW)
        about = self.about if session == self.about_session else 0
        try:
            self._send(head_bytes(_SEND, self._address, 0, session, about, 0) + data, about)
        except MessageTooLarge:
            return self._refuse(SendError.MESSAGE_TOO_LARGE)
        return True

    def sendfile(
        self, session: int, path: str | os.PathLike[str], offset: int = 0, count: int | None = None
    ) -> bool:
        """Send a file, or a range of it, after what is queued; who owns the socket opens it."""
        try:
            found = os.stat(path)
        except OSError:
            return self._refuse(SendError.NO_SUCH_FILE)
        here = found.st_size - offset
        good = stat.S_ISREG(found.st_mode) and os.access(path, os.R_OK)
        if not good or offset < 0 or not 0 <= (here if count is None else count) <= here:
            return self._refuse(SendError.NO_SUCH_FILE)
        payload = parcel_from((os.path.abspath(path), offset, count))
        return self._verb(Kind.SENDFILE, session, payload=payload)

    def sendto(self, client: Client, data: bytes) -> bool:
        """Send a datagram from the entrance that the client wrote to."""
        places = [place for _, place, _ in self._estate.server.opened]
        if not 0 <= client.entrance < len(places) or places[client.entrance].is_stream:
            return self._refuse(SendError.NO_SUCH_CLIENT)
        place = places[client.entrance]
        if isinstance(client.address, tuple) == place.is_unix:
            return self._refuse(SendError.NO_SUCH_CLIENT)
        most = MESSAGE_LIMIT_BYTES // 2 if place.is_unix else LONGEST_UDP_BYTES
        if len(data) > most:
            return self._refuse(SendError.MESSAGE_TOO_LARGE)
        payload = parcel_from((client.address, client.entrance, bytes(data)))
        return self._post(Kind.SENDTO, 0, 0, payload)

    def close(self, session: int, reset: bool = False) -> bool:
        """Close after the output that is queued, or reset now and drop it."""
        return self._close(session, RESET if reset else ORDERLY)

    def close_after_error(self, session: int) -> bool:
        """A callback has raised."""
        return self._close(session, BY_CALLBACK)

    def _close(self, session: int, how: int) -> bool:
        if not self._verb(Kind.CLOSE, session, how):
            return False
        if len(self._closing) >= _MOST_REMEMBERED:
            for known in list(self._closing):
                if not self._exists(known):
                    del self._closing[known]
        self._closing[session] = None
        return True

    def half_close(self, session: int) -> bool:
        """Send no more after what is queued, but go on reading."""
        return self._verb(Kind.SHUT, session)

    def pause(self, session: int) -> bool:
        """Read no more from this client until `resume`."""
        return self._verb(Kind.PAUSE, session)

    def resume(self, session: int) -> bool:
        """Read again from this client."""
        return self._verb(Kind.RESUME, session)

    def protect(self, session: int, on: bool = True) -> bool:
        """Let no time-out close this session, but that of its output."""
        return self._verb(Kind.PROTECT, session, int(on))

    def bind(self, session: int, uid: int) -> bool:
        """Give the session a number of the user's own, which dispatch may go by."""
        return self._verb(Kind.BIND, session, uid)

    def exists(self, session: int) -> bool:
        """Whether the session is there and not closed."""
        return self._exists(session)

    def client_info(self, session: int) -> ClientInfo | None:
        """What is known of a session; its owner is asked."""
        if not self._sessions.was(session):
            self.last_error = SendError.SESSION_NOT_EXIST
            return None
        try:
            found: Any = self._messenger.ask("", "client_info", session, session=session)
        except Refused as refused:
            self.last_error = refused.error
            return None
        if found is None:
            self.last_error = self._unknown(session)
            return None
        assert isinstance(found, ClientInfo)
        return found

    def clients(self) -> list[int]:
        """The sessions that are open, of all processes."""
        return list(self._sessions.living())

    def _verb(self, kind: Kind, session: int, number: int = 0, payload: bytes = b"") -> bool:
        if not self._exists(session) or session in self._closing:
            return self._refuse(self._unknown(session))
        return self._post(kind, session, number, payload)

    def _post(self, kind: Kind, session: int, number: int, payload: bytes) -> bool:
        about = self.about if session == self.about_session else 0
        envelope = Envelope(kind, self._name, "", session, about, number, payload)
        self._send(bytes_from_envelope(envelope), about)
        return True

    def _unknown(self, session: int) -> SendError:
        closed = self._sessions.was(session)
        return SendError.SESSION_CLOSED if closed else SendError.SESSION_NOT_EXIST

    def _refuse(self, error: SendError) -> bool:
        self.last_error = error
        return False
