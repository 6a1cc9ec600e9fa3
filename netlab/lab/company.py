"""The programs of a lab: started on its hosts, heard, signalled, and how they ended.

Decides nothing and never waits: whoever owns the loop hands over what is readable and what the
house tells. Read `starting` for what a program is started with, `actor` for one of them.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Literal

from netlab.lab.actor import Output, Program
from netlab.lab.ground import Ground
from netlab.lab.hosts import Ended, Left, Started, Unwatched
from netlab.lab.recorder import Death
from netlab.lab.starting import Command, Watching, orders_for, set_id_note
from netlab.lab.tracing.watched import Tracing, open_logs

Stdio = Literal["kept", "ours", "shell"]


class Company:
    """All programs that were started, and their outputs in the poller of the loop."""

    def __init__(
        self, ground: Ground, watching: Watching, tracing: Tracing, poller: select.poll
    ) -> None:
        self.programs: list[Program] = []
        self.tracing = tracing
        self.left: dict[str, int] = {}  # processes on hosts, since they were last asked for
        self._ground = ground
        self._watching = watching
        self._poller = poller

    def start(
        self,
        host: str,
        command: Command,
        arguments: tuple[object, ...],
        *,
        actor: str,
        env: Mapping[str, str],
        stdio: Stdio,
        keep: Sequence[int],
        watched: bool,
    ) -> Program:
        """Ask for a program; an event tells whether it runs. Raises UsageError.

        `watched`: by strace, if it is a command and the lab has one.
        """
        self._ground.plan.host(host)  # there is one
        name = actor or host
        taken = sum(program.actor.partition("#")[0] == name for program in self.programs)
        name = f"{name}#{taken + 1}" if taken else name
        inherit = stdio != "kept"
        foreground = inherit and _has_terminal()
        with ExitStack() as opened:
            outputs, fds = self._descriptors(opened, inherit, report=callable(command))
            watch = self._watching.environment(name, host, self._ground.spools)
            if self._ground.house.user is not None:
                # That user may be unable to walk there by name; an open folder is a way in.
                watch["NETLAB_SPOOL"] = "/proc/self/fd/{}"
                fds["NETLAB_SPOOL"] = self._ground.open_spools()
                opened.callback(os.close, fds["NETLAB_SPOOL"])
            orders = orders_for(
                command,
                arguments,
                env={**watch, **env},
                fd_names=list(fds),
                user=self._ground.house.user,
                as_root=self._ground.house.as_root,
                foreground=foreground,
                keep=keep,
                # Ctrl-Z: nobody could ever continue it. Stopped and continued by us instead, one
                # whose child stops between vfork and execve waits for ever.
                ignore=[signal.SIGTSTP] if foreground and stdio != "shell" else (),
            )
            self._ground.know(set_id_note(orders))
            tracer, logs = None, tuple[int, ...]()
            if watched and not callable(command) and self.tracing.on:
                tracer = self.tracing.orders(self._ground.house.user)
                logs = open_logs(self._ground.spools, host, name, self._ground.house.user)
                for descriptor in logs:
                    opened.callback(os.close, descriptor)
            program = Program(
                name, host, outputs, foreground, watched=tracer is not None,
                wanted=watched and not callable(command),
            )  # fmt: skip
            self._ground.house.launch(
                name, host, orders, tuple(fds.values()), tracer=tracer, logs=logs
            )
        self.programs.append(program)
        for output in outputs.values():
            self._poller.register(output.descriptor, select.POLLIN)
        return program

    def note(self, event: Started | Ended | Left | Unwatched) -> None:
        """Take in an event."""
        if isinstance(event, Left):
            self.left[event.host] = event.count
            return
        if isinstance(event, Unwatched):
            self.tracing.note(event)
            return
        program = next(p for p in reversed(self.programs) if p.actor == event.actor)
        if isinstance(event, Started):
            program.pid, program.blind = event.pid, event.blind
            self._ground.started(event.pid, program.host, program.actor, wanted=program.wanted)
            if program.watched:
                self.tracing.note(event)
            return
        program.status, program.ended_ns = event.status, event.time_ns
        if program.foreground:
            _take_terminal()

    def hear(self, ready: set[int]) -> None:
        """Read the outputs whose descriptors are readable."""
        for program in self.programs:
            for output in program.outputs.values():
                if output.descriptor in ready:
                    self._read(output)

    def _read(self, output: Output) -> None:
        descriptor = output.descriptor
        if not output.read():
            self._poller.unregister(descriptor)

    def read_rest(self, program: Program) -> None:
        """What it wrote before it ended. Others may hold the pipe still, so not until its end."""
        for output in program.outputs.values():
            before = -1
            while output.descriptor >= 0 and len(output.data) != before:
                before = len(output.data)
                self._read(output)

    def last_words(self, host: str) -> str:
        """The last line that programs of a host wrote, and what helps one that refuses to be root;
        empty where they wrote none."""
        mine = self.on(host)
        for program in mine:
            self.read_rest(program)
        words = next((p.last_words for p in reversed(mine) if p.last_words), "")
        house = self._ground.house
        if house.as_root and house.user is None and any(p.spoke_of_root for p in mine):
            words += "; it ran as root: choose another user with --user"
        return words

    def on(self, host: str) -> list[Program]:
        """The programs that were started on a host."""
        return [program for program in self.programs if program.host == host]

    def close(self) -> None:
        """Hear no more."""
        for program in self.programs:
            self.read_rest(program)
            for output in program.outputs.values():
                if output.descriptor >= 0:
                    self._poller.unregister(output.descriptor)
                    output.close()

    def signal(self, programs: Sequence[Program], number: int) -> None:
        """Send a signal to programs; nothing happens to those that are over."""
        if programs:
            self._ground.house.signal([program.actor for program in programs], number)

    def limit_logs(self, limit_bytes: int) -> None:
        """Have no more recorded of a program whose calls fill more than this."""
        for actor in self._ground.recorder.fuller_than(limit_bytes):
            if self.tracing.send_away(actor, "spool limit"):
                self._ground.house.unwatch(actor)

    def signal_host(self, host: str, number: int) -> None:
        """Send a signal to all that runs on a host; `left` will hold how many they are."""
        self.left.pop(host, None)
        self._ground.house.end_host(host, number)

    def deaths(self) -> list[Death]:
        """How programs ended, for those that made calls and may not have noted their end."""
        return [
            Death(
                program.host,
                program.actor,
                program.pid,
                how_ended(program) if program.status is not None else "SIGKILL",
                program.ended_ns or time.time_ns(),
            )
            for program in self.programs
            if program.pid is not None
        ]

    def _descriptors(
        self, opened: ExitStack, inherit: bool, *, report: bool
    ) -> tuple[dict[str, Output], dict[str, int]]:
        """What we read of a program, and what it gets; the latter is closed with `opened`."""
        outputs: dict[str, Output] = {}
        fds: dict[str, int] = {}
        if inherit:
            fds = {"0": 0, "1": 1, "2": 2}
        else:
            fds["0"] = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            opened.callback(os.close, fds["0"])
        pipes = {} if inherit else {"stdout": "1", "stderr": "2"}
        if report:
            pipes["report"] = "NETLAB_REPORT_FD"
        for name, place in pipes.items():
            read_end, fds[place] = os.pipe2(os.O_CLOEXEC)
            opened.callback(os.close, fds[place])
            os.set_blocking(read_end, False)
            outputs[name] = Output(read_end)
        return outputs, fds


def how_ended(program: Program) -> str:
    """`status 1`, or a signal's name."""
    assert program.status is not None, "it runs"
    if program.status < 0:
        return signal.Signals(-program.status).name
    return f"status {program.status}"


def _take_terminal() -> None:
    """Be in the foreground again: who had the terminal is over."""
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    with suppress(OSError):
        os.tcsetpgrp(0, os.getpgrp())
    signal.signal(signal.SIGTTOU, before)


def _has_terminal() -> bool:
    """Whether our stdin is a terminal whose foreground we are."""
    try:
        return os.isatty(0) and os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False
