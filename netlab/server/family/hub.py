"""The process to which all lines lead: the master of `process`, the manager of `base`.

It has the switchboard, speaks for itself over it, answers the others' questions, and takes the
user's signals. What `stop` and the like mean, those know that derive from it. Signals are acted on
in the loop. Read first: switchboard.py, messenger.py.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import Any

from netlab.model.errors import UsageError
from netlab.server.callbacks import Caller
from netlab.server.family.family_role import FamilyRole
from netlab.server.family.family_status import rows_of
from netlab.server.family.remote import RemoteEngine
from netlab.server.loop.reactor import Reactor
from netlab.server.messages.envelope import Envelope
from netlab.server.messages.messenger import Messenger, Refused
from netlab.server.messages.switchboard import Station, Switchboard
from netlab.server.pages.status import ProcessRow
from netlab.server.shared.counters import Counter
from netlab.server.shared.estate import Estate
from netlab.server.terms import ClientInfo, SendError, Stats

_log = logging.getLogger("netlab.server")


class HubProcess(ABC):
    """The main process of a server of several."""

    def __init__(self, estate: Estate, here: Collection[str], reactor: Reactor) -> None:
        """`here`: the names that this process answers to, its own first."""
        self.estate = estate
        self.options = estate.options
        self.reactor = reactor
        self.name = next(iter(here))
        self.row = estate.row(self.name)
        self.row[Counter.PID] = os.getpid()
        self.caller = Caller(estate.server, estate.server.callbacks)
        self.switchboard = Switchboard(reactor, here, self, _warn)
        self.messenger = Messenger(self.name, 1, self.switchboard, self, self.row, reactor.defer)
        self.remote = RemoteEngine(
            self.name, lambda message, about: self.verb(message), lambda: 0, estate, self.messenger
        )
        self.role = FamilyRole(
            self.name, estate, self.remote, self.messenger, reactor, self.caller, self
        )
        self.stopping = False
        self.status = 0
        self._interrupts = 0

    def heed(self) -> None:
        """Take the user's signals. Raises UsageError outside the main thread."""
        if threading.current_thread() is not threading.main_thread():
            raise UsageError(
                f"mode {self.options.mode} forks, and must be started in the main thread",
                "use mode single or threads elsewhere",
            )
        on_signal = self.reactor.on_signal
        on_signal(signal.SIGTERM, self._shutdown)
        on_signal(signal.SIGINT, self._interrupted)
        on_signal(signal.SIGQUIT, self.quit)
        on_signal(signal.SIGHUP, lambda: self.reload(False))
        on_signal(signal.SIGUSR1, lambda: self.reload(False))
        on_signal(signal.SIGUSR2, lambda: self.reload(True))
        on_signal(signal.SIGTTIN, self.more)
        on_signal(signal.SIGTTOU, self.less)

    # -- for those who derive --------------------------------------------------------------------

    @abstractmethod
    def verb(self, message: bytes) -> None:
        """See switchboard.Hub."""

    @abstractmethod
    def gone(self, station: Station) -> None:
        """See switchboard.Hub."""

    @abstractmethod
    def drained(self, station: Station) -> None:
        """See switchboard.Hub."""

    @abstractmethod
    def stop(self) -> None:
        """Begin to stop in order."""

    @abstractmethod
    def quit(self) -> None:
        """Stop now."""

    @abstractmethod
    def reload(self, only_tasks: bool) -> bool:
        """Replace the children."""

    @abstractmethod
    def stop_worker(self, name: str) -> bool:
        """Replace one child."""

    @abstractmethod
    def more(self) -> None:
        """One worker more."""

    @abstractmethod
    def less(self) -> None:
        """One worker less."""

    @abstractmethod
    def stats(self) -> Stats:
        """Totals."""

    def client_info(self, session: int) -> Any:
        """What is known of a session here."""
        return None

    # -- status_door.Source ----------------------------------------------------------------------

    def rows(self) -> list[ProcessRow]:
        """The processes, for the status page."""
        return rows_of(self)

    @abstractmethod
    def connections(self, most: int) -> list[ClientInfo]:
        """Connections for the status page: those with the most output waiting."""

    # -- signals and orders ----------------------------------------------------------------------

    def _interrupted(self) -> None:
        """The first Ctrl-C in order, the second now."""
        self._interrupts += 1
        if self._interrupts == 1:
            self._shutdown()
        else:
            self.quit()

    def shutdown(self) -> None:
        """Stop in order. Any thread may ask for it."""
        self.reactor.post(self._shutdown)

    def _shutdown(self) -> None:
        if not self.stopping:
            self.stop()

    # -- switchboard.Hub and Hears ---------------------------------------------------------------

    def deliver(self, envelope: Envelope) -> None:
        """See switchboard.Hub."""
        self.messenger.handle(envelope)

    def message(self, source: str, value: Any) -> None:
        """See Hears."""
        self.caller.call("pipe_message", source, value)

    def finished(self, task_id: int, value: Any) -> None:
        """See Hears."""
        self.caller.call("finish", task_id, value)

    def task_lost(self, task_id: int) -> None:
        """See Hears."""
        _log.warning("%s: task %d is lost, its task worker died", self.name, task_id)

    def question(self, name: str, argument: Any) -> Any:
        """See Hears."""
        match name:
            case "stats":
                return self.stats()
            case "client_info":
                return self.client_info(argument)
            case "reload":
                return self.reload(argument)
            case "stop":
                return self.stop_worker(argument)
            case "shutdown":
                self.shutdown()
                return True
        raise Refused(SendError.NO_SUCH_TARGET)

    def other(self, envelope: Envelope) -> None:
        """See Hears."""
        _log.warning("%s: an envelope of kind %d is for nobody", self.name, envelope.kind)


def _warn(text: str) -> None:
    _log.warning("%s", text)
