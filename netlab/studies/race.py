"""Two processes that send each other messages as fast as they can, by whatever carries them.

Nothing here is recorded: a call that is noted costs as much again, and it is the calls that are
timed. What is told is the best of many short rounds, so that other programs of a busy machine are
not measured with them.
"""

from __future__ import annotations

import mmap
import os
import select
import socket
import time
from collections.abc import Callable
from typing import Protocol

from netlab.server.channels import Channel, ChannelClosed, make_pair
from netlab.server.channels.ring import RING_BYTES, ByteRing
from netlab.server.channels.unix import StreamChannel
from netlab.server.messages.envelope import ByteInbox, with_length
from netlab.server.plain import PlainProbe
from netlab.studies.family import ended, forked

PIPE, UNIX, TCP, SHARED = "pipe", "Unix stream", "TCP", "shared memory"
KINDS = (PIPE, UNIX, TCP, SHARED)
BLOCKING, SPINNING = "blocking", "spinning"
ROUND_TRIPS, LEAST_ROUNDS = 10, 3
BUDGET_S = 0.12  # for one figure, unless the least rounds take longer
FLOW_BYTES, FLOW_MESSAGES = 1 << 19, 250  # of a round in one direction, at most
_PROBE = PlainProbe()


class Line(Protocol):
    """One end, between two processes."""

    def put(self, message: bytes) -> None:
        """Send it, whole."""
        ...

    def get(self) -> bytes:
        """The next message, empty at the end."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


class ChannelLine:
    """A channel of the server core, that waits in poll() or spins."""

    def __init__(self, channel: Channel, how: str) -> None:
        self._channel, self._spins = channel, how == SPINNING
        self._here: list[bytes] = []
        self._room = select.poll()
        self._room.register(channel.write_fileno(), select.POLLOUT)

    def put(self, message: bytes) -> None:
        self._channel.send(message)
        while self._channel.queued_bytes and not self._channel.flush():
            self._room.poll()

    def get(self) -> bytes:
        try:
            while not self._here:
                if not self._spins:
                    self._channel.wait(60)
                self._here = self._channel.receive()[::-1]
        except ChannelClosed:
            return b""
        return self._here.pop()

    def close(self) -> None:
        self._channel.close()


class RingLine:
    """The rings of the server core without their bells: both ends look until there is something."""

    def __init__(self, memory: mmap.mmap, side: int) -> None:
        self._out, self._in = ByteRing(memory, side), ByteRing(memory, 1 - side)
        self._inbox = ByteInbox()
        self._here: list[bytes] = []

    def put(self, message: bytes) -> None:
        rest = memoryview(with_length(message))
        while rest:
            try:
                rest = rest[self._out.put(rest) :]
            except BlockingIOError:
                continue

    def get(self) -> bytes:
        while not self._here:
            try:
                self._here = self._inbox.join(self._in.take(RING_BYTES))[::-1]
            except BlockingIOError:
                continue
        return self._here.pop()

    def close(self) -> None:
        """There is no end to be seen: an empty message says it."""
        self.put(b"")


def lines(kind: str, how: str) -> tuple[Line, Line]:
    """Both ends of a new line. Raises UsageError where there is no such."""
    if kind == SHARED and how == SPINNING:
        memory = mmap.mmap(-1, mmap.PAGESIZE + 2 * RING_BYTES)
        return RingLine(memory, 0), RingLine(memory, 1)
    if kind == TCP:
        one, other = _tcp_pair()
        ends: tuple[Channel, Channel] = StreamChannel(one, _PROBE), StreamChannel(other, _PROBE)
    else:
        name = {PIPE: "pipe", UNIX: "stream", SHARED: "ring"}[kind]
        ends = make_pair(name, _PROBE)
    return ChannelLine(ends[0], how), ChannelLine(ends[1], how)


def _tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    for sock in (one, other):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one, other


def processors(how_many: int) -> list[int]:
    """The first ones that we may run on, one for each of two processes."""
    allowed = sorted(os.sched_getaffinity(0))
    return [allowed[0], allowed[how_many - 1]]


def round_trip_ns(kind: str, how: str, cores: int, size: int, trips: int = ROUND_TRIPS) -> int:
    """One message there and back, the mean of the best round."""

    def echo(line: Line) -> None:
        while message := line.get():
            line.put(message)

    def ask(line: Line) -> int:
        message = bytes(size)

        def once() -> int:
            begun_ns = time.monotonic_ns()
            for _ in range(trips):
                line.put(message)
                line.get()
            return (time.monotonic_ns() - begun_ns) // trips

        return _best_ns(once)

    return _raced(kind, how, cores, echo, ask)


def flow_bytes_per_s(kind: str, cores: int, size: int) -> int:
    """How many bytes a second go one way in messages of this size, in the best round."""
    count = max(4, min(FLOW_MESSAGES, FLOW_BYTES // size))

    def drain(line: Line) -> None:
        while True:
            for _ in range(count):
                if not line.get():
                    return
            line.put(b"done")

    def pour(line: Line) -> int:
        message = bytes(size)

        def once() -> int:
            begun_ns = time.monotonic_ns()
            for _ in range(count):
                line.put(message)
            line.get()
            return time.monotonic_ns() - begun_ns

        return count * size * 1_000_000_000 // _best_ns(once)

    return _raced(kind, BLOCKING, cores, drain, pour)


def _best_ns(once: Callable[[], int]) -> int:
    begun_s = time.monotonic()
    found: list[int] = []
    while len(found) < LEAST_ROUNDS or time.monotonic() - begun_s < BUDGET_S:
        found.append(once())
    return min(found)


def _raced(
    kind: str, how: str, cores: int, other: Callable[[Line], None], ours: Callable[[Line], int]
) -> int:
    """What `ours` returns, while a child does `other` at the other end, each on its processor."""
    here, there = lines(kind, how)
    before = os.sched_getaffinity(0)
    mine, its = processors(cores)

    def child() -> None:
        if not isinstance(here, RingLine):
            here.close()
        os.sched_setaffinity(0, {its})
        other(there)

    pid = forked(_PROBE, "child", child)
    if not isinstance(there, RingLine):
        there.close()
    os.sched_setaffinity(0, {mine})
    try:
        found = ours(here)
        here.close()
        ended(pid)
    finally:
        os.sched_setaffinity(0, before)
    return found
