"""Messages of sock_diag: the same that pyroute2 reads; and answers that are no rows."""

from __future__ import annotations

import errno
import socket
import struct
import warnings

import pytest

from netlab.capture import sockdiag
from netlab.capture.sockdiag import SKMEMINFO, TCP_INFO, DiagRow

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its own affair
    from pyroute2.netlink.diag import inet_diag_msg


class Kernel:
    """A netlink socket that has its answers ready."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.asked: list[bytes] = []

    def send(self, data: bytes) -> None:
        self.asked.append(data)

    def recv(self, _: int) -> bytes:
        return self.answers.pop(0)


def message(kind: int, body: bytes) -> bytes:
    data = struct.pack("=IHHII", 16 + len(body), kind, 2, 1, 0) + body
    return data + bytes(-len(data) % 4)


def error(number: int) -> bytes:
    return message(2, struct.pack("=i", -number) + bytes(16))


def rows(kernel: Kernel) -> list[DiagRow]:
    return sockdiag.dump(kernel, socket.AF_INET, socket.IPPROTO_TCP)  # type: ignore[arg-type]


def test_a_timer_that_runs_is_told() -> None:
    """TIME-WAIT's: a minute, from now on."""
    with (
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as diag,
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
    ):
        server, _ = listener.accept()
        port = client.getsockname()[1]
        server.close()
        assert client.recv(1) == b""
        client.close()
        ends = (listener.getsockname()[1], port)  # others may have that port, too
        (row,) = (
            row
            for row in sockdiag.dump(diag, socket.AF_INET, socket.IPPROTO_TCP)
            if (row.local[1], row.peer[1]) == ends
        )
    assert row.timer == 3
    assert 0 < row.expires_ms <= 60_008


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_pyroute2_reads_the_same_in_the_same_bytes(
    family: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies: list[bytes] = []
    read = sockdiag.row_from

    def keep(body: bytes) -> DiagRow:
        bodies.append(body)
        return read(body)

    monkeypatch.setattr(sockdiag, "row_from", keep)
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    with (
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as diag,
        socket.create_server((host, 0), family=family) as listener,
        socket.create_connection(listener.getsockname()[:2]) as client,
    ):
        client.send(b"abc")
        found = sockdiag.dump(diag, family, socket.IPPROTO_TCP, wanted=(TCP_INFO, SKMEMINFO))
        port = client.getsockname()[1]
    assert any(port in (row.local[1], row.peer[1]) for row in found)
    for row, body in zip(found, bodies, strict=True):
        theirs = inet_diag_msg(struct.pack("=IHHII", 16 + len(body), 20, 2, 1, 0) + body)
        theirs.decode()
        assert row.state == theirs["idiag_state"]
        assert (f"{row.local[0]}", row.local[1]) == (
            theirs["idiag_src"].removeprefix("::ffff:"), theirs["idiag_sport"],
        )  # fmt: skip
        assert (f"{row.peer[0]}", row.peer[1]) == (
            theirs["idiag_dst"].removeprefix("::ffff:"), theirs["idiag_dport"],
        )  # fmt: skip
        assert (row.rqueue, row.wqueue) == (theirs["idiag_rqueue"], theirs["idiag_wqueue"])
        assert (row.timer, row.expires_ms) == (theirs["idiag_timer"], theirs["idiag_expires"])
        assert (row.cookie, row.inode) == (theirs["idiag_cookie"], theirs["idiag_inode"])
        info, memory = theirs.get_attr("INET_DIAG_INFO"), theirs.get_attr("INET_DIAG_SKMEMINFO")
        if info is None:
            assert TCP_INFO not in row.attributes
            continue
        ours = row.attributes[TCP_INFO]
        for name, off in (("tcpi_rto", 8), ("tcpi_rtt", 68), ("tcpi_snd_ssthresh", 76),
                          ("tcpi_snd_cwnd", 80), ("tcpi_notsent_bytes", 144),
                          ("tcpi_snd_wnd", 228)):  # fmt: skip
            assert struct.unpack_from("=I", ours, off)[0] == info[name], name
        for name, off in (("tcpi_busy_time", 168), ("tcpi_rwnd_limited", 176),
                          ("tcpi_sndbuf_limited", 184)):  # fmt: skip
            assert struct.unpack_from("=Q", ours, off)[0] == info[name], name
        assert row.attributes[SKMEMINFO] == bytes.fromhex(memory.replace(":", ""))


def test_a_family_that_the_kernel_does_not_have_has_no_sockets() -> None:
    assert rows(Kernel(error(errno.ENOENT))) == []
    assert rows(Kernel(error(errno.EAFNOSUPPORT))) == []


def test_a_kernel_that_refuses_is_an_error() -> None:
    with pytest.raises(PermissionError):
        rows(Kernel(error(errno.EPERM)))


def test_answers_of_several_receives_are_one_dump() -> None:
    body = bytes([2, 10]) + bytes(70)
    one = message(20, body)
    found = rows(Kernel(one + one, one, message(3, bytes(4))))
    assert [row.state for row in found] == [10, 10, 10]
    assert found[0].attributes == {}


@pytest.mark.parametrize("tail", [b"\x03", b"\x03\0\x07\0", b"\0\0\0\0", b"\xff\xff\x02\0abcd"])
def test_an_attribute_that_is_none_ends_them(tail: bytes) -> None:
    whole = struct.pack("=HH", 8, 8) + b"\x01\0\0\0"
    row = sockdiag.row_from(bytes([2, 1]) + bytes(70) + whole + tail)
    assert row.attributes[8] == b"\x01\0\0\0"
    assert set(row.attributes) <= {8, 2}


# -- one socket ------------------------------------------------------------------------------------


def find(
    diag: socket.socket, local: tuple[str, int], peer: tuple[str, int] | None
) -> DiagRow | None:
    return sockdiag.lookup(
        diag, socket.IPPROTO_TCP, sockdiag.ends_of(local, peer), wanted=(TCP_INFO,)
    )


@pytest.mark.parametrize(
    ("family", "bound", "client_family"),
    [
        (socket.AF_INET, "127.0.0.1", socket.AF_INET),
        (socket.AF_INET6, "::1", socket.AF_INET6),
        (socket.AF_INET6, "::", socket.AF_INET),  # its end shows mapped addresses
    ],
)
def test_a_socket_is_found_by_its_ends_and_only_by_those(
    family: int, bound: str, client_family: int
) -> None:
    host = "127.0.0.1" if client_family == socket.AF_INET else "::1"
    dual = bound == "::"
    with (
        sockdiag.open_netlink() as diag,
        socket.create_server((bound, 0), family=family, dualstack_ipv6=dual) as listener,
    ):
        place = (host, listener.getsockname()[1])
        with socket.create_connection(place) as client:
            mine = client.getsockname()[:2]
            row, back = find(diag, mine, place), find(diag, place, mine)
            assert row is not None
            assert back is not None
            assert (row.state, back.state) == (1, 1)
            assert (f"{row.local[0]}", row.local[1]) == mine
            assert (f"{back.peer[0]}", back.peer[1]) == mine
            assert len(row.attributes[TCP_INFO]) >= 232
            listens = find(diag, (bound, place[1]), None)
            assert listens is not None
            assert (listens.state, listens.rqueue) == (10, 1)
            # Whoever else came from there would meet the listener: that is not a connection.
            assert find(diag, place, (host, 1)) is None
            assert find(diag, (host, 1), place) is None


def test_ends_that_are_no_addresses() -> None:
    with pytest.raises(ValueError, match="nowhere"):
        sockdiag.ends_of(("nowhere", 80), None)
