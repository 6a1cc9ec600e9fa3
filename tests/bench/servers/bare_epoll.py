"""The ceiling in Python: an echo server that is one loop over epoll, and can do nothing else."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable

Calls = tuple[Callable[[int], bytes], Callable[[bytes], int]]


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    listener.setblocking(False)
    print(listener.getsockname()[1], flush=True)
    epoll = select.epoll()
    epoll.register(listener.fileno(), select.EPOLLIN)
    sockets: dict[int, socket.socket] = {}
    calls: dict[int, Calls] = {}
    poll, get, accepts = epoll.poll, calls.get, listener.fileno()
    while True:
        for fd, _ in poll(-1, 1023):
            found = get(fd)
            if found is not None:
                recv, send = found
                data = recv(65536)
                if data:
                    send(data)
                else:
                    epoll.unregister(fd)
                    del calls[fd]
                    sockets.pop(fd).close()
            elif fd == accepts:
                sock, _ = listener.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sockets[sock.fileno()] = sock
                calls[sock.fileno()] = (sock.recv, sock.send)
                epoll.register(sock.fileno(), select.EPOLLIN)


if __name__ == "__main__":
    main()
