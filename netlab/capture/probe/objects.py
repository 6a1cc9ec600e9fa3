"""Traced pipes, and notes of calls on what is neither socket nor pipe.

The number that names an object stands where a socket's inode stands. Pipes and POSIX queues have
an inode of the same counter as sockets have (get_next_ino in fs/inode.c), so those numbers never
meet; the others are lifted out of the way by their kind. Read first: man 7 pipe.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from time import time_ns
from typing import Any, TypeVar

from netlab.capture.probe.journal import Journal, SocketState
from netlab.capture.probe.layout import OP

T = TypeVar("T")
_KIND_SHIFT = 48
_LIFTED = {"sysv": 1, "ring": 2, "eventfd": 3}


class TracedPipeEnd:
    """One end of a pipe whose calls go into a journal."""

    def __init__(self, journal: Journal, fd: int) -> None:
        self._journal = journal
        self._fd = fd
        self._state: SocketState | None = None
        if journal.off:
            return
        try:
            self._state = journal.object_state("pipe", fd, os.fstat(fd).st_ino)
            journal.held[fd] = self._state.inode
        except Exception as error:
            journal.fault(error)

    @property
    def state(self) -> SocketState | None:
        """What is known of the pipe; None once this end is closed, or when it is not traced."""
        return self._state

    def fileno(self) -> int:
        """The descriptor; -1 once closed."""
        return self._fd

    def read(self, size: int, /) -> bytes:
        """As os.read."""
        fd = self._fd
        return _noted(self._journal, self._state, "read", size, lambda: os.read(fd, size), 0)

    def write(self, data: bytes | memoryview, about: int = 0, /) -> int:
        """As os.write; `about` is the inode of the socket that the bytes are about, 0 for none."""
        fd = self._fd
        return _noted(
            self._journal, self._state, "write", len(data), lambda: os.write(fd, data), about
        )

    def close(self) -> None:
        """As os.close; once."""
        fd, self._fd = self._fd, -1
        state, self._state = self._state, None
        if fd < 0:
            return
        if state is not None:
            self._journal.held.pop(fd, None)
        _noted(self._journal, state, "close", None, lambda: os.close(fd), 0)


class JournalNotes:
    """Notes the calls on one object."""

    def __init__(self, journal: Journal, kind: str, identity: int, fd: int | None) -> None:
        self._journal = journal
        inode = _LIFTED.get(kind, 0) << _KIND_SHIFT | identity
        self._state = journal.object_state(kind, fd, inode)
        if fd is not None:
            journal.held[fd] = inode

    def call(
        self, op: str, requested: int | None, function: Callable[[], T], about: int = 0
    ) -> T:  # fmt: skip
        """Make the call and note it."""
        if op == "close" and self._journal.held.get(self._state.fd) == self._state.inode:
            del self._journal.held[self._state.fd]
        return _noted(self._journal, self._state, op, requested, function, about)


def _noted(
    journal: Journal, state: SocketState | None, op: str, requested: int | None,
    function: Callable[[], T], about: int,
) -> T:  # fmt: skip
    inside = None
    if state is not None:
        inside = journal.enter(OP[op], state, requested=requested, about=about)
    try:
        value = function()
    except BaseException as error:
        if inside is not None:
            journal.fail(inside, state, error)
        raise
    if inside is not None:
        now_ns = time_ns()
        journal.leave(inside, state, _result(value), returned_ns=now_ns)
    return value


def _result(value: Any) -> int:
    if value is None:
        return 0
    return value if isinstance(value, int) else len(value)
