"""Backpressure: clients that read slowly, or never, and what waits for them."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from served import WITHIN_S, every_loop, every_way, read_all, read_to_end, reset, serving

from netlab.lab.pattern import pattern
from netlab.server import Server
from netlab.server.terms import CloseReason, SendError

SMALL = {"sndbuf": 4096, "rcvbuf": 4096, "output_buffer": 1 << 18}


def flood(client: socket.socket, limit: int, enough: Callable[[], bool] = lambda: True) -> int:
    """Send until nothing more is taken for a while, and it is `enough`; how much it was."""
    client.settimeout(0.3)
    sent = 0
    until_s = time.monotonic() + WITHIN_S
    while sent < limit:
        try:
            sent += client.send(pattern(sent, min(limit, sent + (1 << 16))))
        except TimeoutError:  # a server that is late takes nothing either
            if enough():
                break
            assert time.monotonic() < until_s, f"not enough: {sent} bytes"
    client.settimeout(WITHIN_S)
    return sent


@every_way
def test_who_does_not_read_is_made_to_wait_and_loses_nothing(way: str) -> None:
    with serving(way, **SMALL) as served, served.connect(SO_RCVBUF=4096) as client:
        sent = flood(client, 64 << 20)
        assert sent < 32 << 20
        with served.connect() as other:
            other.sendall(b"meanwhile")
            assert read_all(other, 9) == b"meanwhile"
        assert read_all(client, sent) == pattern(0, sent)


@every_way
def test_memory_stays_bounded(way: str) -> None:
    """128 MiB for a client that never reads: what waits is limited, and is let go at the end."""
    with serving(way, **SMALL) as served:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        client = served.connect(SO_RCVBUF=4096)
        assert flood(client, 128 << 20) < 64 << 20
        grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown_kib < 4096 + (64 << 10)  # what we sent is made here, too
        info = served.in_loop(lambda: served.server.client_info(served.server.clients()[0]))
        assert info.queued_bytes <= SMALL["output_buffer"]
        reset(client)
        if way != "threads":  # there a blocked send has to notice it
            assert served.wait_closed().reason is CloseReason.PEER_RST


def many(count: int, size: int) -> Any:
    """A receive callback that sends `count` pieces; what became of them is put in `taken`."""
    taken: list[tuple[bool, SendError | None]] = []

    def send(server: Server, session: int, data: bytes) -> None:
        for number in range(count):
            done = server.send(session, pattern(number * size, (number + 1) * size))
            taken.append((done, None if done else server.last_error))

    return send, taken


@every_loop
def test_above_the_limit_sends_are_refused_and_nothing_is_lost(way: str) -> None:
    send, taken = many(1000, 4093)
    options = SMALL | {"overflow": "refuse"}
    with (
        serving(way, on={"receive": send}, **options) as served,
        served.connect(SO_RCVBUF=4096) as client,
    ):
        client.sendall(b"x")
        served.wait("receive")
        served.wait("buffer_full")
        accepted = [done for done, _ in taken]
        assert not all(accepted)
        assert accepted == sorted(accepted, reverse=True)  # once full, full for this turn
        assert {error for done, error in taken if not done} == {SendError.OUTPUT_BUFFER_OVERFLOW}
        size = 4093 * sum(accepted)
        assert read_all(client, size) == pattern(0, size)
        served.wait("buffer_empty")
        assert served.names().count("buffer_full") == 1


@every_loop
def test_above_the_limit_the_connection_is_closed_where_asked(way: str) -> None:
    send, taken = many(1000, 4093)
    with (
        serving(way, on={"receive": send}, **SMALL | {"overflow": "close"}) as served,
        served.connect(SO_RCVBUF=4096) as client,
    ):
        client.sendall(b"x")
        closed = served.wait_closed()
        assert closed.reason is CloseReason.OVERFLOW
        with pytest.raises(ConnectionResetError):
            read_to_end(client)
        assert taken[-1] == (False, SendError.SESSION_CLOSED)


@every_loop
def test_above_the_high_watermark_the_client_is_not_read(way: str) -> None:
    with serving(way, **SMALL) as served, served.connect(SO_RCVBUF=4096) as client:
        sent = flood(client, 64 << 20, lambda: "buffer_full" in served.names())
        (session,) = served.in_loop(served.server.clients)
        info = served.in_loop(lambda: served.server.client_info(session))
        assert info.paused
        assert info.queued_bytes <= SMALL["output_buffer"]
        assert read_all(client, sent) == pattern(0, sent)
        served.wait("buffer_empty")
        assert not served.in_loop(lambda: served.server.client_info(session)).paused


@every_way
def test_a_message_that_can_never_fit(way: str) -> None:
    done = []

    def send(server: Server, session: int, data: bytes) -> None:
        done.append((server.send(session, bytes(10_001)), server.last_error))
        server.send(session, bytes(10_000))

    with (
        serving(way, on={"receive": send}, output_buffer=10_000) as served,
        served.connect() as client,
    ):
        client.sendall(b"x")
        assert read_all(client, 10_000) == bytes(10_000)
        assert done == [(False, SendError.MESSAGE_TOO_LARGE)]


@every_way
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_what_is_sent_may_be_changed_afterwards(way: str, kind: Any) -> None:
    def send(server: Server, session: int, data: bytes) -> None:
        for start in range(0, 1 << 18, 1 << 14):
            piece = kind(bytearray(pattern(start, start + (1 << 14))))
            server.send(session, piece)
            if kind is not bytes:
                piece[:] = bytes(len(piece))

    with (
        serving(way, on={"receive": send}, sndbuf=4096) as served,
        served.connect(SO_RCVBUF=4096) as client,
    ):
        client.sendall(b"x")
        assert read_all(client, 1 << 18) == pattern(0, 1 << 18)


@every_way
def test_a_slow_reader_gets_all_in_small_pieces(way: str) -> None:
    def send(server: Server, session: int, data: bytes) -> None:
        server.send(session, pattern(0, 200_003))

    with (
        serving(way, on={"receive": send}, sndbuf=4096) as served,
        served.connect(SO_RCVBUF=2048) as client,
    ):
        client.sendall(b"x")
        data = b""
        while len(data) < 200_003:
            data += client.recv(997)
        assert data == pattern(0, 200_003)


@pytest.fixture
def file() -> Iterator[Path]:
    with tempfile.NamedTemporaryFile() as made:
        made.write(pattern(0, 3_000_017))
        made.flush()
        yield Path(made.name)


@every_way
def test_files_and_bytes_keep_their_order(way: str, file: Path) -> None:
    def send(server: Server, session: int, data: bytes) -> None:
        assert server.send(session, b"head")
        assert server.sendfile(session, file)
        assert server.sendfile(session, file, 1000, 17)
        assert server.sendfile(session, file, 3_000_017)  # nothing of it
        assert server.send(session, b"tail")
        server.close(session)

    before = len(os.listdir("/proc/self/fd"))
    with serving(way, on={"receive": send}, sndbuf=4096) as served:
        with served.connect(SO_RCVBUF=4096) as client:
            client.sendall(b"x")
            wanted = b"head" + pattern(0, 3_000_017) + pattern(1000, 1017) + b"tail"
            assert read_to_end(client) == wanted
        assert served.wait_closed().reason is CloseReason.LOCAL
    assert len(os.listdir("/proc/self/fd")) == before


@every_way
def test_files_that_cannot_be_sent(way: str, file: Path) -> None:
    tried = []

    def send(server: Server, session: int, data: bytes) -> None:
        for path, offset, count in (
            ("/nowhere", 0, None), ("/dev/zero", 0, 10), (file, 3_000_018, None), (file, -1, 1),
            (file, 0, 3_000_018),
        ):  # fmt: skip
            tried.append((server.sendfile(session, path, offset, count), server.last_error))

    with serving(way, on={"receive": send}) as served, served.connect() as client:
        client.sendall(b"x")
        served.wait("receive")
        assert tried == [(False, SendError.NO_SUCH_FILE)] * 5


@every_way
def test_a_file_that_shrinks_ends_the_connection(way: str, file: Path) -> None:
    def send(server: Server, session: int, data: bytes) -> None:
        server.sendfile(session, file)
        os.truncate(file, 1000)

    with (
        serving(way, on={"receive": send}, sndbuf=4096) as served,
        served.connect(SO_RCVBUF=4096) as client,
    ):
        client.sendall(b"x")
        if way == "threads":  # the callback is inside sendfile then
            client.recv(1)
            served.in_loop(lambda: os.truncate(file, 1000))
        with contextlib.suppress(ConnectionResetError):
            while client.recv(1 << 16):
                pass
        closed = served.wait_closed()
        assert closed.reason is CloseReason.ERROR


@every_way
def test_the_client_goes_while_output_waits(way: str) -> None:
    def send(server: Server, session: int, data: bytes) -> None:
        server.send(session, bytes(1 << 18))

    with serving(way, on={"receive": send}, sndbuf=4096) as served:
        client = served.connect(SO_RCVBUF=4096)
        client.sendall(b"x")
        client.recv(1)
        reset(client)
        closed = served.wait_closed()
        assert closed.reason is CloseReason.PEER_RST
        if way != "threads":
            assert "bytes of output lost" in closed.text


@every_way
def test_pause_and_resume(way: str) -> None:
    with serving(way) as served, served.connect() as client:
        (session,) = served.wait("connect")
        assert served.in_loop(lambda: served.server.pause(session))
        client.sendall(b"x")
        assert served.in_loop(lambda: served.server.client_info(session)).paused
        assert served.names().count("receive") == 0
        assert served.in_loop(lambda: served.server.resume(session))
        assert read_all(client, 1) == b"x"
        assert served.in_loop(lambda: served.server.resume(session))  # twice is nothing


@every_way
def test_one_byte_at_a_time_from_many(way: str) -> None:
    with serving(way) as served:
        clients = [served.connect() for _ in range(17)]
        for _ in range(11):
            for client in clients:
                client.send(b".")
        for client in clients:
            assert read_all(client, 11) == b"." * 11
            client.close()
