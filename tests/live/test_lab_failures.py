"""What bad luck gets in a lab: one line, the right exit code, nothing left, a file that opens."""

from __future__ import annotations

import os
import select
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lab_process import (
    LIMIT_S,
    ORDINARY_USER,
    ROOT,
    complaint,
    mark_of,
    netlab_arguments,
    processes_marked,
    run_netlab,
)

from netlab.capture.files import read_raw
from netlab.model.errors import NetlabError

SERVE = f"{shlex.quote(sys.executable)} -m http.server 80"  # python3 may be a slow script
FETCH = "curl -s -o /dev/null http://server/"
KEEP_FETCHING = f"sh -c 'while :; do {FETCH}; done'"
FORBID = (
    "unshare", "--map-root-user", "--net", "sh", "-c",
    "echo 0 > /proc/sys/user/max_user_namespaces && echo 0 > /proc/sys/user/max_net_namespaces"
    ' && "$@"', "sh",
)  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--server", "no-such-program"), 2, "there is no program no-such-program in PATH"),
        (("--client", "./no-such-program"), 2, "there is no program ./no-such-program"),
        (("--client", "'"), 2, "cannot be split into words"),
        (("--client", ""), 2, "--client has no words"),
        (("--server", "false", "--client", FETCH), 1, "server ended (status 1) before it listened"),
        (("--server", "true", "--client", FETCH), 1, "server ended (status 0) before it listened"),
        (("--server", "sh -c 'echo why >&2; exit 3'"), 1, "(status 3) before it listened: why"),
        (("--server", "sh -c 'echo busy; exec sleep 99'", "--listen-timeout", "0.7"), 1,
         "does not listen after 0.7 s: it has no TCP or UDP socket; its last line: busy"),
        (("--server", f"{SERVE} --bind 127.0.0.1", "--listen-timeout", "3", "--witness", "none"), 1,
         "it has tcp 127.0.0.1:80 LISTEN, which other hosts cannot reach"),
        (("--wire", "delay 20ms; droop c>s data 3"), 2, "not 'droop'"),
        (("--wire", "@no-such-file"), 2, "no-such-file"),
        (("--sysctl", "client:net.ipv4.tcp_syn_retries=400"), 2, "is 6, not 400"),
        (("--sysctl", "client:net.ipv4.no_such=1"), 2, "client has no sysctl net.ipv4.no_such"),
        (("--sysctl", "client:kernel.pid_max=99999"), 2, "no sysctl of a host"),
        (("--sysctl", "clint:net.ipv4.tcp_sack=0"), 2, "no host 'clint'"),
        (("--sysctl", "tcp_sack"), 2, "sets no sysctl"),
        (("--hosts", "1"), 2, "--hosts"),
        (("--hosts", "4", "--client", "true", "--client", "true"), 2, "2 clients on 3 hosts"),
        (("--shell", "clint"), 2, "no host 'clint'"),
        (("--shell", "client", "--client", "true"), 2, "a shell takes the client's place"),
        (("--user", "no-such-user"), 2, "user"),
        (("-o", "no/such/folder.pcapng"), 2, "its folder does not exist"),
    ],
)  # fmt: skip
def test_one_line_and_nothing_left(
    tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    done = run_netlab(tmp_path, "lab", "-o", "a.pcapng", *arguments)
    assert done.returncode == code, done.stderr
    assert words in complaint(done)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("true", "neither a program of this machine nor a script that begins with #!"),
        ("#!/no/such/interpreter\n", "the interpreter that it names does not exist"),
    ],
)
def test_a_file_that_is_no_program(tmp_path: Path, text: str, words: str) -> None:
    program = tmp_path / "program"
    program.write_text(text)
    program.chmod(0o755)
    done = run_netlab(tmp_path, "lab", "-o", "a.pcapng", "--client", "./program")
    assert done.returncode == 2, done.stderr
    assert f"cannot start the client: ./program: {words}" in complaint(done)
    assert list(tmp_path.iterdir()) == [program]


def test_namespaces_are_refused(tmp_path: Path) -> None:
    done = run_netlab(tmp_path, "lab", "-o", "a.pcapng", "--client", "true", before=FORBID)
    assert done.returncode == 3
    assert complaint(done).startswith("netlab: this machine does not allow a lab (")
    assert "sysctl user.max_" in done.stderr
    assert list(tmp_path.iterdir()) == []


class RunningLab:
    """`netlab lab` whose client keeps fetching, and its processes as the machine sees them."""

    def __init__(self, folder: Path, before: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.before = outside()
        self.process = subprocess.Popen(
            [*before, *netlab_arguments(
                "lab", "-o", "a.pcapng", "--quiet", "--server", SERVE, "--client", KEEP_FETCHING,
                "--wire", "delay 1ms",
            )],
            cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "NETLAB_TEST_MARK": mark_of(folder)},
        )  # fmt: skip
        until_s = time.monotonic() + LIMIT_S
        while not self._at_work():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < until_s, "no client at work"
            select.select([], [], [], 0.02)
        helper = self.pids("netlab.lab.helper")
        self.named = {
            "netlab": self.process.pid,
            "helper": min(helper),
            "first process": max(helper),
            "wire": self.pids("netlab.lab.wire.forward")[0],
            "server": self.pids("http.server\x0080")[0],
            "client": self.pids("sh\x00-c\x00while")[0],
        }

    def _at_work(self) -> bool:
        try:
            return len(read_raw(self.folder / "a.pcapng").frames) > 97
        except NetlabError:
            return False

    def pids(self, words: str) -> list[int]:
        """Processes with this in their command line; but netlab itself."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and int(entry.name) != self.process.pid:
                try:
                    line = (entry / "cmdline").read_bytes().decode(errors="replace")
                    mine = str(self.folder) in os.readlink(entry / "cwd") or "netlab.lab" in line
                except OSError:
                    continue
                if words in line and mine and self._is_ours(int(entry.name)):
                    found.append(int(entry.name))
        return sorted(found)

    def _is_ours(self, pid: int) -> bool:
        while pid > 1:
            if pid == self.process.pid:
                return True
            try:
                stat = Path(f"/proc/{pid}/stat").read_text()
            except OSError:
                return False
            pid = int(stat.rpartition(")")[2].split()[1])
        return False

    def end(self) -> tuple[int, str]:
        """Exit code and stderr; nothing is left, and outside all is as it was."""
        _, err = self.process.communicate(timeout=LIMIT_S)
        until_s = time.monotonic() + LIMIT_S
        while (left := processes_marked(self.folder)) or outside() != self.before:
            assert time.monotonic() < until_s, (left, outside(), self.before)
            select.select([], [], [], 0.02)
        return self.process.returncode, err


def outside() -> tuple[object, ...]:
    """What a lab must leave alone: links, mounts, sysctls, names."""
    return (
        socket.if_nameindex(),
        Path("/proc/self/mounts").read_text(),
        Path("/proc/sys/net/ipv4/tcp_child_ehash_entries").read_text(),
        Path("/etc/hosts").read_text(),
        socket.gethostname(),
    )


@pytest.mark.parametrize(
    ("victim", "code", "words"),
    [
        ("wire", 1, "netlab: the wire died (SIGKILL): what was recorded is in a.pcapng\n"),
        ("helper", 1, "netlab: the lab's helper died: what was recorded is in a.pcapng\n"),
        ("first process", 1, "netlab: the lab's helper died: what was recorded is in a.pcapng\n"),
        ("client", 137, ""),
    ],
)
def test_one_of_its_processes_is_killed(tmp_path: Path, victim: str, code: int, words: str) -> None:
    lab = RunningLab(tmp_path)
    os.kill(lab.named[victim], signal.SIGKILL)
    assert lab.end() == (code, words)
    assert [path.name for path in tmp_path.iterdir()] == ["a.pcapng"]
    raw = read_raw(tmp_path / "a.pcapng")
    assert raw.description.form == "finished"
    assert raw.faults == []
    assert len(raw.frames) > 97


def test_netlab_itself_is_killed_and_what_it_left_is_recovered(tmp_path: Path) -> None:
    lab = RunningLab(tmp_path, before=ORDINARY_USER)
    os.kill(lab.named["netlab"], signal.SIGKILL)
    assert lab.end()[0] == -signal.SIGKILL
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pcapng", "a.pcapng.spools"]
    before = len(read_raw(tmp_path / "a.pcapng").frames)
    done = run_netlab(tmp_path, "recover", "a.pcapng")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.pcapng"]
    raw = read_raw(tmp_path / "a.pcapng")
    assert len(raw.frames) >= before
    assert len(raw.arrivals) > 97


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_is_interrupted(tmp_path: Path, number: int, code: int) -> None:
    lab = RunningLab(tmp_path, before=ORDINARY_USER)
    os.kill(lab.named["netlab"], number)
    assert lab.end() == (code, "")
    assert [path.name for path in tmp_path.iterdir()] == ["a.pcapng"]
    raw = read_raw(tmp_path / "a.pcapng")
    assert raw.description.form == "finished"
    assert any("interrupted" in note for note in raw.description.notes)


def helpers_of(pid: int) -> list[str]:
    """Its children that build a lab."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        lines = [Path(f"/proc/{child}/cmdline").read_bytes() for child in children]
    except OSError:
        return []
    return [child for child, line in zip(children, lines, strict=True) if b"lab.helper" in line]


@pytest.mark.parametrize("verb", ["run", "lab"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_is_interrupted_while_it_begins(
    tmp_path: Path, verb: str, number: int, code: int
) -> None:
    endless = ("--lab", "--messages", "100000", "--think", "5")
    more = endless if verb == "run" else ("--client", "sleep 99")
    words = netlab_arguments(verb, "-o", "a.pcapng", *more)
    starting = subprocess.Popen(
        [*ORDINARY_USER, *words], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    until_s = time.monotonic() + LIMIT_S
    while not helpers_of(starting.pid):
        assert time.monotonic() < until_s, "no helper"
        select.select([], [], [], 0.002)
    starting.send_signal(number)
    starting.communicate(timeout=LIMIT_S)
    assert starting.returncode == code


def test_a_full_disk(tmp_path: Path) -> None:
    """On a small file system of its own, which has room for the wire's spool and little more."""
    (tmp_path.parent / "big").write_bytes(bytes(5_000_011))
    recover = shlex.join(netlab_arguments("recover", "a.pcapng"))
    script = (
        f"mount -t tmpfs -o size=17500k none {tmp_path} && cd {tmp_path} && "
        f'"$@"; code=$?; mount -t tmpfs -o remount,size=64m none {tmp_path} && '
        f"{recover} > /dev/null || exit 99; ls > {tmp_path.parent}/then; "
        f"cp a.pcapng {tmp_path.parent}/recovered; exit $code"
    )
    words = netlab_arguments(
        "lab", "-o", "a.pcapng", "--quiet", "--server", f"{SERVE} -d {tmp_path.parent}",
        "--client", "curl -s -o /dev/null http://server/big",
    )  # fmt: skip
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", *words],
        capture_output=True, text=True, timeout=LIMIT_S,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    assert "o space left" in complaint(done)
    assert "netlab recover a.pcapng" in done.stderr
    assert (tmp_path.parent / "then").read_text() == "a.pcapng\n"
    raw = read_raw(tmp_path.parent / "recovered")
    assert len(raw.frames) > 97
    assert [loss for loss in raw.losses if loss.witness == "recorder"]
