"""The sampler: what counts as news, and what a kernel that refuses does; the kernel is real."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator

import pytest

from netlab.capture import sampler as module
from netlab.capture.sampler import Sampler
from netlab.capture.ticks import Ticks
from netlab.model.sample import Sample, state_name
from tests.private_network import in_private_network

MS = 1_000_000
WITHIN_MS = 20_000


def netlink() -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4)


def seen(samples: list[Sample]) -> list[tuple[str, str]]:
    return sorted((state_name(one.state), one.local.rpartition(":")[2]) for one in samples)


# Each in a network of its own: nobody else's sockets are news there.


def test_a_look_that_finds_nothing_new_gives_nothing() -> None:
    def work() -> list[int]:
        with netlink() as diag, socket.create_server(("127.0.0.1", 0)) as listener:
            it = Sampler({"a": diag}, 1000 * MS)
            counts = [len(it.look()), len(it.look())]
            with socket.create_connection(listener.getsockname()) as client:
                counts += [len(it.look()), len(it.look())]  # both ends, the listener's queue
                client.send(b"x")
                counts += [len(it.look())]  # both ends once more
            it.close()
            return counts

    assert in_private_network(work) == [1, 0, 3, 0, 2]


def test_a_socket_as_it_was_is_told_again_after_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000_000_000_000]
    monkeypatch.setattr(module.time, "time_ns", lambda: now[0])

    def work() -> list[tuple[int, int]]:
        found = []
        with netlink() as diag, socket.create_server(("127.0.0.1", 0)):
            it = Sampler({"a": diag}, 1000 * MS)
            for step_ns in (0, 999_999_999, 1, 1):
                now[0] += step_ns
                found += [(one.time_ns - 1_000_000_000_000, one.within_ns) for one in it.look()]
            it.close()
        return found

    assert in_private_network(work) == [(0, 0), (1_000_000_000, 0)]


def test_the_numbers_are_the_kernels_and_a_socket_keeps_its_cookie_when_it_is_closed() -> None:
    def work() -> list[list[Sample]]:
        looks = []
        with netlink() as diag, socket.create_server(("::", 0), family=socket.AF_INET6) as listener:
            it = Sampler({"a": diag}, 1000 * MS)
            client = socket.create_connection(("::1", listener.getsockname()[1]))
            server, _ = listener.accept()
            with server:
                it.look()
                client.send(b"abc")
                looks.append(it.look())
                client.close()
                looks.append(it.look())
            it.close()
        return looks

    sent, closed = in_private_network(work)
    client, server = sorted(sent, key=lambda one: one.rqueue)
    assert (client.peer, client.rqueue, client.wqueue) == (server.local, 0, 0)
    assert (server.rqueue, server.wqueue) == (3, 0)
    assert client.local.startswith("[::1]:")
    assert client.inode != 0
    assert client.tcp_info is not None
    assert len(client.tcp_info) >= 232
    assert len(client.memory) == 9
    by_cookie = {one.cookie: one for one in closed}
    gone = by_cookie[client.cookie]
    assert gone.inode == 0
    # Its FIN is acknowledged at once, or with a delayed ACK.
    assert (state_name(gone.state), gone.wqueue) in (("FIN-WAIT-1", 1), ("FIN-WAIT-2", 0))
    assert by_cookie[server.cookie].rqueue == 4  # the FIN counts


def test_time_wait_and_sockets_without_a_peer_are_left_out() -> None:
    def work() -> list[tuple[str, str]]:
        with netlink() as diag, socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            with socket.create_server(("127.0.0.1", 0)) as listener:
                client = socket.create_connection(listener.getsockname())
                server, _ = listener.accept()
                client.close()
                server.close()
            it = Sampler({"a": diag}, 1000 * MS)
            found = seen(it.look())
            it.close()
            return found

    assert in_private_network(work) == []


def test_chosen_sockets_are_looked_at_for_as_long_as_they_are_there() -> None:
    def work() -> list[list[tuple[str, int]]]:
        looks = []
        with netlink() as diag, socket.create_server(("127.0.0.1", 0)) as listener:
            place = listener.getsockname()
            it = Sampler({"a": diag}, 1000 * MS, chosen=True)
            mine, other = socket.create_connection(place), socket.create_connection(place)
            accepted = listener.accept()[0]
            looks.append(it.look())
            it.watch("a", mine.getsockname(), place)
            it.watch("a", place, None)
            it.watch("a", ("127.0.0.1", 1), place)  # there is no such one
            it.watch("b", other.getsockname(), place)  # nobody knows that host
            it.watch("a", ("a name", 1), place)
            looks.append(it.look())
            gone = mine.getsockname()
            assert accepted.getpeername() == gone
            mine.close()
            accepted.close()
            listener.accept()[0].close()
            looks += [it.look(), it.look()]
            it.watch("a", gone, place)  # a call that was read late
            looks.append(it.look())
            it.close()
            other.close()
            return [[(state_name(one.state), one.rqueue) for one in look] for look in looks]

    assert in_private_network(work) == [
        [],
        [("ESTABLISHED", 0), ("LISTEN", 1)],
        [("LISTEN", 0)],
        [],
        [],
    ]


def test_a_kernel_that_refuses_is_asked_no_more_and_that_is_said() -> None:
    diag = netlink()
    it = Sampler({"a": diag}, 1000 * MS)
    diag.close()
    assert it.look() == []
    assert it.refused == "bad file descriptor"
    assert it.looks_text() == ", given up after 1 looks: bad file descriptor"
    it.start()
    assert it.poll() == []
    assert it.looks == 1
    it.close()


# -- the clock -------------------------------------------------------------------------------------


@pytest.fixture
def ticks() -> Iterator[Ticks]:
    made = Ticks(5 * MS)
    yield made
    made.close()


def wait(ticks: Ticks, timeout_ms: int) -> bool:
    poller = select.poll()
    poller.register(ticks, select.POLLIN)
    return bool(poller.poll(timeout_ms))


def test_ticks_come_from_start_to_stop(ticks: Ticks) -> None:
    assert not wait(ticks, 20)
    assert ticks.take() == 0
    ticks.start()
    assert wait(ticks, WITHIN_MS)
    assert ticks.take() >= 1
    assert wait(ticks, WITHIN_MS)
    ticks.stop()
    assert not wait(ticks, 20)
    assert ticks.take() == 0


def test_ticks_that_nobody_took_are_counted(ticks: Ticks) -> None:
    ticks.start()
    select.select([], [], [], 0.031)
    assert ticks.take() >= 7  # at 0, 5, ... 30 ms


def test_a_sampler_that_comes_late_says_how_often_nobody_looked() -> None:
    with netlink() as diag:
        it = Sampler({"a": diag}, 5 * MS)
        it.start()
        select.select([], [], [], 0.031)
        it.poll()
        it.close()
    assert it.looks == 1
    assert it.missed >= 6
    assert it.looks_text() == f": 1 looks, {it.missed} missed: the recorder was busy"


def test_it_goes_away_with_its_descriptor() -> None:
    with netlink() as diag:
        it = Sampler({"a": diag}, 5 * MS)
        number = it.fileno()
        it.close()
        it.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(number)
        assert diag.fileno() >= 0
