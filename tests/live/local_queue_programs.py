"""Clients of a Unix listener whose queue has too little room, all in one process.

A function for a host of a lab, which gets its probe; as a program, with a strace:

    python local_queue_programs.py PATH BACKLOG BUSY_MS
"""

from __future__ import annotations

import platform
import select
import socket
import sys
import threading
from pathlib import Path
from typing import Any

MORE = 2  # clients than the queue has room for
QUESTION, ANSWER = b"a question", b"yes"
_LOOK_S = 0.01
_MOST_LOOKS = 3000
_CALLS = {"x86_64": {"connect": 42, "recvfrom": 45}, "aarch64": {"connect": 203, "recvfrom": 207}}


class Plain:
    """In a process that no probe watches."""

    socket = staticmethod(socket.socket)


def crowd(probe: Any, path: str, backlog: int, busy_ms: int) -> None:
    """Once all clients wait, the server is busy for so long; then it accepts and answers them all.

    The first fill the queue, and wait for their answer; the connects of the others wait.
    """
    listener = probe.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(backlog)
    threads = []
    for number in range(backlog + 1 + MORE):
        thread = threading.Thread(target=_ask, args=(probe, path))
        thread.start()
        _wait_inside(thread, "recvfrom" if number <= backlog else "connect")
        threads.append(thread)
    select.select([], [], [], busy_ms / 1000)
    for _ in threads:
        sock, _ = listener.accept()
        assert sock.recv(64) == QUESTION
        sock.sendall(ANSWER)
        sock.close()
    for thread in threads:
        thread.join()
    listener.close()


def _ask(probe: Any, path: str) -> None:
    sock = probe.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(path)
    sock.sendall(QUESTION)
    assert sock.recv(64) == ANSWER
    sock.close()


def _wait_inside(thread: threading.Thread, call: str) -> None:
    """Until the thread sleeps in this call (man 5 proc on /proc/PID/syscall)."""
    number = _CALLS[platform.machine()][call]
    place = Path(f"/proc/self/task/{thread.native_id}/syscall")
    for _ in range(_MOST_LOOKS):
        if place.read_text().split()[0] == str(number):
            return
        select.select([], [], [], _LOOK_S)
    raise AssertionError(f"no {call} was waited for")


if __name__ == "__main__":
    crowd(Plain, sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
