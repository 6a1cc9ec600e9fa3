"""Rows of a sock_diag dump, and what follows for whoever waits for a server."""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address

import pytest

from netlab.capture import sockdiag
from netlab.lab.listening import reachable, what_is_there
from netlab.lab.network.socket_table import SocketRow, read, row_from


def message(family: int, state: int, address: str, port: int) -> bytes:
    """struct inet_diag_msg as linux/inet_diag.h has it."""
    source = socket.inet_pton(family, address).ljust(16, b"\0")
    ids = struct.pack("!HH", port, 0) + source + bytes(16) + bytes(12)
    return struct.pack("=BBBB", family, state, 0, 0) + ids + bytes(20)


def row(protocol: str, state: str, address: str, port: int) -> SocketRow:
    return SocketRow(protocol, state, ip_address(address), port, 0)


@pytest.mark.parametrize(
    ("family", "state", "address", "text"),
    [
        (socket.AF_INET, 10, "0.0.0.0", "tcp 0.0.0.0:80 LISTEN"),
        (socket.AF_INET6, 10, "::", "tcp [::]:80 LISTEN"),
        (socket.AF_INET6, 1, "::ffff:10.1.2.3", "tcp 10.1.2.3:80 ESTABLISHED"),
        (socket.AF_INET, 5, "10.1.2.3", "tcp 10.1.2.3:80 FIN-WAIT-2"),
    ],
)
def test_a_row_is_read_as_the_kernel_wrote_it(
    family: int, state: int, address: str, text: str
) -> None:
    found = sockdiag.row_from(message(family, state, address, 80))
    assert f"{row_from('tcp', found)}" == text


def test_the_kernel_knows_a_socket_of_ours() -> None:
    with (
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as netlink,
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
    ):
        datagrams.bind(("127.0.0.1", 0))
        rows = read(netlink)
        mine = [r for r in rows if r.port == listener.getsockname()[1] and r.protocol == "tcp"]
        assert [(r.state, r.listens, r.only_itself) for r in mine] == [("LISTEN", True, True)]
        mine = [r for r in rows if r.port == datagrams.getsockname()[1] and r.protocol == "udp"]
        assert [(r.listens, r.at_work) for r in mine] == [(True, False)]


LISTENS = row("tcp", "LISTEN", "0.0.0.0", 80)
ALONE = row("tcp", "LISTEN", "127.0.0.1", 80)
BOUND = row("udp", "CLOSED", "0.0.0.0", 53)
ASKS = row("udp", "CLOSED", "0.0.0.0", 40_000)
SPEAKS = row("tcp", "ESTABLISHED", "10.1.2.3", 80)
CONNECTED = row("udp", "ESTABLISHED", "10.1.2.3", 53)


def test_who_can_be_spoken_to() -> None:
    assert reachable([ALONE, ASKS, SPEAKS, CONNECTED]) == []
    assert reachable([ALONE, LISTENS, BOUND]) == [LISTENS, BOUND]
    assert reachable([LISTENS, BOUND, ASKS], 40_000) == [ASKS]
    assert reachable([LISTENS], 81) == []


def test_what_is_seen_instead_is_said() -> None:
    assert what_is_there([]) == "it has no TCP or UDP socket"
    assert what_is_there([ALONE]) == (
        "it has tcp 127.0.0.1:80 LISTEN, which other hosts cannot reach: let it listen on 0.0.0.0"
    )
    assert what_is_there([row("tcp", "TIME-WAIT", "10.1.2.3", 80)]) == what_is_there([])
    assert what_is_there([SPEAKS]) == "it has tcp 10.1.2.3:80 ESTABLISHED"
    assert what_is_there([ASKS] * 6).endswith("udp 0.0.0.0:40000 bound, 2 more")
