"""Which worker gets a message in `process` mode: session, client and load in, a worker slot out.

Pure but for two things that it is given: a clock, so that a warning comes at most once a second,
and whom to tell. Worker slots count from 0; the answer is always a live one, or one of the negative
numbers below.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from zlib import crc32

from netlab.model.errors import UsageError
from netlab.server.terms import SESSION_SLOTS, DispatchKind

DISCARD: Final = -1  # drop the message
CLOSE: Final = -2  # close the session
FALL_BACK: Final = -3  # from a dispatch function only: choose as `fixed` does
NO_WORKER: Final = -4  # none is live: keep the message until one is

REPORT_INTERVAL_S: Final = 1.0

DispatchFunction = Callable[[int, bytes], int]  # session, message -> slot, or one of the first 3
Report = Callable[[str], None]

_NOBODY_BUSY: Mapping[int, int] = {}


def _report_to_nobody(text: str) -> None:
    pass


class Dispatcher:
    """Chooses by one rule. A key that belongs to a worker which is gone moves to a live one."""

    def __init__(
        self,
        kind: DispatchKind,
        workers: int,
        function: DispatchFunction | None = None,
        report: Report = _report_to_nobody,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Serve slots 0 to `workers` - 1; `workers` may be set anew while it runs."""
        if kind is DispatchKind.FUNCTION and function is None:
            raise UsageError("dispatch by function, without a function", "give dispatch_func")
        self.kind = kind
        self.workers = workers
        self._function = function
        self._report = report
        self._clock = clock
        self._turn = 0  # the slot that is next in the round
        self._quiet_until_s = float("-inf")

    def choose(
        self,
        session: int,
        live: Sequence[int],
        *,
        host: str = "",
        uid: int | None = None,
        data: bytes = b"",
        busy: Mapping[int, int] = _NOBODY_BUSY,
    ) -> int:
        """The slot for one message.

        `live` holds the slots that take work now, ascending; `host` is the client's, "" for a Unix
        socket; `uid` what the session is bound to; `busy` how many messages a slot has in hand.
        """
        if not live:
            return NO_WORKER
        match self.kind:
            case DispatchKind.FIXED:
                key = session % SESSION_SLOTS
            case DispatchKind.ROUND:
                return self._round(live)
            case DispatchKind.IDLE:
                return self._idle(live, busy)
            case DispatchKind.ADDRESS:
                key = crc32(host.encode()) if host else session % SESSION_SLOTS
            case DispatchKind.BOUND:
                key = session % SESSION_SLOTS if uid is None else uid
            case DispatchKind.FUNCTION:
                return self._by_function(session, data, live)
        return self._by_key(key, live)

    def _by_key(self, key: int, live: Sequence[int]) -> int:
        slot = key % self.workers
        return slot if slot in live else live[key % len(live)]

    def _round(self, live: Sequence[int]) -> int:
        slot = next((slot for slot in live if slot >= self._turn), live[0])
        self._turn = slot + 1
        return slot

    def _idle(self, live: Sequence[int], busy: Mapping[int, int]) -> int:
        """The least busy; among equals the next in turn."""
        slot = min(live, key=lambda slot: (busy.get(slot, 0), slot < self._turn))
        self._turn = slot + 1
        waiting = busy.get(slot, 0)
        if waiting:
            self._report_at_most_once_a_second(
                f"no idle worker: the least busy of {len(live)} has {waiting} messages in hand"
            )
        return slot

    def _by_function(self, session: int, data: bytes, live: Sequence[int]) -> int:
        assert self._function is not None
        slot = self._function(session, data)
        if slot in live or slot in (DISCARD, CLOSE):
            return slot
        if slot != FALL_BACK:
            self._report_at_most_once_a_second(
                f"dispatch_func returned {slot!r}, which is no live worker: chosen as fixed"
            )
        return self._by_key(session % SESSION_SLOTS, live)

    def _report_at_most_once_a_second(self, text: str) -> None:
        now_s = self._clock()
        if now_s >= self._quiet_until_s:
            self._quiet_until_s = now_s + REPORT_INTERVAL_S
            self._report(text)
