"""What an accepted socket has from its listener, and what it has not."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.kernel_states import wait_until
from netlab.studies.moments import window
from netlab.studies.parts import MS
from netlab.studies.quantity import Kind
from netlab.studies.sockets import connected
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Topic, Window

LINGER = struct.pack("ii", 1, 3)
TIMEOUT = struct.pack("@ll", 7, 0)
RTT_NS = 400 * MS  # so that there is time to set an option before the last ACK
ON = struct.pack("i", 1)
OPTIONS = {
    "SO_KEEPALIVE": (socket.SOL_SOCKET, socket.SO_KEEPALIVE, struct.pack("i", 1)),
    "TCP_NODELAY": (socket.IPPROTO_TCP, socket.TCP_NODELAY, struct.pack("i", 1)),
    "SO_LINGER": (socket.SOL_SOCKET, socket.SO_LINGER, LINGER),
    "SO_RCVTIMEO": (socket.SOL_SOCKET, socket.SO_RCVTIMEO, TIMEOUT),
}


def server(probe: Probe, p: Params) -> Any:
    """Sets options before, in and after the handshake; then asks the accepted socket."""
    listener = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    for level, name, value in OPTIONS.values():
        listener.setsockopt(level, name, value)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, p.rcvbuf)
    listener.setblocking(False)
    listener.bind(("0.0.0.0", PORT))
    listener.listen(1)
    begun = wait_until(PORT, lambda states: "SYN-RECEIVED" in states)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, ON)
    in_time = begun and wait_until(PORT, lambda states: "SYN-RECEIVED" in states, 0)
    ready = probe.poll()
    ready.register(listener, select.POLLIN)
    ready.poll(10_000)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, ON)
    sock, _ = listener.accept()
    found = {
        name: sock.getsockopt(level, option, len(value)) == value
        for name, (level, option, value) in OPTIONS.items()
    }
    rcvbuf = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    between = sock.getsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, len(ON)) == ON
    later = sock.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, len(ON)) == ON
    blocks = not fcntl.fcntl(sock.fileno(), fcntl.F_GETFL) & os.O_NONBLOCK
    sock.close()
    listener.close()
    return {
        "same": found, "rcvbuf": rcvbuf, "blocks": blocks,
        "between": between if in_time else None, "later": later,
    }  # fmt: skip


def client(probe: Probe, p: Params) -> None:
    """Connects."""
    sock = connected(probe)
    sock.recv(1)
    sock.close()


def _word(handed_on: bool | None) -> str | None:
    """None: it was set too late to say."""
    return None if handed_on is None else "yes" if handed_on else "no"


def moment(evidence: Evidence) -> list[Window]:
    """The handshake, until its end is accepted."""
    return window(evidence.call("connect"), evidence.call("accept"))


STUDY = Study(
    name="accepted-options",
    topic=Topic.HANDSHAKE,
    question="I set options on the listener. Which of them does accept() hand on?",
    setup="A server sets SO_KEEPALIVE, TCP_NODELAY, SO_LINGER, SO_RCVTIMEO, SO_RCVBUF and "
    "O_NONBLOCK on its listener. A client connects over 400 ms of round trip; while the SYN-ACK "
    "is on its way, the server sets SO_OOBINLINE, and once the handshake is complete, "
    "SO_BROADCAST. Then it calls accept(), and reads all of them from the new socket.",
    prediction="All options of the socket: the kernel makes the new one as a copy of the "
    "listener. Not at the SYN, which leaves no more than a request behind, nor at accept(), but "
    "when the ACK that ends the handshake comes: what was set before it is handed on, what was "
    "set after it is not. SO_RCVBUF must be set before listen() all the same, since the SYN-ACK "
    "tells the window scale. But O_NONBLOCK belongs to the descriptor, and that is a new one: it "
    "blocks, unless accept4() was told otherwise (in BSD it would not).",
    parameters=(Parameter("rcvbuf", Kind.SIZE, 64 << 10, 4096, 200 << 10, "of the listener"),),
    server=server,
    client=client,
    wire=lambda p: f"delay {RTT_NS // 2}ns",
    expects=(
        *(
            Expect(f"{name} is that of the listener", Kind.WORD, lambda p: "yes",
                   lambda e, name=name: (  # type: ignore[misc]
                       "yes" if e.returned["server"]["same"][name] else "no"),
                   "sk_clone() of Linux")
            for name in OPTIONS
        ),
        Expect("SO_OOBINLINE, set between SYN-ACK and ACK", Kind.WORD, lambda p: "yes",
               lambda e: _word(e.returned["server"]["between"]),
               "tcp_check_req() of Linux: the ACK makes the socket"),
        Expect("SO_BROADCAST, set between ACK and accept()", Kind.WORD, lambda p: "no",
               lambda e: _word(e.returned["server"]["later"]),
               "inet_accept() of Linux: it hands out a socket that is there"),
        Expect("SO_RCVBUF of the accepted socket", Kind.SIZE, lambda p: 2 * p.rcvbuf,
               lambda e: e.returned["server"]["rcvbuf"], "man 7 socket: the kernel doubles it"),
        Expect("the accepted socket blocks", Kind.WORD, lambda p: "yes",
               lambda e: "yes" if e.returned["server"]["blocks"] else "no",
               "man 2 accept: file status flags are not inherited"),
    ),
    moment=moment,
    next="`netlab study rcvbuf-doubling`.",
)  # fmt: skip
