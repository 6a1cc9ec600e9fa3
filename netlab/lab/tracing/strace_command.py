"""How `netlab trace` runs strace: attached to processes, as `netlab lab` does and for its reasons.

Turns pids and a log's name into an argument vector, and says what strace's own complaints mean.
Read `strace_tool` for how it is found, `capture.strace.asked` for what it is asked.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from netlab.capture.strace.asked import strace_options
from netlab.lab.tracing.strace_tool import Strace
from netlab.model.errors import CheckFailed, NetlabError, PrivilegeError, UsageError


def command(strace: Strace, pids: Sequence[int], log: str) -> list[str]:
    """The argument vector: attached to these processes, to all that they fork; it writes `log`."""
    attached = [word for pid in pids for word in ("-p", f"{pid}")]
    return [strace.file, *strace_options(), "-q", "-o", log, *attached]


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
