"""Traced sockets behave as plain ones do, and every call is in the journal as it was."""

from __future__ import annotations

import array
import contextlib
import errno
import os
import select
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from blocked import signalled_once_asleep
from held_port import held_port

from netlab.capture.probe import JournalProbe, SpoolReader
from netlab.model.call import MSG_DONTWAIT, MSG_OOB, MSG_PEEK, MSG_TRUNC, CallRecord
from netlab.model.errors import UsageError

SO_LINGER_RESET = struct.pack("ii", 1, 0)


@pytest.fixture(params=["calls", "events", "off", "calls stamps", "events stamps"])
def probe(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[JournalProbe]:
    queues, _, stamps = request.param.partition(" ")
    made = JournalProbe(tmp_path / "spools", actor="test", queues=queues, stamps=bool(stamps))
    yield made
    made.close()


def recorded(probe: JournalProbe) -> list[CallRecord]:
    reader = SpoolReader(probe.journal.folder)
    calls = reader.finish()
    assert reader.losses == []
    return calls


def last(probe: JournalProbe, op: str) -> CallRecord:
    return [call for call in recorded(probe) if call.op == op][-1]


@contextlib.contextmanager
def connected(probe: JournalProbe, family: int = socket.AF_INET) -> Iterator[tuple[Any, Any]]:
    address = ("127.0.0.1", 0) if family == socket.AF_INET else ("::1", 0)
    with probe.socket(family, socket.SOCK_STREAM) as listener:
        listener.bind(address)
        listener.listen(1)
        with probe.socket(family, socket.SOCK_STREAM) as client:
            client.connect(listener.getsockname())
            server, _ = listener.accept()
            with server:
                yield client, server


def inode(sock: socket.socket) -> int:
    return os.fstat(sock.fileno()).st_ino


def fill(sock: Any) -> None:
    """Send until the kernel takes no more; leaves the socket non-blocking."""
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.send(bytes(65536))


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_connection_from_socket_to_close(probe: JournalProbe, family: int) -> None:
    with connected(probe, family) as (client, server):
        here = client.getsockname()
        client.sendall(b"x" * 4093)
        assert len(server.recv(4093, socket.MSG_WAITALL)) == 4093
        names = {"client": inode(client), "server": inode(server)}
    calls = recorded(probe)
    assert [call.op for call in calls] == [
        "socket", "bind", "listen", "socket", "connect", "accept", "sendall", "recv", "close",
        "close", "close",
    ]  # fmt: skip
    assert [call.order for call in calls] == list(range(1, 12))
    by_op = {call.op: call for call in calls}
    connect, accept = by_op["connect"], by_op["accept"]
    assert connect.local == accept.address
    assert connect.peer == accept.local == connect.address == connect.args
    assert connect.local == (
        f"127.0.0.1:{here[1]}" if family == socket.AF_INET else f"[::1]:{here[1]}"
    )
    assert (connect.inode, accept.new_inode) == (names["client"], names["server"])
    assert (by_op["recv"].inode, by_op["recv"].result) == (names["server"], 4093)
    assert by_op["recv"].local == connect.peer
    assert by_op["recv"].peer == connect.local
    assert (by_op["sendall"].requested_bytes, by_op["sendall"].result) == (4093, 4093)
    for call in calls:
        assert call.returned_ns is not None
        assert call.entered_ns <= call.returned_ns
        assert call.pid == os.getpid()
        assert call.tid == threading.get_native_id()
        assert call.errno is None
        assert call.kind == "SOCK_STREAM"
    sampled = [call for call in calls if call.inq_before_bytes is not None]
    assert {call.op for call in sampled} >= (
        {"recv", "sendall", "close"} if probe.journal.sample_calls else set()
    )


def test_queues_before_and_after(tmp_path: Path) -> None:
    probe = JournalProbe(tmp_path, actor="a", queues="calls", tcp_info=True, code=True)
    with connected(probe) as (client, server):
        client.send(b"abcdef")
        assert select.select([server], [], [], 20)[0]  # or the queue may still be empty
        server.recv(2)
        call = last(probe, "recv")
        assert (call.inq_before_bytes, call.inq_after_bytes) == (6, 4)
        assert call.tcp_info_before is not None
        assert call.tcp_info_after is not None
        assert call.tcp_info_before[0] == 1  # TCP_ESTABLISHED
        assert len(call.tcp_info_before) >= 104
        assert call.code is not None
        assert call.code.startswith(__file__ + ":")
    probe.close()


def test_events_take_tcp_info_on_eagain_and_close_only(tmp_path: Path) -> None:
    probe = JournalProbe(tmp_path, actor="a", queues="events", tcp_info=True)
    with connected(probe) as (client, server):
        client.send(b"abc")
        server.recv(3)
        taken = last(probe, "recv")
        assert (taken.tcp_info_before, taken.tcp_info_after) == (None, None)
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.recv(1)
        assert last(probe, "recv").tcp_info_after is not None
    assert last(probe, "close").tcp_info_before is not None
    probe.close()


def test_events_sample_on_eagain_and_close_only(tmp_path: Path) -> None:
    probe = JournalProbe(tmp_path, actor="a", queues="events")
    with connected(probe) as (client, server):
        client.send(b"abc")
        server.recv(1)
        assert last(probe, "recv").inq_after_bytes is None
        server.setblocking(False)
        client.setblocking(False)
        fill(client)
        call = last(probe, "send")
        assert call.errno == "EAGAIN"
        assert call.outq_after_bytes is not None
        assert call.outq_after_bytes > 0
    closes = [call for call in recorded(probe) if call.op == "close"]
    (close,) = [call for call in closes if call.inq_before_bytes]
    assert close.inq_before_bytes is not None
    assert close.inq_before_bytes > 65536
    probe.close()


def test_blocking_timeout_and_nonblocking_receives(probe: JournalProbe) -> None:
    with connected(probe) as (client, server):
        server.settimeout(0.03)
        before = time.monotonic()
        with pytest.raises(TimeoutError, match="timed out") as timed:
            server.recv(5)
        assert time.monotonic() - before >= 0.03
        assert timed.value.errno is None
        call = last(probe, "recv")
        assert (call.result, call.errno, call.args) == (None, "EAGAIN", "timeout=0.03s elapsed")
        server.setblocking(False)
        with pytest.raises(BlockingIOError) as blocked:
            server.recv_into(bytearray(3))
        assert blocked.value.errno == errno.EAGAIN
        assert last(probe, "recv_into").errno == "EAGAIN"
        with pytest.raises(BlockingIOError):
            server.recvmsg(9)
        with pytest.raises(BlockingIOError):
            server.recvfrom(9)
        server.setblocking(True)
        with pytest.raises(BlockingIOError):
            server.recv(9, socket.MSG_DONTWAIT)
        assert last(probe, "recv").args == "MSG_DONTWAIT"
        assert last(probe, "recv").flags == MSG_DONTWAIT
        client.shutdown(socket.SHUT_WR)
        assert server.recv(9) == b""
        assert (last(probe, "recv").result, last(probe, "recv").errno) == (0, None)
        assert last(probe, "shutdown").args == "SHUT_WR"


def test_every_way_to_receive(probe: JournalProbe) -> None:
    with connected(probe) as (client, server):
        client.sendall(b"0123456789" * 3)
        assert server.recv(4, socket.MSG_PEEK) == b"0123"
        peek = last(probe, "recv")
        assert (peek.flags, peek.args, peek.result) == (MSG_PEEK, "MSG_PEEK", 4)
        assert server.recv(4) == b"0123"
        room = bytearray(3)
        assert server.recv_into(room) == 3
        assert last(probe, "recv_into").requested_bytes == 3
        assert server.recv_into(memoryview(room), 2) == 2
        assert last(probe, "recv_into").requested_bytes == 2
        assert server.recv_into(buffer=room, nbytes=1, flags=socket.MSG_PEEK) == 1
        assert last(probe, "recv_into").args == "MSG_PEEK"
        assert server.recvfrom(1)[0] == b"9"
        assert server.recvfrom_into(room, 2)[0] == 2
        assert server.recvmsg(3)[0] == b"234"
        first, second = bytearray(2), array.array("b", bytes(3))
        assert server.recvmsg_into(iter([first, second]))[0] == 5
        assert (first, second.tobytes()) == (b"56", b"789")
        assert last(probe, "recvmsg_into").requested_bytes == 5
        assert server.recv(10, socket.MSG_WAITALL) == b"0123456789"
        assert last(probe, "recv").args == "MSG_WAITALL"
        with server.makefile("rb", buffering=0) as file:
            client.send(b"line\n")
            assert file.readline() == b"line\n"
        assert last(probe, "recv_into").result == 1  # the file reads byte by byte


def test_out_of_band(probe: JournalProbe) -> None:
    with connected(probe) as (client, server):
        assert client.send(b"!", socket.MSG_OOB) == 1
        assert last(probe, "send").flags == MSG_OOB
        select.select([], [], [server], 5)
        assert server.recv(1, socket.MSG_OOB) == b"!"
        assert (last(probe, "recv").args, last(probe, "recv").result) == ("MSG_OOB", 1)


def test_every_way_to_send(probe: JournalProbe, tmp_path: Path) -> None:
    with connected(probe) as (client, server):
        assert client.send(memoryview(b"ab")) == 2
        assert client.send(b"") == 0
        assert (last(probe, "send").requested_bytes, last(probe, "send").result) == (0, 0)
        assert client.sendall(b"") is None
        assert last(probe, "sendall").result == 0
        assert client.sendmsg(iter([b"c", bytearray(b"de")])) == 3
        assert last(probe, "sendmsg").requested_bytes == 3
        assert client.send(b"f", socket.MSG_MORE) == 1
        assert last(probe, "send").args == "MSG_MORE"
        client.sendall(array.array("H", [0x6767]))
        assert last(probe, "sendall").requested_bytes == 2
        path = tmp_path / "file"
        path.write_bytes(b"from a file")
        with path.open("rb") as file:
            assert client.sendfile(file) == 11
            assert file.tell() == 11
        assert last(probe, "sendfile").result == 11
        client.close()
        with server.makefile("rb") as file:
            assert file.read() == b"abcdefgg" + b"from a file"


def test_partial_send_and_sendall_report_what_the_kernel_took(probe: JournalProbe) -> None:
    with connected(probe) as (client, server):
        payload = bytes(range(256)) * 65536
        client.settimeout(0.05)
        before = time.monotonic()
        with pytest.raises(TimeoutError, match="timed out"):
            client.sendall(payload)
        assert time.monotonic() - before >= 0.05
        call = last(probe, "sendall")
        assert call.requested_bytes == len(payload)
        assert call.errno == "EAGAIN"
        assert call.result is not None
        assert 0 < call.result < len(payload)
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.sendall(payload)
        sent = call.result + (last(probe, "sendall").result or 0)
        client.close()
        taken = 0
        while data := server.recv(1 << 20):
            taken += len(data)
        assert taken == sent


def test_sendall_has_one_deadline(probe: JournalProbe) -> None:
    """A reader that takes a little every 20 ms keeps a send alive, but not beyond the time-out."""
    with connected(probe) as (client, server):
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        client.settimeout(0.2)
        done = threading.Event()

        def drain() -> None:
            while not done.wait(0.02):
                with contextlib.suppress(BlockingIOError):
                    server.recv(4096, socket.MSG_DONTWAIT)

        reader = threading.Thread(target=drain)
        fill(client)
        client.settimeout(0.2)
        reader.start()
        before = time.monotonic()
        with pytest.raises(TimeoutError):
            client.sendall(bytes(1 << 20))  # a deadline for each part would let all of it pass
        taken = time.monotonic() - before
        done.set()
        reader.join()
        assert taken >= 0.2
        assert (last(probe, "sendall").result or 0) < 1 << 20


def test_send_after_the_peers_reset(probe: JournalProbe) -> None:
    with connected(probe) as (client, server):
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, SO_LINGER_RESET)
        assert last(probe, "setsockopt").args == "SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}"
        server.close()
        with pytest.raises(ConnectionResetError):
            client.recv(5)
        assert last(probe, "recv").errno == "ECONNRESET"
        with pytest.raises(BrokenPipeError):
            client.send(b"x")
        call = last(probe, "send")
        assert (call.result, call.errno) == (None, "EPIPE")
        with pytest.raises(BrokenPipeError):
            client.sendall(b"x")
        assert (last(probe, "sendall").result, last(probe, "sendall").errno) == (0, "EPIPE")


def test_refused_and_unfinished_connects(probe: JournalProbe) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        with probe.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
            client.setblocking(False)
            assert client.connect_ex(address) == errno.EINPROGRESS
            call = last(probe, "connect")
            assert (call.result, call.errno) == (None, "EINPROGRESS")
            assert call.local == f"127.0.0.1:{client.getsockname()[1]}"
            assert call.peer == f"127.0.0.1:{address[1]}"
    with held_port() as port:
        with probe.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
            with pytest.raises(ConnectionRefusedError):
                client.connect(("127.0.0.1", port))
            call = last(probe, "connect")
            assert (call.errno, call.address) == ("ECONNREFUSED", f"127.0.0.1:{port}")
        with probe.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
            assert client.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


def test_a_host_name_is_recorded_with_the_address_it_led_to(probe: JournalProbe) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with probe.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
            client.connect(("localhost", port))
            call = last(probe, "connect")
            assert (call.args, call.address) == (f"localhost:{port}", f"127.0.0.1:{port}")


@pytest.mark.parametrize("host", ["localhost", "127.1", "", "<broadcast>", b"localhost"])
@pytest.mark.parametrize(
    "way", ["sendto", "sendto with flags", "sendto with named flags", "sendmsg"]
)
def test_a_datagram_to_a_name_is_recorded_with_the_address_it_went_to(
    probe: JournalProbe, host: str | bytes, way: str
) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        probe.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(("127.0.0.1", 0))
        port = receiver.getsockname()[1]
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        to = (host, port)
        send = {
            "sendto": lambda: sender.sendto(b"told", to),
            "sendto with flags": lambda: sender.sendto(b"told", 0, to),
            "sendto with named flags": lambda: sender.sendto(b"told", socket.MsgFlag(0), to),
            "sendmsg": lambda: sender.sendmsg([b"to", b"ld"], (), 0, to),
        }[way]
        number = {"": "0.0.0.0", "<broadcast>": "255.255.255.255"}.get(str(host), "127.0.0.1")
        with contextlib.suppress(OSError):  # a network may have no way out
            assert send() == 4
        if number == "127.0.0.1":
            assert receiver.recv(4096) == b"told"
        call = last(probe, way.split()[0])
        if isinstance(host, str):
            assert (call.args, call.address) == (f"{host}:{port}", f"{number}:{port}")
        else:  # left to the plain call: nobody else knows where it went
            assert call.address is None


def test_a_connect_to_a_name_that_fails_has_the_address_too(probe: JournalProbe) -> None:
    with held_port() as port:
        for call in (
            lambda s: s.connect(("localhost", port)),
            lambda s: s.connect_ex(("localhost", port)),
        ):
            with probe.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
                with contextlib.suppress(ConnectionRefusedError):
                    assert call(client) == errno.ECONNREFUSED
                found = last(probe, "connect")
                assert (found.errno, found.address) == ("ECONNREFUSED", f"127.0.0.1:{port}")


UNKNOWN = "no-such-host.invalid"


@pytest.mark.parametrize(
    "mistake",
    [
        lambda sock: sock.connect((UNKNOWN, 7)),
        lambda sock: sock.connect_ex((UNKNOWN, 7)),
        lambda sock: sock.connect((UNKNOWN, 1 << 20)),
        lambda sock: sock.connect((UNKNOWN, 1 << 40)),
        lambda sock: sock.connect((UNKNOWN, "7")),
        lambda sock: sock.connect(("localhost", 1 << 20)),
        lambda sock: sock.connect(("localhost", -1)),
        lambda sock: sock.connect(("localhost",)),
        lambda sock: sock.connect(("localhost", 7, 0)),
        lambda sock: sock.connect(["localhost", 7]),
        lambda sock: sock.connect(("local\0host", 7)),
        lambda sock: sock.connect(("a..b", 7)),
        lambda sock: sock.connect(("x" * 64 + ".invalid", 7)),
        lambda sock: sock.connect(("\N{SNOWMAN}." + "y" * 64, 7)),
        lambda sock: sock.connect((5, 7)),
        lambda sock: sock.sendto(b"x", (UNKNOWN, 7)),
        lambda sock: sock.sendto(b"x", 0, (UNKNOWN, 7)),
        lambda sock: sock.sendto(b"x", (UNKNOWN, 1 << 20)),
        lambda sock: sock.sendto("x", (UNKNOWN, 7)),
        lambda sock: sock.sendto(b"x", "0", (UNKNOWN, 7)),
        lambda sock: sock.sendto(b"x", 0, (UNKNOWN, 7), 0),
        lambda sock: sock.sendmsg([b"x"], (), 0, (UNKNOWN, 7)),
        lambda sock: sock.sendmsg(["x"], (), 0, (UNKNOWN, 7)),
        lambda sock: sock.recv("x"),
        lambda sock: sock.recv(-1),
        lambda sock: sock.recv(1 << 70),
        lambda sock: sock.recv(5.0),
        lambda sock: sock.send("text"),
        lambda sock: sock.sendall("text"),
        lambda sock: sock.send(b"x", "flags"),
        lambda sock: sock.recv_into(b"fixed"),
        lambda sock: sock.sendto(b"x"),
        lambda sock: sock.sendmsg(5),
        lambda sock: sock.connect("nonsense"),
        lambda sock: sock.bind(("127.0.0.1", 1 << 20)),
        lambda sock: sock.setsockopt(1),
        lambda sock: sock.setsockopt("a", "b", "c"),
        lambda sock: sock.shutdown("x"),
        lambda sock: sock.listen("many"),
    ],
)
def test_a_mistaken_argument_raises_as_on_a_plain_socket(
    probe: JournalProbe, mistake: Callable[[Any], object]
) -> None:
    with socket.socket() as plain, pytest.raises(Exception) as expected:  # noqa: PT011
        mistake(plain)
    with probe.socket(socket.AF_INET, socket.SOCK_STREAM) as traced:
        for _ in range(3):  # the first call takes the longer way, later ones the short one
            with pytest.raises(type(expected.value)) as found:
                mistake(traced)
            assert str(found.value) == str(expected.value)
        assert not probe.journal.off
        traced.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    assert last(probe, "setsockopt").args == "SOL_SOCKET, SO_REUSEADDR, 1"


def test_a_closed_socket_fails_as_a_plain_one(probe: JournalProbe) -> None:
    sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.close()
    sock.close()
    for call in (lambda: sock.recv(5), lambda: sock.send(b"x"), lambda: sock.sendall(b"x")):
        with pytest.raises(OSError, match="Bad file descriptor"):
            call()
    assert [call.op for call in recorded(probe)] == ["socket", "close"]


def test_udp(probe: JournalProbe) -> None:
    with (
        probe.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        probe.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(("127.0.0.1", 0))
        there = "127.0.0.1:" + str(receiver.getsockname()[1])
        assert sender.sendto(b"datagram", receiver.getsockname()) == 8
        port = sender.getsockname()[1]
        call = last(probe, "sendto")
        assert (call.address, call.args, call.local) == (there, there, f"0.0.0.0:{port}")
        assert sender.sendto(b"", socket.MSG_DONTWAIT, receiver.getsockname()) == 0
        assert last(probe, "sendto").args == f"{there}, MSG_DONTWAIT"
        data, _, flags, _ = receiver.recvmsg(3)
        assert (data, flags & socket.MSG_TRUNC) == (b"dat", socket.MSG_TRUNC)
        call = last(probe, "recvmsg")
        assert (call.result, call.address) == (3, f"127.0.0.1:{port}")
        assert call.flags == MSG_TRUNC
        assert receiver.recvfrom(10) == (b"", ("127.0.0.1", port))
        assert (last(probe, "recvfrom").result, last(probe, "recvfrom").requested_bytes) == (0, 10)
        sender.connect(receiver.getsockname())
        assert last(probe, "connect").local == f"127.0.0.1:{port}"
        assert sender.sendmsg([b"more"], [], 0) == 4
        assert last(probe, "sendmsg").address is None
        assert receiver.recvfrom_into(bytearray(9))[0] == 4
        assert last(probe, "recvfrom_into").address == f"127.0.0.1:{port}"


def test_unix_sockets_know_their_peers(probe: JournalProbe, tmp_path: Path) -> None:
    first, second = probe.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with first, second:
        call = last(probe, "socketpair")
        assert (call.inode, call.new_inode, call.peer_inode) == (
            inode(first), inode(second), inode(second),
        )  # fmt: skip
        assert (call.family, call.kind) == ("AF_UNIX", "SOCK_SEQPACKET")
        first.send(b"message")
        assert second.recv(3) == b"mes"
    path = str(tmp_path / "s")
    for name, text in ((path, f"unix:{path}"), (f"\0{path}", f"unix:@{path}")):
        with probe.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(name)
            assert last(probe, "bind").local == text
            listener.listen()
            with probe.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.connect(name)
                assert last(probe, "connect").peer == text
                server, _ = listener.accept()
                with server:
                    call = last(probe, "accept")
                    assert (call.new_inode, call.peer_inode) == (inode(server), inode(client))
                    assert call.address == "unix:"
                    server.sendmsg(
                        [b"!"],
                        [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0]))],
                    )
                    _, fds, _, _ = socket.recv_fds(client, 9, 1)
                    os.close(fds[0])
                    assert (last(probe, "recvmsg").result, last(probe, "recvmsg").errno) == (
                        1,
                        None,
                    )


def test_dup_detach_and_adopt(probe: JournalProbe) -> None:
    first, second = probe.socketpair()
    with first, second:
        with first.dup() as twin:
            assert type(twin) is type(first)
            twin.send(b"by twin")
            call = last(probe, "send")
            assert (call.inode, call.fd) == (inode(first), twin.fileno())
            assert last(probe, "dup").result == twin.fileno()
        assert second.recv(10) == b"by twin"
        number = inode(first)
        fd = first.detach()
        assert (last(probe, "detach").result, first.fileno()) == (fd, -1)
        plain = socket.socket(fileno=fd)
        plain.settimeout(3)
        with probe.adopt(plain) as adopted:
            assert (adopted.gettimeout(), plain.fileno()) == (3, -1)
            adopted.sendall(b"again")
            assert last(probe, "sendall").inode == number
        assert second.recv(9) == b"again"


def test_a_collected_socket_is_closed_in_the_journal(probe: JournalProbe) -> None:
    first, second = probe.socketpair()
    number, fd = inode(first), first.fileno()
    with pytest.warns(ResourceWarning, match="unclosed"):
        del first
    call = last(probe, "close")
    assert (call.inode, call.fd, call.args) == (number, fd, "garbage collected")
    assert second.recv(5) == b""  # really closed, and once
    second.close()


def test_setsockopt_texts(probe: JournalProbe) -> None:
    with probe.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        for arguments, text in (
            ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), "SOL_TCP, TCP_NODELAY, 1"),
            ((socket.IPPROTO_TCP, socket.TCP_CORK, 0), "SOL_TCP, TCP_CORK, 0"),
            ((socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1), "SOL_TCP, TCP_QUICKACK, 1"),
            ((socket.SOL_SOCKET, socket.SO_RCVBUF, 9000), "SOL_SOCKET, SO_RCVBUF, 9000"),
            ((socket.IPPROTO_IP, socket.IP_TOS, b"\x10"), "SOL_IP, IP_TOS, 0x10"),
        ):
            sock.setsockopt(*arguments)
            assert last(probe, "setsockopt").args == text
        with pytest.raises(OSError, match="Protocol not available"):
            sock.setsockopt(socket.IPPROTO_TCP, 9999, 1)
        assert last(probe, "setsockopt").args == "SOL_TCP, 9999, 1"
        assert last(probe, "setsockopt").errno == "ENOPROTOOPT"


def test_epoll(probe: JournalProbe) -> None:
    first, second = probe.socketpair()
    reading, writing = os.pipe()
    with first, second, probe.epoll() as epoll:
        epoll.register(second, select.EPOLLIN | select.EPOLLET)
        call = last(probe, "epoll_ctl")
        assert call.args == f"EPOLL_CTL_ADD, {second.fileno()}, EPOLLIN|EPOLLET"
        assert (call.ready[0].inode, call.fd) == (inode(second), epoll.fileno())
        epoll.register(reading, select.EPOLLIN)
        assert epoll.poll(0) == []
        assert last(probe, "epoll_wait").result == 0
        first.send(b"x")
        os.write(writing, b"y")
        found = dict(epoll.poll(1.5, 64))
        assert found == {second.fileno(): select.EPOLLIN, reading: select.EPOLLIN}
        call = last(probe, "epoll_wait")
        assert (call.args, call.result) == ("timeout=1500, maxevents=64", 2)
        ready = {item.fd: (item.inode, item.events) for item in call.ready}
        assert ready == {second.fileno(): (inode(second), 1), reading: (None, 1)}
        epoll.modify(second, select.EPOLLOUT)
        epoll.unregister(second)
        assert last(probe, "epoll_ctl").args == f"EPOLL_CTL_DEL, {second.fileno()}"
        with pytest.raises(FileNotFoundError):
            epoll.unregister(second)
        assert last(probe, "epoll_ctl").errno == "ENOENT"
    assert epoll.closed
    with pytest.raises(ValueError, match="closed epoll"):
        epoll.poll(0)
    os.close(reading)
    os.close(writing)


def test_epoll_waits_again_and_again(probe: JournalProbe) -> None:
    """What is kept from one wait to the next never speaks of another time-out or socket."""
    first, second = probe.socketpair()
    reading, writing = os.pipe()
    with first, probe.epoll() as epoll:
        epoll.register(second, select.EPOLLIN)
        first.send(b"x")
        number, of_second = second.fileno(), inode(second)
        for timeout in (1, 1, 2.5, 1, None):
            assert epoll.poll(timeout) == [(number, select.EPOLLIN)]
        epoll.unregister(second)
        second.close()
        os.dup2(reading, number)  # the same descriptor, now of something that is not traced
        epoll.register(number, select.EPOLLIN)
        os.write(writing, b"y")
        assert epoll.poll(1) == [(number, select.EPOLLIN)]
        epoll.unregister(number)
        third, fourth = probe.socketpair()
        os.close(number)
        with probe.adopt(socket.socket(fileno=os.dup(fourth.fileno()))) as again:
            assert again.fileno() == number
            epoll.register(again, select.EPOLLIN)
            third.send(b"z")
            assert epoll.poll(1) == [(number, select.EPOLLIN)]
            of_again = inode(again)
            epoll.unregister(again)
        third.close()
        fourth.close()
    waits = [call for call in recorded(probe) if call.op == "epoll_wait"]
    assert [call.args.split(",")[0] for call in waits] == [
        *("timeout=1000", "timeout=1000", "timeout=2500", "timeout=1000", "timeout=-1"),
        *("timeout=1000", "timeout=1000"),
    ]
    assert [call.ready[0].inode for call in waits] == [*[of_second] * 5, None, of_again]
    assert all(call.returned_ns and call.returned_ns >= call.entered_ns for call in waits)
    os.close(reading)
    os.close(writing)


def test_epoll_reports_more_than_a_small_segment_holds(tmp_path: Path) -> None:
    probe = JournalProbe(tmp_path, actor="test", queues="events", segment_bytes=1)
    pairs = [probe.socketpair() for _ in range(400)]
    with probe.epoll() as epoll:
        for first, second in pairs:
            epoll.register(second, select.EPOLLIN)
            first.send(b"x")
        for _ in range(20):
            assert len(epoll.poll(1)) == 400
        assert len(epoll.poll(1, 100)) == 100
    waits = [call for call in recorded(probe) if call.op == "epoll_wait"]
    assert [call.result for call in waits] == [400] * 20 + [100]
    for call in waits[:20]:
        missing = int(call.args.split(", ")[2].split()[0])
        assert call.args.endswith("more ready, not recorded")
        assert missing + len(call.ready) == 400
    assert len(waits[20].ready) == 100
    for pair in pairs:
        for sock in pair:
            sock.close()
    probe.close()


def test_threads_share_an_epoll(probe: JournalProbe) -> None:
    first, second = probe.socketpair()
    rounds = 50
    tids = []

    def work() -> None:
        tids.append(threading.get_native_id())
        for _ in range(rounds):
            epoll.poll(0)

    with first, second, probe.epoll() as epoll:
        epoll.register(second, select.EPOLLIN)
        first.send(b"x")
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    waits = [call for call in recorded(probe) if call.op == "epoll_wait"]
    assert len(waits) == 3 * rounds
    assert {call.tid for call in waits} == set(tids)
    assert all(call.ready[0].inode == second.inode for call in waits)


def test_poll_and_select(probe: JournalProbe) -> None:
    first, second = probe.socketpair()
    with first, second:
        poll = probe.poll()
        poll.register(second, select.POLLIN)
        assert poll.poll(0) == []
        first.send(b"x")
        assert poll.poll(1000) == [(second.fileno(), select.POLLIN)]
        call = last(probe, "poll")
        assert (call.args, call.result) == ("nfds=1, timeout=1000", 1)
        assert call.ready[0].inode == inode(second)
        poll.unregister(second)
        assert probe.select([second], iter([first]), [], 1) == ([second], [first], [])
        call = last(probe, "select")
        assert call.args == "readers=1, writers=1, exceptional=0, timeout=1"
        assert {(item.inode, item.events) for item in call.ready} == {
            (inode(second), select.POLLIN), (inode(first), select.POLLOUT),
        }  # fmt: skip
        with pytest.raises(ValueError, match="negative"):
            probe.select([-1], [], [])


def test_signal_handlers_make_calls_inside_calls(probe: JournalProbe) -> None:
    """A blocked recv is interrupted by handlers that make calls themselves, some 40 times."""
    first, second = probe.socketpair()
    other, another = probe.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)  # handlers nest too
    ticks = 0

    def handler(number: int, frame: object) -> None:
        nonlocal ticks
        ticks += 1
        mine = ticks
        if mine == 1:
            signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
        other.send(b"tick")
        another.recv(9)
        if mine == 40:  # exactly one of the handlers sees that
            signal.setitimer(signal.ITIMER_REAL, 0)
            first.send(b"enough")

    before = signal.signal(signal.SIGALRM, handler)
    try:
        with signalled_once_asleep():
            assert second.recv(10) == b"enough"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    calls = recorded(probe)
    outer = [call for call in calls if call.op == "recv" and call.inode == inode(second)]
    inner = [call for call in calls if call.op == "recv" and call.inode == inode(another)]
    assert len(outer) == 1
    assert len(inner) == ticks
    assert outer[0].returned_ns is not None
    assert all(call.entered_ns > outer[0].entered_ns for call in inner)
    assert sum(call.returned_ns < outer[0].returned_ns for call in inner if call.returned_ns) >= 39
    assert sorted(call.order for call in calls) == list(range(1, len(calls) + 1))
    for sock in (first, second, other, another):
        sock.close()


class Alarm(Exception):
    """What the program's own handler raises."""


@pytest.mark.parametrize("op", ["recv", "send", "sendmsg"])
def test_what_moved_is_known_even_when_a_handler_raises_behind_the_call(
    probe: JournalProbe, op: str
) -> None:
    """A blocked call that has moved some bytes is ended by the signal, its count lost to Python."""
    first, second = probe.socketpair()

    def handler(number: int, frame: object) -> None:
        raise Alarm

    for _ in range(2):  # from the second on, calls take the short way
        first.send(b"w")
        second.recv(1)
    with first, second:
        first.send(b"some")
        before = signal.signal(signal.SIGALRM, handler)
        data = bytes(1 << 24)
        calls: dict[str, Callable[[], object]] = {
            "recv": lambda: second.recv(100, socket.MSG_WAITALL),
            "send": lambda: first.send(data),
            "sendmsg": lambda: first.sendmsg([data]),
        }
        try:
            with signalled_once_asleep(), pytest.raises(Alarm):
                calls[op]()
        finally:
            signal.signal(signal.SIGALRM, before)
        call = last(probe, op)
        assert (call.errno, call.args.rpartition(", ")[2]) == (None, "interrupted by Alarm")
        first.shutdown(socket.SHUT_WR)
        left = 0
        while data := second.recv(1 << 20):
            left += len(data)
        assert call.result == (4 if op == "recv" else left - 4)
        assert call.result > 0
        assert left == (0 if op == "recv" else call.result + 4)


@pytest.mark.parametrize("op", ["recv", "sendall", "epoll_wait", "accept"])
def test_a_handler_that_raises_ends_the_call(probe: JournalProbe, op: str) -> None:
    first, second = probe.socketpair()
    listener = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    listener.listen()

    def handler(number: int, frame: object) -> None:
        raise Alarm

    before = signal.signal(signal.SIGALRM, handler)
    with first, second, listener, probe.epoll() as epoll:
        data = bytes(1 << 24)
        calls: dict[str, Callable[[], object]] = {
            "recv": lambda: second.recv(5),
            "sendall": lambda: first.sendall(data),
            "epoll_wait": lambda: epoll.poll(),
            "accept": lambda: listener.accept(),
        }
        try:
            with signalled_once_asleep(), pytest.raises(Alarm):
                calls[op]()
        finally:
            signal.signal(signal.SIGALRM, before)
        assert not probe.journal.off
        call = last(probe, op)
        assert (call.errno, call.args.rpartition(", ")[2]) == ("EINTR", "interrupted by Alarm")
        if op == "sendall":
            first.close()
            taken = 0
            while data := second.recv(1 << 20):
                taken += len(data)
            assert call.result == taken


def test_threads_have_their_own_spools(probe: JournalProbe) -> None:
    first, second = probe.socketpair()
    rounds = 50
    tids = []

    def work() -> None:
        tids.append(threading.get_native_id())
        for _ in range(rounds):
            first.send(b"x")

    threads = [threading.Thread(target=work) for _ in range(3)]
    with first, second:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        calls = recorded(probe)
    for tid in set(tids):
        orders = [call.order for call in calls if call.tid == tid and call.op == "send"]
        assert sorted(orders) == list(range(1, rounds * tids.count(tid) // tids.count(tid) + 1))
    assert sum(call.op == "send" for call in calls) == 3 * rounds
    assert probe.journal._spools[0].tid == threading.get_native_id()
    assert len(probe.journal._spools) == 1  # those of ended threads have been given back


def test_an_unknown_way_of_sampling_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one of calls, events, off"):
        JournalProbe(tmp_path, actor="a", queues="sometimes")
