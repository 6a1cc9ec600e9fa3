"""One send, many recvs: a call takes what it has room for, and the rest stays."""

from __future__ import annotations

import select
import socket
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import call_on, window
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, connected, trial
from netlab.studies.study import Expect, Parameter, Params, Study, Topic, Window


def server(probe: Probe, p: Params) -> Any:
    """Waits until the whole message is there, and takes it in pieces; then asks once more."""
    sock = accepted(probe)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, p.message)
    all_there = probe.poll()
    all_there.register(sock, select.POLLIN)
    all_there.poll()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
    sizes: list[int] = []
    while sum(sizes) < p.message:
        sizes.append(len(sock.recv(p.room)))
    nothing_left = trial(sock.recv, p.room, socket.MSG_DONTWAIT)
    sock.close()
    return {"sizes": sizes, "then": nothing_left["error"]}


def client(probe: Probe, p: Params) -> None:
    """One message, one call."""
    sock = connected(probe)
    sock.send(b"n" * p.message)
    sock.recv(1)
    sock.close()


def pieces(p: Params) -> str:
    """As many full ones as there are, and what is over."""
    whole, over = divmod(p.message, p.room)
    return ", ".join(map(str, [p.room] * whole + [over] * (over > 0)))


def moment(evidence: Evidence) -> list[Window]:
    """From the send() until nothing is left."""
    return window(
        call_on(evidence, "send", host="client"), call_on(evidence, "recv", -1, host="server")
    )


STUDY = Study(
    name="recv-sizes",
    topic=Topic.BUFFERS,
    question="One send() of {message}; the other side has room for {room} in each recv(). What "
    "comes back?",
    setup="A client sends {message} with one call. The server waits until all of it is there,"
    " then calls recv() with room for {room}, again and again.",
    prediction="As much as was asked for, as long as there is that much, then the rest: a recv()"
    " takes from the front of the receive queue, and what it leaves is there for the next. "
    "Nothing is lost by asking for little, and no recv() says where a send() ended. When the "
    "queue is empty, a recv() that may not wait fails with EAGAIN; 0 would mean that the peer"
    " has closed.",
    parameters=(
        Parameter("message", Kind.SIZE, 1000, 1, 1400, "that is sent"),
        Parameter("room", Kind.SIZE, 300, 300, 2000, "that a recv() asks for"),
    ),
    server=server,
    client=client,
    expects=(
        Expect("recv() returned", Kind.WORD, pieces,
               lambda e: ", ".join(map(str, e.returned["server"]["sizes"])),
               "man 2 recv: up to the requested amount"),
        Expect("and then", Kind.WORD, lambda p: "EAGAIN", lambda e: e.returned["server"]["then"],
               "man 2 recv: nothing is there, and MSG_DONTWAIT"),
        Expect("frames with data", Kind.COUNT, lambda p: 1,
               lambda e: len(e.frames("c>s", data=True)), "one segment: less than the MSS"),
    ),
    next="`netlab study sticky-packets`: many sends, one recv().",
    moment=moment,
)  # fmt: skip
