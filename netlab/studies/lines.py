"""What carries messages between a process and its child: each kind, by as few calls as it takes.

Both ends know how long a message is. A line waits in the kernel, or spins: it asks again and again.
No call of it is recorded, since a note of a call costs as much as the call.
"""

from __future__ import annotations

import itertools
import mmap
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from netlab.server.plain import PlainProbe
from netlab.studies.queues import posix_queue, sysv_queue, tcp_pair

PIPE, POSIX, SYSV = "pipe", "POSIX queue", "System V queue"
STREAM, DATAGRAM, SEQPACKET = "Unix stream", "Unix datagram", "Unix seqpacket"
TCP = "TCP"
SHARED = "shared memory"
SEMAPHORE, EVENTFD, SIGNAL = (f"{SHARED}, {bell}" for bell in ("semaphore", "eventfd", "signal"))
KINDS = (PIPE, POSIX, SYSV, STREAM, DATAGRAM, SEQPACKET, TCP)
WAITING_KINDS = (*KINDS, SEMAPHORE, EVENTFD, SIGNAL)
SPINNING_KINDS = (*KINDS, SHARED)  # who looks into memory needs no bell
BLOCKING, SPINNING = "blocking", "spinning"
QUEUE_BYTES = 8192  # of a message of a queue at most: /proc/sys/fs/mqueue, /proc/sys/kernel/msgmax
_QUEUE_MESSAGES = 10
_MOST_SLOTS, _SLOTS_BYTES = 64, 256 << 10
# Signals of real time are queued, so they count (man 7 signal).
_DATA, _ROOM = signal.SIGRTMIN, signal.SIGRTMIN + 1


class Line(Protocol):
    """One end; the parent's and the child's are alike."""

    def put(self, message: bytes) -> None:
        """Send it, whole."""
        ...

    def get(self) -> bytes:
        """The next message, whole."""
        ...


@dataclass(frozen=True, slots=True)
class Ends:
    """A line: the parent's end, the child's, what the parent does when all is over, and what it
    does once it knows the pid of its child."""

    ours: Line
    its: Line
    close: Callable[[], None]
    meet: Callable[[int], object] = lambda pid: None


def both_ends(kind: str, how: str, size: int) -> Ends:
    """A new line for messages of so many bytes. To be used by a parent and a child it then forks.

    Raises OSError where the kernel has no room for one more.
    """
    if kind == PIPE:
        return _pipes(how, size)
    if kind in (POSIX, SYSV):
        return (_posix if kind == POSIX else _sysv)(how == BLOCKING, size)
    if kind.startswith(SHARED):
        return _shared(kind, size)
    one, other = _tcp_pair() if kind == TCP else socket.socketpair(socket.AF_UNIX, _TYPES[kind])
    for sock in (one, other):
        sock.setblocking(how == BLOCKING)

    def close() -> None:
        one.close()
        other.close()

    ours, its = (_Bytes(sock.recv, sock.send, how, size) for sock in (one, other))
    return Ends(ours, its, close)


_TYPES = {
    STREAM: socket.SOCK_STREAM,
    DATAGRAM: socket.SOCK_DGRAM,
    SEQPACKET: socket.SOCK_SEQPACKET,
}


def _tcp_pair() -> tuple[socket.socket, socket.socket]:
    listener, one, other = tcp_pair(PlainProbe(), port=0)
    listener.close()
    for sock in (one, other):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one, other


class _Bytes:
    """A descriptor to read from and one to write to. Bytes have no borders: a message may come in
    pieces; where they have borders, it comes at once."""

    def __init__(
        self, read: Callable[[int], bytes], write: Callable[[Any], int], how: str, size: int
    ) -> None:
        self._read, self._write, self._size = read, write, size
        if how == SPINNING:
            self._read, self._write = _again(read), _again(write)

    def put(self, message: bytes) -> None:
        sent = self._write(message)
        while sent < self._size:
            sent += self._write(memoryview(message)[sent:])

    def get(self) -> bytes:
        data = self._read(self._size)
        while len(data) < self._size:
            data += self._read(self._size - len(data))
        return data


def _again(call: Callable[..., Any], busy: type[Exception] = BlockingIOError) -> Callable[..., Any]:
    """The call, until it does not say EAGAIN any more; `busy` is its word for that."""

    def until_done(*arguments: Any) -> Any:
        while True:
            try:
                return call(*arguments)
            except busy:
                continue

    return until_done


def _pipes(how: str, size: int) -> Ends:
    there, back = os.pipe(), os.pipe()
    for descriptor in (*there, *back):
        os.set_blocking(descriptor, how == BLOCKING)

    def end(reader: int, writer: int) -> _Bytes:
        return _Bytes(lambda most: os.read(reader, most), lambda data: os.write(writer, data),
                      how, size)  # fmt: skip

    def close() -> None:
        for descriptor in (*there, *back):
            os.close(descriptor)

    return Ends(end(back[0], there[1]), end(there[0], back[1]), close)


class _Queues:
    """A queue for each way. A message longer than theirs goes in pieces."""

    def __init__(
        self, receive: Callable[[], bytes], send: Callable[[bytes], object], size: int
    ) -> None:
        self._receive, self._send, self._size = receive, send, size

    def put(self, message: bytes) -> None:
        if self._size <= QUEUE_BYTES:
            self._send(message)
            return
        for start in range(0, self._size, QUEUE_BYTES):
            self._send(message[start : start + QUEUE_BYTES])

    def get(self) -> bytes:
        data = self._receive()
        while len(data) < self._size:
            data += self._receive()
        return data


def _posix(blocks: bool, size: int) -> Ends:
    import posix_ipc

    most_bytes = min(size, QUEUE_BYTES)
    there, back = (
        posix_queue(most_bytes, blocks=blocks, messages=_QUEUE_MESSAGES) for _ in range(2)
    )
    free = partial(_again, busy=posix_ipc.BusyError)

    def end(inbound: Any, outbound: Any) -> _Queues:
        return _Queues(free(lambda: inbound.receive()[0]), free(outbound.send), size)

    def close() -> None:
        there.close()
        back.close()

    return Ends(end(back, there), end(there, back), close)


def _sysv(blocks: bool, size: int) -> Ends:
    import sysv_ipc

    there, back = (sysv_queue(min(size, QUEUE_BYTES)) for _ in range(2))
    free = partial(_again, busy=sysv_ipc.BusyError)

    def end(inbound: Any, outbound: Any) -> _Queues:
        return _Queues(
            free(lambda: inbound.receive(block=blocks)[0]),
            free(lambda piece: outbound.send(piece, block=blocks)),
            size,
        )

    def close() -> None:
        there.remove()
        back.remove()

    return Ends(end(back, there), end(there, back), close)


class Bell(Protocol):
    """Counts: who waits takes one, and sleeps while there is none."""

    def ring(self) -> None:
        """One more."""
        ...

    def wait(self) -> None:
        """One less, as soon as there is one."""
        ...


class _Shared:
    """Slots in memory that both processes have, in a ring for each way: copied in, and copied out.

    A bell counts the slots that are full, another those that are free.
    """

    def __init__(
        self, memory: mmap.mmap, ways: tuple[int, int], bells: Callable[[int], tuple[Bell, Bell]],
        size: int, slots: int,
    ) -> None:  # fmt: skip
        self._memory, self._size, self._slots = memory, size, slots
        self._out_at, self._in_at = (way * slots * size for way in ways)
        self._put_next = self._get_next = 0
        (self._out_full, self._out_free), (self._in_full, self._in_free) = map(bells, ways)

    def put(self, message: bytes) -> None:
        self._out_free.wait()
        at = self._out_at + self._put_next % self._slots * self._size
        self._memory[at : at + self._size] = message
        self._put_next += 1
        self._out_full.ring()

    def get(self) -> bytes:
        self._in_full.wait()
        at = self._in_at + self._get_next % self._slots * self._size
        message = self._memory[at : at + self._size]
        self._get_next += 1
        self._in_free.ring()
        return message


class _Looked:
    """The same without bells: a byte before each slot says whether it is full.

    The byte is written behind the slot's own, which is the order in which another processor sees
    it: on x86-64 (its manual: stores are seen in order); `lacks` of the study asks for that.
    """

    def __init__(self, memory: mmap.mmap, ways: tuple[int, int], size: int, slots: int) -> None:
        self._memory, self._size, self._slots = memory, size, slots
        self._out_at, self._in_at = (way * slots * (1 + size) for way in ways)
        self._put_next = self._get_next = 0

    def put(self, message: bytes) -> None:
        memory = self._memory
        at = self._out_at + self._put_next % self._slots * (1 + self._size)
        while memory[at]:
            pass
        memory[at + 1 : at + 1 + self._size] = message
        memory[at] = 1
        self._put_next += 1

    def get(self) -> bytes:
        memory = self._memory
        at = self._in_at + self._get_next % self._slots * (1 + self._size)
        while not memory[at]:
            pass
        message = memory[at + 1 : at + 1 + self._size]
        memory[at] = 0
        self._get_next += 1
        return message


def _shared(kind: str, size: int) -> Ends:
    slots = max(2, min(_MOST_SLOTS, _SLOTS_BYTES // size))
    memory = mmap.mmap(-1, 2 * slots * (1 + size))
    if kind == SHARED:
        ends = [_Looked(memory, ways, size, slots) for ways in ((0, 1), (1, 0))]
        return Ends(ends[0], ends[1], memory.close)
    bells, over, meet = _BELLS[kind](slots)
    one, other = (_Shared(memory, ways, bells, size, slots) for ways in ((0, 1), (1, 0)))
    return Ends(one, other, over, meet)


Bells = tuple[Callable[[int], tuple[Bell, Bell]], Callable[[], None], Callable[[int], object]]


def _semaphores(slots: int) -> Bells:
    """POSIX semaphores: a call only for who must sleep, or must wake somebody (man 7 futex)."""
    import posix_ipc

    class Semaphore:
        def __init__(self, count: int) -> None:
            made = posix_ipc.Semaphore(None, posix_ipc.O_CREX, mode=0o600, initial_value=count)
            made.unlink()
            self.ring, self.wait, self.close = made.release, made.acquire, made.close

    made = [(Semaphore(0), Semaphore(slots)) for _ in range(2)]

    def close() -> None:
        for bell in itertools.chain(*made):
            bell.close()

    return made.__getitem__, close, lambda pid: None


def _eventfds(slots: int) -> Bells:
    """Counters of the kernel: a call to ring, and one to wait."""

    class Eventfd:
        def __init__(self, count: int) -> None:
            self.fd = os.eventfd(count, os.EFD_SEMAPHORE | os.EFD_CLOEXEC)

        def ring(self) -> None:
            os.eventfd_write(self.fd, 1)

        def wait(self) -> None:
            os.eventfd_read(self.fd)

    made = [(Eventfd(0), Eventfd(slots)) for _ in range(2)]

    def close() -> None:
        for bell in itertools.chain(*made):
            os.close(bell.fd)

    return made.__getitem__, close, lambda pid: None


def _signals(slots: int) -> Bells:
    """Signals of real time, blocked and waited for: the kernel counts them for the process.

    Each process rings for the other: a parent for the child that it forks after this. Both have one
    thread: of several, any that does not block the signal would take it.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {_DATA, _ROOM})
    parent, child = os.getpid(), list[int]()

    class Signal:
        def __init__(self, number: int, count: int) -> None:
            self._number, self._left = {number}, count

        def ring(self) -> None:
            os.kill(child[0] if os.getpid() == parent else parent, *self._number)

        def wait(self) -> None:
            if self._left:
                self._left -= 1  # what was there from the beginning
            else:
                signal.sigwait(self._number)

    def bells(way: int) -> tuple[Bell, Bell]:
        return Signal(_DATA, 0), Signal(_ROOM, slots)

    def close() -> None:
        while signal.sigtimedwait({_DATA, _ROOM}, 0):
            pass  # those that told of room which nobody wanted any more

    return bells, close, child.append


_BELLS = {SEMAPHORE: _semaphores, EVENTFD: _eventfds, SIGNAL: _signals}
