"""A handler in a server of any mode, forked from the test: for the live tests of handlers."""

from __future__ import annotations

import os
import signal
import socket
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from netlab.lab.serving import ServeOrders, make_server

MODES = ("single", "threads", "base", "process")
WITHIN_S = 20.0
every_mode = pytest.mark.parametrize("mode", MODES)


@contextmanager
def handled(handler: str, mode: str, *, udp: bool = False, **more: Any) -> Iterator[int]:
    """The port of a server that runs; it must end in order when it gets a TERM.

    `options` in `more` are the server's, as typed; the rest are `ServeOrders`'.
    """
    options = {"mode": mode, **more.pop("options", {})}
    if mode in ("base", "process"):
        options = {"workers": "2", "tasks": "1", **options}
    listen = ("udp:127.0.0.1:0" if udp else "127.0.0.1:0",)
    orders = ServeOrders(handler=handler, listen=listen, options=options, **more)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            os._exit(_serve(orders, writer))
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(99)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read(5)
    try:
        yield int(said)
    finally:
        os.kill(pid, signal.SIGTERM)
        _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def _serve(orders: ServeOrders, writer: int) -> int:
    server = make_server(orders)
    port = server.open()[0].port

    def started(server: object) -> None:
        os.write(writer, f"{port:5}".encode())
        os.close(writer)

    server.on("start", started)
    server.on("worker_start", lambda server, worker: None)
    return server.start()


def client_of(port: int) -> socket.socket:
    """A connected TCP client that gives up before the test does."""
    return socket.create_connection(("127.0.0.1", port), timeout=WITHIN_S)


def read_exactly(sock: socket.socket, count: int) -> bytes:
    """So many bytes."""
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        assert piece, f"end after {len(data)} of {count} bytes"
        data += piece
    return data


def read_to_end(sock: socket.socket) -> bytes:
    """All until the server's FIN."""
    data = b""
    while piece := sock.recv(1 << 16):
        data += piece
    return data
