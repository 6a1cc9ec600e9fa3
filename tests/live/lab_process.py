"""`netlab` as a process: what it says, what it leaves, and the processes of its lab."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import netlab

LIMIT_S = 60
# No other run has it: one may use the same folders, and have left processes behind.
_RUN = uuid.uuid4().hex
_BEGAN_TICKS = int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))
ROOT = Path(netlab.__file__).resolve().parent.parent
# What strace's reader says of a thread that is over at once, just when the machine's pids come
# round: nobody knows whose it was.
NOBODYS_THREAD = "appears without the call that made it"
# A process that is no user of note outside, and uid 1000 without any capability inside.
ORDINARY_USER = ("unshare", "--user", "--map-user=1000", "--map-group=1000")


def mark_of(folder: Path) -> str:
    """The value of NETLAB_TEST_MARK for what a test of this run starts in a folder of its own."""
    return f"{_RUN} {folder}"


def netlab_arguments(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "netlab", *map(str, arguments)]


def run_netlab(
    folder: Path, *arguments: str | Path, before: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Run it to its end in `folder`; nothing of it may be left running."""
    done = subprocess.run(
        [*before, *netlab_arguments(*arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NETLAB_TEST_MARK": mark_of(folder)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert processes_marked(folder) == []
    return done


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that stderr holds."""
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("netlab: "), done.stderr
    return done.stderr


def processes_marked(folder: Path) -> list[int]:
    """Processes of this run that write spools below `folder`, or were started with its mark."""
    mark = b"NETLAB_TEST_MARK=" + os.fsencode(mark_of(folder))
    spools = b"NETLAB_SPOOL=" + os.fsencode(folder) + b"/"
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                environment = (entry / "environ").read_bytes().split(b"\0")
                is_new = _started_ticks(entry) >= _BEGAN_TICKS
            except OSError:
                continue
            if is_new and any(item == mark or item.startswith(spools) for item in environment):
                found.append(int(entry.name))
    return found


def _started_ticks(process: Path) -> int:
    """When a process was started, in clock ticks since boot (man 5 proc_pid_stat, field 22)."""
    return int((process / "stat").read_text().rpartition(")")[2].split()[19])


@dataclass(frozen=True, slots=True)
class Family:
    """The processes of a running `netlab run`, as the machine sees them."""

    main: int
    helper: int
    init: int
    server: int
    client: int

    def all_gone(self, within_s: float = 10) -> bool:
        """Whether none of them is left (as anything but a zombie) after at most so long."""
        until_s = time.monotonic() + within_s
        return all(_gone(pid, until_s) for pid in (self.main, *self.others))

    @property
    def others(self) -> tuple[int, ...]:
        return self.helper, self.init, self.server, self.client


def _gone(pid: int, until_s: float) -> bool:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)  # readable once it has ended
        return bool(poller.poll(max(0, until_s - time.monotonic()) * 1000))
    finally:
        os.close(descriptor)


class Running:
    """`netlab run` under way, its client at work for as long as it takes."""

    def __init__(self, folder: Path, *arguments: str | Path, before: Sequence[str] = ()) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [*before, *netlab_arguments("run", "-o", "a.pcapng", *arguments)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "NETLAB_TEST_MARK": mark_of(folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            self.family = self._family_at_work()
        except BaseException:
            self.process.kill()
            self.process.communicate()
            raise

    def end(self) -> subprocess.CompletedProcess[str]:
        """Its outcome; every process of the lab must be gone by then."""
        out, err = self.process.communicate(timeout=LIMIT_S)
        assert self.family.all_gone()
        assert processes_marked(self.folder) == []
        return subprocess.CompletedProcess([], self.process.returncode, out, err)

    def signal(self, pid: int, number: int = signal.SIGKILL) -> None:
        os.kill(pid, number)

    def _family_at_work(self) -> Family:
        """Wait until the client has written to its spool, which is then growing."""
        until_s = time.monotonic() + LIMIT_S
        main = self.process.pid
        while time.monotonic() < until_s:
            assert self.process.poll() is None, self.process.communicate()
            helpers = _children(main)
            parents = [*_children(helpers[0]), helpers[0]] if helpers else []
            # Without namespaces the helper itself is the parent of the programs.
            init = next((pid for pid in parents if any(map(_role, _children(pid)))), 0)
            programs = {_role(pid): pid for pid in (_children(init) if init else [])}
            if "client" in programs and "server" in programs and self._recorded() > 3:
                return Family(main, helpers[0], init, programs["server"], programs["client"])
            select.select([], [], [], 0.02)
        raise AssertionError("no client at work")

    def _recorded(self) -> int:
        """Calls and frames in the live file so far."""
        from netlab.capture.files import read_raw
        from netlab.model.errors import NetlabError

        try:
            raw = read_raw(self.folder / "a.pcapng")
        except NetlabError:
            return 0
        clients = {call.actor for call in raw.calls} - {"server"}
        return len(raw.frames) if clients else 0


def _children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            if int(stat.rpartition(")")[2].split()[1]) == pid:
                found.append(int(entry.name))
    return sorted(found)


def _role(pid: int) -> str:
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    return next((role for role in ("server", "client") if f'"role": "{role}"'.encode() in line), "")
