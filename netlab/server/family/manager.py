"""The parent of workers and task workers: carries out what the roster decides.

It forks, reaps, kills, and talks to each child over a control connection; whom the children's lines
lead to (the hub) it only tells. It never starts a thread, so that forking stays safe. Messages to
it: `ready`, `failed` (with the traceback), `leaving`; from it: `serve`, `bequeath`, `inherit`.
Read first: roster.py; man 2 waitpid.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import NoReturn, Protocol

from netlab.server.channels import Channel, make_pair
from netlab.server.family.process import begin_child, flush_streams, fork, rss_bytes
from netlab.server.family.roster import Roster
from netlab.server.family.roster_actions import (
    Action,
    Booted,
    Finished,
    Kill,
    Leave,
    Member,
    ReloadBegins,
    ReloadEnds,
    Resize,
    Role,
    Say,
    Serve,
    Start,
)
from netlab.server.loop.reactor import READ, Reactor
from netlab.server.messages import control
from netlab.server.shared.counters import Counter
from netlab.server.shared.estate import Estate

MEMORY_LOOK_EVERY_S = 1.0
_log = logging.getLogger("netlab.server")


class Hub(Protocol):
    """Who holds the other ends of the children's lines, and wants to know of their lives."""

    def before_fork(self, start: Start) -> None: ...
    def plugged(self, member: Member, channel: Channel) -> None: ...
    def member_serves(self, member: Member) -> None: ...
    def member_leaves(self, member: Member) -> None: ...
    def died(self, member: Member, status: int, *, unasked: bool) -> None: ...
    def resized(self, workers: int) -> None: ...
    def booted(self) -> None: ...
    def reload_begins(self) -> None: ...
    def reload_ends(self) -> None: ...
    def all_gone(self, exit_status: int) -> None: ...
    def close_in_child(self) -> None: ...


RunChild = Callable[[Start, Channel, socket.socket], int]  # in the child; its exit status


class Manager:
    """Keeps the roster's slots filled."""

    def __init__(
        self, roster: Roster, hub: Hub, estate: Estate, reactor: Reactor, run_child: RunChild
    ) -> None:
        self.roster = roster
        self._hub = hub
        self._estate = estate
        self._probe = estate.probe
        self._reactor = reactor
        self._run_child = run_child
        self._controls: dict[int, socket.socket] = {}  # by pid
        self._tick = 0
        self._kills: set[int] = set()

    def boot(self) -> None:
        """Start everybody."""
        self._reactor.on_signal(signal.SIGCHLD, self.reap)
        if self._estate.options.memory_limit:
            self._reactor.tick(MEMORY_LOOK_EVERY_S, self._look_at_memory)
        self.carry_out(self.roster.boot(time.monotonic()))

    def reload(self, *, tasks_only: bool) -> None:
        """Replace the children one by one."""
        self.carry_out(self.roster.reload(tasks_only))

    def stop(self) -> None:
        """Let everybody finish and go."""
        self.carry_out(self.roster.stop(time.monotonic()))

    def quit(self) -> None:
        """End everybody now."""
        self.carry_out(self.roster.quit(time.monotonic()))

    def more(self) -> None:
        """One worker more."""
        self.carry_out(self.roster.more())

    def less(self) -> None:
        """One worker less."""
        self.carry_out(self.roster.less(time.monotonic()))

    def replace(self, name: str) -> bool:
        """Let another process take this name."""
        for member in self.roster.serving():
            if member.name == name:
                self.carry_out(self.roster.wants_to_leave(member.pid, time.monotonic()))
                return True
        return False

    def end_all(self) -> None:
        """After a fault of our own: nobody is left behind."""
        for member in self.roster.everybody():
            with contextlib.suppress(ProcessLookupError):
                os.kill(member.pid, signal.SIGKILL)
        for member in self.roster.everybody():
            with contextlib.suppress(ChildProcessError):
                os.waitpid(member.pid, 0)
        for pid in list(self._controls):
            self._close_control(pid)

    def carry_out(self, actions: list[Action]) -> None:
        """Do it, in order, and see when the roster must be asked again."""
        for action in actions:
            self._do(action)
        self._arm()

    def reap(self) -> None:
        """Take leave of every child that has ended; one signal may stand for several."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._reaped(pid, os.waitstatus_to_exitcode(status))

    def _do(self, action: Action) -> None:
        match action:
            case Start():
                self._start(action)
            case Serve(member):
                self._tell(member.pid, {"do": "serve"})
                self._hub.member_serves(member)
            case Leave(member, heir):
                self._leave(member, heir)
            case Kill(member, late):
                self._kill(member, late=late)
            case Resize(workers):
                self._hub.resized(workers)
            case Booted():
                self._hub.booted()
            case ReloadBegins():
                self._hub.reload_begins()
            case ReloadEnds():
                self._hub.reload_ends()
            case Say(text):
                _log.warning("%s", text)
            case Finished(exit_status):
                self._hub.all_gone(exit_status)

    def _start(self, start: Start) -> None:
        if self.roster.stopping:
            return
        self._hub.before_fork(start)
        parent = os.getpid()
        with contextlib.ExitStack() as in_vain:
            try:
                channel, theirs = make_pair(self._estate.options.ipc, self._probe)
                in_vain.callback(theirs.close)
                in_vain.callback(channel.close)
                ours, control_end = control.pair(self._probe.socketpair)
                in_vain.enter_context(control_end)
                in_vain.enter_context(ours)
                self._probe.name_child(start.name)
                pid = fork()
            except OSError as error:
                self._not_started(start, error)
                return
            in_vain.pop_all()
        if pid == 0:
            self._become(start, parent, channel, theirs, ours, control_end)
        theirs.close()
        control_end.close()
        ours.setblocking(False)
        self._controls[pid] = ours
        self._reactor.register(ours.fileno(), READ, lambda events: self._heard(pid))
        self.carry_out(self.roster.started(start, pid, time.monotonic()))
        member = self.roster.member(pid)
        assert member is not None
        self._hub.plugged(member, channel)

    def _not_started(self, start: Start, error: OSError) -> None:
        _log.error("cannot start %s: %s", start.name, error.strerror)
        self.carry_out(self.roster.not_started(start, time.monotonic()))

    def _become(
        self,
        start: Start,
        parent: int,
        channel: Channel,
        theirs: Channel,
        ours: socket.socket,
        control_end: socket.socket,
    ) -> NoReturn:
        """In the child: let go of all that is the parent's, be the child, and never come back."""
        status = 70  # EX_SOFTWARE: a traceback says the rest
        try:
            begin_child(start.name, parent)
            channel.close()
            ours.close()
            for sock in self._controls.values():
                sock.close()
            self._hub.close_in_child()
            status = self._run_child(start, theirs, control_end)
        except SystemExit as leaving:
            status = leaving.code if isinstance(leaving.code, int) else int(bool(leaving.code))
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            with contextlib.suppress(Exception):
                logging.shutdown()
                flush_streams()
            self._estate.probe.leaving()
            os._exit(status & 0xFF)

    def _leave(self, member: Member, heir: Member | None) -> None:
        """Told over its line, behind its work. Heir and forebear get a line between them before."""
        if heir is not None and member.role is Role.WORKER:
            theirs, heirs = control.pair(self._probe.socketpair)
            to_heir = {"do": "bequeath", "heir": heir.generation}
            with theirs, heirs:
                self._tell(heir.pid, {"do": "inherit"}, (heirs.fileno(),))
                self._tell(member.pid, to_heir, (theirs.fileno(),))
        self._hub.member_leaves(member)

    def _kill(self, member: Member, *, late: bool) -> None:
        if late:
            _log.warning(
                "%s (pid %d) has not left in time%s: killed",
                member.name, member.pid, self._busy_text(member.name, member.generation),
            )  # fmt: skip
        self._kills.add(member.pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(member.pid, signal.SIGKILL)

    def _tell(self, pid: int, message: control.Message, descriptors: tuple[int, ...] = ()) -> None:
        sock = self._controls.get(pid)
        if sock is not None:
            # A child that is gone will be reaped; one that is stuck gets what fits, and is killed.
            with contextlib.suppress(OSError):
                control.send(sock, message, descriptors)

    def _heard(self, pid: int) -> None:
        sock = self._controls.get(pid)
        while sock is not None and sock.fileno() >= 0:
            try:
                received = control.receive(sock)
            except BlockingIOError:
                return
            if received is None:
                self._close_control(pid)
                return
            self._obey(pid, received[0])
            sock = self._controls.get(pid)

    def _obey(self, pid: int, message: control.Message) -> None:
        now_s = time.monotonic()
        match message["event"]:
            case "ready":
                self.carry_out(self.roster.ready(pid, now_s))
            case "leaving":
                member = self.roster.member(pid)
                if member is not None and not self.roster.stopping:
                    _log.info("%s (pid %d) leaves: %s", member.name, pid, message["why"])
                self.carry_out(self.roster.wants_to_leave(pid, now_s))
            case "failed":
                member = self.roster.member(pid)
                name = member.name if member is not None else f"pid {pid}"
                _log.error("%s cannot boot\n%s", name, message["traceback"].rstrip())

    def _reaped(self, pid: int, status: int) -> None:
        self._heard(pid)  # its last words first
        self._close_control(pid)
        member = self.roster.member(pid)
        if member is None:
            return  # a child of the user's own
        unasked = member.deadline_s is None
        actions = self.roster.died(pid, time.monotonic())
        if status and not (pid in self._kills and self.roster.stopping):
            how = f"signal {-status}" if status < 0 else f"exit status {status}"
            _log.warning("%s (pid %d) died: %s", member.name, pid, how)
        self._kills.discard(pid)
        self._hub.died(member, status, unasked=unasked)
        self.carry_out(actions)

    def _close_control(self, pid: int) -> None:
        sock = self._controls.pop(pid, None)
        if sock is not None:
            self._reactor.unregister(sock.fileno())
            sock.close()

    def _busy_text(self, name: str, generation: int) -> str:
        """What a loop that does not come back to its wait has been at, by its shared word."""
        since_ms = self._estate.row(name, generation)[Counter.BUSY_SINCE_MS]
        if not since_ms:
            return ""
        return f", busy for {time.monotonic() - since_ms / 1000:.1f} s"

    def _look_at_memory(self) -> None:
        limit = self._estate.options.memory_limit
        for member in self.roster.serving():
            used = rss_bytes(member.pid)
            if used is not None and used > limit:
                actions = self.roster.wants_to_leave(member.pid, time.monotonic())
                if actions:
                    _log.warning(
                        "%s (pid %d) uses %d bytes of memory, memory_limit is %d: replaced",
                        member.name, member.pid, used, limit,
                    )  # fmt: skip
                self.carry_out(actions)

    def _arm(self) -> None:
        if self._tick:
            self._reactor.clear(self._tick)
            self._tick = 0
        delay_s = self.roster.next_s(time.monotonic())
        if delay_s is not None:
            self._tick = self._reactor.after(delay_s, self._on_tick)

    def _on_tick(self) -> None:
        self._tick = 0
        self.carry_out(self.roster.tick(time.monotonic()))
