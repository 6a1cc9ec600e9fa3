"""Which programs of a lab are watched by strace, and what was not seen of them.

Turns the wish (`--witness`) into a strace or none, and what the house tells of tracers into losses.
Read `strace_tool` for how it is run, `keeper` for where.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from netlab.capture.ownership import cannot_write
from netlab.capture.strace.spools import LOG, PIDS, spool_name
from netlab.lab import sysctls
from netlab.lab.become import Orders
from netlab.lab.hosts import Started, Unwatched, User
from netlab.lab.syscalls import CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE
from netlab.lab.tracing.strace_tool import Strace, find_strace
from netlab.model.errors import UsageError
from netlab.model.recording import Loss

Witness = Literal["auto", "strace", "kernel", "both", "none"]
WITNESSES: tuple[Witness, ...] = ("auto", "strace", "kernel", "both", "none")
_LOG = "/proc/self/fd/1"
_PTRACE = re.compile(r"^attach: ptrace\(\w+, \d+\): ")
_SCOPE = "kernel.yama.ptrace_scope"
_NOBODY = "3"  # until the machine is started again


def choose(witness: str) -> tuple[Strace | None, tuple[str, ...]]:
    """The strace that shall watch, if any, and what a reader of the recording must know.

    `auto`: one if it is there, else a note. Raises UsageError where `strace` cannot be had, and for
    a witness that there is not.
    """
    if witness not in WITNESSES:
        raise UsageError(f"there is no witness {witness!r}", f"one of {', '.join(WITNESSES)}")
    if witness in ("kernel", "none"):
        return None, ()
    try:
        return find_strace(), ()
    except UsageError as error:
        if witness != "auto":
            raise
        return None, (f"{error.message}, so packets alone are recorded: {error.hint}",)


class Tracing:
    """What strace does in one lab."""

    def __init__(self, strace: Strace | None, lose: Callable[[Loss], None]) -> None:
        self.watched: set[str] = set()  # the actors whose tracer runs
        self._strace = strace
        self._lose = lose
        self._sent_away: dict[str, str] = {}  # why, by actor

    @property
    def on(self) -> bool:
        """Whether programs are watched at all."""
        return self._strace is not None

    def orders(self, user: User | None) -> Orders:
        """How to start one. It may trace whoever runs in the lab, and look up their sockets even
        after they have changed identity; else it has no right that they have not."""
        assert self._strace is not None
        return Orders(
            argv=self._strace.arguments(_LOG),
            env=dict(os.environ),
            files=[self._strace.file],
            fd_names=["1", "2"],
            user=[user.uid, user.gid, *user.groups] if user is not None else None,
            keep=[CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH],
        )

    def note(self, event: Started | Unwatched) -> None:
        """Take in that a tracer has attached, has not, or is over."""
        if isinstance(event, Started):
            if event.blind:
                self._lose(Loss("strace", "calls", None, why_blind(event.blind), event.actor))
            else:
                self.watched.add(event.actor)
            return
        self.watched.discard(event.actor)
        why = self._sent_away.pop(event.actor, "")
        if not why and event.reason.startswith(f"{_LOG}: "):
            why = f"its log could not be written: {event.reason.removeprefix(f'{_LOG}: ')}"
        if event.status == 0 and not why:
            return  # all that it watched has ended
        reason = why or _how_it_ended(event)
        self._lose(Loss("strace", "calls", None, reason, event.actor, since_ns=event.time_ns))

    def send_away(self, actor: str, reason: str) -> bool:
        """Whether it is to be told to leave its program, which has not been told so before."""
        if actor not in self.watched or actor in self._sent_away:
            return False
        self._sent_away[actor] = reason
        return True


def open_logs(spools: Path, host: str, actor: str, user: User | None) -> tuple[int, int]:
    """A new log for the calls of a program, which that `user` can write, and one for the pids of
    its processes. Raises UsageError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    opened: list[int] = []
    for suffix in (LOG, PIDS):
        path = spools / spool_name(host, actor, suffix)
        try:
            opened.append(os.open(path, flags, 0o600))
        except OSError as error:
            for descriptor in opened:
                os.close(descriptor)
            raise cannot_write(path, error) from None
    log, pids = opened
    if user is not None and os.geteuid() == 0:
        os.fchown(log, user.uid, user.gid)
    return log, pids


def why_blind(words: str) -> str:
    """Why strace did not attach to a program, in its own words, and what would let it."""
    reason = _PTRACE.sub("ptrace: ", words)
    if sysctls.read(_SCOPE) == _NOBODY:
        return f"strace did not attach ({reason}): {_SCOPE} is {_NOBODY} until a restart"
    return f"strace did not attach ({reason})"


def _how_it_ended(event: Unwatched) -> str:
    if event.status < 0:
        return f"strace was ended by {signal.Signals(-event.status).name}"
    return f"strace ended with status {event.status}: {event.reason}".removesuffix(": ")
