"""What all processes of a server inherit: made once, before the first fork, and never replaced.

The session table, the counters (a row for each name, two for those that may have an old and a new
process side by side: neither counts in the other's cells), and for each session slot a byte that
says "its output is full" and how much output may wait. Knows which row and which share of the
sessions belongs to whom.
"""

from __future__ import annotations

import mmap
import time
from typing import TYPE_CHECKING

from netlab.server.shared.counters import Counter, Counters
from netlab.server.shared.sessions import SLOT_LIMIT, SessionTable, slot_of
from netlab.server.terms import SIDE_BY_SIDE, SPARE_WORKERS, Mode

if TYPE_CHECKING:
    from netlab.server.server import Server

_WORD_BYTES = 8
_MASTER, _MANAGER, _CHILDREN = 0, 1, 2


class Estate:
    """Shared memory and what was asked for."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.options = options = server.options
        self.probe = server.probe
        self.started_at_s = time.time()
        self.most_workers = options.workers + SPARE_WORKERS
        base = options.mode is Mode.BASE
        owners = self.most_workers * SIDE_BY_SIDE if base else 1
        slots = min(SLOT_LIMIT, owners * options.max_connections)
        self.sessions = SessionTable(slots, owners)
        self.counters = Counters(_CHILDREN + SIDE_BY_SIDE * (self.most_workers + options.tasks))
        self.full = memoryview(mmap.mmap(-1, slots))
        self.limits = memoryview(mmap.mmap(-1, slots * _WORD_BYTES)).cast("Q")
        self.ports = [of_place for _, _, of_place in server.opened]  # by number of entrance

    @property
    def hub(self) -> str:
        """The process to which every line leads."""
        return "manager" if self.options.mode is Mode.BASE else "master"

    def row(self, name: str, generation: int = 1) -> memoryview:
        """Where a process counts."""
        role, _, number = name.partition("-")
        if not number:
            return self.counters.row(_MASTER if name == "master" else _MANAGER)
        place = int(number) + (self.most_workers if role == "task" else 0)
        return self.counters.row(_CHILDREN + SIDE_BY_SIDE * place + generation % SIDE_BY_SIDE)

    def admitted(self, session: int, entrance: int) -> None:
        """A session begins: what its address allows, for who sends from other processes."""
        self.limits[slot_of(session)] = self.ports[entrance].output_buffer

    def owner(self, worker: int, generation: int) -> int:
        """Whose share of the sessions a worker in `base` takes from."""
        return worker * SIDE_BY_SIDE + generation % SIDE_BY_SIDE

    def worker_of(self, session: int) -> str:
        """In `base`: who has the socket of this session."""
        return f"worker-{self.sessions.owner(session) // SIDE_BY_SIDE}"

    def forget(self, name: str, generation: int) -> None:
        """A process is gone: it has nothing in hand."""
        row = self.row(name, generation)
        for counter in (Counter.CONNECTION_NUM, Counter.TASKING_NUM, Counter.BUSY_SINCE_MS):
            row[counter] = 0

    def forget_sessions(self, worker: int, generation: int) -> int:
        """In `base`: a process is gone, so the sessions that it held are over; how many.

        They may be of its own share, or of that of who had the name before.
        """
        ended = 0
        for owner in (worker * SIDE_BY_SIDE, worker * SIDE_BY_SIDE + 1):
            ended += len(self.sessions.free_all(owner, generation))
        return ended

    def knows(self, name: str) -> bool:
        """Whether a process of this name exists, or existed."""
        role, _, number = name.partition("-")
        if not number:
            return name in ("master", "manager")
        if role not in ("worker", "task") or not number.isdecimal():
            return False
        limit = self.most_workers if role == "worker" else self.options.tasks
        if int(number) >= limit:
            return False
        return any(self.row(name, g)[Counter.GENERATION] for g in range(SIDE_BY_SIDE))
