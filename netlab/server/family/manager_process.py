"""The manager of `process`: a child of the master that is the parent of all others.

It forks and reaps; the ends of its children's lines it passes to the master as descriptors, and
tells it who serves and who leaves. Words to the master: `plug`, `serve`, `leave`, `resize`,
`booted`, `finished`, `asked` (a signal came here); from it: `reload`, `replace`, `more`, `less`,
`stop`, `quit`. It never starts a thread and holds no socket of a client. When the master is gone,
it ends everybody. Read first: manager.py, master.py.
"""

from __future__ import annotations

import logging
import signal
import socket
from functools import partial

from netlab.server.channels import Channel
from netlab.server.family.child import Child
from netlab.server.family.manager import Manager
from netlab.server.family.roster import Roster
from netlab.server.family.roster_actions import (
    Member,
    Role,
    Start,
)
from netlab.server.family.task_worker import TaskWorker
from netlab.server.family.worker import Worker
from netlab.server.messages import control
from netlab.server.shared.counters import Counter
from netlab.server.shared.estate import Estate

_PASSED_ON = {
    signal.SIGHUP: "reload",
    signal.SIGUSR1: "reload",
    signal.SIGUSR2: "reload tasks",
    signal.SIGTTIN: "more",
    signal.SIGTTOU: "less",
    signal.SIGQUIT: "quit",
}
_log = logging.getLogger("netlab.server")


class _Me:
    name = "manager"
    number = 0
    generation = 1


class ManagerProcess(Child):
    """One process, between the master and all others."""

    def __init__(self, estate: Estate, channel: Channel, control_end: socket.socket) -> None:
        super().__init__(estate, _Me(), channel, control_end)
        options = self.options
        roster = Roster(
            options.workers,
            options.tasks,
            drain_timeout_s=options.drain_timeout,
            boot_fail_limit=options.boot_fail_limit,
            most_workers=estate.most_workers,
        )
        self._manager = Manager(roster, self, estate, self.reactor, self._run_child)
        self._status = 0

    def run(self) -> int:
        """From the first callback to the last; the exit status."""
        self.take_signals()
        for number, order in _PASSED_ON.items():
            self.reactor.on_signal(number, partial(self._ask_master, order))
        self.estate.server.act_as(self.role)
        try:
            self._call("manager_start")
            self._manager.boot()
            self.reactor.run()
            self._call("manager_stop")
        finally:
            self._manager.end_all()
        self._tell({"event": "finished", "status": self._status})
        self.line.drain(self.options.drain_timeout)
        self.let_all_go()
        return self._status

    # -- the master ------------------------------------------------------------------------------

    def obey(self, message: control.Message, descriptors: list[int]) -> None:
        """A word from the master."""
        match message["do"]:
            case "reload":
                self._manager.reload(tasks_only=message["tasks_only"])
            case "replace":
                self._manager.replace(message["name"])
            case "more":
                self._manager.more()
            case "less":
                self._manager.less()
            case "stop":
                self._manager.stop()
            case "quit":
                self._manager.quit()

    def abandoned(self) -> None:
        """The master is gone: nobody has clients any more."""
        self._manager.quit()

    def ask_to_leave(self, why: str) -> None:
        """A TERM for the manager alone stops the server, in order."""
        self._ask_master("stop")

    def _ask_master(self, order: str) -> None:
        self._tell({"event": "asked", "order": order})

    # -- manager.Hub -----------------------------------------------------------------------------

    def before_fork(self, start: Start) -> None:
        """Nothing to prepare."""

    def plugged(self, member: Member, channel: Channel) -> None:
        """The master gets the child's line."""
        description, descriptors = channel.handover()
        self._tell(
            {
                "event": "plug",
                "name": member.name,
                "generation": member.generation,
                "pid": member.pid,
                "channel": description,
            },
            descriptors,
        )
        channel.close()

    def member_serves(self, member: Member) -> None:
        """It has its name now."""
        self._say("serve", member)

    def member_leaves(self, member: Member) -> None:
        """It is to go."""
        self._say("leave", member)

    def died(self, member: Member, status: int, *, unasked: bool) -> None:
        """It is gone."""
        self.estate.forget(member.name, member.generation)
        if unasked and not self._manager.roster.stopping:
            self.row[Counter.RESTART_COUNT] += 1
        if status:
            code, number = (0, -status) if status < 0 else (status, 0)
            self._call("worker_error", member.number, member.pid, code, number)

    def resized(self, workers: int) -> None:
        """So many workers are wanted."""
        self._tell({"event": "resize", "workers": workers})

    def booted(self) -> None:
        """Everybody serves."""
        self._tell({"event": "booted"})

    def reload_begins(self) -> None:
        """See manager.Hub."""
        self._call("before_reload")

    def reload_ends(self) -> None:
        """See manager.Hub."""
        self._call("after_reload")

    def all_gone(self, exit_status: int) -> None:
        """Nobody is left."""
        self._status = exit_status
        self.reactor.stop()

    def close_in_child(self) -> None:
        """A child lets go of the master's lines, and of the loop."""
        self.reactor.close()
        self.line.let_go()
        self.close_control()

    def _say(self, event: str, member: Member) -> None:
        self._tell({"event": event, "name": member.name, "generation": member.generation})

    def _run_child(self, start: Start, channel: Channel, control_end: socket.socket) -> int:
        made = TaskWorker if start.role is Role.TASK else Worker
        return made(self.estate, start, channel, control_end).run()
