"""Limits and errors of use of servers of several processes: what has no room, what is refused."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from family import Family, both_modes, family, until
from test_server_limits import cpu_s
from test_server_processes_talk import said

every_mode = pytest.mark.parametrize("mode", ["single", "threads", "base", "process"])


def owner_of_sockets(mode: str) -> str:
    return "worker-0" if mode == "base" else "master"


@both_modes
def test_max_connections_and_max_per_client(mode: str) -> None:
    """One counts connections, the other those of one address."""
    for options in ({"max_connections": 5}, {"max_per_client": 5}):
        with family(mode, workers=1, **options) as served:
            inside = [served.connect() for _ in range(5)]
            assert [client.ask("1 + 1") for client in inside] == [2] * 5
            assert served.connect().at_end()
            inside[0].sock.close()
            served.wait("close")
            late = served.connect()  # accepting goes on at once
            assert late.ask("1 + 1") == 2
            assert late.ask("server.stats().refused") == 1
            for client in (*inside, late):
                client.sock.close()
            status, log = served.stop()
            assert status == 0
            assert next(iter(options)) in log
            assert log.count("closed a new connection") == 1


@both_modes
@pytest.mark.parametrize("on_emfile", ["pause", "shed"])
def test_without_descriptors(mode: str, on_emfile: str) -> None:
    """They wait their turn, at no cost, or know at once; who is inside is served."""
    with family(mode, workers=1, on_emfile=on_emfile) as served:
        first = served.connect()
        said(served, first, owner_of_sockets(mode), "few_descriptors(2)")
        clients = [served.connect() for _ in range(11)]
        if on_emfile == "shed":
            assert [client.ask("1 + 1") for client in clients[:2]] == [2, 2]
            assert all(client.at_end() for client in clients[2:])
        else:
            pid = int(said(served, first, owner_of_sockets(mode), "os.getpid()"))
            before_s = cpu_s(pid)
            for client in clients:
                client.say("6 * 7")
            for client in clients:
                assert client.hear() == 42
                client.sock.close()
            assert first.ask("server.stats().accept_pauses") >= 1
            assert cpu_s(pid) - before_s < 1
        assert first.ask("1 + 1") == 2
        for client in (first, *clients):
            client.sock.close()
        status, log = served.stop()
        assert status == 0
        assert 1 <= log.count("RLIMIT_NOFILE") <= 3


@both_modes
def test_who_cannot_be_started_now_is_started_later(mode: str, tmp_path: Path) -> None:
    """The manager has no descriptors for a child: those who run go on."""
    log = tmp_path / "log"
    with family(mode, workers=2, log_file=str(log)) as served:
        victim = served.pids("worker_start")["1"]
        client = served.connect()
        while client.ask("server.role.name") == "worker-1":
            client = served.connect()
        said(served, client, "manager", "few_descriptors(0)")
        os.kill(victim, signal.SIGKILL)
        assert served.wait("worker_error")["args"][1] == str(victim)
        words = "cannot start worker-1: Too many open files"
        until(lambda: words in log.read_text(), "it was tried")
        assert client.ask("6 * 7") == 42
        back = "resource.setrlimit(resource.RLIMIT_NOFILE, kept['limit'])"
        assert said(served, client, "manager", back) == "None"
        assert served.wait("worker_start")["args"] == ["1"]
        client.sock.close()
        assert served.stop() == (0, "")


@both_modes
def test_descriptor_0_is_as_good_as_any(mode: str) -> None:
    """As under a service manager that closes what it does not need."""
    with family(mode, without_0=True, workers=1, tasks=1) as served:
        client = served.connect()
        assert client.ask("server.task_wait('6 * 7', 10)") == 42
        served.kill(signal.SIGHUP)
        served.wait("after_reload")
        assert client.ask("1 + 1") == 2
        client.sock.close()
        assert served.stop() == (0, "")


@every_mode
@pytest.mark.parametrize("hook", ["worker_start", "start"])
def test_a_server_may_stop_while_it_starts(mode: str, hook: str) -> None:
    with family(mode, hooks={hook: "server.shutdown()"}, ready=False) as served:
        status, log = served.end()
        assert (status, log) == (0, "")
        assert served.wait("shutdown")


@both_modes
def test_the_manager_may_stop_the_server_while_it_starts(mode: str) -> None:
    with family(mode, hooks={"manager_start": "server.shutdown()"}, ready=False) as served:
        status, log = served.end()
        assert (status, log) == (0, "")


@every_mode
def test_what_a_running_server_refuses(mode: str) -> None:
    tasks: dict[str, Any] = {"tasks": 1} if mode in ("base", "process") else {}
    with family(mode, **tasks) as served:
        client = served.connect()
        for what in ("start()", "set(backlog=5)", "on('receive', print)", "listen('::1')"):
            assert "runs already" in client.ask(f"refusal(lambda: server.{what})")
        assert "no task is being done here" in client.ask(
            "refusal(lambda: server.finish(1))"
        ) or not (tasks)
        client.sock.close()
        assert served.stop() == (0, "")


@both_modes
def test_more_tasks_than_may_wait_are_refused(mode: str) -> None:
    with family(mode, tasks=1, silent=["finish"]) as served:
        client = served.connect()
        ask = "([server.task(b'x') for _ in range(4099)].count(None), str(server.last_error))"
        assert client.ask(ask) == (3, "QUEUE_FULL")
        for _ in range(4096):
            served.wait("task")
        until(lambda: client.ask("server.stats().tasks_waiting") == 0, "all were done")
        client.sock.close()
        status, log = served.stop()
        assert status == 0
        assert log.count("a task is refused, 4096 wait") == 1


@pytest.mark.parametrize("reactors", [1, 2])
def test_a_dispatch_function_that_raises_closes_that_connection_only(reactors: int) -> None:
    function = "lambda session, data: 1 // (b'boom' not in data)"
    with family("process", function=function, reactors=reactors) as served:
        client, other = served.connect(), served.connect()
        assert other.ask("1 + 1") == 2
        client.say("boom")
        assert client.at_end()
        assert "CALLBACK" in served.wait("close")["args"][1]
        assert "ZeroDivisionError" in served.wait("error")["args"][1]
        assert other.ask("1 + 1") == 2
        other.sock.close()
        status, log = served.stop()
        assert status == 0
        assert log.count("'dispatch_func' raised") == 1


def info(served: Family, mode: str, fact: str) -> Any:
    """A fact of client_info of a new connection, with the number of the worker that says so."""
    client = served.connect()
    name, value = client.ask(f"(server.role.name, server.client_info(session).{fact})")
    assert name == f"worker-{value}", mode
    client.sock.close()


@both_modes
def test_the_worker_of_a_session_is_known(mode: str) -> None:
    with family(mode, workers=3) as served:
        for _ in range(7):
            info(served, mode, "worker")
        assert served.stop() == (0, "")


@both_modes
def test_datagrams_that_cannot_be_sent(mode: str) -> None:
    with family(mode, more=[["127.0.0.1", 0, "udp"]]) as served:
        client = served.connect()
        words = "__import__('netlab.server.terms').server.terms.Client"
        for to, size, error in (
            ("('127.0.0.1', 9), 1", 70_000, "MESSAGE_TOO_LARGE"),
            ("('127.0.0.1', 9), 7", 1, "NO_SUCH_CLIENT"),
            ("('127.0.0.1', 9), 0", 1, "NO_SUCH_CLIENT"),
            ("'/no', 1", 1, "NO_SUCH_CLIENT"),
        ):
            ask = f"(server.sendto({words}({to}), bytes({size})), str(server.last_error))"
            assert client.ask(ask) == (False, error)
        client.sock.close()
        assert served.stop() == (0, "")


def test_a_folder_that_may_not_be_written_to_has_no_place(tmp_path: Path) -> None:
    from netlab.server import Server
    from netlab.server.sockets.entrance import ListenError

    tmp_path.chmod(0o555)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            if os.geteuid() == 0:
                os.setuid(65_534)
            Server(str(tmp_path / "socket")).open()
        except ListenError as error:
            status = 0 if "Permission denied" in error.message else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
