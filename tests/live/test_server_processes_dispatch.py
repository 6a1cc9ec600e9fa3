"""Who gets a message in `process`, and what a slow worker does to the client's window."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from typing import Any

import pytest
from family import WITHIN_S, Client, Family, family, until


def names(clients: list[Client]) -> list[str]:
    """Which workers answer."""
    return [client.ask("server.role.name") for client in clients]


@contextlib.contextmanager
def clients_of(served: Family, count: int) -> Any:
    """Some connections."""
    clients = [served.connect() for _ in range(count)]
    try:
        yield clients
    finally:
        for client in clients:
            client.sock.close()


def test_fixed_keeps_a_connection_with_one_worker() -> None:
    with family("process", workers=3, dispatch="fixed") as served:
        with clients_of(served, 9) as clients:
            first = names(clients)
            assert all(first.count(f"worker-{n}") == 3 for n in range(3))
            assert names(clients) == first
        assert served.stop() == (0, "")


def test_round_gives_each_message_to_the_next() -> None:
    with family("process", workers=3, dispatch="round") as served:
        with clients_of(served, 1) as clients:
            assert [names(clients)[0] for _ in range(6)] == [
                "worker-0", "worker-1", "worker-2"
            ] * 2  # fmt: skip
        assert served.stop() == (0, "")


def test_idle_finds_who_has_nothing_to_do() -> None:
    with family("process", workers=3, dispatch="idle") as served:
        with clients_of(served, 3) as (one, two, three):
            one.say("report('busy', server.role.name) or time.sleep(2)")
            first = served.wait("busy")["args"][0]
            two.say("report('busy', server.role.name) or time.sleep(2)")
            second = served.wait("busy")["args"][0]
            assert len({first, second}) == 2
            for _ in range(5):
                assert repr(three.ask("server.role.name")) not in (first, second)
        status, _ = served.stop()
        assert status == 0


def test_address_keeps_a_client_with_one_worker() -> None:
    with family("process", workers=3, dispatch="address") as served:
        found: dict[str, set[str]] = {}
        clients = []
        for number in range(1, 9):
            for _ in range(2):
                sock = socket.create_connection(
                    ("127.0.0.1", served.port), WITHIN_S, (f"127.0.0.{number}", 0)
                )
                client = Client(sock)
                clients.append(client)
                found.setdefault(f"127.0.0.{number}", set()).add(client.ask("server.role.name"))
        assert all(len(workers) == 1 for workers in found.values())
        assert len(set.union(*found.values())) > 1
        for client in clients:
            client.sock.close()
        assert served.stop() == (0, "")


def test_bound_goes_by_the_users_number() -> None:
    with family("process", workers=3, dispatch="bound") as served:
        with clients_of(served, 6) as clients:
            for client in clients:
                assert client.ask("server.bind(session, 7)") is True
            assert set(names(clients)) == {"worker-1"}
        assert served.stop() == (0, "")


def test_the_users_function_decides() -> None:
    function = "lambda session, data: {b'd': -1, b'c': -2, b'f': -3}.get(data[:1], 2)"
    with family("process", workers=3, function=function) as served:
        with clients_of(served, 2) as (client, other):
            assert client.ask("server.role.name") == "worker-2"
            client.say("discarded")
            assert client.ask("server.role.name") == "worker-2"
            assert client.ask("f'{server.role.name}'") == "worker-0"
            other.say("closed")
            assert other.at_end()
        assert served.stop() == (0, "")


@pytest.mark.parametrize("dispatch", ["fixed", "round", "idle", "address", "bound"])
def test_connect_and_close_are_told_once_each_way(dispatch: str) -> None:
    with family("process", workers=3, dispatch=dispatch) as served:
        with clients_of(served, 7) as clients:
            for client in clients:
                assert client.ask("1") == 1
        closed = [served.wait("close") for _ in range(7)]
        connected = [report for report in served.seen if report["name"] == "connect"]
        assert sorted(r["args"][0] for r in connected) == sorted(r["args"][0] for r in closed)
        if dispatch != "bound":
            for report in closed:
                (same,) = [r for r in connected if r["args"][0] == report["args"][0]]
                assert same["pid"] == report["pid"]
        assert served.stop() == (0, "")


def test_while_a_worker_is_away_its_connections_go_to_the_others() -> None:
    hooks = {"worker_start": "os.path.exists(kept.get('f', '/nonexistent'))"}
    with family("process", workers=2, hooks=hooks) as served:
        workers = served.pids("worker_start")
        with clients_of(served, 2) as clients:
            before = names(clients)
            assert sorted(before) == ["worker-0", "worker-1"]
            clients[before.index("worker-0")].say("os.kill(os.getpid(), 9)")
            served.wait("worker_error")
            assert clients[before.index("worker-0")].ask("os.getpid()") != workers["0"]
            until(lambda: names(clients) == before, "the new worker-0 gets its connections back")
        status, _ = served.stop()
        assert status == 0


def send_until_it_blocks(sock: socket.socket, piece: bytes, limit_bytes: int) -> int:
    """How much the kernel and the server take while nobody reads."""
    sock.setblocking(False)
    sent = 0
    waiting = select.poll()
    waiting.register(sock, select.POLLOUT)
    while sent < limit_bytes:
        if not waiting.poll(1000):
            break
        with contextlib.suppress(BlockingIOError):
            sent += sock.send(piece)
    sock.settimeout(WITHIN_S)
    return sent


@pytest.mark.parametrize(
    "ipc",
    [
        "seqpacket",
        pytest.param("stream", marks=pytest.mark.slow),
        pytest.param("pipe", marks=pytest.mark.slow),
    ],
)
def test_a_slow_worker_stops_the_reading_and_nothing_is_lost(ipc: str) -> None:
    with family("process", workers=1, ipc=ipc, input_limit=1 << 20, tasks=1) as served:
        with clients_of(served, 2) as (busy, watch):
            busy.say("report('stuck') or time.sleep(3)")
            served.wait("stuck")
            line = b"kept.__setitem__('n', kept.get('n', 0) + 1) # %s\n" % (b"x" * 3970)
            total = 64 << 20
            sent = send_until_it_blocks(busy.sock, line * 16, total)
            assert sent < total // 2  # the window is closed, and the rest is the client's problem
            rest = len(line) - sent % len(line)
            if rest != len(line):
                busy.sock.sendall((line * 2)[sent % len(line) :][:rest])
                sent += rest
            lines = sent // len(line)
            busy.say("kept['n']")
            assert busy.hear() == lines
            assert watch.ask("server.stats().lost_messages") == 0
        assert served.stop()[0] == 0


def test_a_killed_worker_that_was_behind_frees_the_reading() -> None:
    with family("process", workers=1, input_limit=1 << 20) as served:
        with clients_of(served, 1) as (client,):
            client.say("report('stuck') or time.sleep(1000)")
            worker = served.wait("stuck")["pid"]
            line = b"None # %s\n" % (b"x" * 3990)
            sent = send_until_it_blocks(client.sock, line * 16, 64 << 20)
            os.kill(worker, signal.SIGKILL)
            rest = len(line) - sent % len(line)
            client.sock.sendall((line * 2)[sent % len(line) :][:rest])
            assert client.ask("1 + 1") == 2
            assert client.ask("server.stats().lost_messages") > 1
        assert served.stop()[0] == 0


def test_a_client_that_never_reads_is_refused_not_hoarded() -> None:
    limit = 1 << 20
    expression = "[server.send(session, big(65536)) for _ in range(1000)].count(True)"
    with family("process", workers=1, output_buffer=limit) as served:
        with clients_of(served, 2) as (deaf, other):
            session = deaf.ask("session")
            deaf.say(f"kept.__setitem__('sent', {expression}) or report('sent')")
            served.wait("sent")
            sent = other.ask("kept['sent']")
            assert 0 < sent < 1000  # already the line to the master is no place for so much
            while other.ask(f"server.send({session}, big(65536))"):
                sent += 1
                assert sent < 1000
            assert other.ask("str(server.last_error)") == "OUTPUT_BUFFER_OVERFLOW"
            served.wait("buffer_full")
            deaf.read(sent * 65536)
            served.wait("buffer_empty")
            until(
                lambda: other.ask(f"server.send({session}, b'end')"),
                "there is room again",
            )
            assert deaf.read(3) == b"end"
        assert served.stop() == (0, "")


def test_the_answer_comes_after_the_clients_fin() -> None:
    with family("process", workers=2) as served:
        with clients_of(served, 2) as (client, other):
            client.sock.sendall(b"time.sleep(0.2)\n" * 3 + b"'late'\n")
            client.sock.shutdown(socket.SHUT_WR)
            assert client.hear() == "late"
            assert client.at_end()
            assert "PEER_FIN" in served.wait("close")["args"][1]
            other.say("os.kill(os.getpid(), 9)")
            other.sock.shutdown(socket.SHUT_WR)
            assert other.at_end()  # whose answer will never come
        assert served.stop()[0] == 0


@pytest.mark.parametrize("poller", ["epoll", "edge", "poll", "select"])
@pytest.mark.parametrize("reactors", [1, 3])
def test_pollers_and_reactor_threads(poller: str, reactors: int) -> None:
    with family("process", workers=2, tasks=1, poller=poller, reactors=reactors) as served:
        with clients_of(served, 7) as clients:
            for client in clients:
                assert client.ask("len(server.task_wait(big(100003), 30))") == 100_003
                client.say("server.send(session, big(300007)) and None")
                assert len(client.read(300_007)) == 300_007
                assert client.ask("server.client_info(session).messages") == 3
            assert clients[0].ask("len(server.clients())") == 7
            clients[1].say("server.close(session)")
            assert clients[1].at_end()
            clients[2].sock.sendall(b"'late'\n")
            clients[2].sock.shutdown(socket.SHUT_WR)
            assert clients[2].hear() == "late"
            assert clients[2].at_end()
        served.kill(signal.SIGHUP)
        served.wait("after_reload")
        with clients_of(served, 3) as clients:
            assert [client.ask("1 + 1") for client in clients] == [2, 2, 2]
        status, log = served.stop()
        assert status == 0
        assert ("share the GIL" in log) == (reactors > 1)
