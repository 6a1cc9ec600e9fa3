"""The verbs of a process that owns its sockets: those on sessions are the engine's own."""

from __future__ import annotations

from collections.abc import Callable

from netlab.server.callbacks import Caller
from netlab.server.loop.reactor import Reactor
from netlab.server.sockets.engine import Engine
from netlab.server.terms import SendError


class LocalVerbs:
    """Verbs on sessions and timers, by an engine and a reactor of this process."""

    def __init__(self, name: str, engine: Engine, reactor: Reactor, caller: Caller) -> None:
        self.name = name
        self.engine = engine
        self.reactor = reactor
        self.caller = caller
        self.send = engine.send  # bound here: not a call more than needed
        self.sendfile = engine.sendfile
        self.sendto = engine.sendto
        self.close = engine.close
        self.half_close = engine.half_close
        self.pause = engine.pause
        self.resume = engine.resume
        self.protect = engine.protect
        self.bind = engine.bind
        self.exists = engine.exists
        self.client_info = engine.client_info
        self.clients = engine.clients
        self.clear = reactor.clear

    @property
    def last_error(self) -> SendError | None:
        """Why the last verb returned False."""
        return self.engine.last_error

    def tick(self, interval_s: float, function: Callable[[], object]) -> int:
        """Call every `interval_s` seconds; reported, not fatal, when it raises."""
        return self.reactor.tick(interval_s, self.caller.guarded(function))

    def after(self, delay_s: float, function: Callable[[], object]) -> int:
        """Call once in `delay_s` seconds."""
        return self.reactor.after(delay_s, self.caller.guarded(function))
