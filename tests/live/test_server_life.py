"""From start to stop: errors of use, signals, draining, timers, and what can be asked meanwhile."""

from __future__ import annotations

import os
import resource
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from served import drain, every_loop, every_way, in_child, read_all, read_to_end, serving

from netlab.lab.pattern import pattern
from netlab.model.errors import UsageError
from netlab.server import Server
from netlab.server.settings.effective import OWN_DESCRIPTORS
from netlab.server.terms import CloseReason

modes = pytest.mark.parametrize("mode", ["single", "threads", "base", "process"])


def test_ten_lines_are_enough() -> None:
    """The example of the documentation."""
    server = Server("127.0.0.1", 0, nodelay=True)

    @server.on("receive")
    def receive(server: Server, session: int, data: bytes) -> None:
        server.send(session, data)

    port = server.open()[0].port
    thread = threading.Thread(target=server.start)
    thread.start()
    with socket.create_connection(("127.0.0.1", port), 20) as client:
        client.sendall(b"hello")
        assert read_all(client, 5) == b"hello"
    server.shutdown()
    thread.join()


@modes
def test_errors_of_use_are_named(mode: str) -> None:
    server = Server("127.0.0.1", 0, mode=mode)
    with pytest.raises(UsageError, match="callback 'receive' is missing"):
        server.start()
    with pytest.raises(UsageError, match="no callback 'recieve'"):
        server.on("recieve", print)
    with pytest.raises(UsageError, match="no callback 'recieve'"):
        server.on("recieve")
    with pytest.raises(UsageError, match="give a function"):
        server.on("receive", 5)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no option no_delay"):
        Server("127.0.0.1", 0, no_delay=True)
    with pytest.raises(UsageError, match="backlog is 'many'"):
        server.set(backlog="many")
    with pytest.raises(UsageError, match="does not run"):
        server.send(1, b"x")
    with pytest.raises(UsageError, match="no address"):
        Server(mode=mode).open()
    with pytest.raises(UsageError, match="two framings"):
        server.listen("127.0.0.1", 0, fixed_size=3, terminator=b"x")
    if mode in ("single", "threads"):
        with pytest.raises(UsageError, match="task workers"):
            server.set(tasks=1)
    else:
        server.set(tasks=1)
        server.on("receive", print)
        with pytest.raises(UsageError, match="callback 'task' is missing"):
            server.start()
    datagrams = Server("127.0.0.1", 0, kind="udp", mode=mode)
    with pytest.raises(UsageError, match="callback 'packet' is missing"):
        datagrams.start()


@every_way
def test_what_a_running_server_refuses(way: str) -> None:
    with serving(way) as served:
        server = served.server
        for refused in (
            lambda: server.start(), lambda: server.set(backlog=5),
            lambda: server.on("receive", print), lambda: server.listen("::1"),
        ):  # fmt: skip
            with pytest.raises(UsageError, match="runs already"):
                refused()
        for refused in (
            lambda: server.task(b""), lambda: server.task_wait(b"", 1), lambda: server.finish(b""),
            lambda: server.send_message("worker-1", b""), lambda: server.reload(),
        ):  # fmt: skip
            with pytest.raises(UsageError, match="use mode base or process"):
                refused()


@every_way
def test_it_may_be_started_again(way: str) -> None:
    with serving(way) as served:
        server = served.server
    for _ in range(2):
        port = server.open()[0].port
        thread = threading.Thread(target=server.start)
        thread.start()
        served.wait("start")
        with socket.create_connection(("127.0.0.1", port), 20) as client:
            client.sendall(b"x")
            assert read_all(client, 1) == b"x"
        server.shutdown()
        thread.join()


@every_way
def test_the_callbacks_of_a_life_come_in_order(way: str) -> None:
    with serving(way) as served:
        served.connect().close()
        served.wait("close")
    assert served.names() == [
        "start", "worker_start", "connect", "close", "worker_stop", "shutdown",
    ]  # fmt: skip


@every_way
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_in_order(way: str, number: int) -> None:
    """What is queued is sent first; who connects meanwhile finds nobody."""
    with in_child(way, stop=number) as (port, _):
        client = socket.create_connection(("127.0.0.1", port), 20)
        client.sendall(pattern(0, 4093))
        assert read_all(client, 1000) == pattern(0, 1000)
    assert read_to_end(client) == pattern(1000, 4093)
    client.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 20)


@every_way
def test_quit_stops_now(way: str) -> None:
    with in_child(way, status=1, stop=signal.SIGQUIT, sndbuf=4096) as (port, _):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(20)
        client.connect(("127.0.0.1", port))
        client.sendall(pattern(0, 100_003))
        read_all(client, 1)
    with pytest.raises(ConnectionResetError):
        read_to_end(client)
    client.close()


@every_loop
def test_a_second_interrupt_stops_now(way: str) -> None:
    options: dict[str, Any] = {"sndbuf": 4096, "drain_timeout": 600}
    with in_child(way, status=1, stop=None, **options) as (port, pid):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(20)
        client.connect(("127.0.0.1", port))
        client.sendall(pattern(0, 50_021))
        read_all(client, 1)
        os.kill(pid, signal.SIGINT)
        while True:  # it listens no more: the first one was acted on
            try:
                socket.create_connection(("127.0.0.1", port), 20).close()
            except ConnectionRefusedError:
                break
            except ConnectionResetError:
                continue
        os.kill(pid, signal.SIGINT)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        client.close()


@every_way
def test_output_that_is_not_taken_in_time_is_dropped_when_stopping(way: str) -> None:
    def send(server: Server, session: int, data: bytes) -> None:
        server.send(session, bytes(1 << 20))

    with (
        serving(way, on={"receive": send}, status=1, sndbuf=4096, drain_timeout=0.2) as served,
        served.connect(SO_RCVBUF=4096) as client,
    ):
        client.sendall(b"x")
        read_all(client, 1)
        served.server.shutdown()
        closed = served.wait_closed()
        assert closed.reason is CloseReason.SHUTDOWN
        drain(client)


@every_way
def test_signals_that_have_nothing_to_do_are_survived(way: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with in_child(way, log_file=str(log)) as (port, pid):
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE):
            os.kill(pid, number)
        for number in (signal.SIGTTIN, signal.SIGTTOU):
            os.kill(pid, number)
        with socket.create_connection(("127.0.0.1", port), 20) as client:
            client.sendall(b"x")
            assert read_all(client, 1) == b"x"
    assert log.read_text().count("no workers to reload") == 3
    assert log.read_text().count("no workers, and there cannot be") == 2


@every_way
def test_the_programs_own_signal_handlers_come_back(way: str) -> None:
    def mine(number: int, frame: object) -> None:
        pass

    before = {number: signal.signal(number, mine) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        server = Server("127.0.0.1", 0, poller="poll" if way == "threads" else way)
        server.on("receive", print)
        server.on("start", lambda server: os.kill(os.getpid(), signal.SIGTERM))
        assert server.start() == 0
        assert signal.getsignal(signal.SIGTERM) is mine
        assert signal.getsignal(signal.SIGINT) is mine
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@every_way
def test_pid_file_and_log_file(way: str, tmp_path: Path) -> None:
    pid_file, log = tmp_path / "pid", tmp_path / "log"
    with in_child(way, pid_file=str(pid_file), log_file=str(log)) as (_, pid):
        assert pid_file.read_text() == f"{pid}\n"
    assert not pid_file.exists()
    assert log.exists()


@every_way
def test_timers_of_the_user(way: str) -> None:
    beats: list[int] = []

    def beat(server: Server) -> None:
        beats.append(1)
        if len(beats) == 3:
            assert server.clear(timers[0])
            served_once.set()

    timers: list[int] = []
    served_once = threading.Event()

    def start(server: Server) -> None:
        timers.append(server.tick(0.01, lambda: beat(server)))
        never = server.after(0.01, lambda: beats.append(100))
        assert server.clear(never)
        assert not server.clear(never)

    with serving(way, on={"start": start}) as served:
        assert served_once.wait(20)
        served.in_loop(lambda: None)
    assert beats == [1, 1, 1]


@every_way
def test_stats_and_infos(way: str) -> None:
    with serving(way) as served, served.connect() as client, served.connect() as other:
        client.sendall(pattern(0, 1009))
        read_all(client, 1009)
        first = served.wait("connect")[0]
        # A thread counts what it sent once send() has returned; by then the client may have it.
        answered = 0
        while answered < 1009:
            answered += len(served.wait("receive")[1])
        stats = served.in_loop(served.server.stats)
        assert (stats.connections, stats.accepted, stats.closed) == (2, 2, 0)
        assert stats.received_bytes == stats.sent_bytes == 1009
        assert stats.messages == stats.responses >= 1
        assert sorted(served.in_loop(served.server.clients))[0] == first
        assert served.in_loop(lambda: served.server.bind(first, 42))
        info = served.in_loop(lambda: served.server.client_info(first))
        assert info.client == client.getsockname()
        assert info.server == client.getpeername()
        assert info.uid == 42
        assert 0 < info.connected_at_s <= info.received_at_s <= info.sent_at_s
        other.close()
        served.wait("close")
        assert served.in_loop(served.server.clients) == [first]
        assert served.in_loop(served.server.stats).closed == 1


@every_way
def test_a_watched_server_records_its_calls(way: str, tmp_path: Path) -> None:
    """The probe's sockets go the same ways, and every call is there."""
    from netlab.capture.probe import JournalProbe, SpoolReader

    probe = JournalProbe(tmp_path, actor="server", queues="events")
    messages = 23
    with serving(way, probe=probe) as served, served.connect() as client:
        for number in range(messages):
            client.sendall(pattern(number, number + 101))
            assert read_all(client, 101) == pattern(number, number + 101)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
        served.wait_closed()
    probe.close()
    calls = SpoolReader(tmp_path).finish()
    ops = [call.op for call in calls]
    assert ops.count("send") == messages
    assert ops.count("recv") == messages + 1  # and the end
    # An edge is told once, so a full read asks again; ours are shorter than recv_size.
    assert sum(call.result or 0 for call in calls if call.op == "send") == 101 * messages
    assert ops.count("accept") >= 1
    waits = {"epoll": "epoll_wait", "edge": "epoll_wait", "threads": "epoll_wait"}.get(way, way)
    assert ops.count(waits) >= 2


def test_the_values_that_hold_can_be_asked_for() -> None:
    rows = {row.name: row for row in Server("127.0.0.1", 0, backlog=1_000_000).effective()}
    assert "RLIMIT_NOFILE" in rows
    assert rows["backlog"].asked == "1000000"
    assert "somaxconn" in rows["backlog"].why


@every_loop
def test_no_more_connections_than_descriptors_allow(way: str) -> None:
    """The limit that holds is the one that is shown."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (OWN_DESCRIPTORS + 6, hard))
    try:
        with serving(way) as served:
            shown = {row.name: row for row in served.server.effective()}["max_connections"]
            assert shown.effective == "6"
            inside = [served.connect() for _ in range(6)]
            for client in inside:
                client.sendall(b"x")
                assert read_all(client, 1) == b"x"
            with served.connect() as over:
                drain(over)
            for client in inside:
                client.close()
        assert served.names().count("connect") == 6
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
