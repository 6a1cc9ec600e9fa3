"""The programs of the echo scenario: a server and a client, each a process of its own in the lab.

Each gets its orders as JSON, calls sockets through the journal probe, and reports a JSON line at a
time on the descriptor NETLAB_REPORT_FD: `listening`, `messages`, `done`, `error`. The client is
made to be read in a ladder: blocking calls, one after the other. It checks every byte that comes
back. The other end is the server core in `single` mode.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import socket
import time
from dataclasses import asdict, dataclass
from typing import Any

from netlab.lab.pattern import first_difference, pattern
from netlab.model.probe import Probe

QUEUE_LIMIT_BYTES = 1 << 20  # of output that waits for one client; above 4/5 it is not read
DATAGRAM_WAIT_S = 1.0  # an answer on loopback that is not there by then was dropped
_PROGRESS_EVERY_S = 0.1
_KEPT: list[Probe] = []  # until the very end: the probe notes the process's exit, too


@dataclass(frozen=True, slots=True)
class ServerOrders:
    """What the echo server is to do."""

    host: str
    port: int
    udp: bool = False
    nodelay: bool = False
    queue_limit_bytes: int = QUEUE_LIMIT_BYTES

    def as_json(self) -> str:
        return json.dumps({"role": "server", **asdict(self)})


@dataclass(frozen=True, slots=True)
class ClientOrders:
    """What an echo client is to do."""

    host: str
    port: int
    messages: int
    size_bytes: int
    think_ms: float = 0.0
    udp: bool = False
    nodelay: bool = False
    recv_size_bytes: int = 1 << 16

    def as_json(self) -> str:
        return json.dumps({"role": "client", **asdict(self)})


class Failed(Exception):
    """The program cannot do its work, for a reason that the user must hear in one line."""


def main(arguments: list[str]) -> None:
    """Carry out the orders in `arguments[0]`; exit status 1 when they could not be."""
    orders: dict[str, Any] = json.loads(arguments[0])
    report = Report(int(os.environ["NETLAB_REPORT_FD"]))
    role = orders.pop("role")
    probe = watched_probe()
    _KEPT.append(probe)
    try:
        if role == "server":
            serve(ServerOrders(**orders), probe, report)
        else:
            client = Client(ClientOrders(**orders), probe, report)
            client.heed_signals()
            client.run()
    except Failed as failure:
        report.say(error=str(failure))
        raise SystemExit(1) from None


def watched_probe() -> Probe:
    """The journal probe that the environment describes."""
    from netlab.capture.probe import JournalProbe

    return JournalProbe.from_environment()


class Report:
    """The pipe on which a program tells netlab how it gets on."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def say(self, **facts: object) -> None:
        """Write one line. Nobody there to read it is no reason to stop."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._descriptor, json.dumps(facts).encode() + b"\n")


def serve(orders: ServerOrders, probe: Probe, report: Report) -> None:
    """Be the echo server until SIGTERM."""
    from netlab.server import Server
    from netlab.server.entrance import ListenError
    from netlab.server.terms import Client as Sender

    server = Server(
        orders.host, orders.port, kind="udp" if orders.udp else "tcp", probe=probe,
        nodelay=orders.nodelay, output_buffer=orders.queue_limit_bytes,
    )  # fmt: skip

    def receive(server: Server, session: int, data: bytes) -> None:
        server.send(session, data)

    def packet(server: Server, data: bytes, client: Sender) -> None:
        server.sendto(client, data)

    server.on("receive", receive)
    server.on("packet", packet)
    try:
        port = server.open()[0].port
    except ListenError as error:
        report.say(error=os.strerror(error.errno), errno=errno.errorcode.get(error.errno, "EIO"))
        raise SystemExit(1) from None
    server.on("start", lambda server: report.say(listening=port))  # signals are heeded by then
    server.start()


class Client:
    """One echo client: connect, say and hear `messages` times, close."""

    def __init__(self, orders: ClientOrders, probe: Probe, report: Report) -> None:
        self._orders = orders
        self._report = report
        self._next_progress_s = 0.0
        pattern(0, 1)  # computes its first block now, not between two calls
        family = socket.AF_INET6 if ":" in orders.host else socket.AF_INET
        kind = socket.SOCK_DGRAM if orders.udp else socket.SOCK_STREAM
        self._socket = probe.socket(family, kind)
        self._wake = -1  # readable once we were told to stop; negative: poll passes it over
        self.lost = 0  # datagrams without an answer

    def heed_signals(self) -> None:
        """On SIGTERM end after the message that is under way, and close in order.

        The handler only leaves a byte in a pipe: an exception from it could strike between a call
        and the note that the probe takes of it.
        """
        self._wake, wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.signal(signal.SIGTERM, lambda number, frame: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)

    def run(self) -> None:
        """The whole conversation. Raises Failed when the echo is not what was sent."""
        orders = self._orders
        if orders.nodelay and not orders.udp:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._socket.connect((orders.host, orders.port))
            if orders.udp:
                self._socket.settimeout(DATAGRAM_WAIT_S)
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
        except Failed:
            self._socket.close()
            raise
        except OSError as error:
            self._socket.close()
            number = errno.errorcode.get(error.errno or 0, "")
            raise Failed(f"the client's {error.strerror or error} ({number})") from error
        self._report.say(done=True, messages=orders.messages, lost=self.lost)

    def _told_to_stop(self, within_ms: float) -> bool:
        """Think for so long, or until SIGTERM comes."""
        poller = select.poll()
        if self._wake >= 0:
            poller.register(self._wake, select.POLLIN)
        return bool(poller.poll(within_ms))

    def _exchange(self, start: int) -> None:
        """Send one message, then read until all of it has come back."""
        stop = start + self._orders.size_bytes
        rest = memoryview(pattern(start, stop))
        while rest:
            rest = rest[self._socket.send(rest) :]
        while start < stop:
            data = self._socket.recv(self._orders.recv_size_bytes)
            if not data:
                raise Failed(f"the server closed the connection {stop - start} bytes too early")
            self._check(data, start)
            start += len(data)

    def _exchange_datagram(self, start: int) -> None:
        """Send one datagram and wait for it to come back, or for the time-out."""
        message = pattern(start, start + self._orders.size_bytes)
        self._socket.send(message)
        while True:
            try:
                data = self._socket.recv(self._orders.recv_size_bytes)
            except TimeoutError:
                self.lost += 1
                return
            if data == message[: self._orders.recv_size_bytes]:  # the rest of a datagram is lost
                return
            # Else the answer to an earlier one that was given up: it must be one that we sent.
            earlier = range(0, start, self._orders.size_bytes) if self.lost else range(0)
            if not any(first_difference(data, at) is None for at in earlier):
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
        wrong = first_difference(data, start)
        if wrong is not None:
            raise Failed(f"byte {wrong} of the echo is not the byte that was sent")

    def _progress(self, messages: int) -> None:
        now_s = time.monotonic()
        if now_s >= self._next_progress_s:
            self._next_progress_s = now_s + _PROGRESS_EVERY_S
            self._report.say(messages=messages)
