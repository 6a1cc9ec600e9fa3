"""What an accepted socket has from its listener, and what it has not."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.quantity import Kind
from netlab.studies.sockets import connected
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Topic

LINGER = struct.pack("ii", 1, 3)
TIMEOUT = struct.pack("@ll", 7, 0)
OPTIONS = {
    "SO_KEEPALIVE": (socket.SOL_SOCKET, socket.SO_KEEPALIVE, struct.pack("i", 1)),
    "TCP_NODELAY": (socket.IPPROTO_TCP, socket.TCP_NODELAY, struct.pack("i", 1)),
    "SO_LINGER": (socket.SOL_SOCKET, socket.SO_LINGER, LINGER),
    "SO_RCVTIMEO": (socket.SOL_SOCKET, socket.SO_RCVTIMEO, TIMEOUT),
}


def server(probe: Probe, p: Params) -> Any:
    """Sets all on the listener, and asks the accepted socket."""
    listener = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    for level, name, value in OPTIONS.values():
        listener.setsockopt(level, name, value)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, p.rcvbuf)
    listener.setblocking(False)
    listener.bind(("0.0.0.0", PORT))
    listener.listen(1)
    ready = probe.poll()
    ready.register(listener, select.POLLIN)
    ready.poll(10_000)
    sock, _ = listener.accept()
    found = {
        name: sock.getsockopt(level, option, len(value)) == value
        for name, (level, option, value) in OPTIONS.items()
    }
    rcvbuf = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    blocks = not fcntl.fcntl(sock.fileno(), fcntl.F_GETFL) & os.O_NONBLOCK
    sock.close()
    listener.close()
    return {"same": found, "rcvbuf": rcvbuf, "blocks": blocks}


def client(probe: Probe, p: Params) -> None:
    """Connects."""
    sock = connected(probe)
    sock.recv(1)
    sock.close()


STUDY = Study(
    name="accepted-options",
    topic=Topic.HANDSHAKE,
    question="I set options on the listener. Which of them does accept() hand on?",
    setup="A server sets SO_KEEPALIVE, TCP_NODELAY, SO_LINGER, SO_RCVTIMEO, SO_RCVBUF and "
    "O_NONBLOCK on its listener, accepts a client, and reads all of them from the new socket.",
    prediction="All options of the socket: the kernel makes the new one as a copy of the "
    "listener, at the SYN, long before accept(). For SO_RCVBUF there is no other way, since "
    "the SYN-ACK already tells the window scale. But O_NONBLOCK belongs to the descriptor, "
    "and that is a new one: it blocks, unless accept4() was told otherwise (in BSD it would not).",
    parameters=(Parameter("rcvbuf", Kind.SIZE, 64 << 10, 4096, 200 << 10, "of the listener"),),
    server=server,
    client=client,
    expects=(
        *(
            Expect(f"{name} is that of the listener", Kind.WORD, lambda p: "yes",
                   lambda e, name=name: (  # type: ignore[misc]
                       "yes" if e.returned["server"]["same"][name] else "no"),
                   "sk_clone() of Linux")
            for name in OPTIONS
        ),
        Expect("SO_RCVBUF of the accepted socket", Kind.SIZE, lambda p: 2 * p.rcvbuf,
               lambda e: e.returned["server"]["rcvbuf"], "man 7 socket: the kernel doubles it"),
        Expect("the accepted socket blocks", Kind.WORD, lambda p: "yes",
               lambda e: "yes" if e.returned["server"]["blocks"] else "no",
               "man 2 accept: file status flags are not inherited"),
    ),
    next="`netlab study rcvbuf-doubling`.",
)  # fmt: skip
