"""A task worker: envelopes with tasks in, calls of the task callback, results out. One at a time.

What the callback returns is the task's result, unless that is None; `finish` in the callback gives
results before. The end of a task is always told to its giver, result or none.
"""

from __future__ import annotations

import socket

from netlab.server.channels import Channel
from netlab.server.family.child import Child, Identity, quota
from netlab.server.messages.envelope import envelope_from_bytes
from netlab.server.messages.messenger import Refused
from netlab.server.messages.parcel import value_from
from netlab.server.shared.counters import Counter
from netlab.server.shared.estate import Estate


class TaskWorker(Child):
    """One process that does tasks."""

    def __init__(
        self, estate: Estate, me: Identity, channel: Channel, control_end: socket.socket
    ) -> None:
        super().__init__(estate, me, channel, control_end)
        options = self.options
        self._quota = quota(options.task_max_requests, options.max_requests_jitter)
        self._done = 0

    def work(self, message: bytes) -> None:
        """Do a task."""
        envelope = envelope_from_bytes(message)
        giver, number = envelope.source, envelope.number
        self.row[Counter.TASK_COUNT] += 1
        self.role.task_begins(giver, number)
        result = None
        try:
            callback = self.caller.callbacks["task"]
            result = callback(self.estate.server, number, giver, value_from(envelope.payload))
        except MemoryError:
            raise
        except Exception as error:
            self.caller.report("task", error, 0)
        finally:
            self.role.task_ends()
        self._tell_end(giver, number, result)
        self._done += 1
        if self._quota and self._done >= self._quota:
            self.ask_to_leave("task_max_requests is reached")

    def _tell_end(self, giver: str, number: int, result: object) -> None:
        try:
            self.messenger.finish(giver, number, result, last=True)
        except Refused:
            pass  # the hub is gone, and so is the giver
        except Exception as error:  # a result that cannot travel
            self.caller.report("task", error, 0)
            self.messenger.finish(giver, number, None, last=True)
