"""epoll_ctl calls and waits -> what is watched, and what an edge-triggered wait reported before.

With EPOLLET (man 7 epoll) a wait reports a descriptor for what came since it was last reported, or
since it was registered or modified: then it is asked once whether it is ready, as without EPOLLET.
An epoll descriptor that a child inherited by fork is the parent's, with what was registered there.
Knows no frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

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
class Watch:
    """A socket that is watched, from one epoll_ctl to the next on it."""

    inode: int
    events: int
    since_ns: int
    until_ns: int = _NEVER_NS
    last: Reported | None = None

    @property
    def edge(self) -> bool:
        """Whether it is reported once for what came, not as long as that is there."""
        return bool(self.events & EPOLLET)


@dataclass(slots=True)
class EpollSet:
    """What one epoll descriptor watches of the recording's sockets.

    `is_born`: this is all, for its epoll_create was seen, and what each epoll_ctl was about.
    """

    is_born: bool = False
    now: dict[int, Watch] = field(default_factory=dict)  # by inode
    before: list[Watch] = field(default_factory=list)

    def between(self, start_ns: int, stop_ns: int) -> list[Watch]:
        """What it watched at some time of this stretch."""
        rows = (*self.before, *self.now.values())
        return [row for row in rows if row.since_ns < stop_ns and row.until_ns > start_ns]


class Epolls:
    """What is registered where. Calls are to be given in order of entry."""

    def __init__(self, calls: list[CallRecord], forks: Sequence[Inheritance]) -> None:
        self._calls = calls
        self._parents = {item.pid: item.parent_pid for item in forks}
        self._sets: dict[_Epoll, EpollSet] = {}

    def change(self, record: CallRecord) -> None:
        """Take note of an epoll_create or epoll_ctl; any other call changes nothing."""
        if record.errno is not None:
            return
        if record.op in ("epoll_create", "epoll_create1"):
            self._sets[record.host, record.pid, record.result] = EpollSet(is_born=True)
        elif record.op == "epoll_ctl":
            watched = self.set_of(record)
            if not record.ready:  # of what it was about, no more than a number is known
                watched.is_born = False
            for item in record.ready:
                if item.inode is None:
                    continue
                old = watched.now.pop(item.inode, None)
                if old is not None:
                    old.until_ns = record.entered_ns
                    watched.before.append(old)
                if "EPOLL_CTL_DEL" not in record.args:
                    watched.now[item.inode] = Watch(item.inode, item.events, record.entered_ns)

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

    def _watch(self, record: CallRecord, inode: int) -> Watch | None:
        return self.set_of(record).now.get(inode) if record.op in EPOLL_WAITING else None

    def set_of(self, record: CallRecord) -> EpollSet:
        """The set that an epoll_ctl changes, or a wait is for; later calls go on changing it."""
        pid: int | None = record.pid
        met: set[int] = set()  # numbers of processes are used again
        while pid is not None and pid not in met:
            found = self._sets.get((record.host, pid, record.fd))
            if found is not None:
                return found
            met.add(pid)
            pid = self._parents.get(pid)
        return self._sets.setdefault((record.host, record.pid, record.fd), EpollSet())
