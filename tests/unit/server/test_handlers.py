"""The handlers without sockets: a pretended server notes what they do with it."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from typing import Any

import pytest

from netlab.model.errors import UsageError
from netlab.server.handlers import HANDLERS, Settings, handler_named
from netlab.server.handlers.chargen import characters
from netlab.server.handlers.slow import pieces
from netlab.server.settings.options import options_from
from netlab.server.terms import Client, SendError

SESSION = 7
CLIENT = Client(("192.0.2.1", 9))


@dataclass
class PretendServer:
    """Registers callbacks and keeps what the verbs were called with."""

    callbacks: dict[str, Any] = field(default_factory=dict)
    done: list[tuple[Any, ...]] = field(default_factory=list)
    timers: list[tuple[float, Any]] = field(default_factory=list)
    room_bytes: int = 1 << 30  # that send still takes
    sessions: list[int] = field(default_factory=list)
    last_error: SendError | None = None

    def on(self, name: str, function: Any) -> None:
        self.callbacks[name] = function

    def tell(self, name: str, *arguments: Any) -> Any:
        return self.callbacks[name](self, *arguments)

    def send(self, session: int, data: bytes) -> bool:
        if len(data) > self.room_bytes:
            self.last_error = SendError.OUTPUT_BUFFER_OVERFLOW
            return False
        self.room_bytes -= len(data)
        self.done.append(("send", session, bytes(data)))
        return True

    def after(self, delay_s: float, function: Any) -> int:
        self.timers.append((delay_s, function))
        return len(self.timers)

    def clients(self) -> list[int]:
        return self.sessions

    def task(self, data: bytes) -> int | None:
        raise UsageError("single mode has no task workers")

    def __getattr__(self, name: str) -> Any:
        def verb(*arguments: Any, **more: Any) -> bool:
            self.done.append((name, *arguments, *more.items()))
            return True

        return verb

    @property
    def sent(self) -> bytes:
        return b"".join(what[2] for what in self.done if what[0] == "send")


def installed(name: str, **settings: Any) -> PretendServer:
    server = PretendServer()
    HANDLERS[name].install(server, Settings(**settings))  # type: ignore[arg-type]
    return server


@pytest.mark.parametrize("handler", HANDLERS.values(), ids=HANDLERS)
def test_every_handler_says_what_it_teaches_and_has_options_that_hold(handler: Any) -> None:
    assert 0 < len(handler.teaches) <= 60
    options_from(None, **handler.options)
    server = PretendServer()
    handler.install(server, Settings())
    assert "receive" in server.callbacks
    assert ("packet" in server.callbacks) == handler.datagrams


def test_an_unknown_handler_is_named() -> None:
    with pytest.raises(UsageError, match="no handler 'ecko': there is echo, discard"):
        handler_named("ecko")


@pytest.mark.parametrize(("name", "package"), [("http", "h11"), ("websocket", "wsproto")])
def test_a_missing_package_is_named_with_what_installs_it(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=rf"needs the package {package}: pip install {package}"):
        installed(name)


@pytest.mark.parametrize(
    ("name", "answer"), [("echo", b"Hello, \xc3\xa4 1"), ("upper", b"HELLO, \xc3\xa4 1")]
)
def test_answers_to_bytes_and_datagrams(name: str, answer: bytes) -> None:
    server = installed(name)
    server.tell("receive", SESSION, b"Hello, \xc3\xa4 1")
    server.tell("packet", b"Hello, \xc3\xa4 1", CLIENT)
    assert server.done == [("send", SESSION, answer), ("sendto", CLIENT, answer)]


@pytest.mark.parametrize("name", ["echo", "upper"])
def test_an_answer_with_a_hole_is_none(name: str) -> None:
    server = installed(name)
    server.room_bytes = 2
    server.tell("receive", SESSION, b"abc")
    assert server.done == [("close", SESSION, ("reset", True))]


def test_discard_does_nothing() -> None:
    server = installed("discard")
    server.tell("receive", SESSION, b"abc")
    server.tell("packet", b"abc", CLIENT)
    assert server.done == []


def test_characters_are_lines_that_rotate() -> None:
    lines = characters(0, 96 * 74).split(b"\r\n")
    assert {len(line) for line in lines[:-1]} == {72}
    assert lines[0].startswith(b' !"#')
    assert lines[1].startswith(b'!"#$')
    assert lines[95] == lines[0]
    assert characters(0, 20_000)[7_013:15_001] == characters(7_013, 15_001)


def test_chargen_stops_when_refused_goes_on_when_there_is_room_and_closes_at_the_limit() -> None:
    server = installed("chargen", limit_bytes=200_003)
    server.room_bytes = 70_000
    server.tell("connect", SESSION)
    assert len(server.sent) == 1 << 16
    server.room_bytes = 1 << 30
    server.tell("buffer_empty", SESSION)
    assert server.sent == characters(0, 200_003)
    assert server.done[-1] == ("close", SESSION)


def test_chargen_never_answers_a_datagram_with_more_than_it_got() -> None:
    server = installed("chargen")
    server.tell("packet", b"12345", CLIENT)
    assert server.done == [("sendto", CLIENT, characters(0, 5))]


def test_daytime_is_one_line_and_the_end() -> None:
    server = installed("daytime")
    server.tell("connect", SESSION)
    assert server.sent.endswith(b"\r\n")
    assert len(server.sent) == 27
    assert server.done[-1] == ("close", SESSION)


@pytest.mark.parametrize("length", range(1, 12))
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_pieces_are_all_of_it_and_none_is_empty(length: int, count: int) -> None:
    data = bytes(range(length))
    cut = pieces(data, count)
    assert b"".join(cut) == data
    assert all(cut)
    assert len(cut) <= count


def test_slow_sends_one_piece_a_pause_and_keeps_the_order_of_messages() -> None:
    server = installed("slow", pauses_s=(0.1, 0.2, 0.3))
    server.tell("receive", SESSION, b"abcdef")
    server.tell("receive", SESSION, b"XYZ")
    assert [delay for delay, _ in server.timers] == [0.1]  # nothing is sent before a pause
    for number in range(6):
        server.timers[number][1]()
    assert [delay for delay, _ in server.timers] == [0.1, 0.2, 0.3, 0.1, 0.2, 0.3]
    assert [what[2] for what in server.done] == [b"ab", b"cd", b"ef", b"X", b"Y", b"Z"]


def test_slow_pauses_once_for_a_message_that_comes_while_the_last_piece_is_sent() -> None:
    """As in threads it may: the client has that piece before send has returned."""
    server = installed("slow", pauses_s=(0.1, 0.2))
    plain = server.send

    def send(session: int, data: bytes) -> bool:
        done = plain(session, data)
        if data == b"b":
            server.tell("receive", SESSION, b"cd")
        return done

    server.send = send  # type: ignore[method-assign]
    server.tell("receive", SESSION, b"ab")
    for number in range(4):
        server.timers[number][1]()
    assert [delay for delay, _ in server.timers] == [0.1, 0.2, 0.1, 0.2]
    assert server.sent == b"abcd"


def test_slow_forgets_who_has_left() -> None:
    server = installed("slow", pauses_s=(0.1, 0.1))
    server.tell("receive", SESSION, b"abcd")
    server.tell("close", SESSION, None)
    server.timers[0][1]()
    assert server.done == []


def test_stuck_pauses_and_bad_leaves_without_reading() -> None:
    server = installed("stuck")
    server.tell("connect", SESSION)
    assert server.done == [("pause", SESSION)]
    server = installed("bad")
    server.tell("connect", SESSION)
    assert server.done == [("pause", SESSION)]
    server.timers[0][1]()
    assert [what[0] for what in server.done] == ["pause", "send", "close"]


def test_chat_tells_everybody_but_the_one_who_speaks() -> None:
    server = installed("chat")
    server.sessions = [SESSION, 8, 9]
    server.tell("receive", SESSION, b"hello\r\n")
    assert server.done == [("send", other, b"7: hello\n") for other in (8, 9)]


def message(text: bytes) -> bytes:
    return len(text).to_bytes(4, "big") + text


def answered(server: PretendServer) -> list[Any]:
    found, data = [], server.sent
    while data:
        stop = 4 + int.from_bytes(data[:4], "big")
        found.append(json.loads(data[4:stop]))
        data = data[stop:]
    return found


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        ({"id": 1, "method": "add", "params": [2, 3, 0.5]}, {"id": 1, "result": 5.5}),
        ({"id": "x", "method": "echo", "params": ["ä", None]}, {"id": "x", "result": ["ä", None]}),
        ({"id": 2, "method": "add", "params": ["2"]}, {"id": 2, "error": "params are numbers"}),
        ({"id": 2, "method": "add", "params": [True]}, {"id": 2, "error": "params are numbers"}),
        ({"id": 3, "method": "add", "params": 4}, {"id": 3, "error": "params is a list"}),
        ({"id": 4, "method": "sleep", "params": [61]},
         {"id": 4, "error": "sleep takes 0 to 60 seconds"}),
        ({"id": 5, "method": "task", "params": [0]},
         {"id": 5, "error": "task takes a whole number of rounds, 1 to 1000000"}),
        ({"id": 6, "method": "task", "params": [9]},
         {"id": 6, "error": "no task worker takes it: start the server with tasks"}),
        ({"id": 7, "method": "drop", "params": []},
         {"id": 7, "error": "no such method; there is add, echo, sleep, task"}),
        ([1], {"id": None, "error": "a message is a JSON object"}),
        ({"id": 8, "method": "add", "params": [1e308, 1e308]},
         {"id": None, "error": "the result cannot be written as JSON"}),
    ],
)  # fmt: skip
def test_calls_are_answered(call: Any, answer: Any) -> None:
    server = installed("rpc")
    server.tell("receive", SESSION, message(json.dumps(call).encode()))
    assert answered(server) == [answer]


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[" * 100_000, b"1" * 5000])
def test_what_is_no_json_is_refused_in_words(text: bytes) -> None:
    server = installed("rpc")
    server.tell("receive", SESSION, message(text))
    (answer,) = answered(server)
    assert answer["error"].startswith("a message is a JSON object")


def test_answers_come_when_they_are_ready() -> None:
    server = installed("rpc")
    server.tell("receive", SESSION, message(b'{"id": 1, "method": "sleep", "params": [2]}'))
    server.tell("receive", SESSION, message(b'{"id": 2, "method": "add", "params": []}'))
    server.timers[0][1]()
    assert [answer["id"] for answer in answered(server)] == [2, 1]


def test_a_task_comes_back_to_who_asked() -> None:
    server = installed("rpc")
    order = {"session": SESSION, "id": 4, "rounds": 2}
    result = server.tell("task", 0, "worker-0", json.dumps(order).encode())
    server.tell("finish", 0, result)
    (answer,) = answered(server)
    assert answer["id"] == 4
    assert answer["result"] == (  # SHA-256 of SHA-256 of nothing
        "5df6e0e2761359d30a8275058e299fcc0381534545f55cf43e41983f5d4c9456"
    )
