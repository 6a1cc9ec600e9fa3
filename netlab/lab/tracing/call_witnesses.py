"""Who tells of the calls of traced processes: strace, the kernel's tracepoints, or both.

Opened with the rights that netlab has at first, and told what to watch once those are given up.
Both tell, beside the calls, which sockets are the program's. Read `tracer` for how strace runs,
`capture.kernel.witness` for what the kernel tells.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from netlab.capture.kernel.witness import Harvest, KernelWitness
from netlab.capture.strace.spools import LOG as LOG_SUFFIX
from netlab.capture.strace.spools import StraceSpools, spool_name
from netlab.lab.tracing import tracees
from netlab.lab.tracing.program_traffic import Names
from netlab.lab.tracing.strace_command import command, refusal
from netlab.lab.tracing.strace_tool import Strace, find_strace
from netlab.lab.tracing.tracer import LOG, Tracer
from netlab.model.call import CallRecord
from netlab.model.errors import CheckFailed, UsageError

WITNESSES = ("auto", "strace", "kernel", "both")
ATTACHES_WITHIN_S = 10.0
_TURN_MS = 5.0


class NamingSpools(StraceSpools):
    """Strace's logs, read; which sockets the calls name is told on."""

    names: Names | None = None

    def poll(self, within_s: float = float("inf")) -> list[CallRecord]:
        return self._told(super().poll(within_s))

    def finish(self) -> list[CallRecord]:
        return self._told(super().finish())

    def _told(self, calls: list[CallRecord]) -> list[CallRecord]:
        if self.names is not None:
            self.names.learn(calls)
        return calls


class NamingKernel(KernelWitness):
    """The kernel witness; which sockets the calls name is told on."""

    names: Names | None = None
    polls = 0

    def poll(self) -> Harvest:
        self.polls += 1
        return self._told(super().poll())

    def finish(self) -> Harvest:
        return self._told(super().finish())

    def _told(self, harvest: Harvest) -> Harvest:
        if self.names is not None:
            self.names.learn(harvest.calls)
        return harvest


class CallWitnesses:
    """Those of one run."""

    def __init__(self, witness: str) -> None:
        """Find them. `auto` is strace. Raises UsageError where one is not there."""
        if witness not in WITNESSES:
            raise UsageError(f"there is no witness {witness!r}", f"one of {', '.join(WITNESSES)}")
        self._strace: Strace | None = None
        if witness != "kernel":
            self._strace = find_strace(otherwise="or as root --witness kernel")
        self._wants_kernel = witness in ("kernel", "both")
        self.tracer: Tracer | None = None
        self.kernel: NamingKernel | None = None
        self.logs: NamingSpools | None = None
        self._log: Path | None = None

    def open(self, opened: ExitStack) -> None:
        """Take what needs rights. Raises PrivilegeError.

        To be called before anything is opened that a child, which lives long, must not hold.
        """
        if self._strace is not None:
            self.tracer = Tracer()
            opened.callback(self.tracer.wait)
        if self._wants_kernel:
            kernel = NamingKernel.open()
            assert isinstance(kernel, NamingKernel)
            self.kernel = kernel
            opened.callback(kernel.close)

    @property
    def texts(self) -> list[str]:
        """How the recording's description names them, and what they cost."""
        found = []
        if self._strace is not None:
            found.append(f"calls: {self._strace.words}")
        if self.kernel is not None:
            found.append(
                "calls: the kernel's tracepoints (tracefs), with the states, resends, drops and "
                "resets of the program's TCP sockets: a call of its took some 0.006 ms longer, "
                "others on this machine 0.0005 ms"
            )
        return found

    def read(self, spools: Path, names: Names | None) -> None:
        """Where strace's log will stand; who is told of sockets."""
        self.logs = NamingSpools(spools)
        self.logs.names = names
        if self.kernel is not None:
            self.kernel.names = names

    def follow(self, pids: Sequence[int], host: str, actor: str) -> None:
        """Let the kernel witness follow processes, from now on."""
        if self.kernel is not None:
            for pid in pids:
                self.kernel.follow(pid, host=host, actor=actor)

    def attach(self, pids: Sequence[int], host: str, actor: str, spools: Path) -> None:
        """Let strace attach to processes. Raises what keeps it from that."""
        if self.tracer is None or self._strace is None:
            return
        self._log = spools / spool_name(host, actor, LOG_SUFFIX)
        # strace may be root: it is given the file, and no path that others could lead elsewhere.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(self._log, flags, 0o600)
        try:
            self.tracer.start(command(self._strace, pids, LOG), descriptor)
        finally:
            os.close(descriptor)
        self._wait_attached(self.tracer, pids)

    def _wait_attached(self, tracer: Tracer, pids: Sequence[int]) -> None:
        poller = select.poll()
        poller.register(tracer, select.POLLIN)
        until_s = time.monotonic() + ATTACHES_WITHIN_S
        while not all(tracees.is_attached(pid, tracer.pid) for pid in pids):
            if poller.poll(_TURN_MS):
                tracer.wait()
                raise refusal(tracer.complaint)
            if time.monotonic() >= until_s:
                raise CheckFailed(
                    f"strace did not attach within {ATTACHES_WITHIN_S:g} s",
                    "a process in uninterruptible sleep cannot be attached to",
                )

    def introduce(
        self,
        pids: Sequence[int],
        held: Sequence[tracees.HeldSocket],
        host: str,
        actor: str,
        *,
        launched: bool,
    ) -> None:
        """Tell strace's reader whom it was attached to, and what they had open.

        `launched`: what they are to be, they have not executed yet.
        """
        reader = self.logs.reader_of(host, actor) if self.logs is not None else None
        if reader is None:
            return
        for pid in pids:
            reader.attach(
                pid, tracees.threads_of(pid), tracees.name_of(pid), time.time_ns(),
                launched=launched,
            )  # fmt: skip
        for one in held:
            reader.hold(
                one.pid, one.fd, one.inode, family=one.family, kind=one.kind, local=one.local,
                peer=one.peer, closing=one.closes_on_exec,
            )  # fmt: skip

    def pids(self) -> list[int]:
        """Who is traced by strace now."""
        return [] if self.tracer is None else tracees.traced_by(self.tracer.pid)

    def polls(self) -> int:
        """How often the kernel was asked."""
        return 0 if self.kernel is None else self.kernel.polls

    def unread_bytes(self) -> int:
        """How much of strace's log was not read yet."""
        if self.logs is None:
            return 0
        return self.log_bytes() - sum(self.logs.lengths_bytes.values())

    def log_bytes(self) -> int:
        """How long strace's log is."""
        return 0 if self._log is None else self._log.stat().st_size
