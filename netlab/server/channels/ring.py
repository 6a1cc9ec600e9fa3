"""A channel through shared memory: two rings of bytes, one for each way, and bells to wake.

The memory is an anonymous file (man 2 memfd_create): it has no name, and goes with the last process
that holds it. A ring has one writer and one reader. Two counters say how much was ever put and ever
taken; each is written by one side only, in one aligned store, after the bytes it speaks of. That
order must be kept by the machine, since Python has no barrier: x86 and s390x keep it, others are
refused.
"""

from __future__ import annotations

import errno
import mmap
import os
import platform
from typing import ClassVar

from netlab.model.errors import UsageError
from netlab.model.probe import Probe
from netlab.server.channels.bells import Bell, new_bell_fds
from netlab.server.channels.channel import ByteChannel, ChannelClosed
from netlab.server.channels.lifeline import Lifeline, lifeline_ends

RING_BYTES = 1 << 18  # a power of two
_READ_BYTES = 64 * 1024
_CONTROL_BYTES = 4096
_ALL_BYTES = _CONTROL_BYTES + 2 * RING_BYTES
_IN_ORDER = frozenset({"x86_64", "amd64", "i386", "i586", "i686", "s390x"})
_NUMBER_MASK = (1 << 46) - 1


class ByteRing:
    """One way: a writer puts, a reader takes, neither waits for the other."""

    def __init__(self, shared: mmap.mmap, way: int) -> None:
        memory = memoryview(shared)
        words = memory[:_CONTROL_BYTES].cast("Q")
        self._put = words[way * 16 : way * 16 + 1]  # counters on cache lines of their own
        self._taken = words[way * 16 + 8 : way * 16 + 9]
        start = _CONTROL_BYTES + way * RING_BYTES
        self._data = memory[start : start + RING_BYTES]

    def release(self) -> None:
        """Let go of the memory."""
        for view in (self._put, self._taken, self._data):
            view.release()

    def __len__(self) -> int:
        """Bytes to take."""
        return int(self._put[0] - self._taken[0])

    def put(self, data: bytes | memoryview) -> int:
        """How many bytes there was room for. Raises BlockingIOError for none."""
        head = self._put[0]
        count = min(len(data), RING_BYTES - (head - self._taken[0]))
        if not count:
            raise BlockingIOError(errno.EAGAIN, "the ring is full")
        at = head % RING_BYTES
        first = min(count, RING_BYTES - at)
        self._data[at : at + first] = data[:first]
        if first < count:
            self._data[: count - first] = data[first:count]
        self._put[0] = head + count
        return count

    def take(self, limit_bytes: int) -> bytes:
        """At most so many bytes. Raises BlockingIOError when there are none."""
        tail = self._taken[0]
        count = min(limit_bytes, self._put[0] - tail)
        if not count:
            raise BlockingIOError(errno.EAGAIN, "the ring is empty")
        at = tail % RING_BYTES
        first = min(count, RING_BYTES - at)
        data = bytes(self._data[at : at + first])
        if first < count:
            data += self._data[: count - first]
        self._taken[0] = tail + count
        return data


class RingChannel(ByteChannel):
    """One end; `side` 0 writes the first ring and reads the second."""

    kind: ClassVar[str] = "ring"

    def __init__(
        self, memory_fd: int, bell_fds: tuple[int, int], line_fd: int, side: int, probe: Probe
    ) -> None:
        super().__init__(probe, _READ_BYTES)
        self._memory_fd, self._bell_fds, self._side = memory_fd, bell_fds, side
        number = (os.fstat(memory_fd).st_ino & _NUMBER_MASK) << 1
        self._map = mmap.mmap(memory_fd, _ALL_BYTES)
        self._out, self._in = ByteRing(self._map, side), ByteRing(self._map, 1 - side)
        self._out_bell = Bell(bell_fds[side], number | side, probe)
        self._in_bell = Bell(bell_fds[1 - side], number | (1 - side), probe)
        self._out_notes = probe.notes("ring", number | side, memory_fd)
        self._in_notes = probe.notes("ring", number | (1 - side), memory_fd)
        self._lifeline = Lifeline(line_fd, self._in_bell.fd, probe)
        probe.stand_in(self._lifeline.fileno(), memory_fd)

    def fileno(self) -> int:
        """Readable: the bell was rung, or the lifeline is cut."""
        return self._lifeline.fileno()

    def write_fileno(self) -> int:
        """Writable: the bell was silenced since there was no room."""
        return self._out_bell.fd

    def receive(self) -> list[bytes]:
        """The whole messages that are here now. Raises ChannelClosed behind the last."""
        self._in_bell.silence()
        found = super().receive()
        if len(self._in):
            self._in_bell.ring()  # left for the sake of others
        return found

    def handover(self) -> tuple[str, tuple[int, ...]]:
        """See Channel."""
        return f"{self.kind} {self._side}", (self._memory_fd, *self._bell_fds, self._lifeline.fd)

    def close(self) -> None:
        """See Channel."""
        fd, self._memory_fd = self._memory_fd, -1
        if fd < 0:
            return
        self._lifeline.close()
        self._in_bell.close()
        self._out_bell.close()
        self._out_notes.call("close", None, self._out.release)
        self._in.release()
        self._map.close()
        self._in_notes.call("close", None, lambda: os.close(fd))

    def _write(self, data: bytes | memoryview, about: int) -> int:
        try:
            taken = self._out_notes.call("ring_put", len(data), lambda: self._out.put(data), about)
        except BlockingIOError:
            if self._lifeline.cut:
                raise ChannelClosed from None
            self._out_bell.fill()
            if len(self._out) == RING_BYTES:
                return 0
            return self._write(data, about)
        self._out_bell.ring()
        return taken

    def _read(self, limit_bytes: int) -> bytes | None:
        try:
            return self._take(limit_bytes)
        except BlockingIOError:
            if not self._lifeline.cut:
                return None
        try:
            return self._take(limit_bytes)  # put between that look and its writer's death
        except BlockingIOError:
            raise ChannelClosed from None

    def _take(self, limit_bytes: int) -> bytes:
        return self._in_notes.call("ring_get", limit_bytes, lambda: self._in.take(limit_bytes))


def ring_pair(probe: Probe) -> tuple[RingChannel, RingChannel]:
    """Both ends of a new channel. Raises UsageError where the machine does not keep the order."""
    if platform.machine().lower() not in _IN_ORDER:
        raise UsageError(
            f"ipc='ring' is not to be had on {platform.machine()}, which reorders its stores",
            "ipc='seqpacket'",
        )
    memory_fd = os.memfd_create("netlab-ring", os.MFD_CLOEXEC)
    os.ftruncate(memory_fd, _ALL_BYTES)
    number = (os.fstat(memory_fd).st_ino & _NUMBER_MASK) << 1
    for way in (0, 1):
        notes = probe.notes("ring", number | way, memory_fd)
        notes.call("memfd_create", RING_BYTES, lambda: memory_fd)
    bells, line = new_bell_fds(), lifeline_ends()
    one = RingChannel(memory_fd, bells, line[0], 0, probe)
    copies = os.dup(memory_fd), (os.dup(bells[0]), os.dup(bells[1]))
    return one, RingChannel(copies[0], copies[1], line[1], 1, probe)


def ring_end(description: str, fds: tuple[int, ...], probe: Probe) -> RingChannel:
    """The end that another process handed over."""
    side = int(description.split()[1])
    return RingChannel(fds[0], (fds[1], fds[2]), fds[3], side, probe)
