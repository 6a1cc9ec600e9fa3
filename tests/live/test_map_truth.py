"""What the map says of calls whose outcome on this kernel is known: each once, in one thread.

Every case stands where the rule is easily wrong: bytes read behind the probe's back, options that
change what a call does, connections that never reached a listener's queue.
"""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

import netlab
from netlab.capture.files import read_raw
from netlab.correlate.ledger import causal_violations, ledger_mismatches
from netlab.explain.analysis import analyse
from netlab.model.probe import Probe
from netlab.model.tables import Tables
from tests.private_network import in_private_network

MSG_FASTOPEN = 0x20000000
RANGES = list[tuple[int | None, int | None]]


def recorded(path: Path, block: Callable[[Probe], None]) -> Tables:
    """The tables of what `block` does with the probe, in a network of its own."""

    def work() -> None:
        with netlab.record(path) as probe:
            block(probe)

    in_private_network(work)
    tables = analyse(read_raw(path))
    assert ledger_mismatches(tables) == []
    assert causal_violations(tables) == []
    return tables


def listener_of(probe: Probe, *options: tuple[int, int, int], port: int = 0) -> socket.socket:
    found = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    for option in ((socket.SOL_SOCKET, socket.SO_REUSEADDR, 1), *options):
        found.setsockopt(*option)
    found.bind(("127.0.0.1", port))
    found.listen()
    return found


def pair(probe: Probe) -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection; the client sends at once."""
    listener = listener_of(probe)
    client = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    client.connect(listener.getsockname())
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server, _ = listener.accept()
    listener.close()
    return client, server


def queued(sock: socket.socket, count: int, flags: int = 0) -> None:
    """Wait until so many bytes can be read, by means that the probe does not see."""
    with socket.socket(fileno=os.dup(sock.fileno())) as plain:
        plain.settimeout(30)
        while len(plain.recv(count, flags | socket.MSG_PEEK)) < count:
            select.select([plain], [], [], 0.001)


def ranges(tables: Tables, op: str = "recv") -> RANGES:
    return [(c.start, c.stop) for c in tables.calls if c.op == op and c.result]


def wakers(tables: Tables) -> list[list[tuple[int, int]]]:
    """For each wait, the stream ranges of the frames that it names."""
    segments = {segment.frame: (segment.start, segment.stop) for segment in tables.segments}
    named: dict[int, list[tuple[int, int]]] = {
        call.call: [] for call in tables.calls if call.op in ("epoll_wait", "select")
    }
    for span in tables.spans:
        if span.role == "wakeup" and span.frame is not None:
            named[span.call].append(segments[span.frame])
    return list(named.values())


@pytest.mark.parametrize("by", ["os.read", "detach"])
def test_reads_behind_the_probes_back_leave_the_rest_open(tmp_path: Path, by: str) -> None:
    def block(probe: Probe) -> None:
        client, server = pair(probe)
        client.send(b"abcdefghi")
        queued(server, 9)
        assert server.recv(3) == b"abc"
        if by == "os.read":
            assert os.read(server.fileno(), 3) == b"def"
        else:
            with socket.socket(fileno=server.detach()) as plain:
                assert plain.recv(3) == b"def"
                server = probe.adopt(plain)  # type: ignore[attr-defined]
        assert server.recv(3) == b"ghi"

    assert ranges(recorded(tmp_path / "a.pcapng", block)) == [(0, 3), (None, None)]


def test_an_option_for_urgent_data_does_not_work_backwards(tmp_path: Path) -> None:
    def block(probe: Probe) -> None:
        client, server = pair(probe)
        client.send(b"abc")
        client.send(b"U", socket.MSG_OOB)
        client.send(b"def")
        queued(server, 3)
        assert server.recv(100) == b"abc"
        queued(server, 3)
        assert server.recv(100) == b"def"
        server.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        client.send(b"ghi")
        queued(server, 3)
        assert server.recv(100) == b"ghi"

    assert ranges(recorded(tmp_path / "a.pcapng", block)) == [(0, 3), (4, 7), (7, 10)]


def test_a_wait_for_urgent_data_names_its_frame(tmp_path: Path) -> None:
    def block(probe: Probe) -> None:
        client, server = pair(probe)
        client.send(b"U", socket.MSG_OOB)
        assert probe.select([], [], [server], 30)[2]  # type: ignore[attr-defined]

    assert wakers(recorded(tmp_path / "a.pcapng", block)) == [[(0, 1)]]


def test_edges_and_low_water_marks_name_the_frame_that_counted(tmp_path: Path) -> None:
    def block(probe: Probe) -> None:
        client, server = pair(probe)
        epoll = probe.epoll()
        epoll.register(server.fileno(), select.EPOLLIN | select.EPOLLET)
        client.send(b"0123456789")
        assert epoll.poll(30)
        assert server.recv(4) == b"0123"
        client.send(b"more")
        assert epoll.poll(30)
        queued(server, 10)
        assert server.recv(100) == b"456789more"
        epoll.close()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 8)
        client.send(b"4byt")
        client.send(b"eight...")
        assert probe.select([server], [], [], 30)[0]  # type: ignore[attr-defined]

    tables = recorded(tmp_path / "a.pcapng", block)
    assert wakers(tables) == [[(0, 10)], [(10, 14)], [(18, 26)]]


def test_a_deferred_connection_that_was_reset_is_not_the_accepted_one(tmp_path: Path) -> None:
    def block(probe: Probe) -> None:
        deferred = (socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5)
        listener = listener_of(probe, deferred, port=7000)
        for data in (b"", b"hello"):
            client = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            client.bind(("127.0.0.1", 7001))
            client.connect(("127.0.0.1", 7000))
            if data:
                client.send(data)
            else:
                linger = struct.pack("ii", 1, 0)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                client.close()
        server, _ = listener.accept()
        assert server.recv(100) == b"hello"

    tables = recorded(tmp_path / "a.pcapng", block)
    assert [c.connection for c in tables.calls if c.op in ("accept", "recv")] == [1, 1]
    assert ranges(tables) == [(0, 5)]


@pytest.mark.parametrize("sack", ["0", "1"])
def test_data_in_a_syn_that_was_not_taken_is_delivered_by_its_copy(
    tmp_path: Path, sack: str
) -> None:
    def block(probe: Probe) -> None:
        settings = Path("/proc/sys/net/ipv4")
        (settings / "tcp_sack").write_text(sack)
        (settings / "tcp_fastopen").write_text("5")  # of clients, and without a cookie
        listener = listener_of(probe)
        client = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
        assert client.sendto(b"hello", MSG_FASTOPEN, listener.getsockname()) == 5
        server, _ = listener.accept()
        assert server.recv(100) == b"hello"

    tables = recorded(tmp_path / "a.pcapng", block)
    flags = {packet.frame: packet.tcp_flags for packet in tables.packets}
    told = {
        (span.role, flags[span.frame]): (span.start, span.stop)
        for span in tables.spans
        if span.role in ("carried", "delivered") and span.frame is not None
    }
    assert told == {("carried", "SYN"): (0, 5), ("delivered", "PSH ACK"): (0, 5)}


def test_a_socket_connected_to_itself_reads_its_own_bytes(tmp_path: Path) -> None:
    def block(probe: Probe) -> None:
        alone = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
        alone.bind(("127.0.0.1", 7002))
        alone.connect(("127.0.0.1", 7002))
        assert alone.send(b"hello") == 5
        assert alone.recv(100) == b"hello"
        alone.close()

    tables = recorded(tmp_path / "a.pcapng", block)
    assert tables.unmatched == []
    assert ranges(tables, "send") == ranges(tables) == [(0, 5)]
    assert [row.close_kind for row in tables.connections] == ["fin"]
