"""The load client as Python sees it: compiled with the machine's cc, run, its report read.

Knows no servers but their ports. Read first: load.c.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("load.c")
LONGEST_RUN_S = 60.0  # load.c's own bound
LONGEST_S = 150.0  # with its connects before and its last answers after


@dataclass(frozen=True)
class Load:
    """What the client saw."""

    done: int  # answers, or connections that carried one
    seconds: float
    p50_us: float
    p99_us: float
    errors: int
    first_error: str

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.done / self.seconds


class LoadClient:
    """Puts load on a port of 127.0.0.1, from the processors given."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if compiler is None:
            pytest.fail(
                "the load client needs a C compiler: apt-get install gcc libc6-dev", pytrace=False
            )
        self._program = folder / "load"
        command = [compiler, "-O2", "-Wall", "-Wextra", "-o", self._program, SOURCE]
        subprocess.run(command, check=True)

    def run(
        self, port: int, *, connections: int = 50, seconds: float = 1.0, messages_each: int = 0,
        size_bytes: int = 64, churn: bool = False, idle: int = 0,
        cpus: frozenset[int] = frozenset(), look: Callable[[], object] | None = None,
    ) -> Load:  # fmt: skip
        """`connections` with one message under way each, for a time or for `messages_each`.

        `churn` makes a connection for each message. With `idle` ones beside them, `look` is called
        when all are open, and again after the last answer while they are still open.
        """
        command = [
            str(self._program), "-p", str(port), "-n", str(connections), "-i", str(idle),
            "-s", str(size_bytes), "-e", str(messages_each), "-t", str(seconds),
        ] + ["-c"] * churn  # fmt: skip
        pinned = cpus or os.sched_getaffinity(0)
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, pinned),
        ) as client:  # fmt: skip
            try:
                if idle:
                    text = _watched(client, look)
                else:
                    text, _ = client.communicate(timeout=LONGEST_S)
            except BaseException:
                client.kill()
                raise
        assert client.returncode == 0
        return Load(**json.loads(text))


def _watched(client: subprocess.Popen[str], look: Callable[[], object] | None) -> str:
    """Let it go on from place to place; its report. It bounds its own time."""
    assert client.stdin is not None
    assert client.stdout is not None
    report = ""
    for expected in ("open", "report", "done"):
        line = client.stdout.readline()
        if expected == "report":
            report = line
            continue
        assert line == f"{expected}\n"
        if look is not None:
            look()
        client.stdin.write(".")
        client.stdin.flush()
    return report
