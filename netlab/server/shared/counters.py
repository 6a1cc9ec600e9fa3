"""Counters that all processes of a server share and that survive the death of any of them.

Anonymous shared memory made before the first fork: a row for each process slot (master, manager,
worker 1, ...), a column for each counter. A process adds to its own row only, so no lock is needed;
who wants a total adds the rows up. A worker that takes over a slot goes on with its row. What is
counted *now* (connections, tasks in hand) is set to zero when its process dies: `forget_now`.
The names are those of Swoole's stats(), with netlab's own behind them.
"""

from __future__ import annotations

import mmap
from enum import IntEnum

_WORD_BYTES = 8


class Counter(IntEnum):
    """A column. The names are what users read."""

    START_TIME = 0  # seconds since the epoch: when the process that has the row began
    CONNECTION_NUM = 1  # open now
    ABORT_COUNT = 2  # accepted and closed at once, for want of room
    ACCEPT_COUNT = 3
    CLOSE_COUNT = 4
    TASKING_NUM = 5  # tasks in hand now
    TASK_COUNT = 6  # tasks begun
    REQUEST_COUNT = 7  # messages that receive, packet or task was called for
    RESPONSE_COUNT = 8  # sends that were taken
    DISPATCH_COUNT = 9  # messages handed to a worker
    TOTAL_RECV_BYTES = 10
    TOTAL_SEND_BYTES = 11
    TASK_LOST = 12  # whose task worker died
    MESSAGE_COUNT = 13  # between processes
    PAUSES = 14  # of accepting, for want of descriptors or memory
    ERRORS = 15  # callbacks that raised
    GENERATION = 16  # how many processes the row has had
    BUSY_SINCE_MS = 17  # monotonic clock, of the callback that runs now; 0: none
    LOOP_COUNT = 18  # wake-ups of the reactor
    LOST_COUNT = 19  # messages in the hands of a worker that died
    RESTART_COUNT = 20  # children started again
    PID = 21  # of the process that has the row

    @property
    def label(self) -> str:
        """As stats() spells it."""
        return self.name.lower()


_NOW = (Counter.CONNECTION_NUM, Counter.TASKING_NUM, Counter.BUSY_SINCE_MS)
_NOT_ADDED = frozenset({Counter.START_TIME, Counter.BUSY_SINCE_MS, Counter.PID})


class Counters:
    """The table of counters; make it before the first fork."""

    def __init__(self, rows: int) -> None:
        self._memory = mmap.mmap(-1, max(1, rows) * len(Counter) * _WORD_BYTES)
        self._cells = memoryview(self._memory).cast("q")
        self._rows = [
            self._cells[row * len(Counter) : (row + 1) * len(Counter)] for row in range(rows)
        ]

    def row(self, row: int) -> memoryview:
        """A process's own row, to count in: `row[Counter.ACCEPT_COUNT] += 1`, or by plain int."""
        return self._rows[row]

    def total(self, counter: Counter) -> int:
        """The sum over all rows."""
        return sum(row[counter] for row in self._rows)

    def totals(self) -> dict[str, int]:
        """All that can be added up, by name."""
        return {c.label: self.total(c) for c in Counter if c not in _NOT_ADDED}

    def forget_now(self, row: int) -> None:
        """The process of this row has died: it has nothing open and nothing in hand."""
        for counter in _NOW:
            self._rows[row][counter] = 0

    def close(self) -> None:
        """Give the memory back, in this process."""
        for row in self._rows:
            row.release()
        self._rows.clear()
        self._cells.release()
