"""Limits and listening: addresses of every kind, those that cannot be had, and being full."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import resource
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from served import WAYS, Served, drain, every_loop, every_way, in_child, is_dead, read_all, serving

from netlab.lab.pattern import pattern
from netlab.model.errors import UsageError
from netlab.server import Server
from netlab.server.sockets.entrance import ListenError
from netlab.server.terms import Client, SendError

some_ways = pytest.mark.parametrize("way", ["epoll", "edge", "threads"])


def answer(server: Server, data: bytes, client: Client) -> None:
    assert server.sendto(client, data)


@every_way
def test_all_kinds_of_addresses_at_once(way: str, tmp_path: Path) -> None:
    stream, datagrams = str(tmp_path / "stream"), str(tmp_path / "datagrams")

    def more(server: Server) -> None:
        server.listen("::1", 0)
        server.listen(stream)
        server.listen(f"@netlab-test-{os.getpid()}")
        server.listen("127.0.0.1", 0, "udp")
        server.listen("::1", 0, "udp")
        server.listen(datagrams, kind="unix_dgram")

    with serving(way, more=more, on={"packet": answer}) as served:
        for number in range(4):
            with served.connect(number) as client:
                client.sendall(pattern(0, 4093))
                assert read_all(client, 4093) == pattern(0, 4093)
        for number, place in enumerate(served.server.open()[4:], 4):
            family, address = place.resolved()
            with socket.socket(family, socket.SOCK_DGRAM) as client:
                client.settimeout(10)
                client.bind(str(tmp_path / "me") if family == socket.AF_UNIX else (place.host, 0))
                client.connect(address)
                for size in (0, 1, 1499, 40_009):
                    client.send(pattern(0, size))
                    assert client.recv(1 << 16) == pattern(0, size)
                    assert served.wait("packet")[1].entrance == number
    assert not os.path.exists(stream)
    assert not os.path.exists(datagrams)


@every_way
def test_datagrams_that_cannot_be_sent(way: str) -> None:
    said: list[object] = []

    def packet(server: Server, data: bytes, client: Client) -> None:
        for to, what in (
            (client, bytes(70_000)), (Client(client.address, 7), b"x"), (Client("/no", 0), b"x"),
        ):  # fmt: skip
            said.append((server.sendto(to, what), server.last_error))
        server.sendto(client, b"done")

    with serving(way, None, more=lambda s: s.listen("127.0.0.1", 0, "udp"), on={"packet": packet}):
        pass
    with serving(
        way, None, more=lambda s: s.listen("127.0.0.1", 0, "udp"), on={"packet": packet}
    ) as served, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:  # fmt: skip
        client.settimeout(10)
        client.connect(("127.0.0.1", served.port))
        client.send(b"x")
        assert client.recv(10) == b"done"
        assert said == [
            (False, SendError.MESSAGE_TOO_LARGE),
            (False, SendError.NO_SUCH_CLIENT),
            (False, SendError.NO_SUCH_CLIENT),
        ]


@every_loop
def test_an_answer_that_nobody_wants_does_not_stop_the_next(way: str) -> None:
    """The ICMP error of one answer is reported by a later call."""
    with serving(
        way, None, more=lambda s: s.listen("127.0.0.1", 0, "udp"), on={"packet": answer}
    ) as served:
        for _ in range(5):
            gone = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            gone.sendto(b"x", ("127.0.0.1", served.port))
            gone.close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            client.sendto(b"y", ("127.0.0.1", served.port))
            assert client.recv(10) == b"y"


@every_loop
def test_a_datagram_that_is_longer_than_any_of_udp_is_cut_and_said(
    way: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = str(tmp_path / "datagrams")
    with (
        serving(way, None, more=lambda s: s.listen(path, kind="unix_dgram")) as served,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client,
    ):
        client.sendto(pattern(0, 70_001), path)
        assert served.wait("packet")[0] == pattern(0, 1 << 16)
        client.sendto(b"next", path)
        assert served.wait("packet")[0] == b"next"
    assert caplog.text.count("a datagram was cut to 65536 bytes") == 1


def test_an_address_that_is_taken_names_who_has_it() -> None:
    with serving("epoll") as served:
        beside = Server("127.0.0.1", served.port, kind="udp")
        assert beside.open()[0].port == served.port  # UDP has ports of its own
        beside.discard()
        server = Server("127.0.0.1", served.port)
        with pytest.raises(ListenError, match=rf"\(pid {os.getpid()}\)") as refused:
            server.open()
        assert refused.value.errno == errno.EADDRINUSE
        assert refused.value.exit_code == 2
        server.on("receive", print)
        assert server.start() == 2


def listen_also(host: str, port: int, kind: str | None) -> None:
    server = Server("127.0.0.1", 0)
    server.listen(host, port, kind)
    server.open()


def test_addresses_that_cannot_be_had_leave_nothing_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for host, port, kind, said in (
        ("192.0.2.1", 0, None, "no interface"), ("no.such.name.invalid", 0, None, "no address"),
        ("/no/such/folder/socket", 0, None, "No such file"), ("127.0.0.1", 70_000, None, "range"),
        ("", 0, "unix", "no name"), ("127.0.0.1", 0, "sctp", "kind"), ("x" * 200, 0, "unix", "107"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=said):
            listen_also(host, port, kind)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_stale_unix_socket_is_taken_over_and_a_live_one_is_not(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    server, second = Server(path), Server(path)
    server.open()
    with pytest.raises(ListenError, match="another server answers"):
        second.open()
    server.discard()
    assert not os.path.exists(path)
    Path(path).write_text("no socket")
    with pytest.raises(ListenError):
        second.open()
    assert Path(path).read_text() == "no socket"


@some_ways
def test_ports_may_be_shared_when_asked_for(way: str) -> None:
    with serving(way, reuse_port=True) as served:
        second = Server("127.0.0.1", served.port, reuse_port=True)
        second.open()
        second.discard()
        with pytest.raises(ListenError):
            Server("127.0.0.1", served.port).open()


@every_way
def test_options_hold_for_the_first_connection(way: str) -> None:
    """Inherited from the listener at the handshake, before anything of ours could run."""
    found: list[tuple[int, ...]] = []

    def look(server: Server, session: int) -> None:
        engine = server.role.engine  # type: ignore[attr-defined]
        sock = engine.connections[session]._socket
        tcp = socket.IPPROTO_TCP
        found.append(
            (
                sock.getsockopt(tcp, socket.TCP_NODELAY),
                sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                sock.getsockopt(tcp, socket.TCP_KEEPIDLE),
                sock.getsockopt(tcp, socket.TCP_KEEPINTVL),
                sock.getsockopt(tcp, socket.TCP_KEEPCNT),
                sock.getsockopt(tcp, socket.TCP_USER_TIMEOUT),
                sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF),
                sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF),
                sock.getsockopt(tcp, 25),  # TCP_NOTSENT_LOWAT
                *struct.unpack("ii", sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)),
            )
        )

    with (
        serving(
            way, on={"connect": look}, nodelay=True, keepalive=True, keepalive_idle=77,
            keepalive_interval=7, keepalive_count=3, user_timeout=1.5, rcvbuf=8192, sndbuf=16384,
            notsent_lowat=4096, linger=3, quickack=True, defer_accept=1,
        ) as served,
        served.connect() as client,
    ):  # fmt: skip
        client.sendall(b"x")
        served.wait("connect")
        assert found == [(1, 1, 77, 7, 3, 1500, 16384, 32768, 4096, 1, 3)]


@every_way
def test_cork_and_quickack_change_no_byte(way: str) -> None:
    def send(server: Server, session: int, data: bytes) -> None:
        for start in range(0, 10_000, 100):
            server.send(session, pattern(start, start + 100))

    with (
        serving(way, on={"receive": send}, cork=True, quickack=True) as served,
        served.connect() as client,
    ):
        for _ in range(3):
            client.sendall(b"x")
            assert read_all(client, 10_000) == pattern(0, 10_000)


@every_way
def test_max_connections(way: str, caplog: pytest.LogCaptureFixture) -> None:
    with serving(way, max_connections=5) as served:
        inside = [served.connect() for _ in range(5)]
        for client in inside:
            client.sendall(b"x")
            read_all(client, 1)
        with served.connect() as over:
            assert is_dead(over)
        inside[0].close()
        served.wait_closed()
        # The door hears of a close after the callback did, and from another loop.
        served.until(lambda: served.server.stats().connections == 4, "one is over")
        with served.connect() as late:  # accepting goes on at once
            late.sendall(b"y")
            assert read_all(late, 1) == b"y"
        assert served.in_loop(served.server.stats).refused == 1
        for client in inside:
            client.close()
    assert "5 are open, see max_connections" in caplog.text
    assert "connect" in served.names()
    assert served.names().count("connect") == served.names().count("close") == 6


@every_way
def test_max_per_client(way: str) -> None:
    with serving(way, max_per_client=2, more=lambda s: s.listen("::1", 0)) as served:
        first, second, over = (served.connect() for _ in range(3))
        assert is_dead(over)
        with served.connect(1) as from_elsewhere:
            from_elsewhere.sendall(b"x")
            assert read_all(from_elsewhere, 1) == b"x"
        first.close()
        served.wait_closed()
        served.wait_closed()
        # The door hears of a close after the callback did, and from another loop.
        served.until(lambda: served.server.stats().closed == 2, "two are over")
        assert gets_an_answer(served)
        second.close()
        over.close()


def gets_an_answer(served: Served) -> bool:
    with served.connect() as sock, contextlib.suppress(ConnectionError):
        sock.sendall(b"x")
        return sock.recv(1) == b"x"
    return False


def few_descriptors() -> None:
    """Room for two connections, and no gap below."""
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 3, highest + 3))
    held = []
    with contextlib.suppress(OSError):
        while True:
            held.append(os.dup(2))
    for descriptor in held[-2:]:
        os.close(descriptor)


@every_way
def test_without_descriptors_connections_wait_their_turn(way: str) -> None:
    with in_child(way, before=few_descriptors) as (port, pid):
        clients = [socket.create_connection(("127.0.0.1", port), 20) for _ in range(20)]
        for client in clients:
            client.sendall(b"x")
        for client in clients:  # each that closes makes room for the next, at once
            assert read_all(client, 1) == b"x"
            client.close()
        assert cpu_s(pid) < 5


def cpu_s(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@every_way
def test_without_descriptors_it_neither_spins_nor_floods_the_log(way: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with in_child(way, before=few_descriptors, log_file=str(log)) as (port, pid):
        clients = [socket.create_connection(("127.0.0.1", port), 20) for _ in range(8)]
        for client in clients[:2]:
            client.sendall(b"x")
            read_all(client, 1)
        before_s = cpu_s(pid)
        clients[7].settimeout(1.5)
        with pytest.raises(TimeoutError):  # nobody closes: it waits
            clients[7].recv(1)
        assert cpu_s(pid) - before_s < 0.15
        lines = [line for line in log.read_text().splitlines() if "pauses" in line]
        assert 1 <= len(lines) <= 3
        assert "RLIMIT_NOFILE" in lines[0]
        assert "wait in its queue" in lines[0]
        began_s = time.monotonic()
        clients[0].close()
        clients[7].settimeout(20)
        for client in clients[2:]:
            client.sendall(b"y")
            assert read_all(client, 1) == b"y"
            client.close()
        assert time.monotonic() - began_s < 5
        clients[1].close()


@every_way
def test_without_descriptors_connections_may_be_shed(way: str) -> None:
    with in_child(way, before=few_descriptors, on_emfile="shed") as (port, _):
        clients = [socket.create_connection(("127.0.0.1", port), 20) for _ in range(8)]
        for client in clients[2:]:
            drain(client)
        for client in clients[:2]:
            client.sendall(b"x")
            assert read_all(client, 1) == b"x"
        for client in clients:
            client.close()


@pytest.fixture
def high_descriptors() -> Iterator[None]:
    """The next descriptor of this process is 1024 or more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held = [os.open("/dev/null", os.O_RDONLY)]
    try:
        while held[-1] < 1024:
            held.append(os.dup(held[0]))
        yield
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_select_says_so_when_a_descriptor_is_too_high(
    high_descriptors: None, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server("127.0.0.1", 0, poller="select")
    server.on("receive", print)
    with pytest.raises(UsageError, match="below 1024 only"):
        server.start()


def test_select_turns_away_connections_whose_descriptor_is_too_high(
    caplog: pytest.LogCaptureFixture,
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held = [os.open("/dev/null", os.O_RDONLY)]
    try:
        with serving("select") as served:
            with served.connect() as early:
                early.sendall(b"x")
                read_all(early, 1)
                while held[-1] < 1024:
                    held.append(os.dup(held[0]))
                with served.connect() as late:
                    assert is_dead(late)
                early.sendall(b"y")
                assert read_all(early, 1) == b"y"
            assert "below 1024 only" in caplog.text
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@every_way
def test_descriptor_0_is_as_good_as_any(way: str) -> None:
    """As under a service manager that closes what it does not need."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            with contextlib.suppress(OSError):
                os.close(0)
            server = Server("127.0.0.1", 0, **WAYS[way])
            port = server.open()[0].port
            assert server.opened[0][0].fileno() == 0
            answers = []

            def receive(server: Server, session: int, data: bytes) -> None:
                answers.append(data)
                server.shutdown()

            def start(server: Server) -> None:
                client = socket.create_connection(("127.0.0.1", port))
                client.sendall(b"x")
                client.detach()

            server.on("receive", receive)
            server.on("start", start)
            status = server.start() if way else 1
            assert answers == [b"x"]
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_logging_is_quiet_when_all_is_well(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), serving("epoll") as served, served.connect() as client:
        client.sendall(b"x")
        read_all(client, 1)
    assert caplog.records == []
