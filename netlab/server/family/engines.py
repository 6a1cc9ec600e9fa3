"""The engines of a process that owns sockets: one, or one for each reactor thread.

Turns verbs in envelopes into calls on the engine that has the session, in that engine's thread. A
connection belongs to the reactor of number `slot % reactors` for its whole life.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from netlab.server.messages.envelope import HEAD_BYTES, Kind, head_from
from netlab.server.messages.parcel import value_from
from netlab.server.settings.option_table import Options
from netlab.server.shared.estate import Estate
from netlab.server.shared.sessions import slot_of
from netlab.server.sockets.connection import Connection
from netlab.server.sockets.engine import Engine
from netlab.server.terms import Client, ClientInfo, CloseReason, FramingKind, Overflow, SendError

ORDERLY, RESET, BY_CALLBACK = 0, 1, 2  # in the `number` of a CLOSE
_CLOSE_BY = {
    ORDERLY: CloseReason.LOCAL,
    RESET: CloseReason.LOCAL_RESET,
    BY_CALLBACK: CloseReason.CALLBACK,
}
_SEND = int(Kind.SEND)
ON_THE_WAY_BYTES = 1 << 19  # in the kernel, between the processes: twice net.core.wmem_default


class Engines:
    """All engines of this process."""

    def __init__(self, engines: list[Engine], door: Engine, estate: Estate) -> None:
        """`door` has the entrances. When more output waits than the estate's limits say, senders in
        other processes are told no; what is under way then is taken, as a gap would be worse."""
        self.all = engines
        self._door = door
        self._only = engines[0] if len(engines) == 1 else None
        self._full = estate.full
        self._limits = estate.limits

    def run(self, session: int, action: Callable[[], object]) -> None:
        """Let the thread do it that has the session."""
        if self._only is not None:
            action()
        else:
            self.of(session).reactor.post(action)

    def of(self, session: int) -> Engine:
        """Which engine has the session."""
        return self._only or self.all[slot_of(session) % len(self.all)]

    def verb(self, message: bytes) -> None:
        """Carry out a verb that another process sent."""
        if self._only is not None:
            self._verb(message)
        elif message[0] == Kind.SENDTO:
            self._sendto(message)
        else:
            session = head_from(message)[3]
            self.of(session).reactor.post(partial(self._verb, message))

    def client_info(self, session: int) -> ClientInfo | None:
        """What is known of a session; read from another thread it may be a moment old."""
        return self.of(session).client_info(session)

    def _verb(self, message: bytes) -> None:
        kind, _, _, session, _, number = head_from(message)
        if kind == _SEND:
            connection = self.of(session).connections.get(session)
            if connection is not None:
                self._send(connection, message[HEAD_BYTES:])
            return
        engine = self.of(session)
        match kind:
            case Kind.CLOSE:
                connection = engine.connections.get(session)
                if connection is not None and number in _CLOSE_BY:
                    connection.end(_CLOSE_BY[number], reset=number == RESET)
            case Kind.SHUT:
                engine.half_close(session)
            case Kind.PAUSE:
                engine.pause(session)
            case Kind.RESUME:
                engine.resume(session)
            case Kind.PROTECT:
                engine.protect(session, bool(number))
            case Kind.BIND:
                engine.bind(session, number)
            case Kind.SENDFILE:
                path, offset, count = value_from(message[HEAD_BYTES:])
                engine.sendfile(session, path, offset, count)
            case Kind.SENDTO:
                self._sendto(message)

    def _sendto(self, message: bytes) -> None:
        address, entrance, data = value_from(message[HEAD_BYTES:])
        self._door.sendto(Client(address, entrance), data)

    def _send(self, connection: Connection, data: bytes) -> None:
        error = connection.send(data)
        if error is None:
            if connection.has_output:
                slot = slot_of(connection.session)
                if connection.queued_bytes > self._limits[slot] + answers_bytes(connection.options):
                    self._above_limit(connection, slot)
        elif error in (SendError.OUTPUT_BUFFER_OVERFLOW, SendError.MESSAGE_TOO_LARGE):
            connection.end(CloseReason.OVERFLOW, reset=True)  # better than a gap in the stream

    def _above_limit(self, connection: Connection, slot: int) -> None:
        self._full[slot] = 1
        if connection.options.overflow is Overflow.CLOSE:
            connection.end(CloseReason.OVERFLOW, reset=True)

    def drained_enough(self, connection: Connection) -> None:
        """Its output is below the low watermark, or the connection is over."""
        self._full[slot_of(connection.session)] = 0

    def look_at_output(self, connection: Connection) -> None:
        """In `base` senders in other processes are told no from the high watermark on: what they
        have sent by then still fits in."""
        self._full[slot_of(connection.session)] = connection.is_full


def answers_bytes(options: Options) -> int:
    """What may come on top of the output buffer where a client above the watermark is not read:
    the answers to what it had sent by then, which is in the workers' hands or on the way there. To
    refuse those would leave gaps in the stream of a server that answers as much as it is asked.
    """
    if options.overflow is not Overflow.PAUSE:
        return 0
    framed = options.framing is not FramingKind.NONE
    message_bytes = options.max_message if framed else options.recv_size
    return options.input_limit + message_bytes + ON_THE_WAY_BYTES


def without_limit(options: Options) -> Options:
    """The options of a port whose output is limited where it is sent from: another process."""
    high, low = options.high_watermark, options.low_watermark
    if not high:  # the watermark then is ours: to know when senders may go on
        high, low = options.output_buffer, options.output_buffer // 2
    return replace(options, output_buffer=1 << 40, high_watermark=high, low_watermark=low)
