"""`netlab lab` as a user runs it: the client is the user's own, the rest is quiet."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from lab_process import (
    LIMIT_S,
    NOBODYS_THREAD,
    ORDINARY_USER,
    ROOT,
    complaint,
    mark_of,
    netlab_arguments,
    processes_marked,
    run_netlab,
)

from netlab.capture.files import read_raw
from netlab.explain.analysis import analyse

SERVE = "python3 -m http.server 80"
# Once as whoever runs the tests, once as a user without any right, in a user namespace.
WHO = pytest.mark.parametrize("who", [(), ORDINARY_USER], ids=["as we are", "ordinary user"])


@WHO
def test_any_two_programs_with_a_wire_between(tmp_path: Path, who: tuple[str, ...]) -> None:
    done = run_netlab(
        tmp_path, "lab", "--server", "python3 -m http.server 8000",
        "--client", "curl -s -o /dev/null -w %{http_code} http://server:8000/",
        "--wire", "delay 20ms; drop s>c data 2", "-o", "l.pcapng", before=who,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "200")
    known = ("note:", NOBODYS_THREAD)
    lines = [line for line in done.stderr.splitlines() if not any(word in line for word in known)]
    assert len(lines) == 1, done.stderr
    (line,) = lines
    assert re.fullmatch(
        r"netlab: \d+ packets and \d+ calls are in l\.pcapng: "
        r"netlab inspect l\.pcapng --connection 0",
        line,
    )
    assert [path.name for path in tmp_path.iterdir()] == ["l.pcapng"]
    raw = read_raw(tmp_path / "l.pcapng")
    tables = analyse(raw)
    (connection,) = [c for c in tables.connections if c.protocol == "tcp"]
    assert connection.server_port == 8000
    assert connection.handshake_ns is not None
    assert connection.handshake_ns > 40_000_000
    (lost,) = [packet for packet in tables.packets if packet.fate == "dropped"]
    assert lost.sport == 8000
    again = [p for p in tables.packets if (p.sport, p.seg_seq) == (8000, lost.seg_seq)]
    assert len(again) >= 2  # on a busy machine perhaps a third time
    assert raw.description.title.startswith("netlab lab --server 'python3 -m http.server 8000'")


def test_the_client_has_our_input_environment_and_folder(tmp_path: Path) -> None:
    (tmp_path / "here").touch()
    done = subprocess.run(
        netlab_arguments("lab", "--client", "sh -c 'cat; echo $MINE; ls; exit 7'", "-o", "a.pcapng",
                         "--quiet"),
        input="said to it\n", cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MINE": "of ours"},
    )  # fmt: skip
    said = ["said to it", "of ours", "a.pcapng", "a.pcapng.spools", "here"]
    assert (done.returncode, done.stdout.splitlines()) == (7, said)


def test_several_clients_and_the_first_exit_code_that_is_not_0(tmp_path: Path) -> None:
    done = run_netlab(
        tmp_path, "lab", "--hosts", "4", "--client", "true", "--client", "sh -c 'exit 5'",
        "--client", "hostname", "-o", "a.pcapng", "--quiet",
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (5, "client-3\n")
    names = [interface.name for interface in read_raw(tmp_path / "a.pcapng").interfaces]
    assert names == ["client-1", "server", "client-2", "client-3", "wire"]


def test_one_client_on_each_of_several_hosts(tmp_path: Path) -> None:
    done = run_netlab(
        tmp_path, "lab", "--hosts", "3", "--server", SERVE,
        "--client", "curl -s -o /dev/null http://server/", "-o", "a.pcapng", "--quiet",
    )  # fmt: skip
    assert done.returncode == 0
    tables = analyse(read_raw(tmp_path / "a.pcapng"))
    tcp = [c.client for c in tables.connections if c.protocol == "tcp"]
    assert sorted(client.rpartition(".")[2] for client in tcp) == ["1", "3"]


def test_a_sysctl_of_one_host(tmp_path: Path) -> None:
    name = "net.ipv4.tcp_syn_retries"
    done = run_netlab(
        tmp_path, "lab", "--sysctl", f"client:{name}=3", "--client",
        f"cat /proc/sys/{name.replace('.', '/')}", "-o", "a.pcapng", "--quiet",
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "3\n")
    hosts = read_raw(tmp_path / "a.pcapng").description.hosts
    assert [dict(host.sysctls)[name] for host in hosts] == ["3", "6"]


def test_a_congestion_control_that_only_a_route_may_have(tmp_path: Path) -> None:
    """In an ordinary user's namespace cubic is often not among those that a sysctl may name."""
    code = (
        "import socket as s; c = s.create_connection(('server', 80)); print(c.getsockopt(6, 13, 9))"
    )
    done = run_netlab(
        tmp_path, "lab", "--server", SERVE, "--sysctl",
        "client:net.ipv4.tcp_congestion_control=reno", "--client", f'python3 -c "{code}"',
        "-o", "a.pcapng", "--quiet", before=ORDINARY_USER,
    )  # fmt: skip
    assert (done.returncode, done.stdout[:6]) == (0, "b'reno"), done.stderr


class Terminal:
    """`netlab lab` on a terminal, as a shell would start it, and what was printed there."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        words = [*ORDINARY_USER, *netlab_arguments("lab", "-o", "a.pcapng", *arguments)]
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            try:
                os.chdir(folder)
                os.environ.update(
                    PYTHONPATH=str(ROOT),
                    NETLAB_TEST_MARK=mark_of(folder),
                    SHELL="/bin/sh",
                    PS1="ready> ",
                )
                os.execvp(words[0], words)
            finally:
                os._exit(127)
        self.text = ""

    def say(self, text: str) -> None:
        os.write(self.descriptor, text.encode())

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Read until what came since the last match has this."""
        until_s = time.monotonic() + LIMIT_S
        while time.monotonic() < until_s:
            if found := re.search(pattern, self.text):
                self.text = self.text[found.end() :]
                return found
            if select.select([self.descriptor], [], [], 1)[0]:
                self.text += os.read(self.descriptor, 1 << 16).decode(errors="replace")
        raise AssertionError(f"no {pattern} in {self.text!r}")

    def end(self) -> int:
        """Its exit code; nothing of it is left."""
        try:
            while os.read(self.descriptor, 1 << 16):
                pass
        except OSError:  # EIO: nobody has the terminal any more
            pass
        os.close(self.descriptor)
        _, status = os.waitpid(self.pid, 0)
        assert processes_marked(self.folder) == []
        assert [path.name for path in self.folder.iterdir()] == ["a.pcapng"]
        return os.waitstatus_to_exitcode(status)


@contextmanager
def terminal(folder: Path, *arguments: str) -> Iterator[Terminal]:
    term = Terminal(folder, *arguments)
    try:
        yield term
    except BaseException:
        os.kill(term.pid, signal.SIGKILL)
        raise


def test_a_shell_on_a_host(tmp_path: Path) -> None:
    with terminal(tmp_path, "--server", SERVE, "--shell", "client") as term:
        term.wait_for("ready> ")
        term.say("hostname\n")
        term.wait_for("\nclient\r\n")
        term.say("curl -s -o /dev/null -w '%{http_code}-\\n' http://server/\n")
        term.wait_for("200-\r\n")
        term.say("cat\n")
        term.wait_for("cat\r\n")
        term.say("\x03")  # Ctrl-C is for what runs in the shell
        term.wait_for("ready> ")
        term.say("exit 3\n")
        assert term.end() == 3
    assert read_raw(tmp_path / "a.pcapng").description.form == "finished"


def test_a_client_on_a_terminal_gets_ctrl_c_itself(tmp_path: Path) -> None:
    trap = "sh -c 'trap \"echo mine; exit 9\" INT; echo there; while :; do sleep 0.1; done'"
    with terminal(tmp_path, "--client", trap) as term:
        term.wait_for("there")
        term.say("\x1a")  # Ctrl-Z: nobody could continue it
        term.say("\x03")
        term.wait_for("mine")
        assert term.end() == 9


def test_a_lab_that_stands_until_ctrl_c_and_can_be_entered(tmp_path: Path) -> None:
    with terminal(tmp_path, "--server", SERVE) as term:
        term.wait_for("the server listens on tcp:80")
        enter = term.wait_for("enter client: (nsenter .*)\r").group(1)
        term.wait_for("Ctrl-C ends the lab")
        looks = "hostname; pwd; id -u; grep CapEff /proc/self/status"
        inside = f"{looks}; curl -s http://server/ -o /dev/null"
        done = subprocess.run(
            ["sh", "-c", f"{enter} sh -c '{inside}'"],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
        if os.getuid() == 0:  # root is in no user namespace of 1000's, but may enter it as root
            assert done.stdout.splitlines()[:2] == ["client", str(tmp_path)], done.stderr
        else:
            said = ["client", str(tmp_path), str(os.getuid()), f"CapEff:\t{'0' * 16}"]
            assert done.stdout.splitlines() == said, done.stderr
        assert done.returncode == 0
        term.say("\x03")
        assert term.end() == 0
    raw = read_raw(tmp_path / "a.pcapng")
    assert len(raw.frames) > 6
    assert not any("interrupted" in note for note in raw.description.notes)


def test_a_server_is_stopped_when_all_that_was_sent_has_arrived(tmp_path: Path) -> None:
    echo = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.bind(("", 7001))
    while True:
        sock.sendto(*sock.recvfrom(100))
"""
    send = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    for _ in range(7):
        sock.sendto(b"late", ("server", 7001))
"""
    (tmp_path / "echo.py").write_text(echo)
    (tmp_path / "send.py").write_text(send)
    done = run_netlab(
        tmp_path, "lab", "--server", "python3 echo.py", "--client", "python3 send.py",
        "--wire", "delay 700ms", "-o", "u.pcapng",
    )  # fmt: skip
    assert (done.returncode, "still" in done.stderr) == (0, False)
    packets = analyse(read_raw(tmp_path / "u.pcapng")).packets
    # The server was there: it has answered. The client was not: nobody has the answers.
    assert [packet.fate for packet in packets if packet.dport == 7001] == ["delivered"] * 7
    assert [packet.fate for packet in packets if packet.sport == 7001] == ["delivered"] * 7


@pytest.mark.slow  # how long that may take is counted in `test_wire_patience`
def test_a_lab_ends_when_the_longest_delay_has(tmp_path: Path) -> None:
    # The client is over at once, 2.5 delays before the server has its data, and its own end.
    close = """
import socket
with socket.create_connection(("server", 80)) as sock:
    sock.sendall(bytes(4093))
"""
    (tmp_path / "close.py").write_text(close)
    done = run_netlab(
        tmp_path, "lab", "--server", SERVE, "--client", "python3 close.py",
        "--wire", "delay 2100ms", "-o", "d.pcapng",
    )  # fmt: skip
    assert (done.returncode, "still" in done.stderr) == (0, False)
    packets = analyse(read_raw(tmp_path / "d.pcapng")).packets
    assert {packet.fate for packet in packets} == {"delivered"}


def test_a_server_that_dies_while_the_client_works(tmp_path: Path) -> None:
    code = "import os, socket; socket.create_server((str(), 80)).accept(); os._exit(4)"
    done = run_netlab(
        tmp_path, "lab", "--server", f'python3 -c "{code}"',
        "--client", "curl -s http://server/", "-o", "a.pcapng", "--quiet",
    )  # fmt: skip
    assert done.returncode in (52, 56)  # curl's: an empty answer, or a reset
    assert complaint(done) == "netlab: the server ended (status 4) before it was stopped\n"
