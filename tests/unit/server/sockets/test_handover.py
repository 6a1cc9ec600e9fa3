"""A connection's baggage arrives as it left, over a real control connection."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from netlab.server.messages import control
from netlab.server.sockets.handover import Baggage, FilePart, fits, give, taken
from netlab.server.terms import CloseReason

PLAIN = Baggage(
    session=(5 << 20) + 3, entrance=1, address=("127.0.0.1", 4711), uid=None, protected=False,
    paused=False, connected_at_s=12.5, received_at_s=13.0, sent_at_s=0.0, message_since_s=0.0,
    received_bytes=1 << 40, sent_bytes=7, messages=3, responses=2, peer_finished=False,
    write_shut=False, ending=False, closing=None, fault="", pending=b"", undelivered=(), output=(),
)  # fmt: skip


def passed(baggage: Baggage) -> tuple[socket.socket, Baggage]:
    line, other = control.pair()
    one, two = socket.socketpair()
    with line, other, one, two:
        give(line, one, baggage)
        line.close()
        found = taken(other)
        assert taken(other) is None
        assert found is not None
        return found


@pytest.mark.parametrize(
    "baggage",
    [
        PLAIN,
        replace(PLAIN, address=("::1", 4711, 0, 0), uid=42, protected=True, paused=True),
        replace(PLAIN, address=b"\0abstract\xff"),
        replace(PLAIN, address="/path", peer_finished=True, write_shut=True, ending=True),
        replace(PLAIN, closing=CloseReason.SHUTDOWN, fault="a text"),
        replace(PLAIN, pending=b"half a mess", undelivered=(b"one", b"", b"three")),
        replace(PLAIN, pending=bytes(3_000_017), output=(b"x" * 1_000_003, b"y")),
    ],
)
def test_it_arrives_as_it_left(baggage: Baggage) -> None:
    sock, found = passed(baggage)
    sock.close()
    assert found == baggage


def test_the_socket_is_the_same_connection() -> None:
    line, other = control.pair()
    one, two = socket.socketpair()
    with line, other, one, two:
        give(line, one, PLAIN)
        one.close()
        found = taken(other)
        assert found is not None
        with found[0] as same:
            two.sendall(b"hello")
            assert same.recv(10) == b"hello"


def test_files_come_along_in_their_places(tmp_path: Path) -> None:
    parts: list[bytes | FilePart] = []
    for number in range(3):
        path = tmp_path / str(number)
        path.write_text(f"file {number}")
        parts += [FilePart(os.open(path, os.O_RDONLY), number, 4), b"between"]
    sock, found = passed(replace(PLAIN, output=tuple(parts)))
    sock.close()
    for number, (sent, came) in enumerate(zip(parts, found.output, strict=True)):
        if isinstance(sent, FilePart):
            assert isinstance(came, FilePart)
            assert (came.offset, came.count) == (sent.offset, sent.count)
            assert os.pread(came.descriptor, 10, 0) == f"file {number // 2}".encode()
            os.close(sent.descriptor)
            os.close(came.descriptor)
        else:
            assert came == sent


def test_more_files_than_a_message_carries_do_not_fit() -> None:
    assert fits(replace(PLAIN, output=(FilePart(0, 0, 1),) * 14))
    assert not fits(replace(PLAIN, output=(FilePart(0, 0, 1),) * 15))


def test_without_an_heir_it_is_an_error_and_nothing_leaks() -> None:
    line, other = control.pair()
    one, two = socket.socketpair()
    with line, one, two:
        other.close()
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(BrokenPipeError):
            give(line, one, PLAIN)
        assert len(os.listdir("/proc/self/fd")) == before
