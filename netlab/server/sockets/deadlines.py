"""A connection's time-outs: what it has been waiting for since when -> when to look, what is over.

A time-out costs nothing per message: a connection is looked at once in the shortest of its
time-outs, and exactly then when one would be over. No look comes late by that, since whatever
begins after a look is over no sooner than the next. Pure: the moment is given.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from netlab.server.settings.option_table import Options
from netlab.server.terms import CloseReason


class Timed(Protocol):
    """What of a connection counts here; moments are on the reactor's clock, 0.0 = not yet."""

    @property
    def options(self) -> Options: ...
    @property
    def closing(self) -> CloseReason | None: ...
    @property
    def connected_at_s(self) -> float: ...
    @property
    def received_at_s(self) -> float: ...
    @property
    def sent_at_s(self) -> float: ...
    @property
    def read_from_s(self) -> float: ...  # since when it has been read, after a pause
    @property
    def progress_at_s(self) -> float: ...  # when waiting output last moved, or began to wait
    @property
    def message_since_s(self) -> float: ...  # since when a message has been incomplete
    @property
    def protected(self) -> bool: ...
    @property
    def reading(self) -> bool: ...
    @property
    def queued_bytes(self) -> int: ...


def missed(connection: Timed, now_s: float) -> CloseReason | None:
    """The time-out that is over, the earliest first; None when none is."""
    over = [(due_s, reason) for due_s, reason in _due(connection) if due_s <= now_s]
    return min(over)[1] if over else None


def next_look_s(connection: Timed, now_s: float) -> float | None:
    """How long until one may be over; None when there are none at all."""
    shortest_s = _shortest_s(connection)
    if not shortest_s:
        return None
    earliest_s = min((due_s for due_s, _ in _due(connection)), default=now_s + shortest_s)
    return max(0.0, min(earliest_s - now_s, shortest_s))


def _shortest_s(connection: Timed) -> float:
    options = connection.options
    asked = [
        options.handshake_timeout if not connection.received_at_s else 0.0,
        options.idle_timeout,
        options.read_timeout,
        options.write_timeout,
        options.request_timeout,
        options.drain_timeout if connection.closing is not None else 0.0,
    ]
    return min((seconds for seconds in asked if seconds), default=0.0)


def _due(connection: Timed) -> Iterator[tuple[float, CloseReason]]:
    options = connection.options
    if connection.closing is not None:
        within_s = options.write_timeout or options.drain_timeout
        if within_s:
            yield connection.progress_at_s + within_s, CloseReason.WRITE_TIMEOUT
        return
    if options.write_timeout and connection.queued_bytes:
        yield connection.progress_at_s + options.write_timeout, CloseReason.WRITE_TIMEOUT
    if connection.protected:
        return
    since_s = connection.connected_at_s
    if options.handshake_timeout and not connection.received_at_s:
        yield since_s + options.handshake_timeout, CloseReason.HANDSHAKE_TIMEOUT
    if options.idle_timeout:
        last_s = max(since_s, connection.received_at_s, connection.sent_at_s)
        yield last_s + options.idle_timeout, CloseReason.IDLE_TIMEOUT
    if options.read_timeout and connection.reading:
        last_s = max(since_s, connection.received_at_s, connection.read_from_s)
        yield last_s + options.read_timeout, CloseReason.READ_TIMEOUT
    if options.request_timeout and connection.message_since_s:
        yield connection.message_since_s + options.request_timeout, CloseReason.REQUEST_TIMEOUT
