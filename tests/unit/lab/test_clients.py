"""The clients of a run against peers that do not behave, over loopback."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Callable

import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.utilities import generate_accept_token

from netlab.lab import clients_web
from netlab.lab.clients import CLIENTS, Client, ClientOrders, Failed
from netlab.lab.pattern import pattern
from netlab.lab.report import Report
from netlab.lab.scenarios import SCENARIOS
from netlab.server.handlers.bad import GOODBYE
from netlab.server.handlers.chargen import characters
from netlab.server.plain import PlainProbe


def converse(
    orders: ClientOrders, peer: Callable[[socket.socket], None], listener: socket.socket
) -> list[dict[str, object]]:
    """What the client reports; `peer` is given the accepted socket (UDP: the bound one)."""
    failures: list[BaseException] = []

    def be_peer() -> None:
        try:
            if orders.udp:
                peer(listener)
            else:
                accepted, _ = listener.accept()
                with accepted:
                    peer(accepted)
        except BaseException as error:
            failures.append(error)

    read_end, write_end = os.pipe()
    thread = threading.Thread(target=be_peer)
    thread.start()
    try:
        client = CLIENTS[orders.scenario](orders, PlainProbe(), Report(write_end))
        try:
            client.run()
        finally:
            client._socket.close()
    finally:
        thread.join()
        os.close(write_end)
        with os.fdopen(read_end, "rb") as reports:
            lines = [json.loads(line) for line in reports]
    assert failures == []
    return lines


@pytest.fixture
def listener() -> socket.socket:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def orders_for(server: socket.socket, **more: object) -> ClientOrders:
    host, port = server.getsockname()
    return ClientOrders(host, port, **{"messages": 3, "size_bytes": 100, **more})


def echo(sock: socket.socket) -> None:
    while data := sock.recv(37):
        sock.sendall(data)


def test_a_good_echo_is_reported(listener: socket.socket) -> None:
    lines = converse(orders_for(listener), echo, listener)
    assert lines[0] == {"messages": 1}
    assert lines[-1] == {"done": True, "messages": 3, "lost": 0}


def test_the_stream_goes_on_from_message_to_message(listener: socket.socket) -> None:
    heard = bytearray()

    def peer(sock: socket.socket) -> None:
        while data := sock.recv(1 << 16):
            heard.extend(data)
            sock.sendall(data)

    converse(orders_for(listener), peer, listener)
    assert heard == pattern(0, 300)


def test_a_wrong_byte_is_named(listener: socket.socket) -> None:
    def peer(sock: socket.socket) -> None:
        sock.sendall(sock.recv(100))
        data = bytearray(sock.recv(100))
        data[17] ^= 0x20
        sock.sendall(data)

    with pytest.raises(Failed, match="byte 117 of the echo"):
        converse(orders_for(listener), peer, listener)


def test_an_end_that_comes_too_early_is_counted(listener: socket.socket) -> None:
    def peer(sock: socket.socket) -> None:
        sock.sendall(sock.recv(100)[:60])

    with pytest.raises(Failed, match="40 bytes too early"):
        converse(orders_for(listener), peer, listener)


def test_more_than_was_sent_is_an_error(listener: socket.socket) -> None:
    def peer(sock: socket.socket) -> None:
        echo(sock)
        sock.sendall(b"and more")

    with pytest.raises(Failed, match="8 bytes more"):
        converse(orders_for(listener), peer, listener)


def test_nobody_there_keeps_the_errno(listener: socket.socket) -> None:
    orders = orders_for(listener)
    listener.close()
    client = Client(orders, PlainProbe(), Report(1))
    with pytest.raises(Failed, match="ECONNREFUSED"):
        client.run()
    client._socket.close()


def test_a_datagram_that_never_comes_back_is_lost_and_a_late_one_is_known() -> None:
    def peer(sock: socket.socket) -> None:
        first, sender = sock.recvfrom(1 << 16)
        second, _ = sock.recvfrom(1 << 16)  # the client has given the first up
        sock.sendto(first, sender)
        sock.sendto(second, sender)
        third, _ = sock.recvfrom(1 << 16)
        sock.sendto(third, sender)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        lines = converse(orders_for(server, udp=True), peer, server)
    assert lines[-1] == {"done": True, "messages": 3, "lost": 1}


def test_told_to_stop_it_ends_after_the_message_and_closes_in_order(
    listener: socket.socket,
) -> None:
    ends = []

    def peer() -> None:
        accepted, _ = listener.accept()
        with accepted:
            accepted.sendall(accepted.recv(100))
            os.kill(os.getpid(), signal.SIGTERM)
            ends.append(accepted.recv(1))

    before = signal.getsignal(signal.SIGTERM)
    read_end, write_end = os.pipe()
    try:
        client = Client(orders_for(listener, think_ms=60_000), PlainProbe(), Report(write_end))
        client.heed_signals()
        thread = threading.Thread(target=peer)
        thread.start()
        client.run()
        thread.join()
        assert ends == [b""]
        assert json.loads(os.read(read_end, 4096).splitlines()[-1])["messages"] == 1  # not all 3
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, before)
        os.close(read_end)
        os.close(write_end)


def test_orders_survive_the_command_line() -> None:
    client = ClientOrders("::1", 7, 3, 100, udp=True, scenario="upper")
    parsed = json.loads(client.as_json())
    assert parsed.pop("role") == "client"
    assert ClientOrders(**parsed) == client


def test_every_scenario_has_a_client() -> None:
    assert list(CLIENTS) == list(SCENARIOS)


def test_capitals_are_checked_byte_by_byte(listener: socket.socket) -> None:
    def shout(sock: socket.socket) -> None:
        while data := sock.recv(37):
            sock.sendall(data.upper())

    lines = converse(orders_for(listener, scenario="upper"), shout, listener)
    assert lines[-1]["messages"] == 3
    with pytest.raises(Failed, match=r"byte \d+ of the answer"):
        converse(orders_for(listener, scenario="upper"), echo, listener)


def test_a_discarding_server_may_not_answer(listener: socket.socket) -> None:
    def swallow(sock: socket.socket) -> None:
        while sock.recv(1 << 16):
            pass

    assert converse(orders_for(listener, scenario="discard"), swallow, listener)[-1]["done"]
    with pytest.raises(Failed, match="bytes more than it got"):
        converse(orders_for(listener, scenario="discard"), echo, listener)


def test_characters_are_counted_and_checked(listener: socket.socket) -> None:
    orders = orders_for(listener, scenario="chargen")
    whole = characters(0, 300)
    converse(orders, lambda sock: sock.sendall(whole), listener)
    with pytest.raises(Failed, match="sent 299 bytes, not 300"):
        converse(orders, lambda sock: sock.sendall(whole[:299]), listener)
    with pytest.raises(Failed, match="byte 150 of the characters"):
        converse(orders, lambda sock: sock.sendall(whole[:150] + b"\0" + whole[151:]), listener)


def test_half_a_line_is_no_time(listener: socket.socket) -> None:
    orders = orders_for(listener, scenario="daytime")
    converse(orders, lambda sock: sock.sendall(b"noon\r\n"), listener)
    with pytest.raises(Failed, match="whole line"):
        converse(orders, lambda sock: sock.sendall(b"noon"), listener)


def test_a_reset_is_what_a_bad_server_is_for(listener: socket.socket) -> None:
    def leave(sock: socket.socket, word: bytes = GOODBYE) -> None:
        sock.recv(1, socket.MSG_PEEK)  # it is here, and stays unread
        sock.sendall(word)

    # One message: a reset that came between two would take the goodbye with it.
    orders = orders_for(listener, scenario="bad", messages=1)
    assert converse(orders, leave, listener)[-1]["done"]
    with pytest.raises(Failed, match="something else"):
        converse(orders, lambda sock: leave(sock, b"hello"), listener)


def test_a_call_that_is_refused_fails_the_run(listener: socket.socket) -> None:
    def refuse(sock: socket.socket) -> None:
        sock.recv(1 << 16)
        answer = json.dumps({"id": 0, "error": "no"}).encode()
        sock.sendall(len(answer).to_bytes(4, "big") + answer)

    with pytest.raises(Failed, match="the call add was answered"):
        converse(orders_for(listener, scenario="rpc"), refuse, listener)


def head_of(sock: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        data += sock.recv(1)
    return data


def answering(*answers: bytes) -> Callable[[socket.socket], None]:
    """A server of HTTP that has its answers ready, and says no more."""

    def peer(sock: socket.socket) -> None:
        for answer in answers:
            head_of(sock)
            sock.sendall(answer)
        sock.recv(1)

    return peer


FILE = (clients_web.FOLDER / clients_web.FILE).read_bytes()


def http(status: str, body: bytes, more: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\n{more}Content-LENGTH: {len(body)}\r\n\r\n".encode() + body


def test_a_file_and_a_page_are_got_in_turn(listener: socket.socket) -> None:
    orders = orders_for(listener, scenario="http", messages=2, size_bytes=0, recv_size_bytes=997)
    page = http("200 OK", b"<a href=http.py>")
    assert converse(orders, answering(http("200 OK", FILE), page), listener)[-1]["done"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (http("404 Not Found", b""), "answered 404"),
        (http("200 OK", FILE[:-1] + b"~"), "not what the file holds"),
        (http("200 OK", FILE)[:-1], "closed in the middle"),
        (http("200 OK", b"x") + b"yz", "2 bytes more than the answer has"),
        (b"HTTP/1.1 200 OK\r\nContent", "closed in the middle"),
        (b"220 mail\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 \xb2\xb2\xb2\r\n\r\n", "does not speak HTTP"),
    ],
)
def test_a_web_server_that_answers_something_else(
    listener: socket.socket, answer: bytes, words: str
) -> None:
    def peer(sock: socket.socket) -> None:
        head_of(sock)
        sock.sendall(answer)

    with pytest.raises(Failed, match=words):
        converse(orders_for(listener, scenario="http", size_bytes=0), peer, listener)


def test_a_part_must_be_the_one_that_was_asked_for(listener: socket.socket) -> None:
    orders = orders_for(listener, scenario="http", messages=1, size_bytes=10)
    span = f"Content-Range: bytes 0-9/{len(FILE)}\r\n"
    converse(orders, answering(http("206 Partial Content", FILE[:10], span)), listener)
    with pytest.raises(Failed, match="sent None, not bytes 0-9"):
        converse(orders, answering(http("206 Partial Content", FILE[:10])), listener)


UPGRADED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
    b"Sec-WebSocket-Accept: %s\r\n\r\n"
)


def web_socket(frames: bytes) -> Callable[[socket.socket], None]:
    """A server that shakes hands by wsproto's rules and then has its frames ready."""

    def peer(sock: socket.socket) -> None:
        head = head_of(sock).decode()
        key = next(line for line in head.split("\r\n") if line.startswith("Sec-WebSocket-Key: "))
        token = generate_accept_token(key.partition(": ")[2].encode())
        sock.sendall(UPGRADED % token + frames)
        heard = b""
        while not heard.endswith(clients_web.frame_bytes(8, b"\x03\xe8")):
            data = sock.recv(1 << 16)
            if not data:
                return
            heard += data

    return peer


def test_messages_in_frames_of_every_size(listener: socket.socket) -> None:
    """In one frame, in several, and with lengths of 1, 3 and 9 bytes; then the close."""
    for size, frames in (
        (5, b"\x02\x02" + pattern(0, 2) + b"\x80\x03" + pattern(2, 5)),
        (300, b"\x82\x7e\x01\x2c" + pattern(0, 300)),
        (70_000, b"\x82\x7f" + (70_000).to_bytes(8, "big") + pattern(0, 70_000)),
    ):
        orders = orders_for(listener, scenario="websocket", messages=1, size_bytes=size)
        done = converse(orders, web_socket(frames + b"\x88\x02\x03\xe8"), listener)
        assert done[-1]["done"]


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (b"\x82\x05" + pattern(0, 4) + b"~", "byte 4 of the echo"),
        (b"\x82\x06" + pattern(0, 6), "kind 2, 6 bytes"),
        (b"\x81\x05hello", "kind 1"),
        (b"\x82\x05" + pattern(0, 5) + b"\x88\x02\x03\xe9", "did not close as it was asked"),
        (b"\x82\x05" + pattern(0, 5) + b"\x88\x02\x03\xe8more", "more behind its close"),
    ],
)
def test_frames_that_are_not_what_they_must_be(
    listener: socket.socket, frames: bytes, words: str
) -> None:
    orders = orders_for(listener, scenario="websocket", messages=1, size_bytes=5)
    with pytest.raises(Failed, match=words):
        converse(orders, web_socket(frames), listener)


def test_the_frames_of_a_client_are_what_wsproto_expects() -> None:
    server = Connection(ConnectionType.SERVER)
    for size in (0, 1, 125, 126, 65_535, 65_536):
        server.receive_data(clients_web.frame_bytes(2, pattern(0, size)))
        data = b"".join(event.data for event in server.events())
        assert data == pattern(0, size)


def test_an_upgrade_that_is_refused(listener: socket.socket) -> None:
    orders = orders_for(listener, scenario="websocket")
    with pytest.raises(Failed, match="answered 426 to an upgrade"):
        converse(orders, answering(http("426 Upgrade Required", b"")), listener)


def room(*lines: bytes) -> Callable[[socket.socket], None]:
    """A room in which all is said already; then it listens to the end."""

    def peer(sock: socket.socket) -> None:
        sock.sendall(b"".join(line + b"\n" for line in lines))
        while sock.recv(1 << 16):
            pass

    return peer


DOTS = b"." * 97


@pytest.mark.parametrize(
    "lines",
    [
        (b"* you are 5, with 1 others: 3", b"3: 0 " + DOTS, b"3: bye"),
        (b"* 3 is here", b"* you are 5, with 1 others: 3", b"* 3 has left"),
        (b"* you are 5, with 2 others: 3 4", b"3: 7 " + DOTS, b"3: 8 " + DOTS, b"3: bye",
         b"* 4 has left", b"* 6 is here", b"6: bye"),
        (b"* you are 5, with 0 others",),
    ],
)  # fmt: skip
def test_who_chats_leaves_when_the_others_have(
    listener: socket.socket, lines: tuple[bytes, ...]
) -> None:
    orders = orders_for(listener, scenario="chat", recv_size_bytes=7)
    assert converse(orders, room(*lines), listener)[-1] == {"done": True, "messages": 3, "lost": 0}


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ((b"3: 0 " + DOTS, b"3: 2 " + DOTS), "line 1 of 3 is not what it must be"),
        ((b"3: hello",), "line -1 of 3"),
        ((b"hello",), "nobody says in a chat"),
    ],
)
def test_what_is_heard_in_a_chat_is_checked(
    listener: socket.socket, lines: tuple[bytes, ...], words: str
) -> None:
    with pytest.raises(Failed, match=words):
        converse(orders_for(listener, scenario="chat"), room(*lines), listener)


def test_a_room_that_closes_is_an_error(listener: socket.socket) -> None:
    def peer(sock: socket.socket) -> None:
        sock.sendall(b"* you are 5, with 1 others: 3\n")
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(1 << 16):
            pass

    with pytest.raises(Failed, match="closed while others were there"):
        converse(orders_for(listener, scenario="chat"), peer, listener)
