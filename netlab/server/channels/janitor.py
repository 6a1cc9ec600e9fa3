"""Removes System V message queues that nobody lived to remove.

They stay in the kernel when their users are killed. So a small process of its own session, started
with the first queue and nobody's child, holds the reading end of a pipe; each end of each channel
holds its writing end. It is told the queues that are made and removed; when the last holder is
gone, it removes what is left and ends. It is a fresh program and not a fork: it shares no memory,
no descriptor and no signal handling with the server.
"""

from __future__ import annotations

import contextlib
import os
import sys

_PROGRAM = """
import os
if os.fork():
    os._exit(0)
os.setsid()
os.closerange(3, 1 << 20)
import ctypes
queues, rest = set(), b""
while data := os.read(0, 65536):
    *lines, rest = (rest + data).split(b"\\n")
    for line in lines:
        (queues.add if line[:1] == b"+" else queues.discard)(int(line[1:]))
for queue in queues:
    ctypes.CDLL(None).msgctl(queue, 0, None)
"""


class _Line:
    """This process's own hold on its janitor."""

    fd = -1
    identity = (0, 0)


def janitor_fd() -> int:
    """A new descriptor to the janitor, which is started where there is none. Who holds an end of
    a channel keeps one and closes it last."""
    if _Line.fd < 0 or _identity(_Line.fd) != _Line.identity:
        _Line.fd = _started()
        _Line.identity = _identity(_Line.fd)
    return os.dup(_Line.fd)


def tell(fd: int, sign: str, queue: int) -> None:
    """`+`: a queue was made, `-`: it was removed."""
    with contextlib.suppress(BrokenPipeError):  # killed: queues may be left then
        os.write(fd, f"{sign}{queue}\n".encode())


def _started() -> int:
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        child = os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", "-c", _PROGRAM],
            {},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, reader, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            ],
        )
    except BaseException:
        os.close(writer)
        raise
    finally:
        os.close(reader)
    os.waitpid(child, 0)
    return writer


def _identity(fd: int) -> tuple[int, int]:
    try:
        found = os.fstat(fd)
    except OSError:
        return -1, -1
    return found.st_dev, found.st_ino
