"""The echo client of a run, and what every client is: orders in, a conversation, a report.

Made to be read in a ladder: blocking calls, one after the other, through the probe. It ends by
itself; told to stop (SIGTERM) it ends after the message that is under way. `clients` has the
others, which say where they differ.
"""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import socket
import time
from dataclasses import asdict, dataclass

from netlab.lab.pattern import pattern
from netlab.lab.report import Report
from netlab.model.probe import Probe

DATAGRAM_WAIT_S = 1.0  # an answer that is not there by then is given up
_PROGRESS_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class ClientOrders:
    """What a client is to do."""

    host: str
    port: int
    messages: int
    size_bytes: int
    think_ms: float = 0.0
    udp: bool = False
    nodelay: bool = False
    recv_size_bytes: int = 1 << 16
    scenario: str = "echo"
    tasks: bool = False  # the server has task workers

    def as_json(self) -> str:
        """For the command line of `programs`."""
        return json.dumps({"role": "client", **asdict(self)})


class Failed(Exception):
    """The program cannot do its work, for a reason that the user must hear in one line.

    `errno` is the name of the kernel's error, where that is the reason.
    """

    def __init__(self, reason: str, errno: str = "") -> None:
        super().__init__(reason)
        self.errno = errno


class Client:
    """One echo client: connect, say and hear `messages` times, close."""

    what = "echo"

    def __init__(self, orders: ClientOrders, probe: Probe, report: Report) -> None:
        self._orders = orders
        self._report = report
        self._next_progress_s = 0.0
        pattern(0, 1)  # computes its first block now, not between two calls
        family = socket.AF_INET6 if ":" in orders.host else socket.AF_INET
        kind = socket.SOCK_DGRAM if orders.udp else socket.SOCK_STREAM
        self._socket = probe.socket(family, kind)
        self._wake = -1  # readable once we were told to stop; negative: poll passes it over
        self.messages = 0  # said, and answered where an answer is due
        self.lost = 0  # datagrams without an answer

    def heed_signals(self) -> None:
        """On SIGTERM end after the message that is under way, and close in order.

        The handler only leaves a byte in a pipe: an exception from it could strike between a call
        and the note that the probe takes of it.
        """
        self._wake, wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.signal(signal.SIGTERM, lambda number, frame: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)

    def answer(self, start: int, stop: int) -> bytes:
        """What the server must say, by offsets of its stream."""
        return pattern(start, stop)

    def run(self) -> None:
        """The whole conversation. Raises Failed when an answer is not what it must be."""
        orders = self._orders
        if orders.nodelay and not orders.udp:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._socket.connect((orders.host, orders.port))
            if orders.udp:
                self._socket.settimeout(DATAGRAM_WAIT_S)
            self.converse()
        except Failed:
            self._socket.close()
            raise
        except OSError as error:
            self._socket.close()
            name = errno.errorcode.get(error.errno or 0, "")
            raise Failed(
                f"{error.strerror or error}" + (f" ({name})" if name else ""), name
            ) from error
        self._report.say(done=True, messages=self.messages, lost=self.lost)

    def converse(self) -> None:
        """What is said between connect and close."""
        orders = self._orders
        for index in range(orders.messages):
            if index and self._told_to_stop(within_ms=orders.think_ms):
                break
            start = index * orders.size_bytes
            if orders.udp:
                self._exchange_datagram(start)
            else:
                self._exchange(start)
            self._progress(index + 1)
        self._say_goodbye()

    def _told_to_stop(self, within_ms: float) -> bool:
        """Think for so long, or until SIGTERM comes."""
        poller = select.poll()
        if self._wake >= 0:
            poller.register(self._wake, select.POLLIN)
        return bool(poller.poll(within_ms))

    def _exchange(self, start: int) -> None:
        """Send one message, then read until all of it has come back."""
        stop = start + self._orders.size_bytes
        self._send(start, stop)
        while start < stop:
            data = self._socket.recv(self._orders.recv_size_bytes)
            if not data:
                raise Failed(f"the server closed the connection {stop - start} bytes too early")
            self._check(data, start)
            start += len(data)

    def _send(self, start: int, stop: int) -> None:
        self._put(pattern(start, stop))

    def _put(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._socket.send(rest) :]

    def _take(self, size: int) -> bytes:
        """Exactly so many bytes of an answer."""
        data = b""
        while len(data) < size:
            piece = self._socket.recv(size - len(data))
            if not piece:
                raise Failed("the server closed in the middle of an answer")
            data += piece
        return data

    def _exchange_datagram(self, start: int) -> None:
        """Send one datagram and wait for it to come back, or for the time-out."""
        stop = start + self._orders.size_bytes
        self._socket.send(pattern(start, stop))
        message = self.answer(start, stop)
        while True:
            try:
                data = self._socket.recv(self._orders.recv_size_bytes)
            except TimeoutError:
                self.lost += 1
                return
            if data == message[: self._orders.recv_size_bytes]:  # the rest of a datagram is lost
                return
            # Else the answer to an earlier one, given up or come twice: we must have sent that.
            earlier = range(0, start, self._orders.size_bytes)
            if not any(data == self.answer(at, at + len(data)) for at in earlier):
                self._check(data, start)
                return

    def _say_goodbye(self) -> None:
        """Close in order: our FIN, then the server's, then the descriptor."""
        if not self._orders.udp:
            self._socket.shutdown(socket.SHUT_WR)
            rest = self._socket.recv(self._orders.recv_size_bytes)
            if rest:
                raise Failed(f"the server sent {len(rest)} bytes more than it got")
        self._socket.close()

    def _check(self, data: bytes, start: int) -> None:
        expected = self.answer(start, start + len(data))
        if data != expected:
            pairs = enumerate(zip(data, expected, strict=True))
            wrong = start + next(i for i, (a, b) in pairs if a != b)
            raise Failed(f"byte {wrong} of the {self.what} is not what it must be")

    def _progress(self, messages: int) -> None:
        self.messages = messages
        now_s = time.monotonic()
        if now_s >= self._next_progress_s:
            self._next_progress_s = now_s + _PROGRESS_EVERY_S
            self._report.say(messages=messages)
