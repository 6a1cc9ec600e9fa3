"""Every handler in every mode, with real clients."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from typing import Any, BinaryIO

import pytest
from handled import WITHIN_S, client_of, every_mode, handled, read_exactly, read_to_end

from netlab.lab.pattern import pattern
from netlab.server.handlers.chargen import characters
from netlab.studies.sockets import tcp_info

LENGTH = 23 * 4093
PAUSE_S = 0.2
DATA_SEGS_IN = 152  # in struct tcp_info of linux/tcp.h


def talk(port: int, data: bytes) -> bytes:
    """What comes back for all of it, sent while reading, with our FIN behind."""
    with client_of(port) as sock:

        def send() -> None:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        answer = read_to_end(sock)
        sender.join()
    return answer


@every_mode
def test_echo_gives_back_every_byte(mode: str) -> None:
    with handled("echo", mode) as port:
        assert talk(port, pattern(0, LENGTH)) == pattern(0, LENGTH)


@every_mode
def test_upper_gives_back_capitals(mode: str) -> None:
    with handled("upper", mode) as port:
        assert talk(port, pattern(0, LENGTH)) == pattern(0, LENGTH).upper()


@every_mode
def test_discard_takes_all_and_says_nothing(mode: str) -> None:
    with handled("discard", mode) as port:
        assert talk(port, pattern(0, LENGTH)) == b""


@every_mode
def test_chargen_stops_at_its_limit(mode: str) -> None:
    with handled("chargen", mode, limit_bytes=3_000_017) as port, client_of(port) as sock:
        assert read_to_end(sock) == characters(0, 3_000_017)


@every_mode
def test_daytime_closes_first(mode: str) -> None:
    with handled("daytime", mode) as port, client_of(port) as sock:
        line = read_to_end(sock)
        assert line.count(b"\n") == 1
        assert line.startswith(b"20")


def came_after_s(sock: socket.socket, message: bytes, size: int) -> list[float]:
    """Send it; when each of its pieces had been read, in seconds since before it was sent."""
    began_s = time.monotonic()
    sock.sendall(message)
    found = []
    for at in range(0, len(message), size):
        assert read_exactly(sock, size) == message[at : at + size]
        found.append(time.monotonic() - began_s)
    return found


@every_mode
def test_slow_sends_piece_by_piece(mode: str) -> None:
    """A pause before each, and each in a segment of its own, whenever we come to read it."""
    with handled("slow", mode, pauses_s=(PAUSE_S, PAUSE_S)) as port:
        until_s = time.monotonic() + WITHIN_S
        rounds, apart = 0, False
        while rounds < 3 or not apart:
            assert time.monotonic() < until_s, "no first piece came before the second was due"
            with client_of(port) as sock:
                first_s, second_s = came_after_s(sock, b"abcd", 2)
                assert tcp_info(sock, DATA_SEGS_IN) >= 2  # one that is sent again counts again
            assert first_s >= PAUSE_S
            assert second_s >= 2 * PAUSE_S
            apart = apart or first_s < 2 * PAUSE_S  # else we were late, and this round shows less
            rounds += 1


@every_mode
def test_stuck_lets_the_window_close(mode: str) -> None:
    with handled("stuck", mode) as port, client_of(port) as sock:
        sock.settimeout(0.5)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 1 << 26:
                sent += sock.send(bytes(1 << 16))
        assert 0 < sent < 1 << 26


def ends_in_reset(sock: socket.socket) -> bool:
    """Whether the connection ends by RST under a client that goes on speaking."""
    sock.settimeout(0.02)
    while True:
        try:
            sock.sendall(b"unread")
            if not sock.recv(100):
                return False
        except TimeoutError:
            continue
        except (ConnectionResetError, BrokenPipeError):
            return True


@every_mode
def test_bad_resets_who_spoke(mode: str) -> None:
    with handled("bad", mode) as port:
        with client_of(port) as sock:
            assert ends_in_reset(sock)
        with client_of(port) as silent:
            assert read_to_end(silent) == b"goodbye\r\n"


def greeting(file: BinaryIO) -> bytes:
    """The line for who has come; others who come may be told of before it."""
    while not (line := file.readline()).startswith(b"* you are"):
        assert line
    return line


@every_mode
def test_chat_reaches_clients_of_every_worker(mode: str) -> None:
    with handled("chat", mode) as port, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(client_of(port)) for _ in range(6)]
        files = [stack.enter_context(sock.makefile("rb")) for sock in clients]
        names = [greeting(file).split()[3].rstrip(b",") for file in files]
        assert len(set(names)) == 6
        clients[0].sendall(b"hello\n")
        for file in files[1:]:
            line = b"*"
            while line.startswith(b"*"):  # who came, before
                line = file.readline()
            assert line == names[0] + b": hello\n"


def call(sock: socket.socket, **what: Any) -> None:
    text = json.dumps(what).encode()
    sock.sendall(len(text).to_bytes(4, "big") + text)


def answer(sock: socket.socket) -> Any:
    return json.loads(read_exactly(sock, int.from_bytes(read_exactly(sock, 4), "big")))


@every_mode
def test_calls_are_answered_when_they_are_ready(mode: str) -> None:
    with handled("rpc", mode) as port, client_of(port) as sock:
        call(sock, id=1, method="sleep", params=[0.3])
        call(sock, id=2, method="add", params=[2, 3])
        assert [answer(sock), answer(sock)] == [
            {"id": 2, "result": 5}, {"id": 1, "result": 0.3},
        ]  # fmt: skip


@every_mode
def test_tasks_are_done_where_there_are_task_workers(mode: str) -> None:
    with handled("rpc", mode) as port, client_of(port) as sock:
        call(sock, id="x", method="task", params=[2])
        result = answer(sock)
    if mode in ("base", "process"):
        assert result["result"].startswith("5df6e0e2")
    else:
        assert "no task worker" in result["error"]


@every_mode
@pytest.mark.parametrize(
    ("handler", "question", "expected"),
    [
        ("echo", b"one", b"one"),
        ("upper", b"one", b"ONE"),
        ("chargen", b"12345", characters(0, 5)),
    ],
)
def test_datagrams_are_answered(mode: str, handler: str, question: bytes, expected: bytes) -> None:
    socks = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with handled(handler, mode, udp=True) as port, socks as sock:
        sock.settimeout(WITHIN_S)
        sock.sendto(question, ("127.0.0.1", port))
        assert sock.recv(1 << 16) == expected
