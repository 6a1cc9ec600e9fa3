"""A UDP socket that sends every datagram back to where it came from. Read first: man 7 udp.

A datagram that does not fit into the send buffer is dropped, as a network would. An ICMP error that
an earlier answer caused is reported by a later call; it concerns that answer only, so go on.
"""

from __future__ import annotations

import errno
import socket

from netlab.model.probe import Probe
from netlab.server.entrance import Entrance
from netlab.server.reactor import Reactor

DATAGRAMS_A_ROUND = 64
_LONGEST_DATAGRAM_BYTES = 1 << 16
_OF_AN_EARLIER_ONE = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH})


class EchoDatagrams(Entrance):
    """Echoes datagrams on one address."""

    def __init__(self, probe: Probe, reactor: Reactor, family: int) -> None:
        super().__init__(probe, reactor, family, socket.SOCK_DGRAM)
        self.dropped = 0  # answers that the send buffer had no room for

    def _on_ready(self, events: int) -> None:
        for _ in range(DATAGRAMS_A_ROUND):
            try:
                data, sender = self._socket.recvfrom(_LONGEST_DATAGRAM_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _OF_AN_EARLIER_ONE:
                    continue
                raise
            try:
                self._socket.sendto(data, sender)
            except BlockingIOError:
                self.dropped += 1
            except OSError as error:
                if error.errno not in _OF_AN_EARLIER_ONE:
                    raise
