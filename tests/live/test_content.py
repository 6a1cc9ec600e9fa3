"""The reading of strace's own words that the map is compared with: each form it prints, once."""

from __future__ import annotations

from pathlib import Path

import pytest
from live.content import printed

ENDS = ["10.0.0.1:4000", "10.0.0.2:80"]
SOCKET = "5<TCP:[10.0.0.1:4000->10.0.0.2:80]>"
PIPE = r"7<\x70\x69\x70\x65>"
ABC, DE = r"\x61\x62\x63", r"\x64\x65"


def read(folder: Path, *lines: str) -> list[tuple[int, int, str, int, bool, bytes | None]]:
    log = folder / "log"
    log.write_text("".join(f"{line}\n" for line in lines))
    found = printed(log)
    assert all(one.ends == ENDS for one in found)
    return [(one.line, one.tid, one.op, one.bytes, one.outbound, one.data) for one in found]


@pytest.mark.parametrize(
    ("call", "op", "count", "outbound", "data"),
    [
        (f'write({SOCKET}, "{ABC}{DE}", 5) = 3', "write", 3, True, b"abc"),
        (f'read({SOCKET}, "{ABC}", 100) = 3', "read", 3, False, b"abc"),
        (f'sendto({SOCKET}, "{ABC}", 3, MSG_NOSIGNAL, NULL, 0) = 3', "sendto", 3, True, b"abc"),
        (f'recvfrom({SOCKET}, "{ABC}", 9, 0, NULL, NULL) = 3', "recvfrom", 3, False, b"abc"),
        (
            f'writev({SOCKET}, [{{iov_base="{ABC}", iov_len=3}}, {{iov_base="", iov_len=0}}, '
            f'{{iov_base="{DE}", iov_len=2}}], 3) = 5',
            "writev", 5, True, b"abcde",
        ),
        (
            f'recvmsg({SOCKET}, {{msg_name=NULL, msg_namelen=0, msg_iov=[{{iov_base="{ABC}", '
            f'iov_len=3}}, {{iov_base="{DE}", iov_len=9}}], msg_iovlen=2, msg_controllen=0, '
            "msg_flags=0}, 0) = 5",
            "recvmsg", 5, False, b"abcde",
        ),
        (
            f'sendmmsg({SOCKET}, [{{msg_hdr={{msg_iov=[{{iov_base="{ABC}", iov_len=3}}]}}, '
            f'msg_len=3}}, {{msg_hdr={{msg_iov=[{{iov_base="{DE}", iov_len=2}}]}}, msg_len=2}}], '
            "2, 0) = 2",
            "sendmmsg", 5, True, b"abcde",
        ),
        (rf"sendfile({SOCKET}, 8<\x2f\x66>, [0] => [3], 9) = 3", "sendfile", 3, True, None),
        (f"splice({SOCKET}, NULL, {PIPE}, NULL, 9, 0) = 3", "splice", 3, False, None),
        (f"splice({PIPE}, NULL, {SOCKET}, NULL, 9, 0) = 3", "splice", 3, True, None),
    ],
)  # fmt: skip
def test_calls_that_move_bytes(
    tmp_path: Path, call: str, op: str, count: int, outbound: bool, data: bytes | None
) -> None:
    line = f"12    1700000000.000001 {call} <0.000012>"
    assert read(tmp_path, line) == [(1, 12, op, count, outbound, data)]


@pytest.mark.parametrize(
    "call",
    [
        f'recvfrom({SOCKET}, "{ABC}", 9, MSG_PEEK, NULL, NULL) = 3',
        f'read({SOCKET}, "", 9) = 0',
        f"read({SOCKET}, 0x7ffc0000, 9) = -1 EAGAIN (Resource temporarily unavailable)",
        rf'read(8<\x2f\x66>, "{ABC}", 9) = 3',
        f"close({SOCKET}) = 0",
    ],
)
def test_calls_that_do_not(tmp_path: Path, call: str) -> None:
    assert read(tmp_path, f"12    1700000000.000001 {call} <0.000012>") == []


def test_calls_that_others_interrupt_stand_where_they_began(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        f"12    1700000000.000001 recvfrom({SOCKET},  <unfinished ...>",
        f'13    1700000000.000002 write({SOCKET}, "{DE}", 2) = 2 <0.000012>',
        f'12    1700000000.000003 <... recvfrom resumed>"{ABC}", 9, 0, NULL, NULL) = 3 <0.000012>',
        f"13    1700000000.000004 recvfrom({SOCKET},  <unfinished ...>",
    )
    assert found == [(1, 12, "recvfrom", 3, False, b"abc"), (2, 13, "write", 2, True, b"de")]


def test_ipv4_over_a_socket_for_both_is_ipv4(tmp_path: Path) -> None:
    both = "5<TCPv6:[[::ffff:10.0.0.1]:4000->[::ffff:10.0.0.2]:80]>"
    line = f'12    1700000000.000001 write({both}, "{ABC}", 3) = 3 <0.000012>'
    assert read(tmp_path, line) == [(1, 12, "write", 3, True, b"abc")]
