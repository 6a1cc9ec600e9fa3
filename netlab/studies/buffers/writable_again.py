"""A full send buffer: how much of it must be free before POLLOUT comes."""

from __future__ import annotations

import select
import socket
import struct
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import back, window
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, trial
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Topic, Window

SO_MEMINFO = 55  # linux/sock_diag.h: memory of a socket, nine numbers
SNDBUF, WMEM_QUEUED = 3, 5
STEP = 4096  # that the server reads at a time
QUIET_MS = 60  # no ACK comes any more: longer than the server could delay one


def memory(sock: Any) -> tuple[int, int]:
    """The send buffer, and how much of it is used: bytes of memory, headers included."""
    raw = sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36)
    found = struct.unpack("9I", raw)
    return found[SNDBUF], found[WMEM_QUEUED]


def server(probe: Probe, p: Params) -> int:
    """Reads a step each time it is told to; after the end of that, all the rest."""
    words = probe.socket(socket.AF_INET, socket.SOCK_DGRAM)
    words.bind(("0.0.0.0", PORT))
    sock = accepted(probe, rcvbuf=p.rcvbuf)
    got = 0
    while words.recv(10) == b"step":
        got += len(sock.recv(STEP, socket.MSG_WAITALL))
    while data := sock.recv(1 << 16):
        got += len(data)
    sock.close()
    words.close()
    return got


def client(probe: Probe, p: Params) -> Any:
    """Fills the buffer, then lets the server read step by step until there is room."""
    sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, p.sndbuf)
    sock.connect(("server", PORT))
    sock.setblocking(False)
    writable = probe.poll()
    writable.register(sock, select.POLLOUT)
    while not trial(sock.send, b"n" * STEP)["error"] or writable.poll(QUIET_MS):
        pass
    size, full = memory(sock)
    words = probe.socket(socket.AF_INET, socket.SOCK_DGRAM)
    steps = 0
    while not writable.poll(QUIET_MS):
        words.sendto(b"step", ("server", PORT))
        steps += 1
    _, used = memory(sock)
    words.sendto(b"rest", ("server", PORT))
    words.close()
    sock.close()
    return {"size": size, "full": full, "used": used, "steps": steps}


def granule(p: Params) -> int:
    """What one step frees, in % of the buffer: at most a window, and its overhead as much again."""
    return 100 * 2 * max(STEP, p.rcvbuf) // (2 * p.sndbuf)


def moment(evidence: Evidence) -> list[Window]:
    """What finds no room any more; and the read with which there is enough again."""
    sends = evidence.calls("send", host="client", connection=0)
    full = next((number for number, one in enumerate(sends) if one.errno), None)
    if full is None:
        return []
    waits = [one for one in evidence.calls("poll", host="client") if one.returned_ns]
    longest = max(waits, key=lambda one: (one.returned_ns or 0) - one.entered_ns, default=None)
    until_ns = back(longest)
    reads = [
        one for one in evidence.calls("recv", host="server", connection=0)
        if until_ns is not None and one.entered_ns < until_ns
    ]  # fmt: skip
    return window(*sends[max(full - 2, 0) : full + 1]) + window(*reads[-1:], until_ns)


STUDY = Study(
    name="writable-again",
    topic=Topic.BUFFERS,
    question="The send buffer was full. How much of it must be free before poll() says POLLOUT?",
    setup="A client whose socket does not block fills its send buffer (SO_SNDBUF {sndbuf}), then"
    " tells the server to read 4,096 bytes at a time, until poll() reports the socket writable.",
    prediction="A third. One free byte is not enough: the program would be woken for every "
    "segment that is acknowledged, to write a little each time. So Linux waits until the free "
    "memory is at least half of what is still used. What counts is memory with the kernel's own "
    "overhead, which is why SO_SNDBUF is doubled.",
    parameters=(
        Parameter("sndbuf", Kind.SIZE, 128 << 10, 64 << 10, 200 << 10, "SO_SNDBUF of the client"),
        Parameter("rcvbuf", Kind.SIZE, 8 << 10, 8 << 10, 16 << 10, "SO_RCVBUF of the server"),
    ),
    server=server,
    client=client,
    expects=(
        Expect("the send buffer, as the kernel has it", Kind.SIZE, lambda p: 2 * p.sndbuf,
               lambda e: e.returned["client"]["size"], "man 7 socket: the kernel doubles it"),
        Expect("free when POLLOUT came, in %", Kind.COUNT, lambda p: 34,
               lambda e: 100 - 100 * e.returned["client"]["used"] // e.returned["client"]["size"],
               "sk_stream_is_writeable() of Linux: free >= used / 2",
               less=1, more=granule,
               because="rounding; one step of the server's frees a good part at once"),
    ),
    next="`netlab study partial-send`.",
    moment=moment,
)  # fmt: skip
