"""Reloading while clients are served: nobody is to notice."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from typing import Any

import pytest
from family import Family, both_modes, family, until, wait_gone


def reload_once(served: Family, number: int = signal.SIGHUP) -> None:
    """Ask for it and wait until it is done."""
    served.kill(number)
    served.wait("before_reload")
    served.wait("after_reload")


class Load:
    """Clients with one numbered request each on its way, answered by echo."""

    def __init__(self, port: int, count: int) -> None:
        self._poll = select.epoll()
        self._socks: dict[int, socket.socket] = {}
        self._sent: dict[int, bytes] = {}
        self._got: dict[int, bytes] = {}
        self.answered = 0
        for _ in range(count):
            sock = socket.create_connection(("127.0.0.1", port), 30)
            self._socks[sock.fileno()] = sock
            self._poll.register(sock.fileno(), select.EPOLLIN)
            self._ask(sock.fileno())

    def _ask(self, descriptor: int) -> None:
        self._sent[descriptor] = b"%d of %d\n" % (self.answered, descriptor)
        self._got[descriptor] = b""
        self._socks[descriptor].sendall(self._sent[descriptor])

    def run(self, count: int) -> None:
        """Until so many answers more have come; each must be the right one."""
        until_count = self.answered + count
        while self.answered < until_count:
            ready = self._poll.poll(40)
            assert ready, f"no answer after {self.answered} requests"
            for descriptor, _ in ready:
                data = self._socks[descriptor].recv(4096)
                assert data, f"a connection ended after {self.answered} requests"
                self._got[descriptor] += data
                if len(self._got[descriptor]) >= len(self._sent[descriptor]):
                    assert self._got[descriptor] == self._sent[descriptor]
                    self.answered += 1
                    self._ask(descriptor)

    def close(self) -> None:
        """End all clients."""
        for sock in self._socks.values():
            sock.close()
        self._poll.close()


def under_load(mode: str, requests: int, reloads: int, **options: Any) -> None:
    with family(mode, workers=2, echo=True, silent=["connect", "close"], **options) as served:
        load = Load(served.port, 10)
        first = set(served.pids("worker_start").values())
        for _ in range(reloads):
            load.run(requests // (reloads + 1))
            served.kill(signal.SIGHUP)
            before = load.answered
            while not any(report["name"] == "after_reload" for report in served.seen):
                load.run(20)
                served.peek()
            assert load.answered > before
            served.wait("after_reload")
        load.run(requests // (reloads + 1))
        assert load.answered >= requests * reloads // (reloads + 1)
        load.close()
        started = served.pids("worker_start")
        assert len(first) == 2
        assert not first & set(started.values())
        status, log = served.stop()
        assert status == 0, log
        assert log == ""


@both_modes
def test_not_one_request_fails(mode: str) -> None:
    under_load(mode, 4000, 3)


@pytest.mark.parametrize("ipc", ["dgram", "stream", "pipe"])
def test_not_one_request_fails_whatever_carries_them(ipc: str) -> None:
    under_load("process", 1500, 2, ipc=ipc)


@pytest.mark.parametrize("options", [{"reuse_port": True}, {"poller": "edge"}, {"poller": "poll"}])
@both_modes
def test_not_one_request_fails_however_they_listen(mode: str, options: dict[str, Any]) -> None:
    under_load(mode, 1500, 2, **options)


@pytest.mark.slow
@both_modes
def test_not_one_of_200000_requests_fails_in_ten_reloads(mode: str) -> None:
    under_load(mode, 200_000, 10)


def test_new_connections_find_a_listener_all_the_time() -> None:
    with family("base", workers=2, echo=True, reuse_port=True) as served:
        for _ in range(3):
            served.kill(signal.SIGHUP)
            while not any(report["name"] == "after_reload" for report in served.seen):
                for _ in range(10):
                    with socket.create_connection(("127.0.0.1", served.port), 30) as client:
                        client.sendall(b"hello\n")
                        assert client.recv(10) == b"hello\n"
                served.peek()
            served.wait("after_reload")
        assert served.stop() == (0, "")


def test_a_connection_is_handed_over_with_all_that_belongs_to_it() -> None:
    """Half a message, output that nobody reads, what it was bound to, and its session."""
    count = 4_000_037
    with family("base", workers=1, output_buffer=8 << 20) as served:
        old = served.pids("worker_start")["0"]
        half, full, bound = served.connect(), served.connect(), served.connect()
        session = half.ask("session")
        half.sock.sendall(b"session, os.")
        full.say(f"server.send(session, big({count})) and None")
        first = full.read(1)
        bound.ask("server.bind(session, 42)")
        bound.ask("server.protect(session)")
        reload_once(served)
        assert served.wait("worker_start")["pid"] != old
        wait_gone(old)
        half.sock.sendall(b"getpid()\n")
        same, new = half.hear()
        assert same == session
        assert new != old
        data = first + full.read(count - 1)
        assert data == bytes(range(251)) * (count // 251) + bytes(count % 251)
        assert full.ask("os.getpid()") == new
        info = "server.client_info(session)"
        assert bound.ask(f"({info}.uid, {info}.protected, {info}.owner)") == (42, True, "worker-0")
        assert bound.ask("len(server.clients())") == 3
        assert bound.ask("server.stats().connections") == 3
        for client in (half, full, bound):
            client.sock.close()
        until(lambda: probe_connections(served) == 1, "closed connections are no more counted")
        assert served.stop() == (0, "")


def probe_connections(served: Family) -> int:
    """How many are open, as a new one sees it."""
    client = served.connect()
    count: int = client.ask("server.stats().connections")
    client.sock.close()
    return count


def test_a_file_on_its_way_is_handed_over(tmp_path: os.PathLike[str]) -> None:
    path = os.path.join(tmp_path, "file")
    data = os.urandom(6_000_011)
    with open(path, "wb") as file:
        file.write(data)
    with family("base", workers=1) as served:
        client = served.connect()
        client.say(f"server.sendfile(session, {path!r}) and server.send(session, b'end') and None")
        first = client.read(1)
        reload_once(served)
        assert first + client.read(len(data) - 1) == data
        assert client.read(3) == b"end"
        client.sock.close()
        assert served.stop() == (0, "")


def sockets_of(pid: int) -> int:
    """How many sockets a process has."""
    links = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            links.append(os.readlink(f"/proc/{pid}/fd/{name}"))
    return sum(link.startswith("socket:") for link in links)


@pytest.mark.parametrize("goes_on", [False, True])
def test_an_heir_that_dies_takes_with_it_only_what_it_had(
    tmp_path: os.PathLike[str], goes_on: bool
) -> None:
    """The heir stops as soon as it may serve, and is killed when all that fits was handed to it;
    with `goes_on` the old worker is still busy with what cannot be."""
    flag = os.path.join(tmp_path, "flag")
    stop = "server.after(0, lambda: os.kill(os.getpid(), signal.SIGSTOP))"
    hooks = {"worker_start": f"os.path.exists({flag!r}) and {stop}",
             "worker_exit": f"os.unlink({flag!r}) and None"}  # fmt: skip
    with family("base", workers=1, hooks=hooks, drain_timeout=30, sndbuf=4096) as served:
        old = served.pids("worker_start")["0"]
        full, *others = [served.connect() for _ in range(12)]
        if goes_on:  # more files than descriptors go with a message
            with open(os.path.join(tmp_path, "file"), "wb") as file:
                file.write(bytes(100_000))
            full.say(f"[server.sendfile(session, {file.name!r}) for _ in range(20)] and None")
            full.read(1)
        assert [other.ask("1") for other in others] == [1] * 11
        before = sockets_of(old)
        assert others[0].ask(f"open({flag!r}, 'w').close() or 1") == 1
        served.kill(signal.SIGHUP)
        heir = served.wait("worker_start")["pid"]
        if not goes_on:
            served.wait("worker_stop")
        else:
            until(lambda: sockets_of(old) <= before - 11, "all that can be was handed over")
        os.kill(heir, signal.SIGKILL)
        assert served.wait("worker_error")["args"][1] == str(heir)
        assert all(client.at_end() for client in others)
        fresh = served.connect()
        assert fresh.ask("1 + 1") == 2
        count = 2 if goes_on else 1
        until(lambda: fresh.ask("len(server.clients())") == count, "their sessions are over")
        if goes_on:
            full.read(2_000_000 - 1)
            assert full.at_end()
            served.wait("worker_stop")
            until(lambda: fresh.ask("len(server.clients())") == 1, "its session is over too")
        figures = "(lambda s: (s.accepted, s.closed))(server.stats())"
        until(lambda: fresh.ask(figures) == (13, 12), "all are counted")
        status, _ = served.stop()
        assert status == 0


@both_modes
def test_a_half_closed_connection_gets_its_answer_through_a_reload(mode: str) -> None:
    with family(mode, workers=1) as served:
        client = served.connect()
        assert client.ask("kept.setdefault('session', session)") is not None
        client.say("server.after(0.5, lambda: server.send(kept['session'], b'late'))")
        assert client.hear() is not None
        reload_once(served)
        assert client.ask("1 + 1") == 2
        client.sock.close()
        assert served.stop()[0] == 0


@both_modes
def test_sigusr2_reloads_the_task_workers_only(mode: str) -> None:
    with family(mode, workers=2, tasks=2) as served:
        served.pids("worker_start")
        reload_once(served, signal.SIGUSR2)
        started = [report for report in served.seen if report["name"] == "worker_start"]
        stopped = {report["pid"] for report in served.seen if report["name"] == "worker_stop"}
        assert len(started) == len(stopped) == 2
        client = served.connect()
        answers = {client.ask("server.task_wait('os.getpid()', 10)") for _ in range(4)}
        assert answers <= {report["pid"] for report in started}
        client.sock.close()
        assert served.stop() == (0, "")


@both_modes
def test_reload_from_a_worker_and_only_tasks(mode: str) -> None:
    with family(mode, workers=1, tasks=1) as served:
        client = served.connect()
        assert client.ask("server.reload(only_tasks=True)") is True
        served.wait("after_reload")
        assert client.ask("server.reload()") is True
        served.wait("after_reload")
        assert client.ask("1 + 1") == 2
        client.sock.close()
        assert served.stop() == (0, "")


@both_modes
def test_a_worker_that_is_stuck_is_replaced_by_force(mode: str) -> None:
    with family(mode, workers=2, drain_timeout=0.2) as served:
        client = served.connect()
        client.say("report('stuck') or stuck(1000)")
        stuck = served.wait("stuck")["pid"]
        reload_once(served)
        wait_gone(stuck)
        fresh = served.connect()
        assert fresh.ask("1 + 1") == 2
        for each in (client, fresh):
            each.sock.close()
        status, log = served.stop()
        assert status == 0
        assert "has not left in time, busy for" in log


@both_modes
def test_max_requests_replaces_a_worker_and_loses_nothing(mode: str) -> None:
    with family(
        mode, workers=1, echo=True, max_requests=100, max_requests_jitter=50,
        silent=["connect", "close"],
    ) as served:  # fmt: skip
        first = served.wait("worker_start")["pid"]
        load = Load(served.port, 5)
        load.run(700)
        assert served.wait("worker_stop")["pid"] == first
        load.run(700)  # the first served on while the second began: these are the second's
        served.wait("worker_stop")
        load.run(50)
        load.close()
        assert served.stop() == (0, "")


@both_modes
def test_task_max_requests_replaces_a_task_worker(mode: str) -> None:
    with family(mode, workers=1, tasks=1, task_max_requests=5) as served:
        client = served.connect()
        for _ in range(2):
            for _ in range(7):
                assert client.ask("server.task_wait('1 + 1', 30)") == 2
            served.wait("worker_stop")
        client.sock.close()
        assert served.stop() == (0, "")


@both_modes
def test_a_worker_that_grows_is_replaced(mode: str) -> None:
    with family(mode, workers=1, tasks=1, memory_limit=200 << 20) as served:
        client = served.connect()
        old = client.ask("os.getpid()")
        leak = f"len(kept.setdefault('leak', b'x' * {300 << 20}))"
        assert client.ask(f"server.task_wait({leak!r}, 30)") == 300 << 20
        assert client.ask(leak) == 300 << 20
        assert {served.wait("worker_stop")["pid"] == old for _ in range(2)} == {True, False}
        wait_gone(old)
        assert client.ask("os.getpid()") != old
        client.sock.close()
        status, log = served.stop()
        assert status == 0
        assert log.count("memory_limit is") == 2


@both_modes
def test_stop_of_one_worker(mode: str) -> None:
    with family(mode, workers=2) as served:
        client = served.connect()
        old = client.ask("os.getpid()")
        assert client.ask("server.stop()") is True
        assert served.wait("worker_stop")["pid"] == old
        wait_gone(old)
        assert client.ask("os.getpid()") != old
        client.sock.close()
        assert served.stop() == (0, "")
