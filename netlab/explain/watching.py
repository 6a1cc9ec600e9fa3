"""The waits of event loops -> what each of them watched meanwhile, and how.

Read first: `correlate.epolls`.
"""

from __future__ import annotations

from collections.abc import Sequence

from netlab.correlate.epolls import Epolls, EpollSet, Watch
from netlab.model.call import EPOLL_WAITING, CallRecord, Inheritance
from netlab.model.tables import Call


class Watching:
    """The sets of all epoll descriptors of a recording."""

    def __init__(self, records: list[CallRecord], forks: Sequence[Inheritance]) -> None:
        epolls = Epolls(records, forks)
        self._sets: dict[int, EpollSet] = {}  # by wait
        for number, record in enumerate(records, 1):
            epolls.change(record)
            if record.op in EPOLL_WAITING:
                self._sets[number] = epolls.set_of(record)

    def of(self, wait: Call, until_ns: int) -> list[Watch] | None:
        """What the set of an epoll_wait held, at any time until then.

        None: its making was not seen, so not all is known that is in it.
        """
        found = self._sets.get(wait.call)
        return found.between(wait.entered_ns, until_ns) if found and found.is_born else None

    def edges(self, wait: Call, until_ns: int, events: int) -> list[int]:
        """The sockets (by inode) of which one of these events was told by EPOLLET only, until then.

        Those that were registered before the wait: an epoll_ctl tells at once what holds.
        """
        found = self._sets.get(wait.call)
        if found is None:
            return []
        rows = found.between(wait.entered_ns, until_ns)
        return [
            row.inode for row in rows
            if row.edge and row.events & events and row.since_ns < wait.entered_ns
            and row.until_ns >= until_ns
        ]  # fmt: skip
