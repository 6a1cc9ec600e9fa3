"""The kernel's stamps of what stamped sockets send; and a program that does not notice them."""

from __future__ import annotations

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
from lab_process import run_netlab

import netlab
from netlab.capture.files import read_raw
from netlab.capture.probe import JournalProbe, SpoolReader, errqueue
from netlab.capture.recording import make_spool_folder
from netlab.explain.analysis import analyse
from netlab.model.call import CallRecord
from netlab.model.recording import Loss, RawRecording
from netlab.model.stamp import StampRecord
from netlab.model.tables import Role, Tables
from tests.private_network import in_private_network

WITHIN_S = 20.0
ALL = {"scheduled", "sent", "acked"}
LINGER_RESET = struct.pack("ii", 1, 0)
WAYS = {
    "calls": {"queues": "calls"},
    "events": {"queues": "events"},
    "code": {"queues": "off", "code": True, "tcp_info": True},
}


@pytest.fixture(params=WAYS)
def probe(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[JournalProbe]:
    made = JournalProbe(tmp_path / "spools", actor="test", stamps=True, **WAYS[request.param])
    yield made
    made.close()


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[JournalProbe]:
    made = JournalProbe(tmp_path / "spools", actor="test", stamps=True, queues="events")
    yield made
    made.close()


@contextlib.contextmanager
def connected(probe: JournalProbe, family: int = socket.AF_INET) -> Iterator[tuple[Any, Any]]:
    with probe.socket(family) as listener:
        listener.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        listener.listen()
        with probe.socket(family) as client:
            client.connect(listener.getsockname())
            server, _ = listener.accept()
            with server:
                yield client, server


class Recorded:
    """What the spools hold."""

    def __init__(self, probe: JournalProbe) -> None:
        reader = SpoolReader(probe.journal.folder)
        self.calls: list[CallRecord] = reader.finish()
        self.stamps: list[StampRecord] = reader.stamps
        self.losses: list[Loss] = reader.losses
        self.raw = RawRecording(
            calls=self.calls, stamps=self.stamps, inheritances=reader.inheritances
        )

    def keys(self, inode: int, what: str) -> list[int]:
        return [s.key for s in self.stamps if (s.inode, s.what) == (inode, what)]

    def tables(self) -> Tables:
        return analyse(self.raw)


def inode(sock: socket.socket) -> int:
    return os.fstat(sock.fileno()).st_ino


def take_until(probe: JournalProbe, sock: Any, key: int) -> None:
    """Wait, as a program does that has something else to wait for, until the ACK is stamped."""
    until_s = time.monotonic() + WITHIN_S
    waiter = probe.poll()
    waiter.register(sock, 0)
    while key not in Recorded(probe).keys(inode(sock), "acked"):
        assert time.monotonic() < until_s
        assert waiter.poll(20) == []


def read_exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        assert piece
        data += piece
    return data


def errors(sock: socket.socket) -> int:
    """POLLERR as any other poller sees it."""
    poller = select.poll()
    poller.register(sock, 0)
    return sum(events & select.POLLERR for _, events in poller.poll(0))


# -- the stamps ------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_the_last_byte_of_every_send_has_its_three_stamps(probe: JournalProbe, family: int) -> None:
    with connected(probe, family) as (client, server):
        number, answers = inode(client), inode(server)
        for _ in range(23):
            client.sendall(bytes(4093))
            read_exactly(server, 4093)
            server.send(b"k")
            assert client.recv(1) == b"k"
        take_until(probe, client, 23 * 4093 - 1)
        take_until(probe, server, 22)
    recorded = Recorded(probe)
    assert recorded.losses == []
    assert {call.errno for call in recorded.calls} == {None}
    for what in ALL:
        assert recorded.keys(number, what) == [4093 * n - 1 for n in range(1, 24)]
        assert recorded.keys(answers, what) == list(range(23))
    sends = [call for call in recorded.calls if call.op == "sendall"]
    rows = [row for row in recorded.tables().stamps if row.direction == "c>s"]
    for n, send in enumerate(sends):
        scheduled, sent, acked = sorted(
            (row for row in rows if row.stop == 4093 * (n + 1)), key=lambda row: row.time_ns
        )
        assert (scheduled.what, sent.what, acked.what) == ("scheduled", "sent", "acked")
        assert {row.start for row in (scheduled, sent, acked)} == {4093 * n}
        assert send.returned_ns is not None
        assert send.entered_ns < scheduled.time_ns < sent.time_ns < send.returned_ns
        assert sent.time_ns < acked.time_ns


def test_a_slow_reader_is_seen_as_a_send_that_left_after_it_had_returned(
    quick: JournalProbe,
) -> None:
    """The buffer took the bytes, not the wire: 200 kB, and a reader that waits 10 ms."""
    with quick.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 20_000)
        listener.listen()
        with quick.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            client.connect(listener.getsockname())
            server, _ = listener.accept()
            with server:
                assert client.send(bytes(200_000)) == 200_000
                threading.Event().wait(0.01)
                began_ns = time.time_ns()
                read_exactly(server, 200_000)
                take_until(quick, client, 199_999)
    recorded = Recorded(quick)
    (send,) = (call for call in recorded.calls if call.op == "send")
    sent = [s for s in recorded.stamps if (s.what, s.key) == ("sent", 199_999)]
    acked = [s for s in recorded.stamps if (s.what, s.key) == ("acked", 199_999)]
    assert send.returned_ns is not None
    assert send.returned_ns + 10_000_000 <= began_ns < sent[0].time_ns < acked[0].time_ns


def test_a_large_send_in_several_parts_has_a_stamp_for_each(quick: JournalProbe) -> None:
    """300 kB through a small buffer, with the peer's reads between."""
    size = 300_007
    with connected(quick) as (client, server):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 40_000)
        client.setblocking(False)
        server.setblocking(False)
        left, stops, read = memoryview(bytes(size)), [0], 0
        while read < size:
            if left:
                with contextlib.suppress(BlockingIOError):
                    count = client.send(left)
                    left = left[count:]
                    stops.append(stops[-1] + count)
            with contextlib.suppress(BlockingIOError):
                read += len(server.recv(65536))
        take_until(quick, client, size - 1)
        number = inode(client)
    recorded = Recorded(quick)
    assert len(stops) > 3
    assert set(recorded.keys(number, "sent")) <= {stop - 1 for stop in stops[1:]}
    # Parts that waited in one segment share a stamp; together they speak for every byte.
    for what in ALL:
        rows = [row for row in recorded.tables().stamps if row.what == what]
        ranges = [(row.start, row.stop) for row in rows if row.stop - row.start > 1]
        assert [start for start, _ in ranges] == [0, *(stop for _, stop in ranges[:-1])]
        assert ranges[-1][1] == size


def test_sendfile_is_stamped(quick: JournalProbe, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(100_003))
    with connected(quick) as (client, server), open(path, "rb") as file:
        reader = threading.Thread(target=read_exactly, args=(server, 200_006))
        reader.start()
        assert client.sendfile(file) == 100_003
        sent = 0
        while sent < 100_003:
            sent += quick.sendfile(client, file.fileno(), sent, 100_003 - sent)
        reader.join()
        take_until(quick, client, 200_005)
        number = inode(client)
    assert {100_002, 200_005} <= set(Recorded(quick).keys(number, "sent"))


def test_a_connect_that_does_not_block_is_stamped_from_its_first_byte(quick: JournalProbe) -> None:
    with quick.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with quick.socket() as client:
            client.setblocking(False)
            assert client.connect_ex(listener.getsockname()) == errno.EINPROGRESS
            server, _ = listener.accept()
            with server:
                client.send(b"abc")
                assert server.recv(3) == b"abc"
                take_until(quick, client, 2)


def test_after_a_connect_that_failed_bytes_are_counted_anew(quick: JournalProbe) -> None:
    crowded = socket.create_server(("127.0.0.1", 0), backlog=0)
    nobody = crowded.getsockname()
    first = socket.create_connection(nobody)  # it has no room for another: the SYN is dropped
    with quick.socket() as listener, first:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with quick.socket() as client:
            client.setblocking(False)
            assert client.connect_ex(nobody) == errno.EINPROGRESS
            crowded.close()  # the next SYN, a second later, is refused
            waiter = quick.poll()
            waiter.register(client, select.POLLOUT)
            assert waiter.poll(WITHIN_S * 1000)[0][1] & select.POLLERR
            assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
            again = [client.connect_ex(listener.getsockname()) for _ in range(2)]
            assert again == [errno.ECONNABORTED, errno.EINPROGRESS]  # the first takes the news
            server, _ = listener.accept()
            with server:
                client.send(b"abcde")
                take_until(quick, client, 4)


def test_a_close_right_after_a_send_keeps_what_was_stamped(quick: JournalProbe) -> None:
    with connected(quick) as (client, server):
        number = inode(client)
        client.send(b"last words")
        client.close()
        assert server.recv(100) == b"last words"
    recorded = Recorded(quick)
    for what in ("scheduled", "sent"):
        assert recorded.keys(number, what) == [9]


def test_a_child_and_a_second_descriptor_go_on_with_the_count(quick: JournalProbe) -> None:
    with connected(quick) as (client, server):
        client.send(b"abc")
        assert server.recv(3) == b"abc"
        child = os.fork()
        if child == 0:
            client.send(b"de")
            client.close()
            quick.leaving()
            os._exit(0)
        os.waitpid(child, 0)
        assert read_exactly(server, 2) == b"de"
        with client.dup() as second:
            second.send(b"f")
            assert server.recv(1) == b"f"
            take_until(quick, second, 5)
        number = inode(client)
    recorded = Recorded(quick)
    assert sorted(recorded.keys(number, "sent")) == [2, 4, 5]
    assert child in {stamp.pid for stamp in recorded.stamps}


def test_a_socket_handed_over_goes_on_one_from_elsewhere_does_not(
    quick: JournalProbe, tmp_path: Path
) -> None:
    with connected(quick) as (client, server):
        client.send(b"abc")
        assert server.recv(3) == b"abc"
        handed = quick.adopt(socket.socket(fileno=os.dup(client.fileno())))
        with handed:
            handed.send(b"de")
            assert server.recv(2) == b"de"
            take_until(quick, handed, 4)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        plain = socket.create_connection(listener.getsockname())
        with quick.adopt(plain) as foreign:
            foreign.send(b"x")
            number = inode(foreign)
    recorded = Recorded(quick)
    assert recorded.keys(number, "sent") == []
    assert [(loss.witness, loss.reason) for loss in recorded.losses] == [
        ("stamps", "a socket was connected before it came to the probe")
    ]


# -- a program that does not notice ----------------------------------------------------------------


def by_epoll(probe: JournalProbe, flags: int = 0) -> Callable[[Any, float], int]:
    epoll = probe.epoll()

    def wait(sock: Any, timeout_s: float) -> int:
        epoll.register(sock, select.EPOLLIN | flags)
        try:
            return sum(events for _, events in epoll.poll(timeout_s))
        finally:
            epoll.unregister(sock)

    return wait


def by_poll(probe: JournalProbe) -> Callable[[Any, float], int]:
    def wait(sock: Any, timeout_s: float) -> int:
        poller = probe.poll()
        poller.register(sock, select.POLLIN)
        return sum(events for _, events in poller.poll(timeout_s * 1000))

    return wait


def by_select(probe: JournalProbe) -> Callable[[Any, float], int]:
    def wait(sock: Any, timeout_s: float) -> int:
        readable, writable, _ = probe.select([sock], [], [], timeout_s)
        assert writable == []
        return select.POLLIN * len(readable)

    return wait


POLLERS: dict[str, Callable[[JournalProbe], Callable[[Any, float], int]]] = {
    "epoll": by_epoll,
    "edge": lambda probe: by_epoll(probe, select.EPOLLET),
    "once": lambda probe: by_epoll(probe, select.EPOLLONESHOT),
    "poll": by_poll,
    "select": by_select,
}


@pytest.mark.parametrize("poller", POLLERS)
def test_a_wait_is_not_ended_by_stamps_and_lasts_its_time(probe: JournalProbe, poller: str) -> None:
    with connected(probe) as (client, server):
        wait = POLLERS[poller](probe)
        for sock in (client, server):
            sock.setblocking(False)
        socket.socket.send(client, b"unseen")  # past the probe: its stamps are still in the queue
        assert errors(client)
        before_s = time.monotonic()
        assert wait(client, 0.15) == 0  # the ACK is delayed by 40 ms, and comes meanwhile
        assert time.monotonic() - before_s >= 0.15
        assert not errors(client)
        assert wait(client, 0) == 0
        server.send(b"answer")
        assert wait(client, WITHIN_S) == select.POLLIN
        assert client.recv(10) == b"answer"
        number = inode(client)
    recorded = Recorded(probe)
    assert {stamp.what for stamp in recorded.stamps if stamp.inode == number} == ALL
    waits = [call for call in recorded.calls if call.op in ("epoll_wait", "poll", "select")]
    assert [(call.result, len(call.ready)) for call in waits] == [(0, 0), (0, 0), (1, 1)]


@pytest.mark.parametrize("poller", POLLERS)
def test_an_answer_that_comes_during_the_wait_ends_it(quick: JournalProbe, poller: str) -> None:
    with connected(quick) as (client, server):
        wait = POLLERS[poller](quick)
        client.setblocking(False)

        def answer() -> None:
            assert read_exactly(server, 8) == b"question"
            threading.Event().wait(0.1)  # long enough for stamps to come alone
            server.sendall(b"answer")

        answering = threading.Thread(target=answer)
        answering.start()
        client.send(b"question")
        assert wait(client, WITHIN_S) == select.POLLIN
        assert client.recv(10) == b"answer"
        answering.join()


@pytest.mark.parametrize("poller", POLLERS)
def test_an_error_of_the_socket_is_told_even_among_stamps(quick: JournalProbe, poller: str) -> None:
    with connected(quick) as (client, server):
        wait = POLLERS[poller](quick)
        client.setblocking(False)
        socket.socket.send(client, b"pending")
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        server.close()
        found = wait(client, WITHIN_S)
        assert found & select.POLLIN
        if poller != "select":
            assert found & select.POLLERR
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET
        with pytest.raises(BrokenPipeError):
            client.send(b"too late")
        assert client.recv(1) == b""
        number = inode(client)
    assert set(Recorded(quick).keys(number, "sent")) == {6}


def test_a_reset_is_raised_by_the_call_that_meets_it(probe: JournalProbe) -> None:
    with connected(probe) as (client, server):
        client.sendall(bytes(1000))
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        server.close()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with connected(probe) as (client, server):
        client.settimeout(WITHIN_S)
        client.sendall(bytes(1000))
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        server.close()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    failed = [call.errno for call in Recorded(probe).calls if call.errno]
    assert failed == ["ECONNRESET", "ECONNRESET"]


def test_a_descriptor_of_one_shot_is_armed_still(quick: JournalProbe) -> None:
    """Stamps have disarmed it, and nobody told the program to arm it again."""
    with connected(quick) as (client, server):
        client.setblocking(False)
        epoll = quick.epoll()
        epoll.register(client, select.EPOLLIN | select.EPOLLONESHOT)
        socket.socket.send(client, b"unseen")
        assert epoll.poll(0.1) == []
        server.send(b"answer")
        assert epoll.poll(WITHIN_S) == [(client.fileno(), select.EPOLLIN)]
        server.send(b"more")
        assert epoll.poll(0.05) == []  # it was told once
        epoll.close()


def test_a_time_out_waits_and_does_not_spin(probe: JournalProbe) -> None:
    """CPython polls before such a call, and would poll again for as long as there are stamps."""
    with connected(probe) as (client, server):
        client.settimeout(0.3)
        socket.socket.send(client, b"question")  # past the probe: its stamps are in the queue
        used_s, before_s = time.thread_time(), time.monotonic()
        with pytest.raises(TimeoutError, match="timed out") as timed:
            client.recv(1)
        assert time.monotonic() - before_s >= 0.3
        assert time.thread_time() - used_s < 0.1
        assert timed.value.errno is None
        server.sendall(b"answer")
        room = bytearray(10)
        assert client.recv_into(room) == 6
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(0.1)
        with pytest.raises(TimeoutError, match="timed out"):
            client.sendall(bytes(20_000_000))
    timeouts = [call for call in Recorded(probe).calls if call.errno]
    assert [(call.op, call.errno, call.args) for call in timeouts] == [
        ("recv", "EAGAIN", "timeout=0.3s elapsed"), ("sendall", "EAGAIN", "timeout=0.1s elapsed"),
    ]  # fmt: skip
    assert timeouts[0].returned_ns is not None
    slewed = 1 - 500e-6  # by as much may a clock that NTP slews go slower
    assert timeouts[0].returned_ns - timeouts[0].entered_ns >= 300_000_000 * slewed
    assert timeouts[1].result
    assert timeouts[1].result > 0


def test_a_sendfile_with_a_time_out_is_not_stamped(quick: JournalProbe, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(4093))
    with connected(quick) as (client, server), open(path, "rb") as file:
        client.settimeout(WITHIN_S)
        assert client.sendfile(file) == 4093
        assert not errors(client)
        read_exactly(server, 4093)
        client.send(b"x")
        take_until(quick, client, 4093)
        number = inode(client)
    assert Recorded(quick).keys(number, "sent") == [4093]


def test_a_program_that_only_sends_keeps_its_receive_buffer(quick: JournalProbe) -> None:
    """Unread stamps are charged to the receive buffer, and would close the peer's window."""
    so_meminfo, rmem_alloc = 55, 0
    with connected(quick) as (client, server):
        for _ in range(2003):
            client.send(b"tick")
            read_exactly(server, 4)
        held = client.getsockopt(socket.SOL_SOCKET, so_meminfo, 36)
        assert struct.unpack("9I", held)[rmem_alloc] < 20_000


# -- the error queue is the program's where it uses it ---------------------------------------------

OWN = {
    "SO_TIMESTAMPING": (socket.SOL_SOCKET, errqueue.SO_TIMESTAMPING, 0x1 << 1 | 1 << 4 | 1 << 7),
    "IP_RECVERR": (socket.IPPROTO_IP, errqueue.IP_RECVERR, 1),
    "SO_ZEROCOPY": (socket.SOL_SOCKET, errqueue.SO_ZEROCOPY, 1),
}


@pytest.mark.parametrize(
    ("name", "early"),  # the kernel refuses a count of bytes before there is a connection
    [(name, early) for name in OWN for early in (True, False)
     if not early or name != "SO_TIMESTAMPING"],
)  # fmt: skip
def test_the_program_s_own_use_switches_stamps_off(
    quick: JournalProbe, name: str, early: bool
) -> None:
    with quick.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        for _ in range(2):
            with quick.socket() as client:
                if early:
                    client.setsockopt(*OWN[name])
                client.connect(listener.getsockname())
                server, _ = listener.accept()
                with server:
                    if not early:
                        client.setsockopt(*OWN[name])
                    client.send(b"abc")
                    assert server.recv(3) == b"abc"
                    number = inode(client)
                    if name == "SO_TIMESTAMPING":
                        data, ancillary, flags, _ = client.recvmsg(99, 512, socket.MSG_ERRQUEUE)
                        assert flags & socket.MSG_ERRQUEUE
                        assert (len(ancillary), data[-3:]) == (2, b"abc")  # with its payload
    recorded = Recorded(quick)
    assert recorded.keys(number, "sent") == []
    assert [(loss.witness, loss.what, loss.reason) for loss in recorded.losses] == [
        ("stamps", "stamps", f"the program uses {name} itself")
    ]


def test_other_sockets_may_use_it_without_a_word(quick: JournalProbe) -> None:
    with quick.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(*OWN["IP_RECVERR"])
        with pytest.raises(BlockingIOError):
            sock.recvmsg(99, 512, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)
    assert Recorded(quick).losses == []


def test_who_reads_the_queue_finds_none_of_ours(quick: JournalProbe) -> None:
    with connected(quick) as (client, server):
        client.send(b"abc")
        assert server.recv(3) == b"abc"
        with pytest.raises(BlockingIOError):
            client.recvmsg(99, 512, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)
        client.send(b"def")
        with pytest.raises(BlockingIOError):
            client.recvmsg(99, 512, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)
        assert not errors(client)
    assert [loss.reason for loss in Recorded(quick).losses] == [
        "the program uses MSG_ERRQUEUE itself"
    ]


def test_what_is_detached_or_outlives_the_probe_has_no_stamps(quick: JournalProbe) -> None:
    with connected(quick) as (client, server):
        plain = socket.socket(fileno=client.detach())
        with plain:
            plain.send(b"abc")
            assert server.recv(3) == b"abc"
            assert not errors(plain)
            quick.close()
            server.send(b"d")
            assert plain.recv(1) == b"d"
            assert not errors(server)


def test_when_recording_has_stopped_stamps_do_not_come_through(quick: JournalProbe) -> None:
    """A full spool, say. What is under way is still stamped."""
    with connected(quick) as (client, server):
        client.setblocking(False)
        wait = by_epoll(quick)
        for stop in (lambda: quick.journal.switch_off("a test says so"), quick.close):
            socket.socket.send(client, b"unseen")  # its ACK comes 40 ms later
            stop()
            assert wait(client, 0.1) == 0
            assert not errors(client)
            assert read_exactly(server, 6) == b"unseen"
        client.send(b"plain")
        assert read_exactly(server, 5) == b"plain"
        assert not errors(client)


def test_a_number_that_is_given_away_again_is_not_stamped_by_mistake(quick: JournalProbe) -> None:
    """Daemons close descriptors that they did not open."""
    with connected(quick) as (client, server):
        number = client.fileno()
        os.close(os.dup(number))
        with quick.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            os.dup2(other.fileno(), number)
            stray = quick.adopt(socket.socket(fileno=number))
            assert number not in stamped_descriptors(quick)
            stray.detach()
        assert server.fileno() in stamped_descriptors(quick)


def stamped_descriptors(probe: JournalProbe) -> set[int]:
    assert probe.journal.stamps is not None
    return set(probe.journal.stamps.on)


# -- beside packets, and after a kill --------------------------------------------------------------

# From the driver's stamp to the tap lies what the kernel does in between, 1.4 to 3 us (6.18, two
# CPUs), and whatever else gets the CPU meanwhile: 50 us at the most in 3,700 stamps on a busy one.
USUAL_NS, MOST_NS = 50_000, 20_000_000


def test_stamps_and_frames_tell_the_same_of_every_byte(tmp_path: Path) -> None:
    path = tmp_path / "both.pcapng"

    def work() -> None:
        with netlab.record(path, stamps=True) as probe, connected(probe) as (client, server):
            for size in (*[4093] * 23, 300_007, 300_007):
                reader = threading.Thread(target=read_exactly, args=(server, size))
                reader.start()
                client.sendall(bytes(size))
                reader.join()
                server.sendall(b"k")
                assert client.recv(1) == b"k"

    in_private_network(work)
    raw = read_raw(path)
    assert raw.frames
    assert raw.losses == []
    assert any("SO_TIMESTAMPING" in witness for witness in raw.description.witnesses)
    tables = analyse(raw)
    size = 23 * 4093 + 2 * 300_007
    apart = [
        *apart_ns(tables, "c>s", Role.CARRIED, "sent", size),
        *apart_ns(tables, "s>c", Role.CARRIED, "sent", 25),
        *(-ns for ns in apart_ns(tables, "c>s", Role.ACKED, "acked", size)),
    ]
    assert min(apart) > 0  # a frame is stamped after it was sent, an ACK before it was taken in
    assert sorted(apart)[len(apart) // 2] < USUAL_NS
    assert sorted(apart)[len(apart) * 9 // 10] < MOST_NS  # a CPU may be taken away in between


def apart_ns(tables: Tables, direction: str, role: Role, what: str, size: int) -> list[int]:
    """From each stamp to the frame that holds its byte; the stamps speak for all bytes."""
    time_ns = {packet.frame: packet.time_ns for packet in tables.packets}
    spans = [s for s in tables.spans if (s.role, s.direction) == (role, direction)]
    found = []
    passed = 0
    for row in tables.stamps:
        if (row.what, row.direction) != (what, direction) or row.stop <= passed:
            continue  # a segment that was sent again
        assert row.start == passed
        passed = row.stop
        about = [s for s in spans if s.start < row.stop and row.start < s.stop]
        assert sum(min(s.stop, row.stop) - max(s.start, row.start) for s in about) == (
            row.stop - row.start
        )
        times = [time_ns[span.frame] for span in sorted(about, key=lambda span: span.start)]
        assert times == sorted(times)  # the other bytes of a send were before its last one
        found.append(times[-1] - row.time_ns)
    assert passed == size
    return found


def test_stamps_survive_the_death_of_their_program(tmp_path: Path) -> None:
    path = tmp_path / "killed.pcapng"
    spools = make_spool_folder(path)
    child = os.fork()
    if child == 0:
        probe = JournalProbe(spools, actor="victim", queues="off", stamps=True)
        with connected(probe) as (client, server):
            client.send(b"abc")
            server.recv(3)
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    done = run_netlab(tmp_path, "recover", path)
    assert (done.returncode, done.stderr) == (0, "")
    raw = read_raw(path)
    assert [(s.what, s.key, s.pid) for s in raw.stamps][:2] == [
        ("scheduled", 2, child), ("sent", 2, child),
    ]  # fmt: skip
    shown = run_netlab(tmp_path, "export", path, "--table", "stamps").stdout.splitlines()
    assert len(shown) == len(raw.stamps)
    view = run_netlab(
        tmp_path, "follow", path, "--connection", "0", "--side", "client", "--byte", "1"
    )
    assert "left (kernel stamp)" in view.stdout
    summary = run_netlab(tmp_path, "inspect", path).stdout
    assert f"{len(raw.stamps)} kernel stamps" in summary
