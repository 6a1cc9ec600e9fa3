"""Connections of servers of several processes: framing, slow peers, the end, time-outs.

What test_server_framing, _slow_peers, _close and _timeouts ask of a server of one process. All of
it of one server a mode, which has an address for each set of options; it must end in order.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from family import WITHIN_S, Client, Family, family, until
from test_server_framing import FRAMINGS

from netlab.lab.pattern import pattern

SHORT_S = 0.15
LATE_S = 5.0
SMALL = {"sndbuf": 4096, "rcvbuf": 4096, "output_buffer": 1 << 18}
SAYS = {"terminator": "\n"}  # such an address evaluates
FRAMED = [
    {"terminator": "\r\n"},
    {"framing": "length", "length_type": "n"},
    {"length_type": "V", "length_offset": 3, "body_offset": 7},
    {"fixed_size": 7},
    {"framing": "function"},
]
TIMED = {
    "HANDSHAKE_TIMEOUT": {"handshake_timeout": SHORT_S},
    "IDLE_TIMEOUT": {"idle_timeout": SHORT_S},
    "READ_TIMEOUT": {"read_timeout": SHORT_S},
    "REQUEST_TIMEOUT": {"request_timeout": SHORT_S},
    "WRITE_TIMEOUT": {"write_timeout": SHORT_S, **SMALL, "output_buffer": 4 << 20},
    "ETIMEDOUT": {"user_timeout": SHORT_S, **SMALL, "output_buffer": 4 << 20},
}
PORTS = {
    **{name: (True, options) for name, options in zip(FRAMINGS, FRAMED, strict=True)},
    "up to 4096": (True, {"framing": "length", "max_message": 4096}),
    "up to 10": (True, {"terminator": "\n", "max_message": 10}),
    **{reason: (False, SAYS | options) for reason, options in TIMED.items()},
    "refuse": (False, SAYS | SMALL | {"overflow": "refuse"}),
    "close": (False, SAYS | SMALL | {"overflow": "close"}),
    "pause": (True, SMALL | {"framing": "none"}),
    "queue": (False, SAYS | {"sndbuf": 4096, "output_buffer": 4 << 20}),
    "soon given up": (
        False,
        SAYS | {"sndbuf": 4096, "output_buffer": 4 << 20, "drain_timeout": SHORT_S},
    ),
    "at connect: close": (False, SAYS),
    "at connect: reset": (False, SAYS),
    "at connect: raise": (False, SAYS),
}
NUMBERS = {name: number for number, name in enumerate(PORTS, 1)}
AT_CONNECT = {
    NUMBERS["at connect: close"]: "server.close",
    NUMBERS["at connect: reset"]: "lambda s: server.close(s, reset=True)",
    NUMBERS["at connect: raise"]: "lambda s: 1 / 0",
}
HOOKS = {
    "connect": "{" + ", ".join(f"{n}: {does}" for n, does in AT_CONNECT.items()) + "}.get("
    "getattr(server.client_info(arguments[0]), 'entrance', 0), bool)(arguments[0])",
    "close": "kept.get(('at close', arguments[0])) and 1 / 0",
}  # fmt: skip


@pytest.fixture(scope="module", params=["base", "process"])
def served(request: pytest.FixtureRequest) -> Iterator[Family]:
    """The server of a mode; callbacks that raise on purpose are all that it may complain of."""
    mode = request.param
    given = {"ports": list(PORTS.values()), "hooks": HOOKS, "output_buffer": 2 << 20}
    with family(mode, tasks=1, drain_timeout=WITHIN_S, **given) as found:
        yield found
        for client in found.clients:
            client.sock.close()
        status, log = found.stop()
        assert status == 0, log
        errors = [line for line in log.splitlines() if "Error" in line]
        assert all("on purpose" in line or "division by zero" in line for line in errors), log


def meet(served: Family, name: str, *, rcvbuf: int = 0) -> tuple[Client, int]:
    return served.meet(NUMBERS[name], rcvbuf=rcvbuf)


def echoed(client: Client) -> bytes:
    return client.read(int.from_bytes(client.read(4), "big"))


# -- framing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(FRAMINGS))
def test_byte_by_byte_and_all_at_once(served: Family, name: str) -> None:
    messages = FRAMINGS[name][1]
    stream = b"".join(messages)
    client, _ = meet(served, name)
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for at in range(len(stream)):
        client.sock.send(stream[at : at + 1])
    assert [echoed(client) for _ in messages] == messages
    client.sock.sendall(stream * 3)
    assert [echoed(client) for _ in messages * 3] == messages * 3


@pytest.mark.parametrize(
    ("name", "good", "stream", "words"),
    [
        ("up to 4096", b"\0\0\0\2ok", b"GET / HTTP/1.1\r\n", 'text are "GET "'),
        ("up to 4096", b"\0\0\0\0", b"\0\0\x10\1", "0x00001001"),
        ("up to 10", b"ok\n", b"0123456789ab", "no terminator"),
        ("function", b"2ok", b"x", "returned -1"),
        ("function", b"2ok", b"!", "raised ZeroDivisionError"),
    ],
)
def test_a_stream_that_breaks_the_rules_is_closed_after_what_was_whole(
    served: Family, name: str, good: bytes, stream: bytes, words: str
) -> None:
    client, session = meet(served, name)
    client.sock.sendall(good)
    assert echoed(client) == good
    client.sock.sendall(good + stream)
    if served.mode == "base":  # else the answer may be late, as the worker is elsewhere
        assert echoed(client) == good
    closed = served.ended(session)
    assert "FRAMING" in closed
    assert words in closed
    assert client.at_end() or served.mode == "process"


def test_a_reset_amid_a_message(served: Family) -> None:
    client, session = meet(served, "up to 10")
    client.sock.sendall(b"1\nhalf")
    assert echoed(client) == b"1\n"
    reset(client)
    assert "PEER_RST" in served.ended(session)


# -- backpressure and slow peers -----------------------------------------------------------------


def flood(client: Client, limit: int, enough: Callable[[], bool]) -> int:
    """Send until nothing more is taken for a while, and it is `enough`; how much it was."""
    client.sock.settimeout(0.3)
    sent = 0
    until_s = time.monotonic() + WITHIN_S
    while sent < limit:
        try:
            sent += client.sock.send(pattern(sent, min(limit, sent + (1 << 16))))
        except TimeoutError:  # a server that is late takes nothing either
            if enough():
                break
            assert time.monotonic() < until_s, f"not enough: {sent} bytes"
    client.sock.settimeout(WITHIN_S)
    return sent


def test_who_does_not_read_is_made_to_wait_and_loses_nothing(served: Family) -> None:
    client, session = meet(served, "pause", rcvbuf=4096)
    info = f"(lambda i: (i.paused, i.queued_bytes))(server.client_info({session}))"
    with contextlib.closing(served.connect().sock) as sock:
        other = Client(sock)  # others are served meanwhile
        sent = flood(client, 128 << 20, lambda: other.ask(info)[0] is True)
        assert sent < 64 << 20
        paused, queued_bytes = other.ask(info)
    assert paused
    assert queued_bytes <= 4 << 20  # of process: what the worker had sent before it was told no
    heard = 0
    while heard < sent:
        data = echoed(client)
        assert data == pattern(heard, heard + len(data))
        heard += len(data)


def send_pieces(size: int, most: int) -> str:
    """An expression: send pieces until one is refused; how many were taken, and why no more."""
    return (
        f"(lambda n: [report('taken', n), n][1])(next((n for n in range({most}) if not"
        f" server.send(session, bytes([n % 251]) * {size})), {most}))"
        " and report('why', str(server.last_error))"
    )


def test_above_the_limit_sends_are_refused_and_nothing_is_lost(served: Family) -> None:
    client, session = meet(served, "refuse", rcvbuf=4096)
    client.say(send_pieces(4093, 5003))
    taken = int(served.wait("taken")["args"][0])
    assert 0 < taken < 5003
    assert served.wait("why")["args"] == ["'OUTPUT_BUFFER_OVERFLOW'"]
    served.wait("buffer_full", first=session)
    for number in range(taken):
        assert client.read(4093) == bytes([number % 251]) * 4093
    served.wait("buffer_empty", first=session)
    assert client.ask("6 * 7") == 42


def test_above_the_limit_the_connection_is_closed_where_asked(served: Family) -> None:
    client, session = meet(served, "close", rcvbuf=4096)
    client.say(send_pieces(4093, 5003))
    assert served.wait("why")["args"] != ["'None'"]
    assert "OVERFLOW" in served.ended(session)
    assert is_reset(client)


def test_a_message_that_can_never_fit(served: Family) -> None:
    client = served.connect()
    ask = "(server.send(session, bytes((2 << 20) + 1)), str(server.last_error))"
    assert client.ask(ask) == (False, "MESSAGE_TOO_LARGE")


def test_a_slow_reader_gets_all_and_files_keep_their_place(served: Family, tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    (tmp_path / "file").write_bytes(pattern(0, 300_007))
    client, session = meet(served, "queue", rcvbuf=2048)
    client.say(
        f"[server.send(session, b'head'), server.sendfile(session, {path!r}),"
        f" server.sendfile(session, {path!r}, 1000, 17), server.send(session, b'tail'),"
        " server.close(session)] and None"
    )
    data = b""
    while piece := client.sock.recv(997):
        data += piece
    assert data == b"head" + pattern(0, 300_007) + pattern(1000, 1017) + b"tail"
    assert "LOCAL" in served.ended(session)
    other = served.connect()
    for arguments in ("'/nowhere'", "'/dev/zero', 0, 10", f"{path!r}, 300_008", f"{path!r}, -1, 1"):
        ask = f"(server.sendfile(session, {arguments}), str(server.last_error))"
        assert other.ask(ask) == (False, "NO_SUCH_FILE")


def test_one_byte_at_a_time_from_many(served: Family) -> None:
    clients = [served.connect() for _ in range(17)]
    for byte in b"server.role.name != ''\n":
        for client in clients:
            client.sock.send(bytes([byte]))
    assert [client.hear() for client in clients] == [True] * 17
    for client in clients:
        client.sock.close()


# -- the end -------------------------------------------------------------------------------------


def reset(client: Client) -> None:
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.sock.close()


def is_reset(client: Client) -> bool:
    try:
        while client.sock.recv(1 << 16):
            pass
    except ConnectionResetError:
        return True
    return False


PLACES = {
    "receive": "server.close(session, reset={})",
    "timer": "server.after(0, lambda: server.close(session, reset={})) and None",
    "task": "server.task(f'server.close({{session}}, reset={})') and None",
    "another": "server.send_message('worker-1' if server.role.name == 'worker-0' else 'worker-0',"
    " f'=server.close({{session}}, reset={})') and None",
    "manager": "server.send_message('manager', f'=server.close({{session}}, reset={})') and None",
}


@pytest.mark.parametrize("place", list(PLACES))
@pytest.mark.parametrize("rst", [False, True])
def test_the_server_ends_it_with_output_queued(served: Family, place: str, rst: bool) -> None:
    """An orderly close waits until all of it is sent, a reset drops it."""
    size = 3_000_017
    client, session = meet(served, "queue", rcvbuf=4096)
    act = PLACES[place].format(rst)
    client.say(f"server.send(session, big({size})) and ({act}) and None")
    if rst:
        closed = served.ended(session)
        assert is_reset(client)
        assert "LOCAL_RESET" in closed
    else:
        client.read(size)
        assert client.at_end()
        closed = served.ended(session)
        assert "LOCAL" in closed
        assert "RESET" not in closed


@pytest.mark.parametrize(
    ("what", "reason"), [("close", "LOCAL"), ("reset", "LOCAL_RESET"), ("raise", "CALLBACK")]
)
def test_the_server_ends_it_at_connect(served: Family, what: str, reason: str) -> None:
    with contextlib.suppress(ConnectionResetError):  # it may come before connect returns
        client, session = meet(served, f"at connect: {what}")
        assert is_reset(client) == (what == "reset")
        assert f"{reason}:" in served.ended(session)


def test_late_words_reach_nobody_else(served: Family) -> None:
    client, old = served.meet()
    client.sock.close()
    served.ended(old)
    other, new = served.meet()
    assert new != old
    for verb in ("send({}, b'x')", "close({})", "half_close({})", "pause({})", "sendfile({}, '/')"):
        gone = f"(server.{verb.format(old)}, str(server.last_error))"
        until(lambda gone=gone: other.ask(gone)[0] is False, "the session is over")
        if "sendfile" not in verb:
            assert other.ask(gone) == (False, "SESSION_CLOSED")
    assert other.ask(f"server.exists({old}), server.client_info({old})") == (False, None)


def test_a_reset_by_the_client_while_output_waits(served: Family) -> None:
    client, session = meet(served, "queue", rcvbuf=4096)
    client.say("server.send(session, big(3000017)) and None")
    client.read(1)
    reset(client)
    closed = served.ended(session)
    assert "PEER_RST" in closed
    assert "bytes of output lost" in closed


def test_callbacks_that_raise_harm_nobody_else(served: Family) -> None:
    other, _ = served.meet()
    client, session = served.meet()
    client.say("1 / 0")
    assert client.at_end()
    assert "CALLBACK" in served.ended(session)
    client, session = served.meet()
    assert client.ask("kept.setdefault(('at close', session), 1)") == 1
    client.say("server.after(0, lambda: 1 / 0) and None")
    client.sock.shutdown(socket.SHUT_WR)
    assert client.at_end()
    assert "PEER_FIN" in served.ended(session)
    for _ in range(3):
        served.wait("error")
    assert other.ask("1 + 1") == 2


# -- time-outs -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "first"),
    [
        ("HANDSHAKE_TIMEOUT", ""),
        ("IDLE_TIMEOUT", ""),
        ("IDLE_TIMEOUT", "1\n"),
        ("READ_TIMEOUT", "server.tick(0.03, lambda: server.send(session, b'.')) and None\n"),
        ("REQUEST_TIMEOUT", "1\n2"),
        ("WRITE_TIMEOUT", "server.send(session, big(3000017)) and None\n"),
    ],
)
def test_it_closes_in_time(served: Family, reason: str, first: str) -> None:
    for _ in range(20):
        began_s = time.monotonic()
        client, session = meet(served, reason, rcvbuf=4096)
        with contextlib.suppress(ConnectionError):
            client.sock.sendall(first.encode())
        if time.monotonic() - began_s < SHORT_S:
            break
        served.ended(session)  # it may have been over before our first word: once more
    assert reason in served.ended(session)
    assert SHORT_S <= time.monotonic() - began_s < LATE_S
    assert is_reset(client) == (reason == "WRITE_TIMEOUT")


def test_a_window_that_stays_closed_ends_it_by_the_kernels_own_time_out(served: Family) -> None:
    """TCP_USER_TIMEOUT counts for probes of a closed window, too."""
    client, session = meet(served, "ETIMEDOUT", rcvbuf=4096)
    client.say("server.send(session, big(3000017)) and None")
    closed = served.ended(session)
    assert "ERROR" in closed
    assert f"errno={errno.ETIMEDOUT}" in closed
    assert "bytes of output lost" in closed


def protected(served: Family) -> tuple[Client, int]:
    """A connection that was protected before its time was over; who was late comes again."""
    for _ in range(20):
        client, session = meet(served, "IDLE_TIMEOUT")
        with contextlib.suppress(EOFError, ConnectionError):
            assert client.ask("server.protect(session)")
            return client, session
    raise AssertionError("too late every time")


def test_the_protected_stay(served: Family) -> None:
    client, session = protected(served)
    _, other = meet(served, "IDLE_TIMEOUT")
    assert "IDLE_TIMEOUT" in served.ended(other)
    assert client.ask("server.protect(session, False)")
    assert "IDLE_TIMEOUT" in served.ended(session)


def test_a_close_that_waits_for_output_has_an_end(served: Family) -> None:
    client, session = meet(served, "soon given up", rcvbuf=4096)
    client.say("[server.send(session, big(3000017)), server.close(session)] and None")
    closed = served.ended(session)
    assert "LOCAL" in closed
    assert "could not be sent" in closed
    assert is_reset(client)


def test_a_stuck_worker_is_no_silence_of_the_server(served: Family) -> None:
    """Last, as it costs a worker: who waits for one that is killed hears of the end once."""
    served.peek()
    client, session = served.meet()
    pid = client.ask("os.getpid()")
    client.say("stuck(100)")
    os.kill(pid, signal.SIGKILL)
    assert served.wait("worker_error")["args"][1] == str(pid)
    other = served.connect()
    if served.mode == "base":
        assert client.at_end()
        until(lambda: not other.ask(f"server.exists({session})"), "its sessions are over")
    else:
        assert client.ask("1 + 1") == 2
    assert other.ask("server.stats().restarts") == 1
