"""Echo on gevent's StreamServer: a greenlet for each connection."""

from __future__ import annotations

import socket

from gevent.server import StreamServer


def echo(sock: socket.socket, address: object) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while data := sock.recv(65536):
        sock.sendall(data)


if __name__ == "__main__":
    server = StreamServer(("127.0.0.1", 0), echo, backlog=512)
    server.start()
    print(server.server_port, flush=True)
    server.serve_forever()
