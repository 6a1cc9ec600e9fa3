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
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

SERVERS = Path(__file__).with_name("servers")
START_WITHIN_S = 20.0
STOP_WITHIN_S = 20.0
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
    """What processes hold; of pages shared with others, PSS counts only their part."""

    rss_bytes: int
    pss_bytes: int


class MeasuredProcess:
    """A Python file of `servers/`, running; use it with `with`."""

    def __init__(
        self, file: str, *arguments: str, cpus: frozenset[int], said: Path, descriptors: int = 0
    ) -> None:
        """Start it. `said` takes its stderr; `descriptors` raises its limit as far as may be."""
        self._said = said

        def prepare() -> None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # nothing outlives a killed test
            os.sched_setaffinity(0, cpus)
            if descriptors:
                hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
                resource.setrlimit(resource.RLIMIT_NOFILE, (min(descriptors, hard), hard))

        with said.open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, str(SERVERS / file), *arguments],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, preexec_fn=prepare,
            )  # fmt: skip

    def __enter__(self) -> MeasuredProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        if error is not None and self.said:
            error.add_note(f"the server said:\n{self.said[-2000:]}")

    def line(self) -> str:
        """Its next line; an AssertionError when none comes."""
        stdout = _pipe(self._process.stdout)
        ready, _, _ = select.select([stdout], [], [], START_WITHIN_S)
        line = stdout.readline() if ready else b""
        assert line, f"{self._process.args} said nothing: {self.said[-2000:]}"
        return line.decode().strip()

    def tell(self, text: str) -> None:
        """Give it a line."""
        stdin = _pipe(self._process.stdin)
        stdin.write(f"{text}\n".encode())
        stdin.flush()

    @property
    def said(self) -> str:
        """Its stderr so far."""
        return self._said.read_text(errors="replace")

    def cpu_s(self) -> float:
        """Processor time taken so far, user and system."""
        return _family_cpu_s(self._process.pid)

    def memory(self) -> Memory:
        """Memory held now."""
        texts = [_read(pid, "smaps_rollup") for pid in _family(self._process.pid)]
        return Memory(_kib(texts, "Rss") * 1024, _kib(texts, "Pss") * 1024)

    def terminate(self) -> None:
        """Ask it to end."""
        self._process.terminate()

    def stop(self) -> None:
        """End it, by force when it must be."""
        self._process.terminate()
        try:
            self._process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _pipe(self._process.stdin).close()
        _pipe(self._process.stdout).close()


class ServerProcess(MeasuredProcess):
    """A server, with its port."""

    def __init__(
        self, file: str, *arguments: str, cpus: frozenset[int], said: Path, descriptors: int = 0
    ) -> None:
        super().__init__(file, *arguments, cpus=cpus, said=said, descriptors=descriptors)
        try:
            self.port = int(self.line())
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> ServerProcess:
        return self


class OthersTime:
    """The processor time that everybody took but we and our children: what makes figures noisy."""

    def __init__(self) -> None:
        self._from = self._now()

    def processors(self) -> float:
        """How many processors the others kept busy since the start."""
        busy_s, ours_s, at_s = (
            now - before for now, before in zip(self._now(), self._from, strict=True)
        )
        return max(0.0, (busy_s - ours_s) / at_s)

    def _now(self) -> tuple[float, float, float]:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
        user, nice, system, _, _, irq, softirq, steal = map(int, fields)
        busy = user + nice + system + irq + softirq + steal
        return busy / _TICKS_PER_S, _family_cpu_s(os.getpid()), time.monotonic()


def _family(pid: int) -> list[int]:
    """The process and all its descendants."""
    family = [pid]
    for member in family:  # grows while it is walked
        try:
            threads = os.listdir(f"/proc/{member}/task")
        except FileNotFoundError:
            continue
        for thread in threads:
            family += map(int, _read(member, f"task/{thread}/children").split())
    return family


def _family_cpu_s(pid: int) -> float:
    ticks = 0
    for member in _family(pid):
        # The name may hold spaces and brackets: fields are counted behind its last bracket.
        fields = _read(member, "stat").rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15]))  # utime, stime, and of children waited for
    return ticks / _TICKS_PER_S


def _pipe(end: IO[bytes] | None) -> IO[bytes]:
    assert end is not None
    return end


def _read(pid: int, file: str) -> str:
    """A file of /proc/PID; empty when the process or thread has just ended."""
    try:
        return Path(f"/proc/{pid}/{file}").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _kib(texts: list[str], name: str) -> int:
    found = [re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE) for text in texts]
    return sum(int(match[1]) for match in found if match)
