"""The verbs of a process that has others beside it: tasks, messages, figures, reload, stop.

Verbs on sessions are those of an engine here or elsewhere, bound as they are, so that they cost no
call more. Read first: role.py, messenger.py.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

from netlab.model.errors import UsageError
from netlab.server.callbacks import Caller
from netlab.server.family.remote import RemoteEngine
from netlab.server.loop.reactor import Reactor
from netlab.server.messages.messenger import Messenger, Refused
from netlab.server.shared.counters import Counter
from netlab.server.shared.estate import Estate
from netlab.server.terms import SendError, Stats

LOG_EVERY_S = 1.0
_log = logging.getLogger("netlab.server")


class Lead(Protocol):
    """Who can have the processes of the server replaced and stopped."""

    def reload(self, only_tasks: bool) -> bool: ...
    def stop_worker(self, name: str) -> bool: ...
    def shutdown(self) -> None: ...
    def stats(self) -> Stats: ...


class FamilyRole:
    """One process among several."""

    def __init__(
        self,
        name: str,
        estate: Estate,
        verbs: RemoteEngine,
        messenger: Messenger,
        reactor: Reactor,
        caller: Caller,
        lead: Lead,
    ) -> None:
        self.name = name
        self._estate = estate
        self._verbs = verbs
        self._messenger = messenger
        self._reactor = reactor
        self._caller = caller
        self._lead = lead
        self._quiet_until_s = 0.0
        self._giver: tuple[str, int] | None = None  # of the task that runs now
        self.send = verbs.send
        self.sendfile = verbs.sendfile
        self.sendto = verbs.sendto
        self.close = verbs.close
        self.half_close = verbs.half_close
        self.pause = verbs.pause
        self.resume = verbs.resume
        self.protect = verbs.protect
        self.bind = verbs.bind
        self.exists = verbs.exists
        self.client_info = verbs.client_info
        self.clients = verbs.clients
        self.clear = reactor.clear

    @property
    def last_error(self) -> SendError | None:
        """Why the last verb returned False or None."""
        return self._verbs.last_error

    # -- tasks and messages ----------------------------------------------------------------------

    def task(self, data: Any, worker: int | None = None) -> int | None:
        """Give work to a task worker; its id, None when it is not taken."""
        if not self._has_task_worker(worker):
            return None
        try:
            return self._messenger.task(data, worker)
        except Refused as refused:
            self._task_refused(refused.error)
            return None

    def task_wait(self, data: Any, timeout_s: float) -> Any:
        """Give work to a task worker and wait for its result."""
        if not self._has_task_worker(None):
            return None
        try:
            return self._messenger.task_wait(data, timeout_s)
        except Refused as refused:
            self._task_refused(refused.error)
            return None

    def _task_refused(self, error: SendError) -> None:
        self._verbs.last_error = error
        now_s = monotonic()
        if error is SendError.QUEUE_FULL and now_s >= self._quiet_until_s:
            self._quiet_until_s = now_s + LOG_EVERY_S
            _log.warning(
                "%s: a task is refused, %d wait or are being done", self.name,
                self._messenger.tasks_out,
            )  # fmt: skip

    def task_begins(self, giver: str, number: int) -> None:
        """The task callback is about to be called."""
        self._giver = giver, number

    def task_ends(self) -> None:
        """It has returned."""
        self._giver = None

    def finish(self, result: Any) -> bool:
        """In a task callback: a result, before it returns."""
        if self._giver is None:
            raise UsageError("no task is being done here", "call finish in the task callback")
        giver, number = self._giver
        try:
            self._messenger.finish(giver, number, result, last=False)
        except Refused as refused:
            self._verbs.last_error = refused.error
            return False
        return True

    def send_message(self, target: str | int, message: Any) -> bool:
        """Let another process hear something."""
        name = f"worker-{target}" if isinstance(target, int) else target
        if not self._estate.knows(name):
            self._verbs.last_error = SendError.NO_SUCH_TARGET
            return False
        try:
            self._messenger.send_message(name, message)
        except Refused as refused:
            self._verbs.last_error = refused.error
            return False
        return True

    def _has_task_worker(self, worker: int | None) -> bool:
        tasks = self._estate.options.tasks
        if tasks and (worker is None or 0 <= worker < tasks):
            return True
        self._verbs.last_error = SendError.NO_TASK_WORKER
        return False

    # -- timers ----------------------------------------------------------------------------------

    def tick(self, interval_s: float, function: Callable[[], object]) -> int:
        """Call every `interval_s` seconds in this process; reported, not fatal, when it raises."""
        return self._reactor.tick(interval_s, self._caller.guarded(function))

    def after(self, delay_s: float, function: Callable[[], object]) -> int:
        """Call once in `delay_s` seconds."""
        return self._reactor.after(delay_s, self._caller.guarded(function))

    # -- all processes ---------------------------------------------------------------------------

    def stats(self) -> Stats:
        """Totals since the start, over all processes."""
        return self._lead.stats()

    def reload(self, only_tasks: bool = False) -> bool:
        """Replace the workers one by one."""
        return self._lead.reload(only_tasks)

    def stop(self, worker: int | None) -> bool:
        """Let one worker leave; it is replaced."""
        if worker is None and not self.name.startswith(("worker", "task")):
            raise UsageError(f"{self.name} is no worker", "say which one: stop(0)")
        return self._lead.stop_worker(self.name if worker is None else f"worker-{worker}")

    def shutdown(self) -> None:
        """Stop in order."""
        self._lead.shutdown()


def stats_from(estate: Estate, *, workers: int, idle: int) -> Stats:
    """What the counters say now; who owns sockets has published before."""
    total = estate.counters.total
    return Stats(
        mode=estate.options.mode,
        started_at_s=estate.started_at_s,
        connections=total(Counter.CONNECTION_NUM),
        accepted=total(Counter.ACCEPT_COUNT),
        closed=total(Counter.CLOSE_COUNT),
        refused=total(Counter.ABORT_COUNT),
        received_bytes=total(Counter.TOTAL_RECV_BYTES),
        sent_bytes=total(Counter.TOTAL_SEND_BYTES),
        messages=total(Counter.REQUEST_COUNT),
        responses=total(Counter.RESPONSE_COUNT),
        workers=workers,
        idle_workers=idle,
        task_workers=estate.options.tasks,
        tasks_waiting=total(Counter.TASKING_NUM),
        tasks_done=total(Counter.TASK_COUNT),
        accept_pauses=total(Counter.PAUSES),
        restarts=total(Counter.RESTART_COUNT),
        lost_messages=total(Counter.LOST_COUNT),
    )
