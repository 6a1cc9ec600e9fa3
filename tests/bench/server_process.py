"""A server under measure: started as a process, its port, its CPU time, its memory, its end.

A server file prints the port it listens on as its first line, and ends at SIGTERM. Processor time
and memory are those of the process and all its descendants, from /proc. Read first: man 5 proc.
"""

from __future__ import annotations

import ctypes
import os
import re
import resource
import select
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO

SERVERS = Path(__file__).with_name("servers")
START_WITHIN_S = 20.0
STOP_WITHIN_S = 10.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def processors() -> tuple[frozenset[int], frozenset[int]]:
    """Where a server of one process runs, and where its client does."""
    usable = sorted(os.sched_getaffinity(0))
    return frozenset(usable[:1]), frozenset(usable[1:2] or usable)


def both_processors() -> frozenset[int]:
    """For servers of several processes: the client's too, so that nobody gains a third."""
    server, client = processors()
    return server | client


@dataclass(frozen=True)
class Memory:
    """What a process holds; of pages shared with others, PSS counts only its part."""

    rss_bytes: int
    pss_bytes: int


class ServerProcess:
    """One running server; use it with `with`."""

    def __init__(
        self, file: str, *arguments: str, cpus: frozenset[int], said: Path, descriptors: int = 0
    ) -> None:
        """Start SERVERS/file; `said` takes its stderr; `descriptors` raises its limit."""
        self._said = said
        interpreter = [sys.executable] if file.endswith(".py") else ["php"]

        def prepare() -> None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # nothing outlives a killed test
            os.sched_setaffinity(0, cpus)
            if descriptors:
                hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
                resource.setrlimit(resource.RLIMIT_NOFILE, (min(descriptors, hard), hard))

        with said.open("wb") as stderr:
            self._process = subprocess.Popen(
                [*interpreter, str(SERVERS / file), *arguments],
                stdout=subprocess.PIPE, stderr=stderr, preexec_fn=prepare,
            )  # fmt: skip
        try:
            self.port = int(self._first_line())
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def cpu_s(self) -> float:
        """Processor time taken so far, user and system."""
        ticks = 0
        for pid in self._family():
            # The name may hold spaces and brackets: fields are counted behind its last bracket.
            fields = _read(pid, "stat").rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))  # utime, stime, and of children waited for
        return ticks / _TICKS_PER_S

    def memory(self) -> Memory:
        """Memory held now."""
        texts = [_read(pid, "smaps_rollup") for pid in self._family()]
        return Memory(_kib(texts, "Rss") * 1024, _kib(texts, "Pss") * 1024)

    def stop(self) -> str:
        """End it, by force when it must be; what it said on stderr."""
        self._process.terminate()
        try:
            self._process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _stdout(self._process).close()
        return self._said.read_text(errors="replace")

    def _family(self) -> list[int]:
        family = [self._process.pid]
        for pid in family:  # grows while it is walked
            for thread in os.listdir(f"/proc/{pid}/task"):
                family += map(int, _read(pid, f"task/{thread}/children").split())
        return family

    def _first_line(self) -> bytes:
        stdout = _stdout(self._process)
        ready, _, _ = select.select([stdout], [], [], START_WITHIN_S)
        line = stdout.readline() if ready else b""
        if not line:
            raise AssertionError(f"the server did not start: {self._said.read_text()[-2000:]}")
        return line


def _stdout(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdout is not None
    return process.stdout


def _read(pid: int, file: str) -> str:
    """A file of /proc/PID; empty when the process or thread has just ended."""
    try:
        return Path(f"/proc/{pid}/{file}").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _kib(texts: list[str], name: str) -> int:
    found = [re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE) for text in texts]
    return sum(int(match[1]) for match in found if match)
