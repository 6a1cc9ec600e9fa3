"""epoll_ctl calls and waits -> what an edge-triggered wait had reported before.

With EPOLLET (man 7 epoll) a wait reports a descriptor for what came since it was last reported, or
since it was registered or modified: then it is asked once whether it is ready, as without EPOLLET.
An epoll descriptor that a child inherited by fork is the parent's, with what was registered there.
Knows no frames.
"""

from __future__ import annotations

from collections.abc import Sequence

from netlab.model.call import EPOLL_WAITING, EPOLLET, CallRecord, Inheritance
from netlab.model.records import dataclass

_Epoll = tuple[str, int, int | None]  # host, pid, descriptor
_NEVER_NS = 1 << 62


@dataclass(frozen=True, slots=True)
class Reported:
    """The last report of a descriptor: of what came from `since_ns` on, up to `until_ns`."""

    since_ns: int
    until_ns: int


@dataclass(slots=True)
class _Watch:
    edge: bool
    last: Reported | None = None


class Epolls:
    """What is registered where. Calls are to be given in order of entry."""

    def __init__(self, calls: list[CallRecord], forks: Sequence[Inheritance]) -> None:
        self._calls = calls
        self._parents = {item.pid: item.parent_pid for item in forks}
        self._watches: dict[_Epoll, dict[int, _Watch]] = {}

    def change(self, record: CallRecord) -> None:
        """Take note of an epoll_create or epoll_ctl; any other call changes nothing."""
        if record.errno is not None:
            return
        if record.op in ("epoll_create", "epoll_create1"):
            self._watches[record.host, record.pid, record.result] = {}
        elif record.op == "epoll_ctl":
            watches = self._of(record)
            for item in record.ready:
                if item.inode is None:
                    continue
                watches.pop(item.inode, None)
                if "EPOLL_CTL_DEL" not in record.args:
                    watches[item.inode] = _Watch(bool(item.events & EPOLLET))

    def reported(self, record: CallRecord, inode: int) -> Reported | None:
        """What an edge-triggered wait had reported of the socket before; None: any frame counts."""
        watch = self._watch(record, inode)
        if watch is None or not watch.edge or watch.last is None:
            return None
        if watch.last.until_ns > record.entered_ns:  # two waits at once: which of them took it?
            return Reported(0, _NEVER_NS)
        return watch.last

    def report(self, record: CallRecord, inode: int, latest_ns: int) -> None:
        """Take note of what a wait reported; `latest_ns`: the latest frame that it was due to."""
        watch = self._watch(record, inode)
        if watch is not None and record.returned_ns is not None:
            watch.last = Reported(max(record.entered_ns, latest_ns), record.returned_ns)

    def _watch(self, record: CallRecord, inode: int) -> _Watch | None:
        return self._of(record).get(inode) if record.op in EPOLL_WAITING else None

    def _of(self, record: CallRecord) -> dict[int, _Watch]:
        pid: int | None = record.pid
        met: set[int] = set()  # numbers of processes are used again
        while pid is not None and pid not in met:
            found = self._watches.get((record.host, pid, record.fd))
            if found is not None:
                return found
            met.add(pid)
            pid = self._parents.get(pid)
        return self._watches.setdefault((record.host, record.pid, record.fd), {})
