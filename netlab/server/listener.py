"""A listening TCP socket in the reactor: accepts until the queue is empty, and pauses when it must.

What accept(2) says and what we do: EAGAIN ends the round; ECONNABORTED and EPROTO concern one
connection only, take the next; EMFILE, ENFILE, ENOBUFS, ENOMEM mean that the machine or the process
has no room. Such a connection stays in the queue and epoll reports it again at once, so a loop that
only carries on would take a whole core: drop the interest, and try again a little later.
"""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Callable

from netlab.model.probe import Probe
from netlab.server.entrance import Entrance
from netlab.server.reactor import Reactor

ACCEPTS_A_ROUND = 64  # then let others have their turn; epoll reports the rest again
PAUSE_S = 0.1
LONGEST_PAUSE_S = 1.0
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_ONLY_THIS_ONE = frozenset({errno.ECONNABORTED, errno.EPROTO, errno.EPERM})

OnAccept = Callable[[socket.socket], None]


class Listener(Entrance):
    """Listens on one address and hands each accepted socket on."""

    def __init__(
        self, probe: Probe, reactor: Reactor, family: int, backlog: int, on_accept: OnAccept
    ) -> None:
        super().__init__(probe, reactor, family, socket.SOCK_STREAM)
        self._on_accept = on_accept
        self._backlog = backlog
        self._pause_s = PAUSE_S
        self._paused = False
        self.pauses = 0  # how often there was no room

    def _take(self, host: str, port: int) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        super()._take(host, port)
        self._socket.listen(self._backlog)

    def _on_ready(self, events: int) -> None:
        for _ in range(ACCEPTS_A_ROUND):
            try:
                accepted, _ = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NO_ROOM:
                    self._pause()
                    return
                if error.errno not in _ONLY_THIS_ONE:
                    raise
                continue
            self._pause_s = PAUSE_S
            self._on_accept(accepted)
            if self.closed:
                return

    def _pause(self) -> None:
        self.pauses += 1
        self._paused = True
        self._reactor.modify(self._socket.fileno(), 0)
        self._reactor.call_later(self._pause_s, self.resume)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def resume(self) -> None:
        """Look at the queue again: the pause is over, or a connection was closed."""
        if self._paused and not self.closed:
            self._paused = False
            self._reactor.modify(self._socket.fileno(), select.EPOLLIN)
