"""A listening socket in the reactor: accepts until the queue is empty, and pauses when it must.

What accept(2) says and what we do: EAGAIN ends the round; ECONNABORTED, EPROTO, EPERM and what
Linux passes on of the network concern one connection only, take the next; EMFILE, ENFILE, ENOBUFS,
ENOMEM mean that the machine or the process has no room. Such a connection stays in the queue and
epoll reports it again at once, so a loop that only carries on would take a whole core. Two ways out
(option on_emfile):
- pause: wait no more for the queue, look again after 0.1 s, doubling to 1 s, and at once when a
  connection is closed. Clients wait in the queue meanwhile.
- shed: a descriptor kept in reserve is given up, the connection accepted and closed. Clients know
  at once.

An entry with EPOLLEXCLUSIVE cannot be modified: a pause takes it out. The kernel wakes the first of
those who wait with such an entry, in order of registration: of two idle workers always the same
one, which would get all connections of a quiet day. So who has accepted registers anew, as last.
"""

from __future__ import annotations

import errno
import logging
import os
import resource
import select
import socket
import struct
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from netlab.server.loop.pollers import EXCLUSIVE
from netlab.server.loop.reactor import Reactor
from netlab.server.settings.options import framing_from
from netlab.server.sockets.entrance import Entrance, Place
from netlab.server.terms import OnEmfile, SocketAddress

if TYPE_CHECKING:
    from netlab.server.settings.option_table import Options

PAUSE_S = 0.1
LONGEST_PAUSE_S = 1.0
LOG_EVERY_S = 1.0
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_ONLY_THIS_ONE = frozenset(
    {errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.EINTR, errno.ENETDOWN, errno.ENOPROTOOPT}
    | {errno.EHOSTDOWN, errno.ENONET, errno.EHOSTUNREACH, errno.EOPNOTSUPP, errno.ENETUNREACH}
)
_log = logging.getLogger("netlab.server")

OnAccept = Callable[[socket.socket, SocketAddress, "Listener"], None]


class Listener(Entrance):
    """Hands each accepted socket, its client's address and itself to `on_accept`."""

    def __init__(
        self,
        sock: socket.socket,
        place: Place,
        number: int,
        reactor: Reactor,
        options: Options,
        on_accept: OnAccept,
        *,
        exclusive: bool = False,
    ) -> None:
        super().__init__(sock, place, number, reactor)
        self.options = options
        self.make_framing = framing_from(options)
        self._on_accept = on_accept
        self._exclusive = exclusive
        self._reserve = _reserve() if options.on_emfile is OnEmfile.SHED else -1
        self._pause_s = PAUSE_S
        self._timer = 0
        self._paused = False
        self._quiet_until_s = 0.0
        self.accepted = 0
        self.pauses = 0  # how often there was no room
        self.shed = 0  # closed at once for want of descriptors

    def start(self) -> None:
        """Begin to accept."""
        if not self._paused:
            super().start()

    def pause(self) -> None:
        """Accept no more for a while: until `resume`, or a second at most."""
        if self._paused or self.closed:
            return
        self._paused = True
        self._leave()
        self._timer = self._reactor.after(self._pause_s, self.resume)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def resume(self) -> None:
        """Look at the queue again: the pause is over, or a connection was closed."""
        if self._paused and not self.closed:
            self._paused = False
            self._reactor.clear(self._timer)
            super().start()

    def close(self, *, unlink: bool = True) -> None:
        """Listen no more; connections that wait in the queue are reset."""
        if not self.closed:
            self._reactor.clear(self._timer)
            super().close(unlink=unlink)
            if self._reserve >= 0:
                os.close(self._reserve)

    def _awaited(self) -> int:
        return select.EPOLLIN | (EXCLUSIVE if self._exclusive else 0)

    def _on_ready(self, events: int) -> None:
        before = self.accepted
        try:
            self._accept(events)
        finally:
            if self._exclusive and self.accepted > before and not (self.closed or self._paused):
                self._leave()
                super().start()

    def _accept(self, events: int) -> None:
        accept = self._socket.accept
        for _ in range(self.options.accepts_per_wake):
            try:
                accepted, client = accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _ONLY_THIS_ONE:
                    continue
                if error.errno not in _NO_ROOM:
                    raise
                if not self._shed_one():
                    self._no_room(error)
                    return
                continue
            self._pause_s = PAUSE_S
            self.accepted += 1
            self._on_accept(accepted, client, self)
            if self.closed or self._paused:
                return
        if self._reactor.edge:
            self._reactor.again(self._socket.fileno(), events)

    def _shed_one(self) -> bool:
        """Accept with the reserved descriptor and close; False when that is not possible."""
        if self._reserve < 0:
            return False
        os.close(self._reserve)
        self._reserve = -1
        try:
            self._socket.accept()[0].close()
        except BlockingIOError:
            pass
        except OSError:
            return False
        else:
            self.shed += 1
            self._tell("closed a connection for want of descriptors")
        finally:
            self._reserve = _reserve()
        return True

    def _no_room(self, error: OSError) -> None:
        self.pauses += 1
        self.pause()
        self._tell(f"accepting pauses: {error.strerror}")

    def _tell(self, what: str) -> None:
        """One line a second at most: a full table is told in the same words a thousand times."""
        now_s = monotonic()
        if now_s >= self._quiet_until_s:
            self._quiet_until_s = now_s + LOG_EVERY_S
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            _log.warning(
                "%s: %s; %s; RLIMIT_NOFILE %d (hard %d), see ulimit -n",
                self.place, what, self._queue_text(), soft, hard,
            )  # fmt: skip

    def _queue_text(self) -> str:
        """How many connections wait to be accepted: man 7 tcp, TCP_INFO of a listener."""
        try:
            info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _QUEUE_END)
            waiting, limit = _QUEUE.unpack_from(info, _QUEUE_END - _QUEUE.size)
        except (OSError, struct.error):
            return "the length of its queue is not known"
        return f"{waiting} of at most {limit} wait in its queue"


_QUEUE = struct.Struct("=II")  # tcpi_unacked, tcpi_sacked: a listener's queue, and its limit
_QUEUE_END = 32


def _reserve() -> int:
    try:
        return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1
