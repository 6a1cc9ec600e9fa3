"""An engine and its connections where the kernel refuses, a piece at a time."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from faulty_probe import FaultyProbe

from netlab.lab.pattern import pattern
from netlab.server.loop.pollers import POLLERS
from netlab.server.loop.reactor import Reactor
from netlab.server.settings.options import options_from
from netlab.server.shared.sessions import SessionTable
from netlab.server.sockets.connection import Connection
from netlab.server.sockets.engine import Engine
from netlab.server.sockets.entrance import Place
from netlab.server.terms import Client, Closed, CloseReason

every_poller = pytest.mark.parametrize("poller", list(POLLERS))


class Echo:
    """Events: sends back what comes, stops the loop when a connection has ended."""

    def __init__(self) -> None:
        self.engine: Engine
        self.heard: list[bytes] = []
        self.ended: list[Closed] = []

    def connected(self, connection: Connection) -> None:
        pass

    def received(self, connection: Connection, message: bytes) -> None:
        self.heard.append(message)
        assert self.engine.send(connection.session, message)

    def half_closed(self, connection: Connection) -> None:
        pass

    def closed(self, connection: Connection, closed: Closed) -> None:
        self.ended.append(closed)
        self.engine.reactor.stop()

    def buffer_full(self, connection: Connection) -> None:
        pass

    def buffer_empty(self, connection: Connection) -> None:
        pass

    def packet(self, data: bytes, client: Client) -> None:
        pass


@contextmanager
def engine(probe: FaultyProbe, poller: str, **given: Any) -> Iterator[tuple[Engine, Echo]]:
    events = Echo()
    with Reactor(probe, poller) as reactor:
        sessions = SessionTable(10)
        made = Engine(probe, reactor, options_from(None, **given), sessions, events)
        events.engine = made
        made.listen(Place.asked("127.0.0.1", 0))
        made.start()
        yield made, events
        made.stop_accepting()
        assert not made.connections
        assert list(sessions.living()) == []
        sessions.close()


def conversation(made: Engine, data: bytes) -> bytes:
    """What comes back for `data` and a FIN."""
    place = made.entrances[0].place
    with socket.create_connection((place.host, place.port)) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        made.reactor.run()
        client.settimeout(10)
        answer = b""
        try:
            while more := client.recv(1 << 16):
                answer += more
        except ConnectionResetError:
            answer += b"RST"
        return answer


FAULTS: dict[str, dict[str, list[int]]] = {
    "nothing": {},
    "woken for nothing": {"recv": [errno.EAGAIN, errno.EAGAIN]},
    "no memory to read": {"recv": [errno.ENOBUFS, errno.ENOMEM]},
    "full at first": {"send": [errno.EAGAIN]},
    "no memory to send": {"send": [errno.ENOBUFS, errno.ENOMEM, errno.ENOBUFS]},
    "all of it": {"recv": [errno.ENOMEM, errno.EAGAIN], "send": [errno.EAGAIN, errno.ENOBUFS]},
}


# An edge is told once: the kernel itself gives no EAGAIN where there is something to read.
PASSING = [
    (poller, name)
    for poller in POLLERS
    for name, faults in FAULTS.items()
    if not (poller == "edge" and errno.EAGAIN in faults.get("recv", []))
]


@pytest.mark.parametrize(("poller", "name"), PASSING)
@pytest.mark.parametrize("options", [{}, {"fixed_size": 17}, {"recv_size": 17}], ids=str)
def test_what_passes_by_loses_no_byte(poller: str, name: str, options: dict[str, int]) -> None:
    data = pattern(0, 17 * 61)
    with engine(FaultyProbe(**FAULTS[name]), poller, **options) as (made, events):
        assert conversation(made, data) == data
        assert b"".join(events.heard) == data
        assert [closed.reason for closed in events.ended] == [CloseReason.PEER_FIN]
        assert made.received_bytes == made.sent_bytes == len(data)


ENDS = {
    errno.ECONNRESET: CloseReason.PEER_RST,
    errno.EPIPE: CloseReason.PEER_RST,
    errno.ETIMEDOUT: CloseReason.ERROR,
    errno.EHOSTUNREACH: CloseReason.ERROR,
    errno.ENETDOWN: CloseReason.ERROR,
}


@every_poller
@pytest.mark.parametrize("call", ["recv", "send"])
@pytest.mark.parametrize("number", list(ENDS), ids=errno.errorcode.get)
def test_what_is_final_ends_it_once_with_its_errno(poller: str, call: str, number: int) -> None:
    with engine(FaultyProbe(**{call: [number]}), poller) as (made, events):

        def received(connection: Connection, message: bytes) -> None:
            assert not made.send(connection.session, message)
            assert not made.send(connection.session, message)  # it is closed by now

        events.received = received  # type: ignore[method-assign]
        conversation(made, b"hello")
        assert len(events.ended) == 1
        assert events.ended[0].reason is ENDS[number]
        assert events.ended[0].errno == number


@every_poller
def test_what_was_queued_and_lost_is_said(poller: str) -> None:
    faults = {"send": [errno.EAGAIN, errno.ECONNRESET]}
    with engine(FaultyProbe(**faults), poller) as (made, events):
        conversation(made, b"12345")
        assert "5 bytes of output lost" in events.ended[0].text
        assert made.sent_bytes == 0


@every_poller
def test_more_than_the_sessions_there_are(poller: str) -> None:
    with engine(FaultyProbe(), poller, max_connections=100) as (made, _):
        place = made.entrances[0].place
        clients = [socket.create_connection((place.host, place.port)) for _ in range(11)]
        made.reactor.after(0.1, made.reactor.stop)
        made.reactor.run()
        assert len(made.connections) == 10
        assert made.refused >= 1
        made.drain(5, lambda clean: made.reactor.stop())
        made.reactor.run()
        made.reactor.run_deferred()
        for client in clients:
            client.close()
