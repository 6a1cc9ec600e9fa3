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
LONGEST_S = 90.0  # of one run, with its connects and its last answers


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
        cpus: frozenset[int] = frozenset(), when_open: Callable[[], object] | None = None,
    ) -> Load:  # fmt: skip
        """`connections` with one message under way each, for a time or for `messages_each`.

        `churn` makes a connection for each message. With `idle` ones beside them, `when_open` is
        called once all are open and before the first message.
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
            assert client.stdout is not None
            if idle:
                assert client.stdout.readline() == "open\n"
                if when_open is not None:
                    when_open()
            try:
                text, _ = client.communicate("", timeout=LONGEST_S)
            except BaseException:
                client.kill()
                raise
        assert client.returncode == 0
        return Load(**json.loads(text))
