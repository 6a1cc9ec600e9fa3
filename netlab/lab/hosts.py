"""The lab as netlab sees it: starts the helper, and programs through it, and hears how they end.

`Lab.open` gives a lab with namespaces of its own, or one on this machine's loopback. Everything in
it ends when it is closed, and when this process dies. Knows the helper's messages; nothing of
recordings. Read `helper` for the other side.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import netlab
from netlab.lab.namespaces import Refused
from netlab.model.errors import CheckFailed, error_from
from netlab.server.messages import control

START_WITHIN_S = 30.0
_STDERR_KEPT_BYTES = 1 << 16
# The programs find the very netlab that started them, whatever their working directory, user or
# environment say; it comes after the standard library, so it can hide nothing of it.
_BOOT = (
    "import sys; sys.path += sys.argv[1].split(':'); from importlib import import_module; "
    "import_module(sys.argv[2]).main(sys.argv[3:])"
)
_INSTALLED = ("site-packages", "dist-packages")
_KEPT_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "HOME")


def python_arguments(
    module: str, *arguments: str, isolated: bool = True, packages: Sequence[str] = ()
) -> list[str]:
    """The command line that runs `main(arguments)` of a module of this netlab in a new Python.

    Isolated it has the standard library, netlab, and where `packages` are installed here; else all
    that we have as well.
    """
    roots = [str(Path(netlab.__file__).resolve().parent.parent)]
    roots += [str(file.parent) for file in _module_files(packages)]
    flags = ["-I", "-S"] if isolated else ["-P"]
    return [sys.executable, *flags, "-c", _BOOT, ":".join(roots), module, *arguments]


def _module_files(packages: Sequence[str]) -> list[Path]:
    """Where modules of others are installed for this Python; those that are not are left out: who
    needs them will say so. What lies in the working directory or on PYTHONPATH is not installed."""
    places = [place for place in sys.path if Path(place).name in _INSTALLED]
    found = [PathFinder.find_spec(package, places) for package in packages]
    return [Path(spec.origin) for spec in found if spec is not None and spec.origin is not None]


def environment() -> dict[str, str]:
    """The little of our environment that programs of the lab get."""
    return {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}


@dataclass(frozen=True, slots=True)
class User:
    """Who the programs are when root starts them."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Started:
    """A program runs; `pid` is the one that the machine outside sees."""

    actor: str
    pid: int


@dataclass(frozen=True, slots=True)
class Ended:
    """A program is over. A negative status is the signal that ended it."""

    actor: str
    status: int
    time_ns: int


Event = Started | Ended


class Lab:
    """A running helper with its programs. `fileno()` is readable when `events()` has something."""

    def __init__(
        self,
        helper: subprocess.Popen[bytes],
        sock: socket.socket,
        user: User | None,
    ) -> None:
        self._helper = helper
        self._sock = sock
        self.user = user
        self._stderr = bytearray()
        self.settings: tuple[tuple[str, str], ...] = ()
        self.notes: tuple[str, ...] = ()
        self.ring_socket: socket.socket | None = None
        self.gone = False  # the first process is dead, and everything in the lab with it

    @classmethod
    def open(cls, *, own: bool, ports: Sequence[int] = (), user: User | None = None) -> Lab:
        """Start a lab: with namespaces (`own`), or on the machine's loopback, capturing `ports`.

        Raises `Refused` when this machine does not allow it.
        """
        ours, theirs = control.pair()
        try:
            with theirs:
                helper = subprocess.Popen(
                    python_arguments(
                        "netlab.lab.helper",
                        str(theirs.fileno()),
                        "own" if own else "machine",
                        ",".join(map(str, ports)),
                    ),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    pass_fds=(theirs.fileno(),),
                    env=environment(),
                    start_new_session=True,  # Ctrl-C at the terminal is for netlab alone
                )
        except BaseException:
            ours.close()
            raise
        assert helper.stderr is not None
        os.set_blocking(helper.stderr.fileno(), False)
        lab = cls(helper, ours, user)
        try:
            lab._wait_until_ready()
        except BaseException:
            lab.close()
            raise
        return lab

    def fileno(self) -> int:
        """The control connection's descriptor, for poll."""
        return self._sock.fileno()

    @property
    def stderr_fileno(self) -> int:
        """Where the programs' stderr arrives; call `read_stderr` when it is readable."""
        assert self._helper.stderr is not None
        return self._helper.stderr.fileno()

    def start(
        self,
        actor: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        fds: Mapping[str, int],
        packages: Sequence[str] = (),
    ) -> None:
        """Ask for a program. Each of `fds` is given to it, its number in the variable of that name.

        A variable that is also in `env` has the number put in its `{}`. Whether it runs is told by
        an event. The connection holds some dozens of such messages: whoever starts many must wait
        for events in between, else this raises BlockingIOError. `packages` are those that `argv`
        was made with: whoever the program is to be must be able to read them.
        """
        user = self.user
        message = {
            "do": "start",
            "actor": actor,
            "argv": list(argv),
            "env": {**environment(), **env},
            "fd_names": list(fds),
            "user": [user.uid, user.gid, *user.groups] if user is not None else None,
            "readable": [str(Path(netlab.__file__).resolve()), *map(str, _module_files(packages))],
            "drop": user is not None or os.geteuid() != 0,
        }
        self._send(message, tuple(fds.values()))

    def signal(self, actors: Sequence[str], number: int) -> None:
        """Send a signal to programs; nothing happens to one that is over."""
        self._send({"do": "signal", "actors": list(actors), "signal": int(number)})

    def events(self) -> list[Event]:
        """What happened since the last call; sets `gone` at the end. Never blocks.

        Raises NetlabError when a program could not be started.
        """
        found: list[Event] = []
        while not self.gone:
            try:
                received = control.receive(self._sock)
            except BlockingIOError:
                break
            if received is None:
                self.gone = True
                break
            message, _ = received
            if message["event"] == "started":
                found.append(Started(message["actor"], message["pid"]))
            elif message["event"] == "ended":
                found.append(Ended(message["actor"], message["status"], message["time_ns"]))
            else:
                raise _error_from(message)
        return found

    def read_stderr(self) -> bool:
        """Take what was written to stderr, so that nobody waits for us; False at its end."""
        try:
            data = os.read(self.stderr_fileno, _STDERR_KEPT_BYTES)
        except BlockingIOError:
            return True
        self._stderr += data
        del self._stderr[:-_STDERR_KEPT_BYTES]
        return bool(data)

    def last_words(self) -> str:
        """The last line that anyone in the lab wrote to stderr: of a traceback, the error."""
        self.read_stderr()
        lines = self._stderr.decode(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else ""

    def close(self) -> None:
        """End everything in the lab, and wait until it is gone."""
        self._sock.close()
        try:
            self._helper.wait(timeout=5)
        except subprocess.TimeoutExpired:
            # Under sudo it is root's, and we are not root any more; it ends without us.
            with suppress(PermissionError):
                self._helper.send_signal(signal.SIGKILL)
                self._helper.wait()
        if self.ring_socket is not None:
            self.ring_socket.close()
        assert self._helper.stderr is not None
        self._helper.stderr.close()

    def _send(self, message: control.Message, descriptors: tuple[int, ...] = ()) -> None:
        try:
            control.send(self._sock, message, descriptors)
        except (BrokenPipeError, ConnectionResetError):
            self.gone = True

    def _wait_until_ready(self) -> None:
        """Wait for `ready`, reading stderr so that a traceback of the helper cannot block it."""
        self._sock.setblocking(False)
        poller = select.poll()
        poller.register(self._sock, select.POLLIN)
        until_s = time.monotonic() + START_WITHIN_S
        while poller.poll(max(0, until_s - time.monotonic()) * 1000):
            received = control.receive(self._sock)
            if received is None:
                self._helper.wait(timeout=5)
                raise CheckFailed("the lab's helper ended at its start", self.last_words())
            message, descriptors = received
            if message["event"] != "ready":
                raise _error_from(message)
            self.ring_socket = socket.socket(fileno=descriptors[0])
            self.settings = tuple((name, value) for name, value in message["settings"])
            self.notes = tuple(message["notes"])
            return
        raise CheckFailed(f"the lab's helper said nothing for {START_WITHIN_S:.0f} s")


def _error_from(message: dict[str, Any]) -> Exception:
    """The error that a message of the helper stands for."""
    if message["event"] == "refused":
        return Refused(message["step"], message["errno"])
    return error_from(message)
