"""A program that speaks with itself in every way, and prints what it did: call, socket, bytes.

Run by test_strace.py under strace; its words are compared with what strace's log was read as.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import sys


def said(op: str, fd: int, moved: int | None = None) -> None:
    """One call on a socket: its name, the socket's inode, bytes moved."""
    print(op, os.getpid(), os.fstat(fd).st_ino, "-" if moved is None else moved, flush=True)


def pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        return client, server


def main() -> None:
    client, server = pair()
    c, s = client.fileno(), server.fileno()
    said("sendto", c, client.send(b"a" * 23))
    said("recvfrom", s, len(server.recv(4096)))
    said("sendmsg", c, client.sendmsg([b"b" * 7, b"c" * 4093]))
    said("recvmsg", s, len(server.recvmsg(5000)[0]))
    said("write", c, os.write(c, b"d" * 31))
    said("read", s, len(os.read(s, 31)))
    said("writev", c, os.writev(c, [b"e" * 13, b"f" * 17]))
    said("readv", s, os.readv(s, [bytearray(13), bytearray(17)]))
    with open(__file__, "rb") as own:
        said("sendfile", c, os.sendfile(c, own.fileno(), 11, 509))
    from_pipe, to_pipe = os.pipe()
    said("splice", s, os.splice(s, to_pipe, 509))
    said("splice", c, os.splice(from_pipe, c, 509))
    poller = select.poll()
    poller.register(s, select.POLLIN)
    poller.poll()
    said("poll", s)
    select.select([s], [], [], 5)
    said("select", s)
    with select.epoll() as epoll:
        epoll.register(s, select.EPOLLIN)
        epoll.poll()
        said("epoll", s)
    said("recvfrom", s, len(server.recv(4096)))

    # A descriptor that a message brings, and a second and third number for the other end.
    line, far = socket.socketpair()
    socket.send_fds(line, [b"!"], [s])
    _, (passed,), _, _ = socket.recv_fds(far, 10, 1)
    said("write", passed, os.write(passed, b"g" * 37))
    said("recvfrom", c, len(client.recv(4096)))
    again, once_more = os.dup(c), fcntl.fcntl(c, fcntl.F_DUPFD_CLOEXEC, 60)
    said("write", again, os.write(again, b"h" * 41))
    said("write", once_more, os.write(once_more, b"i" * 43))
    said("recvfrom", s, len(server.recv(41 + 43, socket.MSG_WAITALL)))

    # A child writes, then becomes another program whose standard output is the connection.
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        said("write", c, os.write(c, b"j" * 47))
        os.dup2(c, 1)
        os.execv("/bin/echo", ["echo", "k" * 52])
    os.waitpid(child, 0)
    said("recvfrom", s, len(server.recv(47 + 53, socket.MSG_WAITALL)))
    os.close(passed)
    client.close()
    os.close(again)
    os.close(once_more)
    said("recvfrom", s, len(server.recv(4096)))
    server.close()


main()
