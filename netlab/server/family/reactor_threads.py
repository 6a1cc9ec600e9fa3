"""Reactor threads of the master: each a loop, a poller and the connections of its share.

What the GIL makes of it: one thread at a time runs Python, so that more of them give no more
throughput (measured with a handler of 90 us: one 10.7 k/s, two 10.5 k/s and a worse 99th
percentile). They are here because the picture of such a server has them. Events of their
connections are passed to the main thread, which dispatches; verbs come back the same way.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from netlab.server.family.posted import Posted
from netlab.server.family.process import set_name
from netlab.server.loop.reactor import Reactor
from netlab.server.settings.option_table import Options
from netlab.server.shared.estate import Estate
from netlab.server.sockets.engine import Engine

_log = logging.getLogger("netlab.server")


class ReactorThread:
    """One of them; made before its thread runs."""

    def __init__(
        self, number: int, estate: Estate, options: Options, events: Posted, door: Engine,
        failed: Callable[[], None],
    ) -> None:  # fmt: skip
        """`failed` is called, in this thread, when the loop ends by a fault of ours."""
        self._name = f"master/reactor-{number}"
        self._probe = estate.probe
        self._failed = failed
        self.reactor = Reactor(estate.probe, options.poller)
        self.engine = Engine(
            estate.probe, self.reactor, options, estate.sessions, events, name="master",
            keeps_half_open="half_close" in estate.server.callbacks,
        )  # fmt: skip
        self.engine.door = door
        self._thread = threading.Thread(target=self._run, name=self._name)

    def start(self) -> None:
        """Let the loop run."""
        self._thread.start()

    def end(self) -> None:
        """Stop the loop, and wait for its end."""
        if self._thread.ident is not None:
            self.reactor.post(self.reactor.stop)
            self._thread.join()
        self.reactor.close()

    def _run(self) -> None:
        set_name(self._name.removeprefix("master/"))
        self._probe.name_thread(self._name)
        try:
            self.reactor.run()
        except Exception:
            _log.exception("%s ended", self._name)
            self._failed()


def say_what_threads_give(count: int) -> None:
    """What a user of more than one should know."""
    _log.warning(
        "%d reactor threads share the GIL: one at a time runs Python; for more throughput use"
        " more workers in mode base", count,
    )  # fmt: skip
