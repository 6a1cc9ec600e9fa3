"""A worker of `process`, behind the master's sockets: envelopes to callbacks, verbs to envelopes.

It owns no socket of a client. What it has dealt with it counts in shared memory, behind each
callback, so that the master knows what is lost when it dies. Read first: child.py, dispatching.py.
"""

from __future__ import annotations

import socket
from time import monotonic

from netlab.server.channels import Channel
from netlab.server.family.child import Child, Identity, quota
from netlab.server.messages.envelope import HEAD_BYTES, Kind, head_bytes, head_from, session_from
from netlab.server.messages.parcel import packet_from, value_from
from netlab.server.shared.counters import Counter
from netlab.server.shared.estate import Estate
from netlab.server.terms import Closed, CloseReason

ANSWER_LATE_S = 0.0002  # answers leave together, but not later than this
_RECEIVE = int(Kind.RECEIVE)
_HANDLED = int(Counter.REQUEST_COUNT)


class Worker(Child):
    """A worker of `process`: no sockets of its own."""

    def __init__(
        self, estate: Estate, me: Identity, channel: Channel, control_end: socket.socket
    ) -> None:
        super().__init__(estate, me, channel, control_end)
        self._receive = estate.server.callbacks.get("receive")
        most = quota(self.options.max_requests, self.options.max_requests_jitter)
        self._last = self.row[_HANDLED] + most if most else -1

    def heard(self, messages: list[bytes]) -> None:
        """What the hub sent; the hot loop of this process."""
        row, remote, server = self.row, self.remote, self.estate.server
        receive = self._receive
        line, late_s = self.line, monotonic() + ANSWER_LATE_S
        for message in messages:
            if message[0] != _RECEIVE or receive is None:
                self.take(message)
                continue
            session, about = session_from(message)
            remote.about_session, remote.about = session, about
            try:
                receive(server, session, message[HEAD_BYTES:])
            except MemoryError:
                raise
            except Exception as error:
                self._raised("receive", error, session)
            row[_HANDLED] += 1
            if line.batch_bytes:
                now_s = monotonic()
                if now_s > late_s:  # the first answers are not to wait for the last callback
                    line.flush()
                    late_s = now_s + ANSWER_LATE_S
            if row[_HANDLED] == self._last:
                self.ask_to_leave("max_requests is reached")

    def work(self, message: bytes) -> None:
        """An event of a session, or a message that came past the loop."""
        kind, _, _, session, about, _ = head_from(message)
        remote = self.remote
        remote.about_session, remote.about = session, about
        match kind:
            case Kind.RECEIVE:
                self.heard([message])
            case Kind.CONNECT:
                self._event("connect", session)
            case Kind.HALF_CLOSE:
                self._event("half_close", session)
                marker = head_bytes(Kind.IDLE, 0, 0, session, about, self.number)
                self.line.send(marker, about)
            case Kind.CLOSED:
                reason, errno, detail = value_from(message[HEAD_BYTES:])
                closed = Closed(CloseReason(reason), errno, detail)
                self.caller.call("close", session, closed, session=session)
            case Kind.BUFFER_FULL:
                self._event("buffer_full", session)
            case Kind.BUFFER_EMPTY:
                self._event("buffer_empty", session)
            case Kind.PACKET:
                client, data = packet_from(message[HEAD_BYTES:])
                self.caller.call("packet", data, client)
                self.row[_HANDLED] += 1

    def _event(self, name: str, session: int) -> None:
        if not self.caller.call(name, session, session=session):
            self.remote.close_after_error(session)

    def _raised(self, name: str, error: Exception, session: int) -> None:
        self.caller.report(name, error, session)
        self.remote.close_after_error(session)
