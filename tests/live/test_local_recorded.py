"""Unix sockets of this kernel, recorded: what the map says of them is what happened."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from netlab.capture.probe import JournalProbe, SpoolReader
from netlab.correlate.join import correlate
from netlab.correlate.ledger import causal_violations, ledger_mismatches
from netlab.model.call import MSG_OOB
from netlab.model.recording import RawRecording
from netlab.model.tables import Tables


@pytest.fixture
def probe(tmp_path: Path) -> Iterator[JournalProbe]:
    made = JournalProbe(tmp_path / "spools", actor="test")
    yield made
    made.close()


def mapped(probe: JournalProbe) -> Tables:
    tables = correlate(RawRecording(calls=SpoolReader(probe.journal.folder).finish()), [])
    assert ledger_mismatches(tables) == []
    assert causal_violations(tables) == []
    return tables


def links(tables: Tables) -> list[tuple[int, int, int | None, int | None]]:
    """(nth send, nth read, start, stop), counted from 0."""
    sends = [c.call for c in tables.calls if c.op in ("send", "sendto")]
    reads = [c.call for c in tables.calls if c.op.startswith("recv")]
    return [
        (sends.index(s.call), reads.index(s.peer_call), s.start, s.stop)
        for s in tables.spans
        if s.role == "local" and s.call in sends and s.peer_call is not None
    ]


def test_an_urgent_byte_is_taken_out_of_order(probe: JournalProbe) -> None:
    left, right = probe.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with left, right:
        left.send(b"abc")
        try:
            left.send(b"U", MSG_OOB)
        except OSError as error:
            pytest.fail(f"this kernel has no urgent data on Unix sockets: {error}")
        left.send(b"def")
        assert right.recv(100) == b"abc"
        assert right.recv(100) == b"def"
        left.send(b"xV", MSG_OOB)
        assert right.recv(100, MSG_OOB) == b"V"
        assert right.recv(100) == b"x"
        left.send(b"ghi")
        left.close()
        assert right.recv(100) == b"ghi"
        assert right.recv(100) == b""
    tables = mapped(probe)
    assert links(tables) == [(0, 0, 0, 3), (2, 1, 4, 7), (3, 3, 7, 8), (3, 2, 8, 9), (4, 4, 9, 12)]
    assert [u.reason for u in tables.unmatched] == ["urgent byte not read"]


def test_a_read_that_nobody_saw_leaves_the_stream_open(probe: JournalProbe) -> None:
    left, right = probe.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with left, right:
        left.send(b"abcdef")
        assert os.read(right.fileno(), 3) == b"abc"
        left.send(b"ghi")
        assert right.recv(100) == b"defghi"
        left.close()
        assert right.recv(100) == b""
    tables = mapped(probe)
    assert links(tables) == []
    assert {u.reason for u in tables.unmatched} == {"the calls do not add up to the stream"}


def test_paths_and_peers_are_those_of_the_moment(probe: JournalProbe, tmp_path: Path) -> None:
    path, other = str(tmp_path / "x"), str(tmp_path / "y")
    client = probe.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with client:
        for data in (b"one!!", b"two!!"):
            with probe.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
                server.bind(path)
                client.sendto(data, path)
                assert server.recv(100) == data
            os.unlink(path)
        with (
            probe.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as first,
            probe.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as second,
        ):
            first.bind(path)
            second.bind(other)
            client.connect(path)
            client.send(b"to x")
            client.connect(other)
            client.send(b"to y")
            assert (first.recv(100), second.recv(100)) == (b"to x", b"to y")
    tables = mapped(probe)
    assert [link[:2] for link in links(tables)] == [(n, n) for n in range(4)]
    assert tables.unmatched == []


def test_an_unrecorded_sender_leaves_the_queue_open(probe: JournalProbe, tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    with (
        probe.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server,
        probe.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger,
    ):
        server.bind(path)
        stranger.sendto(b"other", path)
        client.sendto(b"mine!", path)
        assert (server.recv(100), server.recv(100)) == (b"other", b"mine!")
    assert links(mapped(probe)) == []


def test_a_client_may_be_gone_before_it_is_accepted(probe: JournalProbe, tmp_path: Path) -> None:
    path = str(tmp_path / "l")
    with probe.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen(5)
        with probe.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(path)
            client.send(b"early")
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.recv(100) == b"early"
    tables = mapped(probe)
    assert f"peer pid {os.getpid()}" in [c.args for c in tables.calls if c.op == "accept"]
    assert links(tables) == [(0, 0, 0, 5)]
    assert len(tables.connections) == 1
