"""One of each kind of IPC, both ends of it in one process, and how a stranger would come to it."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.queues import (
    posix_calls,
    posix_queue,
    sysv_calls,
    sysv_queue,
    tcp_pair,
)
from netlab.studies.sockets import as_eagain
from netlab.studies.study import PORT

MOST_BYTES = 1 << 20  # what no kind with borders takes

# A program of its own: what it has of ours is what a name gives it. It says `s` to each kind.
STRANGER = """\
import contextlib, json, mmap, os, signal, socket, sys
import posix_ipc, sysv_ipc

place = json.loads(sys.argv[1])

def by_number(kind):
    number, inode = place[kind]
    if os.fstat(number).st_ino == inode:
        os.write(number, b"s")

def by_path(kind, type):
    sock = socket.socket(socket.AF_UNIX, type)
    sock.connect(place[kind])
    sock.send(b"s")

def memory():
    shared = posix_ipc.SharedMemory(place["shared memory"])
    mmap.mmap(shared.fd, shared.size)[0:1] = b"s"

for said in (
    lambda: by_number("pipe"),
    lambda: by_number("socketpair"),
    lambda: os.write(os.open(place["named pipe"], os.O_WRONLY), b"s"),
    lambda: by_path("Unix stream", socket.SOCK_STREAM),
    lambda: by_path("Unix datagram", socket.SOCK_DGRAM),
    lambda: by_path("Unix seqpacket", socket.SOCK_SEQPACKET),
    lambda: socket.create_connection(("127.0.0.1", place["TCP"])).send(b"s"),
    lambda: posix_ipc.MessageQueue(place["POSIX queue"]).send(b"s"),
    lambda: sysv_ipc.MessageQueue(place["System V queue"]).send(b"s"),
    memory,
    lambda: posix_ipc.Semaphore(place["semaphore"]).release(),
    lambda: os.kill(place["signal"], signal.SIGUSR2),
):
    with contextlib.suppress(OSError):
        said()
"""


@dataclass(frozen=True, slots=True)
class End:
    """One end. Neither call waits: it raises BlockingIOError."""

    put: Callable[[bytes], object]
    take: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Talk:
    """A kind in use: its two ends, where a stranger finds it, and what came from him."""

    name: str
    ours: End
    its: End
    by: str
    place: Any
    heard: Callable[[], bytes]
    has_borders: bool = False
    urgent: Callable[[], bytes] | None = None  # puts two messages, and takes the second one first
    order: str = ""  # what that is called


def talks(probe: Probe, after: contextlib.ExitStack) -> list[Talk]:
    """One of each kind but signals; `after` clears up what the kernel would keep."""
    folder = Path(after.enter_context(tempfile.TemporaryDirectory()))
    one, other = probe.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    one.setblocking(False)
    other.setblocking(False)
    inode = os.fstat(one.fileno()).st_ino
    return [
        _pipe(probe),
        _named_pipe(after, folder),
        Talk("socketpair", _end(one), _end(other), "", [one.fileno(), inode], _end(other).take),
        _unix_stream(probe, folder, "Unix stream", socket.SOCK_STREAM),
        _unix_stream(probe, folder, "Unix seqpacket", socket.SOCK_SEQPACKET),
        _unix_datagram(probe, folder),
        _tcp(probe),
        _posix(after),
        _sysv(after),
        _memory(after),
        _semaphore(after),
    ]


def _end(sock: Any) -> End:
    return End(sock.send, lambda: sock.recv(MOST_BYTES))


def _pipe(probe: Probe) -> Talk:
    reader, writer = probe.pipe()
    ours = End(writer.write, lambda: writer.read(100))
    its = End(reader.write, lambda: reader.read(100))
    place = [writer.fileno(), os.fstat(writer.fileno()).st_ino]
    return Talk("pipe", ours, its, "", place, its.take)


def _named_pipe(after: contextlib.ExitStack, folder: Path) -> Talk:
    path = folder / "named"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    after.callback(os.close, reader)
    after.callback(os.close, writer)

    def end(fd: int) -> End:
        return End(lambda data: os.write(fd, data), lambda: os.read(fd, 100))

    return Talk("named pipe", end(writer), end(reader), "by path", f"{path}", end(reader).take)


def _unix_stream(probe: Probe, folder: Path, name: str, kind: int) -> Talk:
    path = f"{folder / name}"
    listener = probe.socket(socket.AF_UNIX, kind)
    listener.bind(path)
    listener.listen(2)
    one = probe.socket(socket.AF_UNIX, kind)
    one.connect(path)
    other, _ = listener.accept()
    return _accepted(name, listener, one, other, "by path", path)


def _tcp(probe: Probe) -> Talk:
    listener, one, other = tcp_pair(probe)
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return _accepted("TCP", listener, one, other, "by port", PORT)


def _accepted(name: str, listener: Any, one: Any, other: Any, by: str, place: Any) -> Talk:
    for sock in (listener, one, other):
        sock.setblocking(False)

    def heard() -> bytes:
        with listener.accept()[0] as stranger:
            data: bytes = stranger.recv(100)
            return data

    return Talk(name, _end(one), _end(other), by, place, heard, name == "Unix seqpacket")


def _unix_datagram(probe: Probe, folder: Path) -> Talk:
    """Both have a name, and neither is connected: who is takes nothing from strangers."""
    socks = {}
    for side in ("one", "other"):
        socks[side] = probe.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        socks[side].bind(f"{folder / side}")
        socks[side].setblocking(False)

    def end(side: str, peer: str) -> End:
        return End(
            lambda data: socks[side].sendto(data, f"{folder / peer}"),
            lambda: socks[side].recv(MOST_BYTES),
        )

    ours, its = end("one", "other"), end("other", "one")
    path = f"{folder / 'other'}"
    return Talk("Unix datagram", ours, its, "by path", path, its.take, has_borders=True)


def _posix(after: contextlib.ExitStack) -> Talk:
    queue = posix_queue(limit("fs/mqueue/msgsize_max"), name=f"/netlab-kinds-{os.getpid()}")
    after.callback(queue.unlink)
    end = End(*posix_calls(queue))

    def urgent() -> bytes:
        queue.send(b"1", priority=1)
        queue.send(b"2", priority=2)
        first = end.take()
        end.take()
        return first

    return Talk("POSIX queue", end, end, "by name", queue.name, end.take, True,
                urgent, "priority")  # fmt: skip


def _sysv(after: contextlib.ExitStack) -> Talk:
    queue = sysv_queue(MOST_BYTES)
    after.callback(queue.remove)
    end = End(*sysv_calls(queue))

    def urgent() -> bytes:
        queue.send(b"1", type=1)
        queue.send(b"2", type=2)
        first: bytes = queue.receive(type=2)[0]
        end.take()
        return first

    return Talk("System V queue", end, end, "by key", queue.key, end.take, True,
                urgent, "by type")  # fmt: skip


def _memory(after: contextlib.ExitStack) -> Talk:
    """Both processes have the same place: who takes it leaves zeros behind."""
    import posix_ipc

    name = f"/netlab-kinds-{os.getpid()}"
    shared = posix_ipc.SharedMemory(name, posix_ipc.O_CREX, mode=0o600, size=mmap.PAGESIZE)
    after.callback(shared.unlink)
    after.callback(shared.close_fd)
    memory = mmap.mmap(shared.fd, mmap.PAGESIZE)

    def put(data: bytes) -> None:
        memory[: len(data)] = data

    def take() -> bytes:
        data = memory[:].rstrip(b"\0")
        memory[:] = bytes(mmap.PAGESIZE)
        if not data:
            raise BlockingIOError(errno.EAGAIN, "nobody wrote")
        return data

    end = End(put, take)
    return Talk("shared memory", end, end, "by name", name, take)


def _semaphore(after: contextlib.ExitStack) -> Talk:
    import posix_ipc

    semaphore = posix_ipc.Semaphore(f"/netlab-kinds-{os.getpid()}", posix_ipc.O_CREX, mode=0o600)
    after.callback(semaphore.unlink)

    def acquired() -> bytes:
        semaphore.acquire(0)
        return b""

    end = End(lambda data: semaphore.release(), as_eagain(acquired, posix_ipc.BusyError))
    return Talk("semaphore", end, end, "by name", semaphore.name, end.take)


def limit(name: str) -> int:
    """A limit of this kernel, in bytes."""
    return int(Path(f"/proc/sys/{name}").read_text(encoding="ascii"))
