"""The echo server in a child process, talked to over loopback."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from netlab.lab.pattern import pattern
from netlab.server.echo import EchoServer


@contextmanager
def served(
    host: str = "127.0.0.1", *, udp: bool = False, before: Callable[[], None] = lambda: None
) -> Iterator[int]:
    """A running server's port. It must stop by itself on SIGTERM, with status 0."""
    # Made in the child: a fork shares the epoll set, and closing our copy would empty it.
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            server = EchoServer()
            port = server.listen(host, 0, udp=udp)
            server.heed_signals()
            before()
            os.write(writer, f"{port:5}".encode())
            server.run()
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        port = int(pipe.read(5))
    try:
        yield port
    finally:
        os.kill(child, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def read_all(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        assert more, f"end of file after {len(data)} of {count} bytes"
        data += more
    return data


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_what_is_sent_comes_back_and_the_end_too(host: str) -> None:
    with served(host) as port, socket.create_connection((host, port)) as client:
        for start in range(0, 23 * 4093, 4093):
            client.sendall(pattern(start, start + 4093))
            assert read_all(client, 4093) == pattern(start, start + 4093)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""


def test_all_comes_back_after_our_fin() -> None:
    with served() as port, socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(pattern(0, 30_011))
        client.shutdown(socket.SHUT_WR)
        assert read_all(client, 30_011) == pattern(0, 30_011)
        assert client.recv(1) == b""


def test_a_peer_that_does_not_read_is_made_to_wait_and_loses_nothing() -> None:
    with served() as port, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", port))
        client.settimeout(0.3)  # nobody reads: the send must stop long before all is taken
        data = pattern(0, 64 << 20)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < len(data):
                sent += client.send(data[sent : sent + (1 << 20)])
        assert sent < 32 << 20  # its queue is limited to 1 MiB, the rest is kernel buffers
        client.settimeout(10)
        assert read_all(client, sent) == data[:sent]


def test_many_connections_at_once() -> None:
    with served() as port:
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(97)]
        for number, client in enumerate(clients):
            client.sendall(pattern(number, number + 101))
        for number, client in enumerate(clients):
            assert read_all(client, 101) == pattern(number, number + 101)
            client.close()


def test_a_reset_in_the_middle_harms_nobody_else() -> None:
    with served() as port, socket.create_connection(("127.0.0.1", port)) as other:
        rude = socket.create_connection(("127.0.0.1", port))
        rude.sendall(pattern(0, 100_003))
        rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        rude.close()
        other.sendall(b"still here")
        assert read_all(other, 10) == b"still here"


def test_stopping_sends_what_is_queued_then_closes() -> None:
    with served() as port:
        client = socket.create_connection(("127.0.0.1", port))
        client.sendall(pattern(0, 4093))
        assert read_all(client, 1000) == pattern(0, 1000)
    assert read_all(client, 3093) == pattern(1000, 4093)
    assert client.recv(1) == b""
    client.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_datagrams_come_back_whole(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with served(host, udp=True) as port, socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect((host, port))
        for size in (0, 1, 1499, 40_009):
            client.send(pattern(0, size))
            assert client.recv(1 << 16) == pattern(0, size)


def test_without_a_free_descriptor_connections_wait_their_turn() -> None:
    def few_descriptors() -> None:
        highest = max(int(name) for name in os.listdir("/proc/self/fd"))
        limit = highest + 3
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

    with served(before=few_descriptors) as port:
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
        for client in clients:
            client.settimeout(10)
            client.sendall(b"x")
        # The others wait in the queue; each that closes makes room for the next.
        for client in clients:
            assert read_all(client, 1) == b"x"
            client.close()


def test_a_taken_address_is_an_error_of_the_caller() -> None:
    with served() as port:
        late, beside, third = EchoServer(), EchoServer(), EchoServer()
        with pytest.raises(OSError, match="in use"):
            late.listen("127.0.0.1", port)
        assert beside.listen("127.0.0.1", port, udp=True) == port  # UDP has ports of its own
        with pytest.raises(OSError, match="in use"):
            third.listen("127.0.0.1", port, udp=True)
        for server in (late, beside, third):
            server.close()
