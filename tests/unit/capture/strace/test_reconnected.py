"""One TCP socket that is connected several times: each connection has its own calls and ends.

strace remembers the first name with addresses that it found for an inode, and goes on writing it.
"""

from __future__ import annotations

from netlab.capture.strace.reader import StraceReader
from netlab.correlate.sockets import Socket, trace_sockets

TO_ONE = '{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("10.0.0.1")}, 16'
NOWHERE = '{sa_family=AF_UNSPEC, sa_data="\\0"}, 16'
OLD = "3<TCP:[10.0.0.9:5000->10.0.0.1:80]>"


def calls(*said: str) -> StraceReader:
    """What a program says after its execve and socket()."""
    lines = (
        'execve("/usr/bin/prog", ["prog"], 0x7ffe /* 9 vars */) = 0',
        "socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3<TCP:[77]>",
        *said,
    )
    reader = StraceReader("lab", "prog")
    for place, line in enumerate(lines):
        reader.feed(f"10 17000000{place:02d}.000000 {line} <0.000010>\n".encode())
    reader.finish()
    assert reader.faults == []
    return reader


def lives(*said: str) -> list[Socket]:
    return trace_sockets(calls(*said).calls, []).all


def ops(socket: Socket) -> int:
    return len(socket.calls)


def test_after_af_unspec_another_connection_begins() -> None:
    one, other = lives(
        f"connect(3<TCP:[77]>, {TO_ONE}) = 0",
        f'write({OLD}, ""..., 5) = 5',
        f"connect({OLD}, {NOWHERE}) = 0",
        f"connect({OLD}, {TO_ONE}) = 0",
        f'write({OLD}, ""..., 7) = 7',
    )
    assert (one.local, one.peer) == ("10.0.0.9:5000", "10.0.0.1:80")
    assert (other.local, other.peer) == (None, "10.0.0.1:80")
    assert (ops(one), ops(other)) == (4, 2)


def test_einprogress_says_that_the_attempt_before_it_had_failed() -> None:
    one, other = lives(
        f"connect(3<TCP:[77]>, {TO_ONE}) = -1 EINPROGRESS (Operation now in progress)",
        f'write({OLD}, ""..., 5) = -1 ECONNREFUSED (Connection refused)',
        f"connect({OLD}, {TO_ONE}) = -1 EINPROGRESS (Operation now in progress)",
        f'write({OLD}, ""..., 7) = 7',
    )
    assert (one.local, one.peer) == ("10.0.0.9:5000", "10.0.0.1:80")
    assert (other.local, other.peer) == (None, "10.0.0.1:80")
    assert (ops(one), ops(other)) == (3, 2)


def test_an_attempt_that_goes_on_is_of_one_connection() -> None:
    (one,) = lives(
        f"connect(3<TCP:[77]>, {TO_ONE}) = -1 EINPROGRESS (Operation now in progress)",
        f"connect({OLD}, {TO_ONE}) = -1 EALREADY (Operation already in progress)",
        f"connect({OLD}, {TO_ONE}) = 0",
        f"connect({OLD}, {TO_ONE}) = -1 EISCONN (Transport endpoint is already connected)",
        f'write({OLD}, ""..., 7) = 7',
    )
    assert (one.local, one.peer) == ("10.0.0.9:5000", "10.0.0.1:80")
    assert ops(one) == 6


def test_a_datagram_socket_that_is_connected_elsewhere_has_that_peer() -> None:
    elsewhere = TO_ONE.replace("10.0.0.1", "10.0.0.2")
    old = "4<UDP:[10.0.0.9:5000->10.0.0.1:80]>"
    reader = calls(
        "socket(AF_INET, SOCK_DGRAM, IPPROTO_IP) = 4<UDP:[78]>",
        f"connect(4<UDP:[78]>, {TO_ONE}) = 0",
        f'write({old}, ""..., 5) = 5',
        f"connect({old}, {elsewhere}) = 0",
        f'write({old}, ""..., 7) = 7',
    )
    ends = [(call.local, call.peer) for call in reader.calls if call.op == "write"]
    assert ends == [("10.0.0.9:5000", "10.0.0.1:80"), ("10.0.0.9:5000", "10.0.0.2:80")]
