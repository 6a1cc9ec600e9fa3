"""How `netlab trace` runs strace: around a program, or attached to processes that run already.

Turns a program (or pids) and a log's path into an argument vector, says what it costs, and tries
whether strace may trace here at all. Read `strace_tool` for how it is found, `capture.strace.asked`
for what it is asked.

Around a program --seccomp-bpf lets pass at full speed what is not shown. The kernel fails a call
that was to be shown (ENOSYS) where that filter outlives its tracer, so strace must then stay to
the program's end; since 6.6 the program ends with it, otherwise. Attached there is no filter.
"""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from netlab.capture.strace.asked import strace_options
from netlab.lab.strace_tool import Strace
from netlab.model.errors import CheckFailed, NetlabError, PrivilegeError, UsageError

_ANSWERS_WITHIN_S = 10.0
# Measured by tests/bench/test_strace_overhead.py; see there.
_SHOWN, _OTHERS = "a call that is shown took some 0.06 ms longer", "any other system call 0.02 ms"


@dataclass(frozen=True, slots=True)
class Command:
    """What is watched, by which strace."""

    strace: Strace
    program: Sequence[str] = ()  # words
    pids: Sequence[int] = ()  # in place of a program
    seccomp: bool = True  # where the kernel has such filters: see `trial`

    def words(self, log: Path | str) -> list[str]:
        """The argument vector; strace writes the file `log`."""
        filtered = bool(self.program) and self.seccomp
        return [
            self.strace.file,
            *strace_options(),
            "-q",  # no words about attaching, on a stderr that is the program's; exits are kept
            *["--seccomp-bpf"] * filtered,
            "-o",
            _log_word(log),
            *(word for pid in self.pids for word in ("-p", f"{pid}")),
            *(["--", *self.program] if self.program else []),
        ]

    @property
    def witness_text(self) -> str:
        """How a recording's description names this witness, and what it costs the programs."""
        version = self.strace.version
        if self.program and self.seccomp:
            return f"calls: strace {version} -f --seccomp-bpf: {_SHOWN}"
        how = "-f" if self.program else "-p, attached"
        return f"calls: strace {version} {how}: {_SHOWN}, {_OTHERS}"


def trial(strace: Strace) -> bool:
    """Try it on a program that does nothing; whether --seccomp-bpf works.

    Raises PrivilegeError where this process may trace nothing at all, CheckFailed for a strace that
    fails otherwise.
    """
    try:
        tried = subprocess.run(
            Command(strace, ["true"]).words(os.devnull),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ANSWERS_WITHIN_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CheckFailed("strace does not run", str(error)) from None
    if tried.returncode == 0:
        return "seccomp" not in tried.stderr  # it complains, and goes on without
    raise refusal(tried.stderr)


def refusal(stderr: str) -> NetlabError:
    """What strace's own complaint means, with what to do about it; its first line otherwise.

    Knows its words for ptrace(2) refused (EPERM), a pid that is gone (ESRCH).
    """
    lines = [line.removeprefix("strace: ") for line in stderr.splitlines() if line.strip()]
    said = lines[0] if lines else "it gave no reason"
    if os.strerror(errno.EPERM) in stderr:
        return PrivilegeError(f"strace may not trace: {said}", ptrace_hint())
    if os.strerror(errno.ESRCH) in stderr:
        return UsageError(f"strace cannot attach: {said}", "the process has ended: see `ps -e`")
    return CheckFailed(f"strace failed: {said}", "see `strace true`")


def ptrace_hint() -> str:
    """What allows ptrace(2) here: Yama's setting where it forbids, else other rights."""
    try:
        scope = Path("/proc/sys/kernel/yama/ptrace_scope").read_text().strip()
    except OSError:
        scope = "0"
    if scope == "1":
        return "run as root, or allow it with: sudo sysctl -w kernel.yama.ptrace_scope=0"
    if scope == "2":
        return "run as root: kernel.yama.ptrace_scope is 2"
    if scope == "3":
        return "kernel.yama.ptrace_scope is 3: nobody may, until the machine is started again"
    return "run as root, or as the user whose process it is; a container needs CAP_SYS_PTRACE"


def _log_word(log: Path | str) -> str:
    """strace takes a name that begins with | or ! for a command."""
    name = os.fspath(log)
    return name if name.startswith("/") else os.path.join(os.curdir, name)
