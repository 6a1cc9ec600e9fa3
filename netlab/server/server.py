"""The public face of the server core: addresses, options, callbacks, and the verbs.

    server = Server("127.0.0.1", 7777, nodelay=True)

    @server.on("receive")
    def receive(server, session, data):
        server.send(session, data)

    server.start()

`start` chooses the mode, and each process of that mode takes its role (`act_as`): the verbs are
that role's. A session is a number that names one connection for ever, never a descriptor.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, TypeVar

from netlab.model.errors import UsageError
from netlab.model.probe import Probe
from netlab.server.callbacks import Callback, checked_event
from netlab.server.family.pid_file import PidFile
from netlab.server.family.process import take_identity
from netlab.server.plain import PlainProbe
from netlab.server.role import Role
from netlab.server.settings.effective import EffectiveRow, effective, facts_of_this_machine
from netlab.server.settings.option_table import Options
from netlab.server.settings.options import options_for_port, options_from
from netlab.server.sockets.entrance import ListenError, Place, opened, release
from netlab.server.terms import Client, ClientInfo, Mode, SendError, Stats

F = TypeVar("F", bound=Callback)
Opened = tuple[socket.socket, Place, Options]
_log = logging.getLogger("netlab.server")


# The module of each mode, which has a `run(server)`: only the one that is needed is loaded.
MODULES = {
    Mode.SINGLE: "netlab.server.single",
    Mode.THREADS: "netlab.server.threads",
    Mode.BASE: "netlab.server.family.base",
    Mode.PROCESS: "netlab.server.family.master",
}


class Server:
    """A server of one or several addresses.

    Options are given by their names, see `netlab.server.settings.options`; a wrong one is a
    UsageError here.
    """

    def __init__(
        self, host: str | None = None, port: int = 0, *, kind: str | None = None,
        probe: Probe | None = None, **options: Any,
    ) -> None:  # fmt: skip
        """Serve at `host` and `port` (None: only what `listen` adds), watched by `probe`."""
        self.probe: Probe = probe if probe is not None else PlainProbe()
        self.options = options_from(None, **options)
        self.callbacks: dict[str, Callback] = {}
        self.opened: list[Opened] = []
        self._asked: list[tuple[Place, dict[str, Any]]] = []
        self._role: Role | None = None
        self._started = False
        self._pid_file: PidFile | None = None
        if host is not None:
            self.listen(host, port, kind)

    # -- before the start ------------------------------------------------------------------------

    def set(self, **options: Any) -> None:
        """More options, or others; before the start."""
        self._refuse_started("set options")
        self.options = options_from(self.options, **options)

    def on(self, name: str, function: Callback | None = None) -> Callable[[F], F]:
        """Register a callback: `server.on("receive", f)`, or as a decorator.

        Each is given the server first; see `netlab.server.callbacks.EVENTS` for the rest.
        """
        self._refuse_started("register callbacks")

        checked_event(name, function or callable)

        def register(function: F) -> F:
            self.callbacks[name] = checked_event(name, function)
            return function

        if function is not None:
            register(function)
        return register

    def listen(self, host: str, port: int = 0, kind: str | None = None, **options: Any) -> None:
        """One more address: kind tcp, udp, unix or unix_dgram; options for it alone."""
        self._refuse_started("listen")
        place = Place.asked(host, port, kind)
        options_for_port(self.options, **options)
        self._asked.append((place, options))

    def open(self) -> list[Place]:
        """Take all addresses now (else `start` does), and say which, with the kernel's ports.

        Raises ListenError when one cannot be had; none is taken then.
        """
        if not self.opened:
            if not self._asked:
                raise UsageError("the server has no address", "give one to Server() or listen()")
            try:
                for place, asked in self._asked:
                    options = options_for_port(self.options, **asked)
                    self.opened.append((opened(self.probe, place, options), place, options))
            except BaseException:
                self._close_opened()
                raise
        return [place.with_port_of(sock) for sock, place, _ in self.opened]

    def discard(self) -> None:
        """Give back the addresses that `open` took, of a server that is not to be started."""
        self._refuse_started("discard it")
        self._close_opened()

    def start(self) -> int:
        """Serve until stopped: 0 after an orderly stop, 1 a forced one, 2 when an address could
        not be had, 3 when workers could not start. Raises UsageError for what is missing."""
        self._refuse_started("start")
        self._check()
        self._started = True
        try:
            with _logging_to(self.options.log_file):
                return self._start()
        finally:
            self._close_opened()
            self._role = None
            self._started = False
            self.__dict__.pop("send", None)

    def _start(self) -> int:
        self._pid_file = PidFile.at(self.options.pid_file)
        try:
            self.open()
            run: Callable[[Server], int] = import_module(MODULES[self.options.mode]).run
            take_identity(self.options.user, self.options.group)  # who may not read our modules
            return run(self)
        except ListenError as error:
            _log.error("%s", error)
            return 2
        finally:
            if self._pid_file is not None:
                self._pid_file.remove()

    def serving(self) -> None:
        """Clients are accepted: who looks for the pid file may find it now."""
        if self._pid_file is not None:
            self._pid_file.write()

    def act_as(self, role: Role) -> None:
        """Let the verbs be those of this process's role."""
        self._role = role
        self.send = role.send  # type: ignore[method-assign]  # a call less for each message

    def _check(self) -> None:
        streams = any(place.is_stream for place, _ in self._asked)
        datagrams = any(not place.is_stream for place, _ in self._asked)
        for needed, missing in (
            ("receive", streams), ("packet", datagrams), ("task", self.options.tasks > 0),
        ):  # fmt: skip
            if missing and needed not in self.callbacks:
                raise UsageError(
                    f"the callback {needed!r} is missing", f"register it with on({needed!r}, ...)"
                )

    def _refuse_started(self, what: str) -> None:
        if self._started:
            raise UsageError(f"the server runs already: too late to {what}", "do it before start()")

    def _close_opened(self) -> None:
        for sock, place, _ in self.opened:
            if sock.fileno() >= 0:  # else its entrance closed it
                release(sock, place)
        self.opened.clear()

    # -- verbs on sessions -----------------------------------------------------------------------

    @property
    def role(self) -> Role:
        """The role of this process. Raises UsageError when the server does not run."""
        if self._role is None:
            raise UsageError("the server does not run", "call start() first")
        return self._role

    @property
    def last_error(self) -> SendError | None:
        """Why the last verb returned False."""
        return self.role.last_error

    def send(self, session: int, data: bytes | bytearray | memoryview) -> bool:
        """Send all of it, or queue what the kernel does not take; False: nothing was taken."""
        return self.role.send(session, data)

    def sendfile(
        self, session: int, path: str | os.PathLike[str], offset: int = 0, count: int | None = None
    ) -> bool:
        """Send a file, or `count` bytes of it from `offset`, after what is queued."""
        return self.role.sendfile(session, path, offset, count)

    def sendto(self, client: Client, data: bytes) -> bool:
        """Send a datagram to who wrote one."""
        return self.role.sendto(client, data)

    def close(self, session: int, reset: bool = False) -> bool:
        """Close once the queued output is sent; with `reset` drop it and send RST."""
        return self.role.close(session, reset)

    def half_close(self, session: int) -> bool:
        """Send FIN after the queued output, and go on reading."""
        return self.role.half_close(session)

    def pause(self, session: int) -> bool:
        """Do not read from this client until `resume`: its window closes."""
        return self.role.pause(session)

    def resume(self, session: int) -> bool:
        """Read from this client again."""
        return self.role.resume(session)

    def protect(self, session: int, on: bool = True) -> bool:
        """Exempt a session from the time-outs, except that of waiting output."""
        return self.role.protect(session, on)

    def bind(self, session: int, uid: int) -> bool:
        """Give a session a number of your own; dispatch `bound` goes by it."""
        return self.role.bind(session, uid)

    def exists(self, session: int) -> bool:
        """Whether the session is open."""
        return self.role.exists(session)

    def client_info(self, session: int) -> ClientInfo | None:
        """What is known of a session; None when there is no such."""
        return self.role.client_info(session)

    def clients(self) -> list[int]:
        """All sessions that are open."""
        return self.role.clients()

    # -- verbs on processes, timers, figures -----------------------------------------------------

    def task(self, data: bytes, worker: int | None = None) -> int | None:
        """Give work to a task worker; its id, or None when it was not taken."""
        return self.role.task(data, worker)

    def task_wait(self, data: bytes, timeout_s: float) -> bytes | None:
        """Give work to a task worker and wait for its result; None when there was none in time."""
        return self.role.task_wait(data, timeout_s)

    def finish(self, result: bytes) -> bool:
        """In a task callback: the result, before the callback returns."""
        return self.role.finish(result)

    def send_message(self, target: str | int, message: bytes) -> bool:
        """Send a message to another process of this server: "master", "worker-1", 1."""
        return self.role.send_message(target, message)

    def tick(self, interval_s: float, function: Callable[[], object]) -> int:
        """Call a function every so often in this process; the number is for `clear`."""
        return self.role.tick(interval_s, function)

    def after(self, delay_s: float, function: Callable[[], object]) -> int:
        """Call a function once; the number is for `clear`."""
        return self.role.after(delay_s, function)

    def clear(self, timer: int) -> bool:
        """Stop a timer; False when there is no such any more."""
        return self.role.clear(timer)

    def stats(self) -> Stats:
        """Totals since the start."""
        return self.role.stats()

    def effective(self) -> list[EffectiveRow]:
        """Every option as asked for and as it holds on this machine, with the reason."""
        return effective(self.options, facts_of_this_machine())

    def reload(self, only_tasks: bool = False) -> bool:
        """Replace the workers one by one, without dropping connections that can be kept."""
        return self.role.reload(only_tasks)

    def stop(self, worker: int | None = None) -> bool:
        """Let one worker leave (None: the one this is called in); it is replaced."""
        return self.role.stop(worker)

    def shutdown(self) -> None:
        """Stop in order: listen no more, read no more, send what is queued, close. Any thread."""
        self.role.shutdown()


@contextlib.contextmanager
def _logging_to(path: str) -> Iterator[None]:
    """The server's log goes to a file, else to standard error unless the program decided."""
    handler: logging.Handler | None = None
    if path:
        handler = logging.FileHandler(path)
    elif not _log.hasHandlers():
        handler = logging.StreamHandler()
    if handler is not None:
        handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(message)s"))
        _log.addHandler(handler)
    try:
        yield
    finally:
        if handler is not None:
            _log.removeHandler(handler)
            handler.close()
