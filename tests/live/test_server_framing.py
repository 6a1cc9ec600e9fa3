"""Framings over real sockets: messages arrive whole whatever the segments were."""

from __future__ import annotations

import socket
import sys
from typing import Any

import pytest
from served import Served, drain, every_way, is_dead, read_all, reset, serving

from netlab.lab.pattern import pattern
from netlab.server import Server
from netlab.server.terms import CloseReason


def length_of(head: memoryview) -> int:
    """A digit that says how many bytes follow."""
    if not head:
        return 0
    return head[0] - 47 if 48 <= head[0] <= 57 else -1


FRAMINGS: dict[str, tuple[dict[str, Any], list[bytes]]] = {
    "terminator": (
        {"terminator": b"\r\n"},
        [b"one\r\n", b"\r\n", b"a\rb\r\n", b"x" * 997 + b"\r\n"],
    ),
    "length": (
        {"framing": "length", "length_type": "n"},
        [b"\0\3one", b"\0\0", b"\3\xe5" + b"x" * 997],
    ),
    "length with offset": (
        {"length_type": "V", "length_offset": 3, "body_offset": 7},
        [b"abc\2\0\0\0hi", b"xyz\0\0\0\0"],
    ),
    "fixed": ({"fixed_size": 7}, [b"7 bytes", b"\r\n\r\n\r\n\r", b"another"]),
    "function": ({"framing": "function", "length_function": length_of}, [b"3abc", b"0", b"11"]),
}  # fmt: skip
every_framing = pytest.mark.parametrize("name", list(FRAMINGS))


def heard_messages(served: Served, count: int) -> list[bytes]:
    return [served.wait("receive")[1] for _ in range(count)]


@every_way
@every_framing
def test_byte_by_byte_and_all_at_once(way: str, name: str) -> None:
    options, messages = FRAMINGS[name]
    stream = b"".join(messages)
    with serving(way, **options) as served, served.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(stream)):
            client.send(stream[at : at + 1])
        assert heard_messages(served, len(messages)) == messages
        client.sendall(stream * 3)
        assert heard_messages(served, 3 * len(messages)) == messages * 3
        assert read_all(client, 4 * len(stream)) == stream * 4


@every_way
@every_framing
def test_reads_smaller_than_messages(way: str, name: str) -> None:
    options, messages = FRAMINGS[name]
    with serving(way, recv_size=3, **options) as served, served.connect() as client:
        client.sendall(b"".join(messages))
        assert heard_messages(served, len(messages)) == messages


@every_way
@pytest.mark.parametrize(
    ("options", "good", "stream", "said"),
    [
        (
            {"framing": "length", "max_message": 4096},
            b"\0\0\0\2ok",
            b"GET / HTTP/1.1\r\n",
            'text are "GET "',
        ),
        (
            {"framing": "length", "length_type": "l"},
            (2).to_bytes(4, sys.byteorder) + b"ok",
            b"\xff" * 4,
            "negative",
        ),
        ({"terminator": b"\n", "max_message": 10}, b"ok\n", b"0123456789ab", "no terminator"),
        ({"framing": "function", "length_function": length_of}, b"2ok", b"x", "returned -1"),
    ],
    ids=["too long", "negative", "no terminator", "malformed"],
)
def test_a_stream_that_breaks_the_rules_is_closed_after_what_was_whole(
    way: str, options: dict[str, Any], good: bytes, stream: bytes, said: str
) -> None:
    with serving(way, **options) as served, served.connect() as client:
        client.sendall(good + stream)
        assert served.wait("receive")[1] == good
        closed = served.wait_closed()
        assert closed.reason is CloseReason.FRAMING
        assert said in closed.text
        drain(client)
        assert served.names().count("receive") == 1


@every_way
def test_a_message_too_long_is_refused_before_its_body(way: str) -> None:
    with serving(way, framing="length", max_message=100) as served, served.connect() as client:
        client.sendall((101).to_bytes(4, "big"))  # and not a byte of it
        assert served.wait_closed().reason is CloseReason.FRAMING


@every_way
def test_the_rest_of_a_message_cut_short_is_told(way: str) -> None:
    with serving(way, terminator=b"\n") as served, served.connect() as client:
        client.sendall(b"whole\nhalf")
        client.shutdown(socket.SHUT_WR)
        closed = served.wait_closed()
        assert closed.reason is CloseReason.PEER_FIN
        assert "4 bytes of a message" in closed.text
        assert heard(served) == [b"whole\n"]


@every_way
@pytest.mark.parametrize("cause", ["pause", "close", "half_close"])
def test_what_a_callback_does_amid_a_batch_counts_at_once(way: str, cause: str) -> None:
    def act(server: Server, session: int, data: bytes) -> None:
        if data == b"2\n":
            getattr(server, cause)(session)
            if cause == "pause":
                server.after(0.03, lambda: server.resume(session))

    with serving(way, on={"receive": act}, terminator=b"\n") as served, served.connect() as client:
        client.sendall(b"1\n2\n3\n4\n")
        if cause == "close":
            drain(client)
            served.wait_closed()
            assert heard(served) == [b"1\n", b"2\n"]
        else:
            assert heard_messages(served, 4) == [b"1\n", b"2\n", b"3\n", b"4\n"]


def heard(served: Served) -> list[bytes]:
    served.in_loop(lambda: None)
    served.names()
    return [event[2] for event in served.before if event[0] == "receive"]


@every_way
def test_a_fault_behind_a_pause_waits_for_it(way: str) -> None:
    def pause(server: Server, session: int, data: bytes) -> None:
        server.pause(session)
        server.after(0.03, lambda: server.resume(session))

    with (
        serving(way, on={"receive": pause}, terminator=b"\n", max_message=3) as served,
        served.connect() as client,
    ):
        client.sendall(b"1\n2\nxxxx")
        closed = served.wait_closed()
        assert closed.reason is CloseReason.FRAMING
        assert heard(served) == [b"1\n", b"2\n"]
        assert is_dead(client)


@every_way
def test_each_address_may_have_its_own_framing(way: str) -> None:
    def more(server: Server) -> None:
        server.listen("127.0.0.1", 0, fixed_size=3)

    with (
        serving(way, terminator=b"\n", more=more) as served,
        served.connect(0) as lines,
        served.connect(1) as threes,
    ):
        lines.sendall(b"ab\ncd\n")
        assert heard_messages(served, 2) == [b"ab\n", b"cd\n"]
        threes.sendall(b"abcdef")
        assert heard_messages(served, 2) == [b"abc", b"def"]


@every_way
def test_a_message_of_exactly_the_buffers_size(way: str) -> None:
    size = 1 << 16
    message = pattern(0, size - 1) + b"\n"
    message = message.replace(b"\n", b"-")[:-1] + b"\n"
    with (
        serving(way, terminator=b"\n", recv_size=size, max_message=size) as served,
        served.connect() as client,
    ):
        for _ in range(3):
            client.sendall(message)
            assert read_all(client, size) == message


@every_way
def test_a_reset_amid_a_message(way: str) -> None:
    with serving(way, terminator=b"\n") as served:
        client = served.connect()
        client.sendall(b"1\n")
        read_all(client, 2)
        client.sendall(b"half")
        reset(client)
        assert served.wait_closed().reason is CloseReason.PEER_RST
