"""What the cases with a known cause run on the hosts: a list of steps each, one after the other.

As a function the probe records its calls, as a command (`python cause_programs.py JSON ADDRESS`)
strace does. A step is a list: its word and what it needs. `at` steps wait for a moment of the
program's own clock, so that two sides keep their distance without speaking.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

Step = Sequence[Any]
PORT = 7
_OPTIONS = {
    "nodelay": (socket.IPPROTO_TCP, socket.TCP_NODELAY),
    "cork": (socket.IPPROTO_TCP, socket.TCP_CORK),
    "sndbuf": (socket.SOL_SOCKET, socket.SO_SNDBUF),
    "rcvbuf": (socket.SOL_SOCKET, socket.SO_RCVBUF),
    "keepalive": (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    "keepidle": (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
    "keepintvl": (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
    "keepcnt": (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
    "user_timeout": (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
    "pacing": (socket.SOL_SOCKET, 47),  # SO_MAX_PACING_RATE, asm-generic/socket.h
    "rcvlowat": (socket.SOL_SOCKET, socket.SO_RCVLOWAT),
}


_OF_TCP_INFO = (24, 144, 228)  # tcpi_unacked, tcpi_notsent_bytes, tcpi_snd_wnd: linux/tcp.h


class Plain:
    """What a program without a probe has in its place."""

    @staticmethod
    def socket(family: int, kind: int) -> socket.socket:
        return socket.socket(family, kind)

    @staticmethod
    def poll() -> Any:
        return select.poll()

    @staticmethod
    def epoll() -> Any:
        return select.epoll()


class Player:
    """One side of a case."""

    def __init__(self, probe: Any, address: str) -> None:
        self.probe, self.address = probe, address
        self.family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.kept: list[Any] = []
        self.listener: Any = None
        self.sock: Any = None
        self.epoll: Any = None

    def play(self, steps: Sequence[Step]) -> None:
        for word, *rest in steps:
            step: Callable[..., None] = getattr(self, f"do_{word}")
            step(*rest)

    # -- beginnings

    def do_listen(self, backlog: int = 16, *options: Any) -> None:
        self.listener = self.probe.socket(self.family, socket.SOCK_STREAM)
        for name, value in zip(options[::2], options[1::2], strict=True):
            self.listener.setsockopt(*_OPTIONS[name], value)
        self.listener.bind(("::" if self.family == socket.AF_INET6 else "0.0.0.0", PORT))
        self.listener.listen(backlog)

    def do_accept(self) -> None:
        if self.sock is not None:
            self.kept.append(self.sock)
        self.sock, _ = self.listener.accept()

    def do_socket(self) -> None:
        if self.sock is not None:
            self.kept.append(self.sock)
        self.sock = self.probe.socket(self.family, socket.SOCK_STREAM)

    def do_bind(self) -> None:
        """A socket of datagrams, at the port."""
        self.sock = self.probe.socket(self.family, socket.SOCK_DGRAM)
        self.sock.bind(("::" if self.family == socket.AF_INET6 else "0.0.0.0", PORT))

    def do_answer_first(self) -> None:
        """Read a datagram, connect to who sent it, and answer."""
        _, peer = self.sock.recvfrom(1 << 16)
        self.sock.connect(peer)
        self.sock.send(b"q" * 11)

    def do_datagrams(self) -> None:
        """A socket of datagrams that has the server for a peer, and what it had for an answer."""
        self.sock = self.probe.socket(self.family, socket.SOCK_DGRAM)
        self.sock.connect((self.address, PORT))
        self.sock.send(b"p" * 11)
        self.sock.recv(1 << 16)

    def do_connect(self, port: int = PORT) -> None:
        if self.sock is None:
            self.do_socket()
        try:
            self.sock.connect((self.address, port))
        except OSError as error:
            print(error)

    def do_begin(self, port: int = PORT) -> None:
        """A connect that goes on, to be waited for with `room`."""
        self.do_socket()
        self.sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            self.sock.connect((self.address, port))
        self.sock.setblocking(True)

    def do_set(self, name: str, value: int) -> None:
        self.sock.setsockopt(*_OPTIONS[name], value)

    def do_linger(self, seconds: int) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, seconds))

    def do_receive_timeout(self, ms: int) -> None:
        value = struct.pack("ll", ms // 1000, ms % 1000 * 1000)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)

    # -- talk

    def do_send(self, count: int, flags: int = 0) -> None:
        try:
            self.sock.sendall(b"x" * count, flags)
        except OSError as error:
            print(error)

    def do_sends(self, number: int, count: int) -> None:
        for _ in range(number):
            self.sock.sendall(b"x" * count)

    def do_leave(self, room: int) -> None:
        """Write until the peer's window has room for `room` bytes, less than a segment, no more.

        Its right edge never moves back (RFC 9293 3.8.6), so what is left of it stays, however much
        memory the receiver has used. Where it moved on, the rest is written, too.
        """
        while (window := self._window_once_acknowledged()) > room:
            self.sock.sendall(b"x" * (window - room))

    def _window_once_acknowledged(self) -> int:
        while True:
            info = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
            unacked, unsent, window = (struct.unpack_from("=I", info, at)[0] for at in _OF_TCP_INFO)
            if not unacked and not unsent:
                return int(window)
            time.sleep(0.001)

    def do_recv(self, count: int = 1 << 16, flags: int = 0) -> None:
        """One call, whatever comes of it."""
        try:
            self.sock.recv(count, flags)
        except OSError as error:
            print(error)

    def do_whole(self, count: int) -> None:
        """One call for all of it."""
        self.sock.recv(count, socket.MSG_WAITALL)

    def do_read(self, count: int, at_once: int = 1 << 16) -> None:
        """As many calls as it takes."""
        left = count
        while left and (data := self.sock.recv(min(at_once, left))):
            left -= len(data)

    def do_drain(self) -> None:
        while self.sock.recv(1 << 16):
            pass

    def do_ping(self, rounds: int) -> None:
        """Small requests and answers: both ends come to delay their ACKs."""
        for _ in range(rounds):
            self.sock.sendall(b"p" * 11)
            self.sock.recv(64)

    def do_pong(self, rounds: int) -> None:
        for _ in range(rounds):
            self.sock.recv(64)
            self.sock.sendall(b"q" * 11)

    def do_poll(self, ms: int = -1, events: int = select.POLLIN) -> None:
        poller = self.probe.poll()
        poller.register(self.sock, events)
        poller.poll(None if ms < 0 else ms)

    def do_room(self) -> None:
        self.do_poll(events=select.POLLOUT)

    def do_edges(self) -> None:
        """Watch the socket for reading, edge-triggered."""
        self.epoll = self.probe.epoll()
        self.epoll.register(self.sock, select.EPOLLIN | select.EPOLLET)

    def do_wait(self) -> None:
        self.epoll.poll()

    def do_sleep(self, ms: float) -> None:
        time.sleep(ms / 1000)

    def do_shut(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def do_close(self) -> None:
        self.sock.close()
        self.sock = None


def play(probe: Any, steps: str, address: str) -> None:
    """One side of a case, its steps as JSON."""
    Player(probe, address).play(json.loads(steps))


if __name__ == "__main__":
    play(Plain, sys.argv[1], sys.argv[2])
