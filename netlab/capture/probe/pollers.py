"""Traced waits: epoll, poll and select whose calls are noted in a journal with what they report.

select.epoll and select.poll cannot be subclassed, so these hold one. A wait's ready list names, for
each descriptor, the inode of the traced socket behind it. `register` and its kin are calls of
epoll alone (epoll_ctl); those of poll only fill a list in the process.

Read first: man 7 epoll, man 2 poll, man 2 select; Modules/selectmodule.c of CPython.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Iterable
from time import time_ns
from typing import Any, TypeVar

from netlab.capture.probe.journal import Inside, Journal, SocketState
from netlab.capture.probe.layout import OP
from netlab.model.call import POLLIN, POLLOUT, POLLPRI

T = TypeVar("T")
Selected = tuple[list[Any], list[Any], list[Any]]
_Asked = tuple[tuple[float | None, int], str]
_EVENTS = {
    name: getattr(select, name)
    for name in (
        "EPOLLIN", "EPOLLPRI", "EPOLLOUT", "EPOLLERR", "EPOLLHUP", "EPOLLRDHUP", "EPOLLEXCLUSIVE",
        "EPOLLONESHOT", "EPOLLET",
    )
}  # fmt: skip
_ALL = select.EPOLLIN | select.EPOLLPRI | select.EPOLLOUT  # what register asks for by default


class TracedEpoll:
    """A select.epoll whose waits and changes go into `journal`."""

    def __init__(self, journal: Journal, sizehint: int = -1, flags: int = 0) -> None:
        self._journal = journal
        self._state: SocketState | None = None
        inside = journal.enter(OP["epoll_create"], None, args="EPOLL_CLOEXEC")
        try:
            self._epoll = select.epoll(sizehint, flags)
        except BaseException as error:
            if inside is not None:
                journal.fail(inside, None, error)
            raise
        if inside is not None:
            self._state = journal.other_state(self._epoll.fileno())
            journal.leave(inside, self._state, self._epoll.fileno())
        self._args: _Asked = (
            (None, -1),
            "timeout=-1, maxevents=1023",
        )  # the last wait's, and their text

    def poll(self, timeout: float | None = None, maxevents: int = -1) -> list[tuple[int, int]]:
        """As select.epoll.poll: one epoll_wait."""
        journal = self._journal
        state = self._state
        if state is None:
            return self._ask(timeout, maxevents)
        asked, text = self._args
        if asked != (timeout, maxevents):
            text = wait_text(timeout, maxevents)
            self._args = ((timeout, maxevents), text)
        inside = journal.enter(OP["epoll_wait"], state, args=text)
        try:
            found = self._ask(timeout, maxevents)
        except BaseException as error:
            if inside is not None:
                journal.fail(inside, state, error)
            raise
        if inside is not None:
            _leave(journal, inside, state, len(found), found)
        return found

    def _ask(self, timeout: float | None, maxevents: int) -> list[tuple[int, int]]:
        return self._epoll.poll(timeout, maxevents)

    def register(self, fd: Any, eventmask: int = _ALL) -> None:
        """As select.epoll.register."""
        self._control("EPOLL_CTL_ADD", fd, eventmask, lambda: self._epoll.register(fd, eventmask))

    def modify(self, fd: Any, eventmask: int) -> None:
        """As select.epoll.modify."""
        self._control("EPOLL_CTL_MOD", fd, eventmask, lambda: self._epoll.modify(fd, eventmask))

    def unregister(self, fd: Any) -> None:
        """As select.epoll.unregister."""
        self._control("EPOLL_CTL_DEL", fd, None, lambda: self._epoll.unregister(fd))

    def _control(self, op: str, target: Any, events: int | None, call: Callable[[], None]) -> None:
        journal, state = self._journal, self._state
        number = descriptor(target)
        inside = None
        if state is not None and number is not None:
            args = f"{op}, {number}"
            if events is not None:
                args += f", {_events_text(events)}"
            inside = journal.enter(
                OP["epoll_ctl"], state, args=args, ready=journal.ready([(number, events or 0)])
            )
        try:
            call()
        except BaseException as error:
            if inside is not None:
                journal.fail(inside, state, error)
            raise
        if inside is not None:
            journal.leave(inside, state, 0)

    def close(self) -> None:
        """As select.epoll.close."""
        state, self._state = self._state, None
        inside = None if state is None else self._journal.enter(OP["close"], state)
        self._epoll.close()
        if inside is not None:
            self._journal.leave(inside, state, 0, gone=True)

    def fileno(self) -> int:
        """As select.epoll.fileno."""
        return self._epoll.fileno()

    @property
    def closed(self) -> bool:
        """As select.epoll.closed."""
        return self._epoll.closed

    def __enter__(self) -> TracedEpoll:
        self._epoll.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class TracedPoll:
    """A poll object whose waits go into `journal`."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._poll = select.poll()
        self._watched: set[int] = set()

    def register(self, fd: Any, eventmask: int = POLLIN | POLLPRI | POLLOUT, /) -> None:
        """As the poll object's register."""
        self._poll.register(fd, eventmask)
        self._watched.add(descriptor(fd) or 0)

    def modify(self, fd: Any, eventmask: int, /) -> None:
        """As the poll object's modify."""
        self._poll.modify(fd, eventmask)

    def unregister(self, fd: Any, /) -> None:
        """As the poll object's unregister."""
        self._poll.unregister(fd)
        self._watched.discard(descriptor(fd) or 0)

    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]:
        """As the poll object's poll."""
        shown = -1 if timeout is None or _negative(timeout) else timeout
        return _waited(
            self._journal, "poll", f"nfds={len(self._watched)}, timeout={shown}",
            lambda: self._ask(timeout), lambda found: found,
        )  # fmt: skip

    def _ask(self, timeout: float | None) -> list[tuple[int, int]]:
        return self._poll.poll(timeout)


def traced_select(
    journal: Journal, readers: Iterable[Any], writers: Iterable[Any], exceptional: Iterable[Any],
    timeout: float | None = None, wait: Callable[..., Selected] = select.select,
) -> Selected:  # fmt: skip
    """As select.select, by whatever `wait` is in its place."""
    asked: list[Any] = [
        item if isinstance(item, list | tuple) or not hasattr(item, "__iter__") else list(item)
        for item in (readers, writers, exceptional)
    ]
    counts = [len(item) if isinstance(item, list | tuple) else 0 for item in asked]
    names = ("readers", "writers", "exceptional")
    text = ", ".join(f"{name}={count}" for name, count in zip(names, counts, strict=True))
    text += f", timeout={'NULL' if timeout is None else timeout}"

    def call() -> Selected:
        return wait(asked[0], asked[1], asked[2], timeout)

    return _waited(journal, "select", text, call, _selected)


def _selected(found: Selected) -> list[tuple[int, int]]:
    events: dict[int, int] = {}
    for items, bit in zip(found, (POLLIN, POLLOUT, POLLPRI), strict=True):
        for item in items:
            number = descriptor(item)
            if number is not None:
                events[number] = events.get(number, 0) | bit
    return list(events.items())


def _waited(
    journal: Journal, op: str, args: str, call: Callable[[], T],
    ready: Callable[[T], list[tuple[int, int]]],
) -> T:  # fmt: skip
    inside = journal.enter(OP[op], None, args=args)
    try:
        found = call()
    except BaseException as error:
        if inside is not None:
            journal.fail(inside, None, error)
        raise
    if inside is not None:
        pairs = ready(found)
        _leave(journal, inside, None, len(pairs), pairs)
    return found


def _leave(
    journal: Journal, inside: Inside, state: SocketState | None, count: int,
    found: list[tuple[int, int]],
) -> None:  # fmt: skip
    now_ns = time_ns()
    journal.leave(inside, state, count, returned_ns=now_ns, ready=found)


def descriptor(item: Any) -> int | None:
    """The descriptor that a poller means by `item`; None when it is none."""
    if isinstance(item, int):
        return int(item)
    try:
        number = item.fileno()
    except Exception:
        return None
    return number if isinstance(number, int) else None


def _negative(timeout: object) -> bool:
    return isinstance(timeout, int | float) and timeout < 0


def wait_text(timeout: object, maxevents: object) -> str:
    """What an epoll_wait is called with, as the kernel gets it."""
    return f"timeout={_milliseconds(timeout)}, maxevents={_most(maxevents)}"


def _milliseconds(timeout: object) -> str:
    """As epoll_wait gets it: CPython rounds up."""
    if timeout is None or _negative(timeout):
        return "-1"
    return str(-int(-timeout * 1000 // 1)) if isinstance(timeout, int | float) else repr(timeout)


def _most(maxevents: object) -> object:
    return 1023 if maxevents == -1 else maxevents  # FD_SETSIZE - 1, selectmodule.c


def _events_text(events: int) -> str:
    names = [name for name, bit in _EVENTS.items() if events & bit]
    rest = events & ~sum(_EVENTS.values())
    return "|".join([*names, *([hex(rest)] if rest else [])]) or "0"
