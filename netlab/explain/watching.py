"""The waits of event loops -> the sockets that each of them watched meanwhile, and for what.

Read first: `correlate.epolls`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from netlab.correlate.epolls import Epolls, EpollSet
from netlab.correlate.sockets import Socket
from netlab.explain.endings import ended_ns
from netlab.model.call import EPOLL_WAITING, CallRecord, Inheritance
from netlab.model.tables import Call


class Watching:
    """The sets of all epoll descriptors of a recording.

    `whole`: no call was lost; else an epoll_ctl may be among those.
    """

    def __init__(
        self,
        records: list[CallRecord],
        forks: Sequence[Inheritance],
        sockets: Iterable[Socket],
        *,
        whole: bool,
    ) -> None:
        epolls = Epolls(records, forks)
        self._records, self._whole = records, whole
        self._sets: dict[int, EpollSet] = {}  # by wait
        for number, record in enumerate(records, 1):
            epolls.change(record)
            if record.op in EPOLL_WAITING:
                self._sets[number] = epolls.set_of(record)
        self._sockets: dict[tuple[str, int], list[Socket]] = defaultdict(list)  # by inode
        for socket in sockets:
            self._sockets[socket.host, socket.inode].append(socket)

    def of(self, wait: Call, since_ns: int, until_ns: int) -> list[tuple[Socket, int]] | None:
        """Each socket in the set of an epoll_wait at any time of these, with the events asked for.

        Events 0: which, is not known; few wait for nothing but room. None: its making was not
        seen, or calls were lost, so not all is known that is in it.
        """
        found = self._sets.get(wait.call)
        if found is None or not found.is_born or not self._whole:
            return None
        lives = {
            (socket.inode, watch.events): socket
            for watch in found.between(wait.entered_ns, until_ns)
            for socket in self._held(wait, watch.inode, since_ns)
        }
        return [(socket, events) for (_, events), socket in lives.items()]

    def edges(self, wait: Call, until_ns: int, events: int) -> list[Socket]:
        """The sockets of which one of these events was told by EPOLLET only, until then.

        Those that were registered before the wait: an epoll_ctl tells at once what holds.
        """
        found = self._sets.get(wait.call)
        if found is None:
            return []
        return [
            socket
            for row in found.between(wait.entered_ns, until_ns)
            if row.edge and row.events & events and row.since_ns < wait.entered_ns
            and row.until_ns >= until_ns
            for socket in self._held(wait, row.inode, until_ns)
        ]  # fmt: skip

    def _held(self, wait: Call, inode: int, time_ns: int) -> list[Socket]:
        """The sockets with this inode that somebody still held then."""
        return [
            socket for socket in self._sockets.get((wait.host, inode), ())
            if socket.last_close is None
            or ended_ns(self._records[socket.last_close - 1]) >= time_ns
        ]  # fmt: skip
