"""A listener whose queue is too small for its clients, who speak first; and one client's lost ACK.

Functions for hosts of a lab, which get the probe of their process; as a program, with a strace:

    python full_queue_programs.py serve BACKLOG CLIENTS
    python full_queue_programs.py talk ADDRESS BACKLOG CLIENTS
"""

from __future__ import annotations

import select
import socket
import sys
import threading
from typing import Any

PORT, GATE = 7000, 7001
QUESTION, ANSWER = b"a question", b"yes"
_LOOK_S = 0.01
_RETRANSMITS = 2  # byte of struct tcp_info: time-outs since the last ACK (linux/tcp.h)
_MOST_LOOKS = 3000


class Plain:
    """In a process that no probe watches."""

    socket = staticmethod(socket.socket)


def serve(probe: Any, backlog: int, clients: int) -> None:
    """Listen, and call accept only once a datagram has come."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gate:
        gate.bind(("0.0.0.0", GATE))
        listener = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.bind(("0.0.0.0", PORT))
        listener.listen(backlog)
        gate.recv(1)
    for _ in range(clients):
        sock, _ = listener.accept()
        sock.recv(64)
        sock.sendall(ANSWER)
        sock.close()
    listener.close()


def talk(probe: Any, address: str, backlog: int, clients: int) -> int:
    """All connect at once; each asks. Once who is ignored has asked again twice, it goes on.

    Returns how many were ignored.
    """
    socks = [probe.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(clients)]
    for sock in socks:
        sock.setblocking(False)
        assert sock.connect_ex((address, PORT)) in (0, 115)  # EINPROGRESS
    threads = [threading.Thread(target=_ask, args=(sock,)) for sock in socks]
    for thread in threads:
        thread.start()
    ignored = clients - backlog - 1
    for _ in range(_MOST_LOOKS):
        if sum(_resent(sock) >= 2 for sock in socks) == ignored:
            break
        select.select([], [], [], _LOOK_S)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gate:
        gate.sendto(b"!", (address, GATE))
    for thread in threads:
        thread.join()
    for sock in socks:
        sock.close()
    return ignored


def _ask(sock: Any) -> None:
    select.select([], [sock.fileno()], [])
    sock.setblocking(True)
    sock.sendall(QUESTION)
    assert sock.recv(64) == ANSWER


def _resent(sock: Any) -> int:
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)
    return int(info[_RETRANSMITS])


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(Plain, int(sys.argv[2]), int(sys.argv[3]))
    else:
        talk(Plain, sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
