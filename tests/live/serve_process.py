"""`netlab serve` as a process of its own: what it says, its pids, its end."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

from lab_process import LIMIT_S, ROOT, mark_of, netlab_arguments, processes_marked, run_netlab

WITHIN_S = 20.0


class Serving:
    """A server that has said it is there; leaving the block stops it, if nobody has before."""

    def __init__(self, folder: Path, *arguments: str | Path, before: tuple[str, ...] = ()) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [*before, *netlab_arguments("serve", *arguments)],
            cwd=folder,
            env=environment(folder),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.page: list[str] = []
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.page.append(line.rstrip("\n"))
            if "Ctrl-C stops" in line:
                return
        _, stderr = self._process.communicate(timeout=LIMIT_S)
        raise AssertionError(f"it did not start: {self.page} {stderr}")

    def __enter__(self) -> Serving:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._process.returncode is None:
            self.end(signal.SIGTERM)

    @property
    def pid(self) -> int:
        """The process that was started."""
        return self._process.pid

    @property
    def port(self) -> int:
        """Where its first address is."""
        (found,) = re.findall(r"at tcp:127\.0\.0\.1:(\d+)$", "\n".join(self.page), re.MULTILINE)
        return int(found)

    def status(self) -> Any:
        """What netlab status says, as JSON."""
        return json.loads(run_netlab_status(self._folder, str(self.port), "--json"))

    def pid_of(self, name: str) -> int:
        """The pid of one of its processes."""
        rows = self.status()["processes"]
        return next(int(row["pid"]) for row in rows if row["name"] == name)

    def client(self) -> socket.socket:
        """A connected client."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=WITHIN_S)

    def listens(self) -> bool:
        """Whether a client gets in."""
        try:
            self.client().close()
        except ConnectionError:
            return False
        return True

    def signal(self, number: int) -> None:
        """To the process that was started."""
        self._process.send_signal(number)

    def end(self, number: int | None = None) -> tuple[int, str, str]:
        """Its exit status and what else it said; nothing of it may be left running."""
        if number is not None:
            self.signal(number)
        stdout, stderr = self._process.communicate(timeout=LIMIT_S)
        assert processes_marked(self._folder) == []
        return self._process.returncode, stdout, stderr


def environment(folder: Path) -> dict[str, str]:
    """As for any netlab of a test, with status sockets of its own."""
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700, exist_ok=True)
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "NETLAB_TEST_MARK": mark_of(folder),
        "XDG_RUNTIME_DIR": str(runtime),
    }


def run_netlab_status(folder: Path, *arguments: str) -> str:
    """What netlab status says."""
    done = subprocess.run(
        netlab_arguments("status", *arguments),
        cwd=folder,
        env={**environment(folder), "NETLAB_TEST_MARK": ""},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(folder: Path, *arguments: str | Path) -> tuple[int, str]:
    """Exit code and the one line of a serve that does not start."""
    done = run_netlab(folder, "serve", *arguments)
    assert done.stdout == ""
    return done.returncode, done.stderr
