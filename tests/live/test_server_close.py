"""How connections end: in every place, by either side, told exactly once with who and why."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from typing import Any

import pytest
from served import (
    Served,
    every_loop,
    every_way,
    is_dead,
    read_all,
    read_to_end,
    reset,
    serving,
)

from netlab.lab.pattern import pattern
from netlab.server import Server
from netlab.server.terms import CloseReason, SendError

BIG = 2 << 20


def no_echo(server: Server, session: int, data: bytes) -> None:
    pass


def one_close(served: Served, reason: CloseReason) -> None:
    """It was told once, with that reason."""
    assert served.wait_closed().reason is reason
    served.in_loop(lambda: None)
    assert served.names().count("close") == 1


@every_way
def test_the_client_ends_it(way: str) -> None:
    with serving(way) as served:
        with served.connect() as client:
            client.sendall(b"hello")
            client.shutdown(socket.SHUT_WR)
            assert read_to_end(client) == b"hello"
        one_close(served, CloseReason.PEER_FIN)
        assert served.names()[2:] == ["connect", "receive", "close"]


@every_way
def test_all_comes_back_after_the_clients_fin(way: str) -> None:
    with serving(way) as served, served.connect() as client:
        data = pattern(0, 300_007)
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        assert read_to_end(client) == data
        one_close(served, CloseReason.PEER_FIN)


@every_way
@pytest.mark.parametrize("place", ["connect", "receive", "timer", "half_close"])
@pytest.mark.parametrize("rst", [False, True])
def test_the_server_ends_it(way: str, place: str, rst: bool) -> None:
    def close(server: Server, session: int, *rest: object) -> None:
        assert server.close(session, reset=rst)
        assert not server.send(session, b"late")
        assert server.last_error is SendError.SESSION_CLOSED
        assert not server.exists(session)

    def on_timer(server: Server, session: int) -> None:
        server.after(0, lambda: close(server, session))

    on: dict[str, Any] = {"receive": no_echo}
    on |= {"connect": on_timer} if place == "timer" else {place: close}
    expected = pytest.raises(ConnectionResetError) if rst else contextlib.nullcontext()
    with serving(way, on=on) as served:
        with expected, served.connect() as client:  # a reset may come before connect returns
            if place in ("receive", "half_close"):
                client.sendall(b"x")
            if place == "half_close":
                client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
        one_close(served, CloseReason.LOCAL_RESET if rst else CloseReason.LOCAL)


@every_way
@pytest.mark.parametrize("rst", [False, True])
def test_with_output_queued_a_close_waits_for_it_and_a_reset_drops_it(way: str, rst: bool) -> None:
    data = pattern(0, BIG)

    def send_and_close(server: Server, session: int, message: bytes) -> None:
        if rst and way == "threads":  # a send returns when all is sent: another thread resets
            server.after(0.1, lambda: server.close(session, reset=True))
        server.send(session, data)
        server.close(session, reset=rst)

    with (
        serving(way, on={"receive": send_and_close}, sndbuf=4096, output_buffer=BIG) as served,
        served.connect(SO_RCVBUF=4096) as client,
    ):
        client.sendall(b"x")
        if rst:
            served.wait_closed()
            with pytest.raises(ConnectionResetError):
                read_to_end(client)
        else:
            assert read_to_end(client) == data
            one_close(served, CloseReason.LOCAL)


@every_way
def test_a_reset_by_the_client_harms_nobody_else(way: str) -> None:
    with serving(way) as served, served.connect() as other:
        other.sendall(b"a")
        assert read_all(other, 1) == b"a"
        rude = served.connect()
        rude.sendall(pattern(0, 100_003))
        read_all(rude, 1)
        reset(rude)
        closed = served.wait_closed()
        assert closed.reason is CloseReason.PEER_RST
        assert closed.by == "peer"
        assert closed.errno
        other.sendall(b"still here")
        assert read_all(other, 10) == b"still here"


@every_loop
def test_a_reset_is_noticed_while_the_connection_is_not_read(way: str) -> None:
    """Also, a loop that is told of it again and again must not spin."""

    def pause(server: Server, session: int) -> None:
        server.pause(session)

    with serving(way, on={"connect": pause}) as served:
        client = served.connect()
        served.wait("connect")
        reset(client)
        if way == "select":  # which reports errors only of what it waits for
            served.in_loop(lambda: served.server.resume(served.server.clients()[0]))
        assert served.wait_closed().reason is CloseReason.PEER_RST


@every_way
def test_half_close_by_the_server_first(way: str) -> None:
    def finish(server: Server, session: int, data: bytes) -> None:
        if data == b"last":
            server.send(session, b"bye")
            assert server.half_close(session)
            assert not server.half_close(session)
            assert not server.send(session, b"late")

    with serving(way, on={"receive": finish}) as served, served.connect() as client:
        client.sendall(b"last")
        assert read_to_end(client) == b"bye"
        served.wait("receive")
        client.sendall(b"and yet heard")
        assert served.wait("receive")[1] == b"and yet heard"
        client.shutdown(socket.SHUT_WR)
        one_close(served, CloseReason.LOCAL)


@every_way
def test_half_close_by_the_client_and_the_server_goes_on_until_it_wants(way: str) -> None:
    def finished(server: Server, session: int) -> None:
        server.send(session, b"one ")
        server.after(0.02, lambda: server.send(session, b"two"))
        server.after(0.04, lambda: server.close(session))

    with serving(way, on={"half_close": finished}) as served, served.connect() as client:
        client.shutdown(socket.SHUT_WR)
        assert read_to_end(client) == b"one two"
        one_close(served, CloseReason.LOCAL)


@every_way
def test_half_close_may_be_taken_for_the_end(way: str) -> None:
    with serving(way, half_close="close") as served, served.connect() as client:
        client.shutdown(socket.SHUT_WR)
        assert is_dead(client)
        one_close(served, CloseReason.PEER_FIN)


@every_way
@pytest.mark.parametrize("place", ["connect", "receive", "half_close"])
def test_a_callback_that_raises_closes_its_connection_only(
    way: str, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    def bad(server: Server, session: int, *rest: object) -> None:
        calls.append(session)
        if place == "connect" and len(calls) == 1:
            return  # the one who shall not be harmed
        if rest == (b"good",):
            server.send(session, b"good")
            return
        raise ZeroDivisionError("on purpose")

    calls: list[int] = []
    with serving(way, on={place: bad}) as served, caplog.at_level(logging.ERROR):
        other = served.connect()
        served.wait("connect")
        with served.connect() as client:
            if place == "receive":
                client.sendall(b"bad")
            if place == "half_close":
                client.shutdown(socket.SHUT_WR)
            assert is_dead(client)
        assert served.wait_closed().reason is CloseReason.CALLBACK
        errors = [heard for heard in served.before if heard[0] == "error"]
        assert len(errors) == 1
        assert isinstance(errors[0][2], ZeroDivisionError)
        other.sendall(b"good")
        assert read_all(other, 4) == b"good"
        told = [record for record in caplog.records if record.exc_info]
        assert len(told) == 1
        assert place in told[0].getMessage()
        other.close()


@every_way
def test_close_error_and_timer_callbacks_that_raise_are_survived(
    way: str, caplog: pytest.LogCaptureFixture
) -> None:
    def bad(server: Server, *rest: object) -> None:
        raise ZeroDivisionError

    with serving(way, on={"close": bad, "error": bad}) as served:
        served.server.after(0, lambda: 1 // 0)
        served.connect().close()
        served.wait("close")
        with served.connect() as client:
            client.sendall(b"x")
            assert read_all(client, 1) == b"x"
        served.wait("close")
    assert sum(1 for record in caplog.records if record.exc_info) == 6  # 3 errors, told and raised


@every_way
def test_late_words_to_a_session_reach_nobody_else(way: str) -> None:
    with serving(way) as served:
        served.connect().close()
        (old,) = served.wait("connect")
        served.wait_closed(old)
        served.in_loop(lambda: None)
        with served.connect() as client:
            (new,) = served.wait("connect")
            assert new != old
            server = served.server

            def try_all() -> list[Any]:
                done = [
                    server.send(old, b"x"), server.close(old), server.half_close(old),
                    server.pause(old), server.resume(old), server.protect(old),
                    server.bind(old, 1), server.exists(old), server.client_info(old),
                ]  # fmt: skip
                return [*done, server.last_error]

            assert served.in_loop(try_all) == [False] * 8 + [None, SendError.SESSION_CLOSED]
            assert served.in_loop(lambda: (server.send(77, b"x"), server.last_error)) == (
                False, SendError.SESSION_NOT_EXIST,
            )  # fmt: skip
            client.sendall(b"y")
            assert read_all(client, 1) == b"y"


@every_way
def test_the_session_is_known_in_its_close_callback(way: str) -> None:
    infos = []

    def closed(server: Server, session: int, why: object) -> None:
        infos.append(server.client_info(session))
        assert session not in server.clients()

    with serving(way, on={"close": closed}) as served:
        with served.connect() as client:
            client.sendall(b"four")
            read_all(client, 4)
            address = client.getsockname()
        served.wait_closed()
    assert infos[0].client == address
    assert (infos[0].received_bytes, infos[0].sent_bytes, infos[0].messages) == (4, 4, 1)


@every_way
def test_sessions_are_told_in_order_and_all_end(way: str) -> None:
    """Many at once: each connect comes first, each close last and once."""
    with serving(way) as served:
        clients = [served.connect() for _ in range(97)]
        for number, client in enumerate(clients):
            client.sendall(pattern(number, number + 101))
        for number, client in enumerate(clients):
            assert read_all(client, 101) == pattern(number, number + 101)
            client.close()
        ended = {served.wait("close")[0] for _ in clients}
        assert len(ended) == 97
        for session in ended:
            mine = [heard[0] for heard in served.before if session in heard[1:2]]
            assert mine[0] == "connect"
            assert mine[-1] == "close"
            assert set(mine[1:-1]) == {"receive"}


def test_system_exit_in_a_callback_leaves_the_server() -> None:
    for mode in ("single", "threads"):
        ended = []
        server = Server("127.0.0.1", 0, mode=mode)

        def receive(server: Server, session: int, data: bytes) -> None:
            raise SystemExit(7)

        server.on("receive", receive)
        server.on("close", lambda server, session, why, ended=ended: ended.append(why))
        port = server.open()[0].port
        client = socket.socket()

        def begin(server: Server, client: socket.socket = client, port: int = port) -> None:
            client.connect(("127.0.0.1", port))
            client.send(b"x")

        server.on("start", begin)
        with pytest.raises(SystemExit) as left:
            server.start()
        assert left.value.code == 7
        assert len(ended) == 1
        client.close()


@every_loop
def test_a_close_with_unread_input_says_what_the_kernel_will_do(way: str) -> None:
    def close(server: Server, session: int, data: bytes) -> None:
        server.close(session)

    with serving(way, on={"receive": close}, recv_size=1) as served, served.connect() as client:
        client.sendall(b"two")
        closed = served.wait_closed()
        assert closed.reason is CloseReason.LOCAL
        assert "2 bytes unread" in closed.text
        assert "RST" in closed.text
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""


@every_way
def test_no_descriptor_is_left(way: str) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with serving(way) as served:
        for _ in range(5):
            with served.connect() as client:
                client.sendall(b"x")
                read_all(client, 1)
    assert len(os.listdir("/proc/self/fd")) == before
