"""Programs for `netlab join` to be tried on; not a test itself: `join_talk.py server|client|both`.

The server takes its connections without asking for the peer's address, and nobody asks for its own:
only what is said can tell the connections apart. `both` is client and server in one process, which
pauses in the middle until a line comes on its standard input.
"""

from __future__ import annotations

import ctypes
import os
import socket
import sys

PORT = 8000
SIZES = (101, 30_011, 101, 200_003)  # of the answers
LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PTRACER, ANY = 0x59616D61, ctypes.c_ulong(-1)


def answer(size: int, number: int) -> bytes:
    return b"".join(b"%d:%d;" % (number, at) for at in range(size))[:size]


def accepted(listener: socket.socket) -> socket.socket:
    """accept(fd, NULL, NULL), and no getsockname() either."""
    fd = LIBC.accept(listener.fileno(), None, None)
    assert fd >= 0, os.strerror(ctypes.get_errno())
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fd)


def listening() -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", PORT))
    listener.listen(16)
    return listener


def server() -> None:
    listener = listening()
    print("ready", flush=True)
    for number, size in enumerate(SIZES):
        with accepted(listener) as peer:
            while peer.recv(100) != b"":
                peer.sendall(answer(size, number))
                peer.shutdown(socket.SHUT_WR)


def client() -> None:
    for _ in SIZES:
        with socket.socket() as mine:
            mine.connect(("127.0.0.1", PORT))
            mine.sendall(b"please")
            while mine.recv(65536):
                pass


def both() -> None:
    LIBC.prctl(PR_SET_PTRACER, ANY, 0, 0, 0)  # any strace of this user may look on
    listener = listening()
    mine = socket.create_connection(("127.0.0.1", PORT))
    theirs = accepted(listener)
    mine.sendall(b"said before anybody looked on: " * 10)
    theirs.recv(5)
    print("half", flush=True)
    sys.stdin.readline()
    mine.sendall(b"said to whoever looks on, once")
    while len(theirs.recv(4096)) == 4096:
        pass
    theirs.sendall(b"and answered: 0123456789")
    mine.recv(4096)
    print("said", flush=True)
    sys.stdin.readline()
    os._exit(0)  # Python would ask each socket that is left for its addresses


if __name__ == "__main__":
    {"server": server, "client": client, "both": both}[sys.argv[1]]()
