"""Functions that tests of states and stamps run on the hosts of a lab."""

from __future__ import annotations

import fcntl
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable

from netlab.model.probe import Probe

PORT = 80
READ_BYTES, UNREAD_BYTES = 100_003, 5003
SIOCINQ, SIOCOUTQ = 0x541B, 0x5411
TCP_INFO_BYTES = 512
_LOOK_S = 0.002


def hold(probe: Probe, owned: int, foreign: int) -> list[str]:
    """Accept so many connections, read most of each, and be quiet until TERM: TCP_INFO of each."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    accepted = []
    for make, port, count in ((probe.socket, PORT, owned), (socket.socket, PORT + 1, foreign)):
        listener = make(socket.AF_INET, socket.SOCK_STREAM)
        listener.bind(("0.0.0.0", port))
        listener.listen()
        accepted += [(listener, count)]
    socks = [listener.accept()[0] for listener, count in accepted for _ in range(count)]
    for sock in socks:
        read_exactly(sock, READ_BYTES)
    return quiet(socks, lambda sock: queue(sock, SIOCINQ) == UNREAD_BYTES)


def fill(probe: Probe, address: str, owned: int, foreign: int) -> list[str]:
    """Send more than `hold` reads over so many connections; TCP_INFO of each, after TERM."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    socks = []
    for make, port, count in ((probe.socket, PORT, owned), (socket.socket, PORT + 1, foreign)):
        for _ in range(count):
            sock = make(socket.AF_INET, socket.SOCK_STREAM)
            sock.connect((address, port))
            socks.append(sock)
    for sock in socks:
        sock.sendall(bytes(READ_BYTES + UNREAD_BYTES))
    return quiet(socks, lambda sock: queue(sock, SIOCOUTQ) == 0)


def quiet(socks: list[socket.socket], is_quiet: Callable[[socket.socket], bool]) -> list[str]:
    """Wait until all are, say so, wait for TERM: TCP_INFO of each then, in hexadecimal."""
    while not all(map(is_quiet, socks)):
        select.select([], [], [], _LOOK_S)
    sys.stdout.write("quiet\n")
    sys.stdout.flush()
    signal.sigwait([signal.SIGTERM])
    return [
        socket.socket.getsockopt(
            sock, socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES
        ).hex()  # not through the probe
        for sock in socks
    ]


def queue(sock: socket.socket, request: int) -> int:
    (length,) = struct.unpack("=i", fcntl.ioctl(sock.fileno(), request, bytes(4)))
    return int(length)


def read_exactly(sock: socket.socket, count: int) -> None:
    while count:
        data = sock.recv(min(count, 1 << 16))
        assert data
        count -= len(data)
