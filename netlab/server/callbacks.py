"""The user's callbacks, and what happens when one raises.

`LocalEvents` turns what the engine tells into callbacks of the same process. A callback that raises
is reported once, with its traceback, in the log; the `error` callback hears of it, and the
connection it was about is closed: nobody else is harmed. SystemExit and MemoryError pass, since
they concern the process.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from netlab.model.errors import UsageError
from netlab.server.sockets.connection import Connection
from netlab.server.terms import Client, Closed, CloseReason

if TYPE_CHECKING:
    from netlab.server.server import Server

Callback = Callable[..., Any]
Callbacks = Mapping[str, Callback]

# name: what it is given after the server
EVENTS: Mapping[str, tuple[str, ...]] = {
    "start": (),
    "shutdown": (),
    "manager_start": (),
    "manager_stop": (),
    "before_reload": (),
    "after_reload": (),
    "worker_error": ("worker", "pid", "exit_code", "signal"),
    "worker_start": ("worker",),
    "worker_stop": ("worker",),
    "worker_exit": ("worker",),
    "connect": ("session",),
    "receive": ("session", "data"),
    "packet": ("data", "client"),
    "half_close": ("session",),
    "close": ("session", "closed"),
    "buffer_full": ("session",),
    "buffer_empty": ("session",),
    "pipe_message": ("source", "message"),
    "task": ("task_id", "source", "data"),
    "finish": ("task_id", "result"),
    "error": ("session", "exception"),
}
_log = logging.getLogger("netlab.server")


def checked_event(name: str, function: object) -> Callback:
    """The function, when `name` is a callback's. Raises UsageError."""
    if name not in EVENTS:
        raise UsageError(f"there is no callback {name!r}", f"one of {', '.join(EVENTS)}")
    if not callable(function):
        raise UsageError(f"the callback {name!r} is {function!r}", "give a function")
    return function


class Caller:
    """Runs callbacks of one process and survives what they raise."""

    def __init__(self, server: Server, callbacks: Callbacks) -> None:
        self.server = server
        self.callbacks = callbacks
        self.errors = 0  # callbacks that raised

    def call(self, name: str, *arguments: object, session: int = 0) -> bool:
        """Run a callback, if there is one; False when it raised."""
        function = self.callbacks.get(name)
        if function is None:
            return True
        try:
            function(self.server, *arguments)
        except MemoryError:
            raise
        except Exception as error:
            self.report(name, error, session)
            return False
        return True

    def guarded(self, function: Callable[[], object]) -> Callable[[], None]:
        """A timer's function that is reported, not fatal, when it raises."""

        def run() -> None:
            try:
                function()
            except MemoryError:
                raise
            except Exception as error:
                self.report("timer", error, 0)

        return run

    def report(self, name: str, error: Exception, session: int) -> None:
        """Write the traceback into the log, and tell the `error` callback."""
        self.errors += 1
        about = f", session {session}" if session else ""
        _log.error("the callback %r raised%s", name, about, exc_info=error)
        listener = self.callbacks.get("error")
        if listener is None:
            return
        try:
            listener(self.server, session, error)
        except MemoryError:
            raise
        except Exception as second:
            _log.error("the callback 'error' raised as well", exc_info=second)


class LocalEvents:
    """What an engine tells -> callbacks in this process."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self.received = _received(caller)

    def connected(self, connection: Connection) -> None:
        self._call("connect", connection)

    def half_closed(self, connection: Connection) -> None:
        self._call("half_close", connection)

    def closed(self, connection: Connection, closed: Closed) -> None:
        self._caller.call("close", connection.session, closed, session=connection.session)

    def buffer_full(self, connection: Connection) -> None:
        if connection.closed is None:
            self._call("buffer_full", connection)

    def buffer_empty(self, connection: Connection) -> None:
        if connection.closed is None:
            self._call("buffer_empty", connection)

    def packet(self, data: bytes, client: Client) -> None:
        self._caller.call("packet", data, client)

    def _call(self, name: str, connection: Connection) -> None:
        if not self._caller.call(name, connection.session, session=connection.session):
            connection.end(CloseReason.CALLBACK)


def _received(caller: Caller) -> Callable[[Connection, bytes], None]:
    """The hot one: a closure instead of a method, and nothing looked up a second time."""
    server = caller.server
    callback = caller.callbacks.get("receive", _nothing)

    def received(connection: Connection, message: bytes) -> None:
        try:
            callback(server, connection.session, message)
        except MemoryError:
            raise
        except Exception as error:
            caller.report("receive", error, connection.session)
            connection.end(CloseReason.CALLBACK)

    return received


def _nothing(*arguments: object) -> None:
    """Stands for a callback that was not given."""
