"""Traced pipes, and notes of calls on what is neither socket nor pipe.

The number that names an object stands where a socket's inode stands. Pipes and POSIX queues have
an inode of the same counter as sockets have (get_next_ino in fs/inode.c), so those numbers never
meet; the others are lifted out of the way by their kind. The usual call takes a short way, as in
quick.py, and what is said there holds here. Read first: man 7 pipe.
"""

from __future__ import annotations

import errno
import os
from _thread import get_ident
from collections.abc import Callable
from time import time_ns
from typing import Any, TypeVar

from netlab.capture.probe import layout
from netlab.capture.probe.journal import Journal, SocketState
from netlab.capture.probe.layout import HEAD_BYTES, NONE, NONE_32, OP
from netlab.capture.probe.quick import NOBODY
from netlab.capture.probe.writer import ThreadSpool

T = TypeVar("T")
_KIND_SHIFT = 48
_LIFTED = {"sysv": 1, "ring": 2, "eventfd": 3}
_ABOUT_BYTES = HEAD_BYTES + layout.ABOUT.size
_ENTRY = {op: layout.marker(layout.ENTRY, number, HEAD_BYTES) for op, number in OP.items()}
_ENTRY_ABOUT = {op: layout.marker(layout.ENTRY, number, _ABOUT_BYTES) for op, number in OP.items()}
_RETURN = layout.marker(layout.RETURN, 0, HEAD_BYTES)
_BLOCKED = layout.tail_detail(0, NONE_32, NONE_32, errno.EAGAIN)
_BLOCKED_BYTES = HEAD_BYTES + len(_BLOCKED)
_RETURN_BLOCKED = layout.marker(layout.RETURN, 0, _BLOCKED_BYTES)
_pack, _pack_about = layout.HEAD.pack_into, layout.ABOUT.pack_into


class JournalNotes:
    """Notes the calls on one object, known by the number `inode`."""

    def __init__(self, journal: Journal, family: str, inode: int, fd: int | None) -> None:
        self._journal = journal
        self._state = journal.object_state(family, fd, inode)
        self._number = self._state.number
        self._spool: ThreadSpool = NOBODY
        if fd is not None:
            journal.held[fd] = inode

    @property
    def state(self) -> SocketState:
        """What is known of the object."""
        return self._state

    def call(
        self, op: str, requested: int | None, function: Callable[[], T], about: int = 0
    ) -> T:  # fmt: skip
        """Make the call and note it."""
        spool = self._spool
        if spool.thread != get_ident() or requested is None:
            return self._settled_call(op, requested, function, about)
        now_ns = time_ns()
        at = spool.at
        end = at + (_ABOUT_BYTES if about else HEAD_BYTES)
        if end > spool.end:
            return self._long_call(op, requested, function, about)
        spool.at = end
        spool.order = order = spool.order + 1
        if about:
            view = spool.view
            _pack_about(view, at + HEAD_BYTES, layout.TAG_ABOUT, 0, layout.ABOUT_LENGTH, about)
            _pack(view, at, now_ns, requested, order, self._number, _ENTRY_ABOUT[op])
        else:
            _pack(spool.view, at, now_ns, requested, order, self._number, _ENTRY[op])
        try:
            value: Any = function()
            now_ns = time_ns()
            count = value if type(value) is int else len(value)
        except BlockingIOError:
            self._blocked(spool, order)
            raise
        except BaseException as error:
            self._journal.fail((spool, order), self._state, error)
            raise
        at = spool.at
        end = at + HEAD_BYTES
        if end > spool.end:
            self._journal.leave((spool, order), self._state, count, returned_ns=now_ns)
        else:
            spool.at = end
            _pack(spool.view, at, now_ns, count, order, 0, _RETURN)
        return value  # type: ignore[no-any-return]

    def forget(self) -> None:
        """The descriptor is about to be closed."""
        if self._journal.held.get(self._state.fd) == self._state.inode:
            del self._journal.held[self._state.fd]

    def _settled_call(
        self, op: str, requested: int | None, function: Callable[[], T], about: int
    ) -> T:
        """A call on the long way; the next one of this thread may be short."""
        journal = self._journal
        if op == "close":
            self.forget()
        elif not journal.off and not journal.code:
            try:
                spool = journal.spool()
                if spool is not None:
                    journal.announce(self._state, spool)
                    self._spool = spool
            except Exception as error:
                journal.fault(error)
        return self._long_call(op, requested, function, about)

    def _long_call(
        self, op: str, requested: int | None, function: Callable[[], T], about: int
    ) -> T:  # fmt: skip
        journal, state = self._journal, self._state
        inside = journal.enter(OP[op], state, requested=requested, about=about)
        try:
            value: Any = function()
        except BlockingIOError:
            if inside is not None:
                # Not as `fail` does, which would take a package's own for one of a signal handler.
                journal.leave(inside, state, None, returned_ns=time_ns(), code=errno.EAGAIN)
            raise
        except BaseException as error:
            if inside is not None:
                journal.fail(inside, state, error)
            raise
        if inside is not None:
            now_ns = time_ns()
            count = 0 if value is None else value if isinstance(value, int) else len(value)
            journal.leave(inside, state, count, returned_ns=now_ns)
        return value  # type: ignore[no-any-return]

    def _blocked(self, spool: ThreadSpool, order: int) -> None:
        """The return of a call that found nothing to take, or no room."""
        now_ns = time_ns()
        at = spool.at
        end = at + _BLOCKED_BYTES
        if end > spool.end:
            self._journal.leave(
                (spool, order), self._state, None, returned_ns=now_ns, code=errno.EAGAIN
            )
            return
        spool.at = end
        view = spool.view
        view[at + HEAD_BYTES : end] = _BLOCKED
        _pack(view, at, now_ns, NONE, order, 0, _RETURN_BLOCKED)


def notes_on(journal: Journal, kind: str, identity: int, fd: int | None) -> JournalNotes:
    """Notes on an object of this kind: its number is one that no socket has."""
    return JournalNotes(journal, kind, _LIFTED.get(kind, 0) << _KIND_SHIFT | identity, fd)


class TracedPipeEnd:
    """One end of a pipe whose calls go into a journal."""

    def __init__(self, journal: Journal, fd: int) -> None:
        self._fd = fd
        self._notes = JournalNotes(journal, "pipe", os.fstat(fd).st_ino, fd)

    @property
    def state(self) -> SocketState:
        """What is known of the pipe."""
        return self._notes.state

    def fileno(self) -> int:
        """The descriptor; -1 once closed."""
        return self._fd

    def read(self, size: int, /) -> bytes:
        """As os.read."""
        fd = self._fd
        return self._notes.call("read", size, lambda: os.read(fd, size))

    def write(self, data: bytes | memoryview, about: int = 0, /) -> int:
        """As os.write; `about` is the inode of the socket that the bytes are about, 0 for none."""
        fd = self._fd
        return self._notes.call("write", len(data), lambda: os.write(fd, data), about)

    def close(self) -> None:
        """As os.close; once."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self._notes.call("close", None, lambda: os.close(fd))
