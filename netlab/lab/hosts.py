"""The house of a lab as netlab sees it: starts the helper, programs through it, hears how they end.

`House.open` gives one with a loopback of its own, or this machine's; `House.open_hosts` one with
several hosts. Everything in it ends when it is closed, and when this process dies. Knows the
helper's messages; nothing of recordings. Read `helper` for the other side.
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
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

import netlab
from netlab.lab.become import Orders
from netlab.lab.namespaces import Refused
from netlab.model.errors import CheckFailed, error_from
from netlab.server.messages import control

if TYPE_CHECKING:
    from netlab.lab.network.plan import Plan

START_WITHIN_S = 30.0
_STDERR_KEPT_BYTES = 1 << 16
# The programs find the very netlab that started them, whatever their working directory, user or
# environment say, and whatever netlab is installed for their Python: it is looked for first where
# we are. What else lies there comes after all that they have, so it can hide nothing of it.
_BOOT = (
    "import sys; roots = sys.argv[1].split(':'); sys.path[:0] = roots[:1]; import netlab; "
    "del sys.path[:1]; sys.path += roots; from importlib import import_module; "
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


def hint_about_us() -> str:
    """What to do where another user cannot execute our Python, or cannot read this netlab."""
    python = os.path.realpath(sys.executable)
    return (
        f"choose another user with --user, or install netlab where that user can read it, for a "
        f"Python that they can execute (this one is {python})"
    )


@dataclass(frozen=True, slots=True)
class Started:
    """A program runs; `pid` is the one that the machine outside sees."""

    actor: str
    pid: int
    blind: str = ""  # why its calls are not seen, where they should have been


@dataclass(frozen=True, slots=True)
class Unwatched:
    """A program's tracer is over: with 0 once all that it watched had ended."""

    actor: str
    status: int  # negative: the signal that ended it
    reason: str  # what it said last
    time_ns: int


@dataclass(frozen=True, slots=True)
class Ended:
    """A program is over. A negative status is the signal that ended it."""

    actor: str
    status: int
    time_ns: int


@dataclass(frozen=True, slots=True)
class Connected:
    """The hosts' links are up."""


@dataclass(frozen=True, slots=True)
class Left:
    """How many processes are left on a host that was told to end."""

    host: str
    count: int


Event = Started | Ended | Connected | Left | Unwatched


class House:
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
        self._trouble: Exception | None = None  # to be raised next
        self.host_settings: dict[str, tuple[tuple[str, str], ...]] = {}  # by host
        self.notes: tuple[str, ...] = ()
        self.sockets: list[socket.socket] = []  # as the helper opened them
        self.as_root = os.geteuid() == 0  # when it was opened
        self.gone = False  # the first process is dead, and everything in the lab with it

    @property
    def helper_pid(self) -> int:
        """The helper's, whose child is the lab's first process."""
        return self._helper.pid

    @classmethod
    def open(cls, *, own: bool, ports: Sequence[int] = (), user: User | None = None) -> House:
        """One host: with namespaces (`own`), or on the machine's loopback, capturing `ports`.

        Raises `Refused` when this machine does not allow it.
        """
        kind, detail = ("own", "-") if own else ("machine", ",".join(map(str, ports)))
        return cls._start_helper(kind, detail, user, new_session=True)

    @classmethod
    def open_hosts(cls, plan: Plan, user: User | None = None) -> House:
        """The hosts of a plan, their links down until `connect`.

        Raises `Refused` when this machine does not allow it, UsageError for a sysctl that did not
        take. The helper stays in our session: only so a program of it can have the terminal.
        """
        return cls._start_helper("hosts", plan.as_json(), user, new_session=False)

    @classmethod
    def _start_helper(
        cls, kind: str, detail: str, user: User | None, *, new_session: bool
    ) -> House:
        ours, theirs = control.pair()
        words = (str(theirs.fileno()), kind, detail)
        try:
            with theirs:
                helper = subprocess.Popen(
                    python_arguments("netlab.lab.helper", *words),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    pass_fds=(theirs.fileno(),),
                    env=environment(),
                    # Either way Ctrl-C at the terminal is not for it.
                    start_new_session=new_session,
                    process_group=None if new_session else 0,
                )
        except BaseException:
            ours.close()
            raise
        assert helper.stderr is not None
        os.set_blocking(helper.stderr.fileno(), False)
        house = cls(helper, ours, user)
        try:
            house._wait_until_ready()
        except BaseException:
            house.close()
            raise
        return house

    @property
    def settings(self) -> tuple[tuple[str, str], ...]:
        """Of a house with one host: its sysctls as read back."""
        return next(iter(self.host_settings.values()), ())

    @property
    def ring_socket(self) -> socket.socket | None:
        """Of a house with one host: its packet ring."""
        return self.sockets[0] if self.sockets else None

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
        host: str = "",
    ) -> None:
        """Ask for a program; on a host, where there are several.

        Each of `fds` is given to it, its number in the variable of that name; one that is also in
        `env` has the number put in its `{}`. Whether it runs is told by an event. The connection
        holds some dozens of such messages: whoever starts many must wait for events in between,
        else this raises BlockingIOError. `packages` are those that `argv` was made with: whoever
        the program is to be must be able to read them.
        """
        user = self.user
        orders = Orders(
            argv=list(argv),
            env={**environment(), **env},
            fd_names=list(fds),
            user=[user.uid, user.gid, *user.groups] if user is not None else None,
            drop=user is not None or os.geteuid() != 0,
            readable=[str(Path(netlab.__file__).resolve()), *map(str, _module_files(packages))],
            hint=hint_about_us(),
        )
        self.launch(actor, host, orders, tuple(fds.values()))

    def launch(
        self,
        actor: str,
        host: str,
        orders: Orders,
        descriptors: tuple[int, ...] = (),
        *,
        tracer: Orders | None = None,
        logs: tuple[int, ...] = (),
    ) -> None:
        """Ask for a program on a host; whether it runs is told by an event, as with `start`.

        `tracer`: how to start what watches it, which gets the first of `logs` as its fd 1 and the
        program's pid as its last word; in the second the keeper notes the pids of its processes.
        """
        with ExitStack() as opened:
            files = [orders] if tracer is None else [orders, tracer]
            sent = [file.to_file() for file in files]
            for file in sent:
                opened.callback(os.close, file)
            watched = tracer is not None
            message = {"do": "start", "actor": actor, "host": host, "watched": watched}
            self._send(message, (*sent, *logs, *descriptors))

    def unwatch(self, actor: str) -> None:
        """Have the tracer of a program leave it; an event tells when it is over."""
        self._send({"do": "unwatch", "actor": actor})

    def connect(self) -> None:
        """Ask for the hosts' links to be brought up: the wire is there."""
        self._send({"do": "connect"})

    def end_host(self, host: str, number: int) -> None:
        """Send a signal (0: none) to every process of a host. An event tells at once how many
        there are, and another when none is left."""
        self._send({"do": "end", "host": host, "signal": int(number)})

    def signal(self, actors: Sequence[str], number: int) -> None:
        """Send a signal to programs; nothing happens to one that is over."""
        self._send({"do": "signal", "actors": list(actors), "signal": int(number)})

    def events(self) -> list[Event]:
        """What happened since the last call; sets `gone` at the end. Never blocks.

        Raises NetlabError when a program could not be started.
        """
        found: list[Event] = []
        if self._trouble is not None:
            trouble, self._trouble = self._trouble, None
            raise trouble
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
                found.append(Started(message["actor"], message["pid"], message["blind"]))
            elif message["event"] == "unwatched":
                found.append(
                    Unwatched(
                        message["actor"], message["status"], message["reason"], message["time_ns"]
                    )
                )
            elif message["event"] == "ended":
                found.append(Ended(message["actor"], message["status"], message["time_ns"]))
            elif message["event"] == "connected":
                found.append(Connected())
            elif message["event"] == "left":
                found.append(Left(message["host"], message["count"]))
            elif found:  # they happened before: they are heard first
                self._trouble = _error_from(message)
                break
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
        for sock in self.sockets:
            sock.close()
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
            self.sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
            self.host_settings = {
                host: tuple((name, value) for name, value in settings)
                for host, settings in message["settings"].items()
            }
            self.notes = tuple(message["notes"])
            return
        raise CheckFailed(f"the lab's helper said nothing for {START_WITHIN_S:.0f} s")


def _error_from(message: dict[str, Any]) -> Exception:
    """The error that a message of the helper stands for."""
    if message["event"] == "refused":
        return Refused(message["step"], message["errno"])
    return error_from(message)
