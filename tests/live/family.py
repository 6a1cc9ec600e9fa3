"""Starts a server of several processes (family_server.py) and hears what its callbacks report.

Nothing here sleeps: tests wait for reports, for bytes, or for the end of a process. When a family
ends, the pipe that all its processes hold must come to its end: nobody is left behind.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

WITHIN_S = 40.0  # on a busy machine
SCRIPT = Path(__file__).with_name("family_server.py")
both_modes = pytest.mark.parametrize("mode", ["base", "process"])

Report = dict[str, Any]


class Client:
    """A connection over which expressions are sent and lines come back."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._rest = b""

    def say(self, expression: str) -> None:
        """Send an expression."""
        self.sock.sendall(expression.encode() + b"\n")

    def hear(self) -> Any:
        """The value in the next line."""
        while b"\n" not in self._rest:
            data = self.sock.recv(1 << 16)
            if not data:
                raise EOFError
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return ast.literal_eval(line.decode())

    def ask(self, expression: str) -> Any:
        """What an expression gives in the worker."""
        self.say(expression)
        return self.hear()

    def at_end(self) -> bool:
        """Whether the server has ended the connection, in order or by reset."""
        try:
            return self.sock.recv(1) == b""
        except ConnectionError:
            return True

    def read(self, count: int) -> bytes:
        """Exactly so many bytes."""
        data = bytearray(self._rest[:count])
        self._rest = self._rest[count:]
        while len(data) < count:
            more = self.sock.recv(min(count - len(data), 1 << 16))
            assert more, f"end of file after {len(data)} of {count} bytes"
            data += more
        return bytes(data)


class Family:
    """A server that runs, in processes of its own."""

    def __init__(self, process: subprocess.Popen[bytes], reports: int) -> None:
        self.process = process
        self.seen: list[Report] = []
        self.ports: list[int] = []
        self.clients: list[Client] = []  # closed at the end
        self.mode = ""
        self._reports = reports
        self._rest = b""

    @property
    def port(self) -> int:
        return self.ports[0]

    def connect(self, number: int = 0, *, rcvbuf: int = 0) -> Client:
        """At one of its addresses; `rcvbuf` is asked for before the handshake."""
        sock = socket.socket()
        sock.settimeout(WITHIN_S)
        self.clients.append(Client(sock))
        if rcvbuf:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        sock.connect(("127.0.0.1", self.ports[number]))
        return self.clients[-1]

    def meet(self, number: int = 0, *, rcvbuf: int = 0) -> tuple[Client, int]:
        """A new connection and its session, when nobody else connects meanwhile."""
        self.peek()
        self.seen = [report for report in self.seen if report["name"] != "connect"]
        client = self.connect(number, rcvbuf=rcvbuf)
        return client, int(self.wait("connect")["args"][0])

    def wait(self, name: str, *, pid: int | None = None, first: object = None) -> Report:
        """The next report of that name, behind those that were waited for; `first`: only one with
        that argument."""
        while True:
            for at in range(len(self.seen)):
                found = self.seen[at]
                known = first is None or found["args"][:1] == [repr(first)]
                if found["name"] == name and pid in (None, found["pid"]) and known:
                    del self.seen[at]
                    return found
            assert self._more(), f"no {name} before the end: {self.seen}"

    def ended(self, session: int) -> str:
        """Why this connection ended, as its close callback was told, once."""
        told = self.wait("close", first=session)["args"][1]
        assert not [r for r in self.seen if r["name"] == "close" and r["args"][0] == str(session)]
        return str(told)

    def peek(self) -> None:
        """Take in the reports that are here."""
        while select.select([self._reports], [], [], 0)[0] and self._more():
            pass

    def pids(self, name: str) -> dict[str, int]:
        """The pids behind reports such as worker_start, by their arguments; they are taken."""
        found = [report for report in self.seen if report["name"] == name]
        self.seen = [report for report in self.seen if report["name"] != name]
        return {", ".join(report["args"]): report["pid"] for report in found}

    def kill(self, number: int = signal.SIGTERM) -> None:
        """Send a signal to the main process."""
        self.process.send_signal(number)

    def end(self) -> tuple[int, str]:
        """Wait until everybody is gone; exit status and what was logged."""
        while self._more():
            pass
        _, log = self.process.communicate(timeout=WITHIN_S)
        return self.process.returncode, log.decode()

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Ask for the end, and wait for it."""
        self.kill(number)
        return self.end()

    def _more(self) -> bool:
        """Read reports; False at the end of all processes."""
        waiting = select.poll()
        waiting.register(self._reports, select.POLLIN)
        assert waiting.poll(WITHIN_S * 1000), f"nothing happens: {self.seen}"
        data = os.read(self._reports, 1 << 16)
        *lines, self._rest = (self._rest + data).split(b"\n")
        self.seen += map(json.loads, lines)
        return bool(data)


@contextlib.contextmanager
def family(mode: str, *, ready: bool = True, **given: Any) -> Iterator[Family]:
    """A server in processes of its own; it is ended when the test is over, whatever happened."""
    given = {"framing": "terminator", "terminator": "\n", "workers": 2, "mode": mode} | given
    reports, theirs = os.pipe()
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(theirs), json.dumps(given)],
        pass_fds=(theirs,),
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    os.close(theirs)
    found = Family(process, reports)
    found.mode = mode
    try:
        if ready:
            found.ports = ast.literal_eval(found.wait("open")["args"][0])
            found.wait("start")
        yield found
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its own session: nobody else is in it
        process.communicate(timeout=WITHIN_S)
        for client in found.clients:
            client.sock.close()
        os.close(reports)


def is_alive(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    return state_of(pid) not in "ZX"


def is_asleep(pid: int) -> bool:
    """Whether a process waits for something to happen."""
    return state_of(pid) == "S"


def state_of(pid: int) -> str:
    """The letter that ps has for a process; Z for none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def wait_gone(pid: int) -> None:
    """Until a process, no child of ours, has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        assert waiting.poll(WITHIN_S * 1000), f"{pid} does not end"
    finally:
        os.close(descriptor)


def until(condition: Any, what: str) -> None:
    """Ask again and again, as each answer takes a while, until it is so."""
    deadline_s = monotonic() + WITHIN_S
    while not condition():
        assert monotonic() < deadline_s, what
