"""How strace is asked to watch a program's socket calls: the words of its command line.

Turns a program (or pids) and a log's path into an argument vector that the installed version
understands, and says whether there is such a strace, whether it may trace here, and what it costs.
Starts it only to ask for its version and to try. Reads no log: `capture.strace` does.

Read man 1 strace. From its NEWS: nanoseconds in both stamps since 5.6; --seccomp-bpf (the program
stops at the listed calls only) since 5.3, with -f and never with -p; since 6.6 it implies that the
programs are killed when strace is. The kernel fails every listed call with ENOSYS where the filter
outlives its tracer, so a strace that began a program this way must stay until the program ends.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from netlab.capture.strace.asked import strace_options
from netlab.model.errors import CheckFailed, NetlabError, PrivilegeError, UsageError

OLDEST = (5, 0)
_NANOSECONDS = (5, 6)
_SECCOMP = (5, 3)
_ANSWERS_WITHIN_S = 10.0
# Measured: a send() of 1 B took 5 us alone, 39 us traced (-s 0); redis made 2,700 to 3,600 of its
# 9,500 to 14,000 requests a second, 3,200 to 4,800 with --seccomp-bpf.
_COST = "each call listed takes some 35 us longer"
_COST_OTHERS = "and every other call is stopped too"

_OLDER_STAMPS = {
    "--absolute-timestamps=format:unix,precision:ns": "-ttt",
    "--syscall-times=ns": "-T",
}


@dataclass(frozen=True, slots=True)
class Strace:
    """The strace of this machine."""

    path: str
    version: tuple[int, ...]  # 6.1 is (6, 1)
    seccomp: bool = True  # whether --seccomp-bpf works: known by version, corrected by `trial`

    @property
    def has_nanoseconds(self) -> bool:
        """Whether its stamps have nine digits behind the point; else six."""
        return self.version >= _NANOSECONDS

    def words(
        self,
        log: Path | str,
        *,
        command: Sequence[str] = (),
        pids: Sequence[int] = (),
        string_bytes: int = 0,
        addresses: bool = True,
    ) -> list[str]:
        """The argument vector that watches `command`, or `pids` (attached to), and writes `log`.

        `string_bytes` of the content of each call are printed; `addresses` of each socket too (a
        dump of the kernel's sockets at its first sight), not its inode alone.
        """
        options = strace_options(content_bytes=string_bytes, addresses=addresses)
        if not self.has_nanoseconds:
            options = [_OLDER_STAMPS.get(option, option) for option in options]
        return [
            self.path,
            *options,
            "-q",  # no words about attaching, on a stderr that is the program's; exits are kept
            *["--seccomp-bpf"] * bool(command and self.seccomp),
            "-o",
            _log_word(log),
            *(word for pid in pids for word in ("-p", f"{pid}")),
            *(["--", *command] if command else []),
        ]

    def cost_text(self, *, attached: bool = False) -> str:
        """What it costs the programs, for a recording's description and for its reader."""
        if attached or not self.seccomp:
            return f"{_COST}, {_COST_OTHERS}"
        return _COST

    def witness_text(self, *, attached: bool = False) -> str:
        """How a description names this witness."""
        version = ".".join(map(str, self.version))
        how = " --seccomp-bpf" if self.seccomp and not attached else ""
        return f"calls: strace {version} -f{how}: {self.cost_text(attached=attached)}"


def find_strace(path: str | None = None) -> Strace:
    """The strace in PATH (or in `path`, a list of folders like it).

    Raises UsageError when there is none, one that gives no answer, or one older than OLDEST.
    """
    where = shutil.which("strace", path=path)
    if where is None:
        raise UsageError("there is no strace in PATH", "sudo apt-get install strace")
    try:
        answer = subprocess.run(
            [where, "-V"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ANSWERS_WITHIN_S,
            check=False,
            stdin=subprocess.DEVNULL,
        ).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"{where} does not answer", str(error)) from None
    version = version_from_text(answer)
    if version is None:
        raise UsageError(f"{where} does not say its version", "see `strace -V`")
    if version < OLDEST:
        found, oldest = (".".join(map(str, numbers)) for numbers in (version, OLDEST))
        raise UsageError(f"strace {found} is too old", f"{oldest} or newer would do")
    return Strace(where, version, seccomp=version >= _SECCOMP)


def version_from_text(text: str) -> tuple[int, ...] | None:
    """The numbers in the first line of `strace -V`."""
    found = re.match(r"strace -- version (\d+(?:\.\d+)*)", text)
    return tuple(map(int, found[1].split("."))) if found else None


def trial(strace: Strace) -> Strace:
    """Try it on a program that does nothing; `strace`, with what turned out about --seccomp-bpf.

    Raises PrivilegeError where this process may trace nothing at all, CheckFailed for a strace that
    fails otherwise.
    """
    words = strace.words(os.devnull, command=["true"])
    try:
        tried = subprocess.run(
            words,
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
        refused = "seccomp" in tried.stderr  # it says so, and goes on without
        return Strace(strace.path, strace.version, strace.seccomp and not refused)
    raise refusal(tried.stderr)


def refusal(stderr: str) -> NetlabError:
    """What strace's own complaint means, with what to do about it; its first line otherwise.

    Knows its words for ptrace(2) refused (EPERM), a pid that is gone (ESRCH).
    """
    lines = [line.removeprefix("strace: ") for line in stderr.splitlines() if line.strip()]
    said = lines[0] if lines else "it gave no reason"
    if os.strerror(errno.EPERM) in stderr or "already traced" in stderr.lower():
        return PrivilegeError(f"strace may not trace: {said}", ptrace_hint())
    if os.strerror(errno.ESRCH) in stderr:
        return UsageError(f"strace cannot attach: {said}", "the process has ended: see `ps`")
    return CheckFailed(f"strace failed: {said}", "see `strace true`")


def ptrace_hint() -> str:
    """What allows ptrace(2) here: Yama's setting where it forbids, else other rights."""
    try:
        scope = Path("/proc/sys/kernel/yama/ptrace_scope").read_text().strip()
    except OSError:
        scope = "0"
    if scope == "1":
        return "run as root, or allow it with: sudo sysctl -w kernel.yama.ptrace_scope=0"
    if scope in ("2", "3"):
        return f"run as root; kernel.yama.ptrace_scope={scope} forbids it to others"
    return "run as root, or as the user whose process it is; a container needs CAP_SYS_PTRACE"


def _log_word(log: Path | str) -> str:
    """strace takes a name that begins with | or ! for a command."""
    name = os.fspath(log)
    return name if name.startswith("/") else os.path.join(os.curdir, name)
