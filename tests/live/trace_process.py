"""`netlab trace` as a process, in a network namespace of the test's own with only a loopback."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from lab_process import LIMIT_S, ROOT, mark_of, netlab_arguments

from netlab.capture.files import read_raw
from netlab.explain.analysis import analyse
from netlab.model.recording import RawRecording
from netlab.model.tables import Tables

FILE = "t.pcapng"
# Not root in any namespace, and yet with the right to capture in a network of its own, as a Python
# that was given cap_net_raw has it in the machine's.
CAPTURING_USER = (
    "unshare", "--user", "--map-user=1000", "--map-group=1000", "--keep-caps", "--net",
    "sh", "-c", 'ip link set lo up && exec "$@"', "sh",
)  # fmt: skip


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "NETLAB_TEST_MARK": mark_of(folder)}


def trace(
    folder: Path,
    *arguments: str | Path,
    before: Sequence[str] = (),
    env: dict[str, str] | None = None,
    output: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run it to its end in `folder`."""
    where = ("-o", FILE) if output else ()
    return subprocess.run(
        [*before, *netlab_arguments("trace", *where, *arguments)],
        cwd=folder,
        env={**environment(folder), **(env or {})},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )


class Tracing:
    """One that runs until it is told to end."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        words: Sequence[str] = (),
        env: dict[str, str] | None = None,
    ) -> None:
        """`words`: the whole command, in place of netlab's with `arguments`."""
        self.process = subprocess.Popen(
            words or netlab_arguments("trace", "-o", FILE, *arguments),
            cwd=folder,
            env=env or environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.stderr = ""

    def wait_for(self, words: str, *, stdout: bool = False) -> None:
        """Until it has said so."""
        stream = self.process.stdout if stdout else self.process.stderr
        assert stream is not None
        until_s = time.monotonic() + LIMIT_S
        said = b""
        while words.encode() not in said:
            left_s = until_s - time.monotonic()
            assert select.select([stream], [], [], max(0, left_s))[0], said
            more = os.read(stream.fileno(), 4096)
            assert more, said
            said += more
        if not stdout:
            self.stderr += said.decode()

    def end(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """Signal it; its exit code and all that it said on stderr."""
        self.process.send_signal(number)
        _, stderr = self.process.communicate(timeout=LIMIT_S)
        return self.process.returncode, self.stderr + stderr.decode()

    def __enter__(self) -> Tracing:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=LIMIT_S)


def opened(folder: Path) -> tuple[RawRecording, Tables]:
    """The finished recording; nothing else is left."""
    raw = read_raw(folder / FILE)
    assert raw.description.form == "finished"
    assert raw.faults == []
    assert raw.losses == []
    assert not (folder / f"{FILE}.spools").exists()
    return raw, analyse(raw)


def tracer_of(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("TracerPid:\t")[2].split()[0])
