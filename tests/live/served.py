"""A server of this process, in a thread, and what its callbacks heard: for the live tests.

Nothing here sleeps: tests wait for what a callback heard, or for bytes.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import struct
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from netlab.server import Server
from netlab.server.callbacks import EVENTS
from netlab.server.terms import Closed

WITHIN_S = 20.0  # on a busy machine
WAYS = {
    "epoll": {"mode": "single", "poller": "epoll"},
    "edge": {"mode": "single", "poller": "edge"},
    "poll": {"mode": "single", "poller": "poll"},
    "select": {"mode": "single", "poller": "select"},
    "threads": {"mode": "threads"},
}
every_way = pytest.mark.parametrize("way", list(WAYS))
every_loop = pytest.mark.parametrize("way", [name for name in WAYS if name != "threads"])
RESET = struct.pack("ii", 1, 0)
Heard = tuple[Any, ...]


class Served:
    """A running server and a queue of what its callbacks heard: (name, *arguments)."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.heard: queue.Queue[Heard] = queue.Queue()
        self.before: list[Heard] = []  # all that was heard and looked at so far
        self.status: int | None = None

    @property
    def port(self) -> int:
        return self.server.open()[0].port

    def connect(self, number: int = 0, **options: Any) -> socket.socket:
        """A client at one of the server's addresses."""
        place = self.server.open()[number]
        family, address = place.resolved()
        client = socket.socket(family)
        client.settimeout(WITHIN_S)
        for name, value in options.items():
            client.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
        try:
            client.connect(address)
        except BaseException:
            client.close()
            raise
        return client

    def wait(self, name: str) -> Heard:
        """The arguments of the next callback of that name."""
        while True:
            found = self.heard.get(timeout=WITHIN_S)
            self.before.append(found)
            if found[0] == name:
                return found[1:]

    def wait_closed(self, session: int | None = None) -> Closed:
        """How the next connection (or that one) ended."""
        while True:
            ended, closed = self.wait("close")
            if session in (None, ended):
                assert isinstance(closed, Closed)
                return closed

    def names(self) -> list[str]:
        """All callbacks so far."""
        with contextlib.suppress(queue.Empty):
            while True:
                self.before.append(self.heard.get_nowait())
        return [heard[0] for heard in self.before]

    def in_loop(self, function: Callable[[], Any]) -> Any:
        """What a function gives when the server's loop calls it."""
        answer: queue.Queue[Any] = queue.Queue()
        self.server.after(0, lambda: answer.put(function()))
        return answer.get(timeout=WITHIN_S)

    def until(self, condition: Callable[[], Any], what: str) -> None:
        """Ask again and again in the server's loop until it is so."""
        until_s = time.monotonic() + WITHIN_S
        while not self.in_loop(condition):
            assert time.monotonic() < until_s, what


@contextmanager
def serving(
    way: str,
    host: str | None = "127.0.0.1",
    *,
    on: dict[str, Callable[..., Any]] | None = None,
    more: Callable[[Server], None] = lambda server: None,
    status: int = 0,
    probe: Any = None,
    **options: Any,
) -> Iterator[Served]:
    """A server that echoes, unless `on` says otherwise; it must end with `status`."""
    server = Server(host, 0, probe=probe, **WAYS[way], **options)
    served = Served(server)

    def echo(server: Server, session: int, data: bytes) -> None:
        server.send(session, data)

    functions = {"receive": echo, "packet": lambda server, data, client: None, **(on or {})}

    def listener(name: str) -> Callable[..., None]:
        def hear(server: Server, *arguments: Any) -> None:
            try:
                if name in functions:
                    functions[name](server, *arguments)
            finally:
                served.heard.put((name, *arguments))

        return hear

    for name in EVENTS:
        if name != "half_close" or name in functions:  # that one changes what the server does
            server.on(name, listener(name))
    more(server)
    server.open()

    def run() -> None:
        try:
            served.status = server.start()
        except BaseException as error:
            served.heard.put(("start", error))
            raise

    thread = threading.Thread(target=run)
    thread.start()
    served.wait("start")
    try:
        yield served
    finally:
        with contextlib.suppress(Exception):  # a test may have stopped it
            server.shutdown()
        thread.join(WITHIN_S)
        assert not thread.is_alive()
    assert served.status == status


def read_all(sock: socket.socket, count: int) -> bytes:
    """Exactly so many bytes."""
    data = bytearray()
    while len(data) < count:
        more = sock.recv(min(count - len(data), 1 << 16))
        assert more, f"end of file after {len(data)} of {count} bytes"
        data += more
    return bytes(data)


def read_to_end(sock: socket.socket) -> bytes:
    """All until the server's FIN; ConnectionResetError when it is a reset."""
    data = bytearray()
    while more := sock.recv(1 << 16):
        data += more
    return bytes(data)


def drain(sock: socket.socket) -> None:
    """Read until the server ended the connection, in order or by reset."""
    with contextlib.suppress(ConnectionError):
        read_to_end(sock)


def reset(sock: socket.socket) -> None:
    """Close with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.close()


def is_dead(sock: socket.socket) -> bool:
    """True when the server ended the connection, in order or by reset."""
    try:
        return sock.recv(1) == b""
    except ConnectionError:
        return True


@contextmanager
def in_child(
    way: str,
    *,
    before: Callable[[], None] = lambda: None,
    status: int = 0,
    stop: int | None = signal.SIGTERM,
    **options: Any,
) -> Iterator[tuple[int, int]]:
    """An echo server in a process of its own: (port, pid). It must end with `status`."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            server = Server("127.0.0.1", 0, **WAYS[way], **options)
            server.on("receive", lambda server, session, data: server.send(session, data))
            port = server.open()[0].port

            def started(server: Server) -> None:
                before()
                os.write(writer, f"{port:5}".encode())

            server.on("start", started)
            os._exit(server.start())
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(99)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read(5)
    try:
        yield int(said), pid
    finally:
        if stop is not None:
            os.kill(pid, stop)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == status
