"""What the processes of a server say to each other: tasks, messages, verbs, questions, figures."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from family import Client, Family, both_modes, family, until

EVERYBODY = ("master", "manager", "worker-0", "worker-1", "task-0")
every_ipc = pytest.mark.parametrize(
    "ipc", ["seqpacket", "dgram", "stream", "pipe", "posix_mq", "sysv_mq", "ring"]
)


def said(served: Family, client: Client, target: str, expression: str) -> Any:
    """What an expression gives in another process, which is told by message."""
    assert client.ask(f"server.send_message({target!r}, '=' + {expression!r})") is True
    return served.wait("said")["args"][0]


def in_process(mode: str, name: str) -> str:
    """The name that a process goes by: in base the manager is the master too."""
    return "manager" if mode == "base" and name == "master" else name


@both_modes
def test_a_task_comes_back_as_finish(mode: str) -> None:
    with family(mode, tasks=2) as served:
        client = served.connect()
        number = client.ask("server.task('2 * 21')")
        finish = served.wait("finish")
        assert finish["args"] == [str(number), "42"]
        assert finish["pid"] == client.ask("os.getpid()")
        assert client.ask("server.task_wait('server.role.name', 10)") in ("task-0", "task-1")
        assert client.ask("server.task_wait(b'bytes', 10)") == b"bytes"
        assert client.ask("server.task_wait({'a': (1, None)}, 10)") == {"a": (1, None)}
        assert client.ask("server.stats().tasks_waiting") == 0
        assert client.ask("server.stats().tasks_done") == 4
        client.sock.close()
        assert served.stop() == (0, "")


@both_modes
def test_several_results_of_one_task(mode: str) -> None:
    with family(mode, tasks=1) as served:
        client = served.connect()
        number = client.ask("server.task('[server.finish(n) for n in range(3)] and None')")
        found = [served.wait("finish")["args"] for _ in range(3)]
        assert found == [[str(number), str(n)] for n in range(3)]
        client.ask("server.task_wait('1', 10)")
        assert client.ask("server.stats().tasks_waiting") == 0
        client.sock.close()
        assert served.stop() == (0, "")


@both_modes
def test_a_task_for_a_certain_worker_and_for_none(mode: str) -> None:
    with family(mode, tasks=3) as served:
        client = served.connect()
        client.ask("server.task('report(server.role.name)', 2)")
        served.wait("task-2")
        assert client.ask("(server.task('1', 3), str(server.last_error))") == (
            None, "NO_TASK_WORKER"
        )  # fmt: skip
        client.sock.close()
        assert served.stop() == (0, "")
    with family(mode) as served:
        client = served.connect()
        assert client.ask("(server.task_wait('1', 1), str(server.last_error))") == (
            None, "NO_TASK_WORKER"
        )  # fmt: skip
        client.sock.close()
        assert served.stop() == (0, "")


@both_modes
def test_a_task_that_takes_too_long_for_who_waits(mode: str, tmp_path: Path) -> None:
    flag = str(tmp_path / "flag")
    endless = f"[time.sleep(0.001) for _ in iter(lambda: os.path.exists({flag!r}), True)] and 7"
    with family(mode, tasks=1) as served:
        client = served.connect()
        ask = f"(server.task_wait({endless!r}, 0.05), str(server.last_error))"
        assert client.ask(ask) == (None, "TIMED_OUT")
        assert client.ask(f"open({flag!r}, 'w').close() or 1") == 1
        assert client.ask("server.task_wait('5', 10)") == 5
        until(lambda: client.ask("server.stats().tasks_waiting") == 0, "no task is left")
        assert not [report for report in served.seen if report["name"] == "finish"]
        client.sock.close()
        assert served.stop() == (0, "")


@both_modes
def test_the_task_of_a_killed_task_worker_is_told_lost(mode: str) -> None:
    with family(mode, tasks=1) as served:
        client = served.connect()
        ask = "(server.task_wait('os.kill(os.getpid(), 9)', 30), str(server.last_error))"
        assert client.ask(ask) == (None, "WORKER_DIED")
        assert client.ask("server.task_wait('5', 10)") == 5  # waits for the next task worker
        assert client.ask("server.stats().tasks_waiting") == 0
        client.sock.close()
        status, log = served.stop()
        assert status == 0
        assert "died: signal 9" in log


@both_modes
def test_a_task_that_raises_and_a_result_that_cannot_travel(mode: str) -> None:
    with family(mode, tasks=1) as served:
        client = served.connect()
        for bad in ("1 / 0", "threading.Lock()"):
            assert client.ask(f"[server.task_wait({bad!r}, 10)]") == [None]
        assert client.ask("server.task_wait('6', 10)") == 6
        client.say("server.task(threading.Lock())")
        assert client.at_end()  # the callback raised
        client.sock.close()
        status, log = served.stop()
        assert status == 0
        assert log.count("ZeroDivisionError") == 1
        assert log.count("cannot pass between processes") == 2


@both_modes
@pytest.mark.parametrize("asker", EVERYBODY)
def test_a_task_from_every_role(mode: str, asker: str) -> None:
    with family(mode, tasks=2) as served:
        client = served.connect()
        expression = "server.task_wait(repr(server.role.name), 10)"
        assert said(served, client, asker, expression) == repr(in_process(mode, asker))
        assert said(served, client, asker, "server.task('3 + 4') > 0") == "True"
        assert served.wait("finish")["args"][1] == "7"
        client.sock.close()
        assert served.stop() == (0, "")


@both_modes
@every_ipc
def test_tasks_and_large_messages_over_every_ipc(ipc: str, mode: str) -> None:
    with family(mode, tasks=1, ipc=ipc, output_buffer=8 << 20) as served:
        client = served.connect()
        assert client.ask("len(server.task_wait(big(3000017), 30))") == 3_000_017
        assert said(served, client, "task-0", "len(server.task_wait(big(70001), 0.01) or '')")
        assert client.ask("server.send_message('manager', big(300007))")
        while len(served.wait("pipe_message")["args"][1]) < 800:  # as much as is reported
            pass
        client.say("server.send(session, big(2000003)) and None")
        assert client.read(2_000_003) == bytes(range(251)) * 7968 + bytes(35)
        os.kill(client.ask("os.getpid()"), signal.SIGKILL)
        served.wait("worker_error")
        fresh = client if mode == "process" else served.connect()
        assert fresh.ask("1 + 1") == 2
        client.sock.close()
        assert served.stop()[0] == 0


@both_modes
@pytest.mark.parametrize("source", EVERYBODY)
def test_messages_between_any_two(mode: str, source: str) -> None:
    with family(mode, tasks=1) as served:
        client = served.connect()
        for target in EVERYBODY:
            send = f"server.send_message({target!r}, 'from {source}')"
            assert said(served, client, source, send) == "True"
            heard = served.wait("pipe_message")
            while not heard["args"][1].startswith("'from"):
                heard = served.wait("pipe_message")
            assert heard["args"] == [repr(in_process(mode, source)), repr(f"from {source}")]
        client.sock.close()
        assert served.stop() == (0, "")


@both_modes
def test_messages_by_number_and_to_nobody(mode: str) -> None:
    with family(mode) as served:
        client = served.connect()
        assert client.ask("server.send_message(1, 'hello')")
        assert served.wait("pipe_message")["args"][1] == "'hello'"
        for nobody in ("worker-9", "task-0", "nobody", "worker-x", ""):
            ask = f"(server.send_message({nobody!r}, 'hello'), str(server.last_error))"
            assert client.ask(ask) == (False, "NO_SUCH_TARGET")
        client.sock.close()
        assert served.stop() == (0, "")


@both_modes
@pytest.mark.parametrize("who", EVERYBODY)
def test_verbs_on_a_session_from_every_process(mode: str, who: str) -> None:
    with family(mode, tasks=1) as served:
        client, other = served.connect(), served.connect()
        session = client.ask("session")
        at = client.sock.getsockname()
        assert said(served, other, who, f"server.exists({session})") == "True"
        assert said(served, other, who, f"server.client_info({session}).client") == repr(at)
        assert str(session) in said(served, other, who, "server.clients()")
        assert said(served, other, who, f"server.send({session}, b'7\\n')") == "True"
        assert client.hear() == 7
        assert said(served, other, who, f"server.bind({session}, 5)") == "True"
        until(
            lambda: said(served, other, who, f"server.client_info({session}).uid") == "5",
            "the session is bound",
        )
        assert said(served, other, who, f"server.pause({session})") == "True"
        until(
            lambda: said(served, other, who, f"server.client_info({session}).paused") == "True",
            "the session is paused",
        )
        client.say("8")
        assert said(served, other, who, f"server.resume({session})") == "True"
        assert client.hear() == 8
        assert said(served, other, who, f"server.half_close({session})") == "True"
        assert client.at_end()
        assert said(served, other, who, f"server.close({session})") == "True"
        served.wait("close")
        until(
            lambda: said(served, other, who, f"server.exists({session})") == "False",
            "the session is over",
        )
        late = f"(server.send({session}, b'late'), str(server.last_error))"
        assert said(served, other, who, late) == "(False, 'SESSION_CLOSED')"
        never = f"(server.close({session + (1 << 30)}), str(server.last_error))"
        assert said(served, other, who, never) == "(False, 'SESSION_NOT_EXIST')"
        assert said(served, other, who, "server.client_info(12345)") == "None"
        for each in (client, other):
            each.sock.close()
        assert served.stop() == (0, "")


@both_modes
def test_two_who_ask_each_other_do_not_wait_for_ever(mode: str) -> None:
    with family(mode, workers=2) as served:
        clients = {}
        while len(clients) < 2:
            client = served.connect()
            clients[client.ask("server.role.name")] = client
        sessions = {name: client.ask("session") for name, client in clients.items()}
        for name, client in clients.items():
            other = sessions["worker-1" if name == "worker-0" else "worker-0"]
            client.say(
                "[server.client_info("
                + str(other)
                + ") is not None for _ in range(50)].count(True)"
            )
        assert [client.hear() for client in clients.values()] == [50, 50]
        for client in clients.values():
            client.sock.close()
        assert served.stop()[0] == 0


@both_modes
@pytest.mark.parametrize("who", EVERYBODY)
def test_timers_in_every_process(mode: str, who: str) -> None:
    with family(mode, tasks=1) as served:
        client = served.connect()
        said(served, client, who, "server.after(0.01, lambda: report('once', server.role.name))")
        assert served.wait("once")["args"] == [repr(in_process(mode, who))]
        tick = "kept.setdefault('t', server.tick(0.01, lambda: report('tick')))"
        said(served, client, who, tick)
        served.wait("tick")
        served.wait("tick")
        assert said(served, client, who, "server.clear(kept['t'])") == "True"
        assert said(served, client, who, "server.clear(kept['t'])") == "False"
        said(served, client, who, "server.after(0, lambda: 1 / 0)")
        served.wait("error")
        client.sock.close()
        assert served.stop()[0] == 0


@both_modes
@pytest.mark.parametrize("who", EVERYBODY)
def test_figures_are_the_same_everywhere(mode: str, who: str) -> None:
    with family(mode, workers=2, tasks=1) as served:
        clients = [served.connect() for _ in range(5)]
        for client in clients:
            assert client.ask("1") == 1
        clients.pop().sock.close()
        served.wait("close")
        client = clients[0]
        until(
            lambda: said(served, client, who, "server.stats().closed") == "1",
            "the closed connection is counted",
        )
        names = ("accepted", "connections", "workers", "task_workers", "restarts")
        found = said(served, client, who, f"[getattr(server.stats(), n) for n in {names!r}]")
        assert found == "[5, 4, 2, 1, 0]"
        assert int(said(served, client, who, "server.stats().received_bytes")) > 10
        assert int(said(served, client, who, "server.stats().messages")) >= 5
        for each in clients:
            each.sock.close()
        assert served.stop() == (0, "")


@both_modes
def test_figures_are_right_after_a_crash(mode: str) -> None:
    with family(mode, workers=2) as served:
        clients = [served.connect() for _ in range(6)]
        pids = [client.ask("os.getpid()") for client in clients]
        victim = pids[0]
        lost = [c for c, pid in zip(clients, pids, strict=True) if pid == victim]
        kept = [c for c, pid in zip(clients, pids, strict=True) if pid != victim]
        os.kill(victim, signal.SIGKILL)
        served.wait("worker_error")
        if mode == "base":
            assert all(client.at_end() for client in lost)
        else:
            kept = clients
        fresh = served.connect()
        expected = (7, len(kept) + 1, 7 - len(kept) - 1)
        until(
            lambda: (
                fresh.ask("(lambda s: (s.accepted, s.connections, s.closed))(server.stats())")
                == expected
            ),
            "the connections of a dead worker are counted as closed",
        )
        assert fresh.ask("len(server.clients())") == len(kept) + 1
        for client in (fresh, *clients):
            client.sock.close()
        assert served.stop()[0] == 0


@both_modes
def test_datagrams(mode: str) -> None:
    with family(mode, more=[["127.0.0.1", 0, "udp"]], workers=2) as served:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(30)
            client.connect(("127.0.0.1", served.ports[1]))
            for _ in range(23):
                client.send(b"hello")
                assert client.recv(100).startswith(b"hello by ")
        assert served.stop() == (0, "")


@both_modes
def test_unix_sockets_leave_no_file(mode: str, tmp_path: os.PathLike[str]) -> None:
    path = os.path.join(tmp_path, "s")
    with family(mode, more=[[path, 0, "unix"]]) as served:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            client.sendall(b"1 + 1\n")
            assert client.recv(10) == b"2\n"
        served.kill(signal.SIGHUP)
        served.wait("after_reload")
        assert os.path.exists(path)
        assert served.stop() == (0, "")
        assert not os.path.exists(path)
