"""The traced epoll of the usual ways of recording, with its wait made short.

A loop waits with the same time-out again and again, and sees the same descriptors ready with the
same events: the texts and entries of its records are kept, and written without a method call in
between. Whatever is not the usual case takes TracedEpoll's way. What quick.py says of signal
handlers holds here too; everything that belongs to one time-out stands in one tuple, since a
handler may wait on the same epoll with another.
"""

from __future__ import annotations

from _thread import get_ident
from time import time_ns
from typing import Any

from netlab.capture.probe import layout
from netlab.capture.probe.journal import Journal
from netlab.capture.probe.layout import HEAD_BYTES, NONE, OP
from netlab.capture.probe.pollers import TracedEpoll, wait_text
from netlab.capture.probe.quick import NOBODY
from netlab.capture.probe.writer import ThreadSpool

_pack, _pack_field = layout.HEAD.pack_into, layout.FIELD.pack_into
_RETURN = layout.marker(layout.RETURN, 0, 0)  # its length is added
_RETURN_EMPTY = layout.marker(layout.RETURN, 0, HEAD_BYTES)
_READY_OFF = HEAD_BYTES + layout.FIELD.size
_KEPT_TEXTS = 4096  # of time-outs; a loop with timers waits for any number of milliseconds
_UNKNOWN = object()
_Plan = tuple[Any, Any, int, int, bytes]  # time-out, maxevents; the entry's size, marker and tail


class QuickEpoll(TracedEpoll):
    """A TracedEpoll that keeps at hand what its next records will say."""

    def __init__(self, journal: Journal, sizehint: int = -1, flags: int = 0) -> None:
        super().__init__(journal, sizehint, flags)
        self._spool: ThreadSpool = NOBODY
        self._number = 0 if self._state is None else self._state.number
        self._most = 0  # ready descriptors that certainly fit a record
        self._plan: _Plan = (_UNKNOWN, _UNKNOWN, 0, 0, b"")
        self._tails: dict[str, bytes] = {}
        self._wait = self._epoll.poll
        self._ready_of = journal.packed.__getitem__

    def poll(self, timeout: float | None = None, maxevents: int = -1) -> list[tuple[int, int]]:
        """As select.epoll.poll: one epoll_wait."""
        spool = self._spool
        asked, most, size, word, tail = self._plan
        if spool.thread != get_ident() or timeout != asked or maxevents != most:
            settled = self._settled(timeout, maxevents)
            if settled is None:
                return TracedEpoll.poll(self, timeout, maxevents)
            spool, (asked, most, size, word, tail) = settled
        now_ns = time_ns()
        at = spool.at
        end = at + size
        if end > spool.end:
            return TracedEpoll.poll(self, timeout, maxevents)
        spool.at = end
        view = spool.view
        spool.order = order = spool.order + 1
        view[at + HEAD_BYTES : end] = tail
        _pack(view, at, now_ns, NONE, order, self._number, word)
        count = None
        try:
            found = self._wait(timeout, maxevents)
            now_ns = time_ns()
            count = len(found)
            ready = b"".join(map(self._ready_of, found))
        except BaseException as error:
            self._journal.fail((spool, order), self._state, error, result=count)
            raise
        size = _READY_OFF + len(ready) if ready else HEAD_BYTES
        at = spool.at
        end = at + size
        if end > spool.end or count > self._most:
            self._journal.leave((spool, order), self._state, count, returned_ns=now_ns, ready=found)
            return found
        spool.at = end
        view = spool.view
        if ready:
            _pack_field(view, at + HEAD_BYTES, layout.TAG_READY, 0, len(ready))
            view[at + _READY_OFF : end] = ready
        _pack(view, at, now_ns, count, order, 0, _RETURN + size)
        return found

    def close(self) -> None:
        """As select.epoll.close."""
        self._spool = NOBODY
        super().close()

    def _settled(self, timeout: float | None, maxevents: int) -> tuple[ThreadSpool, _Plan] | None:
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
            tail = self._tails.get(text)
            if tail is None:
                if len(self._tails) >= _KEPT_TEXTS:
                    self._tails.clear()
                tail = self._tails[text] = layout.tail_text(layout.TAG_ARGS, text)
            size = HEAD_BYTES + len(tail)
            word = layout.marker(layout.ENTRY, OP["epoll_wait"], size)
            self._most = spool.tail_limit // layout.READY.size - 16
            self._plan = plan = (timeout, maxevents, size, word, tail)
            self._spool = spool
        except Exception as error:
            journal.fault(error)
            return None
        return spool, plan
