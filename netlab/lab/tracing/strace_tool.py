"""Finds strace on this machine, and says how it is to be run so that netlab can read its log.

It is attached, and not the parent of what it watches with a seccomp filter, although that lets pass
at full speed what is not shown: with such a filter, once strace has died, each call that was to be
shown fails (ENOSYS, man 2 seccomp), and a witness must not break the program. On a loop of requests
and responses there is nothing to win by it: tests/bench/test_strace_overhead.py.

Knows nothing of programs, hosts or logs. Read man 1 strace.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass

from netlab.capture.strace.asked import strace_options
from netlab.model.errors import UsageError

WITHOUT = "or record packets alone with --witness none"
OLDEST = (5, 6)  # the first with ns in all times
_ANSWER_WITHIN_S = 10.0
_SHORT = re.compile(r"-(?!e$)\w+")


@dataclass(frozen=True, slots=True)
class Strace:
    """A usable strace."""

    file: str
    version: str

    @property
    def words(self) -> str:
        """What it does and costs, for whoever reads the recording."""
        shown = " ".join(word for word in strace_options() if _SHORT.fullmatch(word))
        return (
            f"strace {self.version} ({shown}, times in ns), attached to each command: a call that "
            "is shown took some 0.06 ms longer, any other 0.02 ms, a new connection 3 ms"
        )

    def arguments(self, log: str) -> list[str]:
        """The command line that attaches to the pid which follows, and logs to the file `log`."""
        return ["strace", *strace_options(), "-o", log, "-p"]


def find_strace(path: str | None = None, *, otherwise: str = WITHOUT) -> Strace:
    """The strace of PATH. Raises UsageError when there is none that netlab can use.

    `otherwise`: what the user may do in place of getting one; empty: nothing.
    """
    file = shutil.which("strace", path=path)
    if file is None:
        raise UsageError(
            "there is no strace here, which shows the calls of programs",
            ", ".join(filter(None, ["install it (apt install strace)", otherwise])),
        )
    version = _version(_said(file, "-V"))
    if version is None:
        raise UsageError(f"{file} does not say which version of strace it is", otherwise)
    if tuple(map(int, version.split(".")[:2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise UsageError(
            f"strace {version} is too old: netlab reads {oldest} and later",
            ", ".join(filter(None, ["install a newer one", otherwise])),
        )
    return Strace(file, version)


def _version(text: str) -> str | None:
    found = re.search(r"strace -- version (\d+\.\d+(?:\.\d+)*)", text)
    return found[1] if found else None


def _said(file: str, option: str) -> str:
    """What it answers; empty when it does not."""
    try:
        done = subprocess.run(
            [file, option],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_ANSWER_WITHIN_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace")
