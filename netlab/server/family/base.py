"""The mode `base`: workers that accept for themselves, and the manager that keeps them alive.

The main process is the manager and plays the master's part too; it is the hub of the lines, owns
no connection, and opens the addresses before the first fork. With reuse_port every worker's number
has listening sockets of its own, which live as long as the number does: what waits in their queues
survives the death of a worker. Read first: manager.py, base_worker.py.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Sequence

from netlab.model.errors import NetlabError
from netlab.server.channels import Channel
from netlab.server.family.base_worker import BaseWorker
from netlab.server.family.family_role import stats_from
from netlab.server.family.hub import HubProcess
from netlab.server.family.manager import Manager
from netlab.server.family.roster import EXIT_FORCED, Roster
from netlab.server.family.roster_actions import (
    Member,
    Role,
    Start,
)
from netlab.server.family.task_worker import TaskWorker
from netlab.server.loop.reactor import Reactor
from netlab.server.messages.envelope import (
    HEAD_BYTES,
    Envelope,
    Kind,
    envelope_from_bytes,
    head_from,
)
from netlab.server.messages.messenger import Refused
from netlab.server.messages.parcel import parcel_from
from netlab.server.messages.switchboard import Station
from netlab.server.pages.status_door import Door, door
from netlab.server.server import Opened, Server
from netlab.server.shared.counters import Counter
from netlab.server.shared.estate import Estate
from netlab.server.sockets.entrance import file_identity, opened, remove_file
from netlab.server.terms import ClientInfo, SendError, Stats

_ANSWER_WITHIN_S = 0.25
_log = logging.getLogger("netlab.server")


def run(server: Server) -> int:
    """Serve until stopped; the exit status."""
    estate = Estate(server)
    server.probe.name_thread("manager")
    with Reactor(server.probe, server.options.poller) as reactor:
        return BaseMain(estate, reactor).run()


class BaseMain(HubProcess):
    """Manager, hub, and main process."""

    def __init__(self, estate: Estate, reactor: Reactor) -> None:
        super().__init__(estate, ("manager", "master"), reactor)
        options = self.options
        self._sockets: dict[int, list[Opened]] = {0: estate.server.opened}
        self._files = [(place, file_identity(place)) for _, place, _ in estate.server.opened]
        roster = Roster(
            options.workers,
            options.tasks,
            drain_timeout_s=options.drain_timeout,
            boot_fail_limit=options.boot_fail_limit,
            most_workers=estate.most_workers,
        )
        self._manager = Manager(roster, self, estate, reactor, self._run_child)
        self._door: Door | None = None

    def run(self) -> int:
        """From the first callback to the last."""
        self.row[Counter.GENERATION] += 1
        self.estate.server.act_as(self.role)
        self.heed()
        try:
            self.caller.call("manager_start")
            self._manager.boot()
            with door(self.estate.server, self.reactor, self) as self._door:
                self.reactor.run()
            self.caller.call("manager_stop")
            self.caller.call("shutdown")
        finally:
            self._manager.end_all()
            self.switchboard.close()
            self._close_entrances()
        return self.status

    # -- orders ----------------------------------------------------------------------------------

    def stop(self) -> None:
        """The workers stop accepting, send what is queued, and go."""
        self.stopping = True
        self._close_entrances()
        self._manager.stop()

    def quit(self) -> None:
        """Everybody ends."""
        self.stopping = True
        self.status = EXIT_FORCED
        self._manager.quit()

    def reload(self, only_tasks: bool) -> bool:
        """Replace the children one by one."""
        self._manager.reload(tasks_only=only_tasks)
        return not self.stopping

    def stop_worker(self, name: str) -> bool:
        """Replace one child."""
        if not self._manager.replace(name):
            self.remote.last_error = SendError.NO_SUCH_TARGET
            return False
        return True

    def more(self) -> None:
        """One worker more."""
        self._manager.more()

    def less(self) -> None:
        """One worker less."""
        self._manager.less()

    def stats(self) -> Stats:
        """Every worker writes what it has; who does not in time has what it wrote before."""
        idle = 0
        members = [m for m in self._manager.roster.serving() if m.role is Role.WORKER]
        for member in members:
            with contextlib.suppress(Refused):
                self.messenger.ask(member.name, "publish", None, _ANSWER_WITHIN_S)
                idle += 1
        return stats_from(self.estate, workers=len(members), idle=idle)

    def connections(self, most: int) -> list[ClientInfo]:
        """Each worker knows its own; who is stuck is left out."""
        found: list[ClientInfo] = []
        for member in self._manager.roster.serving():
            if member.role is Role.WORKER:
                with contextlib.suppress(Refused):
                    found += self.messenger.ask(member.name, "connections", most, _ANSWER_WITHIN_S)
        return found

    # -- the lines -------------------------------------------------------------------------------

    def verb(self, message: bytes) -> None:
        """For the worker that has the session; a datagram may leave from any of them."""
        kind, _, _, session, about, _ = head_from(message)
        if kind == Kind.SENDTO:
            name = next((m.name for m in self._manager.roster.serving()), "")
        else:
            name = self.estate.worker_of(session)
        if self.switchboard.serving(name) is not None:
            self.switchboard.to_name(name, message, about)
        elif kind == Kind.ASK:
            asked = envelope_from_bytes(message[:HEAD_BYTES])
            self.switchboard.post(Envelope(
                Kind.ANSWER, "", asked.source, 0, 0, asked.number, parcel_from(None)
            ))  # fmt: skip

    def gone(self, station: Station) -> None:
        """What it had is seen to when it is reaped."""

    def drained(self, station: Station) -> None:
        """Nobody is held up by a line here: each worker reads its own clients."""

    # -- manager.Hub -----------------------------------------------------------------------------

    def plugged(self, member: Member, channel: Channel) -> None:
        """A child was started."""
        row = self.estate.row(member.name, member.generation)
        self.switchboard.plug(member.name, member.generation, channel, row)

    def member_serves(self, member: Member) -> None:
        """It has its name now."""
        self.switchboard.serve(member.name, member.generation)

    def member_leaves(self, member: Member) -> None:
        """It is to go."""
        self.switchboard.leave(member.name, member.generation)

    def died(self, member: Member, status: int, *, unasked: bool) -> None:
        """It is gone."""
        self.estate.forget(member.name, member.generation)
        if member.role is Role.WORKER:
            lost = self.estate.forget_sessions(member.number, member.generation)
            if lost:
                _log.warning("%s: %d connections died with it", member.name, lost)
                self.row[Counter.CLOSE_COUNT] += lost
        if unasked and not self.stopping:
            self.row[Counter.RESTART_COUNT] += 1
        if status:
            code, number = (0, -status) if status < 0 else (status, 0)
            self.caller.call("worker_error", member.number, member.pid, code, number)

    def resized(self, workers: int) -> None:
        """So many workers are wanted."""
        for number in [n for n in self._sockets if n >= workers]:
            _close(self._sockets.pop(number), but=self._sockets[0])
        for number in range(workers, self.estate.most_workers):
            self.switchboard.forget(f"worker-{number}")

    def booted(self) -> None:
        """Everybody serves."""
        self.estate.server.serving()
        self.caller.call("start")

    def reload_begins(self) -> None:
        """See manager.Hub."""
        self.caller.call("before_reload")

    def reload_ends(self) -> None:
        """See manager.Hub."""
        self.caller.call("after_reload")

    def all_gone(self, exit_status: int) -> None:
        """Nobody is left."""
        self.status = max(self.status, exit_status)
        self.reactor.stop()

    def close_in_child(self) -> None:
        """A child lets go of all lines, and of the loop."""
        self.reactor.close()
        self.switchboard.let_go()
        if self._door is not None:
            self._door.let_go()

    # -- children --------------------------------------------------------------------------------

    def _run_child(self, start: Start, channel: Channel, control_end: socket.socket) -> int:
        if start.role is Role.TASK:
            for sockets in self._sockets.values():
                _close(sockets)
            return TaskWorker(self.estate, start, channel, control_end).run()
        mine = self._sockets_of(start.number)
        for sockets in self._sockets.values():
            _close(sockets, but=mine)
        return BaseWorker(self.estate, start, channel, control_end, mine).run()

    def before_fork(self, start: Start) -> None:
        """What is opened for a worker is opened here, so that it outlives the worker."""
        if start.role is Role.WORKER:
            self._sockets_of(start.number)

    def _sockets_of(self, number: int) -> list[Opened]:
        """The sockets that the worker of this number listens with."""
        if not self.options.reuse_port or number == 0:
            return self._sockets[0]
        if number not in self._sockets:
            self._sockets[number] = self._more_sockets()
        return self._sockets[number]

    def _more_sockets(self) -> list[Opened]:
        made: list[Opened] = []
        for sock, place, options in self._sockets[0]:
            if place.is_unix:
                made.append((sock, place, options))
                continue
            there = place.with_port_of(sock)
            try:
                made.append((opened(self.estate.probe, there, options), there, options))
            except NetlabError as error:  # as a user who may not take this port any more
                _log.warning("a worker shares the sockets of worker-0: %s", error)
                made.append((sock, place, options))
        return made

    def _close_entrances(self) -> None:
        for sockets in self._sockets.values():
            _close(sockets)
        for place, identity in self._files:
            remove_file(place, identity)
        self._files.clear()


def _close(sockets: list[Opened], but: Sequence[Opened] = ()) -> None:
    kept = [sock for sock, _, _ in but]
    for sock, _, _ in sockets:
        if sock not in kept:
            sock.close()
