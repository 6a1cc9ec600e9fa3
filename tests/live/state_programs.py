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
    """Wait until all are, say so, wait for TERM: TCP_INFO of each then, in hexadecimal.

    They stay open until a second TERM, so that nothing changes at the other end meanwhile.
    """
    while not all(map(is_quiet, socks)):
        select.select([], [], [], _LOOK_S)
    say_and_wait("quiet")
    found = [
        socket.socket.getsockopt(
            sock, socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES
        ).hex()  # not through the probe
        for sock in socks
    ]
    say_and_wait("taken")
    return found


def say_and_wait(word: str) -> None:
    """Until TERM comes."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()
    signal.sigwait([signal.SIGTERM])


def queue(sock: socket.socket, request: int) -> int:
    (length,) = struct.unpack("=i", fcntl.ioctl(sock.fileno(), request, bytes(4)))
    return int(length)


def read_exactly(sock: socket.socket, count: int) -> None:
    while count:
        data = sock.recv(min(count, 1 << 16))
        assert data
        count -= len(data)


def echo_all(probe: Probe, ports: list[int]) -> int:
    """Serve one connection at each port: give every byte back. Returns how many there were."""
    listeners = []
    for port in ports:
        listener = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.bind(("0.0.0.0", port))
        listener.listen()
        listeners.append(listener)
    total = 0
    for listener in listeners:
        sock, _ = listener.accept()
        while data := sock.recv(1 << 16):
            sock.sendall(data)
            total += len(data)
        finish(sock)
    return total


def say_all(probe: Probe, address: str, ports: list[int], sizes: list[int], burst: int) -> int:
    """At each port send these and wait for each echo; then them `burst` times without waiting."""
    for port in ports:
        sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.connect((address, port))
        for size in sizes:
            sock.sendall(bytes(size))
            read_exactly(sock, size)
        for size in sizes * burst:
            sock.sendall(bytes(size))
        read_exactly(sock, sum(sizes) * burst)
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""
        finish(sock)
    return sum(sizes) * (1 + burst) * len(ports)


def finish(sock: socket.socket) -> None:
    """Close it once all was acknowledged, so that every stamp has come."""
    while queue(sock, SIOCOUTQ) > 1:  # our FIN counts
        select.select([], [], [], _LOOK_S)
    sock.close()
