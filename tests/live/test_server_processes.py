"""Servers of several processes: how they start, stop, and survive the death of any of them."""

from __future__ import annotations

import os
import signal
import socket

import pytest
from family import Client, Family, both_modes, family, is_alive, is_asleep, until, wait_gone


def expect(served: Family, status: int, number: int = signal.SIGTERM) -> str:
    """Stop it and look at its exit status; its log."""
    ended, log = served.stop(number)
    assert ended == status, log
    return log


@both_modes
def test_everybody_starts_in_order_and_ends_in_order(mode: str) -> None:
    with family(mode, workers=3, tasks=2) as served:
        workers = served.pids("worker_start")
        manager = served.pids("manager_start")[""]
        assert len(set(workers.values())) == 3, workers  # task-0 and task-1 have the same numbers
        with served.connect().sock as client:
            client.sendall(b"server.role.name\n")
            assert client.recv(100).startswith(b"'worker-")
        assert expect(served, 0) == ""
        names = [report["name"] for report in served.seen]
        assert names[-1] == "shutdown"
        assert names.count("worker_exit") == names.count("worker_stop") == 5
        assert names.index("manager_stop") > max(
            at for at, name in enumerate(names) if name == "worker_stop"
        )
        stopped = {report["pid"] for report in served.seen if report["name"] == "manager_stop"}
        assert stopped == {manager}
        assert (manager == served.process.pid) == (mode == "base")


@pytest.mark.parametrize("poller", ["epoll", "edge"])
def test_idle_workers_take_connections_in_turn(poller: str) -> None:
    with family("base", workers=3, poller=poller) as served:
        workers = served.pids("worker_start").values()
        clients, names = [], []
        for _ in range(30):
            until(lambda: all(map(is_asleep, workers)), "all workers are idle")
            clients.append(served.connect())
            names.append(clients[-1].ask("server.role.name"))
        assert min(names.count(f"worker-{number}") for number in range(3)) >= 5, names
        for client in clients:
            client.sock.close()
        assert expect(served, 0) == ""


@both_modes
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_graceful_stop_sends_all_that_is_queued(mode: str, number: int) -> None:
    count = 3_000_017
    with family(mode, output_buffer=8 << 20) as served:
        client = served.connect()
        client.say(f"server.send(session, big({count})) and None")
        head = client.read(1)
        served.kill(number)
        data = head + client.read(count - 1)
        assert len(data) == count
        assert client.at_end()
        client.sock.close()
        status, log = served.end()
        assert status == 0, log


@both_modes
def test_quit_stops_now(mode: str) -> None:
    with family(mode, drain_timeout=60) as served:
        client = served.connect()
        assert client.ask("1 + 1") == 2
        client.say("time.sleep(100)")
        expect(served, 1, signal.SIGQUIT)
        assert client.at_end()
        client.sock.close()


@both_modes
def test_a_second_interrupt_is_quit(mode: str) -> None:
    with family(mode, drain_timeout=60, hooks={"worker_exit": "stuck(100)"}) as served:
        served.kill(signal.SIGINT)
        served.wait("worker_exit")
        expect(served, 1, signal.SIGINT)


@both_modes
def test_a_worker_that_is_stuck_is_killed_at_the_end(mode: str) -> None:
    with family(mode, workers=1, drain_timeout=0.2) as served:
        client = served.connect()
        client.say("report('stuck') or stuck(100)")
        served.wait("stuck")
        log = expect(served, 1)
        assert "worker-0" in log
        assert "has not left in time, busy for" in log
        client.sock.close()


@both_modes
def test_a_signal_to_every_process_at_once_as_the_terminal_does(mode: str) -> None:
    with family(mode, tasks=1) as served:
        client = served.connect()
        assert client.ask("1 + 1") == 2
        os.killpg(served.process.pid, signal.SIGINT)
        status, log = served.end()
        assert (status, log) == (0, "")
        client.sock.close()


@both_modes
def test_shutdown_from_a_worker(mode: str) -> None:
    with family(mode) as served:
        client = served.connect()
        client.say("server.shutdown()")
        status, log = served.end()
        assert (status, log) == (0, "")
        client.sock.close()


def test_a_killed_worker_of_process_keeps_its_connections() -> None:
    with family("process", workers=1) as served:
        worker = served.pids("worker_start")["0"]
        client, other = served.connect(), served.connect()
        assert client.ask("os.getpid()") == other.ask("os.getpid()") == worker
        client.say("report('here') or os.kill(os.getpid(), 9)")
        error = served.wait("worker_error")
        assert error["args"] == ["0", str(worker), "0", "9"]
        for each in (client, other):
            assert each.ask("os.getpid()") not in (worker, None)
        assert client.ask("server.stats().restarts") == 1
        assert client.ask("server.stats().lost_messages") == 1
        assert client.ask("server.stats().connections") == 2
        for each in (client, other):
            each.sock.close()
        expect(served, 0)


def test_a_killed_worker_of_base_loses_its_own_connections_only() -> None:
    with family("base", workers=2) as served:
        clients: dict[int, Client] = {}
        spare: list[Client] = []
        while len(clients) < 2:
            client = served.connect()
            pid = client.ask("os.getpid()")
            if pid in clients:
                spare.append(client)
            else:
                clients[pid] = client
        victim, survivor = clients
        clients[victim].say("os.kill(os.getpid(), 9)")
        served.wait("worker_error")
        assert clients[victim].at_end()
        assert clients[survivor].ask("os.getpid()") == survivor
        for client in spare:
            client.sock.close()
        served.wait("worker_start")
        until(
            lambda: clients[survivor].ask("server.stats().connections") == 1,
            "the connections of a dead worker are forgotten",
        )
        fresh = served.connect()
        assert fresh.ask("1 + 1") == 2
        for client in (fresh, *clients.values()):
            client.sock.close()
        expect(served, 0)


@both_modes
def test_several_killed_at_once_all_come_back(mode: str) -> None:
    with family(mode, workers=3, tasks=2) as served:
        started = [report for report in served.seen if report["name"] == "worker_start"]
        served.pids("worker_start")
        for report in started:
            os.kill(report["pid"], signal.SIGKILL)
        again = [served.wait("worker_start") for _ in started]
        assert sorted(r["args"][0] for r in again) == sorted(r["args"][0] for r in started)
        with served.connect().sock as client:
            client.sendall(b"server.task_wait('2 + 3', 10)\n")
            assert client.recv(10) == b"5\n"
        expect(served, 0)


@both_modes
@pytest.mark.parametrize("code", [0, 7, 70])
def test_a_worker_that_exits_is_replaced(mode: str, code: int) -> None:
    """By SystemExit, or because it has no memory any more: 70 is EX_SOFTWARE."""
    leave = "(_ for _ in ()).throw(MemoryError)" if code == 70 else f"sys.exit({code})"
    with family(mode, workers=1) as served:
        served.pids("worker_start")
        client = served.connect()
        client.say(leave)
        if code:
            assert served.wait("worker_error")["args"][2:] == [str(code), "0"]
        served.wait("worker_start")
        fresh = served.connect()
        assert fresh.ask("1 + 1") == 2
        for each in (client, fresh):
            each.sock.close()
        expect(served, 0)


@both_modes
@pytest.mark.parametrize("busy", [False, True])
def test_when_the_main_process_is_killed_all_go(mode: str, busy: bool) -> None:
    with family(mode, tasks=1, drain_timeout=0.2) as served:
        client = served.connect()
        if busy:  # in C, where none of its own handlers runs
            client.say("report('stuck') or sum(range(1 << 60))")
            served.wait("stuck")
        status, _ = served.stop(signal.SIGKILL)  # waits for the end of every process
        assert status == -signal.SIGKILL
        assert client.at_end()
        client.sock.close()


@pytest.mark.parametrize("busy", [False, True])
def test_when_the_manager_of_process_is_killed_all_go(busy: bool) -> None:
    with family("process", tasks=1, drain_timeout=0.2) as served:
        client = served.connect()
        if busy:
            client.say("report('stuck') or stuck(1000)")
            served.wait("stuck")
        os.kill(served.pids("manager_start")[""], signal.SIGKILL)
        status, log = served.end()
        assert status == 1
        assert "is gone: the server stops" in log
        client.sock.close()


@both_modes
@pytest.mark.parametrize("options", [{}, {"reactors": 2}])
def test_a_worker_that_cannot_boot_stops_all_with_its_traceback(
    mode: str, options: dict[str, int]
) -> None:
    hooks = {"worker_start": "arguments[0] == 1 and 1 / 0"}
    with family(mode, workers=3, hooks=hooks, ready=False, **options) as served:
        status, log = served.end()
        assert status == 3
        assert log.count("ZeroDivisionError") == 1
        assert "worker-1 cannot boot" in log
        assert not [report for report in served.seen if report["name"] == "start"]


@both_modes
def test_a_worker_that_cannot_boot_any_more_stops_all_in_the_end(
    mode: str, tmp_path: os.PathLike[str]
) -> None:
    flag = os.path.join(tmp_path, "flag")
    hooks = {"worker_start": f"os.path.exists({flag!r}) and sys.exit('no database')"}
    with family(mode, workers=1, hooks=hooks, boot_fail_limit=2) as served:
        client = served.connect()
        client.say(f"open({flag!r}, 'w').close() or os.kill(os.getpid(), 9)")
        status, log = served.end()
        assert status == 3, log
        client.sock.close()


@both_modes
def test_nobody_can_listen_where_another_does(mode: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = ["127.0.0.1", taken.getsockname()[1]]
        with family(mode, address=address, ready=False) as served:
            status, log = served.end()
            assert status != 0
            assert "cannot listen" in log


@both_modes
def test_a_callback_that_raises_harms_its_own_connection_only(mode: str) -> None:
    with family(mode, workers=1) as served:
        client, other = served.connect(), served.connect()
        pid = other.ask("os.getpid()")
        client.say("1 / 0")
        assert client.at_end()
        assert "ZeroDivisionError" in served.wait("error")["args"][1]
        assert "CALLBACK" in served.wait("close")["args"][1]
        assert other.ask("os.getpid()") == pid
        for each in (client, other):
            each.sock.close()
        assert expect(served, 0).count("ZeroDivisionError") == 1


@both_modes
def test_one_worker_more_and_one_less(mode: str) -> None:
    with family(mode, workers=1) as served:
        served.pids("worker_start")
        served.kill(signal.SIGTTIN)
        second = served.wait("worker_start")
        assert second["args"] == ["1"]
        served.kill(signal.SIGTTOU)
        served.wait("worker_stop", pid=second["pid"])
        wait_gone(second["pid"])
        served.kill(signal.SIGTTOU)  # one stays
        client = served.connect()
        assert client.ask("server.role.name") == "worker-0"
        client.sock.close()
        assert "no fewer workers" in expect(served, 0)


@both_modes
def test_the_children_die_with_their_parent_only(mode: str) -> None:
    with family(mode) as served:
        workers = served.pids("worker_start")
        os.kill(workers["0"], signal.SIGTERM)  # it is replaced
        fresh = served.wait("worker_start")
        assert fresh["args"] == ["0"]
        wait_gone(workers["0"])
        assert is_alive(workers["1"])
        expect(served, 0)


@both_modes
def test_signals_of_the_main_process_do_nothing_to_a_worker(mode: str) -> None:
    with family(mode, workers=1) as served:
        client = served.connect()
        pid = client.ask("os.getpid()")
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            os.kill(pid, number)
        assert client.ask("os.getpid()") == pid
        client.sock.close()
        expect(served, 0)
