"""The figures of a process's sockets -> its row of the shared counters.

An engine counts in its own objects, which cost nothing until they are asked. They are written into
shared memory when a connection begins or ends, and when somebody asks: so what a killed process
has accepted and closed stays right, and only the bytes of its open connections are lost with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic

from netlab.server.shared.counters import Counter
from netlab.server.sockets.engine import Engine

_CONNECTIONS = int(Counter.CONNECTION_NUM)
_ACCEPTED = int(Counter.ACCEPT_COUNT)
_CLOSED = int(Counter.CLOSE_COUNT)
_BUSY = int(Counter.BUSY_SINCE_MS)
_LOOPS = int(Counter.LOOP_COUNT)
_SUMS = {
    int(Counter.ACCEPT_COUNT): "accepted",
    int(Counter.CLOSE_COUNT): "closed",
    int(Counter.ABORT_COUNT): "refused",
    int(Counter.TOTAL_RECV_BYTES): "received_bytes",
    int(Counter.TOTAL_SEND_BYTES): "sent_bytes",
    int(Counter.RESPONSE_COUNT): "responses",
    int(Counter.PAUSES): "accept_pauses",
}
_MESSAGES = {int(Counter.REQUEST_COUNT): "messages"}


class Figures:
    """Adds what the engines counted to what the row held when they began."""

    def __init__(self, row: memoryview, engines: Sequence[Engine], *, messages: bool) -> None:
        """`messages`: they are delivered here, not dispatched to others."""
        self._row = row
        self._engines = engines
        self._sums = _SUMS | _MESSAGES if messages else _SUMS
        self._before = {column: row[column] for column in self._sums}

    def moved(self) -> None:
        """A connection has begun or ended."""
        row, engines = self._row, self._engines
        row[_CONNECTIONS] = sum(len(engine.connections) for engine in engines)
        row[_ACCEPTED] = self._before[_ACCEPTED] + sum(engine.accepted for engine in engines)
        row[_CLOSED] = self._before[_CLOSED] + sum(engine.closed for engine in engines)

    def publish(self) -> None:
        """Write everything."""
        self._row[_CONNECTIONS] = sum(len(engine.connections) for engine in self._engines)
        for column, name in self._sums.items():
            total = sum(getattr(engine, name) for engine in self._engines)
            self._row[column] = self._before[column] + total


def with_heartbeat(
    wait: Callable[[float], list[tuple[int, int]]], row: memoryview
) -> Callable[[float], list[tuple[int, int]]]:
    """A loop's wait that says in the row since when the loop has been at work; 0: it waits."""

    def waited(timeout_s: float) -> list[tuple[int, int]]:
        row[_BUSY] = 0
        ready = wait(timeout_s)
        row[_BUSY] = int(monotonic() * 1000)
        row[_LOOPS] += 1
        return ready

    return waited
