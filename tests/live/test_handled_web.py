"""The http and websocket handlers in every mode: curl, h11 and wsproto as their clients."""

from __future__ import annotations

import http.client
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import wsproto
from handled import WITHIN_S, client_of, every_mode, handled, read_to_end
from wsproto import events

from netlab.lab.pattern import pattern


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "big.bin").write_bytes(pattern(0, 3_000_017))
    (tmp_path / "small.txt").write_text("small")
    (tmp_path / "empty").touch()
    (tmp_path / "below").mkdir()
    return tmp_path


def connection(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=WITHIN_S)


@every_mode
def test_one_connection_serves_several_requests(folder: Path, mode: str) -> None:
    with handled("http", mode, folder=str(folder)) as port, closing(connection(port)) as web:
        web.connect()
        ours = web.sock.getsockname()
        for target, length in (("/big.bin", 3_000_017), ("/small.txt", 5), ("/empty", 0)):
            web.request("GET", target)
            answer = web.getresponse()
            assert (answer.status, len(answer.read())) == (200, length)
            web.request("HEAD", target)
            answer = web.getresponse()
            assert (answer.status, answer.read()) == (200, b"")
            assert answer.headers["Content-Length"] == str(length)
        web.request("GET", "/below")
        assert web.getresponse().read() == b"it is a folder\n"
        web.request("GET", "/no/such")
        answer = web.getresponse()
        assert (answer.status, answer.reason) == (404, "Not Found")
        answer.read()
        assert web.sock.getsockname() == ours


@every_mode
def test_curl_gets_a_file_and_a_range_of_it(folder: Path, mode: str) -> None:
    with handled("http", mode, folder=str(folder)) as port:
        url = f"http://127.0.0.1:{port}/big.bin"
        whole = subprocess.run(["curl", "-sf", url], capture_output=True, check=True).stdout
        assert whole == pattern(0, 3_000_017)
        arguments = ["curl", "-sf", "-r", "1000000-1000006", url]
        part = subprocess.run(arguments, capture_output=True, check=True).stdout
        assert part == pattern(1_000_000, 1_000_007)


@every_mode
def test_requests_in_one_segment_are_answered_in_order(folder: Path, mode: str) -> None:
    with handled("http", mode, folder=str(folder)) as port, client_of(port) as sock:
        sock.sendall(
            b"GET /small.txt HTTP/1.1\r\nHost: x\r\n\r\n"
            b"GET /big.bin HTTP/1.1\r\nHost: x\r\n\r\n"
            b"GET /empty HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        heads = read_to_end(sock).split(b"HTTP/1.1 200 OK\r\n")
    lengths = [len(head.partition(b"\r\n\r\n")[2]) for head in heads[1:]]
    assert lengths == [5, 3_000_017, 0]


BROKEN = {
    "no protocol": (b"hello\r\n\r\n", 400),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "a body": (b"POST /small.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 405),
    "GET with a body": (b"GET /small.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nab", 200),
    "a header without end": (b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000, 431),
    "old, bare line feeds": (b"GET /small.txt HTTP/1.0\n\n", 200),
    "two lengths": (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                    400),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("mode", ["single", "process"])
def test_what_cannot_go_on_is_answered_and_ends(folder: Path, mode: str, name: str) -> None:
    request, status = BROKEN[name]
    with handled("http", mode, folder=str(folder)) as port, client_of(port) as sock:
        sock.sendall(request)
        answer = b""
        try:
            while piece := sock.recv(1 << 16):
                answer += piece
        except ConnectionResetError:  # of bytes that it did not want to read any more
            assert name in ("a header without end", "a body", "GET with a body")
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert b"\r\nConnection: close\r\n" in answer.partition(b"\r\n\r\n")[0] + b"\r\n"


class Visitor:
    """A WebSocket client."""

    def __init__(self, port: int) -> None:
        self.sock = client_of(port)
        self.protocol = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)

    def __enter__(self) -> Visitor:
        self.say(events.Request(host="127.0.0.1", target="/"))
        assert isinstance(next(self.hear()), events.AcceptConnection)
        return self

    def __exit__(self, *exception: object) -> None:
        self.sock.close()

    def say(self, event: events.Event) -> None:
        self.sock.sendall(self.protocol.send(event))

    def hear(self) -> Iterator[events.Event]:
        while True:
            yield from self.protocol.events()
            data = self.sock.recv(1 << 16)
            self.protocol.receive_data(data or None)
            if not data:
                yield from self.protocol.events()
                return


@every_mode
def test_messages_of_a_websocket_come_back(mode: str) -> None:
    with handled("websocket", mode) as port, Visitor(port) as visitor:
        hear = visitor.hear()
        visitor.say(events.TextMessage("Grüße"))
        answer = next(hear)
        assert isinstance(answer, events.TextMessage)
        assert answer.data == "Grüße"
        visitor.say(events.BytesMessage(pattern(0, 4093), message_finished=False))
        visitor.say(events.BytesMessage(pattern(4093, 8000)))
        heard = b""
        while len(heard) < 8000:
            piece = next(hear)
            assert isinstance(piece, events.BytesMessage)
            heard += piece.data
        assert heard == pattern(0, 8000)
        visitor.say(events.Ping(b"there?"))
        pong = next(hear)
        assert isinstance(pong, events.Pong)
        assert pong.payload == b"there?"
        visitor.say(events.CloseConnection(1000, "done"))
        assert isinstance(next(hear), events.CloseConnection)
        assert visitor.sock.recv(10) == b""


@pytest.mark.parametrize("mode", ["single", "process"])
@pytest.mark.parametrize(
    "head",
    [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET\r\n\r\n", b"G" + b"x" * 20_000],
    ids=["no upgrade", "no request", "no end"],
)
def test_who_asks_for_no_upgrade_is_told(mode: str, head: bytes) -> None:
    with handled("websocket", mode) as port, client_of(port) as sock:
        sock.sendall(head)
        answer = b""
        try:
            while piece := sock.recv(1 << 16):
                answer += piece
        except ConnectionResetError:
            assert len(head) > 20_000
        assert answer.startswith(b"HTTP/1.1 426 ")


def test_a_broken_frame_is_answered_by_a_close() -> None:
    with handled("websocket", "single") as port, Visitor(port) as visitor:
        visitor.sock.sendall(b"\xf1\x80abcd")  # reserved bits that nobody agreed on
        end = next(visitor.hear())
        assert isinstance(end, events.CloseConnection)
        assert end.code == 1002
