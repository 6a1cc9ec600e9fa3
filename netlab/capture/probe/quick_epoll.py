"""The traced epoll of the usual ways of recording, with its wait made short.

A loop waits with the same time-out again and again, and sees the same descriptors ready with the
same events: the texts and entries of its records are kept, and written without a method call in
between. Whatever is not the usual case takes TracedEpoll's way. What quick.py says of signal
handlers holds here too; everything that belongs to one time-out stands in one tuple, since a
handler may wait on the same epoll with another.
"""

from __future__ import annotations

import struct
from _thread import get_ident
from collections.abc import Callable
from time import time_ns

from netlab.capture.probe import layout
from netlab.capture.probe.journal import Journal
from netlab.capture.probe.layout import HEAD_BYTES, NONE, OP
from netlab.capture.probe.pollers import TracedEpoll, wait_text
from netlab.capture.probe.quick import NOBODY
from netlab.capture.probe.writer import ThreadSpool

_pack, _pack_return = layout.QUICK_HEAD.pack_into, layout.STATELESS_HEAD.pack_into
_RETURN_EMPTY = layout.quick_marker(layout.RETURN, 0, HEAD_BYTES)
_TAG_READY = layout.TAG_READY
_KEPT_ENTRIES = 4096  # of time-outs; a loop with timers waits for any number of milliseconds
_UNKNOWN = object()


_Put = Callable[..., None]
# Plain tuples: CPython takes those apart four times as fast as named ones.
# What the entry of a wait says: time-out, maxevents, size, marker, what puts its tail, the tail.
_Entry = tuple[object, object, int, bytes, _Put, bytes]
# The return with so many ready: size, marker, what puts its tail, bytes of the ready list.
_Return = tuple[int, bytes, _Put, int]


class QuickEpoll(TracedEpoll):
    """A TracedEpoll that keeps at hand what its next records will say."""

    def __init__(self, journal: Journal, sizehint: int = -1, flags: int = 0) -> None:
        super().__init__(journal, sizehint, flags)
        self._spool: ThreadSpool = NOBODY
        self._number = 0 if self._state is None else self._state.number
        self._entry: _Entry = (_UNKNOWN, _UNKNOWN, 0, b"", _nothing, b"")
        self._entries: dict[str, _Entry] = {}  # by what they say
        self._returns: dict[int, _Return] = {0: (HEAD_BYTES, _RETURN_EMPTY, _nothing, 0)}
        self._wait = self._epoll.poll
        self._ready_of = journal.packed.__getitem__

    def poll(self, timeout: float | None = None, maxevents: int = -1) -> list[tuple[int, int]]:
        """As select.epoll.poll: one epoll_wait."""
        spool = self._spool
        asked, most, size, marker, put_tail, tail = self._entry
        if spool.thread != get_ident() or timeout != asked or maxevents != most:
            settled = self._settled(timeout, maxevents)
            if settled is None:
                return TracedEpoll.poll(self, timeout, maxevents)
            spool, (_, _, size, marker, put_tail, tail) = settled
        wait, form_of = self._wait, self._returns.get
        now_ns = time_ns()
        at = spool.at
        end = at + size
        if end > spool.end:
            return TracedEpoll.poll(self, timeout, maxevents)
        spool.at = end
        view = spool.view
        spool.order = order = spool.order + 1
        put_tail(view, at + HEAD_BYTES, tail)
        _pack(view, at, now_ns, NONE, order, self._number, marker)
        count = None
        try:
            found = wait(timeout, maxevents)
            now_ns = time_ns()
            count = len(found)
            ready = b"".join(map(self._ready_of, found)) if found else b""
            form = form_of(count)
        except BaseException as error:
            self._journal.fail((spool, order), self._state, error, result=count)
            raise
        if form is None:
            self._first_of_its_kind(spool, order, found, now_ns)
            return found
        size, marker, put_tail, length = form
        at = spool.at
        end = at + size
        if end > spool.end:
            self._returned(spool, order, found, now_ns)
            return found
        spool.at = end
        view = spool.view
        if length:
            put_tail(view, at + HEAD_BYTES, _TAG_READY, 0, length, ready)
        _pack_return(view, at, now_ns, count, order, marker)
        return found

    def close(self) -> None:
        """As select.epoll.close."""
        self._spool = NOBODY
        super().close()

    def _settled(
        self, timeout: float | None, maxevents: int
    ) -> tuple[ThreadSpool, _Entry] | None:  # fmt: skip
        """The calling thread's spool, which knows us from now on, and the entry to write there.

        They are kept for the next wait, and handed over: another thread may settle meanwhile.
        """
        state, journal = self._state, self._journal
        self._spool = NOBODY
        if state is None or journal.off:
            return None
        try:
            spool = journal.spool()
            if spool is None:
                return None
            journal.announce(state, spool)
            text = wait_text(timeout, maxevents)
            entry = self._entries.get(text)
            if entry is None or entry[:2] != (timeout, maxevents):
                if len(self._entries) >= _KEPT_ENTRIES:
                    self._entries.clear()
                entry = self._entries[text] = _entry(timeout, maxevents, text)
            self._entry = entry
            self._spool = spool
        except Exception as error:
            journal.fault(error)
            return None
        return spool, entry

    def _first_of_its_kind(
        self, spool: ThreadSpool, order: int, found: list[tuple[int, int]], returned_ns: int
    ) -> None:
        """So many were never ready before: keep the form, if a record can hold it."""
        count = len(found)
        if count <= spool.tail_limit // layout.READY.size - 16:
            self._returns[count] = _return(count)
        self._returned(spool, order, found, returned_ns)

    def _returned(
        self, spool: ThreadSpool, order: int, found: list[tuple[int, int]], returned_ns: int
    ) -> None:
        count = len(found)
        self._journal.leave(
            (spool, order), self._state, count, returned_ns=returned_ns, ready=found
        )


def _entry(timeout: object, maxevents: object, text: str) -> _Entry:
    tail = layout.tail_text(layout.TAG_ARGS, text)
    size = HEAD_BYTES + len(tail)
    marker = layout.quick_marker(layout.ENTRY, OP["epoll_wait"], size)
    return timeout, maxevents, size, marker, struct.Struct(f"{len(tail)}s").pack_into, tail


def _return(count: int) -> _Return:
    length = count * layout.READY.size
    put_tail = struct.Struct(f"{layout.FIELD.format}{length}s")
    size = HEAD_BYTES + put_tail.size
    marker = layout.quick_marker(layout.RETURN, 0, size)
    return size, marker, put_tail.pack_into, length


def _nothing(*arguments: object) -> None:
    """Puts the tail of what has none."""
