from __future__ import annotations

import os
import select
import signal
import socket

import pytest

from netlab.server.listener import Listener
from netlab.server.plain import PlainProbe
from netlab.server.reactor import READ, WRITE, Reactor


def test_it_ends_when_nobody_waits_any_more() -> None:
    with Reactor(PlainProbe()) as reactor:
        reactor.run()


def test_the_handler_gets_what_is_ready() -> None:
    left, right = socket.socketpair()
    seen = []
    with Reactor(PlainProbe()) as reactor, left, right:

        def handler(events: int) -> None:
            seen.append(events)
            if events & select.EPOLLIN and right.recv(100) == b"last":
                reactor.unregister(right.fileno())
            else:
                reactor.modify(right.fileno(), READ)
                left.send(b"last")

        reactor.register(right.fileno(), READ | WRITE, handler)
        reactor.run()
    assert seen == [select.EPOLLOUT, select.EPOLLIN]


def test_a_handler_may_take_away_another_that_is_ready_too() -> None:
    pairs = [socket.socketpair() for _ in range(2)]
    called = []
    with Reactor(PlainProbe()) as reactor:

        def handler(me: int) -> None:
            called.append(me)
            for _, end in pairs:
                reactor.unregister(end.fileno())

        for number, (left, right) in enumerate(pairs):
            left.send(b"x")
            reactor.register(right.fileno(), READ, lambda events, me=number: handler(me))
        reactor.run()
    assert len(called) == 1
    for pair in pairs:
        for end in pair:
            end.close()


def test_alarms_come_in_order_and_while_others_wait() -> None:
    left, right = socket.socketpair()
    order = []
    with Reactor(PlainProbe()) as reactor, left, right:
        reactor.register(right.fileno(), READ, lambda events: None)

        def last() -> None:
            order.append("late")
            reactor.unregister(right.fileno())

        reactor.call_later(0.02, last)
        reactor.call_later(0, lambda: order.append("early"))
        reactor.call_later(0, lambda: order.append("next"))
        reactor.run()
    assert order == ["early", "next", "late"]


def test_a_signal_is_acted_on_in_the_loop_although_poll_restarts() -> None:
    left, right = socket.socketpair()
    before = signal.getsignal(signal.SIGUSR1)
    try:
        with Reactor(PlainProbe()) as reactor, left, right:
            reactor.register(right.fileno(), READ, lambda events: None)
            reactor.stop_on((signal.SIGUSR1,), lambda: reactor.unregister(right.fileno()))
            reactor.call_later(0.01, lambda: os.kill(os.getpid(), signal.SIGUSR1))
            reactor.run()
            assert reactor.stopping
    finally:
        signal.signal(signal.SIGUSR1, before)


class FullProbe(PlainProbe):
    """Its listener finds no room for the first `refusals` connections."""

    def __init__(self, number: int, refusals: int) -> None:
        self.accepts = 0
        self._number = number
        self._refusals = refusals

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        probe = self

        class Full(socket.socket):
            def accept(self) -> tuple[socket.socket, object]:
                probe.accepts += 1
                if probe.accepts <= probe._refusals:
                    raise OSError(probe._number, os.strerror(probe._number))
                return super().accept()

        return Full(family, kind, protocol)


@pytest.mark.parametrize(
    ("number", "pauses"), [(24, 2), (23, 2), (105, 2), (12, 2), (103, 0), (71, 0)]
)
def test_accept_without_room_pauses_and_without_a_peer_goes_on(number: int, pauses: int) -> None:
    """EMFILE, ENFILE, ENOBUFS, ENOMEM; then ECONNABORTED, EPROTO."""
    probe = FullProbe(number, 2)
    accepted = []
    with Reactor(probe) as reactor:

        def on_accept(sock: socket.socket) -> None:
            accepted.append(sock)
            listener.close()

        listener = Listener(probe, reactor, socket.AF_INET, 5, on_accept)
        listener.open("127.0.0.1", 0)
        with socket.create_connection(("127.0.0.1", listener.port)):
            reactor.run()
    assert listener.pauses == pauses
    assert probe.accepts == 3  # not one try more: it does not spin
    accepted[0].close()
