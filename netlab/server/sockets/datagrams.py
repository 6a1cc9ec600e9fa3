"""A datagram socket in the reactor: each datagram and its sender go to `on_packet`.

A datagram that does not fit into the send buffer is refused, as a network would drop it. An ICMP
error that an earlier answer caused is reported by a later call; it concerns that answer only, so go
on. Read first: man 7 udp, man 7 unix.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable

from netlab.server.loop.reactor import Reactor
from netlab.server.sockets.entrance import Entrance, Place
from netlab.server.terms import SendError, SocketAddress

DATAGRAMS_A_ROUND = 64
LONGEST_DATAGRAM_BYTES = 1 << 16  # of UDP; Unix datagrams may be longer, and are cut then
_OF_AN_EARLIER_ONE = frozenset(
    {errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ECONNRESET, errno.EINTR}
    | {errno.ENETDOWN, errno.EHOSTDOWN, errno.EPROTO, errno.ENOPROTOOPT, errno.EOPNOTSUPP}
)
_NOBODY_THERE = frozenset({errno.ECONNREFUSED, errno.ENOENT, errno.ENOTCONN, errno.ECONNRESET})
_NO_ROOM = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM})
_log = logging.getLogger("netlab.server")

OnPacket = Callable[[bytes, SocketAddress, "Datagrams"], None]


class Datagrams(Entrance):
    """Receives datagrams at one place, and sends from there."""

    def __init__(
        self,
        sock: socket.socket,
        place: Place,
        number: int,
        reactor: Reactor,
        on_packet: OnPacket,
    ) -> None:
        super().__init__(sock, place, number, reactor)
        self._on_packet = on_packet
        self.received = 0
        self.received_bytes = 0
        self.sent_bytes = 0
        self.dropped = 0  # answers that the send buffer had no room for
        self.cut = 0  # datagrams that were longer than we read
        self.errno = 0  # of the last send that failed

    def send(self, data: bytes, to: SocketAddress) -> SendError | None:
        """Send one datagram; None when the kernel took it."""
        try:
            self.sent_bytes += self._socket.sendto(data, to)  # type: ignore[arg-type]
        except OSError as error:
            return self._not_sent(error)
        except (TypeError, ValueError):  # an address of another family
            return SendError.NO_SUCH_CLIENT
        return None

    def _not_sent(self, error: OSError) -> SendError:
        self.errno = error.errno or 0
        if error.errno == errno.EMSGSIZE:
            return SendError.MESSAGE_TOO_LARGE
        if error.errno in _NO_ROOM:
            self.dropped += 1
            return SendError.QUEUE_FULL
        return SendError.NO_SUCH_CLIENT if error.errno in _NOBODY_THERE else SendError.KERNEL

    def _on_ready(self, events: int) -> None:
        for _ in range(DATAGRAMS_A_ROUND):
            try:
                data, _, flags, sender = self._socket.recvmsg(LONGEST_DATAGRAM_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NO_ROOM:  # it stays where it is; others have their turn
                    return
                if error.errno not in _OF_AN_EARLIER_ONE:
                    raise
                continue
            self.received += 1
            self.received_bytes += len(data)
            if flags & socket.MSG_TRUNC:
                self.cut += 1
                _log.warning("%s: a datagram was cut to %d bytes", self.place, len(data))
            self._on_packet(data, sender, self)
            if self.closed:
                return
        if self._reactor.edge:
            self._reactor.again(self._socket.fileno(), events)
