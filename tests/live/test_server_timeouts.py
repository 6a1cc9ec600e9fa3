"""Time-outs: each closes whom it should, when it should, and nobody else."""

from __future__ import annotations

import select
import socket
import time
from typing import Any

import pytest
from served import drain, every_way, read_all, read_to_end, serving

from netlab.server import Server
from netlab.server.terms import CloseReason

SHORT_S = 0.15
LATE_S = 5.0  # a busy machine may be late; one that hangs is later


def say(server: Server, session: int, *rest: object) -> None:
    """Keep sending, so that one direction is never silent."""
    server.tick(SHORT_S / 5, lambda: server.send(session, b"."))


def nothing(server: Server, session: int, *rest: object) -> None:
    pass


CASES: dict[str, tuple[dict[str, float], dict[str, Any], bytes, CloseReason]] = {
    "handshake": ({"handshake_timeout": SHORT_S}, {}, b"", CloseReason.HANDSHAKE_TIMEOUT),
    "idle, at first": ({"idle_timeout": SHORT_S}, {}, b"", CloseReason.IDLE_TIMEOUT),
    "idle, later": ({"idle_timeout": SHORT_S}, {}, b"1\n", CloseReason.IDLE_TIMEOUT),
    "read": ({"read_timeout": SHORT_S}, {"connect": say}, b"", CloseReason.READ_TIMEOUT),
    "request": ({"request_timeout": SHORT_S}, {}, b"1\n2", CloseReason.REQUEST_TIMEOUT),
    "the earliest": (
        {"idle_timeout": SHORT_S, "read_timeout": LATE_S, "handshake_timeout": LATE_S},
        {}, b"", CloseReason.IDLE_TIMEOUT,
    ),
}  # fmt: skip


@every_way
@pytest.mark.parametrize("name", list(CASES))
def test_it_closes_in_time(way: str, name: str) -> None:
    options, on, first, reason = CASES[name]
    with serving(way, on=on, terminator=b"\n", **options) as served:
        began_s = time.monotonic()
        client = served.connect()
        client.sendall(first)
        assert served.wait_closed().reason is reason
        assert SHORT_S <= time.monotonic() - began_s < LATE_S
        drain(client)
        client.close()


@every_way
def test_a_write_that_makes_no_progress_is_reset(way: str) -> None:
    def send(server: Server, session: int, data: bytes) -> None:
        server.send(session, bytes(1 << 20))

    with (
        serving(way, on={"receive": send}, sndbuf=4096, write_timeout=SHORT_S) as served,
        served.connect(SO_RCVBUF=4096) as client,
    ):
        client.sendall(b"x")
        assert served.wait_closed().reason is CloseReason.WRITE_TIMEOUT
        with pytest.raises(ConnectionResetError):
            read_to_end(client)


def is_kept_by_steady_bytes(client: socket.socket, limit_s: float) -> bool:
    """Whether the server keeps a connection whose bytes come long before `limit_s` each.

    False: one of them came late, as the machine was busy, and the server was right to close.
    """
    until_s = time.monotonic() + 3 * limit_s
    last_s = time.monotonic()
    while time.monotonic() < until_s:
        sent_s = time.monotonic()
        try:
            client.send(b".")
            came = client.recv(1)
        except ConnectionError:
            came = b""
        if came != b".":
            silent_s = time.monotonic() - last_s
            assert silent_s >= limit_s, f"closed {silent_s} s after a byte"
            return False
        last_s = sent_s
        select.select([client], [], [], limit_s / 4)  # the clock of this test: nothing comes
    return True


@every_way
def test_slow_but_steady_is_not_over(way: str) -> None:
    """A quarter of the time-out between two bytes, for three times as long as it."""
    limit_s = 0.4
    options = {"idle_timeout": limit_s, "read_timeout": limit_s, "write_timeout": limit_s}
    with serving(way, **options) as served:
        for _ in range(20):
            with served.connect() as client:
                if is_kept_by_steady_bytes(client, limit_s):
                    return
    raise AssertionError("some byte was late every time")


@every_way
def test_one_byte_at_a_time_does_not_keep_a_request_alive(way: str) -> None:
    with (
        serving(way, terminator=b"\n", request_timeout=0.3, idle_timeout=30) as served,
        served.connect() as client,
    ):
        client.settimeout(0.05)
        closed = None
        for _ in range(200):
            try:
                client.send(b".")
                closed = client.recv(1)
                break
            except TimeoutError:
                continue
            except ConnectionError:  # a byte came when it was over already
                closed = b""
                break
        assert closed == b""
        assert served.wait_closed().reason is CloseReason.REQUEST_TIMEOUT


@every_way
def test_the_protected_stay(way: str) -> None:
    protected: list[int] = []

    def protect_the_first(server: Server, session: int) -> None:
        if not protected:  # here, as who asks from elsewhere may be too late
            assert server.protect(session)
            protected.append(session)

    with (
        serving(way, on={"connect": protect_the_first}, idle_timeout=SHORT_S) as served,
        served.connect() as client,
    ):
        (session,) = served.wait("connect")
        assert protected == [session]
        with served.connect() as other:  # who is closed meanwhile is not protected
            drain(other)
            (gone, closed) = served.wait("close")
            assert gone != session
            assert closed.reason is CloseReason.IDLE_TIMEOUT
        client.sendall(b"x")
        assert read_all(client, 1) == b"x"
        assert served.in_loop(lambda: served.server.protect(session, False))
        assert served.wait_closed(session).reason is CloseReason.IDLE_TIMEOUT


@every_way
def test_a_pause_is_no_silence_of_the_client(way: str) -> None:
    def pause(server: Server, session: int) -> None:
        server.pause(session)
        server.after(3 * SHORT_S, lambda: server.resume(session))

    with (
        serving(way, on={"connect": pause}, read_timeout=2 * SHORT_S) as served,
        served.connect() as client,
    ):
        client.sendall(b"x")
        assert read_all(client, 1) == b"x"
        assert served.wait_closed().reason is CloseReason.READ_TIMEOUT


@every_way
def test_a_close_that_waits_for_output_has_an_end(way: str) -> None:
    def send(server: Server, session: int, data: bytes) -> None:
        server.send(session, bytes(1 << 20))
        server.close(session)

    with (
        serving(way, on={"receive": send}, sndbuf=4096, drain_timeout=SHORT_S) as served,
        served.connect(SO_RCVBUF=4096) as client,
    ):
        client.sendall(b"x")
        if way == "threads":  # its send is under way when some of it has come, and cannot end
            read_all(client, 1)
            session = served.wait("connect")[0]
            assert served.in_loop(lambda: served.server.close(session))
        closed = served.wait_closed()
        assert closed.reason is CloseReason.LOCAL
        assert "could not be sent" in closed.text
        drain(client)
