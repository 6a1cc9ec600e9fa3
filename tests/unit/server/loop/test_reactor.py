"""The loop alone: descriptors, moments, signals, other threads, over every poller."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
from collections.abc import Iterator

import pytest

from netlab.server.loop.pollers import POLLERS, DescriptorTooHigh
from netlab.server.loop.reactor import READ, WRITE, Reactor
from netlab.server.plain import PlainProbe


@pytest.fixture(params=list(POLLERS))
def reactor(request: pytest.FixtureRequest) -> Iterator[Reactor]:
    with Reactor(PlainProbe(), request.param) as made:
        yield made


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    with left, right:
        yield left, right


Pair = tuple[socket.socket, socket.socket]


def test_it_ends_after_the_turn_in_which_it_is_stopped(reactor: Reactor) -> None:
    order: list[str] = []
    reactor.post(reactor.stop)
    reactor.post(lambda: order.append("posted"))
    reactor.post(lambda: reactor.defer(lambda: order.append("deferred")))
    reactor.run()
    assert order == ["posted", "deferred"]


def test_the_handler_gets_what_is_ready(reactor: Reactor, pair: Pair) -> None:
    left, right = pair
    seen = []

    def handler(events: int) -> None:
        seen.append(events)
        if events & select.EPOLLIN:
            assert right.recv(100) == b"last"
            reactor.unregister(right.fileno())
            reactor.stop()
        else:
            reactor.modify(right.fileno(), READ)
            left.send(b"last")

    reactor.register(right.fileno(), READ | WRITE, handler)
    reactor.run()
    assert seen == [select.EPOLLOUT, select.EPOLLIN]


def test_what_is_not_read_is_told_again_but_for_an_edge(reactor: Reactor, pair: Pair) -> None:
    left, right = pair
    told = []

    def handler(events: int) -> None:
        told.append(events)
        if len(told) == 3:
            reactor.stop()

    reactor.register(right.fileno(), READ, handler)
    left.send(b"x")
    if reactor.edge:  # else it ends by being told
        reactor.after(0.05, reactor.stop)
    reactor.run()
    assert len(told) == (1 if reactor.edge else 3)


def test_arming_anew_tells_even_an_edge_again(reactor: Reactor, pair: Pair) -> None:
    left, right = pair
    told = []

    def handler(events: int) -> None:
        told.append(events)
        reactor.modify(right.fileno(), READ)
        if len(told) == 3:
            reactor.stop()

    reactor.register(right.fileno(), READ, handler)
    left.send(b"x")
    reactor.run()
    assert told == [select.EPOLLIN] * 3


def test_again_calls_without_asking_the_kernel_and_lets_others_in_between(
    reactor: Reactor, pair: Pair
) -> None:
    left, right = pair
    order = []

    def handler(events: int) -> None:
        order.append("handler")
        if len(order) == 1:
            reactor.again(right.fileno(), READ)
            reactor.defer(lambda: order.append("other"))
        else:
            reactor.stop()

    reactor.register(right.fileno(), READ, handler)
    left.send(b"x")
    reactor.run()
    assert order[:3] == ["handler", "other", "handler"]


def test_the_other_end_is_gone(reactor: Reactor, pair: Pair) -> None:
    left, right = pair
    seen = []

    def handler(events: int) -> None:
        seen.append(right.recv(10))
        reactor.stop()

    reactor.register(right.fileno(), READ, handler)
    left.close()
    reactor.run()
    assert seen == [b""]


def test_a_handler_may_take_away_another_that_is_ready_too(reactor: Reactor) -> None:
    pairs = [socket.socketpair() for _ in range(2)]
    called = []

    def handler(me: int) -> None:
        called.append(me)
        for _, end in pairs:
            reactor.unregister(end.fileno())
        reactor.stop()

    for number, (left, right) in enumerate(pairs):
        left.send(b"x")
        reactor.register(right.fileno(), READ, lambda events, me=number: handler(me))
    reactor.run()
    assert len(called) == 1
    for ends in pairs:
        for end in ends:
            end.close()


def test_timers_come_in_order_and_while_others_wait(reactor: Reactor, pair: Pair) -> None:
    order = []
    reactor.register(pair[1].fileno(), READ, lambda events: None)
    reactor.after(0.02, lambda: (order.append("late"), reactor.stop()))
    reactor.after(0, lambda: order.append("early"))
    reactor.after(0, lambda: order.append("next"))
    cleared = reactor.after(0, lambda: order.append("never"))
    assert reactor.clear(cleared)
    assert not reactor.clear(cleared)
    reactor.run()
    assert order == ["early", "next", "late"]


def test_a_tick_comes_until_it_is_cleared(reactor: Reactor) -> None:
    beats = []

    def beat() -> None:
        beats.append(reactor.now_s)
        if len(beats) == 3:
            reactor.clear(timer)
            reactor.after(0.03, reactor.stop)

    timer = reactor.tick(0.01, beat)
    reactor.run()
    assert len(beats) == 3
    assert beats == sorted(beats)


def test_a_timer_that_raises_does_not_take_the_next_along(reactor: Reactor) -> None:
    def bad() -> None:
        raise ZeroDivisionError

    reactor.after(0, bad)
    reactor.after(0, reactor.stop)
    with pytest.raises(ZeroDivisionError):
        reactor.run()
    reactor.run()


def test_another_thread_may_post_work(reactor: Reactor, pair: Pair) -> None:
    reactor.register(pair[1].fileno(), READ, lambda events: None)
    done = []

    def work() -> None:
        for number in range(101):
            reactor.post(lambda number=number: done.append(number))
        reactor.post(reactor.stop)

    thread = threading.Thread(target=work)
    thread.start()
    reactor.run()
    thread.join()
    assert done == list(range(101))


def test_posting_to_a_closed_loop_touches_no_descriptor() -> None:
    with Reactor(PlainProbe()) as reactor:
        pass
    reactor.post(lambda: None)


def test_a_signal_is_acted_on_in_the_loop_although_poll_restarts(
    reactor: Reactor, pair: Pair
) -> None:
    before = signal.getsignal(signal.SIGUSR1)
    came = []
    reactor.register(pair[1].fileno(), READ, lambda events: None)

    def act() -> None:
        came.append(1)
        if len(came) == 2:
            reactor.stop()
        else:
            os.kill(os.getpid(), signal.SIGUSR1)

    reactor.on_signal(signal.SIGUSR1, act)
    reactor.after(0.01, lambda: os.kill(os.getpid(), signal.SIGUSR1))
    reactor.run()
    reactor.give_back_signals()
    assert came == [1, 1]
    assert signal.getsignal(signal.SIGUSR1) == before


def test_select_refuses_a_descriptor_that_its_array_has_no_bit_for() -> None:
    with Reactor(PlainProbe(), "select") as reactor:
        with pytest.raises(DescriptorTooHigh, match="below 1024 only, this is 1024"):
            reactor.register(1024, READ, lambda events: None)
        reactor.post(reactor.stop)
        reactor.run()  # nothing of it is left behind
