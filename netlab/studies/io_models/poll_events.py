"""What poll() says of a socket in each state it can be in."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
from typing import Any

from netlab.model.call import POLL_NAMES
from netlab.model.probe import Probe
from netlab.studies.quantity import Kind
from netlab.studies.sockets import connected, listening
from netlab.studies.study import Claim, Expect, Params, Study, Topic

ALL = select.POLLIN | select.POLLOUT | select.POLLRDHUP
STATES = {
    "idle": ("OUT", "there is room to write"),
    "bytes came": ("IN OUT", "and something to read"),
    "FIN came": ("IN OUT RDHUP", "the end can be read; one may still write"),
    "RST came": ("IN OUT ERR HUP RDHUP", "no call would wait, each would fail"),
    "listener, client waits": ("IN", "accept() would not wait"),
    "descriptor that is closed": ("NVAL", "a mistake of the program"),
}
LATE = 200  # a number that no descriptor of the program has otherwise


def server(probe: Probe, p: Params) -> Any:
    """Accepts four connections, leaves the fifth in the queue, and asks about all at once."""
    listener = listening(probe)
    socks = [listener.accept()[0] for _ in range(4)]
    poll = probe.poll()
    poll.register(listener, select.POLLIN)
    poll.poll(10_000)  # the last client is there, so is what the others did before
    closed = fcntl.fcntl(listener.fileno(), fcntl.F_DUPFD_CLOEXEC, LATE)
    os.close(closed)
    poll.register(closed, ALL)
    for sock in socks:
        poll.register(sock, ALL)
    said = dict(poll.poll(0))
    socks[1].recv(2, socket.MSG_WAITALL)  # the last client has seen that it is connected
    fds = [*(sock.fileno() for sock in socks), listener.fileno(), closed]
    for sock in (*socks, listener):
        sock.close()
    return [said.get(fd, 0) for fd in fds]


def client(probe: Probe, p: Params) -> None:
    """One connection for each state; the last is not accepted any more."""
    idle, speaks, ends, resets = (connected(probe) for _ in range(4))
    speaks.send(b"n")
    ends.shutdown(socket.SHUT_WR)
    resets.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    resets.close()
    waits = connected(probe)
    speaks.send(b"n")
    idle.recv(1)  # until the server closes
    for sock in (idle, speaks, ends, waits):
        sock.close()


def _words(events: int) -> str:
    return " ".join(name for bit, name in POLL_NAMES.items() if events & bit) or "nothing"


def _state(number: int, name: str) -> Expect:
    return Expect(
        name, Kind.WORD, lambda p: STATES[name][0],
        lambda e: _words(e.returned["server"][number]), f"tcp_poll() of Linux: {STATES[name][1]}"
        if number < 5 else f"man 2 poll: {STATES[name][1]}",
    )  # fmt: skip


STUDY = Study(
    name="poll-events",
    topic=Topic.IO_MODELS,
    question="What does poll() say of a socket when bytes come, the end, a reset, a client?",
    setup="A server asks one poll() about four connections, its listener and a descriptor that it "
    "has closed, each for IN, OUT and RDHUP (of the listener only IN). One client idles, "
    "one has sent a byte, one has closed its direction, one has reset the connection, one "
    "waits to be accepted.",
    prediction="IN means: recv() or accept() would not wait. OUT: there is room to write. FIN "
    "is IN, since the end can be read, and RDHUP for those who ask for it. HUP comes only "
    "when both directions are over, as after a reset, and then with ERR. HUP, ERR and NVAL "
    "come without being asked for. One call asks for any number of descriptors.",
    server=server,
    client=client,
    expects=tuple(_state(number, name) for number, name in enumerate(STATES)),
    connection=3,
    claims=(
        Claim("POLLHUP tells that the peer has closed",
              lambda e: bool(e.returned["server"][2] & select.POLLHUP),
              "once both directions are over"),
    ),
    next="`netlab study select`: the same in three lists.",
)  # fmt: skip
